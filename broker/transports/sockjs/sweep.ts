/**
 * SockJS's slow clocks (heart-beats, absent peers, sessions to be forgotten) by one timer for everybody. It stands
 * still while there is nobody to look after.
 */

import type { Cancel, Clock } from '../../clock.ts'

export interface Swept {
  /** Called about once a second. */
  look(now: number): void
}

/** What falls due is done at most so much later. */
const INTERVAL_MS = 1000

export class Sweep {
  readonly #clock: Clock
  readonly #all = new Set<Swept>()
  #timer: Cancel | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(one: Swept): void {
    this.#all.add(one)
    this.#timer ??= this.#later()
  }

  remove(one: Swept): void {
    if (!this.#all.delete(one) || this.#all.size > 0) return
    this.#timer?.()
    this.#timer = undefined
  }

  #later(): Cancel {
    return this.#clock.after(INTERVAL_MS, () => {
      this.#timer = this.#later()
      const now = this.#clock.now()
      for (const one of this.#all) one.look(now)
    })
  }
}
