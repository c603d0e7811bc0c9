/**
 * One path of an HTTP server for STOMP: raw WebSocket on the path itself, SockJS on the path and below it.
 * Knows who may come in; what is said then is the broker's business.
 */

import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { PeerAddress } from '../address.ts'
import type { Clock } from '../clock.ts'
import type { Peer } from '../connection.ts'
import type { Broker, Limit } from '../types.ts'
import { queryOf } from './query.ts'
import { type SockJsOptions, sockJsAcceptor } from './sockjs.ts'
import { webSocketAcceptor } from './ws.ts'

export interface StompEndpointOptions {
  readonly server: Server
  /** Such as `/imserver/ws`, without a slash at its end. */
  readonly path: string
  readonly broker: Broker
  /** For what SockJS does by time: heart-beats, sessions that nobody fetches from. */
  readonly clock: Clock
  /** The broker's own limit of a frame: what a transport takes in is bounded a little above it. */
  readonly limits: { readonly frameBytes: number }
  /** Whether a page of this origin may connect. `origin` is undefined for clients that are no browsers; `host` is the Host header. */
  readonly allowOrigin: (origin: string | undefined, host: string | undefined) => boolean
  /** False: nobody new comes in now (503), beside what the broker says itself. */
  readonly accepting: () => boolean
  /** Whose address a request has: behind proxies not its socket's. */
  readonly addressOf: PeerAddress
  /** Told of each request that is turned away because there are too many connections. */
  readonly limited?: (limit: Limit) => void
  readonly sockJs: Pick<SockJsOptions, 'clientUrl' | 'webSocket' | 'cookie' | 'responseBytes'>
}

export interface StompEndpoint {
  /** For the HTTP server's requests, before anybody else: true when it was for SockJS and is taken care of. */
  request(request: IncomingMessage, response: ServerResponse): boolean
  /** Takes its listener off the HTTP server. Connections stay with the broker. */
  detach(): void
}

/** Seconds after which somebody who was turned away may ask again. */
const RETRY_AFTER_S = 5

/**
 * Takes over the `upgrade` requests of the server: those for other paths are answered 404.
 * Requests for SockJS must be given to {@link StompEndpoint.request}.
 */
export function serveStomp(options: StompEndpointOptions): StompEndpoint {
  const { server, path, broker, clock, limits, addressOf } = options
  // Far above a frame: a frame that is too large is to be told so in an ERROR, not cut off by the transport
  const longestMessage = 2 * limits.frameBytes + 320 * 1024
  const webSocket = webSocketAcceptor(Math.max(4 * 1024 * 1024, longestMessage), (connection) =>
    broker.accept(connection),
  )
  const sockJs = sockJsAcceptor({ ...options.sockJs, path, clock, longestMessage }, (connection) =>
    broker.accept(connection),
  )
  const rawPaths = new Set([path, `${path}/`, `${path}/websocket`])

  /** Why nobody may come in by this request; undefined when somebody may. */
  const refusal = (request: IncomingMessage, opens: boolean): Refusal | undefined => {
    const { origin, host } = request.headers
    if (!options.allowOrigin(origin, host)) return { status: 403, why: 'this origin may not connect' }
    if (!opens) return undefined
    if (!(options.accepting() && broker.accepting)) {
      options.limited?.('connections')
      return { status: 503, why: 'no new connections now', retryAfter: RETRY_AFTER_S }
    }
    if (!broker.roomFor(addressOf(request.socket.remoteAddress, request.headers['x-forwarded-for']))) {
      options.limited?.('connections-per-address')
      return { status: 429, why: 'too many connections from this address', retryAfter: RETRY_AFTER_S }
    }
    return undefined
  }

  const peerOf = (transport: Peer['transport'], request: IncomingMessage): Peer => ({
    transport,
    address: addressOf(request.socket.remoteAddress, request.headers['x-forwarded-for']),
    query: queryOf(request.url ?? ''),
  })

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // What goes wrong on a socket ends it; that is all there is to know
    socket.on('error', () => socket.destroy())
    const pathname = pathOf(request)
    const raw = rawPaths.has(pathname)
    const exists = raw || (pathname.startsWith(`${path}/`) && pathname.endsWith('/websocket'))
    let refused: Refusal | undefined
    if (!exists) refused = { status: 404, why: 'nothing here takes an upgrade' }
    else if (request.method !== 'GET') refused = { status: 405, why: '' }
    else refused = refusal(request, true)
    if (refused) {
      refuseUpgrade(socket, refused)
      return
    }
    if (raw) webSocket.accept(request, socket, head, peerOf('websocket', request))
    else sockJs.upgrade(request, socket, head, peerOf('sockjs', request))
  }
  server.on('upgrade', upgrade)

  return {
    request(request, response) {
      const pathname = pathOf(request)
      if (pathname !== path && !pathname.startsWith(`${path}/`)) return false
      // Requests of sessions that exist go on while nobody new comes in
      const refused = refusal(request, sockJs.opens(request))
      if (refused) refuseRequest(response, refused)
      else sockJs.request(request, response, peerOf('sockjs', request))
      return true
    },
    detach() {
      server.off('upgrade', upgrade)
    },
  }
}

interface Refusal {
  readonly status: number
  readonly why: string
  readonly retryAfter?: number
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] as string
}

function headersOf({ status, why, retryAfter }: Refusal): Record<string, string> {
  // "An origin server MUST generate an Allow header field in a 405" (RFC 9110 section 15.5.6)
  if (status === 405) return { Connection: 'close', Allow: 'GET', 'Content-Length': '0' }
  return {
    Connection: 'close',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(why) + 1),
    ...(retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }),
  }
}

function refuseRequest(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(refusal.status, headersOf(refusal))
  response.end(`${refusal.why}\n`)
}

/** An upgrade that is refused is answered by hand: there is no ServerResponse for it. */
function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  const lines = Object.entries(headersOf(refusal)).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join('')}\r\n`
  socket.end(refusal.why === '' ? head : `${head}${refusal.why}\n`)
}
