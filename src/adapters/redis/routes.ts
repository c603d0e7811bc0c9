/**
 * Messages for devices of other processes, over the bus: each goes to where its device is, as far as that is remembered
 * (places.ts), or after a look into the registry. Whoever gets one for a device that has moved on passes it on and says so;
 * what comes for a device that is on its way here waits for it (arrival.ts).
 *
 * Messages for one user go one after the other, so that none overtakes another that waits for a look, or for what is still
 * under way to where a device was.
 */

import type { CallId, Target } from '../../calls/types.ts'
import { Lines } from '../../lines.ts'
import {
  type Awaitable,
  type Clock,
  type DeviceId,
  type Devices,
  type Message,
  type NodeId,
  type Routes,
  Unavailable,
  type UserId,
} from '../../ports.ts'
import { Arrival, type Waiting } from './arrival.ts'
import { askOthers, type Bus, type BusMessage, type Members, type Round } from './bus.ts'
import { Places } from './places.ts'
import { type Entry, PARKED, type Registry } from './registry.ts'

export interface RouteOptions {
  readonly bus: Bus
  readonly members: Pick<Members, 'living'>
  readonly registry: Pick<Registry, 'devices' | 'leaveFor'>
  readonly devices: Pick<Devices, 'holds' | 'tell' | 'reachable'>
  readonly clock: Clock
  readonly calls: {
    ringsHere(user: UserId, callId: CallId): unknown
    inTurn(callId: CallId, work: () => void): void
  }
  readonly report: (error: unknown) => void
}

/** What has gone which way, since the start. */
export interface RouteCounts {
  sent: number
  received: number
  /** Came here for a device that had moved on. */
  forwarded: number
  /** For a device that nobody has, or that could not be looked up. */
  lost: number
  /** Looks into the registry. */
  lookups: number
}

/** How often a message is passed on before it is given up. */
const MOST_HOPS = 4

/** Messages that wait for one user whose devices are looked up. */
const MOST_WAITING = 512

/** A message as it travels; its body beside it. */
interface Told {
  readonly user: UserId
  /** Absent: all of the user's devices but `except`. */
  readonly devices?: readonly DeviceId[]
  readonly except?: DeviceId
  /** Of a message for all: those that the receiver had when they were looked up. */
  readonly known?: readonly DeviceId[]
  readonly destination: string
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly about?: CallId
  /** Who has sent it first, and how often it was passed on. */
  readonly origin?: NodeId
  readonly hops?: number
}

export class BusRoutes implements Routes {
  readonly counts: RouteCounts = { sent: 0, received: 0, forwarded: 0, lost: 0, lookups: 0 }
  readonly #options: RouteOptions
  readonly #lines = new Lines()
  /** How much waits in each line. */
  readonly #waiting = new Map<UserId, number>()
  readonly #places: Places
  /** Devices that are on their way here. */
  readonly #expected = new Map<DeviceId, Arrival>()
  /** All others are told that this process stops. */
  #farewell: Round | undefined

