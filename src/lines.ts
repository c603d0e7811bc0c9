/**
 * Work that concerns one key is done one after the other, in the order in which it came; other keys do not wait.
 * What can be done at once is.
 */

import type { Awaitable } from './steps.ts'

export class Lines {
  /** What waits behind the work that is being done. A key is here only while there is some. */
  readonly #waiting = new Map<string, (() => void)[]>()

  /** Whether work for this key is being done, so that more would have to wait. */
  busy(key: string): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(key)
  }

  /** Every key for which work is being done. */
  keys(): readonly string[] {
    return [...this.#waiting.keys()]
  }

  /** Fulfilled, or rejected, as the work is. */
  run<T>(key: string, work: () => Awaitable<T>): Awaitable<T> {
    const line = this.#waiting.get(key)
    if (line !== undefined) {
      return new Promise<T>((resolve, reject) => {
        line.push(() => void this.#settled(key, work).then(resolve, reject))
      })
    }
    this.#waiting.set(key, [])
    let done: Awaitable<T>
    try {
      done = work()
    } catch (error) {
      this.#next(key)
      throw error
    }
    if (done instanceof Promise) return done.finally(() => this.#next(key))
    this.#next(key)
    return done
  }

  /**
   * The same for work that concerns several keys: they are waited for in one order, whoever asks, so that nobody waits
   * for somebody who waits for them. Work for one key must not wait for another one in its turn.
   */
  runAll<T>(keys: readonly string[], work: () => Awaitable<T>): Awaitable<T> {
    return this.#runAll([...new Set(keys)].sort(), work)
  }

  #runAll<T>([key, ...more]: readonly string[], work: () => Awaitable<T>): Awaitable<T> {
    return key === undefined ? work() : this.run(key, () => this.#runAll(more, work))
  }

  async #settled<T>(key: string, work: () => Awaitable<T>): Promise<T> {
    try {
      return await work()
    } finally {
      this.#next(key)
    }
  }

  #next(key: string): void {
    const work = this.#waiting.get(key)?.shift()
    if (work === undefined) this.#waiting.delete(key)
    else work()
  }
}
