/**
 * Who is online (contract, section 5). A user is online while a session of theirs is connected; a user who went away
 * stays online for a while, so that a reconnect does not flap. Changes are pushed in batches, each with what the
 * subscribers do not know yet: a user who came and went within one batch is not mentioned.
 *
 * Knows users and devices, no sockets; who subscribes, and how a batch reaches them, is the {@link Audience}'s.
 */

import type { Events } from '../events.ts'
import type { Cancel, Clock, DeviceId, UserId } from '../ports.ts'
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
}

/** Users one device may watch at a time (scope `watched`); the ones asked for first are forgotten first. */
const MOST_WATCHED = 1000

/** Users whose changes one device may miss while it reads too slowly. */
const MOST_MISSED = 10_000

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
  #batch: Cancel | undefined

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  /** The status of each of these users now, in the same order. */
  status(users: readonly UserId[]): readonly UserStatus[] {
    return users.map((userId) => ({ userId, status: this.#statusOf(userId) }))
  }

  /** With scope `watched`: changes of these users are pushed to the device from now on, until it leaves. */
  watch(device: DeviceId, users: readonly UserId[]): void {
    if (this.#options.scope === 'all') return
    const watched = this.#watchedBy.get(device) ?? new Set()
    this.#watchedBy.set(device, watched)
    for (const user of users) {
      watched.delete(user)
      watched.add(user)
      this.#watchers.set(user, (this.#watchers.get(user) ?? new Set()).add(device))
    }
    for (const user of watched) {
      if (watched.size <= MOST_WATCHED) break
      watched.delete(user)
      this.#unwatch(user, device)
    }
  }

  /** A session of the user is connected. */
  arrived(user: UserId, device: DeviceId): void {
    const presence = this.#online.get(user)
    if (presence) {
      presence.leaving?.()
      presence.leaving = undefined
      presence.devices.add(device)
      return
    }
    this.#note(user)
    this.#online.set(user, { devices: new Set([device]) })
    this.#options.events.emit('user.online', { user, at: this.#options.clock.now() })
  }

  /** A session of the user has ended; without another one the user goes offline after the delay. */
  left(user: UserId, device: DeviceId): void {
    for (const watched of this.#watchedBy.get(device) ?? []) this.#unwatch(watched, device)
    this.#watchedBy.delete(device)
    this.#missed.delete(device)
    const presence = this.#online.get(user)
    if (!presence?.devices.delete(device) || presence.devices.size > 0) return
    const { clock, offlineMs, events } = this.#options
    presence.leaving = clock.after(offlineMs, () => {
      this.#note(user)
      this.#online.delete(user)
      events.emit('user.offline', { user, at: clock.now() })
    })
  }

  /** The device reads on: it is told how those are now whose changes it has missed. */
  caughtUp(device: DeviceId): void {
    const users = this.#missed.get(device)
    if (users === undefined) return
    this.#missed.delete(device)
    this.#tell([device], this.status([...users]))
  }

  /** Nothing is pushed any more. */
  stop(): void {
    this.#batch?.()
    for (const presence of this.#online.values()) presence.leaving?.()
  }

  #statusOf(user: UserId): UserStatus['status'] {
    return this.#online.has(user) ? 'ONLINE' : 'OFFLINE'
  }

  /** Call it before the change: what subscribers know of the user is the status until now. */
  #note(user: UserId): void {
    if (!this.#changed.has(user)) this.#changed.set(user, this.#statusOf(user))
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
    if (watchers?.size === 0) this.#watchers.delete(user)
  }
}
