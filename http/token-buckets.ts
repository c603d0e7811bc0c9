/**
 * How often somebody may do something: one token bucket for each key (user, address). Bounded: beyond `atMost` keys the
 * one not seen for the longest time is forgotten, which can only be to its advantage.
 */

import { type Clock, TokenBucket } from '../broker/index.ts'

export interface BucketOptions {
  readonly perSecond: number
  readonly burst: number
  readonly clock: Clock
  readonly atMost?: number
}

export class TokenBuckets {
  readonly #options: Required<BucketOptions>
  /** The least recently used first. */
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(options: BucketOptions) {
    this.#options = { atMost: 50_000, ...options }
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes one token. Returns 0 when there was one, else the whole seconds until there is. */
  take(key: string): number {
    const now = this.#options.clock.now()
    const bucket = this.#used(key, now)
    const wait = bucket.wait(now)
    if (wait === 0) bucket.take(now)
    return Math.ceil(wait / 1000)
  }

  #used(key: string, now: number): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#options, now)
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#options.atMost) this.#buckets.delete(this.#buckets.keys().next().value!)
    return bucket
  }
}
