/**
 * Finds out that nobody is at the other end any more, sooner than heart-beats do: asks for a sign of life when there is
 * a suspicion, or when it has been quiet for too long. Knows time; how one asks is its owner's.
 */

import type { Clock } from './clock.ts'

export interface LivenessOptions {
  readonly clock: Clock
  /** Asks the server for anything at all. */
  ask(): void
  /** Nothing has come. */
  dead(): void
}

/** A round trip over a bad mobile network, and then some. */
const ANSWER_MS = 4_000
/** Quiet while it matters. */
const SILENCE_MS = 4_000
/** A timer that comes later than this has slept with its machine: what it waits for may be unread. */
const ASLEEP_MS = 1_000

export class Liveness {
  readonly #options: LivenessOptions
  #running = false
  #vigilant = false
  #heardAt = 0
  #askedAt: number | undefined
  #cancel: (() => void) | undefined

  constructor(options: LivenessOptions) {
    this.#options = options
  }

  /** A connection stands. */
  start(): void {
    this.#running = true
    this.heard()
    this.#arm()
  }

  stop(): void {
    this.#running = false
    this.#askedAt = undefined
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Something has come, whatever it is. */
  heard(): void {
    this.#heardAt = this.#options.clock.now()
    this.#askedAt = undefined
  }

  /** Whether silence itself is a reason to ask: somebody is in a call. Otherwise heart-beats must do. */
  set vigilant(on: boolean) {
    if (this.#vigilant === on) return
    this.#vigilant = on
    if (this.#running) this.#arm()
  }

  /** There is a reason to doubt. */
  suspect(): void {
    if (!this.#running || this.#askedAt !== undefined) return
    this.#askedAt = this.#options.clock.now()
    this.#arm()
    this.#options.ask()
  }

  #arm(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const at = this.#nextLook
    if (at === undefined) return
    const { clock } = this.#options
    this.#cancel = clock.after(Math.max(at - clock.now(), 0), () => this.#look(at))
  }

  get #nextLook(): number | undefined {
    if (this.#askedAt !== undefined) return this.#askedAt + ANSWER_MS
    return this.#vigilant ? this.#heardAt + SILENCE_MS : undefined
  }

  #look(planned: number): void {
    const now = this.#options.clock.now()
    const due = this.#nextLook
    if (due === undefined || now < due) this.#arm()
    else if (this.#askedAt === undefined) this.suspect()
    else if (now - planned > ASLEEP_MS) {
      this.#askedAt = undefined
      this.suspect()
    } else {
      this.stop()
      this.#options.dead()
    }
  }
}
