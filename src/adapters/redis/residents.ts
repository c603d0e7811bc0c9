/**
 * What this process has in the registry: its devices and the users it counts as online or watches. Writes are made in
 * order for each user; what cannot be written while Redis is away is made up for when it is back, and everything is
 * written again when it may have been lost.
 *
 * A loss is noted in the user's call only by the process to which the device belongs: see the epoch in registry.ts.
 */

import { Lines } from '../../lines.ts'
import { type Awaitable, type DeviceId, type NodeId, Unavailable, type UserId } from '../../ports.ts'
import type { DeviceFacts, Entry, Registry } from './registry.ts'

/** What becomes of calls when devices come and go. False: the store cannot be reached, it must be said again. */
export interface Losses {
  lost(user: UserId, device: DeviceId, token: string, former: readonly string[], away: boolean): Awaitable<boolean>
  returned(user: UserId, device: DeviceId, token: string): Awaitable<unknown>
  /** The device listens where calls ring. */
  appeared(user: UserId, device: DeviceId): Awaitable<unknown>
}

/** Something else that this process writes for a user, and writes again: presence. */
export interface Rewritten {
  /** Users of whom this process has something in the registry. */
  users(): Iterable<UserId>
  again(user: UserId): Promise<void>
}

export interface ResidentOptions {
  readonly registry: Registry
  readonly calls: Losses
  /** The device belongs to another process: its session here is to be cut without a word to anybody. */
  readonly fenced: (device: DeviceId) => void
  readonly report: (error: unknown) => void
}

interface Resident {
  readonly user: UserId
  epoch: number
  facts: DeviceFacts
  /** Another process has it; nothing is written here any more. */
  fenced: boolean
}

interface Loss {
  readonly user: UserId
  readonly token: string
  readonly former: readonly string[]
  /** `away`, `ended`: a device of this process; `left`: one of a process that is dead. */
  readonly kind: 'away' | 'ended' | 'left'
  /** Of a device of this process. */
  readonly epoch: number
}

/** Losses that wait for Redis; beyond it the oldest are given up (their calls end by their own deadlines). */
const MOST_OWED = 50_000

/** Users that are written again at the same time. */
const AT_ONCE = 64
const LISTED_AT_ONCE = 500

export class Residents {
  readonly #options: ResidentOptions
  readonly #lines = new Lines()
  readonly #devices = new Map<DeviceId, Resident>()
  /** Devices of each user that are held here. */
  readonly #ofUser = new Map<UserId, Set<DeviceId>>()
  /** How many parts of this process have something of the user in the registry. */
  readonly #listed = new Map<UserId, number>()
  readonly #owed = new Map<DeviceId, Loss>()
  readonly #rewritten: Rewritten[] = []
  #restoring: Promise<void> | undefined
  #again = false

  constructor(options: ResidentOptions) {
    this.#options = options
  }

  /** Devices that are registered from here. */
  get size(): number {
    return this.#devices.size
  }

  has(device: DeviceId): boolean {
    return this.#devices.has(device)
  }

  /** Takes part in what is written again after Redis was away. */
  alsoRewrites(part: Rewritten): void {
    this.#rewritten.push(part)
  }

