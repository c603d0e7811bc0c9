/**
 * Who is online (contract, section 5). A user is online while a session of theirs is connected; a user who went away
 * stays online for a while, so that a reconnect does not flap; a device that has lost its connection and may resume does
 * not count, unless it has promised to come back. Changes are pushed in batches, each with what the
 * subscribers do not know yet: a user who came and went within one batch is not mentioned.
 *
 * With several processes each counts its own users in this way, and what they say together ({@link SharedPresence}) is
 * what is told: a user who is gone here and connected elsewhere has not gone offline.
 *
 * Knows users and devices, no sockets; who subscribes, and how a batch reaches them, is the {@link Audience}'s.
 */

import type { Events } from '../events.ts'
import {
  type Awaitable,
  type Cancel,
  type Clock,
  type DeviceId,
  type LateChange,
  type SharedChange,
  type SharedPresence,
  Unavailable,
  type UserId,
} from '../ports.ts'
import type { UserStatus } from './messages.ts'

/** To whom changes are told. */
export interface Audience {
  /** Every subscriber of `/topic/user/status`. `missed`: told of each that is too far behind to be told this. */
  tellAll(changes: readonly UserStatus[], missed: (device: DeviceId) => void): void
  /** Those of these devices that subscribe; the same message for all of them. */
  tell(devices: Iterable<DeviceId>, changes: readonly UserStatus[], missed: (device: DeviceId) => void): void
  /** Ends the session of a device that has missed more than can be made up for. */
  giveUp(device: DeviceId): void
}

export interface PresenceOptions {
  readonly clock: Clock
  readonly events: Events
  readonly audience: Audience
  /** `all`: every change goes to every subscriber. `watched`: only changes of users that the device has asked for. */
  readonly scope: 'all' | 'watched'
  readonly batchMs: number
  readonly offlineMs: number
  /** Told of bugs found where nobody waits for an answer. */
  readonly report: (error: unknown) => void
  /** Nothing: this process is the only one. */
  readonly shared?: SharedPresence | undefined
  /**
   * How long ago changes can be that a device which resumes has not heard of: how long it can be away, and how long it
   * can take until that is noticed. 0: nobody resumes.
   */
  readonly missableMs: number
}

/** Users of whom it is remembered how they were when they were last heard of. */
const MOST_REMEMBERED = 200_000

/** Who comes back soon watches the same users: until then nothing is changed elsewhere. */
const UNWATCH_AFTER_MS = 30_000

/** Users one device may watch at a time (scope `watched`); the ones asked for first are forgotten first. */
const MOST_WATCHED = 1000

/** Users whose changes one device may miss while it reads too slowly, or is away. */
const MOST_MISSED = 10_000

/** Users whose changes are remembered for devices that resume. */
const MOST_CHANGED = 50_000

/** Of those, as many go with a device to another process, */
const MOST_PACKED = 1_000

/** and as many to a process that has just begun. */
const MOST_LATELY = 5_000

const NOBODY: ReadonlySet<UserId> = new Set()

/** What is known of a device that another process takes over. */
export interface DevicePresence {
  readonly watched: readonly UserId[]
  readonly missed: readonly UserId[]
  readonly awaySince?: number | undefined
}

/** How a user was, and when that was so (as all processes count it). */
interface LastHeard {
  readonly online: boolean
  readonly at: number
}

interface Presence {
  readonly devices: Set<DeviceId>
  /** Runs while the user has no device and still counts as online. */
  leaving?: Cancel | undefined
}

