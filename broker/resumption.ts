/**
 * Sessions that have lost their connection and may come back: for how long, how many, and who may have one again. A
 * session that is wanted while its old connection looks alive (a phone that has changed networks) leaves it first.
 *
 * Knows sessions and claims; what a session keeps meanwhile is in mailbox.ts, and how it comes and goes in session.ts.
 */

import type { Cancel, Clock } from './clock.ts'
import { Connected, type Line, type Surroundings } from './connected.ts'
import { isSameSecret } from './resume-id.ts'
import type { ResumeClaim, ResumeOptions, SuspendedSession } from './types.ts'
import type { Users } from './user-destinations.ts'

export class Resumption {
  readonly #options: ResumeOptions
  readonly #all: Surroundings
  readonly #users: Users<Connected>
  readonly #clock: Clock
  /** When each of them ends; the one that has been away longest first. */
  readonly #away = new Map<Connected, number>()
  #timer: Cancel | undefined
  #stopped = false
  #unbound = false

  constructor(options: ResumeOptions, all: Surroundings, users: Users<Connected>) {
    this.#options = options
    this.#all = all
    this.#users = users
    this.#clock = all.clock
  }

  /** Sessions that are away. */
  get count(): number {
    return this.#away.size
  }

  /** The connection of the session is gone, and everything that came over it is done. */
  goesAway(session: Connected, reason: string): void {
    this.#takeIn(session)
    this.#all.observer.away?.(session, reason)
    this.#keepBounds(session.principal.user)
  }

  /**
   * Sees to it that the session which is claimed is here and away, if it can be had: one that has a connection leaves it,
   * one that another process holds is fetched. {@link take} says whether that has worked. Never rejected.
   */
  async find(claim: ResumeClaim): Promise<void> {
    if (this.#users.session(claim.sessionId) !== undefined) {
      await this.#freed(claim)
      return
    }
    const suspended = await this.#options.fetch?.(claim).catch(() => undefined)
    if (suspended !== undefined && isOf(suspended, claim)) this.#adopt(suspended)
  }

  /**
   * The session that is claimed, which is away no longer. Undefined: it is not here, or not away, or the claim is not
   * good. When the claim is good, but too much is lost for it, the session has ended.
   */
  take(claim: ResumeClaim): Connected | undefined {
    const session = this.#users.session(claim.sessionId)
    if (session === undefined || !session.away || !isGood(claim, session)) return undefined
    if (session.version !== claim.version || !session.canResumeAfter(claim.lastSeq ?? 0)) {
      this.#end(session, 'came back too late: messages are lost')
      return undefined
    }
    this.#forget(session)
    return session
  }

  /** Gives the session to another process. */
  async release(claim: ResumeClaim): Promise<SuspendedSession | undefined> {
    await this.#freed(claim)
    const session = this.take(claim)
    return session && this.#suspend(session)
  }

  /** Gives every session that is away to whoever takes them. */
  releaseAll(): readonly SuspendedSession[] {
    return [...this.#away.keys()].map((session) => {
      this.#forget(session)
      return this.#suspend(session)
    })
  }

  /** The process is about to stop: all of its sessions are away in a moment, to be handed on, however many they are. */
  unbound(): void {
    this.#unbound = true
  }

  /** Nobody ends by being away too long any more. */
  stop(): void {
    this.#stopped = true
    this.#timer?.()
    this.#timer = undefined
  }

  /** Waits until the connection of the session that is claimed is gone, if the claim is good. */
  async #freed(claim: ResumeClaim): Promise<void> {
    const session = this.#users.session(claim.sessionId)
    if (session !== undefined && isGood(claim, session)) await session.leaveConnection()
  }

  #adopt(suspended: SuspendedSession): void {
    // Somebody else has asked for it as well, and has it
    if (this.#users.session(suspended.id) !== undefined) return
    const session = Connected.restored(suspended, this.#all, NOWHERE)
    this.#takeIn(session)
    this.#options.unpacks?.(session, suspended.luggage)
    this.#keepBounds(session.principal.user)
  }

  #takeIn(session: Connected): void {
    session.goAway(this.#lineOf(session))
    this.#users.goesAway(session)
    this.#away.set(session, this.#clock.now() + this.#options.graceMs)
    this.#wakeAtNextEnd()
  }

  #suspend(session: Connected): SuspendedSession {
    const luggage = this.#options.packs?.(session)
    const suspended = { ...session.suspended(), luggage }
    this.#users.leave(session)
    session.stopListening()
    session.end()
    this.#all.observer.released?.(session)
    return suspended
  }

  /** A user whose phone loses its connection again and again takes nothing from others. */
  #keepBounds(user: string): void {
    if (this.#unbound) return
    const own = this.#users.away(user)
    const [oldest] = own
    if (oldest !== undefined && own.length > this.#options.awayPerUser)
      this.#end(oldest, 'too many sessions of the user are away')
    const [longest] = this.#away.keys()
    if (longest !== undefined && this.#away.size > this.#options.away) this.#end(longest, 'too many sessions are away')
  }

  #end(session: Connected, reason: string): void {
    this.#forget(session)
    this.#users.leave(session)
    session.stopListening()
    session.end()
    this.#all.observer.disconnected?.(session, reason)
  }

  #forget(session: Connected): void {
    this.#away.delete(session)
    if (this.#away.size > 0) return
    this.#timer?.()
    this.#timer = undefined
  }

  /** All are away for the same time, so the first to go is the first to end. */
  #wakeAtNextEnd(): void {
    const [until] = this.#away.values()
    if (until === undefined || this.#stopped) return
    this.#timer ??= this.#clock.after(until - this.#clock.now(), () => {
      this.#timer = undefined
      for (const [session, end] of this.#away) {
        if (end > this.#clock.now()) break
        this.#end(session, 'did not come back')
      }
      this.#wakeAtNextEnd()
    })
  }

  /** What is written to a session that is away has been kept; whoever cuts it ends it. */
  #lineOf(session: Connected): Line {
    const end = (reason: string) => {
      if (this.#away.has(session)) this.#end(session, reason)
    }
    return {
      ...NOWHERE,
      disconnect: (_code, reason) => end(reason),
      expel: ({ message }) => end(message),
    }
  }
}

const NOWHERE: Line = {
  buffered: 0,
  write() {},
  disconnect() {},
  expel() {},
  leaveSession: () => Promise.resolve(),
}

const isGood = ({ resumeId, user }: ResumeClaim, session: Connected): boolean =>
  session.principal.user === user && session.resumeId !== undefined && isSameSecret(session.resumeId, resumeId)

const isOf = ({ id, principal }: SuspendedSession, { sessionId, user }: ResumeClaim): boolean =>
  id === sessionId && principal.user === user