  constructor(options: RouteOptions) {
    this.#options = options
    const { bus } = options
    this.#places = new Places({ ...options, inLine: (user, work) => this.#mustInLine(user, work) })
    bus.handle('tell', (from, message) => this.#told(from, message))
    bus.onUndelivered?.((messages) => this.#undelivered(messages))
    bus.handle('ring', (_, { facts }) => {
      const { user, callId } = facts as { user: UserId; callId: CallId }
      this.counts.received++
      options.calls.ringsHere(user, callId)
    })
    bus.handle('understood', (from) => void this.#farewell?.answers(from))
  }

  tell(to: Target, destination: string, message: Message, about?: CallId): void {
    const { contentType, headers } = message
    const told: Told = {
      user: to.user,
      ...('devices' in to ? { devices: to.devices } : to.except !== undefined && { except: to.except }),
      destination,
      ...(contentType !== undefined && { contentType }),
      ...(headers && { headers }),
      ...(about !== undefined && { about }),
    }
    // A copy: what came over the network is somebody else's memory
    const body = typeof message.body === 'string' ? Buffer.from(message.body) : Buffer.from(message.body)
    this.#inLine(to.user, () => ('devices' in to ? this.#toDevices(told, to.devices, body) : this.#toUser(told, body)))
  }

  ring(user: UserId, callId: CallId): void {
    this.#inLine(user, async () => {
      for (const node of nodesOf(await this.#lookUp(user), this.#self)) {
        this.counts.sent++
        this.#options.bus.send(node, { kind: 'ring', facts: { user, callId } })
      }
    })
  }

  /** What comes for the device from now on is kept until it is here. */
  expect(user: UserId, device: DeviceId): void {
    if (!this.#expected.has(device)) this.#expected.set(device, new Arrival(user))
  }

  /**
   * The session of a device that is expected has come. What was sent from here to where it was is still on its way back:
   * fulfilled when that has arrived, and nothing that is sent from here from now on overtakes it.
   */
  async catchesUp(user: UserId, device: DeviceId): Promise<void> {
    const expected = this.#expected.get(device)
    if (expected === undefined) return
    // Nobody else waits in the user's line for this: whoever is asked may wait for something that passes here
    expected.catchesUp()
    await this.#places.comesHere(user, device)
    expected.caughtUp()
  }

  /** It is here: it is told what has come for it meanwhile. */
  arrived(device: DeviceId): void {
    const { waiting = [] } = this.#expected.get(device) ?? {}
    this.#expected.delete(device)
    this.#places.forgets(device)
    for (const { destination, message } of waiting) this.#options.devices.tell(device, destination, message)
  }

  /** It does not come. */
  givesUp(device: DeviceId): void {
    this.counts.lost += this.#expected.get(device)?.waiting.length ?? 0
    this.#expected.delete(device)
  }

  /**
   * What was left for a device while nobody had it, as {@link Registry.takeParked} gives it back: before whatever has come
   * for it since it was taken.
   */
  keeps(device: DeviceId, left: readonly string[]): void {
    this.#expected.get(device)?.finds(
      left.map((one) => {
        const [destination, contentType, headers, body] = JSON.parse(one) as Left
        return waitingOf({ destination, contentType, headers }, Buffer.from(body, 'base64'))
      }),
    )
  }

  /** A device of the user is given away: messages for it that come meanwhile are passed on behind what `work` sends. */
  async whileMoving<T>(user: UserId, work: () => Promise<T>): Promise<T> {
    return this.#lines.run(user, work)
  }

  /**
   * This process stops and holds no device any more: nobody sends anything here from now on. Fulfilled when all others
   * have understood, or after a moment.
   */
  async leaves(patienceMs: number): Promise<void> {
    this.#farewell = askOthers(this.#options, { kind: 'leaving', facts: {} }, patienceMs)
    await this.#farewell.over
    // What had come before is being passed on
    await Promise.all(this.#lines.keys().map((user) => this.#lines.run(user, () => undefined)))
    this.#options.bus.broadcast({ kind: 'left', facts: {} })
  }

  get #self(): NodeId {
    return this.#options.bus.self
  }

  // Sending

  /** At once, when nothing waits and nobody must be asked. Bounded: what there is no room for is lost. */
  #inLine(user: UserId, work: () => Awaitable<void>): void {
    if (!this.#lines.busy(user)) {
      this.#lookAfter(this.#lines.run(user, work))
      return
    }
    const waiting = this.#waiting.get(user) ?? 0
    if (waiting >= MOST_WAITING) {
      this.counts.lost++
      return
    }
    this.#waiting.set(user, waiting + 1)
    const counted = () => {
      const left = (this.#waiting.get(user) ?? 1) - 1
      if (left > 0) this.#waiting.set(user, left)
      else this.#waiting.delete(user)
      return work()
    }
    this.#lookAfter(this.#lines.run(user, counted))
  }

  /** What keeps order is never dropped. */
  #mustInLine(user: UserId, work: () => Awaitable<void>): void {
    this.#lookAfter(this.#lines.run(user, work))
  }

  #lookAfter(done: Awaitable<void>): void {
    if (!(done instanceof Promise)) return
    done.catch((error: unknown) => {
      if (error instanceof Unavailable) this.counts.lost++
      else this.#options.report(error)
    })
  }

