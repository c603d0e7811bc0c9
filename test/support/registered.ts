/** A process with devices of its own in the registry, and the way to those of others; calls are noted only. */

import { type Clock, systemClock } from '../../broker/clock.ts'
import type { ResumeClaim, SuspendedSession } from '../../broker/index.ts'
import { Handover } from '../../src/adapters/redis/handover.ts'
import type { RedisLink } from '../../src/adapters/redis/link.ts'
import { RegistryPresence } from '../../src/adapters/redis/presence.ts'
import { type DeviceFacts, Registry } from '../../src/adapters/redis/registry.ts'
import { Residents } from '../../src/adapters/redis/residents.ts'
import { BusRoutes } from '../../src/adapters/redis/routes.ts'
import { Unavailable } from '../../src/ports.ts'
import { FakeDevices } from './devices.ts'
import { type NodeAtHand, type NodeOptions, nodeAt } from './nodes.ts'

export const QUEUE = '/user/queue/call/hangup'

export interface RegisteredNode extends NodeAtHand {
  readonly registry: Registry
  readonly residents: Residents
  readonly routes: BusRoutes
  readonly presence: RegistryPresence
  readonly handover: Handover
  readonly devices: FakeDevices
  /** What became of calls, and of devices that are fenced. */
  readonly noted: string[]
  /** Fulfilled when this has been noted. */
  notes(line: string): Promise<void>
  /** Bugs. */
  readonly bugs: unknown[]
  /** Sessions that can be given away. */
  readonly sessions: Map<string, SuspendedSession>
  /** Whose presence has changed not long ago. */
  readonly lately: (readonly [user: string, agoMs: number])[]
  /** Given away only when this is fulfilled. */
  busy: Promise<void>
  /** What the registry and the hand-over ask of Redis. */
  readonly asking: Pick<Breakable, 'breaks' | 'waits'>
  /** A device connects here, and is registered. */
  arrives(user: string, device: string): Promise<void>
  /** It has told somebody's device this. */
  tells(user: string, device: string, text: string): void
  /** What the device has heard, when there are so many. */
  hasHeard(device: string, count: number): Promise<unknown[]>
  /** The device is wanted here. */
  resumes(user: string, device: string, resumeId?: string): Promise<SuspendedSession | undefined>
}

/** Fails where a test says so: before Redis has heard of the command, or when it has carried it out. */
class Breakable {
  readonly #link: RedisLink
  #left = Number.POSITIVE_INFINITY
  #carriedOut = false

  constructor(link: RedisLink) {
    this.#link = link
  }

  /** The command after `skip` others fails. */
  breaks(skip: number, carriedOut: boolean): void {
    this.#left = skip
    this.#carriedOut = carriedOut
  }

  /** Whether a fault still waits for its command. */
  get waits(): boolean {
    return this.#left >= 0 && this.#left < Number.POSITIVE_INFINITY
  }

  get link(): RedisLink {
    const link = this.#link
    return {
      prefix: link.prefix,
      time: () => link.time(),
      run: (...args: Parameters<RedisLink['run']>) => this.does(() => link.run(...args)),
      script: (...args: Parameters<RedisLink['script']>) => this.does(() => link.script(...args)),
    } as RedisLink
  }

