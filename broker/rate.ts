/** Token buckets: so many at once, so many per second. Time is an argument. Knows nothing of what is counted. */

import type { Cancel, Clock } from './clock.ts'
import type { Rate } from './types.ts'

export class TokenBucket {
  readonly #rate: Rate
  #tokens: number
  #at: number

  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#at = now
  }

  /** Milliseconds until there is a token; 0 when there is one now. */
  wait(now: number): number {
    this.#fill(now)
    return this.#tokens >= 1 ? 0 : Math.ceil(((1 - this.#tokens) * 1000) / this.#rate.perSecond)
  }

  /** Takes a token; ask {@link wait} first. */
  take(now: number): void {
    this.#fill(now)
    this.#tokens -= 1
  }

  /** Takes a token that may not be there; how many are owed then (0 or less: none). At most `most` are owed. */
  owe(now: number, most: number): number {
    this.#fill(now)
    this.#tokens = Math.max(this.#tokens - 1, -most)
    return -this.#tokens
  }

  full(now: number): boolean {
    this.#fill(now)
    return this.#tokens >= this.#rate.burst
  }

  #fill(now: number): void {
    if (now === this.#at) return
    const elapsed = Math.max(0, now - this.#at)
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (elapsed * this.#rate.perSecond) / 1000)
    this.#at = now
  }
}

const SWEEP_MS = 30_000

interface Shared {
  readonly bucket: TokenBucket
  holders: number
}

/**
 * A bucket per key, for all who hold it. When the last one lets go it stays until it is full, which is as good as none:
 * nobody gets fresh tokens by leaving and coming back.
 */
export class TokenBuckets {
  readonly #rate: Rate
  readonly #clock: Clock
  readonly #buckets = new Map<string, Shared>()
  #sweep: Cancel | undefined

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate
    this.#clock = clock
  }

  get size(): number {
    return this.#buckets.size
  }

  /** The key's bucket, to be used until it is let go. */
  hold(key: string): TokenBucket {
    let shared = this.#buckets.get(key)
    if (shared === undefined) {
      shared = { bucket: new TokenBucket(this.#rate, this.#clock.now()), holders: 0 }
      this.#buckets.set(key, shared)
    }
    shared.holders++
    return shared.bucket
  }

  /** One who held it needs it no more. */
  letGo(key: string): void {
    const shared = this.#buckets.get(key)
    if (shared === undefined || --shared.holders > 0) return
    if (shared.bucket.full(this.#clock.now())) this.#buckets.delete(key)
    else this.#sweep ??= this.#clock.after(SWEEP_MS, () => this.#dropFull())
  }

  #dropFull(): void {
    const now = this.#clock.now()
    let left = false
    for (const [key, { bucket, holders }] of this.#buckets) {
      if (holders > 0) continue
      if (bucket.full(now)) this.#buckets.delete(key)
      else left = true
    }
    this.#sweep = left ? this.#clock.after(SWEEP_MS, () => this.#dropFull()) : undefined
  }
}
