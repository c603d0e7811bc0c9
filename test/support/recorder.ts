/** A raw WebSocket device whose frames, both ways, are written down for people. */

import { once } from 'node:events'
import { WebSocket } from 'ws'

export interface Written {
  readonly who: string
  readonly direction: 'sends' | 'hears'
  readonly frame: string
}

export class Recorder {
  readonly written: Written[] = []
  /** What differs from run to run, and the words that stand for it. */
  readonly #names = new Map<string, string>()

  name(text: string, word: string): void {
    this.#names.set(text, word)
  }

  note(who: string, direction: Written['direction'], frame: string): void {
    this.written.push({ who, direction, frame })
  }

  /** Everything since the last call, as one block of Markdown for each frame. */
  take(): string {
    return this.written
      .splice(0)
      .map(({ who, direction, frame }) => `**${who} ${direction}**\n\n\`\`\`\n${this.#readable(frame)}\n\`\`\`\n`)
      .join('\n')
  }

  #readable(frame: string): string {
    let text = frame.replaceAll('\0', '^@')
    for (const [from, to] of this.#names) text = text.replaceAll(from, to)
    return text
  }
}

export class RecordedDevice {
  readonly who: string
  session = ''
  resumeId = ''
  readonly address: string
  readonly #recorder: Recorder
  readonly #socket: WebSocket
  readonly #heard: string[] = []
  #wake: (() => void)[] = []

  private constructor(who: string, address: string, socket: WebSocket, recorder: Recorder) {
    this.who = who
    this.address = address
    this.#socket = socket
    this.#recorder = recorder
    socket.on('message', (data: Buffer) => {
      this.#heard.push(data.toString())
      for (const wake of this.#wake.splice(0)) wake()
    })
  }

  static async opens(who: string, url: string, recorder: Recorder): Promise<RecordedDevice> {
    const socket = new WebSocket(url, ['v12.stomp'])
    await once(socket, 'open')
    return new RecordedDevice(who, url, socket, recorder)
  }

  sends(command: string, headers: Record<string, string>, body = ''): void {
    const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
    const frame = `${command}\n${lines.join('')}\n${body}\0`
    this.#recorder.note(this.who, 'sends', frame)
    this.#socket.send(frame)
  }

  /** Waits for the next frame and writes it down. */
  async hears(): Promise<string> {
    let frame = this.#heard.shift()
    while (frame === undefined) {
      await new Promise<void>((resolve) => this.#wake.push(resolve))
      frame = this.#heard.shift()
    }
    this.#recorder.note(this.who, 'hears', frame)
    return frame
  }

  /** The network is gone: no frame, no close. */
  cut(): void {
    this.#socket.terminate()
  }

  async closed(): Promise<void> {
    if (this.#socket.readyState !== WebSocket.CLOSED) await once(this.#socket, 'close')
  }
}
