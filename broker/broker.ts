/**
 * The broker: takes connections in, and performs what its users ask of sessions as a whole (publish, tell, find, stop).
 * The rules of the protocol are in session.ts and connected.ts.
 */

import { Addresses } from './address.ts'
import { Backlogs } from './backlog.ts'
import type { Connected } from './connected.ts'
import { type Connection, NOBODY } from './connection.ts'
import { CLOSE_CODES } from './errors.ts'
import { FamiliarHeads } from './familiar-heads.ts'
import { Heartbeats } from './heartbeat.ts'
import { Mailboxes } from './mailbox.ts'
import { OpenQueues } from './open-destinations.ts'
import { TokenBuckets } from './rate.ts'
import { Resumption } from './resumption.ts'
import { Router } from './router.ts'
import { Session, type SessionSurroundings } from './session.ts'
import { Listeners } from './subscriptions.ts'
import type {
  Broker,
  BrokerCounts,
  BrokerOptions,
  Message,
  Principal,
  Refused,
  Restriction,
  ResumeClaim,
  ResumeOptions,
  SessionView,
  SuspendedSession,
} from './types.ts'
import { Users } from './user-destinations.ts'

/** A broker without connections. Throws when an open destination of the options is malformed. */
export function createBroker(options: BrokerOptions): Broker {
  return new StompBroker(options)
}

/** RFC 6455 registry: try again later. */
const TRY_AGAIN_LATER = 1013

class StompBroker implements Broker {
  readonly #options: BrokerOptions
  readonly #surroundings: SessionSurroundings
  readonly #mailboxes: Mailboxes | undefined
  readonly #resumption: Resumption | undefined
  readonly #users = new Users<Connected>()
  readonly #listeners = new Listeners()
  /** Every connection, logged in or not, the oldest first. */
  readonly #connections = new Set<Session>()
  /** Those of which something may be left to do, though their connection is gone. */
  readonly #unfinished = new Set<Session>()
  readonly #addresses: Addresses
  #stopped: Promise<void> | undefined
  #onEmpty: (() => void) | undefined

