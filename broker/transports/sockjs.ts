/**
 * STOMP over SockJS (sockjs-protocol 0.3.3): WebSocket, streaming and polling for browsers and proxies that allow
 * nothing better. Knows its addresses: which request is for which session. What a session does is in sockjs/.
 *
 * Whoever knows a session's id may fetch from it and send to it: the id is a secret of its client, like a cookie.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { Connection, Peer } from '../connection.ts'
import { receiveBody } from './sockjs/body.ts'
import { EndedSessions } from './sockjs/ended.ts'
import { type Received, readMessages } from './sockjs/framing.ts'
import { hixie76Accepter, isHixie76 } from './sockjs/hixie76.ts'
import { HttpSession, type HttpSessionOptions, Receiver } from './sockjs/http-session.ts'
import {
  answer,
  greet,
  iframePage,
  info,
  notFound,
  notKept,
  PLAIN,
  preflight,
  readable,
  setCookie,
  wrongMethod,
} from './sockjs/pages.ts'
import { webSocketAccepter } from './sockjs/rfc6455.ts'
import { SocketSession } from './sockjs/socket.ts'
import { Sweep } from './sockjs/sweep.ts'
import {
  eventSource,
  htmlFile,
  isCallback,
  jsonpPolling,
  type Wrapping,
  xhrPolling,
  xhrStreaming,
} from './sockjs/wrapping.ts'

export interface SockJsAcceptor {
  /** Whether this request is the first of a session, or asks how to begin one. */
  opens(request: IncomingMessage): boolean
  /** Answers an HTTP request on the path or below it. `peer` becomes the session's when it is the first of one. */
  request(request: IncomingMessage, response: ServerResponse, peer: Peer): void
  /** Takes the WebSocket of a SockJS session. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, peer: Peer): void
  /** Sessions over HTTP; those of them that are over and still remembered; sessions on WebSockets. */
  counts(): { readonly http: number; readonly ended: number; readonly sockets: number }
}

export interface SockJsOptions {
  readonly path: string
  /** Where the page in an iframe gets sockjs-client from. */
  readonly clientUrl: string
  readonly clock: Clock
  /** Octets of one HTTP body or WebSocket message, and of all bodies that come for one session at a time. */
  readonly longestMessage: number
  /** Whether WebSockets are offered. */
  readonly webSocket?: boolean
  /** Whether answers set a JSESSIONID cookie, by which a load balancer keeps a client on one server. */
  readonly cookie?: boolean
  /** Octets after which a streaming response ends and the client asks anew. */
  readonly responseBytes?: number
}

/** "The session must time out after 5 seconds of not having a receiving connection." */
const DISCONNECT_MS = 5_000
/** "The server must send a heartbeat frame every 25 seconds." */
const HEARTBEAT_MS = 25_000
/** "By default we should close a streaming request every 128KiB." */
const RESPONSE_BYTES = 128 * 1024
const LONGEST_ID = 128

/** Why nobody gets a WebSocket here who asks for it by a plain request. */
const NO_UPGRADE = 'Can "Upgrade" only to "WebSocket".\n'
const NO_CONNECTION = '"Connection" must be "Upgrade".\n'

/** What an address below a session is for. */
interface Route {
  readonly method: 'GET' | 'POST'
  /** Whether pages of other origins ask for it by XMLHttpRequest. */
  readonly cors: boolean
  readonly serve: (exchange: Exchange) => void
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly id: string
  readonly peer: Peer
}

