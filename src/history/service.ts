/**
 * The history of calls: keeps what the news tell, shows each user their own, and forgets whom it has to. How a record
 * gets into the database is writer.ts, what devices hear of missed calls missed.ts, how old ones go retention.ts.
 */

import type { Call, CallId } from '../calls/types.ts'
import { type Outcome, refuse } from '../errors.ts'
import type { Events } from '../events.ts'
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
import { writeCursor } from './cursor.ts'
import type { Erased, HistoryPage, HistoryQuery, HistoryRead, Unread } from './messages.ts'
import { MissedNotices } from './missed.ts'
import type { HistoryStore, Spool } from './ports.ts'
import { abandoned, recordOf } from './record.ts'
import { Retention } from './retention.ts'
import { seenBy } from './seen.ts'
import { seenRecordOf } from './seen-record.ts'
import type { CallRecord, Cursor, HistoryFilter, SeenCall } from './types.ts'
import { Writer, type WriterLog } from './writer.ts'

export interface HistoryOptions {
  readonly store: HistoryStore
  readonly spool?: Spool | undefined
  /** The one by which calls end. */
  readonly clock: Clock
  readonly events: Events
  readonly devices: Pick<Devices, 'reachable' | 'tell'>
  /** The way to devices of other processes, and who is connected there. Both or none. */
  readonly routes?: Pick<Routes, 'tell'> | undefined
  readonly directory?: Directory | undefined
  /** For how many days calls are kept; 0: for ever. */
  readonly days: number
  /** Of several processes with one database one looks after it. */
  readonly leads: () => boolean
  readonly log: WriterLog
  /** Told of bugs. */
  readonly report: (error: unknown) => void
}

/** What faces ask of the history. */
export interface History {
  /** One page of a user's calls as they are told, with what they have not seen. */
  page(user: UserId, query: HistoryQuery): Promise<Outcome<HistoryPage>>
  /**
   * A page of a user's calls, the latest end first, behind a place or by its number (from 1); `total` only by number.
   * `more`: there is something behind it.
   */
  ofUser(
    user: UserId,
    filter: HistoryFilter,
    page: { readonly size: number; readonly after?: Cursor; readonly number?: number },
  ): Promise<Outcome<{ readonly calls: readonly SeenCall[]; readonly more: boolean; readonly total?: number }>>
  /** One call, whoever asks: nothing of one that has not ended, or was deleted. */
  find(callId: CallId): Promise<Outcome<CallRecord | undefined>>
  /** The same for who cannot wait: what the database does not say within this time is nothing. Never refused. */
  recall(callId: CallId, atMostMs: number): Promise<CallRecord | undefined>
  /** The user has seen the missed calls that ended until then (now); their other devices hear of it. */
  read(user: UserId, message: HistoryRead, by?: DeviceId): Promise<Outcome<Unread>>
  /** Forgets a user, in the database and in what still waits for it. */
  erase(user: UserId): Promise<Outcome<Erased>>
  /** Every call, the earliest end first, in portions. Refused before the first one, or rejected with `Unavailable` later. */
  export(filter: {
    readonly from?: number
    readonly before?: number
  }): Promise<Outcome<AsyncIterable<readonly CallRecord[]>>>
}

/** Who reads waits so long for what has just ended. */
const FLUSH_MS = 500

/** Whoever wants somebody forgotten waits longer: nothing of theirs may come after it. */
const FLUSH_ALL_MS = 5_000

/** Until what other processes had of a user that was forgotten is in the database as well; what comes later is looked at. */
const AGAIN_MS = 1_000

const BACK_AFTER_S = 5

export class HistoryService implements History {
  readonly #options: HistoryOptions
  readonly #writer: Writer
  readonly #missed: MissedNotices
  readonly #retention: Retention
  readonly #again = new Set<Cancel>()

  constructor(options: HistoryOptions) {
    this.#options = options
    const { store, clock, log, report } = options
    this.#missed = new MissedNotices(options)
    this.#writer = new Writer({ ...options, written: (records) => this.#missed.written(records) })
    this.#retention = new Retention({ store, clock, days: options.days, leads: options.leads, log, report })
    options.events.on('call.ended', ({ call, names }) => {
      const record = recordOf(call, names)
      if (record) this.#writer.push(record)
    })
  }

  /** Fulfilled when what earlier processes have left is found; it is written after that. */
  async start(): Promise<void> {
    await this.#options.spool?.start?.()
    this.#writer.start()
    this.#retention.start()
  }