  constructor(options: BrokerOptions) {
    const { clock, limits, observer, heartbeat, destinations, resume } = options
    this.#options = options
    this.#addresses = new Addresses(limits.connectionsPerAddress)
    this.#mailboxes = resume && mailboxes(options, resume)
    const surroundings = {
      clock,
      limits,
      observer,
      router: new Router(destinations),
      listeners: this.#listeners,
      queues: new OpenQueues(limits, {
        delivered: () => observer.frameOut?.('MESSAGE', 1),
        dropped: (destination) => observer.dropped?.(destination),
      }),
      userRates: new TokenBuckets(limits.userRate, clock),
      mailboxes: this.#mailboxes,
      publishOpen: (topic: string, message: Message) => void this.#wrote(this.#listeners.publishOpen(topic, message)),
    }
    this.#resumption = resume && new Resumption(resume, surroundings, this.#users)
    this.#surroundings = {
      ...surroundings,
      options,
      users: this.#users,
      resumption: this.#resumption,
      heartbeats: new Heartbeats(clock, heartbeat),
      backlogs: new Backlogs(clock, limits.bufferedMs),
      familiar: new FamiliarHeads(),
      gone: (session) => this.#gone(session),
      finished: (session) => this.#finished(session),
    }
  }

  get accepting(): boolean {
    return this.#stopped === undefined && this.#connections.size < this.#options.limits.connections
  }

  roomFor(address: string): boolean {
    return this.#addresses.roomFor(address)
  }

  accept(connection: Connection): void {
    const room = this.roomFor(connection.peer.address)
    if (!this.accepting || !room) {
      connection.handler = NOBODY
      const why = room ? 'no new connections now' : 'too many connections from this address'
      connection.close(this.#stopped ? CLOSE_CODES.shutdown : TRY_AGAIN_LATER, why)
      return
    }
    const session = new Session(connection, this.#surroundings)
    this.#connections.add(session)
    this.#unfinished.add(session)
    this.#addresses.add(connection.peer.address)
    connection.handler = session
  }

  session(id: string): SessionView | undefined {
    return this.#users.session(id)
  }

  sessions(user: string): readonly SessionView[] {
    return this.#users.sessions(user)
  }

  held(user: string): readonly SessionView[] {
    const all = [...this.#users.sessions(user), ...this.#users.away(user)]
    return all.sort((a, b) => a.connectedAt - b.connectedAt)
  }

  everySession(): Iterable<SessionView> {
    return this.#users.all()
  }

  everyHeld(): Iterable<SessionView> {
    return this.#users.held()
  }

  online(user: string): boolean {
    return this.#users.count(user) > 0
  }

  listening(user: string, destination: string): readonly string[] {
    return this.#users.listening(user, destination)
  }

  reachable(user: string, destination: string): readonly string[] {
    return this.#users.reachable(user, destination)
  }

  holds(sessionId: string): boolean {
    return this.#users.session(sessionId) !== undefined
  }

  tell(sessionId: string, destination: string, message: Message): boolean {
    return this.#users.session(sessionId)?.tell(destination, message) ?? false
  }

  publish(topic: string, message: Message): number {
    return this.#wrote(this.#listeners.publish(topic, message))
  }

  #wrote(count: number): number {
    if (count > 0) this.#options.observer.frameOut?.('MESSAGE', count)
    return count
  }

  counts(): BrokerCounts {
    let subscriptions = 0
    for (const session of this.#users.all()) subscriptions += session.subscriptionCount
    let buffered = 0
    for (const connection of this.#connections) buffered += connection.buffered
    return {
      connections: this.#connections.size,
      sessions: this.#users.sessionCount,
      away: this.#resumption?.count ?? 0,
      kept: this.#mailboxes?.bytes ?? 0,
      users: this.#users.userCount,
      subscriptions,
      buffered,
    }
  }

  disconnect(sessionId: string, code: number, reason: string): void {
    this.#users.session(sessionId)?.disconnect(code, reason)
  }

  expel(sessionId: string, refused: Refused): boolean {
    const session = this.#users.session(sessionId)
    session?.expel(refused)
    return session !== undefined
  }

  renew(sessionId: string, principal: Principal): boolean {
    const session = this.#users.session(sessionId)
    if (session === undefined || session.principal.user !== principal.user) return false
    session.principal = principal
    return true
  }

  restrict(sessionId: string, restriction: Restriction | undefined): boolean {
    const session = this.#users.session(sessionId)
    session?.restrict(restriction)
    return session !== undefined
  }

  stop(options: { perStep: number; stepMs: number; deadlineMs: number }): Promise<void> {
    this.#stopped ??= this.#stop(options)
    return this.#stopped
  }

  async release(claim: ResumeClaim): Promise<SuspendedSession | undefined> {
    return this.#resumption?.release(claim)
  }

  releaseAll(): readonly SuspendedSession[] {
    return this.#resumption?.releaseAll() ?? []
  }

  #stop({ perStep, stepMs, deadlineMs }: { perStep: number; stepMs: number; deadlineMs: number }): Promise<void> {
    const { clock } = this.#options
    this.#resumption?.unbound()
    const left = [...this.#connections]
    const step = (): void => {
      for (const session of left.splice(0, Math.max(1, perStep))) session.shutdown('server restarts')
      if (left.length > 0) cancelStep = clock.after(stepMs, step)
    }
    let cancelStep = (): void => undefined
    return new Promise((resolve) => {
      const end = (): void => {
        cancelStep()
        cancelDeadline()
        this.#onEmpty = undefined
        for (const session of this.#connections) session.terminate()
        this.#mailboxes?.stop()
        this.#resumption?.stop()
        resolve()
      }
      const cancelDeadline = clock.after(deadlineMs, end)
      this.#onEmpty = end
      step()
      if (this.#isEmpty) end()
    })
  }

  #gone(session: Session): void {
    if (this.#connections.delete(session)) this.#addresses.remove(session.address)
    if (this.#isEmpty) this.#onEmpty?.()
  }

  #finished(session: Session): void {
    this.#unfinished.delete(session)
    if (this.#isEmpty) this.#onEmpty?.()
  }

  get #isEmpty(): boolean {
    return this.#connections.size === 0 && this.#unfinished.size === 0
  }
}

/** How long a peer that promised no heart-beats, and one that did, may be silent until it is given up, at the most. */
const PINGED_MS = 90_000
const BEATS_MISSED = 3

/** What was written before a connection looked dead must be there while its session may come back, and nothing for longer. */
function mailboxes({ clock, limits, heartbeat }: BrokerOptions, resume: ResumeOptions): Mailboxes {
  const { graceMs, sessionBytes, allBytes } = resume
  return new Mailboxes(clock, {
    // What is told again waits for the reader at once: that alone must not make a slow reader of it
    sessionBytes: Math.min(sessionBytes, limits.bufferedBytes),
    allBytes,
    keepMs: graceMs + Math.max(PINGED_MS, BEATS_MISSED * heartbeat.wants),
  })
}
