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
import { HEADROOM, type Outgoing } from '../frame.ts'
import { type MessageListener, PlainMessages } from './plain-messages.ts'
import { readShared } from './socket-reads.ts'
import { memoryFor, writeFrom } from './socket-writes.ts'

const NOTHING = Buffer.alloc(0)

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
      server.handleUpgrade(request, socket, NOTHING, (ws) => {
        const connection = new WebSocketConnection(ws, socket, peer)
        onConnection(connection)
        if (head.length > 0) connection.received(head, head.length)
      })
    },
  }
}

/** What one turn has for a peer is gathered up to this many octets; more leaves at once. */
const GATHERED_OCTETS = 32 * 1024

type Reads = (this: Duplex, octets: Buffer) => void

class WebSocketConnection implements Connection, MessageListener {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  readonly #ws: WebSocket
  readonly #socket: Duplex
  readonly #plain = new PlainMessages(this)
  /** What ws reads with. */
  readonly #wsReads: Reads
  /** What this turn has for the peer, and its octets as they will be: mostly it is one frame. */
  #first: string | Outgoing | undefined
  #others: (string | Outgoing)[] | undefined
  #octets = 0
  /** The last ping that is not answered yet. */
  #pinged: Buffer | undefined
  /** It is among those that leave at the end of the turn, and this one behind it: an array of them would be garbage. */
  leaves = false
  behind: WebSocketConnection | undefined

  constructor(ws: WebSocket, socket: Duplex, peer: Peer) {
    this.peer = peer
    this.#ws = ws
    this.#socket = socket
    this.#wsReads = socket.listeners('data').at(-1) as Reads
    socket.off('data', this.#wsReads)
    readShared(socket, (octets, end) => this.received(octets, end))
    ws.on('message', (data: Buffer) => this.handler.data(data))
    ws.on('ping', (data: Buffer) => this.#answerLater(data))
    ws.on('pong', () => this.handler.alive())
    // What goes wrong on a socket ends it, and 'close' says so
    ws.on('error', () => this.#plain.stop())
    ws.on('close', (code, reason) => this.handler.closed(code, reason.toString('utf8')))
    socket.on('drain', () => {
      this.flush()
      this.handler.drained()
    })
  }

  /** Octets 0 to `end` were read. */
  received(octets: Buffer, end: number): void {
    turning = true
    this.#plain.receive(octets, end)
    endTurn()
  }

  message(octets: Buffer): void {
    this.handler.data(octets)
  }

  other(octets: Buffer): void {
    this.#wsReads.call(this.#socket, octets)
  }

  get buffered(): number {
    return this.#octets + this.#socket.writableLength
  }

  send(frame: string | Outgoing): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return
    if (this.#first === undefined) {
      this.#first = frame
      leaveLater(this)
    } else if (this.#others === undefined) this.#others = [frame]
    else this.#others.push(frame)
    const length = lengthOf(frame)
    this.#octets += headLengthOf(length) + length
    if (this.#octets >= GATHERED_OCTETS) this.flush()
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#pinged !== undefined) this.#answerPing()
    const first = this.#first
    if (first === undefined) return
    const others = this.#others
    const octets = this.#octets
    this.#first = this.#others = undefined
    this.#octets = 0
    // After the end there is nobody to write to; and behind a close frame, ours or the answer to theirs, "an endpoint
    // MUST NOT send any more data frames" (RFC 6455 section 5.5.1)
    if (!this.#socket.writable || this.#ws.readyState !== this.#ws.OPEN) return
    if (others !== undefined || typeof first === 'string' || !this.#leavesWhereItIs(first)) {
      const into = memoryFor(this.#socket, octets)
      let at = writeDataFrame(into, 0, first)
      if (others !== undefined) for (const frame of others) at = writeDataFrame(into, at, frame)
      writeFrom(this.#socket, into)
    }
    if (this.#socket.writableLength > 0) this.handler.stalled()
  }

  /** Writes a frame from the memory that it stands in already. False when it does not, or would have to wait there. */
  #leavesWhereItIs({ memory, memoryAt = 0, length, isText }: Outgoing): boolean {
    const head = headLengthOf(length)
    if (memory === undefined || head > HEADROOM || this.#socket.writableLength > 0) return false
    const { octets } = memory
    const from = memoryAt - head
    writeHead(octets, from, length, isText)
    this.#socket.write(octets.subarray(from, memoryAt + length))
    if (this.#socket.writableLength > 0) memory.hold()
    return true
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
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.pong(this.#pinged, false, ignore)
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

/** Connections that have gathered something in this turn: the first and the last of them. */
let first: WebSocketConnection | undefined
let last: WebSocketConnection | undefined
/** A turn is what follows from the octets that one socket has at a time, or from a timer or promise. This is one of the former. */
let turning = false

function leaveLater(connection: WebSocketConnection): void {
  if (connection.leaves) return
  connection.leaves = true
  if (last !== undefined) last.behind = connection
  else {
    first = connection
    if (!turning) process.nextTick(flushAll)
  }
  last = connection
}

function endTurn(): void {
  turning = false
  flushAll()
}

function flushAll(): void {
  let connection = first
  first = last = undefined
  while (connection !== undefined) {
    const { behind }: WebSocketConnection = connection
    connection.behind = undefined
    connection.leaves = false
    connection.flush()
    connection = behind
  }
}

const FIN_TEXT = 0x81
const FIN_BINARY = 0x82

function lengthOf(frame: string | Outgoing): number {
  return typeof frame === 'string' ? Buffer.byteLength(frame) : frame.length
}

/** Octets of an unmasked frame's head (RFC 6455 section 5.2). */
function headLengthOf(length: number): number {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10
}

/** One unmasked data frame. Says where it ends. */
function writeDataFrame(octets: Buffer, from: number, frame: string | Outgoing): number {
  const length = lengthOf(frame)
  const at = from + headLengthOf(length)
  writeHead(octets, from, length, typeof frame === 'string' || frame.isText)
  if (typeof frame === 'string') octets.write(frame, at)
  else frame.writeTo(octets, at)
  return at + length
}

/** Text where it can be, which every client reads, else binary. */
function writeHead(octets: Buffer, from: number, length: number, isText: boolean): void {
  octets[from] = isText ? FIN_TEXT : FIN_BINARY
  if (length < 126) octets[from + 1] = length
  else if (length < 65_536) {
    octets[from + 1] = 126
    octets[from + 2] = length >> 8
    octets[from + 3] = length & 0xff
  } else {
    octets[from + 1] = 127
    octets.writeBigUInt64BE(BigInt(length), from + 2)
  }
}

/** A write that fails ends the socket, which tells of it by itself. */
function ignore(): void {}

/** A control frame carries at most 125 octets, of which the code takes two (RFC 6455 section 5.5). */
export function shortReason(reason: string): string {
  let short = reason
  while (Buffer.byteLength(short) > 123) short = short.slice(0, -1)
  return short
}
