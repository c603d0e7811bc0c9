/** Calls that are older than HISTORY_DAYS are deleted: once an hour, in portions, so that nobody waits behind them. */

import { type Cancel, type Clock, Unavailable } from '../ports.ts'
import type { HistoryStore } from './ports.ts'

export interface RetentionOptions {
  readonly store: Pick<HistoryStore, 'deleteBefore'>
  readonly clock: Clock
  /** 0: nothing is deleted. */
  readonly days: number
  /** Of several processes one does it; it does no harm when two do. */
  readonly leads: () => boolean
  readonly log: { info(facts: object, message: string): void }
  readonly report: (error: unknown) => void
}

const DAY_MS = 86_400_000
const EVERY_MS = 3_600_000

/** After the start there is more to do than this. */
const FIRST_MS = 60_000

const PORTION = 1_000

/** Between two portions: the database is there for calls. */
const REST_MS = 50

export class Retention {
  readonly #options: RetentionOptions
  /** Since the start. */
  deleted = 0
  #timer: Cancel | undefined
  #stopped = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#options.days > 0) this.#after(FIRST_MS)
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.()
  }

  #after(ms: number, deleted = 0): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.after(ms, () => {
      this.#portion(deleted).catch(this.#options.report)
    })
  }

  async #portion(before: number): Promise<void> {
    const { store, clock, days, leads, log } = this.#options
    let portion = 0
    try {
      if (leads()) portion = await store.deleteBefore(clock.now() - days * DAY_MS, PORTION)
    } catch (error) {
      this.#after(EVERY_MS)
      if (!(error instanceof Unavailable)) throw error
      return
    }
    this.deleted += portion
    const deleted = before + portion
    if (portion > 0) {
      this.#after(REST_MS, deleted)
      return
    }
    if (deleted > 0) log.info({ calls: deleted, days }, 'old calls were deleted from the history')
    this.#after(EVERY_MS)
  }
}
