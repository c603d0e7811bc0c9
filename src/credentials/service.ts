/**
 * Credentials of connected sessions and how they end: told in time, renewed in place, expired, revoked.
 *
 * An expired session may refresh for a moment. One that is in a call may finish that call, for a while; whatever else it
 * asks is refused, and nothing else reaches it. Then it is cut. Knows sessions and when they end, and of calls only
 * whether one goes over a session.
 */

import { type Broker, type Refused, type Restriction, type SessionView, TokenBucket } from '../../broker/index.ts'
import { fingerprint, type Principal } from '../auth.ts'
import { Deadlines } from '../deadlines.ts'
import { accepted, type Outcome, refuse } from '../errors.ts'
import type { Events } from '../events.ts'
import { type Clock, type DeviceId, Unavailable, type UserId } from '../ports.ts'
import type { Awaitable } from '../steps.ts'
import type { CredentialNotice, Revoked, RevokeRequest, TokenRefresh } from './messages.ts'
import type { Cut, Revocation, Revocations, RevokedToken, SharedRevocations, Taken } from './revocations.ts'

/** Where a session hears of its credential, and where it sends a new one. */
export const AUTH_QUEUE = '/user/queue/auth'
export const REFRESH = '/app/auth/refresh'

/** What a session in a call may still use when its token has expired. */
export interface CallDestinations {
  /** SEND: signalling and hanging up. */
  readonly sends: readonly string[]
  /** Where it hears of calls that it knows of; not where new ones ring. */
  readonly hears: readonly string[]
}

export interface CredentialOptions {
  readonly sessions: Pick<Broker, 'session' | 'everyHeld' | 'tell' | 'renew' | 'restrict' | 'expel'>
  readonly calls: {
    occupies(user: UserId, device: DeviceId): Promise<boolean>
    shutOut(user: UserId, device?: DeviceId): Awaitable<void>
  }
  readonly callDestinations: CallDestinations
  /** Token → principal; refuses what was revoked. */
  readonly authenticate: (token: string) => Promise<Outcome<Principal>>
  readonly revocations: Revocations
  /** Nothing: this process is the only one. */
  readonly shared?: SharedRevocations | undefined
  readonly clock: Clock
  readonly events: Events
  /** How long before its end a session is told. */
  readonly warningMs: number
  /** How long after its end a session may still refresh. */
  readonly graceMs: number
  /** How long after its end a session may finish its call. */
  readonly callGraceMs: number
  /** A session that was expired hears everything again: what rings for its user is to ring there too. */
  readonly restored: (session: SessionView) => Promise<void>
  /** Told of bugs found where nobody waits for an answer. */
  readonly report: (error: unknown) => void
}

/** After its call a session that is cut gets its last RECEIPT. */
const LAST_WORDS_MS = 1_000

/** Refreshes of one session. */
const REFRESH_RATE = { perSecond: 0.2, burst: 10 }

/** Earlier tokens of a session that are remembered. */
const MOST_FORMER = 8

const EXPIRED: Refused = refusedAs('token: has expired')
const REVOKED: Refused = refusedAs('session: was revoked')

const NONE: readonly Principal[] = []

interface Watched {
  readonly session: SessionView
  /** What it had before, the latest last. */
  former: readonly Principal[]
  refreshes?: TokenBucket
  expired: boolean
  /** Expired, and in a call that it may finish. */
  inCall: boolean
  /** Counts what makes an answer about its call stale. */
  asked: number
}

export class CredentialService {
  readonly #options: CredentialOptions
  readonly #watched = new Map<DeviceId, Watched>()
  readonly #deadlines: Deadlines
  readonly #mayHear: ReadonlySet<string>
  readonly #maySend: ReadonlySet<string>

