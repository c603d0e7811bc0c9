/**
 * STOMP over WebSocket (RFC 6455) by the package ws. Knows WebSocket, and of STOMP its subprotocol names only.
 */

import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Connection, ConnectionHandler, Peer } from '../connection.ts'

/** Best first. */
const SUBPROTOCOLS = ['v12.stomp', 'v11.stomp', 'v10.stomp']

export interface WebSocketAcceptor {
  /** Finishes the handshake of a request that may come in, or refuses it with an HTTP status. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, peer: Peer): void
}

/**
 * `longestMessage`: octets of one WebSocket message; a longer one ends the connection with 1009 and without an ERROR,
 * so it should leave the broker's own limit room to speak first.
 */
export function webSocketAcceptor(
  longestMessage: number,
  onConnection: (connection: Connection) => void,
): WebSocketAcceptor {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: longestMessage,
    // The session reads a frame at a time anyway; a turn of the event loop per message would only cost
    allowSynchronousEvents: true,
    skipUTF8Validation: false,
    handleProtocols: (offered) => SUBPROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  })
  return {
    accept(request, socket, head, peer) {
      server.handleUpgrade(request, socket, head, (ws) => onConnection(new WebSocketConnection(ws, socket, peer)))
    },
  }
}

class WebSocketConnection implements Connection {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  readonly #ws: WebSocket

  constructor(ws: WebSocket, socket: Duplex, peer: Peer) {
    this.peer = peer
    this.#ws = ws
    ws.on('message', (data: Buffer) => this.handler.data(data))
    ws.on('pong', () => this.handler.alive())
    // What goes wrong on a socket ends it, and 'close' says so
    ws.on('error', () => undefined)
    ws.on('close', (code, reason) => this.handler.closed(code, reason.toString('utf8')))
    socket.on('drain', () => this.handler.drained())
  }

  get buffered(): number {
    return this.#ws.bufferedAmount
  }

  send(data: Buffer): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return
    // Text where it can be, which every client reads; binary bodies make a binary message
    this.#ws.send(data, { binary: !isUtf8(data), compress: false }, ignore)
  }

  close(code: number, reason: string): void {
    this.#ws.resume()
    this.#ws.close(code, shortReason(reason))
  }

  terminate(): void {
    this.#ws.terminate()
  }

  pause(): boolean {
    this.#ws.pause()
    return true
  }

  resume(): void {
    this.#ws.resume()
  }

  ping(): boolean {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.ping('', false, ignore)
    return true
  }
}

const NOBODY: ConnectionHandler = { data() {}, alive() {}, drained() {}, closed() {} }

/** A write that fails ends the socket, which tells of it by itself. */
function ignore(): void {}

/** A control frame carries at most 125 octets, of which the code takes two (RFC 6455 section 5.5). */
function shortReason(reason: string): string {
  let short = reason
  while (Buffer.byteLength(short) > 123) short = short.slice(0, -1)
  return short
}