  /** A new device is connected. */
  connected(user: UserId, device: DeviceId, facts: DeviceFacts): void {
    this.#take(device)
    this.#has(device, { user, epoch: 1, facts, fenced: false })
    this.#write(user, async () => {
      await this.hold(user)
      await this.#put(device)
    })
  }

  /** A device has moved here, and the registry says so already. It is away until it has `returned`. */
  async adopt(user: UserId, device: DeviceId, epoch: number, facts: DeviceFacts): Promise<void> {
    this.#has(device, { user, epoch, facts: { ...facts, away: true }, fenced: false })
    await this.inLine(user, () => this.hold(user))
  }

  /** Something about a device is different now. */
  changed(device: DeviceId, facts: Partial<DeviceFacts>): void {
    const resident = this.#devices.get(device)
    if (resident === undefined || same(resident.facts, facts)) return
    resident.facts = { ...resident.facts, ...facts }
    this.#write(resident.user, () => this.#put(device))
  }

  /** A device has lost its connection: so it is noted in its call, unless it has moved on. */
  away(device: DeviceId): void {
    const resident = this.#devices.get(device)
    if (resident === undefined) return
    const { user, facts } = resident
    resident.facts = { ...facts, away: true }
    this.#write(user, () => this.#lose(device, lossOf(resident, 'away')))
  }

  /** It is connected again, here. */
  returned(device: DeviceId, facts: Partial<DeviceFacts>): void {
    const resident = this.#devices.get(device)
    if (resident === undefined) return
    const { user } = resident
    resident.facts = { ...resident.facts, ...facts, away: false }
    this.#write(user, async () => {
      this.#owed.delete(device)
      await this.#put(device)
      if (!resident.fenced) await this.#options.calls.returned(user, device, resident.facts.token)
    })
  }

  /** A device is no more. */
  ended(device: DeviceId): void {
    const resident = this.#take(device)
    if (resident === undefined) return
    const { user } = resident
    this.#write(user, () => (resident.fenced ? this.letGo(user) : this.#lose(device, lossOf(resident, 'ended'))))
  }

  /** A device is given away: what was known of it, after everything before has been written. */
  async released(device: DeviceId): Promise<{ readonly epoch: number; readonly facts: DeviceFacts } | undefined> {
    const resident = this.#take(device)
    if (resident === undefined || resident.fenced) return undefined
    const { user, epoch, facts } = resident
    await this.inLine(user, async () => {
      this.#owed.delete(device)
      await this.letGo(user)
    }).catch((error: unknown) => {
      // Their name is found by whoever inherits from this process, and nothing of theirs
      if (!(error instanceof Unavailable)) throw error
    })
    return { epoch, facts }
  }

  /** Fulfilled when everything that was to be written until now has been, or waits for Redis. */
  async idle(): Promise<void> {
    await Promise.all(this.#lines.keys().map((user) => this.settled(user)))
  }

  /** Fulfilled when everything that was to be written of this user has been, or waits for Redis. */
  async settled(user: UserId): Promise<void> {
    if (this.#lines.busy(user)) await this.#lines.run(user, () => undefined)
  }

  /** Work about one user, in order. Rejected as the work is. */
  async inLine<T>(user: UserId, work: () => Promise<T>): Promise<T> {
    return this.#lines.run(user, work)
  }

  /** Call it in the user's line before something of the user is written, once for each part that does. */
  async hold(user: UserId): Promise<void> {
    const parts = this.#listed.get(user) ?? 0
    this.#listed.set(user, parts + 1)
    if (parts === 0) await this.#options.registry.list([user])
  }

  /** The opposite, after it is taken out. */
  async letGo(user: UserId): Promise<void> {
    const parts = (this.#listed.get(user) ?? 0) - 1
    if (parts > 0) {
      this.#listed.set(user, parts)
      return
    }
    this.#listed.delete(user)
    await this.#options.registry.unlist([user])
  }

  /** Redis is back, and may be empty, or has taken this process for dead: everything is written again. */
  restore(): Promise<void> {
    this.#again = true
    this.#restoring ??= this.#restoreAll().finally(() => {
      this.#restoring = undefined
    })
    return this.#restoring
  }

  /** A process is dead: its devices are lost. Rejected with {@link Unavailable}; then it is to be tried again. */
  async inherit(dead: NodeId, told: (user: UserId, estate: Awaited<ReturnType<Registry['inherit']>>) => void) {
    const { registry } = this.#options
    for (;;) {
      const users = await registry.someOf(dead, AT_ONCE)
      if (users.length === 0) return
      await Promise.all(
        users.map(async (user) => {
          const estate = await registry.inherit(user, dead)
          told(user, estate)
          for (const device of estate.devices) await this.bereave(user, device)
        }),
      )
      await registry.unlist(users, dead)
    }
  }

  /** A device whose process is dead, or does not answer, is lost. */
  async bereave(user: UserId, { id, token, former }: Entry): Promise<void> {
    if (await this.#options.calls.lost(user, id, token, former, false)) return
    this.#owe(id, { user, token, former, kind: 'left', epoch: 0 })
  }

  async #restoreAll(): Promise<void> {
    while (this.#again) {
      this.#again = false
      try {
        await this.#writeAgain()
      } catch (error) {
        // Nothing is lost by that: it is back again only when it says so
        if (!(error instanceof Unavailable)) this.#options.report(error)
      }
    }
  }

  async #writeAgain(): Promise<void> {
    const { registry, calls } = this.#options
    const users = [...this.#listed.keys()]
    for (let at = 0; at < users.length; at += LISTED_AT_ONCE) await registry.list(users.slice(at, at + LISTED_AT_ONCE))
    await inParallel([...this.#owed], async ([device, loss]) => {
      await this.inLine(loss.user, async () => {
        if (this.#owed.get(device) === loss) await this.#lose(device, loss)
      })
    })
    await inParallel([...this.#ofUser], async ([user, devices]) => {
      await this.inLine(user, async () => {
        for (const device of devices) await this.#put(device)
      })
    })
    for (const part of this.#rewritten)
      await inParallel([...part.users()], (user) => this.inLine(user, () => part.again(user)))
    // Somebody may have taken these devices for lost meanwhile, or called them
    await inParallel([...this.#devices], async ([device, { user, facts, fenced }]) => {
      if (fenced || facts.away) return
      await calls.returned(user, device, facts.token)
      if (facts.rings) await calls.appeared(user, device)
    })
  }

  async #put(device: DeviceId): Promise<void> {
    const resident = this.#devices.get(device)
    if (resident === undefined || resident.fenced) return
    const { user, epoch, facts } = resident
    if (await this.#options.registry.put(user, device, epoch, facts)) return
    resident.fenced = true
    this.#options.fenced(device)
  }

  async #lose(device: DeviceId, loss: Loss): Promise<void> {
    const { user, token, former, kind } = loss
    // Owed from the beginning: whatever fails on the way is done when Redis is back
    this.#owe(device, loss)
    if (await this.#isOurs(device, loss)) {
      if (!(await this.#options.calls.lost(user, device, token, former, kind === 'away'))) return
    }
    this.#owed.delete(device)
    if (kind === 'ended') await this.letGo(user)
  }

  /** Says in the registry what has become of the device, and whether its loss is for this process to note. */
  async #isOurs(device: DeviceId, { user, kind, epoch }: Loss): Promise<boolean> {
    if (kind === 'left') return true
    if (kind === 'ended') return this.#options.registry.remove(user, device, epoch)
    await this.#put(device)
    return this.#devices.get(device)?.fenced === false
  }

  #owe(device: DeviceId, loss: Loss): void {
    this.#owed.delete(device)
    this.#owed.set(device, loss)
    if (this.#owed.size <= MOST_OWED) return
    const [oldest] = this.#owed.keys()
    if (oldest !== undefined) this.#owed.delete(oldest)
  }

  #has(device: DeviceId, resident: Resident): void {
    this.#devices.set(device, resident)
    this.#ofUser.set(resident.user, (this.#ofUser.get(resident.user) ?? new Set()).add(device))
  }

  #take(device: DeviceId): Resident | undefined {
    const resident = this.#devices.get(device)
    if (resident === undefined) return undefined
    this.#devices.delete(device)
    const others = this.#ofUser.get(resident.user)
    others?.delete(device)
    if (others?.size === 0) this.#ofUser.delete(resident.user)
    return resident
  }

  #write(user: UserId, work: () => Promise<void>): void {
    this.inLine(user, work).catch((error: unknown) => {
      if (!(error instanceof Unavailable)) this.#options.report(error)
    })
  }
}

function lossOf({ user, epoch, facts: { token, former } }: Resident, kind: Loss['kind']): Loss {
  return { user, token, former, kind, epoch }
}

/** All of them, some at a time. */
async function inParallel<T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> {
  const rest = all.values()
  const worker = async () => {
    for (const one of rest) await work(one)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

function same(facts: DeviceFacts, changes: Partial<DeviceFacts>): boolean {
  return Object.entries(changes).every(
    ([name, value]) => JSON.stringify(facts[name as keyof DeviceFacts]) === JSON.stringify(value),
  )
}
