/**
 * Heart-beats (STOMP 1.2, "Heart-beating") of all sessions by one timer: it wakes once a tick, beats where a direction
 * has been idle, and tells the sessions whose peer is silent. Ten thousand idle sessions cost one walk per tick.
 *
 * A peer that promised no heart-beats is asked by the transport's own means (WebSocket ping) for a sign of life.
 */

import type { Cancel, Clock } from './clock.ts'

/** What one side can do and would like, in milliseconds; 0: not. */
export interface HeartbeatOffer {
  readonly sends: number
  readonly wants: number
}

/** Longer intervals are as good as none: nobody would wait for them. */
const LONGEST_INTERVAL_MS = 3_600_000

/** The `heart-beat` header of CONNECT; absent means 0,0. Undefined when it is not two whole numbers. */
export function readOffer(header: string | undefined): HeartbeatOffer | undefined {
  if (header === undefined) return { sends: 0, wants: 0 }
  const match = /^ *(\d+) *, *(\d+) *$/.exec(header)
  return match ? { sends: Number(match[1]), wants: Number(match[2]) } : undefined
}

/** "MAX(cx, sy)" and "MAX(sx, cy)": how often the server must beat, and the peer. 0: never. */
export function negotiate(server: HeartbeatOffer, client: HeartbeatOffer): { sends: number; expects: number } {
  const sends = server.sends > 0 && client.wants > 0 ? Math.max(server.sends, client.wants) : 0
  const expects = client.sends > 0 && server.wants > 0 ? Math.max(client.sends, server.wants) : 0
  // Beating more often than asked is allowed; a peer that promises next to nothing has promised nothing
  return { sends: Math.min(sends, LONGEST_INTERVAL_MS), expects: expects > LONGEST_INTERVAL_MS ? 0 : expects }
}

const PING_MS = 30_000

/** A session, as far as its pulse goes. */
export interface Beating {
  /** Writes one EOL. */
  beat(): void
  /** Asks for a sign of life below STOMP; false where there is no such thing. */
  ping(): boolean
  /** The peer has given no sign of life for so long. */
  silent(ms: number): void
  /** Whether octets of the peer could be heard now: not while reading is paused. */
  listening(): boolean
}

/**
 * One session's place on the wheel. What is read and written only leaves a mark; the wheel, when it comes by, makes a
 * time of it: the earliest that it can have been for what was written, the latest for what was read.
 */
export class Pulse {
  readonly #session: Beating
  readonly #sends: number
  readonly #expects: number
  #wrote = false
  #read = false
  #looked: number
  #sent: number
  #heard: number
  #pinged: number

  constructor(session: Beating, intervals: { sends: number; expects: number }, now: number) {
    this.#session = session
    this.#sends = intervals.sends
    this.#expects = intervals.expects
    this.#looked = this.#sent = this.#heard = this.#pinged = now
  }

  sent(): void {
    this.#wrote = true
  }

  /** Octets, or the answer to a ping. */
  heard(): void {
    this.#read = true
  }

  /** `tick` milliseconds will pass until the next look. */
  look(now: number, tick: number): void {
    if (this.#wrote) this.#sent = this.#looked
    if (this.#read || !this.#session.listening()) this.#heard = now
    this.#wrote = this.#read = false
    this.#looked = now
    // Beats when the next look would be too late: "the sender MUST send new data ... at least every <n> ms"
    if (this.#sends > 0 && now + tick - this.#sent >= this.#sends) this.#session.beat()
    const silence = now - this.#heard
    if (this.#expects > 0) {
      // "the receiver SHOULD take into account an error margin": as much again, less what the looks may be late
      if (silence > Math.max(2 * this.#expects - 2 * tick, 1.5 * this.#expects)) this.#session.silent(silence)
    } else if (silence >= PING_MS) this.#ping(now, silence)
  }

  #ping(now: number, silence: number): void {
    if (silence >= 2 * PING_MS && this.#pinged > this.#heard) this.#session.silent(silence)
    else if (now - this.#pinged >= PING_MS && this.#session.ping()) this.#pinged = now
  }
}

const FINEST_TICK_MS = 10
const COARSEST_TICK_MS = 1000

/** The wheel: walks over all pulses once a tick, and stands still while there are none. */
export class Heartbeats {
  readonly #clock: Clock
  readonly #tick: number
  readonly #pulses = new Set<Pulse>()
  #timer: Cancel | undefined

  /** The server's own offer bounds every negotiated interval from below, so it also settles how fine the tick must be. */
  constructor(clock: Clock, server: HeartbeatOffer) {
    const shortest = Math.min(server.sends || Infinity, server.wants || Infinity)
    this.#clock = clock
    this.#tick = Math.max(FINEST_TICK_MS, Math.min(COARSEST_TICK_MS, Math.floor(shortest / 4)))
  }

  add(pulse: Pulse): void {
    this.#pulses.add(pulse)
    this.#timer ??= this.#clock.after(this.#tick, () => this.#turn())
  }

  remove(pulse: Pulse): void {
    this.#pulses.delete(pulse)
    if (this.#pulses.size > 0) return
    this.#timer?.()
    this.#timer = undefined
  }

  #turn(): void {
    this.#timer = this.#clock.after(this.#tick, () => this.#turn())
    const now = this.#clock.now()
    for (const pulse of this.#pulses) pulse.look(now, this.#tick)
  }
}
