/**
 * The clock that all processes share: that of Redis. It is asked now and then; in between this process counts by itself,
 * by a clock that nobody sets. Deadlines that one process has set are then due for every other at the same time, however
 * wrong the clocks of their machines are.
 */

import type { Cancel, Clock } from '../../ports.ts'
import type { RedisLink } from './link.ts'

export interface ClockLog {
  warn(facts: object, message: string): void
}

export interface ClusterClockOptions {
  readonly link: Pick<RedisLink, 'time' | 'watch'>
  /** The machine's own: timers go by it, and `now` before Redis was first asked. */
  readonly clock: Clock
  readonly log: ClockLog
  /** Milliseconds of a clock that only goes forward; performance.now() unless a test has another. */
  readonly monotonic?: () => number
}

/** How often Redis is asked, and how many times in a row: the quickest answer knows best. */
const ASK_EVERY_MS = 10_000
const SAMPLES = 5

/** A difference up to this is made up for little by little, a larger one at once. */
const STEP_MS = 10_000

/** By how much the clock may go faster or slower meanwhile. */
const SLEW = 0.1

/** How many times in a row Redis must say so before the clock is set. */
const SURE = 3

export class ClusterClock implements Clock {
  readonly #options: ClusterClockOptions
  readonly #monotonic: () => number
  /** What `now` is ahead of the monotonic clock, at {@link #since}; and what it shall be. */
  #offset: number
  #target: number
  /** The same as Redis last said. */
  #heard: number
  #since: number
  #measured = false
  #far = 0
  #latest = Number.NEGATIVE_INFINITY
  #timer: Cancel | undefined
  #unwatch: Cancel | undefined
  #stopped = false

  constructor(options: ClusterClockOptions) {
    this.#options = options
    this.#monotonic = options.monotonic ?? (() => performance.now())
    this.#since = this.#monotonic()
    this.#offset = options.clock.now() - this.#since
    this.#target = this.#offset
    this.#heard = this.#offset
  }

  /** Fulfilled when Redis was asked for the first time, or could not be: it goes on trying then. */
  async start(): Promise<void> {
    this.#unwatch = this.#options.link.watch({ up: () => void this.measure() })
    await this.measure()
    this.#askAgain()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.()
    this.#unwatch?.()
  }

  now(): number {
    const monotonic = this.#monotonic()
    this.#latest = Math.max(this.#latest, Math.floor(monotonic + this.#offsetAt(monotonic)))
    return this.#latest
  }

  after(ms: number, run: () => void): Cancel {
    return this.#options.clock.after(ms, run)
  }

  /** The time by Redis as it was last heard, without the patience of {@link now}. */
  redisNow(): number {
    return this.#monotonic() + this.#heard
  }

  /** How far this machine's own clock is behind, in milliseconds; for operators. */
  get skew(): number {
    return this.now() - this.#options.clock.now()
  }

  #offsetAt(monotonic: number): number {
    const most = (monotonic - this.#since) * SLEW
    const missing = this.#target - this.#offset
    return this.#offset + Math.min(Math.max(missing, -most), most)
  }

  #askAgain(): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.after(ASK_EVERY_MS, () => {
      void this.measure().finally(() => this.#askAgain())
    })
  }

  /**
   * Asks Redis now. Never rejected. Halfway between question and answer is when Redis looked at its clock, give or take
   * half the way.
   */
  async measure(): Promise<void> {
    let best: { readonly way: number; readonly offset: number } | undefined
    try {
      for (let sample = 0; sample < SAMPLES; sample++) {
        const asked = this.#monotonic()
        const time = await this.#options.link.time()
        const answered = this.#monotonic()
        const way = answered - asked
        if (best === undefined || way < best.way) best = { way, offset: time - (asked + answered) / 2 }
      }
    } catch {
      // The link says itself that Redis is away
    }
    if (best === undefined) return
    this.#heard = best.offset
    this.#adopt(best.offset)
  }

  #adopt(offset: number): void {
    const monotonic = this.#monotonic()
    this.#offset = this.#offsetAt(monotonic)
    this.#since = monotonic
    const difference = offset - this.#offset
    if (!this.#measured) {
      this.#measured = true
      if (Math.abs(difference) > STEP_MS) {
        this.#options.log.warn({ ms: Math.round(difference) }, 'the clock of this machine differs from that of Redis')
      }
      this.#set(offset)
    } else if (Math.abs(difference) <= STEP_MS) {
      this.#far = 0
      this.#target = offset
    } else if (++this.#far >= SURE) {
      this.#options.log.warn({ ms: Math.round(difference) }, 'the clock of Redis was set: this server follows')
      this.#set(offset)
    }
  }

  #set(offset: number): void {
    this.#far = 0
    this.#offset = offset
    this.#target = offset
    this.#latest = Number.NEGATIVE_INFINITY
  }
}
