/**
 * STOMP over SockJS (sockjs-protocol 0.3.3) by the package sockjs: WebSocket, streaming and polling for browsers and
 * proxies that allow nothing better. Knows what that package leaves to its users: limits of what comes in, the count of
 * what waits to go out, and that a session must not be closed while its messages are being handed over.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex, Writable } from 'node:stream'
import sockjs from 'sockjs'
import type { PeerAddress } from '../address.ts'
import type { Connection, ConnectionHandler, Peer } from '../connection.ts'
import type { Tail } from '../frame.ts'
import { queryOf } from './query.ts'

export interface SockJsAcceptor {
  /** Answers an HTTP request below the path. */
  request(request: IncomingMessage, response: ServerResponse): void
  /** Takes the WebSocket of a SockJS session. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

export interface SockJsOptions {
  readonly path: string
  /** Where the page in an iframe transport gets sockjs-client from. */
  readonly clientUrl: string
  /** Octets of one HTTP body or WebSocket message. */
  readonly longestMessage: number
  readonly addressOf: PeerAddress
}

/** The parts of sockjs 0.3.24 that its types leave out, or get wrong. */
interface Receiver {
  /** Of a WebSocket. */
  readonly connection?: Writable
  /** Of a streaming or polling request. */
  readonly response?: Writable | null
}
interface SockJsSession {
  readonly session_id?: string | null
  /** What waits for the next poll. */
  readonly send_buffer?: readonly string[]
  readonly recv?: Receiver | null
  /** Its timer: of the next heart-beat, or of its end when nobody polls. */
  readonly to_tref?: NodeJS.Timeout | null
}
interface SockJsConnection {
  readonly _session: SockJsSession
  readonly url: string
  readonly remoteAddress?: string
  /** Those that sockjs thinks harmless, of the request that opened the session. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  write(text: string): boolean
  close(code: number, reason: string): boolean
  on(event: 'data', listener: (message: unknown) => void): void
  on(event: 'close', listener: () => void): void
}
type Middleware = (request: IncomingMessage, to: ServerResponse | Duplex, head?: Buffer) => boolean

export function sockJsAcceptor(options: SockJsOptions, onConnection: (connection: Connection) => void): SockJsAcceptor {
  const { path, clientUrl, longestMessage, addressOf } = options
  /** Sessions that are polled, by the id in their path. */
  const polled = new Map<string, SockJsStompConnection>()
  const settings = {
    prefix: path,
    sockjs_url: clientUrl,
    log: () => undefined,
    faye_server_options: { maxLength: longestMessage },
  }
  const server = sockjs.createServer(settings)
  server.on('connection', (raw: SockJsConnection | null) => {
    // A session that ended in the same turn of the event loop is announced as null
    if (raw === null) return
    const connection = new SockJsStompConnection(raw, addressOf)
    const id = raw._session.session_id
    if (id) {
      polled.set(id, connection)
      raw.on('close', () => polled.delete(id))
    }
    onConnection(connection)
  })
  const handle = (server as unknown as { middleware(): Middleware }).middleware()

  return {
    request(request, response) {
      const id = sessionOf(request, path)
      // sockjs looks sessions up in a plain object
      if (id !== undefined && id in Object.prototype) return answer(response, 404)
      if (request.method === 'POST' && !bounded(request, response, longestMessage)) return
      if (!handle(request, response)) return answer(response, 404)
      if (id !== undefined) polled.get(id)?.fetched(response)
    },
    upgrade(request, socket, head) {
      if (!handle(request, socket, head)) socket.destroy()
    },
  }
}

class SockJsStompConnection implements Connection {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  readonly #raw: SockJsConnection
  readonly #session: SockJsSession
  /** Octets in the session's send buffer, which sockjs empties as a whole. */
  #unfetched = 0
  #closing: { readonly code: number; readonly reason: string } | undefined
  #closed = false

  constructor(raw: SockJsConnection, addressOf: PeerAddress) {
    this.#raw = raw
    this.#session = raw._session
    const address = addressOf(raw.remoteAddress, raw.headers?.['x-forwarded-for'])
    this.peer = { transport: 'sockjs', address, query: queryOf(raw.url) }
    raw.on('data', (message) => this.#receive(message))
    raw.on('close', () => this.#over())
    this.#session.recv?.connection?.on('drain', () => this.handler.drained())
  }

  get buffered(): number {
    const { recv } = this.#session
    const written = recv?.connection?.writableLength ?? recv?.response?.writableLength ?? 0
    return this.#waits ? this.#unfetched + written : written
  }

  send(head: string, tail?: Tail): void {
    if (this.#closing !== undefined) return
    if (!this.#waits) this.#unfetched = 0
    this.#raw.write(tail === undefined ? head : head + tail.text)
    if (this.#waits) this.#unfetched += head.length + (tail === undefined ? 0 : tail.octets.length)
    if (this.buffered > 0) this.handler.stalled()
  }

  /** Later in this turn: sockjs goes on to hand over the messages of one request to a session that must still be there. */
  close(code: number, reason: string): void {
    if (this.#closing !== undefined) return
    this.#closing = { code, reason }
    queueMicrotask(() => {
      const receiving = Boolean(this.#session.recv)
      this.#raw.close(code, reason)
      if (receiving) this.#over()
    })
  }

  terminate(): void {
    this.close(1006, '')
    queueMicrotask(() => {
      const { recv } = this.#session
      recv?.connection?.destroy()
      recv?.response?.destroy()
      this.#over()
    })
  }

  /** HTTP requests cannot be held back without holding up those that fetch. */
  pause(): boolean {
    return false
  }

  resume(): void {}

  /** SockJS looks after its sessions itself: pings on a WebSocket, and polls that must come in time. */
  ping(): boolean {
    return false
  }

  /** A request came to fetch what waits. */
  fetched(response: Writable): void {
    response.on('drain', () => this.handler.drained())
    if (this.#waits) return
    if (this.#closing) this.#over()
    else queueMicrotask(() => this.handler.drained())
  }

  /** The peer has fetched everything, or never will. sockjs remembers the session a little longer, for those who ask again. */
  #over(): void {
    this.#session.to_tref?.unref()
    if (this.#closed) return
    this.#closed = true
    const { code, reason } = this.#closing ?? { code: 1006, reason: '' }
    this.handler.closed(code, reason)
  }

  get #waits(): boolean {
    return (this.#session.send_buffer?.length ?? 0) > 0
  }

  #receive(message: unknown): void {
    if (this.#closing !== undefined) return
    if (typeof message === 'string') this.handler.data(Buffer.from(message))
    else this.close(1003, 'SockJS messages are strings')
  }
}

const NOBODY: ConnectionHandler = { data() {}, alive() {}, stalled() {}, drained() {}, closed() {} }

/** The session that a request is about: `<path>/<server>/<session>/<transport>`. */
function sessionOf(request: IncomingMessage, path: string): string | undefined {
  return (request.url ?? '').slice(path.length).split('?', 1)[0]?.split('/')[2]
}

/** Holds the body of a request to its bound; sockjs would collect any amount. False: it is refused already. */
function bounded(request: IncomingMessage, response: ServerResponse, most: number): boolean {
  if (Number(request.headers['content-length'] ?? 0) > most) {
    answer(response, 413)
    return false
  }
  let octets = 0
  request.on('data', (chunk: Buffer) => {
    octets += chunk.length
    if (octets <= most) return
    request.removeAllListeners('data')
    request.removeAllListeners('end')
    if (response.headersSent) response.destroy()
    else answer(response, 413)
  })
  return true
}

function answer(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
  response.end(`${status}\n`)
}
