/**
 * Presence over several processes: each says in the registry which users it counts as online. The one that makes the
 * first or the last such entry tells those that want to hear of it: the processes that watch the user (scope `watched`),
 * or all (scope `all`), many changes in one message.
 */

import {
  type Cancel,
  type Clock,
  type LateChange,
  type NodeId,
  type SharedChange,
  type SharedPresence,
  Unavailable,
  type UserId,
} from '../../ports.ts'
import { askOthers, type Bus, type Members, type Round } from './bus.ts'
import type { PresenceChange, Registry } from './registry.ts'
import type { Residents, Rewritten } from './residents.ts'

export interface RegistryPresenceOptions {
  readonly registry: Registry
  readonly residents: Residents
  readonly bus: Bus
  readonly members: Pick<Members, 'living'>
  readonly clock: Clock
  readonly scope: 'all' | 'watched'
  /** `ours`: found by this process. */
  readonly hears: (changes: readonly SharedChange[], ours: boolean) => void
  readonly learns: (change: SharedChange) => void
  /** Users of whom it is remembered how they were. */
  readonly remembered: () => readonly UserId[]
  /** Who has changed not long ago, and the same from another process. */
  readonly lately: () => readonly LateChange[]
  readonly changedLately: (changes: readonly LateChange[]) => void
  readonly report: (error: unknown) => void
}

/** Changes are gathered for so long before they are sent to other processes. */
const GATHER_MS = 20

const MOST_AT_ONCE = 500

/** As they travel: user, online, at. */
type Packed = readonly [UserId, 0 | 1, number]

const EVERYBODY = '*'

export class RegistryPresence implements SharedPresence, Rewritten {
  readonly #options: RegistryPresenceOptions
  /** Users whom this process counts as online, and since when (of Redis's clock, 0: not said yet). */
  readonly #here = new Map<UserId, number>()
  /** Users who are gone here, which could not be said yet. */
  readonly #gone = new Set<UserId>()
  readonly #watched = new Set<UserId>()
  readonly #outgoing = new Map<NodeId, Packed[]>()
  #sending: Cancel | undefined
  /** All others are asked who has changed lately. */
  #asked: Round | undefined

  constructor(options: RegistryPresenceOptions) {
    this.#options = options
    const { bus, hears } = options
    bus.handle('presence', (_, { facts }) => hears((facts as Packed[]).map(unpacked), false))
    bus.handle('presence?', (from) => this.#tellsAll(from))
    bus.handle('lately?', (from) => bus.send(from, { kind: 'lately', facts: options.lately() }))
    bus.handle('lately', (from, { facts }) => {
      options.changedLately(facts as readonly LateChange[])
      this.#asked?.answers(from)
    })
  }

  /**
   * What has changed before this process could hear of it: devices that come here may have missed it. Fulfilled when all
   * others have said so, or after a moment.
   */
  async asksLately(patienceMs: number): Promise<void> {
    if (this.#options.scope === 'watched') return
    this.#asked = askOthers(this.#options, { kind: 'lately?', facts: {} }, patienceMs)
    await this.#asked.over
  }

  entered(user: UserId): void {
    this.#write(user, async () => {
      this.#gone.delete(user)
      if (!this.#here.has(user)) {
        this.#here.set(user, 0)
        await this.#options.residents.hold(user)
      }
      await this.again(user)
    })
  }

  left(user: UserId): void {
    this.#write(user, async () => {
      if (!this.#here.has(user)) return
      this.#gone.add(user)
      await this.again(user)
    })
  }

  watch(user: UserId): void {
    this.#write(user, async () => {
      if (this.#watched.has(user)) return
      this.#watched.add(user)
      await this.#options.residents.hold(user)
      this.#options.learns({ user, ...(await this.#options.registry.watch(user)) })
    })
  }

  unwatch(user: UserId): void {
    this.#write(user, async () => {
      if (!this.#watched.delete(user)) return
      try {
        await this.#options.registry.unwatch(user)
      } finally {
        await this.#options.residents.letGo(user)
      }
    })
  }

  /** Behind what is being written of each user: a watch that was begun before is in force. */
  async online(users: readonly UserId[]): Promise<readonly boolean[]> {
    const { residents, registry } = this.#options
    return Promise.all(users.map((user) => residents.inLine(user, () => registry.online(user))))
  }

  /** A dead process has left this. */
  inherited(user: UserId, change: PresenceChange): void {
    if (change.changed) this.#announce(user, false, change)
  }

  users(): Iterable<UserId> {
    return new Set([...this.#here.keys(), ...this.#watched])
  }

  /** Says how this user is here. In the user's line. */
  async again(user: UserId): Promise<void> {
    const { registry, residents, hears } = this.#options
    if (this.#gone.has(user)) {
      const change = await registry.leave(user)
      this.#gone.delete(user)
      this.#here.delete(user)
      if (change.changed) this.#announce(user, false, change)
      await residents.letGo(user)
    } else if (this.#here.has(user)) {
      const change = await registry.enter(user)
      this.#here.set(user, change.at)
      if (change.changed) this.#announce(user, true, change)
    }
    if (this.#watched.has(user)) hears([{ user, ...(await registry.watch(user)) }], false)
  }

  /** What was said while this process could not hear: how those are now of whom something is known, and who is there. */
  async catchUp(): Promise<void> {
    const { registry, bus, hears, remembered, scope } = this.#options
    if (scope === 'watched') return
    bus.broadcast({ kind: 'presence?', facts: {} })
    bus.broadcast({ kind: 'lately?', facts: {} })
    const users = remembered()
    const since = await registry.now()
    for (let at = 0; at < users.length; at += MOST_AT_ONCE) {
      const some = users.slice(at, at + MOST_AT_ONCE)
      const online = await Promise.all(some.map((user) => registry.online(user)))
      const gone = some.filter((_, place) => online[place] === false)
      hears(
        gone.map((user) => ({ user, online: false, at: since })),
        false,
      )
    }
  }

  /** What is gathered is sent now. */
  flush(): void {
    this.#sending?.()
    this.#sending = undefined
    const { bus } = this.#options
    for (const [node, changes] of this.#outgoing) {
      for (let at = 0; at < changes.length; at += MOST_AT_ONCE) {
        const message = { kind: 'presence', facts: changes.slice(at, at + MOST_AT_ONCE) }
        if (node === EVERYBODY) bus.broadcast(message)
        else bus.send(node, message)
      }
    }
    this.#outgoing.clear()
  }

  #tellsAll(to: NodeId): void {
    for (const [user, at] of this.#here) if (at > 0) this.#gather(to, [user, 1, at])
  }

  #announce(user: UserId, online: boolean, { at, watchers }: PresenceChange): void {
    const { scope, bus, hears } = this.#options
    const packed: Packed = [user, online ? 1 : 0, at]
    if (scope === 'all') this.#gather(EVERYBODY, packed)
    else for (const node of watchers) if (node !== bus.self) this.#gather(node, packed)
    hears([{ user, online, at }], true)
  }

  #gather(to: NodeId, packed: Packed): void {
    const waiting = this.#outgoing.get(to)
    if (waiting) waiting.push(packed)
    else this.#outgoing.set(to, [packed])
    this.#sending ??= this.#options.clock.after(GATHER_MS, () => this.flush())
  }

  #write(user: UserId, work: () => Promise<void>): void {
    this.#options.residents.inLine(user, work).catch((error: unknown) => {
      if (!(error instanceof Unavailable)) this.#options.report(error)
    })
  }
}

const unpacked = ([user, online, at]: Packed): SharedChange => ({ user, online: online === 1, at })
