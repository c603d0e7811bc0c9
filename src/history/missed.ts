/**
 * What devices hear of missed calls, on `/user/queue/call/missed`: what was missed while they were away, when they
 * subscribe; each call that is missed, when it is in the history; and that they were seen on another device. Each of these
 * asks the database, so they wait in a line of their own, which holds nobody up.
 *
 * Somebody may hear of one call twice (a process has died before it knew that it had told): its callId tells.
 */

import {
  type Cancel,
  type Clock,
  type DeviceId,
  type Devices,
  type Directory,
  type Routes,
  Unavailable,
  type UserId,
} from '../ports.ts'
import type { MissedCalls } from './messages.ts'
import type { HistoryStore } from './ports.ts'
import { usersOf } from './record.ts'
import { seenBy } from './seen.ts'
import { seenRecordOf } from './seen-record.ts'
import type { CallRecord, SeenCall } from './types.ts'

export const MISSED_QUEUE = '/user/queue/call/missed'

export interface MissedOptions {
  readonly store: Pick<HistoryStore, 'unread' | 'page'>
  readonly devices: Pick<Devices, 'reachable' | 'tell'>
  readonly routes?: Pick<Routes, 'tell'> | undefined
  readonly directory?: Directory | undefined
  readonly clock: Clock
  readonly report: (error: unknown) => void
}

/** Told to a device that subscribes. */
const MOST_TOLD = 20

/** Beyond it the oldest are left out: their device finds the calls when it asks. */
const MOST_WAITING = 50_000

const AT_ONCE = 4

/** Of calls that were told: so that one that was written twice is told once. */
const MOST_REMEMBERED = 10_000

/** After the database did not answer. */
const PAUSE_MS = 2_000

interface Notice {
  readonly user: UserId
  /** To this device alone, all that the user has not seen. */
  readonly device?: DeviceId
  /** To all devices of the user. */
  readonly call?: SeenCall
}

export class MissedNotices {
  readonly #options: MissedOptions
  readonly #waiting = new Map<string, Notice>()
  readonly #told = new Set<string>()
  #working = 0
  #pause: Cancel | undefined
  #stopped = false

  constructor(options: MissedOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.size
  }

  subscribed(user: UserId, device: DeviceId): void {
    this.#put(`device ${device}`, { user, device })
  }

  /** These are in the database. */
  written(records: readonly CallRecord[]): void {
    for (const record of records) {
      // Most calls are missed by nobody
      if (record.status === 'COMPLETED' && record.members === undefined) continue
      for (const user of usersOf(record)) {
        const call = seenBy(record, user)
        if (call.seenAs === 'missed' && user !== '' && this.#isNew(`${record.callId} ${user}`))
          this.#put(`call ${record.callId} ${user}`, { user, call })
      }
    }
  }

  /** The user has seen them on this device: the others hear how many are left. */
  async read(user: UserId, by?: DeviceId): Promise<number> {
    const unread = await this.#options.store.unread(user)
    this.#tellAll(user, { unread, calls: [] }, by)
    return unread
  }

  stop(): void {
    this.#stopped = true
    this.#pause?.()
    this.#waiting.clear()
  }

  #isNew(key: string): boolean {
    if (this.#told.has(key)) return false
    this.#told.add(key)
    if (this.#told.size > MOST_REMEMBERED) for (const oldest of this.#told) return this.#told.delete(oldest)
    return true
  }

  #put(key: string, notice: Notice): void {
    if (this.#stopped) return
    this.#waiting.delete(key)
    this.#waiting.set(key, notice)
    if (this.#waiting.size > MOST_WAITING) {
      for (const oldest of this.#waiting.keys()) {
        this.#waiting.delete(oldest)
        break
      }
    }
    this.#work()
  }

  #work(): void {
    while (this.#working < AT_ONCE && this.#pause === undefined && !this.#stopped) {
      const [next] = this.#waiting
      if (next === undefined) return
      this.#waiting.delete(next[0])
      this.#working++
      void this.#tell(...next).finally(() => {
        this.#working--
        this.#work()
      })
    }
  }

  /** Never rejected. */
  async #tell(key: string, notice: Notice): Promise<void> {
    try {
      await this.#tellNow(notice)
    } catch (error) {
      if (!(error instanceof Unavailable)) {
        this.#options.report(error)
        return
      }
      if (!this.#waiting.has(key)) this.#put(key, notice)
      this.#pause ??= this.#options.clock.after(PAUSE_MS, () => {
        this.#pause = undefined
        this.#work()
      })
    }
  }

  async #tellNow({ user, device, call }: Notice): Promise<void> {
    const { store, devices } = this.#options
    if (device !== undefined) {
      if (!devices.reachable(user, MISSED_QUEUE).includes(device)) return
      const unread = await store.unread(user)
      if (unread === 0) return
      const size = Math.min(unread, MOST_TOLD)
      // Reading goes by the end of a call: the latest ones are those that were not read
      const records = await store.page(user, { only: 'missed' }, { size })
      const calls = records.map((record) => seenRecordOf(seenBy(record, user), user))
      devices.tell(device, MISSED_QUEUE, message({ unread, calls }))
      return
    }
    if (call === undefined || !(await this.#anybody(user))) return
    const unread = await store.unread(user)
    // Somebody has read it already
    if (unread > 0) this.#tellAll(user, { unread, calls: [seenRecordOf(call, user)] })
  }

  /** Whether a device of the user may listen, here or elsewhere. */
  async #anybody(user: UserId): Promise<boolean> {
    const { devices, directory } = this.#options
    if (devices.reachable(user, MISSED_QUEUE).length > 0) return true
    return directory !== undefined && (await directory.devices(user)).length > 0
  }

  #tellAll(user: UserId, told: MissedCalls, except?: DeviceId): void {
    const { devices, routes } = this.#options
    for (const device of devices.reachable(user, MISSED_QUEUE))
      if (device !== except) devices.tell(device, MISSED_QUEUE, message(told))
    routes?.tell({ user, ...(except !== undefined && { except }) }, MISSED_QUEUE, message(told))
  }
}

const message = (told: MissedCalls) => ({ body: JSON.stringify(told) })
