/**
 * The history in a database of either kind. Says at once that the database is away when it is, and looks again by itself,
 * after growing pauses.
 */

import { hash } from 'node:crypto'
import type { Cancel, Clock } from '../../../broker/index.ts'
import type { CallId } from '../../calls/types.ts'
import { withoutMember } from '../../history/forgotten.ts'
import type { HistoryStore } from '../../history/ports.ts'
import type { CallRecord, Cursor, HistoryFilter } from '../../history/types.ts'
import { Unavailable, type UserId } from '../../ports.ts'
import { type Database, Overtaken, type Query, Refused, type Result, Unfit } from './database.ts'
import { migrationsFor } from './migrations/index.ts'
import { type Queries, queriesIn } from './queries.ts'
import { membersText, recordOf, rowOf, text } from './rows.ts'
import { sqlWriter } from './sql-writer.ts'
import type { CallsTable, ForgottenTable } from './tables.ts'

const MOST_UNREAD = 1000

/** Longer lists are said to be this long: a page that far back is nothing that anybody looks at. */
const MOST_COUNTED = 100_000

const EXPORT_PORTION = 500
const ERASE_PORTION = 200

/** A database takes so many values in one question, and more. */
const MOST_ASKED = 1000

/** How often somebody else may be first before we give up. */
const TRIES = 20

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000

export interface SqlWorld {
  readonly clock: Clock
  readonly log: {
    info(facts: object, message: string): void
    warn(facts: object, message: string): void
    error(facts: object, message: string): void
  }
  /** Heard at each change, not in the beginning, which is `down`. */
  readonly onState?: (state: 'up' | 'down') => void
  /** The database refuses this record for good, whatever else it takes: it is dropped. */
  readonly onRefused?: (record: CallRecord, reason: string) => void
}

export class SqlHistory implements HistoryStore {
  readonly #database: Database
  readonly #world: SqlWorld
  readonly #queries: Queries
  readonly #migrations: readonly (readonly string[])[]
  readonly #ready: Promise<void>
  #state: 'up' | 'down' = 'down'
  #opening: Promise<void> | undefined
  #reason = 'not connected yet'
  /** The first attempt to open it is over. */
  #tried = false
  /** Since something was written last. */
  #failures = 0
  #cancelRetry: Cancel = () => undefined
  #stopping = false
  /** What the database has not answered yet. */
  readonly #asked = new Set<Promise<unknown>>()
  /** Of this process one user after the other is forgotten. */
  #erasing: Promise<unknown> = Promise.resolve()

  constructor(database: Database, world: SqlWorld) {
    this.#database = database
    this.#world = world
    const db = sqlWriter(database.dialect)
    this.#queries = queriesIn(db, database.dialect)
    this.#migrations = migrationsFor(db, database.dialect)
    this.#ready = this.#open(true)
    this.#ready.catch(() => undefined)
  }

  /**
   * Fulfilled when the first attempt is over, whether the database is up then or away. Rejected when it is there and may
   * not be used (it is corrupt, or has the tables of a newer version); the message says what to do.
   */
  get ready(): Promise<void> {
    return this.#ready
  }

  get state(): 'up' | 'down' {
    return this.#state
  }

  async write(records: readonly CallRecord[]): Promise<void> {
    if (records.length === 0) return
    const rows = records.map(rowOf)
    try {
      await this.#ask(() => this.#database.write(rows))
      // only now: with a full disk it can be opened, and takes nothing
      this.#failures = 0
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      await this.#writeParts(records, error)
    }
  }

