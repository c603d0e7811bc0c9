/**
 * How often somebody may do something: one token bucket for each key (user, address). Bounded: beyond `atMost` keys the
 * one not seen for the longest time is forgotten, which can only be to its advantage.
 */

import type { Clock } from '../src/ports.ts'

interface Bucket {
  tokens: number
  at: number
}

export interface BucketOptions {
  readonly perSecond: number
  readonly burst: number
  readonly clock: Clock
  readonly atMost?: number
}

export class TokenBuckets {
  readonly #options: Required<BucketOptions>
  /** The least recently used first. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(options: BucketOptions) {
    this.#options = { atMost: 50_000, ...options }
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes one token. Returns 0 when there was one, else the whole seconds until there is. */
  take(key: string): number {
    const bucket = this.#filled(key)
    const wait = this.#secondsUntilOne(bucket)
    if (wait === 0) bucket.tokens -= 1
    return wait
  }

  /** The same without taking. */
  wait(key: string): number {
    return this.#buckets.has(key) ? this.#secondsUntilOne(this.#filled(key)) : 0
  }

  #filled(key: string): Bucket {
    const { perSecond, burst, clock, atMost } = this.#options
    const now = clock.now()
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now }
    // a clock that is set back must not empty a bucket
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) * perSecond) / 1000)
    bucket.at = now
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > atMost) this.#buckets.delete(this.#buckets.keys().next().value!)
    return bucket
  }

  #secondsUntilOne({ tokens }: Bucket): number {
    return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / this.#options.perSecond)
  }
}
