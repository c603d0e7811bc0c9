/**
 * Where devices of other processes are, as far as is remembered, and how what goes there keeps its order when they move.
 *
 * A place is worth something only while the process there lives and has not said that it stops. Whoever is to learn
 * another place of a device waits until what went over the old one has come through: a mark is sent after it, over the
 * process that had the device to the one that has it, and back. Nobody waits for a process that has stopped or is dead,
 * only one does for one that says nothing, and none for longer than a moment.
 *
 * Knows neither messages nor the registry. What is learnt about devices of one user is learnt in that user's line.
 */

import type { Awaitable, Clock, DeviceId, NodeId, UserId } from '../../ports.ts'
import type { Bus, Members } from './bus.ts'
import { type Entry, PARKED } from './registry.ts'

export interface PlaceOptions {
  readonly bus: Bus
  readonly members: Pick<Members, 'living'>
  readonly clock: Clock
  /** Done behind everything that is being done for the user, and never dropped. */
  readonly inLine: (user: UserId, work: () => Awaitable<void>) => void
}

/** Devices whose place is remembered. */
const MOST_REMEMBERED = 50_000

/** How long what has moved on is waited for. */
const MARK_MS = 1_000

/** A message for the device has gone further: to whoever has sent it first. */
interface Moved {
  readonly user: UserId
  readonly device: DeviceId
  /** Absent: nobody has it. */
  readonly to?: NodeId
}

/** From `origin` over the process that had the device to the one that has it, and back. */
interface Mark {
  readonly id: number
  readonly user: UserId
  readonly device: DeviceId
  readonly origin: NodeId
  readonly to: NodeId
}

export class Places {
  readonly #options: PlaceOptions
  /** The one asked for least lately first. */
  readonly #places = new Map<DeviceId, NodeId>()
  /** Devices that are known to have moved, which waits for its turn. */
  readonly #moving = new Set<DeviceId>()
  /** Processes that stop: what they had is looked up again. */
  readonly #leaving = new Set<NodeId>()
  /** Processes that have stopped: there is nothing of theirs to wait for, though their lease may still stand. */
  readonly #left = new Set<NodeId>()
  /** Processes that have let a mark wait, and were not heard of since. */
  readonly #silent = new Set<NodeId>()
  /** Those that are under way. */
  readonly #marks = new Map<number, { readonly over: NodeId; readonly through: () => void }>()
  #lastMark = 0

  constructor(options: PlaceOptions) {
    this.#options = options
    const { bus } = options
    bus.handle('moved', (from, { facts }) => this.#hearsOfMove(from, facts as Moved))
    bus.handle('mark', (from, { facts }) => this.#marked(from, facts as Mark))
    bus.handle('leaving', (from) => {
      this.#forgetDead()
      this.#leaving.add(from)
      bus.send(from, { kind: 'understood', facts: {} })
    })
    bus.handle('left', (from) => {
      this.#forgetDead()
      this.#left.add(from)
      for (const { over, through } of [...this.#marks.values()]) if (over === from) through()
    })
  }

  /** The process that has the device; undefined: it has to be looked up. */
  of(device: DeviceId): NodeId | undefined {
    const place = this.#places.get(device)
    if (place === undefined || this.#leaving.has(place)) return undefined
    return this.#options.members.living().has(place) ? place : undefined
  }

  /**
   * What a look into the registry has found of the user's devices. Fulfilled when nothing that is sent to where they are
   * now overtakes what is under way to where they were.
   */
  async learns(user: UserId, entries: readonly Entry[]): Promise<void> {
    await Promise.all(entries.map(({ id, node }) => this.#learns(user, id, node)))
  }

  /** The process that has the device according to what has just been learnt; undefined: none that is not this one. */
  among(entries: readonly Entry[], device: DeviceId): NodeId | undefined {
    if (!entries.some(({ id }) => id === device)) this.#places.delete(device)
    return this.#places.get(device)
  }

  /** The session of the device is here now. Fulfilled when what was sent from here to where it was has come back. */
  async comesHere(user: UserId, device: DeviceId): Promise<void> {
    const before = this.#places.get(device)
    if (before !== undefined) await this.#isThrough(user, device, before, this.#options.bus.self)
    this.#places.delete(device)
  }

  /** The device is here, and nowhere else. */
  forgets(device: DeviceId): void {
    this.#places.delete(device)
  }

  /** Whoever has sent a message for this device hears where it had to be sent on to; `to` is absent: nobody has it. */
  corrects(origin: NodeId, user: UserId, device: DeviceId, to: NodeId | undefined): void {
    const moved: Moved = { user, device, ...(to !== undefined && { to }) }
    this.#options.bus.send(origin, { kind: 'moved', facts: moved })
  }

  /** Something has come from this process. */
  heard(from: NodeId): void {
    this.#silent.delete(from)
  }

  async #learns(user: UserId, device: DeviceId, node: NodeId): Promise<void> {
    const before = this.#places.get(device)
    if (before !== undefined && before !== node) await this.#isThrough(user, device, before, node)
    this.#places.delete(device)
    if (node === PARKED || node === this.#options.bus.self) return
    this.#places.set(device, node)
    if (this.#places.size <= MOST_REMEMBERED) return
    const [oldest] = this.#places.keys()
    if (oldest !== undefined) this.#places.delete(oldest)
  }

  #hearsOfMove(from: NodeId, { user, device, to }: Moved): void {
    // Whoever has sent much hears it as often
    if (this.#places.get(device) !== from || this.#moving.has(device)) return
    this.#moving.add(device)
    this.#options.inLine(user, () => {
      this.#moving.delete(device)
      if (this.#places.get(device) !== from) return undefined
      if (to !== undefined && to !== this.#options.bus.self) return this.#learns(user, device, to)
      this.#places.delete(device)
      return undefined
    })
  }

  /** Fulfilled when everything that went over `before` has arrived, or is not to be waited for. */
  async #isThrough(user: UserId, device: DeviceId, before: NodeId, now: NodeId): Promise<void> {
    const { bus, members, clock } = this.#options
    if (!members.living().has(before) || this.#left.has(before) || this.#silent.has(before)) return
    const id = ++this.#lastMark
    await new Promise<void>((resolve) => {
      const cancel = clock.after(MARK_MS, () => {
        this.#silent.add(before)
        resolve()
      })
      const through = () => {
        cancel()
        resolve()
      }
      this.#marks.set(id, { over: before, through })
      const mark: Mark = { id, user, device, origin: bus.self, to: now }
      bus.send(before, { kind: 'mark', facts: mark })
    })
    this.#marks.delete(id)
  }

  #marked(from: NodeId, mark: Mark): void {
    const { bus, inLine } = this.#options
    const { id, user, origin, to } = mark
    this.heard(from)
    if (origin === bus.self) this.#marks.get(id)?.through()
    else if (to === bus.self) bus.send(origin, { kind: 'mark', facts: mark })
    // Behind what is being passed on for the user
    else inLine(user, () => bus.send(to === PARKED ? origin : to, { kind: 'mark', facts: mark }))
  }

  #forgetDead(): void {
    const living = this.#options.members.living()
    for (const some of [this.#leaving, this.#left, this.#silent])
      for (const node of some) if (!living.has(node)) some.delete(node)
  }
}