  /** `calls`: those that this process alone has known, and that it leaves to themselves. */
  async stop(calls: readonly Call[] = []): Promise<void> {
    for (const cancel of this.#again) cancel()
    this.#retention.stop()
    this.#missed.stop()
    for (const call of calls) {
      const record = abandoned(call, this.#options.clock.now())
      if (record) this.#writer.push(record)
    }
    await this.#writer.stop()
    await this.#options.spool?.stop()
    await this.#options.store.stop()
  }

  get state(): 'up' | 'down' {
    return this.#options.store.state
  }

  get counts() {
    return { ...this.#writer.counts, notices: this.#missed.waiting, forgotten: this.#retention.deleted }
  }

  /** What waits in the spool. Rejected with `Unavailable`. */
  async spooled(): Promise<{ readonly records: number; readonly bytes: number }> {
    return (await this.#options.spool?.size()) ?? { records: 0, bytes: 0 }
  }

  /** The database is there again. */
  wake(): void {
    this.#writer.wake()
  }

  /** The database has refused this call for good, while it takes the others: nobody is told of it. */
  refused(record: CallRecord): void {
    this.#writer.refused(record)
  }

  /** A device can hear of missed calls: it is told those that the user has not seen. Waits for nobody. */
  subscribed(user: UserId, device: DeviceId): void {
    this.#missed.subscribed(user, device)
  }

  page(user: UserId, query: HistoryQuery): Promise<Outcome<HistoryPage>> {
    const { size, cursor, page: number, ...filter } = query
    return this.#asking(async () => {
      const [{ calls, more, total }, unreadMissed] = await Promise.all([
        this.#ofUser(user, filter, { size, ...(cursor && { after: cursor }), ...(number !== undefined && { number }) }),
        this.#options.store.unread(user),
      ])
      const last = calls.at(-1)?.record
      return {
        records: calls.map((call) => seenRecordOf(call, user)),
        ...(more && last && { next: writeCursor(last) }),
        ...(total !== undefined && { total }),
        unreadMissed,
      }
    })
  }

  ofUser(...asked: Parameters<History['ofUser']>): ReturnType<History['ofUser']> {
    return this.#asking(() => this.#ofUser(...asked))
  }

  find(callId: CallId): Promise<Outcome<CallRecord | undefined>> {
    return this.#asking(() => this.#options.store.find(callId))
  }

  /** Nothing is flushed for it: what has just ended is known elsewhere. */
  async recall(callId: CallId, atMostMs: number): Promise<CallRecord | undefined> {
    const { store, clock } = this.#options
    let cancel: Cancel = () => undefined
    const late = new Promise<undefined>((resolve) => {
      cancel = clock.after(atMostMs, () => resolve(undefined))
    })
    const found = store.find(callId).catch((error: unknown) => {
      if (!(error instanceof Unavailable)) throw error
      return undefined
    })
    return Promise.race([found, late]).finally(cancel)
  }

  read(user: UserId, { until }: HistoryRead, by?: DeviceId): Promise<Outcome<Unread>> {
    const { store, clock } = this.#options
    return this.#asking(async () => {
      const now = clock.now()
      await store.markRead(user, Math.min(until ?? now, now))
      return { unreadMissed: await this.#missed.read(user, by) }
    })
  }

  erase(user: UserId): Promise<Outcome<Erased>> {
    return this.#asking(async () => {
      const { store, clock } = this.#options
      const until = clock.now()
      const calls = await store.erase(user, until)
      this.#eraseAgain(user, until)
      return { calls }
    }, FLUSH_ALL_MS)
  }

  /** Calls since then stay: who was forgotten may go on calling. */
  #eraseAgain(user: UserId, until: number): void {
    const { store, clock, report } = this.#options
    const cancel = clock.after(AGAIN_MS, () => {
      this.#again.delete(cancel)
      store.erase(user, until).catch((error: unknown) => {
        if (!(error instanceof Unavailable)) report(error)
      })
    })
    this.#again.add(cancel)
  }

  export(filter: Parameters<History['export']>[0]): ReturnType<History['export']> {
    return this.#asking(async () => {
      const portions = this.#options.store.all(filter)[Symbol.asyncIterator]()
      const first = await portions.next()
      return followed(first, portions)
    })
  }

  async #ofUser(user: UserId, filter: HistoryFilter, page: Parameters<History['ofUser']>[2]) {
    const { store } = this.#options
    const { size, after, number } = page
    const place = number === undefined ? { ...(after && { after }) } : { skip: (number - 1) * size }
    const [found, total] = await Promise.all([
      store.page(user, filter, { size: size + 1, ...place }),
      number === undefined ? undefined : store.count(user, filter),
    ])
    return {
      calls: found.slice(0, size).map((record) => seenBy(record, user)),
      more: found.length > size,
      ...(total !== undefined && { total }),
    }
  }

  /** Whoever asks finds what has ended before; that the database is away is an answer. */
  async #asking<T>(ask: () => Promise<T>, flushMs?: number): Promise<Outcome<T>> {
    try {
      const all = await this.#writer.flushed(flushMs ?? FLUSH_MS)
      if (!all && flushMs !== undefined) throw new Unavailable('what waits could not be written')
      const data = await ask()
      this.#writer.wake()
      return { ok: true, data }
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      return refuse('unavailable', 'the database of the history cannot be reached; calls go on', {
        retryAfter: BACK_AFTER_S,
      })
    }
  }
}

/** Where no history is kept (`DATABASE_URL=none`). */
export const NO_HISTORY: History = {
  page: async () => none(),
  ofUser: async () => none(),
  find: async () => none(),
  recall: async () => undefined,
  read: async () => none(),
  erase: async () => none(),
  export: async () => none(),
}

const none = () => refuse('notFound', 'this server keeps no history (DATABASE_URL)')

/** Also when the reader leaves early, the source hears of it. */
async function* followed<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    for (let one = first; !one.done; one = await rest.next()) yield one.value
  } finally {
    await rest.return?.()
  }
}