  constructor(options: CredentialOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(options.clock, (id) => this.#due(id))
    this.#mayHear = new Set([AUTH_QUEUE, '/user/queue/errors', ...options.callDestinations.hears])
    this.#maySend = new Set(options.callDestinations.sends)
    options.events.on('call.ended', ({ call }) => {
      for (const leg of [call.origin, call.winner]) if (leg?.device !== undefined) this.#callEnded(leg.device)
    })
  }

  /** A session is connected. One whose token was revoked while it was being let in is cut at once. */
  connected(session: SessionView): void {
    this.#begin(session, NONE)
  }

  /**
   * A session that was away is connected again, with the token that it has now; until now it was `before`. False: the token
   * was revoked while it was being let in, and the session is cut.
   */
  returned(session: SessionView, before: Principal): boolean {
    const watched = this.#watched.get(session.id)
    const former = watched?.former ?? NONE
    if (watched) watched.asked++
    // It has just been let in, so the token is good, whatever became of the one before
    if (watched?.expired) this.#options.sessions.restrict(session.id, undefined)
    return this.#begin(session, others(session.principal, [...former, before]))
  }

  #begin(session: SessionView, former: readonly Principal[]): boolean {
    const { clock, revocations, sessions, warningMs } = this.#options
    if (revocations.cover(session.principal)) {
      sessions.expel(session.id, REVOKED)
      return false
    }
    this.#watched.set(session.id, { session, former, expired: false, inCall: false, asked: 0 })
    this.#deadlines.delete(session.id)
    const { expiresAt } = session.principal
    if (expiresAt === undefined) return true
    // With less left than the warning time it is told when it subscribes
    const warnAt = expiresAt - warningMs
    this.#deadlines.set(session.id, warnAt > clock.now() ? warnAt : expiresAt)
    return true
  }

  /** What the session had before its present token, for a process that takes it over; the latest last. */
  packed({ id }: SessionView): readonly Principal[] {
    return this.#watched.get(id)?.former ?? NONE
  }

  /** A session that another process has held is here: away, or about to be back. */
  unpack(session: SessionView, former: readonly Principal[]): void {
    this.#begin(session, others(session.principal, former))
  }

  /** Fingerprints of the tokens that the session had before its present one, as far as they are still good. */
  former({ id }: SessionView): readonly string[] {
    const now = this.#options.clock.now()
    const former = this.#watched.get(id)?.former ?? NONE
    return former.filter((one) => lasts(one, now)).map(({ token }) => token)
  }

  disconnected({ id }: SessionView): void {
    const watched = this.#watched.get(id)
    if (watched) watched.asked++
    this.#watched.delete(id)
    this.#deadlines.delete(id)
  }

