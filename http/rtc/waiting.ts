/** Requests that wait for a call to change: their number is bounded, and none of them outlives the service. */

import type { Cancel, Clock, UserId } from '../../src/ports.ts'

export interface WaitingOptions {
  readonly clock: Clock
  /** Aborted when the server stops: nobody waits any more. */
  readonly stopping: AbortSignal
  readonly most?: number
}

/** Requests at a time: of all, of one user, of one back end. */
const MOST = 10_000
const MOST_OF_USER = 8
const MOST_OF_SERVICE = 2_000

export class Waiting {
  readonly #options: WaitingOptions
  readonly #of = new Map<UserId, number>()
  readonly #bells = new Set<Bell>()

  constructor(options: WaitingOptions) {
    this.#options = options
    options.stopping.addEventListener('abort', () => {
      for (const bell of this.#bells) bell.end()
    })
  }

  get size(): number {
    return this.#bells.size
  }

  /** A bell that rings at the end of so many milliseconds, when it is rung, or when the server stops. Undefined: too many wait. */
  begin(user: UserId, ms: number, service: boolean): Bell | undefined {
    const { clock, stopping, most = MOST } = this.#options
    const already = this.#of.get(user) ?? 0
    if (this.#bells.size >= most || already >= (service ? MOST_OF_SERVICE : MOST_OF_USER)) return undefined
    const bell = new Bell()
    this.#bells.add(bell)
    this.#of.set(user, already + 1)
    const cancel = clock.after(ms, () => bell.end())
    bell.cancel = () => {
      cancel()
      if (!this.#bells.delete(bell)) return
      const left = (this.#of.get(user) ?? 1) - 1
      if (left > 0) this.#of.set(user, left)
      else this.#of.delete(user)
    }
    if (stopping.aborted) bell.end()
    return bell
  }
}

/** What one request waits for. */
export class Bell {
  #rung = false
  #ended = false
  #wake: (() => void) | undefined
  /** Gives the place to somebody else. */
  cancel: Cancel = () => undefined

  /** There is nothing more to wait for. */
  get ended(): boolean {
    return this.#ended
  }

  /** Something may have changed. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.ring()
  }

  /** Fulfilled when it has been rung since this was fulfilled last. */
  async next(): Promise<void> {
    if (!this.#rung) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = undefined
    this.#rung = false
  }
}