  async page(
    user: UserId,
    filter: HistoryFilter,
    { size, after, skip = 0 }: { size: number; after?: Cursor; skip?: number },
  ): Promise<readonly CallRecord[]> {
    if (user === '' || size < 1) return []
    const query = this.#queries.page(text(user), filter, size, after, after ? 0 : skip)
    return (await this.#rows<CallsTable>(query)).sort(latestFirst).map(recordOf)
  }

  async find(callId: CallId): Promise<CallRecord | undefined> {
    const [row] = await this.#rows<CallsTable>(this.#queries.find(text(callId)))
    return row && recordOf(row)
  }

  async count(user: UserId, filter: HistoryFilter): Promise<number> {
    return user === '' ? 0 : this.#count(this.#queries.count(text(user), filter, MOST_COUNTED), MOST_COUNTED)
  }

  async unread(user: UserId): Promise<number> {
    return user === '' ? 0 : this.#count(this.#queries.unread(text(user), MOST_UNREAD), MOST_UNREAD)
  }

  async markRead(user: UserId, until: number): Promise<void> {
    if (user !== '') await this.#run([this.#queries.markRead(text(user), Math.trunc(until))])
  }

  async *all({ from, before }: { from?: number; before?: number }): AsyncIterable<readonly CallRecord[]> {
    let behind: Cursor | undefined
    for (;;) {
      const rows = await this.#rows<CallsTable>(this.#queries.all(from, before, behind, EXPORT_PORTION))
      const last = rows.at(-1)
      if (!last) return
      yield rows.map(recordOf)
      if (rows.length < EXPORT_PORTION) return
      behind = { endedAt: last.ended_at, callId: last.call_id }
    }
  }

  erase(user: UserId, until = this.#world.clock.now()): Promise<number> {
    if (user === '') return Promise.resolve(0)
    const erased = this.#erasing.then(() => this.#erase(text(user), Math.ceil(until)))
    this.#erasing = erased.catch(() => undefined)
    return erased
  }

  async forgotten(users: readonly UserId[]): Promise<ReadonlyMap<UserId, number>> {
    const named = new Map(users.map((user) => [digestOf(text(user)), user]))
    const digests = [...named.keys()]
    const found = new Map<UserId, number>()
    for (let at = 0; at < digests.length; at += MOST_ASKED) {
      const query = this.#queries.forgotten(digests.slice(at, at + MOST_ASKED))
      for (const { digest, until } of await this.#rows<ForgottenTable>(query)) {
        const user = named.get(digest)
        if (user !== undefined) found.set(user, Number(until))
      }
    }
    return found
  }

  async deleteBefore(endedAt: number, atMost: number): Promise<number> {
    const results = await this.#run(this.#queries.deleteBefore(endedAt, atMost))
    return results.at(-1)?.changed ?? 0
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelRetry()
    await this.#opening?.catch(() => undefined)
    while (this.#asked.size > 0) await Promise.allSettled(this.#asked)
    await this.#database.close()
    this.#state = 'down'
    this.#reason = 'it has been closed'
  }

  /** Halves, until those that are refused are alone: the others have nothing to do with it. */
  async #writeParts(records: readonly CallRecord[], { message }: Refused): Promise<void> {
    const [first] = records
    if (records.length === 1 && first) {
      this.#world.log.error({ callId: first.callId, reason: message }, 'call cannot be kept in the history')
      this.#world.onRefused?.(first, message)
      return
    }
    const middle = Math.ceil(records.length / 2)
    await this.write(records.slice(0, middle))
    await this.write(records.slice(middle))
  }

  async #erase(user: UserId, until: number): Promise<number> {
    await this.#run([this.#queries.markForgotten(digestOf(user), until)])
    let erased = 0
    for (let tries = 0; tries < TRIES; ) {
      const rows = await this.#rows<CallsTable>(this.#queries.naming(user, until, ERASE_PORTION))
      if (rows.length === 0) {
        await this.#run([this.#queries.forgetReader(user)])
        return erased
      }
      try {
        await this.#run(rows.flatMap((row) => this.#forget(user, row)))
        erased += rows.length
        tries = 0
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error
        tries++
      }
    }
    throw new Unavailable(`${this.#database.name}: others change the same calls again and again`)
  }

  #forget(user: UserId, row: CallsTable): readonly Query[] {
    const { members } = recordOf(row)
    const without = members ? membersText(withoutMember(members, user)) : null
    return this.#queries.forget(user, { endedAt: row.ended_at, callId: row.call_id }, row.members, without)
  }

  async #count(query: Query, atMost: number): Promise<number> {
    const [row] = await this.#rows<{ count: number }>(query)
    return Math.min(Number(row?.count ?? 0), atMost)
  }

  async #rows<R>(query: Query): Promise<R[]> {
    const [result] = await this.#run([query])
    return (result?.rows ?? []) as R[]
  }

  #run(queries: readonly Query[]): Promise<readonly Result[]> {
    return this.#ask(() => this.#database.run(queries))
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    // who asks before the first attempt is over waits for it; afterwards nobody waits for what is away
    if (this.#state === 'down' && !this.#tried) await this.#opening
    if (this.#state === 'down') throw new Unavailable(this.#reason)
    const answer = question()
    this.#asked.add(answer)
    try {
      return await answer
    } catch (error) {
      if (error instanceof Unavailable || error instanceof Unfit) this.lost(error.message)
      throw error instanceof Unfit ? new Unavailable(error.message) : error
    } finally {
      this.#asked.delete(answer)
    }
  }

  /** The database is away, as somebody has found out. */
  lost(reason: string): void {
    if (this.#state === 'down' || this.#stopping) return
    this.#failures++
    this.#reason = reason
    this.#become('down')
    this.#world.log.warn({ reason }, 'call history is away; it is looked for again')
    this.#retry()
  }

  #open(first: boolean): Promise<void> {
    const opening = this.#database.open(this.#migrations).then(
      () => this.#opened(),
      (error: Error) => {
        this.#failed(error)
        if (first && error instanceof Unfit) throw error
      },
    )
    this.#opening = opening
    void opening
      .catch(() => undefined)
      .finally(() => {
        if (this.#opening === opening) this.#opening = undefined
      })
    return opening
  }

  #opened(): void {
    this.#tried = true
    if (this.#stopping) return
    this.#become('up')
    this.#world.log.info({ database: this.#database.name }, 'call history is up')
  }

  #failed(error: Error): void {
    this.#tried = true
    if (this.#stopping) return
    this.#failures++
    this.#reason = error.message
    // once, and then seldom: it is looked for every few seconds for as long as it takes
    if (this.#failures === 1 || this.#failures % 60 === 0) {
      this.#world.log.error({ reason: error.message }, 'call history cannot be reached; it is looked for again')
    }
    this.#retry()
  }

  #retry(): void {
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#failures - 1, 10), LONGEST_PAUSE_MS)
    this.#cancelRetry = this.#world.clock.after(pauseMs, () => void this.#open(false))
  }

  #become(state: 'up' | 'down'): void {
    this.#state = state
    this.#world.onState?.(state)
  }
}

/** The databases would sort whole rows; ids are in the order of their octets. */
function latestFirst(a: CallsTable, b: CallsTable): number {
  return b.ended_at - a.ended_at || Buffer.compare(Buffer.from(b.call_id), Buffer.from(a.call_id))
}

const digestOf = (user: UserId): string => hash('sha256', user, 'base64url')