export function sockJsAcceptor(options: SockJsOptions, onConnection: (connection: Connection) => void): SockJsAcceptor {
  const { path, clientUrl, clock, longestMessage, webSocket = true, cookie = false } = options
  const sessionOptions: HttpSessionOptions = {
    clock,
    longestMessage,
    responseBytes: options.responseBytes ?? RESPONSE_BYTES,
    disconnectMs: DISCONNECT_MS,
    heartbeatMs: HEARTBEAT_MS,
  }
  const sweep = new Sweep(clock)
  const ended = new EndedSessions(clock, sweep, DISCONNECT_MS)
  const sessions = new Map<string, HttpSession>()
  const sockets = new Set<SocketSession>()
  const iframe = iframePage(clientUrl)
  const accept = webSocketAccepter(longestMessage)
  const acceptHixie = hixie76Accepter(longestMessage, clock)

  const begin = ({ id, peer, response }: Exchange, wrapping: Wrapping): void => {
    const session = new HttpSession(peer, sessionOptions, (closeFrame) => {
      sessions.delete(id)
      sweep.remove(session)
      ended.add(id, closeFrame)
    })
    sessions.set(id, session)
    sweep.add(session)
    session.fetch(response, wrapping)
    session.open()
    onConnection(session)
  }

  const fetch = (exchange: Exchange, wrapping: Wrapping): void => {
    const session = sessions.get(exchange.id)
    const closeFrame = ended.frame(exchange.id)
    if (session !== undefined) session.fetch(exchange.response, wrapping)
    else if (closeFrame === undefined) begin(exchange, wrapping)
    else new Receiver(exchange.response, wrapping, 0).write(closeFrame, ignore, true)
  }

  /** For transports that name a function of the page (its name is checked here). */
  const fetchByCallback = (exchange: Exchange, wrapping: (callback: string) => Wrapping): void => {
    const { c, callback = c } = exchange.peer.query
    if (callback === undefined) answer(exchange.response, 500, '"callback" parameter required\n')
    else if (!isCallback(callback)) answer(exchange.response, 500, 'invalid "callback" parameter\n')
    else {
      exchange.response.setHeader('X-Content-Type-Options', 'nosniff')
      fetch(exchange, wrapping(callback))
    }
  }

  /** Hands over what a request sends; `thanks` when it was understood. */
  const take = ({ request, response, id }: Exchange, read: (body: string) => Received, thanks: () => void): void => {
    const session = sessions.get(id)
    if (Number(request.headers['content-length'] ?? 0) > longestMessage) {
      refuse(response, 413, `no more than ${longestMessage} octets may be sent at a time\n`)
      return
    }
    if (session === undefined) {
      // Of a session that is over the client is told why when it fetches
      if (ended.frame(id) === undefined) refuse(response, 404, '404 Error: Page not found\n')
      else thanks()
      return
    }
    const go = (): void =>
      receiveBody(request, session.room, (body) => {
        if (body === undefined) {
          refuse(response, 413, `no more than ${longestMessage} octets may be on their way at a time\n`)
          return
        }
        const received = read(body.toString())
        if ('wrong' in received) answer(response, 500, `${received.wrong}\n`)
        else {
          session.receive(received.text)
          thanks()
        }
      })
    if (!session.admit(go)) refuse(response, 503, 'too many messages are waiting\n')
  }

  const routes = new Map<string, Route>([
    ['xhr', { method: 'POST', cors: true, serve: (exchange) => fetch(exchange, xhrPolling) }],
    ['xhr_streaming', { method: 'POST', cors: true, serve: (exchange) => fetch(exchange, xhrStreaming) }],
    [
      'xhr_send',
      {
        method: 'POST',
        cors: true,
        serve: (exchange) => take(exchange, readMessages, () => answer(exchange.response, 204)),
      },
    ],
    [
      'eventsource',
      {
        method: 'GET',
        cors: false,
        serve: (exchange) => {
          readable(exchange.request, exchange.response)
          fetch(exchange, eventSource)
        },
      },
    ],
    ['htmlfile', { method: 'GET', cors: false, serve: (exchange) => fetchByCallback(exchange, htmlFile) }],
    ['jsonp', { method: 'GET', cors: false, serve: (exchange) => fetchByCallback(exchange, jsonpPolling) }],
    [
      'jsonp_send',
      {
        method: 'POST',
        cors: false,
        // "Konqueror does weird things on 204" (JsonPolling.test_transport)
        serve: (exchange) => take(exchange, formReader(exchange.request), () => answer(exchange.response, 200, 'ok')),
      },
    ],
  ])

  const ofSession = (exchange: Exchange, { method, cors, serve }: Route): void => {
    const { request, response } = exchange
    if (cookie) setCookie(request, response)
    if (cors) readable(request, response)
    if (cors && request.method === 'OPTIONS') preflight(response, method)
    else if (request.method !== method) wrongMethod(response, cors ? `OPTIONS, ${method}` : method)
    else {
      notKept(response)
      serve(exchange)
    }
  }

  const beside = (rest: string, request: IncomingMessage, response: ServerResponse): void => {
    if (rest === '/info' && request.method === 'OPTIONS') {
      readable(request, response)
      preflight(response, 'GET')
    } else if (rest !== '' && rest !== '/info' && !IFRAME.test(rest)) notFound(response)
    else if (request.method !== 'GET') wrongMethod(response, rest === '/info' ? 'OPTIONS, GET' : 'GET')
    else if (rest === '') greet(response)
    else if (rest === '/info') {
      readable(request, response)
      notKept(response)
      info(response, { webSocket, cookie })
    } else iframe(request, response)
  }

  return {
    opens(request) {
      const rest = addressBelow(path, request)
      if (rest === '/info') return true
      const [, id = '', transport = ''] = SESSION.exec(rest) ?? []
      return FETCHES.has(transport) && !sessions.has(id) && ended.frame(id) === undefined
    },
    request(request, response, peer) {
      const rest = addressBelow(path, request)
      const [, id = '', transport = ''] = SESSION.exec(rest) ?? []
      const route = routes.get(transport)
      if (transport === 'websocket' || rest === '/websocket') {
        if (!webSocket) notFound(response)
        else notUpgraded(request, response)
      } else if (route !== undefined && id.length <= LONGEST_ID) ofSession({ request, response, id, peer }, route)
      else beside(rest, request, response)
    },
    upgrade(request, socket, head, peer) {
      if (!webSocket || SESSION.exec(addressBelow(path, request))?.[2] !== 'websocket') {
        socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
        return
      }
      const take = isHixie76(request) ? acceptHixie : accept
      take(request, socket, head, (opened) => {
        const session = new SocketSession(opened, peer, sessionOptions, () => {
          sockets.delete(session)
          sweep.remove(session)
        })
        sockets.add(session)
        sweep.add(session)
        session.open()
        onConnection(session)
      })
    },
    counts: () => ({ http: sessions.size, ended: ended.size, sockets: sockets.size }),
  }
}