  /** Who subscribes late hears what was said. */
  subscribed({ id, principal: { expiresAt } }: SessionView, destination: string): void {
    if (destination !== AUTH_QUEUE || expiresAt === undefined) return
    const remainingMs = expiresAt - this.#options.clock.now()
    if (remainingMs > 0 && remainingMs <= this.#options.warningMs) this.#tell(id, expiring(expiresAt, remainingMs))
  }

  /** Replaces the session's token in place. Whatever is refused changes nothing. */
  async refresh(session: SessionView, { token }: TokenRefresh): Promise<Outcome> {
    const { clock, sessions, revocations } = this.#options
    const watched = this.#watched.get(session.id)
    if (watched === undefined) return accepted
    const tooOften = tooManyRefreshes(watched, clock.now())
    if (tooOften) {
      this.#options.events.emit('limited', { limit: 'refresh' })
      return tooOften
    }
    const outcome = await this.#options.authenticate(token)
    if (!outcome.ok) return outcome
    const { principal: old } = session
    const fresh = outcome.data
    if (fresh.user !== old.user) return refuse('forbidden', 'token: is of another user than this session')
    if ((fresh.expiresAt ?? Number.POSITIVE_INFINITY) < (old.expiresAt ?? Number.POSITIVE_INFINITY))
      return refuse('unauthorized', 'token: ends sooner than the one that it is to replace')
    if (revocations.cover(fresh)) return refuse('unauthorized', 'token: was revoked')
    if (!sessions.renew(session.id, fresh)) return accepted
    watched.former = others(fresh, [...watched.former, old])
    await this.#renewed(watched, fresh)
    return accepted
  }

  /**
   * Takes credentials away and cuts every session that lives on one of them; the live calls they are in end. A session
   * that is named stands for its token, so other sessions with the same token are cut too.
   */
  async revoke({ userId, sessionId, token }: RevokeRequest): Promise<Outcome<Revoked>> {
    const taken = { userId, sessionId, tokens: token === undefined ? [] : [{ token: fingerprint(token) }] }
    const { shared } = this.#options
    const here = await this.cuts(taken)
    if (!shared) return { ok: true, data: { sessions: here.sessions } }
    const there = await shared.revoke({ ...taken, tokens: here.tokens })
    // The session that was named may live elsewhere: only now it is known what it lives on
    const fresh = there.tokens.filter(({ token: one }) => !here.tokens.some((known) => known.token === one))
    const again = { tokens: fresh }
    const more = fresh.length > 0 ? [await this.cuts(again), await shared.revoke(again)] : []
    const count = [here, there, ...more].reduce((sum, { sessions }) => sum + sessions, 0)
    return this.#keep(shared, userId, [...here.tokens, ...fresh], count)
  }

  /** The same in this process alone: the sessions that it holds, and what they lived on. */
  async cuts({ userId, sessionId, tokens: taken }: Taken): Promise<Cut> {
    const { sessions, revocations, calls } = this.#options
    const named = sessionId === undefined ? undefined : sessions.session(sessionId)
    const tokens = new Map(taken.map((one) => [one.token, one]))
    for (const one of named ? this.#credentialsOf(named) : []) tokens.set(one.token, one)
    const cut = [...sessions.everyHeld()].filter(
      (session) =>
        session.principal.user === userId || this.#credentialsOf(session).some((one) => tokens.has(one.token)),
    )
    if (userId !== undefined) revocations.revokeUser(userId)
    // Also of a user: the issuer's clock may be ahead of ours
    for (const session of cut) for (const one of this.#credentialsOf(session)) tokens.set(one.token, one)
    for (const { token, expiresAt } of tokens.values()) revocations.revokeToken(token, expiresAt)
    this.#cut(cut)
    if (userId !== undefined) await calls.shutOut(userId)
    for (const { id, principal } of cut) if (principal.user !== userId) await calls.shutOut(principal.user, id)
    return { sessions: cut.length, tokens: [...tokens.values()].map(({ token, expiresAt }) => ({ token, expiresAt })) }
  }

  /** What other processes have revoked, while this one could not hear it or was not there yet: its sessions are cut. */
  learns(revoked: readonly Revocation[]): void {
    const { revocations, sessions } = this.#options
    for (const one of revoked) revocations.adopt(one)
    this.#cut([...sessions.everyHeld()].filter((session) => revocations.cover(session.principal)))
  }

  #cut(cut: readonly SessionView[]): void {
    for (const { id, principal } of cut) {
      this.#options.sessions.expel(id, REVOKED)
      this.#options.events.emit('session.revoked', { user: principal.user, session: id })
    }
  }

  async #keep(
    shared: SharedRevocations,
    userId: UserId | undefined,
    tokens: readonly RevokedToken[],
    count: number,
  ): Promise<Outcome<Revoked>> {
    const { revocations } = this.#options
    const ofTokens = tokens.map(({ token, expiresAt }) => revocations.revokeToken(token, expiresAt))
    try {
      await shared.keep(userId === undefined ? ofTokens : [...ofTokens, revocations.revokeUser(userId)])
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      const message = `${count} sessions were cut; other servers may not know of it yet, they are told when Redis is back; try again`
      return refuse('unavailable', message, { retryAfter: 2 })
    }
    return { ok: true, data: { sessions: count } }
  }

  /** Nobody is told or cut any more. */
  stop(): void {
    this.#deadlines.stop()
  }

  #due(id: DeviceId): void {
    const watched = this.#watched.get(id)
    const expiresAt = watched?.session.principal.expiresAt
    if (watched === undefined || expiresAt === undefined) return
    const remainingMs = expiresAt - this.#options.clock.now()
    if (remainingMs > 0) {
      this.#tell(id, expiring(expiresAt, remainingMs))
      this.#deadlines.set(id, expiresAt)
    } else this.#settle(watched, expiresAt).catch(this.#options.report)
  }

