/**
 * Several processes as one server, put together: what they share in Redis, and what of it each part of the server sees.
 * Together with server.ts the composition root; without REDIS_URL nothing of this exists.
 */

import { randomBytes } from 'node:crypto'
import type { Broker, ResumeClaim, SessionView, SuspendedSession } from '../broker/index.ts'
import { RedisCallStore } from './adapters/redis/call-store.ts'
import { ClusterClock } from './adapters/redis/clock.ts'
import { Handover } from './adapters/redis/handover.ts'
import type { RedisLink } from './adapters/redis/link.ts'
import { LeasedMembers, type NodeFacts } from './adapters/redis/members.ts'
import { RegistryPresence } from './adapters/redis/presence.ts'
import { createRedisLink, type LinkObserver } from './adapters/redis/redis-link.ts'
import { Registry } from './adapters/redis/registry.ts'
import { Residents } from './adapters/redis/residents.ts'
import { RedisRevocations } from './adapters/redis/revocations.ts'
import { BusRoutes } from './adapters/redis/routes.ts'
import { StreamBus } from './adapters/redis/stream-bus.ts'
import type { CallService } from './calls/service.ts'
import type { CredentialService } from './credentials/service.ts'
import { type Outcome, refuse } from './errors.ts'
import type { Log } from './log.ts'
import { type Clock, type Devices, type Directory, type NodeId, Unavailable } from './ports.ts'
import type { PresenceService } from './presence/service.ts'
import type { RedisConfig } from './redis-config.ts'
import type { NodeReport } from './reports.ts'

/** The parts of this process; they are asked for only after the server has been put together. */
export interface ClusterParts {
  readonly devices: Devices
  readonly calls: CallService
  readonly presence: PresenceService
  readonly credentials: CredentialService
  readonly broker: Broker
}

export interface ClusterOptions {
  readonly redis: RedisConfig
  /** Shown to operators. */
  readonly nodeName: string
  readonly version: string
  readonly scope: 'all' | 'watched'
  /** How long a session may be without a process. */
  readonly graceMs: number
  readonly clock: Clock
  readonly log: Log
  readonly parts: () => ClusterParts
  readonly report: (error: unknown) => void
}

/** Redis may be away for so long before this process asks for no new traffic: most connections come back sooner. */
const UNREADY_AFTER_MS = 5_000

/** At the start Redis is waited for so long; a server without it starts as well, and asks for no traffic. */
const START_MS = 5_000

/** How long a start waits for what others have heard lately. */
const LATELY_MS = 1_000

/** Until all others know that this process holds nothing any more. */
const FAREWELL_MS = 1_000

export class Cluster {
  readonly self: NodeId
  readonly store: RedisCallStore
  /** The clock that all processes share: deadlines of calls go by it. */
  readonly clock: ClusterClock
  readonly routes: BusRoutes
  readonly directory: Directory
  readonly presence: RegistryPresence
  readonly revocations: RedisRevocations
  readonly #options: ClusterOptions
  readonly link: RedisLink
  readonly #members: LeasedMembers
  readonly #bus: StreamBus
  readonly #residents: Residents
  readonly #handover: Handover
  #observer: LinkObserver = {}
  /** When Redis went away. */
  #downSince: number | undefined
  #started = false

