/** HTTP by hand over one socket, as old or odd peers speak it: what was written, in which chunks, and when it ended. */

import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'

export interface RawHead {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

export class RawHttp {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #over = false
  #wake: () => void = () => undefined

  constructor(port: number) {
    this.socket = createConnection({ port, host: '127.0.0.1' })
    this.socket.on('data', (octets) => {
      this.#received = Buffer.concat([this.#received, octets as Buffer])
      this.#wake()
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => this.#end())
    this.socket.on('end', () => this.#end())
  }

  /** `request` is the request line; `Host` is added. */
  ask(request: string, headers: Readonly<Record<string, string>> = {}, body = ''): void {
    const lines = Object.entries({ Host: 'test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = request.startsWith('POST') ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : ''
    this.socket.write(`${request}\r\n${lines.join('')}${length}\r\n${body}`)
  }

  async head(): Promise<RawHead> {
    const [start = '', ...lines] = (await this.#until('\r\n\r\n')).split('\r\n')
    const headers: Record<string, string> = Object.create(null)
    for (const line of lines) headers[line.slice(0, line.indexOf(':')).toLowerCase()] = line.replace(/^[^:]*: */, '')
    return { status: Number(start.split(' ')[1]), headers }
  }

  /** The next chunk of a chunked body; empty: the last one. */
  async chunk(): Promise<string> {
    const length = Number.parseInt(await this.#until('\r\n'), 16)
    return (await this.octets(length + 2)).toString('utf8', 0, length)
  }

  async octets(count: number): Promise<Buffer> {
    while (this.#received.length < count) await this.#more()
    const octets = this.#received.subarray(0, count)
    this.#received = this.#received.subarray(count)
    return octets
  }

  /** Fulfilled when the server has ended the connection, with what was left to read. */
  async end(): Promise<string> {
    while (!this.#over) await new Promise<void>((resolve) => this.#wait(resolve))
    return this.#received.toString()
  }

  /** Reads on, and keeps nothing of it. */
  discard(): void {
    this.socket.removeAllListeners('data')
    this.socket.resume()
  }

  /** Goes away without a word. */
  async vanish(): Promise<void> {
    this.socket.destroy()
    if (!this.socket.closed) await once(this.socket, 'close')
  }

  async #until(mark: string): Promise<string> {
    while (!this.#received.includes(mark)) await this.#more()
    const at = this.#received.indexOf(mark)
    return (await this.octets(at + mark.length)).toString('utf8', 0, at)
  }

  async #more(): Promise<void> {
    if (this.#over) throw new Error(`the connection ended; left: ${this.#received.toString()}`)
    await new Promise<void>((resolve) => this.#wait(resolve))
  }

  #wait(resolve: () => void): void {
    this.#wake = resolve
  }

  #end(): void {
    this.#over = true
    this.#wake()
  }
}