  #toDevices(told: Told, devices: readonly DeviceId[], body: Buffer): Awaitable<void> {
    const [first] = devices
    if (first === undefined) return undefined
    if (devices.length > 1) return this.#eachToItsPlace(told, devices, body)
    if (this.#isHere(told, first, body)) return undefined
    const place = this.#places.of(first)
    if (place === undefined) return this.#eachToItsPlace(told, devices, body)
    this.#send(place, told, body)
    return undefined
  }

  async #eachToItsPlace(told: Told, devices: readonly DeviceId[], body: Buffer): Promise<void> {
    const known = devices.every((device) => this.#places.of(device) !== undefined)
    const entries = known ? [] : await this.#lookUp(told.user)
    const byNode = new Map<NodeId, DeviceId[]>()
    for (const device of devices) {
      if (this.#isHere(told, device, body)) continue
      const place = known ? this.#places.of(device) : this.#places.among(entries, device)
      if (place === undefined) await this.#elsewhere(told, device, entries, body)
      else byNode.set(place, [...(byNode.get(place) ?? []), device])
    }
    for (const [node, those] of byNode) this.#send(node, { ...told, devices: those }, body)
  }

  async #toUser(told: Told, body: Buffer): Promise<void> {
    const entries = await this.#lookUp(told.user)
    for (const node of nodesOf(entries, this.#self)) {
      const known = entries.filter((entry) => entry.node === node && entry.id !== told.except).map(({ id }) => id)
      this.#send(node, { ...told, known }, body)
    }
    for (const { id, node } of entries)
      if (id !== told.except && (node === PARKED || node === this.#self)) await this.#elsewhere(told, id, entries, body)
  }

  /** Whether the device has come here meanwhile, or is just coming: then it is told. */
  #isHere(told: Told, device: DeviceId, body: Buffer): boolean {
    const { devices } = this.#options
    const expected = this.#expected.get(device)
    if (devices.holds(device)) devices.tell(device, told.destination, messageOf(told, body))
    else if (!expected?.hasSession) return false
    else this.#lostUnless(expected.isTold(waitingOf(told, body)))
    return true
  }

  /** Whether the device is expected: then what has come from elsewhere waits for it. */
  #waitsHere(told: Told, device: DeviceId, body: Buffer): boolean {
    const expected = this.#expected.get(device)
    if (expected === undefined) return false
    this.#lostUnless(expected.hears(waitingOf(told, body)))
    return true
  }

  /** What there is no room for is lost. */
  #lostUnless(isRoom: boolean): void {
    if (!isRoom) this.counts.lost++
  }

  /** Nobody has the device now: it is on its way here, waits for somebody, or is no more. */
  async #elsewhere(told: Told, device: DeviceId, entries: readonly Entry[], body: Buffer): Promise<void> {
    if (this.#waitsHere(told, device, body)) return
    const { destination, contentType, headers, user } = told
    const entry = entries.find(({ id }) => id === device)
    if (entry?.node === PARKED) {
      const left: Left = [destination, contentType ?? null, headers ?? null, body.toString('base64')]
      if (await this.#options.registry.leaveFor(user, device, JSON.stringify(left))) return
      const place = this.#places.among(await this.#lookUp(user), device)
      if (place !== undefined) this.#send(place, { ...told, devices: [device] }, body)
      else if (!this.#waitsHere(told, device, body)) this.counts.lost++
    } else if (entry === undefined || entry.node === this.#self) this.counts.lost++
  }

  #send(node: NodeId, told: Told, body: Buffer): void {
    this.counts.sent++
    this.#options.bus.send(node, { kind: 'tell', facts: told, body })
  }

  /** A process has died before it took these: its devices may have moved on before. In the order in which they were sent. */
  #undelivered(messages: readonly BusMessage[]): void {
    for (const { kind, facts, body = NOTHING } of messages) {
      if (kind !== 'tell') continue
      const told = facts as Told
      const { user, devices, hops = 0 } = told
      if (devices === undefined || hops >= MOST_HOPS) this.counts.lost += devices?.length ?? 1
      else this.#inLine(user, () => this.#toDevices({ ...told, hops: hops + 1 }, devices, body))
    }
  }

  // Receiving

  #told(from: NodeId, { facts, body = NOTHING }: BusMessage): void {
    const told = facts as Told
    this.counts.received++
    this.#places.heard(from)
    const work = () => this.#deliver(told, body, told.origin ?? from)
    if (told.about === undefined) work()
    else this.#options.calls.inTurn(told.about, work)
  }

