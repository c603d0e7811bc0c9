/**
 * Refused logins, counted per address: so many are answered at once, then each answer waits longer than the one before,
 * and nobody who guesses is faster by using more connections. A good login is never held up. Knows nothing of tokens,
 * nor which face a login comes over: all faces share one guard.
 */

import { networkOf } from './address.ts'
import type { Cancel, Clock } from './clock.ts'
import { tooMany } from './errors.ts'
import { TokenBucket } from './rate.ts'
import type { LoginGuard, Rate, Refused } from './types.ts'

export interface LoginGuardOptions {
  readonly clock: Clock
  /** How many refused logins of one address are answered at once, and how fast that number grows again. */
  readonly rate: Rate
  /** Told of each login whose answer waits, or that is turned away. */
  readonly limited: () => void
  /** Addresses remembered; beyond it the one not seen for the longest time is forgotten, to its own advantage. */
  readonly atMost?: number
}

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 5_000
/** Answers of one address that wait at a time. Each keeps a connection open. */
const MOST_WAITING = 20
/** How far below zero a bucket goes: a little beyond where the delay stops growing, so that it soon shrinks again. */
const MOST_DEBT = 10
const MOST_ADDRESSES = 100_000
const SWEEP_MS = 30_000

interface Account {
  readonly bucket: TokenBucket
  /** Answers that wait. */
  waiting: number
}

export function createLoginGuard(options: LoginGuardOptions): LoginGuard {
  return new FailedLogins(options)
}

class FailedLogins implements LoginGuard {
  readonly #options: Required<LoginGuardOptions>
  /** By network; the least recently used first. */
  readonly #accounts = new Map<string, Account>()
  #sweep: Cancel | undefined

  constructor(options: LoginGuardOptions) {
    this.#options = { atMost: MOST_ADDRESSES, ...options }
  }

  get addresses(): number {
    return this.#accounts.size
  }

  turnedAway(address: string): Refused | undefined {
    const account = this.#accounts.get(networkOf(address))
    if (account === undefined || account.waiting < MOST_WAITING) return undefined
    return this.#turnAway(account)
  }

  refused(address: string, refusal: Refused, tell: (refusal: Refused) => void): Cancel {
    const { clock, limited } = this.#options
    const account = this.#account(networkOf(address))
    const debt = account.bucket.owe(clock.now(), MOST_DEBT)
    if (debt <= 0) {
      tell(refusal)
      return () => undefined
    }
    // Several logins may have been checked at the same time: the answer must not say what came of this one
    if (account.waiting >= MOST_WAITING) {
      tell(this.#turnAway(account))
      return () => undefined
    }
    limited()
    account.waiting++
    let waits = true
    const ends = () => {
      if (waits) account.waiting--
      waits = false
    }
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (Math.ceil(debt) - 1))
    const cancelTimer = clock.after(delay, () => {
      ends()
      tell({ ...refusal, retryAfter: this.#seconds(account) })
    })
    return () => {
      cancelTimer()
      ends()
    }
  }

  #turnAway(account: Account): Refused {
    this.#options.limited()
    const seconds = this.#seconds(account)
    return tooMany(`too many failed logins from this address; wait ${seconds} s`, seconds)
  }

  /** Until a refused login is answered at once again. */
  #seconds({ bucket }: Account): number {
    return Math.max(1, Math.ceil(bucket.wait(this.#options.clock.now()) / 1000))
  }

  #account(network: string): Account {
    const { clock, rate, atMost } = this.#options
    const account = this.#accounts.get(network) ?? { bucket: new TokenBucket(rate, clock.now()), waiting: 0 }
    this.#accounts.delete(network)
    this.#accounts.set(network, account)
    if (this.#accounts.size > atMost) this.#accounts.delete(this.#accounts.keys().next().value as string)
    this.#sweep ??= clock.after(SWEEP_MS, () => this.#forget())
    return account
  }

  /** A full bucket is as good as none. */
  #forget(): void {
    const { clock } = this.#options
    const now = clock.now()
    for (const [network, { bucket, waiting }] of this.#accounts)
      if (waiting === 0 && bucket.full(now)) this.#accounts.delete(network)
    this.#sweep = this.#accounts.size > 0 ? clock.after(SWEEP_MS, () => this.#forget()) : undefined
  }
}
