/**
 * The other end of a client's WebSocket, played by a test frame by frame. It answers CONNECT and receipts by itself
 * unless it is told not to.
 */

import type { SocketLike } from '../../client/index.ts'
import { settled } from './clock.ts'

export interface Written {
  readonly command: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export class ScriptedServer {
  /** One per connection attempt. */
  readonly sockets: ScriptedSocket[] = []
  /** What a CONNECT is answered with; nothing: silence. */
  greeting: ((connect: Written) => string) | undefined = () =>
    frame('CONNECTED', { version: '1.2', session: `s${this.sockets.length}`, 'user-name': 'alice' })
  /** Of everything but SUBSCRIBE; or of what goes to some destinations. */
  receipts: boolean | ((destination: string) => boolean) = true
  /** Attempts that fail before they are open. */
  unreachable = false

  /** For `webSocketFactory`. */
  readonly open = (url: string): SocketLike => {
    const socket = new ScriptedSocket(url, this)
    this.sockets.push(socket)
    queueMicrotask(() => {
      if (this.unreachable) socket.breaks(1006)
      else socket.opens()
    })
    return socket
  }

  /** From now on CONNECTED has these headers too, and these frames follow at once. */
  greets(headers: Record<string, string>, ...frames: string[]): void {
    this.greeting = () => {
      const connected = { version: '1.2', session: `s${this.sockets.length}`, 'user-name': 'alice', ...headers }
      return frame('CONNECTED', connected) + frames.join('')
    }
  }

  get socket(): ScriptedSocket {
    const socket = this.sockets.at(-1)
    if (!socket) throw new Error('no connection yet')
    return socket
  }
}

export class ScriptedSocket implements SocketLike {
  onopen: ((event: never) => unknown) | null = null
  onclose: ((event: never) => unknown) | null = null
  onerror: ((event: never) => unknown) | null = null
  onmessage: ((event: never) => unknown) | null = null
  readyState = 0
  readonly url: string
  readonly frames: Written[] = []
  readonly #server: ScriptedServer
  readonly #subscriptions = new Map<string, string>()

  constructor(url: string, server: ScriptedServer) {
    this.url = url
    this.#server = server
  }

  send(data: string): void {
    if (data === '\n') return
    const written = read(data)
    this.frames.push(written)
    const { destination = '', id = '', receipt } = written.headers
    if (written.command === 'CONNECT' && this.#server.greeting) this.says(this.#server.greeting(written))
    if (written.command === 'SUBSCRIBE') this.#subscriptions.set(destination, id)
    if (receipt === undefined) return
    const { receipts } = this.#server
    const answers = typeof receipts === 'function' ? receipts(destination) : receipts
    if (answers || written.command === 'SUBSCRIBE') this.receipt(receipt)
  }

  close(): void {
    this.breaks(1000)
  }

  terminate(): void {
    this.breaks(1006)
  }

  opens(): void {
    this.readyState = 1
    this.#call(this.onopen, {})
  }

  breaks(code: number, reason = ''): void {
    if (this.readyState === 3) return
    this.readyState = 3
    queueMicrotask(() => this.#call(this.onclose, { code, reason }))
  }

  says(text: string): void {
    queueMicrotask(() => this.#call(this.onmessage, { data: text }))
  }

  receipt(id: string): void {
    this.says(frame('RECEIPT', { 'receipt-id': id }))
  }

  /** A MESSAGE on one of the client's subscriptions; returns when the client has worked on it. */
  async tells(destination: string, body: unknown, headers: Record<string, string> = {}): Promise<void> {
    const subscription = this.#subscriptions.get(destination)
    if (subscription === undefined) throw new Error(`not subscribed to ${destination}`)
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    this.says(frame('MESSAGE', { destination, subscription, 'message-id': 'm', ...headers }, text))
    await settled()
  }

  /** What was sent there, parsed. */
  sent(destination: string): unknown[] {
    return this.sends(destination).map(({ body }) => JSON.parse(body))
  }

  sends(destination: string): Written[] {
    return this.frames.filter(({ command, headers }) => command === 'SEND' && headers.destination === destination)
  }

  #call(handler: ((event: never) => unknown) | null, event: unknown): void {
    ;(handler as ((event: unknown) => unknown) | null)?.(event)
  }
}

export function frame(command: string, headers: Record<string, string>, body = ''): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value.replaceAll(':', '\\c')}\n`)
  return `${command}\n${lines.join('')}\n${body}\0`
}

function read(text: string): Written {
  const end = text.indexOf('\n\n')
  const [command = '', ...lines] = text.slice(0, end).split('\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).replaceAll('\\c', ':')]
    }),
  )
  return { command, headers, body: text.slice(end + 2).replace(/\0$/, '') }
}