  #deliver(told: Told, body: Buffer, origin: NodeId): void {
    const { user, devices: named, known = [], except, destination } = told
    const { devices } = this.#options
    const message = messageOf(told, body)
    if (named === undefined) {
      for (const device of devices.reachable(user, destination))
        if (device !== except) devices.tell(device, destination, message)
      for (const [device, expected] of this.#expected)
        if (expected.user === user && device !== except) this.#waitsHere(told, device, body)
      // It was here when it was looked up, and has moved on meanwhile
      const gone = known.filter((device) => !devices.holds(device) && !this.#expected.has(device))
      if (gone.length > 0) this.#passOn({ ...told, devices: gone, origin }, gone, body)
      return
    }
    const moved: DeviceId[] = []
    for (const device of named) {
      if (devices.holds(device)) devices.tell(device, destination, message)
      else if (!this.#waitsHere(told, device, body)) moved.push(device)
    }
    if (moved.length > 0) this.#passOn({ ...told, devices: moved, origin }, moved, body)
  }

  /** To where the devices are now; who has sent it hears where that is. */
  #passOn(told: Told, devices: readonly DeviceId[], body: Buffer): void {
    const { user, hops = 0, origin } = told
    if (hops >= MOST_HOPS || origin === undefined) {
      this.counts.lost += devices.length
      return
    }
    this.#inLine(user, async () => {
      const known = devices.every((device) => this.#places.of(device) !== undefined)
      const entries = known ? [] : await this.#lookUp(user)
      for (const device of devices) {
        const place = known ? this.#places.of(device) : this.#places.among(entries, device)
        this.counts.forwarded++
        if (place !== undefined) this.#send(place, { ...told, devices: [device], hops: hops + 1 }, body)
        else await this.#elsewhere(told, device, entries, body)
        this.#places.corrects(origin, user, device, place)
      }
    })
  }

  /** Looks into the registry, and remembers what it finds. Behind what is still under way to where a device was. */
  async #lookUp(user: UserId): Promise<readonly Entry[]> {
    this.counts.lookups++
    const entries = await this.#options.registry.devices(user)
    await this.#places.learns(user, entries)
    return entries
  }
}

/** What is left for a device that nobody has: destination, type, headers, body in base64. */
type Left = readonly [string, string | null, Readonly<Record<string, string>> | null, string]

const NOTHING = Buffer.alloc(0)

/** Every process but this one that holds some of the devices. */
function nodesOf(entries: readonly Entry[], self: NodeId): ReadonlySet<NodeId> {
  return new Set(entries.map(({ node }) => node).filter((node) => node !== PARKED && node !== self))
}

/** What a message is made of, beside its body. */
interface Heads {
  readonly destination: string
  readonly contentType?: string | null | undefined
  readonly headers?: Told['headers'] | null
}

const messageOf = ({ contentType, headers }: Heads, body: Buffer): Message => ({
  body,
  ...(contentType != null && { contentType }),
  ...(headers && { headers }),
})

const waitingOf = (heads: Heads, body: Buffer): Waiting => ({
  destination: heads.destination,
  message: messageOf(heads, body),
})
