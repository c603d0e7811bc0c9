/**
 * Which credentials an operator has taken away: tokens by their fingerprint, and users by the moment of it, since which
 * only newer tokens are good. In the memory of this process, bounded in time and number. Knows no sessions.
 */

import type { Authenticator, Principal } from '../auth.ts'
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
  revokeUser(user: UserId): void {
    this.#remember(`user ${user}`, Number.POSITIVE_INFINITY)
  }

  /** One token; beyond its own end (milliseconds since the epoch) nobody needs to remember it. */
  revokeToken(fingerprint: string, expiresAt = Number.POSITIVE_INFINITY): void {
    this.#remember(`token ${fingerprint}`, expiresAt)
  }

  /** Whether this credential was taken away. Tokens know the second of their issue: one of the same second is refused. */
  cover({ user, token, issuedAt }: Principal): boolean {
    if (this.#since.size === 0) return false
    this.#forgetOld()
    if (this.#since.has(`token ${token}`)) return true
    const since = this.#since.get(`user ${user}`)
    return since !== undefined && (issuedAt ?? 0) <= since
  }

  #remember(key: string, end: number): void {
    const { clock, memoryMs, atMost = AT_MOST, warn } = this.#options
    this.#forgetOld()
    this.#since.set(key, clock.now())
    this.#until.set(key, Math.min(end, clock.now() + memoryMs))
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
    async authenticate(token): Promise<Outcome<Principal>> {
      const outcome = await authenticator.authenticate(token)
      return outcome.ok && revocations.cover(outcome.data) ? refuse('unauthorized', 'token: was revoked') : outcome
    },
  }
}