  constructor(options: ClusterOptions) {
    const { redis, clock, log, report, parts, nodeName, version, scope, graceMs } = options
    this.#options = options
    this.self = `${nameForKeys(nodeName)}-${randomBytes(6).toString('base64url')}`
    const world = { self: this.self, clock, log: log.child({ part: 'redis' }) }
    const link = createRedisLink(redis, {
      ...world,
      observer: { answered: (seconds) => this.#observer.answered?.(seconds), lost: () => this.#observer.lost?.() },
    })
    const startedAt = clock.now()
    this.link = link
    this.#downSince = startedAt
    this.clock = new ClusterClock({ ...world, link })
    this.#members = new LeasedMembers({
      ...world,
      link,
      facts: () => ({ name: nodeName, version, startedAt, ...this.#numbers() }),
    })
    const members = this.#members
    this.#bus = new StreamBus({
      ...world,
      link,
      living: () => members.living(),
      met: (node) => members.met(node),
    })
    const bus = this.#bus
    this.store = new RedisCallStore({ link, bus, clock, redisTime: this.clock })
    const registry = new Registry(link, this.self)
    this.directory = registry
    this.#residents = new Residents({
      registry,
      calls: {
        lost: (user, device, token, former, away) => parts().calls.lost(user, device, token, former, away),
        returned: (user, device, token) => parts().calls.returned(user, device, token),
        appeared: (user, device) => parts().calls.appeared(user, device),
      },
      fenced: (device) => parts().broker.expel(device, FENCED),
      report,
    })
    const residents = this.#residents
    const common = { bus, members, registry, residents, link, clock, report }
    this.routes = new BusRoutes({
      ...common,
      devices: {
        holds: (device) => parts().devices.holds(device),
        tell: (device, destination, message) => parts().devices.tell(device, destination, message),
        reachable: (user, destination) => parts().devices.reachable(user, destination),
      },
      calls: {
        ringsHere: (user, callId) => parts().calls.ringsHere(user, callId),
        inTurn: (callId, work) => parts().calls.inTurn(callId, work),
      },
    })
    this.presence = new RegistryPresence({
      ...common,
      scope,
      hears: (changes, ours) => parts().presence.hears(changes, ours),
      learns: (change) => parts().presence.learns(change),
      remembered: () => parts().presence.remembered(),
      lately: () => parts().presence.lately(),
      changedLately: (changes) => parts().presence.changedLately(changes),
    })
    residents.alsoRewrites(this.presence)
    this.revocations = new RedisRevocations({
      ...common,
      cuts: (taken) => parts().credentials.cuts(taken),
      learns: (revoked) => parts().credentials.learns(revoked),
    })
    const sessions = { release: (claim: ResumeClaim) => parts().broker.release(claim) }
    this.#handover = new Handover({ ...common, routes: this.routes, sessions, graceMs })
    members.onDeath((dead) => this.#inherits(dead))
    members.onRevival(() => this.#restores())
  }

  /** Fulfilled when this process is one of the cluster, or when Redis could not be reached: it goes on trying then. */
  async start(): Promise<void> {
    const { clock } = this.#options
    await new Promise<void>((resolve) => {
      const cancel = clock.after(START_MS, resolve)
      this.link.watch({
        up: () => {
          this.#downSince = undefined
          cancel()
          resolve()
          if (this.#started) this.#inBackground(() => this.#restores())
        },
        down: () => {
          this.#downSince ??= clock.now()
        },
      })
    })
    await this.clock.start()
    await this.#members.start()
    await this.#bus.start()
    await this.presence.asksLately(LATELY_MS)
    await this.revocations.catchUp().catch(unlessAway)
    this.#started = true
  }

  /** Connections are closed; sessions that are let go of may go on elsewhere. */
  async park(letGo: () => readonly SuspendedSession[]): Promise<void> {
    await this.#residents.idle()
    await this.#handover.park(letGo())
    this.presence.flush()
    if (this.link.up) await this.routes.leaves(FAREWELL_MS)
  }

  /** Nothing is asked of Redis any more. */
  async stop(): Promise<void> {
    this.#started = false
    await this.#residents.idle()
    await this.#bus.stop()
    await this.#members.stop({ lingers: true })
    this.clock.stop()
    await this.store.stop()
    await this.link.stop()
  }

  /** Of the processes that live, one: what shall be done once is done by it, as a rule. */
  leads(): boolean {
    return [...this.#members.living()].every((node) => node >= this.self)
  }

  /** How Redis is, to decide about new traffic. */
  state(): 'up' | 'down' {
    const since = this.#downSince
    return since !== undefined && this.#options.clock.now() - since >= UNREADY_AFTER_MS ? 'down' : 'up'
  }

  /** A session that is claimed, and that this process does not hold. */
  fetch(claim: ResumeClaim): Promise<SuspendedSession | undefined> {
    return this.#handover.fetch(claim)
  }

  /** A new session is connected here. */
  connected({ id, principal: { user, token }, connectedAt }: SessionView): void {
    this.#residents.connected(user, id, { token, former: [], rings: false, away: false, connectedAt })
  }

  /** A session that another process has held is here: it hears what has come for it meanwhile. */
  unpacked({ id }: SessionView): void {
    this.routes.arrived(id)
  }

  /** A session has another token. */
  renewed(session: SessionView | undefined): void {
    if (session === undefined) return
    const { id, principal } = session
    this.#residents.changed(id, { token: principal.token, former: this.#options.parts().credentials.former(session) })
  }

  /** The calls, as sessions tell them that they come and go: the registry hears of it before. */
  get calls(): Pick<CallService, 'appeared' | 'listens' | 'lost' | 'returned' | 'hearsEnds'> {
    const { parts } = this.#options
    const residents = this.#residents
    return {
      appeared: async (user, device) => {
        residents.changed(device, { rings: true })
        await residents.settled(user)
        await parts().calls.appeared(user, device)
      },
      listens: (user, device) => parts().calls.listens(user, device),
      hearsEnds: (user, device, token) => parts().calls.hearsEnds(user, device, token),
      lost(user, device, token = '', former = [], away = false) {
        residents.changed(device, { token, former })
        if (away) residents.away(device)
        else residents.ended(device)
        return residents.settled(user).then(() => true)
      },
      returned(user, device, token) {
        residents.returned(device, { token })
        return residents.settled(user).then(() => true)
      },
    }
  }

  /** All processes, for operators. */
  async nodes(): Promise<Outcome<readonly NodeReport[]>> {
    try {
      const reports = await this.#members.reports()
      return { ok: true, data: reports.map(({ id, facts }) => reportOf(id, facts, id === this.self)) }
    } catch (error) {
      unlessAway(error)
      return refuse('unavailable', 'the servers know of each other through Redis, which cannot be reached', {
        retryAfter: 2,
      })
    }
  }

  /** From now on this one is told of the way to Redis. */
  observe(observer: LinkObserver): void {
    this.#observer = observer
  }

  /** For metrics. */
  counts() {
    return {
      up: this.link.up,
      nodes: this.#members.living().size,
      devices: this.#residents.size,
      skewMs: this.clock.skew,
      routes: this.routes.counts,
      handover: this.#handover.counts,
      bus: this.#bus.counts(),
      calls: this.store.counts,
    }
  }

  /** A process is dead: what it had is lost, what it had not told is told, and nobody reads its inbox. */
  async #inherits(dead: NodeId): Promise<void> {
    const { parts } = this.#options
    await this.#residents.inherit(dead, (user, estate) => this.presence.inherited(user, estate))
    await parts().calls.recover(this.store.recover(dead))
    await this.#bus.forget(dead)
  }

  /** Redis is there again, empty perhaps, or has taken this process for dead. */
  async #restores(): Promise<void> {
    const { parts } = this.#options
    await this.revocations.catchUp()
    await this.#residents.restore()
    await this.presence.catchUp()
    await parts().calls.recover(this.store.recover(this.self))
  }

  #numbers(): { sessions: number; away: number; users: number } {
    const { sessions, away, users } = this.#options.parts().broker.counts()
    return { sessions, away, users }
  }

  #inBackground(work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      // It is done when Redis says that it is back
      if (!(error instanceof Unavailable)) this.#options.report(error)
    })
  }
}

/** It belongs to another process by now: whoever is still connected here is to come back anew. */
const FENCED = { code: 503, message: 'session: another server took it over; connect again' }

function unlessAway(error: unknown): void {
  if (!(error instanceof Unavailable)) throw error
}

const reportOf = (id: NodeId, facts: NodeFacts | undefined, self: boolean): NodeReport => ({
  id,
  name: facts?.name ?? '',
  version: facts?.version ?? '',
  startedAt: facts?.startedAt ?? 0,
  self,
  sessions: Number(facts?.sessions ?? 0),
  away: Number(facts?.away ?? 0),
  users: Number(facts?.users ?? 0),
})

/** Part of keys and of what operators read. */
const nameForKeys = (name: string): string => name.replace(/[^\w.]/g, '_').slice(0, 40)
