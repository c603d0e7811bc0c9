/** An operator's back end: a real HTTP server that takes webhooks, and answers as a test wants. */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export const WEBHOOK_SECRET = 'shared with the back end'

export interface Delivered {
  readonly type: string
  readonly id: string
  readonly at: number
  readonly data: Readonly<Record<string, unknown>>
  readonly attempt: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** A status, or what is done with the response. */
export type Reply = number | ((response: ServerResponse, request: Delivered) => void)

export class BackEnd {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** Every request, in the order of their coming. */
  readonly requests: Delivered[] = []
  /** Requests that nobody has looked at. */
  readonly #fresh: Delivered[] = []
  #wake: (() => void)[] = []
  /** What it answers. */
  reply: (request: Delivered) => Reply = () => 204

  private constructor(server: Server) {
    this.#server = server
  }

  static async opens(port = 0): Promise<BackEnd> {
    const server = createServer()
    const backEnd = new BackEnd(server)
    server.on('connection', (socket: Socket) => {
      backEnd.#sockets.add(socket)
      socket.on('close', () => backEnd.#sockets.delete(socket))
    })
    server.on('request', (request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('error', () => undefined)
      request.on('end', () => backEnd.#takes(Buffer.concat(parts).toString(), request.headers, response))
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return backEnd
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hooks?source=carillon`
  }

  /** Connections that stand now. */
  get connections(): number {
    return this.#sockets.size
  }

  /** The next request that nobody has looked at; with a type: of this type, others are passed over. */
  async hears(type?: string): Promise<Delivered> {
    for (;;) {
      const request = this.#fresh.shift()
      if (request === undefined) await new Promise<void>((resolve) => this.#wake.push(resolve))
      else if (type === undefined || request.type === type) return request
    }
  }

  /** Types of the requests that nobody has looked at until now. */
  get unheard(): readonly string[] {
    return this.#fresh.map(({ type }) => type)
  }

  async closes(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #takes(text: string, headers: IncomingHttpHeaders, response: ServerResponse): void {
    const body = JSON.parse(text) as Pick<Delivered, 'type' | 'id' | 'at' | 'data'>
    const request = { ...body, attempt: Number(headers['carillon-attempt']), headers, text }
    this.requests.push(request)
    this.#fresh.push(request)
    for (const wake of this.#wake.splice(0)) wake()
    const reply = this.reply(request)
    if (typeof reply === 'function') reply(response, request)
    else response.writeHead(reply).end()
  }
}

/** As docs/webhooks.md shows it. */
export function isSigned({ headers, text }: Delivered, secret: string, nowMs: number): boolean {
  const [, seconds = '', signature = ''] =
    /^t=(\d+),v1=([\da-f]{64})$/.exec(String(headers['carillon-signature'])) ?? []
  if (Math.abs(nowMs / 1000 - Number(seconds)) > 300) return false
  const expected = createHmac('sha256', secret).update(`${seconds}.${text}`).digest()
  return timingSafeEqual(expected, Buffer.from(signature.padEnd(64, '0'), 'hex'))
}
