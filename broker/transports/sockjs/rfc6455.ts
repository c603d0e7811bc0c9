/** The WebSockets of today (RFC 6455) by the package ws, as text sockets. */

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { shortReason } from '../ws.ts'
import type { TextSocket, TextSocketListener } from './socket.ts'

export type AcceptWebSocket = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  accepted: (socket: TextSocket) => void,
) => void

/** `longestMessage`: octets of one message; a longer one ends the connection with 1009. */
export function webSocketAccepter(longestMessage: number): AcceptWebSocket {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: longestMessage,
    skipUTF8Validation: false,
    // SockJS negotiates no subprotocol
    handleProtocols: () => false,
  })
  return (request, socket, head, accepted) =>
    server.handleUpgrade(request, socket, head, (ws) => accepted(new Rfc6455Socket(ws)))
}

class Rfc6455Socket implements TextSocket {
  listener: TextSocketListener = NOBODY
  readonly #ws: WebSocket

  constructor(ws: WebSocket) {
    this.#ws = ws
    ws.on('message', (data: Buffer, binary) => this.listener.message(binary ? undefined : data.toString()))
    ws.on('pong', () => this.listener.pong())
    // What goes wrong on a socket ends it, and 'close' says so
    ws.on('error', ignore)
    ws.on('close', (code, reason) => this.listener.closed(code, reason.toString()))
  }

  send(text: string, taken: () => void): void {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.send(text, taken)
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, shortReason(reason))
  }

  terminate(): void {
    this.#ws.terminate()
  }

  pause(): void {
    this.#ws.pause()
  }

  resume(): void {
    this.#ws.resume()
  }

  ping(): boolean {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.ping('', false, ignore)
    return true
  }
}

const NOBODY: TextSocketListener = { message() {}, pong() {}, closed() {} }

function ignore(): void {}
