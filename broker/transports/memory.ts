/**
 * Two ends in one process: a broker's connection, and the peer that speaks to it. For tests and for clients that live
 * beside the broker. Octets arrive in later microtasks, in order, as over any network.
 */

import { type Connection, type ConnectionHandler, NOBODY, type Peer } from '../connection.ts'
import type { Outgoing } from '../frame.ts'

/** The client's end. */
export interface MemoryPeer {
  send(data: Buffer | string): void
  close(code?: number, reason?: string): void
  /** Stops taking what the broker writes; it waits there, and counts. */
  stall(): void
  /** Takes what waits, and goes on. */
  flow(): void
  /** Answers a ping. */
  pong(): void
  /** Each write of the broker. */
  onData: (data: Buffer) => void
  onClose: (code: number, reason: string) => void
  onPing: () => void
}

/** Both ends. Give `connection` to {@link Broker.accept}. */
export function memoryPair(about: Partial<Pick<Peer, 'address' | 'query'>> = {}): {
  connection: Connection
  peer: MemoryPeer
} {
  const end = new MemoryConnection({ transport: 'memory', address: 'memory', query: {}, ...about })
  return { connection: end, peer: end.peer }
}

/** No octet of UTF-8. */
const GONE = 0xff

class MemoryConnection implements Connection {
  readonly peer: Peer & MemoryPeer
  handler: ConnectionHandler = NOBODY
  /** Written, not taken. */
  #out: Buffer[] = []
  /** Sent by the peer, while reading is paused. */
  #in: Buffer[] = []
  #stalled = false
  #paused = false
  #open = true
  /** Closed by the broker, while what was written is not taken yet. */
  #closing: { readonly code: number; readonly reason: string } | undefined

  constructor(peer: Peer) {
    this.peer = {
      ...peer,
      send: (data) => this.#receive(typeof data === 'string' ? Buffer.from(data) : data),
      close: (code = 1000, reason = '') => this.#end(code, reason),
      stall: () => {
        this.#stalled = true
      },
      flow: () => {
        this.#stalled = false
        this.#flush()
        this.handler.drained()
        this.#endIfTaken()
      },
      pong: () => queueMicrotask(() => this.#open && this.handler.alive()),
      onData: () => {},
      onClose: () => {},
      onPing: () => {},
    }
  }

  get buffered(): number {
    return this.#out.reduce((octets, data) => octets + data.length, 0)
  }

  send(frame: string | Outgoing): void {
    if (!this.#open) return
    this.#out.push(octetsOf(frame))
    if (this.#stalled) this.handler.stalled()
    else queueMicrotask(() => this.#flush())
  }

  close(code: number, reason: string): void {
    queueMicrotask(() => {
      this.#closing = { code, reason }
      this.#flush()
      this.#endIfTaken()
    })
  }

  terminate(): void {
    queueMicrotask(() => this.#end(1006, ''))
  }

  pause(): boolean {
    this.#paused = true
    return true
  }

  resume(): void {
    this.#paused = false
    for (const octets of this.#in.splice(0)) this.#receive(octets)
  }

  ping(): boolean {
    queueMicrotask(() => this.#open && this.peer.onPing())
    return true
  }

  #receive(octets: Buffer): void {
    if (!this.#open) return
    queueMicrotask(() => {
      if (this.#paused) this.#in.push(octets)
      else this.#hand(octets)
    })
  }

  /** In memory that is something else afterwards, as that of sockets is: whoever holds on to it is found out. */
  #hand(octets: Buffer): void {
    const passing = Buffer.from(octets)
    this.handler.data(passing)
    passing.fill(GONE)
  }

  #flush(): void {
    if (this.#stalled) return
    for (const data of this.#out.splice(0)) this.peer.onData(data)
  }

  #endIfTaken(): void {
    if (this.#closing && !this.#stalled) this.#end(this.#closing.code, this.#closing.reason)
  }

  #end(code: number, reason: string): void {
    if (!this.#open) return
    this.#open = false
    queueMicrotask(() => {
      this.handler.closed(code, reason)
      this.peer.onClose(code, reason)
    })
  }
}

function octetsOf(frame: string | Outgoing): Buffer {
  if (typeof frame === 'string') return Buffer.from(frame)
  const octets = Buffer.allocUnsafe(frame.length)
  frame.writeTo(octets, 0)
  return octets
}