/** `/<server>/<session>/<transport>`: neither of the first two may be empty or have a dot in it. */
const SESSION = /^\/[^/.]+\/([^/.]+)\/([a-z_]+)$/
/** Those that begin a session when there is none. */
const FETCHES: ReadonlySet<string> = new Set(['xhr', 'xhr_streaming', 'eventsource', 'htmlfile', 'jsonp'])
const IFRAME = /^\/iframe[0-9-.a-z_]*\.html$/

/** The address below the path, without its query and without a slash at its end. */
function addressBelow(path: string, { url = '' }: IncomingMessage): string {
  return (url.slice(path.length).split('?', 1)[0] as string).replace(/\/$/, '')
}

/** How a request of jsonp carries its messages: in the field `d` of a form, or as they are. */
function formReader({ headers }: IncomingMessage): (body: string) => Received {
  if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded')) return readMessages
  return (body) => readMessages(new URLSearchParams(body).get('d') ?? '')
}

function notUpgraded({ method, headers }: IncomingMessage, response: ServerResponse): void {
  if (method !== 'GET') wrongMethod(response, 'GET')
  else answer(response, 400, headers.upgrade?.toLowerCase() === 'websocket' ? NO_CONNECTION : NO_UPGRADE)
}

/** Of a request that is not read to its end the connection cannot be used again. */
function refuse(response: ServerResponse, status: number, why: string): void {
  response.setHeader('Connection', 'close')
  if (status === 503) response.setHeader('Retry-After', '1')
  answer(response, status, why, PLAIN)
}

function ignore(): void {}
