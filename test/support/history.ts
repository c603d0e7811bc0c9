/** Stand-ins for a database and a spool, with an outage in the hand; and records as calls leave them. */

import type { HistoryStore, Spool } from '../../src/history/ports.ts'
import { usersOf } from '../../src/history/record.ts'
import { seenBy } from '../../src/history/seen.ts'
import type { CallRecord, Cursor, HistoryFilter } from '../../src/history/types.ts'
import { Unavailable } from '../../src/ports.ts'

/** A call that bob has missed, unless it says otherwise. */
export function missedCall(callId: string, endedAt: number, more: Partial<CallRecord> = {}): CallRecord {
  return {
    callId,
    type: 'VIDEO',
    caller: 'alice',
    callee: 'bob',
    callerName: 'Alice',
    status: 'MISSED',
    reason: 'NO_ANSWER',
    createdAt: endedAt - 30_000,
    endedAt,
    ...more,
  }
}

/** The latest end first; of one moment the larger callId. */
const later = (a: Cursor, b: Cursor) =>
  b.endedAt - a.endedAt || (a.callId === b.callId ? 0 : a.callId < b.callId ? 1 : -1)

export class HistoryAtHand implements HistoryStore {
  readonly calls = new Map<string, CallRecord>()
  /** Sizes of the batches that were written. */
  readonly batches: number[] = []
  /** Who was forgotten, and when. */
  readonly erased = new Map<string, number>()
  /** How often it was asked for that. */
  looks = 0
  readonly #marks = new Map<string, number>()
  away = false
  /** Writes are not answered until {@link answers}. */
  slow = false
  /** A bug: it fails for whatever is with this call. */
  poison: string | undefined
  /** It refuses this call for good, says so, and takes the others. */
  refuses: { readonly callId: string; told(record: CallRecord): void } | undefined
  #waiting: (() => void)[] = []

  get state(): 'up' | 'down' {
    return this.away ? 'down' : 'up'
  }

  answers(): void {
    this.slow = false
    for (const answer of this.#waiting.splice(0)) answer()
  }

  async write(records: readonly CallRecord[]): Promise<void> {
    this.#reached()
    if (this.slow) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (records.some(({ callId }) => callId === this.poison)) throw new Error('refused for good')
    this.batches.push(records.length)
    for (const record of records) {
      if (record.callId === this.refuses?.callId) this.refuses.told(record)
      else if (!this.calls.has(record.callId)) this.calls.set(record.callId, record)
    }
  }

  async page(user: string, filter: HistoryFilter, page: Parameters<HistoryStore['page']>[2]) {
    this.#reached()
    const { size, after, skip = 0 } = page
    const found = this.#of(user, filter)
    const begin = after ? found.findIndex((one) => later(after, one) < 0) : skip
    return begin < 0 ? [] : found.slice(begin, begin + size)
  }

  async find(callId: string): Promise<CallRecord | undefined> {
    this.#reached()
    return this.calls.get(callId)
  }

  async count(user: string, filter: HistoryFilter): Promise<number> {
    this.#reached()
    return this.#of(user, filter).length
  }

  async unread(user: string): Promise<number> {
    this.#reached()
    const mark = this.#marks.get(user) ?? 0
    return this.#of(user, { only: 'missed' }).filter(({ endedAt }) => endedAt > mark).length
  }

  async markRead(user: string, until: number): Promise<void> {
    this.#reached()
    this.#marks.set(user, Math.max(until, this.#marks.get(user) ?? 0))
  }

  async *all({ from = 0, before = Number.POSITIVE_INFINITY }: { from?: number; before?: number }) {
    this.#reached()
    const calls = [...this.calls.values()].filter(({ endedAt }) => endedAt >= from && endedAt < before)
    calls.sort((a, b) => later(b, a))
    for (let at = 0; at < calls.length; at += 2) yield calls.slice(at, at + 2)
  }

  async erase(user: string, until = Number.POSITIVE_INFINITY): Promise<number> {
    this.#reached()
    this.erased.set(user, until)
    let erased = 0
    for (const [callId, call] of this.calls) {
      if (!usersOf(call).includes(user) || call.endedAt > until) continue
      erased++
      const caller = call.caller === user ? '' : call.caller
      const callee = call.callee === user ? '' : call.callee
      if (caller === '' && callee === '') this.calls.delete(callId)
      else this.calls.set(callId, { ...call, caller, callee })
    }
    return erased
  }

  async forgotten(users: readonly string[]): Promise<ReadonlyMap<string, number>> {
    this.#reached()
    this.looks++
    return new Map([...this.erased].filter(([user]) => users.includes(user)))
  }

  async deleteBefore(endedAt: number, atMost: number): Promise<number> {
    this.#reached()
    const old = [...this.calls.values()].filter((call) => call.endedAt < endedAt).slice(0, atMost)
    for (const { callId } of old) this.calls.delete(callId)
    return old.length
  }

  async stop(): Promise<void> {}

  #of(user: string, { only, type, from = 0, before = Number.POSITIVE_INFINITY }: HistoryFilter): CallRecord[] {
    return [...this.calls.values()]
      .filter((call) => usersOf(call).includes(user))
      .filter((call) => type === undefined || call.type === type)
      .filter(({ endedAt }) => endedAt >= from && endedAt < before)
      .filter((call) => {
        const { direction, seenAs } = seenBy(call, user)
        return only === undefined || only === direction || only === seenAs
      })
      .sort(later)
  }

  #reached(): void {
    if (this.away) throw new Unavailable('the database is away')
  }
}

export class SpoolAtHand implements Spool {
  readonly records: CallRecord[] = []
  away = false
  room = Number.POSITIVE_INFINITY
  /** Another process is at it. */
  taken = false
  puts = 0

  async put(records: readonly CallRecord[]): Promise<boolean> {
    this.#reached()
    if (this.records.length + records.length > this.room) return false
    this.puts++
    this.records.push(...records)
    return true
  }

  async peek(atMost: number): Promise<readonly CallRecord[]> {
    this.#reached()
    return this.taken ? [] : this.records.slice(0, atMost)
  }

  async done(records: readonly CallRecord[]): Promise<void> {
    this.#reached()
    this.records.splice(0, records.length)
  }

  async size() {
    this.#reached()
    return { records: this.records.length, bytes: this.records.length * 500 }
  }

  async stop(): Promise<void> {}

  #reached(): void {
    if (this.away) throw new Unavailable('the spool is away')
  }
}
