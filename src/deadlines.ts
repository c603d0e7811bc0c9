/** One timer for many deadlines: each key fires once, at its time. Knows nothing of what it is that ends. */

import type { Cancel, Clock } from './ports.ts'
import { Schedule } from './schedule.ts'

/** Fired in one go; the others follow when the event loop has had its turn. */
const AT_ONCE = 256

export class Deadlines {
  readonly #clock: Clock
  readonly #fire: (key: string) => void
  readonly #schedule = new Schedule()
  #timer: { readonly at: number; readonly cancel: Cancel } | undefined
  #stopped = false

  /** `fire` must not throw. */
  constructor(clock: Clock, fire: (key: string) => void) {
    this.#clock = clock
    this.#fire = fire
  }

  /** `at` in milliseconds since the epoch; what has passed fires as soon as may be, never before this returns. */
  set(key: string, at: number): void {
    this.#schedule.set(key, at)
    this.#wake()
  }

  delete(key: string): void {
    this.#schedule.delete(key)
  }

  /** Nothing fires any more. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #wake(): void {
    const at = this.#schedule.next()
    if (this.#stopped || at === undefined || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    this.#timer = { at, cancel: this.#clock.after(at - this.#clock.now(), () => this.#look()) }
  }

  #look(): void {
    this.#timer = undefined
    const due = this.#schedule.due(this.#clock.now(), AT_ONCE)
    for (const key of due) this.#schedule.delete(key)
    for (const key of due) this.#fire(key)
    this.#wake()
  }
}