export class PresenceService {
  readonly #options: PresenceOptions
  readonly #online = new Map<UserId, Presence>()
  /** What subscribers were last told, of the users that have changed since. */
  readonly #changed = new Map<UserId, UserStatus['status']>()
  readonly #watchers = new Map<UserId, Set<DeviceId>>()
  readonly #watchedBy = new Map<DeviceId, Set<UserId>>()
  /** Whose changes a device was not told, because it reads too slowly. */
  readonly #missed = new Map<DeviceId, Set<UserId>>()
  /** Since when devices were away that are back, and may not have heard all, or are away still. */
  readonly #awaySince = new Map<DeviceId, number>()
  /** Devices that are away and have promised to come back: their users stay online. */
  readonly #awaited = new Set<DeviceId>()
  /** When users changed, the latest last, as long as a device may not have heard of it. */
  readonly #lately = new Map<UserId, number>()
  #batch: Cancel | undefined
  /** With several processes: how users were when they were last heard of. */
  readonly #last = new Map<UserId, LastHeard>()
  /** Users whom nobody here watches any more, and others do not know it yet. */
  readonly #unwatched = new Set<UserId>()
  #unwatching: Cancel | undefined

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  /**
   * The status of each of these users now, in the same order. With several processes it may have to be asked for; what
   * cannot be, is as it was last heard.
   */
  status(users: readonly UserId[]): Awaitable<readonly UserStatus[]> {
    const { shared } = this.#options
    const here = () => users.map((userId) => ({ userId, status: this.#statusOf(userId) }))
    const elsewhere = shared && users.filter((user) => !this.#online.has(user))
    if (!shared || !elsewhere || elsewhere.length === 0) return here()
    const last = elsewhere.map((user) => this.#last.get(user))
    return shared.online(elsewhere).then(
      (online) => {
        for (const [place, user] of elsewhere.entries()) if (online[place]) this.#isOnline(user, last[place])
        const known = new Map(elsewhere.map((user, place) => [user, online[place] === true]))
        return users.map((userId) => ({
          userId,
          status: known.get(userId) === false && !this.#online.has(userId) ? 'OFFLINE' : 'ONLINE',
        }))
      },
      (error: unknown) => {
        if (error instanceof Unavailable) return here()
        throw error
      },
    )
  }

  /**
   * That was the answer when it was asked for, while `last` was known. Whoever was to say that the user has come may have
   * died before: then all are told now, and will be told of the end. What has come since the question counts more.
   */
  #isOnline(user: UserId, last: LastHeard | undefined): void {
    if (last === undefined || last.online || last !== this.#last.get(user) || this.#online.has(user)) return
    this.#last.set(user, { online: true, at: last.at })
    this.#note(user, 'OFFLINE')
  }

  /** With several processes: users have come or gone, somewhere. `ours`: this process is the one that found it. */
  hears(changes: readonly SharedChange[], ours: boolean): void {
    for (const { user, online, at } of changes) {
      if (ours)
        this.#options.events.emit(online ? 'user.online' : 'user.offline', { user, at: this.#options.clock.now() })
      const last = this.#last.get(user)
      if (last !== undefined && last.at >= at) continue
      this.#last.delete(user)
      if (last?.online !== online) this.#note(user, online ? 'OFFLINE' : 'ONLINE')
      this.#last.set(user, { online, at })
    }
    for (const user of this.#last.keys()) {
      if (this.#last.size <= MOST_REMEMBERED) break
      this.#last.delete(user)
    }
  }

  /** With several processes: how a user is whom nobody has been told of yet. */
  learns({ user, online, at }: SharedChange): void {
    const last = this.#last.get(user)
    if (last === undefined || last.at < at) this.#last.set(user, { online, at })
  }

  /** Of whom it is remembered how they were: some may have changed while nothing could be heard. */
  remembered(): readonly UserId[] {
    return [...this.#last.keys()]
  }

  /** With scope `watched`: changes of these users are pushed to the device from now on, until it leaves. */
  watch(device: DeviceId, users: readonly UserId[]): void {
    if (this.#options.scope === 'all') return
    const watched = this.#watchedBy.get(device) ?? new Set()
    this.#watchedBy.set(device, watched)
    for (const user of users) {
      watched.delete(user)
      watched.add(user)
      const watchers = this.#watchers.get(user)
      if (watchers) watchers.add(device)
      else this.#firstWatches(user, device)
    }
    for (const user of watched) {
      if (watched.size <= MOST_WATCHED) break
      watched.delete(user)
      this.#unwatch(user, device)
    }
  }

  /** A session of the user is connected. */
  arrived(user: UserId, device: DeviceId): void {
    this.#awaited.delete(device)
    const presence = this.#online.get(user)
    if (presence) {
      presence.leaving?.()
      presence.leaving = undefined
      presence.devices.add(device)
      return
    }
    const { shared, events, clock } = this.#options
    if (!shared) this.#note(user, 'OFFLINE')
    this.#online.set(user, { devices: new Set([device]) })
    if (shared) shared.entered(user)
    else events.emit('user.online', { user, at: clock.now() })
  }

  /**
   * A session has lost its connection, and may resume: what it watches is remembered. For the user it is as if it had
   * `left`, unless it has promised to come back.
   */
  away(user: UserId, device: DeviceId, comesBack: boolean): void {
    this.#awaySince.set(device, this.#options.clock.now())
    if (comesBack) this.#awaited.add(device)
    else this.#leaves(user, device, this.#options.offlineMs)
  }

  /** A session of the user has ended; without another one the user goes offline after the delay. */
  left(user: UserId, device: DeviceId): void {
    // One that was awaited has been away for as long as it may be
    const offlineMs = this.#awaited.has(device) ? 0 : this.#options.offlineMs
    this.#forget(device)
    this.#leaves(user, device, offlineMs)
  }

  /** Another process takes the session over: it says that the user is online before this one says that they are not. */
  handedOver(user: UserId, device: DeviceId): void {
    this.#forget(device)
    this.#leaves(user, device, this.#options.offlineMs)
  }

  #forget(device: DeviceId): void {
    this.#awaited.delete(device)
    this.#awaySince.delete(device)
    for (const watched of this.#watchedBy.get(device) ?? []) this.#unwatch(watched, device)
    this.#watchedBy.delete(device)
    this.#missed.delete(device)
  }

  #leaves(user: UserId, device: DeviceId, offlineMs: number): void {
    const presence = this.#online.get(user)
    if (!presence?.devices.delete(device) || presence.devices.size > 0) return
    const { clock, events, shared } = this.#options
    presence.leaving = clock.after(offlineMs, () => {
      if (!shared) this.#note(user, 'ONLINE')
      this.#online.delete(user)
      if (shared) shared.left(user)
      else events.emit('user.offline', { user, at: clock.now() })
    })
  }

  /** The device reads on, or is back: it is told how those are now whose changes it has missed. */
  caughtUp(device: DeviceId): void {
    const missed = this.#missedBy(device)
    this.#missed.delete(device)
    this.#awaySince.delete(device)
    if (missed.size > MOST_MISSED) this.#options.audience.giveUp(device)
    else if (missed.size > 0) this.#tellStatus(device, [...missed])
  }

  #tellStatus(device: DeviceId, users: readonly UserId[]): void {
    const statuses = this.status(users)
    if (statuses instanceof Promise) statuses.then((all) => this.#tell([device], all)).catch(this.#options.report)
    else this.#tell([device], statuses)
  }

  /** Whose changes it was not told, or was told when its connection may have been lost already. */
  #missedBy(device: DeviceId): Set<UserId> {
    const missed = new Set(this.#missed.get(device))
    const awaySince = this.#awaySince.get(device)
    if (awaySince === undefined) return missed
    const since = awaySince - this.#options.missableMs
    if (this.#options.scope === 'watched') {
      for (const user of this.#watchedBy.get(device) ?? NOBODY)
        if ((this.#lately.get(user) ?? 0) >= since) missed.add(user)
    } else for (const [user, at] of this.#lately) if (at >= since) missed.add(user)
    return missed
  }

  /** What another process must know that takes the device over. */
  packed(device: DeviceId): DevicePresence {
    // With scope `all` the other process has heard of the same changes
    const missed = this.#options.scope === 'watched' ? this.#missedBy(device) : (this.#missed.get(device) ?? NOBODY)
    return {
      watched: [...(this.#watchedBy.get(device) ?? NOBODY)],
      missed: [...missed].slice(-MOST_PACKED),
      awaySince: this.#awaySince.get(device),
    }
  }

  /** A device that another process has held is about to be back here. */
  unpack(device: DeviceId, { watched, missed, awaySince }: DevicePresence): void {
    this.watch(device, watched.slice(-MOST_WATCHED))
    if (missed.length > 0) this.#missed.set(device, new Set(missed.slice(-MOST_MISSED)))
    this.#awaySince.set(device, awaySince ?? this.#options.clock.now())
  }

  #remember(changes: readonly UserStatus[]): void {
    const { clock, missableMs } = this.#options
    if (missableMs === 0) return
    const now = clock.now()
    for (const { userId } of changes) {
      this.#lately.delete(userId)
      this.#lately.set(userId, now)
    }
    for (const [user, at] of this.#lately) {
      if (at > now - 2 * missableMs && this.#lately.size <= MOST_CHANGED) break
      this.#lately.delete(user)
    }
  }

  /** Users who have changed not long ago, and how many milliseconds ago: the latest last. */
  lately(): readonly LateChange[] {
    const now = this.#options.clock.now()
    return [...this.#lately].slice(-MOST_LATELY).map(([user, at]) => [user, now - at])
  }

  /**
   * The same from another process: this one may have heard nothing then. A device that comes here was away meanwhile, and
   * the process that it comes from takes for granted that every other has heard the same.
   */
  changedLately(changes: readonly LateChange[]): void {
    const { clock, missableMs } = this.#options
    if (missableMs === 0) return
    const now = clock.now()
    const all = new Map(this.#lately)
    for (const [user, agoMs] of changes) all.set(user, Math.max(all.get(user) ?? 0, now - agoMs))
    this.#lately.clear()
    for (const [user, at] of [...all].sort(([, a], [, b]) => a - b).slice(-MOST_CHANGED)) this.#lately.set(user, at)
  }

  /** Nothing is pushed any more. */
  stop(): void {
    this.#batch?.()
    this.#unwatching?.()
    for (const presence of this.#online.values()) presence.leaving?.()
  }

  #statusOf(user: UserId): UserStatus['status'] {
    return this.#online.has(user) || this.#last.get(user)?.online === true ? 'ONLINE' : 'OFFLINE'
  }

  /** Something changes: what subscribers know of the user is the status until now. */
  #note(user: UserId, before: UserStatus['status']): void {
    if (this.#options.shared && this.#options.scope === 'watched' && !this.#watchers.has(user)) return
    if (!this.#changed.has(user)) this.#changed.set(user, before)
    this.#batch ??= this.#options.clock.after(this.#options.batchMs, () => this.#push())
  }

  #push(): void {
    this.#batch = undefined
    const changes = [...this.#changed]
      .map(([userId, before]) => ({ before, now: { userId, status: this.#statusOf(userId) } }))
      .filter(({ before, now }) => before !== now.status)
      .map(({ now }) => now)
    this.#changed.clear()
    if (changes.length === 0) return
    this.#remember(changes)
    if (this.#options.scope === 'all')
      this.#options.audience.tellAll(changes, (device) => this.#misses(device, changes))
    else this.#tellWatchers(changes)
  }

  #tellWatchers(changes: readonly UserStatus[]): void {
    const news = new Map<DeviceId, UserStatus[]>()
    for (const change of changes) {
      for (const device of this.#watchers.get(change.userId) ?? []) {
        const batch = news.get(device)
        if (batch) batch.push(change)
        else news.set(device, [change])
      }
    }
    // Most hear of one user only, together with everybody else who watches that one: they share a message
    const alike = new Map<UserStatus, DeviceId[]>()
    for (const [device, batch] of news) {
      const [change] = batch
      if (change === undefined || batch.length > 1) {
        this.#tell([device], batch)
        continue
      }
      const devices = alike.get(change)
      if (devices) devices.push(device)
      else alike.set(change, [device])
    }
    for (const [change, devices] of alike) this.#tell(devices, [change])
  }

  #tell(devices: readonly DeviceId[], changes: readonly UserStatus[]): void {
    this.#options.audience.tell(devices, changes, (device) => this.#misses(device, changes))
  }

  #misses(device: DeviceId, changes: readonly UserStatus[]): void {
    const missed = this.#missed.get(device) ?? new Set()
    this.#missed.set(device, missed)
    for (const { userId } of changes) missed.add(userId)
    if (missed.size > MOST_MISSED) this.#options.audience.giveUp(device)
  }

  #unwatch(user: UserId, device: DeviceId): void {
    const watchers = this.#watchers.get(user)
    watchers?.delete(device)
    if (watchers?.size !== 0) return
    this.#watchers.delete(user)
    if (!this.#options.shared) return
    this.#unwatched.add(user)
    this.#unwatching ??= this.#options.clock.after(UNWATCH_AFTER_MS, () => {
      this.#unwatching = undefined
      for (const one of this.#unwatched) this.#options.shared?.unwatch(one)
      this.#unwatched.clear()
    })
  }

  #firstWatches(user: UserId, device: DeviceId): void {
    this.#watchers.set(user, new Set([device]))
    if (!this.#unwatched.delete(user)) this.#options.shared?.watch(user)
  }
}