  /** Its token has expired: how long may it stay? */
  async #settle(watched: Watched, expiresAt: number): Promise<void> {
    const { clock, calls, graceMs, callGraceMs, sessions } = this.#options
    const { id, principal } = watched.session
    const asked = ++watched.asked
    const inCall = await calls.occupies(principal.user, id).catch((error: unknown) => {
      this.#options.report(error)
      return true
    })
    if (watched.asked !== asked) return
    watched.inCall = inCall
    if (!watched.expired) this.#expire(watched, expiresAt)
    const until = expiresAt + (inCall ? callGraceMs : graceMs)
    if (clock.now() >= until) sessions.expel(id, EXPIRED)
    else this.#deadlines.set(id, until)
  }

  #expire(watched: Watched, expiresAt: number): void {
    const { id, principal } = watched.session
    const restriction: Restriction = {
      refusal: (verb, destination) => this.#refusal(watched, verb, destination),
      hears: (destination) => this.#mayHear.has(destination),
    }
    watched.expired = true
    this.#options.sessions.restrict(id, restriction)
    this.#tell(id, { type: 'EXPIRED', expiresAt })
    this.#options.events.emit('session.expired', { user: principal.user, session: id })
  }

  #refusal({ inCall }: Watched, verb: 'SEND' | 'SUBSCRIBE', destination: string): Refused | undefined {
    if (verb === 'SEND' && (destination === REFRESH || (inCall && this.#maySend.has(destination)))) return undefined
    const rest = inCall ? 'finish the call that goes on, or SEND' : 'SEND'
    return refusedAs(`token: has expired; ${rest} a new one to ${REFRESH}`)
  }

  #callEnded(id: DeviceId): void {
    const watched = this.#watched.get(id)
    const expiresAt = watched?.session.principal.expiresAt
    const now = this.#options.clock.now()
    if (watched === undefined || expiresAt === undefined || now < expiresAt) return
    watched.asked++
    watched.inCall = false
    this.#deadlines.set(id, watched.expired ? Math.max(expiresAt + this.#options.graceMs, now + LAST_WORDS_MS) : now)
  }

  async #renewed(watched: Watched, { expiresAt, user }: Principal): Promise<void> {
    const { sessions, events, clock, warningMs, restored } = this.#options
    const { session, expired } = watched
    watched.asked++
    watched.expired = false
    if (expired) sessions.restrict(session.id, undefined)
    if (expiresAt === undefined) this.#deadlines.delete(session.id)
    else {
      const now = clock.now()
      const warnAt = expiresAt - warningMs
      // Of a token that lives shorter than that the session is told half-way
      this.#deadlines.set(session.id, warnAt > now ? warnAt : (now + expiresAt) / 2)
    }
    this.#tell(session.id, { type: 'REFRESHED', ...(expiresAt === undefined ? {} : { expiresAt }) })
    events.emit('session.refreshed', { user, session: session.id })
    if (expired) await restored(session)
  }

  /** What the session lives on, and what it had before. */
  #credentialsOf({ id, principal }: SessionView): readonly Principal[] {
    return [principal, ...(this.#watched.get(id)?.former ?? NONE)]
  }

  #tell(id: DeviceId, notice: CredentialNotice): void {
    this.#options.sessions.tell(id, AUTH_QUEUE, { body: JSON.stringify(notice) })
  }
}

function refusedAs(message: string): Refused {
  const { code } = refuse('unauthorized', message)
  return { code, message }
}

const expiring = (expiresAt: number, remainingMs: number): CredentialNotice => ({
  type: 'EXPIRING',
  expiresAt,
  remainingMs: Math.round(remainingMs),
})

function tooManyRefreshes(watched: Watched, now: number): Outcome | undefined {
  watched.refreshes ??= new TokenBucket(REFRESH_RATE, now)
  const wait = Math.ceil(watched.refreshes.wait(now) / 1000)
  if (wait > 0) return refuse('tooMany', `too many refreshes; wait ${wait} s`, { retryAfter: wait })
  watched.refreshes.take(now)
  return undefined
}

/** The last few that are not the present one; none of them ends later than those after it. */
function others(present: Principal, former: readonly Principal[]): readonly Principal[] {
  return former.filter(({ token }) => token !== present.token).slice(-MOST_FORMER)
}

const lasts = ({ expiresAt }: Principal, now: number) => expiresAt === undefined || expiresAt > now
