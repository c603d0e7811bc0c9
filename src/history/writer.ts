/**
 * The way of a record into the database: collected for a moment, written in batches, one batch at a time. While the
 * database is away, or slow, records wait in the spool, which outlives this process, and go from there into the database
 * in the order in which they came. Whoever pushes never waits, and never hears of any of this.
 *
 * Nothing is lost by writing twice (a call has one row), so whenever it is not known what became of a batch, it is
 * written again.
 */

import type { CallId } from '../calls/types.ts'
import { type Cancel, type Clock, Unavailable, type UserId } from '../ports.ts'
import { namedIn, withoutUsers } from './forgotten.ts'
import type { HistoryStore, Spool } from './ports.ts'
import type { CallRecord } from './types.ts'

/** A batch is written when it is full, or when its first record has waited for so long. */
const BATCH = 100
const WAIT_MS = 20

/** A batch that the database has not taken within this time goes into the spool as well: a kill would lose it otherwise. */
const PATIENCE_MS = 20

/** Out of the spool at a time. */
const DRAIN_BATCH = 500

/** Records in the memory of this process, some 500 octets each: more only wait when the spool is full or away. */
const MOST_QUEUED = 20_000

/** Between two attempts while the database, or the spool, is away: it doubles. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/** What is written so long after its end has waited somewhere, and somebody in it may have been forgotten meanwhile. */
const LATE_MS = 500

/** What a stop waits for the database before it takes the spool. */
const STOP_MS = 2_000

export interface WriterLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface WriterOptions {
  readonly store: Pick<HistoryStore, 'write' | 'forgotten'>
  /** Undefined: what cannot be written waits in memory. */
  readonly spool?: Spool | undefined
  readonly clock: Clock
  /** These are in the database now; one that was written twice is told twice. */
  readonly written: (records: readonly CallRecord[]) => void
  readonly log: WriterLog
  /** Told of bugs. */
  readonly report: (error: unknown) => void
}

/** Since the start, and now. */
export interface WriterCounts {
  /** Records in the database. */
  readonly written: number
  /** Records that had to wait in the spool. */
  readonly spooled: number
  /** Records that are lost: there was no room, or the database refuses them for good. */
  readonly dropped: number
  /** In the memory of this process. */
  readonly waiting: number
  /** Milliseconds since the end of the oldest call that this process knows to wait; 0: none does. */
  readonly ageMs: number
}

