/**
 * One SockJS session on a WebSocket: the same frames as over HTTP, one per message, and a session that lives as long as
 * the socket. Knows of the socket only that it carries text both ways.
 */

import type { Clock } from '../../clock.ts'
import { type Connection, type ConnectionHandler, NOBODY, type Peer } from '../../connection.ts'
import { type Outgoing, textOf } from '../../frame.ts'
import { closeFrame, HEARTBEAT, messagesFrame, OPEN, readMessages } from './framing.ts'
import type { Swept } from './sweep.ts'

/** A WebSocket of whatever version. */
export interface TextSocket {
  /** `taken`: the network has it. Nothing after the end. */
  send(text: string, taken: () => void): void
  close(code: number, reason: string): void
  terminate(): void
  pause(): void
  resume(): void
  /** False where there is no such thing. */
  ping(): boolean
  /** Set before the first event. */
  listener: TextSocketListener
}

export interface TextSocketListener {
  /** Undefined: a binary message, which SockJS does not know. */
  message(text: string | undefined): void
  pong(): void
  /** Once, whoever ended it. */
  closed(code: number, reason: string): void
}

export class SocketSession implements Connection, Swept, TextSocketListener {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  readonly #socket: TextSocket
  readonly #clock: Clock
  readonly #heartbeatMs: number
  readonly #ended: (session: SocketSession) => void
  /** Frames of STOMP that leave at the end of this turn, and the octets of all that have not left. */
  #waiting: string[] = []
  #octets = 0
  #waitingOctets = 0
  #flushing = false
  #closing = false
  #wrote: number

  constructor(
    socket: TextSocket,
    peer: Peer,
    { clock, heartbeatMs }: { clock: Clock; heartbeatMs: number },
    ended: (session: SocketSession) => void,
  ) {
    this.peer = peer
    this.#socket = socket
    this.#clock = clock
    this.#heartbeatMs = heartbeatMs
    this.#ended = ended
    this.#wrote = clock.now()
    socket.listener = this
  }

  /** Says that the session is open. */
  open(): void {
    this.#write(OPEN, 0)
  }

  // What the broker asks

  get buffered(): number {
    return this.#octets
  }

  send(frame: string | Outgoing): void {
    if (this.#closing) return
    const octets = frame.length
    this.#waiting.push(textOf(frame))
    this.#waitingOctets += octets
    this.#octets += octets
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.#flush()
      // The network tells when it has left
      if (this.#octets > 0) this.handler.stalled()
    })
  }

  close(code: number, reason: string): void {
    if (this.#closing) return
    this.#flush()
    this.#closing = true
    this.#write(closeFrame(code, reason), 0)
    this.#socket.resume()
    this.#socket.close(code, reason)
  }

  terminate(): void {
    this.#socket.terminate()
  }

  pause(): boolean {
    this.#socket.pause()
    return true
  }

  resume(): void {
    this.#socket.resume()
  }

  ping(): boolean {
    return this.#socket.ping()
  }

  // What the socket tells

  message(text: string | undefined): void {
    // "Server must ignore empty messages" (Websocket.test_empty_frame)
    if (this.#closing || text === '') return
    if (text === undefined) {
      this.close(1003, 'SockJS messages are strings')
      return
    }
    const received = readMessages(text, true)
    if ('text' in received) {
      if (received.text !== '') this.handler.data(Buffer.from(received.text))
    } else if (received.wrong === 'Payload expected.') this.close(1003, 'SockJS messages are strings')
    else {
      // "the server must abruptly terminate the ws connection" (Websocket.test_broken_json)
      this.#closing = true
      this.#socket.close(1007, received.wrong)
    }
  }

  pong(): void {
    this.handler.alive()
  }

  closed(code: number, reason: string): void {
    this.#closing = true
    this.#ended(this)
    this.handler.closed(code, reason)
  }

  // What time brings

  look(now: number): void {
    if (now - this.#wrote >= this.#heartbeatMs) this.#write(HEARTBEAT, 0)
  }

  // Writing

  #flush(): void {
    if (this.#waiting.length === 0) return
    const frame = messagesFrame(this.#waiting)
    const octets = this.#waitingOctets
    this.#waiting = []
    this.#waitingOctets = 0
    this.#write(frame, octets)
  }

  #write(frame: string, octets: number): void {
    this.#wrote = this.#clock.now()
    this.#socket.send(frame, () => {
      this.#octets -= octets
      if (octets > 0 && !this.#closing) this.handler.drained()
    })
  }
}
