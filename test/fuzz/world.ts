/**
 * The whole broker with calls, presence and credentials behind it, without sockets, with the clock in the hand and
 * limits so small that random peers meet all of them. Whatever must never happen is kept in `faults`.
 */

import { type Broker, createBroker, createLoginGuard } from '../../broker/index.ts'
import type { BrokerLimits, LoginGuard, ResumeOptions } from '../../broker/types.ts'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { admission } from '../../src/admission.ts'
import { attendance } from '../../src/attendance.ts'
import type { Principal } from '../../src/auth.ts'
import { CALL_QUEUES, callHandlers, FINISHES_A_CALL } from '../../src/calls/destinations.ts'
import { mesh } from '../../src/calls/room-media.ts'
import { CallService, RINGS_ON } from '../../src/calls/service.ts'
import { credentialHandlers } from '../../src/credentials/destinations.ts'
import { Revocations } from '../../src/credentials/revocations.ts'
import { AUTH_QUEUE, CredentialService } from '../../src/credentials/service.ts'
import { type Outcome, refuse } from '../../src/errors.ts'
import { Events } from '../../src/events.ts'
import { historyHandlers } from '../../src/history/destinations.ts'
import { MISSED_QUEUE } from '../../src/history/missed.ts'
import { HistoryService } from '../../src/history/service.ts'
import { packed, unpack } from '../../src/luggage.ts'
import type { Awaitable, Devices } from '../../src/ports.ts'
import { presenceAudience, presenceHandlers, STATUS_TOPIC } from '../../src/presence/destinations.ts'
import { PresenceService } from '../../src/presence/service.ts'
import { TURN_QUEUE, turnHandlers, turnRenewal } from '../../src/turn/destinations.ts'
import { TurnService } from '../../src/turn/service.ts'
import { TestClock } from '../support/clock.ts'
import { HistoryAtHand } from '../support/history.ts'
import { LIMITS } from '../support/stomp-server.ts'

const SMALL: BrokerLimits = {
  ...LIMITS,
  frameBytes: 4096,
  frameBytesBeforeLogin: 1024,
  headers: 16,
  headerBytes: 512,
  subscriptionsPerSession: 16,
  sessionsPerUser: 3,
  queuedBytes: 8192,
  bufferedBytes: 16_384,
  transactions: 2,
  transactionFrames: 8,
  unacknowledged: 2,
  queueMessages: 4,
  queueBytes: 2048,
  queues: 2,
  sessionRate: { perSecond: 20, burst: 40 },
  userRate: { perSecond: 20, burst: 60 },
  openRate: { perSecond: 5, burst: 5 },
  subscribeRate: { perSecond: 10, burst: 16 },
}

const RESUME: ResumeOptions = { graceMs: 4000, sessionBytes: 8192, allBytes: 32_768, awayPerUser: 2, away: 4 }

/** Longer than any timer of this world. */
const ALL_TIMERS_MS = 20 * 60_000

export const QUEUES = [...CALL_QUEUES, MISSED_QUEUE, TURN_QUEUE, AUTH_QUEUE, '/user/queue/errors'] as const
export const OPEN_QUEUES = ['/queue/open.a', '/queue/open.b'] as const
export const OPEN_TOPICS = ['/topic/open.a', '/topic/open.b'] as const

export class World {
  readonly clock = new TestClock()
  readonly broker: Broker
  readonly calls: CallService
  readonly history: HistoryService
  readonly presence: PresenceService
  readonly turn: TurnService
  readonly logins: LoginGuard
  readonly credentials: CredentialService
  /** Bugs that the broker or a service noticed, and promises that nobody looked after. */
  readonly faults: string[] = []
  /** How many frames were refused, and connections ended, by the broker. */
  refusals = 0
  readonly #store = new MemoryCallStore()

