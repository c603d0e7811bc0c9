/**
 * An endpoint that fails again and again is left alone for a while, and then tried with one request: what waits for it
 * keeps its order and its attempts, and neither side works in vain. (A circuit breaker.)
 */

import { type Backoff, pauseMs } from './backoff.ts'

/** Failures in a row, over all events, after which the endpoint counts as down. */
const MOST_FAILURES = 5

const PAUSE: Backoff = { firstMs: 1_000, longestMs: 30_000 }

export class Circuit {
  readonly #random: () => number
  #failures = 0
  #closedUntil = 0

  constructor(random: () => number) {
    this.#random = random
  }

  /** Whether the endpoint counts as down. */
  get isDown(): boolean {
    return this.#failures >= MOST_FAILURES
  }

  /** How many of `concurrency` requests may be under way now. */
  allows(concurrency: number, now: number): number {
    if (!this.isDown) return concurrency
    return now >= this.#closedUntil ? 1 : 0
  }

  /** Milliseconds until {@link allows} allows one again. */
  opensIn(now: number): number {
    return Math.max(0, this.#closedUntil - now)
  }

  /** True when the endpoint was down until now. */
  succeeded(): boolean {
    const wasDown = this.isDown
    this.#failures = 0
    return wasDown
  }

  /** True when it counts as down from now on. */
  failed(now: number): boolean {
    // Requests that were under way when it went down say nothing new
    if (this.isDown && now < this.#closedUntil) return false
    this.#failures++
    if (!this.isDown) return false
    this.#closedUntil = now + pauseMs(PAUSE, this.#failures - MOST_FAILURES + 1, this.#random())
    return this.#failures === MOST_FAILURES
  }
}