export class Writer {
  readonly #options: WriterOptions
  #queue: CallRecord[] = []
  #timer: Cancel | undefined
  #working: Promise<void> | undefined
  /** What is in the queue has waited long enough. */
  #hasWaited = false
  /** Something waits in the spool, or may: what comes now goes behind it. */
  #spooling = false
  #draining: Promise<void> | undefined
  /** How often something was put into the spool. */
  #puts = 0
  /** A write that was given up waiting for, and what it had when it came to a good end after all. */
  #late: Promise<unknown> | undefined
  readonly #lateWritten = new Set<CallId>()
  /** When the first call in the spool ended, as far as is known. */
  #head: number | undefined
  #wake: (() => void) | undefined
  #written = 0
  #spooled = 0
  #dropped = 0
  /** In no database, though they were written without an error. */
  readonly #refused = new WeakSet<CallRecord>()
  /** Of an outage: the log has it. */
  #complained = false
  #stopping = false
  #stopped = false

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** What an earlier process has left in the spool is written first. */
  start(): void {
    if (this.#options.spool) this.#drainSoon()
  }

  get counts(): WriterCounts {
    const oldest = Math.min(this.#head ?? Number.POSITIVE_INFINITY, this.#queue[0]?.endedAt ?? Number.POSITIVE_INFINITY)
    return {
      written: this.#written,
      spooled: this.#spooled,
      dropped: this.#dropped,
      waiting: this.#queue.length,
      ageMs: Number.isFinite(oldest) ? Math.max(0, this.#options.clock.now() - oldest) : 0,
    }
  }

  /** Waits for nobody. */
  push(record: CallRecord): void {
    if (this.#queue.length >= MOST_QUEUED || this.#stopped) {
      this.#dropped++
      return
    }
    this.#queue.push(record)
    if (this.#queue.length >= BATCH) this.#workSoon()
    else this.#timer ??= this.#options.clock.after(WAIT_MS, () => this.#workSoon())
  }

  /**
   * What was pushed until now is in the database when this is fulfilled; false: it waits for the database, or has not got
   * there in time.
   */
  async flushed(atMostMs: number): Promise<boolean> {
    if (this.#idle) return true
    let cancel: Cancel = () => undefined
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(atMostMs, resolve)
    })
    await Promise.race([this.#flush(), late])
    cancel()
    return this.#idle
  }

  /** The database has answered somebody: it need not be waited for any longer. */
  wake(): void {
    this.#wake?.()
  }

  /** Of those that are being written this one was refused for good: the database does without it. */
  refused(record: CallRecord): void {
    this.#refused.add(record)
    this.#dropped++
  }

  /** Everything is in the database or in the spool when this is fulfilled; what is in neither is lost, and the log says so. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake?.()
    await this.#draining
    await this.#flush()
    this.#stopped = true
    this.#timer?.()
    const lost = this.#queue.splice(0).length
    this.#dropped += lost
    if (lost > 0) this.#options.log.error({ calls: lost }, 'calls are lost for the history: nobody took them')
  }

  get #idle(): boolean {
    return this.#queue.length === 0 && this.#working === undefined && !this.#spooling
  }

  /** Until nothing waits, or nothing can be done about what waits. */
  async #flush(): Promise<void> {
    while (this.#queue.length > 0 || this.#working) {
      const [first] = this.#queue
      this.#workSoon()
      await this.#working
      if (first !== undefined && this.#queue[0] === first) return
    }
    this.#wake?.()
    await this.#draining
  }

  /** One batch after the other; the rest waits until it is one, or has waited long enough. */
  #workSoon(): void {
    this.#timer?.()
    this.#timer = undefined
    this.#hasWaited = true
    if (this.#queue.length === 0) return
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
    })
  }

  async #work(): Promise<void> {
    do {
      this.#hasWaited = false
      const batch = this.#queue.slice(0, DRAIN_BATCH)
      let placed = false
      try {
        placed = await this.#place(batch)
      } catch (error) {
        this.#options.report(error)
      }
      if (!placed) {
        if (!this.#stopping) this.#timer ??= this.#options.clock.after(FIRST_PAUSE_MS, () => this.#workSoon())
        return
      }
      this.#queue.splice(0, batch.length)
    } while (this.#queue.length >= BATCH || (this.#queue.length > 0 && (this.#hasWaited || this.#stopping)))
    if (this.#queue.length > 0) this.#timer ??= this.#options.clock.after(WAIT_MS, () => this.#workSoon())
  }

  /** False: it has to be tried again, these are nowhere yet. */
  async #place(batch: readonly CallRecord[]): Promise<boolean> {
    if (batch.length === 0) return true
    const { spool } = this.#options
    if (this.#spooling && spool) return this.#putAside(spool, batch)
    const writing = this.#write(batch)
    const outcome = await (spool ? this.#unlessSlow(writing) : writing)
    if (outcome === true) return true
    if (spool === undefined) return false
    if (outcome === 'slow') {
      this.#late = writing.then((done) => {
        if (done) for (const { callId } of batch) this.#lateWritten.add(callId)
      })
    }
    return this.#putAside(spool, batch)
  }

  async #putAside(spool: Spool, batch: readonly CallRecord[]): Promise<boolean> {
    this.#puts++
    this.#spooling = true
    let kept = false
    try {
      kept = await spool.put(batch)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
    } finally {
      this.#drainSoon()
    }
    if (!kept) return false
    this.#spooled += batch.length
    this.#head ??= batch[0]?.endedAt
    return true
  }

  /** Whether these are in the database. Rejected with bugs only. */
  async #write(batch: readonly CallRecord[]): Promise<boolean> {
    const { store, report, log } = this.#options
    let records = batch
    try {
      records = await this.#withoutForgotten(batch)
      await store.write(records)
    } catch (error) {
      if (error instanceof Unavailable) {
        if (!this.#complained) log.warn({ err: error }, 'the history cannot be written: calls wait for the database')
        this.#complained = true
        return false
      }
      report(error)
      return this.#writeOneByOne(records)
    }
    this.#done(records)
    return true
  }

  /** Of what comes late; whom an erasure a moment ago has missed it erases again. */
  async #withoutForgotten(batch: readonly CallRecord[]): Promise<readonly CallRecord[]> {
    const { store, clock } = this.#options
    const late = batch.filter(({ endedAt }) => clock.now() - endedAt > LATE_MS)
    if (late.length === 0) return batch
    const forgotten = await store.forgotten([...new Set(late.flatMap(namedIn))])
    if (forgotten.size === 0) return batch
    return batch.flatMap((record) => {
      const gone = (user: UserId) => (forgotten.get(user) ?? Number.NEGATIVE_INFINITY) >= record.endedAt
      return withoutUsers(record, gone) ?? []
    })
  }

  /** One of them is such that the database refuses it: the others must not wait for it for ever. */
  async #writeOneByOne(batch: readonly CallRecord[]): Promise<boolean> {
    for (const record of batch) {
      try {
        await this.#options.store.write([record])
        this.#done([record])
      } catch (error) {
        if (error instanceof Unavailable) return false
        this.#dropped++
        this.#options.log.error({ err: error, callId: record.callId }, 'the database refuses a call: it is dropped')
      }
    }
    return true
  }

  #done(taken: readonly CallRecord[]): void {
    const records = taken.filter((record) => !this.#refused.has(record))
    this.#written += records.length
    if (this.#complained) this.#options.log.info({}, 'the history is written again')
    this.#complained = false
    try {
      this.#options.written(records)
    } catch (error) {
      this.#options.report(error)
    }
  }

  #unlessSlow(writing: Promise<boolean>): Promise<boolean | 'slow'> {
    return new Promise((resolve, reject) => {
      const patience = this.#stopping ? STOP_MS : PATIENCE_MS
      const cancel = this.#options.clock.after(patience, () => resolve('slow'))
      writing.finally(cancel).then(resolve, reject)
    })
  }

  #drainSoon(): void {
    const { spool, report } = this.#options
    if (spool === undefined || this.#draining || this.#stopping) return
    this.#spooling = true
    this.#draining = this.#drain(spool)
      .catch(report)
      .finally(() => {
        this.#draining = undefined
      })
  }

  async #drain(spool: Spool): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !this.#stopping; ) {
      const step = await this.#drainSome(spool)
      if (step === 'empty') {
        this.#spooling = false
        this.#head = undefined
        this.#lateWritten.clear()
        return
      }
      if (step === 'some') pause = FIRST_PAUSE_MS
      else {
        await this.#rest(pause)
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS)
      }
    }
  }

  /** `away`: the database or the spool is, or another process is at it. */
  async #drainSome(spool: Spool): Promise<'some' | 'empty' | 'away'> {
    try {
      await this.#late
      this.#late = undefined
      const puts = this.#puts
      const batch = await spool.peek(DRAIN_BATCH)
      if (batch.length === 0) {
        const { records } = await spool.size()
        if (records > 0) return 'away'
        return puts === this.#puts ? 'empty' : 'some'
      }
      this.#head = batch[0]?.endedAt
      const missing = batch.filter(({ callId }) => !this.#lateWritten.has(callId))
      if (missing.length > 0 && !(await this.#write(missing))) return 'away'
      await spool.done(batch)
      return 'some'
    } catch (error) {
      if (!(error instanceof Unavailable)) this.#options.report(error)
      return 'away'
    }
  }

  async #rest(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = undefined
  }
}
