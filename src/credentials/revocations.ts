/**
 * Which credentials an operator has taken away: tokens by their fingerprint, and users by the moment of it, since which
 * only newer tokens are good. In the memory of this process, bounded in time and number; with several processes each
 * tells the others ({@link SharedRevocations}). Knows no sessions.
 */

import type { Authenticator, Identity, Principal } from '../auth.ts'
import { type Outcome, refuse } from '../errors.ts'
import type { Clock, UserId } from '../ports.ts'
import { Schedule } from '../schedule.ts'

export interface RevocationOptions {
  readonly clock: Clock
  /** How long a revocation is remembered at most: as long as the longest-lived token that may still be about. */
  readonly memoryMs: number
  /** Revocations remembered at a time; beyond it the one that would be forgotten next is forgotten now. */
  readonly atMost?: number
  /** Told when that happens: a token that was revoked may be good again. */
  readonly warn?: (message: string) => void
}

/** Something that was taken away: `user …` or `token …`, since when, and how long that must be remembered. */
export interface Revocation {
  readonly key: string
  /** Milliseconds since the epoch. */
  readonly since: number
  readonly until: number
}

/** A token that is taken away, and its own end. */
export interface RevokedToken {
  readonly token: string
  readonly expiresAt?: number | undefined
}

/** What is to be taken away, in every process. */
export interface Taken {
  readonly userId?: string | undefined
  readonly sessionId?: string | undefined
  readonly tokens: readonly RevokedToken[]
}

/** What came of it: sessions that were cut, and the tokens that they lived on. */
export interface Cut {
  readonly sessions: number
  readonly tokens: readonly RevokedToken[]
}

/** Revocations of several processes. */
export interface SharedRevocations {
  /** Has every other process cut the sessions that it holds. A process that does not answer counts for nothing. */
  revoke(taken: Taken): Promise<Cut>
  /** For processes that start later. Rejected with `Unavailable`; it is made up for when that is possible. */
  keep(revocations: readonly Revocation[]): Promise<void>
}

const AT_MOST = 100_000

export class Revocations {
  readonly #options: RevocationOptions
  /** When it was revoked: by `user …` and `token …`. */
  readonly #since = new Map<string, number>()
  readonly #until = new Schedule()

  constructor(options: RevocationOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#since.size
  }

  /** All tokens of the user that were issued until now, or do not say when. */
  revokeUser(user: UserId): Revocation {
    return this.#remember(`user ${user}`, Number.POSITIVE_INFINITY)
  }

  /** One token; beyond its own end (milliseconds since the epoch) nobody needs to remember it. */
  revokeToken(fingerprint: string, expiresAt = Number.POSITIVE_INFINITY): Revocation {
    return this.#remember(`token ${fingerprint}`, expiresAt)
  }

  /** What another process has revoked. */
  adopt({ key, since, until }: Revocation): void {
    if (since > (this.#since.get(key) ?? Number.NEGATIVE_INFINITY)) this.#put(key, since, until)
  }

  /** Whether this credential was taken away. Tokens know the second of their issue: one of the same second is refused. */
  cover({ user, token, issuedAt }: Principal): boolean {
    if (this.#since.size === 0) return false
    this.#forgetOld()
    if (this.#since.has(`token ${token}`)) return true
    const since = this.#since.get(`user ${user}`)
    return since !== undefined && (issuedAt ?? 0) <= since
  }

  #remember(key: string, end: number): Revocation {
    const { clock, memoryMs } = this.#options
    const since = clock.now()
    const until = Math.min(end, since + memoryMs)
    this.#put(key, since, until)
    return { key, since, until }
  }

  #put(key: string, since: number, until: number): void {
    const { atMost = AT_MOST, warn } = this.#options
    this.#forgetOld()
    this.#since.set(key, since)
    this.#until.set(key, until)
    if (this.#since.size <= atMost) return
    for (const first of this.#until.due(Number.POSITIVE_INFINITY, 1)) this.#forget(first)
    warn?.(`more than ${atMost} revocations: the one that would be forgotten next is forgotten now`)
  }

  #forgetOld(): void {
    const now = this.#options.clock.now()
    for (let at = this.#until.next(); at !== undefined && at <= now; at = this.#until.next()) {
      for (const key of this.#until.due(now, 256)) this.#forget(key)
    }
  }

  #forget(key: string): void {
    this.#since.delete(key)
    this.#until.delete(key)
  }
}

/** The same authenticator, and what was revoked is refused: at CONNECT, at a refresh, over HTTP. */
export function heeding(revocations: Revocations, authenticator: Authenticator): Authenticator {
  return {
    async authenticate(token): Promise<Outcome<Identity>> {
      const outcome = await authenticator.authenticate(token)
      return outcome.ok && revocations.cover(outcome.data) ? refuse('unauthorized', 'token: was revoked') : outcome
    },
  }
}
