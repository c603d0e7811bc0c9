/**
 * STOMP over WebSocket (RFC 6455) by the package ws. Knows WebSocket, and of STOMP its subprotocol names only.
 *
 * Reading, control frames and closing are ws's. Data frames are written here: server frames are not masked, so a frame
 * is a head of two to ten octets and the message, and all that one turn of the event loop has for a peer leaves in one
 * write. (By `ws.send` each message is two buffers and a system call of its own.)
 */

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Connection, type ConnectionHandler, NOBODY, type Peer } from '../connection.ts'
import type { Tail } from '../frame.ts'

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
    // Also because data frames are written past ws, which would have to compress them in order
    perMessageDeflate: false,
    maxPayload: longestMessage,
    // The session reads a frame at a time anyway; a turn of the event loop per message would only cost
    allowSynchronousEvents: true,
    skipUTF8Validation: false,
    // Answered here: ws ends a connection that sends 60 pings in one turn, without a word
    autoPong: false,
    handleProtocols: (offered) => SUBPROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  })
  return {
    accept(request, socket, head, peer) {
      server.handleUpgrade(request, socket, head, (ws) => onConnection(new WebSocketConnection(ws, socket, peer)))
    },
  }
}

/** What one turn has for a peer is gathered up to this many octets; more leaves at once. */
const GATHERED_OCTETS = 32 * 1024

class WebSocketConnection implements Connection {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  readonly #ws: WebSocket
  readonly #socket: Duplex
  /** Frames of this turn, and their octets: mostly it is one. */
  #first: Buffer | undefined
  #others: Buffer[] | undefined
  #octets = 0
  /** The last ping that is not answered yet. */
  #pinged: Buffer | undefined

  constructor(ws: WebSocket, socket: Duplex, peer: Peer) {
    this.peer = peer
    this.#ws = ws
    this.#socket = socket
    ws.on('message', (data: Buffer) => {
      turning = true
      this.handler.data(data)
    })
    ws.on('ping', (data: Buffer) => this.#answerLater(data))
    // After ws, which has said all messages of these octets by then
    socket.on('data', endTurn)
    ws.on('pong', () => this.handler.alive())
    // What goes wrong on a socket ends it, and 'close' says so
    ws.on('error', () => undefined)
    ws.on('close', (code, reason) => this.handler.closed(code, reason.toString('utf8')))
    socket.on('drain', () => {
      this.flush()
      this.handler.drained()
    })
  }

  get buffered(): number {
    return this.#octets + this.#socket.writableLength
  }

  send(head: string | Buffer, tail?: Tail): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return
    if (this.#first === undefined) leaveLater(this)
    this.#gather(dataFrame(head, tail))
    if (this.#octets >= GATHERED_OCTETS) this.flush()
  }

  #gather(frame: Buffer): void {
    if (this.#first === undefined) this.#first = frame
    else if (this.#others === undefined) this.#others = [this.#first, frame]
    else this.#others.push(frame)
    this.#octets += frame.length
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#pinged !== undefined) this.#answerPing()
    if (this.#first === undefined) return
    const frames = this.#others === undefined ? this.#first : Buffer.concat(this.#others, this.#octets)
    this.#first = this.#others = undefined
    this.#octets = 0
    // After the end there is nobody to write to; and behind a close frame, ours or the answer to theirs, "an endpoint
    // MUST NOT send any more data frames" (RFC 6455 section 5.5.1)
    if (!this.#socket.writable || this.#ws.readyState !== this.#ws.OPEN) return
    this.#socket.write(frames)
    if (this.#socket.writableLength > 0) this.handler.stalled()
  }

  #answerLater(data: Buffer): void {
    if (this.#pinged === undefined) leaveLater(this)
    // A copy lets go of the chunk that it came in
    this.#pinged = Buffer.from(data)
  }

  /**
   * Of pings that wait for an answer the last one gets it, as RFC 6455 section 5.5.3 allows, and only when the peer has
   * taken what came before: so nobody can fill our memory with pongs that he does not read.
   */
  #answerPing(): void {
    if (this.#pinged === undefined || this.#socket.writableNeedDrain) return
    this.#gather(Buffer.concat([Buffer.of(PONG, this.#pinged.length), this.#pinged]))
    this.#pinged = undefined
  }

  close(code: number, reason: string): void {
    this.flush()
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

/** Connections that have gathered something in this turn. */
let leaving: WebSocketConnection[] = []
/** A turn is what follows from the octets that one socket has at a time, or from a timer or promise. This is one of the former. */
let turning = false

function leaveLater(connection: WebSocketConnection): void {
  if (leaving.push(connection) === 1 && !turning) process.nextTick(flushAll)
}

function endTurn(): void {
  turning = false
  flushAll()
}

function flushAll(): void {
  if (leaving.length === 0) return
  const connections = leaving
  leaving = []
  for (const connection of connections) connection.flush()
}

const FIN_TEXT = 0x81
const FIN_BINARY = 0x82
const PONG = 0x8a

/** One unmasked data frame (RFC 6455 section 5.2): text where it can be, which every client reads, else binary. */
function dataFrame(head: string | Buffer, tail: Tail | undefined): Buffer {
  const headLength = typeof head === 'string' ? Buffer.byteLength(head) : head.length
  const length = headLength + (tail === undefined ? 0 : tail.octets.length)
  const at = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(at + length)
  frame[0] = tail === undefined || tail.isText ? FIN_TEXT : FIN_BINARY
  if (at === 2) frame[1] = length
  else if (at === 4) {
    frame[1] = 126
    frame[2] = length >> 8
    frame[3] = length & 0xff
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  if (typeof head === 'string') frame.write(head, at)
  else frame.set(head, at)
  if (tail !== undefined) frame.set(tail.octets, at + headLength)
  return frame
}

/** A write that fails ends the socket, which tells of it by itself. */
function ignore(): void {}

/** A control frame carries at most 125 octets, of which the code takes two (RFC 6455 section 5.5). */
export function shortReason(reason: string): string {
  let short = reason
  while (Buffer.byteLength(short) > 123) short = short.slice(0, -1)
  return short
}