  constructor() {
    const { clock } = this
    const bug = (error: unknown, where: string) => void this.faults.push(`${where}: ${told(error)}`)
    const report = (error: unknown) => bug(error, 'reported')
    const inBackground = (work: () => Awaitable<unknown>): void => {
      new Promise<unknown>((resolve) => resolve(work())).catch(report)
    }
    const events = new Events(report)
    const devices: Devices = {
      listening: (user, destination) => this.broker.listening(user, destination),
      reachable: (user, destination) => this.broker.reachable(user, destination),
      holds: (device) => this.broker.holds(device),
      tell: (device, destination, message) => this.broker.tell(device, destination, message),
      connected: (user) => this.broker.sessions(user).map(({ id }) => id),
    }
    const timers = {
      callerGraceMs: 3000,
      graceMs: 5000,
      httpLegMs: 10_000,
      longestCallMs: 60_000,
      tombstoneMs: 20_000,
      lateSignalMs: 1000,
    }
    this.calls = new CallService({
      store: this.#store,
      devices,
      clock,
      events,
      timers,
      ringMs: 10_000,
      offline: 'wait',
      roomMedia: mesh(4),
      report,
    })
    const line = () => undefined
    this.history = new HistoryService({
      store: new HistoryAtHand(),
      clock,
      events,
      devices,
      days: 0,
      leads: () => true,
      log: { info: line, warn: line, error: line },
      report,
    })
    const revocations = new Revocations({ clock, memoryMs: 10_000, warn: () => undefined })
    const authenticate = async (token: string): Promise<Outcome<Principal>> => {
      const principal = principalOf(token, clock.now())
      return revocations.cover(principal) ? refuse('unauthorized', 'token: is revoked') : { ok: true, data: principal }
    }
    this.credentials = new CredentialService({
      sessions: {
        session: (id) => this.broker.session(id),
        everyHeld: () => this.broker.everyHeld(),
        tell: (session, destination, message) => this.broker.tell(session, destination, message),
        renew: (session, principal) => this.broker.renew(session, principal),
        restrict: (session, restriction) => this.broker.restrict(session, restriction),
        expel: (session, refused) => this.broker.expel(session, refused),
      },
      calls: this.calls,
      callDestinations: FINISHES_A_CALL,
      authenticate,
      revocations,
      clock,
      events,
      warningMs: 1000,
      graceMs: 2000,
      callGraceMs: 10_000,
      restored: async (session) => {
        if (session.listensTo(MISSED_QUEUE)) this.history.subscribed(session.principal.user, session.id)
        if (session.listensTo(RINGS_ON)) await this.calls.appeared(session.principal.user, session.id)
      },
      report,
    })
    const audience = presenceAudience({
      tell: (session, destination, message) => this.broker.tell(session, destination, message),
      publish: (topic, message) => this.broker.publish(topic, message),
      disconnect: (session, code, reason) => this.broker.disconnect(session, code, reason),
    })
    this.presence = new PresenceService({
      report,
      clock,
      events,
      audience,
      scope: 'all',
      batchMs: 250,
      offlineMs: 5000,
      missableMs: RESUME.graceMs + 90_000,
    })
    this.turn = new TurnService({
      secret: 'secret',
      ttlSeconds: 60,
      clock,
      stun: ['stun:s'],
      regions: [{ urls: ['turn:t'] }],
    })
    const turn = turnRenewal(
      this.turn,
      {
        session: (id) => this.broker.session(id),
        tell: (id, destination, message) => this.broker.tell(id, destination, message),
      },
      clock,
    )
    const packers = { presence: this.presence, credentials: this.credentials, turn }
    this.logins = createLoginGuard({ clock, rate: { perSecond: 1, burst: 2 }, limited: () => undefined })
    this.broker = createBroker({
      clock,
      logins: this.logins,
      server: 'carillon/fuzz',
      heartbeat: { sends: 4000, wants: 4000 },
      limits: SMALL,
      resume: {
        ...RESUME,
        packs: (session) => packed(session, packers),
        unpacks: (session, luggage) => unpack(session, luggage, packers),
      },
      authenticate: admission({ authenticate }),
      destinations: {
        handlers: {
          ...callHandlers(this.calls, devices),
          ...presenceHandlers(this.presence, { tell: devices.tell }),
          ...turnHandlers(this.turn, { tell: devices.tell }, ({ id }, region) => turn.asked(id, region)),
          ...credentialHandlers(this.credentials),
          ...historyHandlers(this.history),
        },
        user: QUEUES,
        topics: [STATUS_TOPIC],
        // Queues by name: what waits in one is let out before the world is looked at
        open: ['/topic/open.*', ...OPEN_QUEUES],
      },
      observer: {
        ...attendance({
          calls: this.calls,
          credentials: this.credentials,
          presence: this.presence,
          turn,
          history: this.history,
          inBackground,
        }),
        refused: () => void this.refusals++,
        expelled: () => void this.refusals++,
        failed: (error, where) => error instanceof Deliberate || bug(error, where),
      },
    })
  }

  /** What is left when everybody has gone and every timer has run: nothing, or words that say what. */
  async remains(): Promise<string[]> {
    await this.clock.advance(ALL_TIMERS_MS)
    const counts = Object.entries(this.broker.counts()).filter(([, count]) => count !== 0)
    const left = counts.map(([what, count]) => `${count} ${what} are left`)
    if (this.clock.waiting > 0) left.push(`${this.clock.waiting} timers are left`)
    if ((await this.#store.nextDue()) !== undefined) left.push('calls are left')
    return left
  }
}

/** Tokens are `user`, or `user;seconds` when they end. */
function principalOf(token: string, now: number): Principal {
  const [user = '', seconds] = token.split(';')
  if (user === 'broken') throw new Deliberate()
  const expiresAt = seconds === undefined ? undefined : now + Number(seconds) * 1000
  return { user, token: `fingerprint of ${token}`, issuedAt: now, expiresAt }
}

/** Thrown on purpose, to see that an authentication that breaks is survived. */
class Deliberate extends Error {}

function told(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