  /** A command that goes another way. */
  async does<T>(work: () => Promise<T>): Promise<T> {
    if (this.#left-- !== 0) return work()
    if (this.#carriedOut) await work()
    throw new Unavailable('this command fails')
  }
}

/** A busy machine is not a process that hangs: whoever is asked has four times as long to answer. */
const patient: Clock = { now: () => systemClock.now(), after: (ms, work) => systemClock.after(4 * ms, work) }

export const FACTS: DeviceFacts = { token: 't', former: [], rings: true, away: false, connectedAt: 1 }

export interface RegisteredOptions extends NodeOptions {
  readonly scope?: 'all' | 'watched'
  /** Of the hand-over alone. */
  readonly clock?: Clock
  /** Of the routes alone. */
  readonly patience?: Clock
}

export async function registeredNode({
  scope = 'all',
  clock = systemClock,
  patience = patient,
  ...options
}: RegisteredOptions): Promise<RegisteredNode> {
  const node = await nodeAt(options)
  const asking = new Breakable(node.link)
  const devices = new FakeDevices()
  const noted: string[] = []
  const bugs: unknown[] = []
  const sessions = new Map<string, SuspendedSession>()
  const wake: (() => void)[] = []
  const stir = () => {
    for (const one of wake.splice(0)) one()
  }
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise<void>((resolve) => wake.push(resolve))
  }
  const note = (line: string) => {
    noted.push(line)
    stir()
    return true
  }
  const report = (error: unknown) => void bugs.push(error)
  const registry = new Registry(asking.link, node.id)
  const residents = new Residents({
    registry,
    calls: {
      lost: (_, device) => note(`lost ${device}`),
      returned: (_, device) => note(`returned ${device}`),
      appeared: (_, device) => note(`appeared ${device}`),
    },
    fenced: (device) => note(`fenced ${device}`),
    report,
  })
  const heard: Pick<FakeDevices, 'holds' | 'reachable' | 'tell'> = {
    holds: (device) => devices.holds(device),
    reachable: (user, destination) => devices.reachable(user, destination),
    tell(device, destination, message) {
      const done = devices.tell(device, destination, message)
      stir()
      return done
    },
  }
  const common = {
    link: node.link,
    bus: node.bus,
    members: node.members,
    registry,
    residents,
    clock: systemClock,
    report,
  }
  const routes = new BusRoutes({
    ...common,
    clock: patience,
    members: node.members,
    devices: heard,
    calls: { ringsHere: (user, callId) => note(`rings ${user} ${callId}`), inTurn: (_, work) => work() },
  })
  const lately: (readonly [string, number])[] = []
  const presence = new RegistryPresence({
    ...common,
    scope,
    hears: (changes, ours) => {
      for (const { user, online } of changes) note(`${user} ${online ? 'online' : 'offline'}${ours ? ' (ours)' : ''}`)
    },
    learns: ({ user, online }) => void note(`${user} is ${online ? 'online' : 'offline'}`),
    remembered: () => [],
    lately: () => lately,
    changedLately: (changes) => void lately.push(...changes),
  })
  residents.alsoRewrites(presence)
  const release = async ({ sessionId, resumeId }: ResumeClaim) => {
    note(`asked for ${sessionId}`)
    await self.busy
    const session = sessions.get(sessionId)
    if (session?.resumeId !== resumeId) return undefined
    sessions.delete(sessionId)
    devices.disconnect(sessionId)
    return session
  }
  const members = { leaseUntil: (id: string) => asking.does(() => node.members.leaseUntil(id)) }
  const handover = new Handover({ ...common, members, clock, routes, sessions: { release }, graceMs: 30_000 })
  node.members.onDeath(async (dead) => {
    await residents.inherit(dead, (user, estate) => presence.inherited(user, estate))
    await node.bus.forget(dead)
    note(`inherited ${dead}`)
  })
  node.members.onRevival(() => residents.restore())
  let first = true
  node.link.watch({
    up: () => {
      if (!first) void residents.restore()
      first = false
    },
  })
  const self: RegisteredNode = {
    ...node,
    busy: Promise.resolve(),
    lately,
    asking,
    registry,
    residents,
    routes,
    presence,
    handover,
    devices,
    noted,
    bugs,
    sessions,
    notes: (line) => until(() => noted.includes(line)),
    async arrives(user, device) {
      devices.connect(user, device)
      sessions.set(device, sessionOf(user, device))
      residents.connected(user, device, FACTS)
      await residents.settled(user)
    },
    tells: (user, device, text) => routes.tell({ user, devices: [device] }, QUEUE, { body: JSON.stringify({ text }) }),
    async hasHeard(device, count) {
      const mine = () => devices.heard.filter((frame) => frame.device === device)
      await until(() => mine().length >= count)
      return mine().map(({ body }) => body.text)
    },
    async resumes(user, device, resumeId = `${device}.secret`) {
      const claim = { user, sessionId: device, resumeId, version: '1.2', lastSeq: 0 } as const
      const session = await handover.fetch(claim)
      if (session === undefined) return undefined
      devices.connect(user, device)
      sessions.set(device, session)
      routes.arrived(device)
      residents.returned(device, {})
      await residents.settled(user)
      return session
    },
  }
  return self
}

export const sessionOf = (user: string, id: string): SuspendedSession => ({
  id,
  resumeId: `${id}.secret`,
  principal: { user, token: 't' },
  version: '1.2',
  connectedAt: 1,
  comesBack: false,
  subscriptions: [{ id: 'sub-0', destination: QUEUE, ack: 'auto' }],
  lastSeq: 2,
  keptAfter: 0,
  frames: [
    { seq: 1, isText: true, octets: Buffer.from('MESSAGE one') },
    { seq: 2, isText: false, octets: Buffer.from([0, 255, 13]) },
  ],
  missed: false,
  luggage: { any: 'thing' },
})
