/**
 * Starts the parts of the server in order and stops them in reverse order.
 */

export interface Part {
  readonly name: string
  start?(): Promise<void> | void
  stop?(): Promise<void> | void
}

export interface LifecycleLog {
  error(facts: object, text: string): void
}

export class Lifecycle {
  readonly #log: LifecycleLog
  readonly #running: Part[] = []
  #stopping: Promise<void> | undefined

  constructor(log: LifecycleLog) {
    this.#log = log
  }

  /** Starts one part. When that fails, everything that already runs is stopped and the error goes on. */
  async start(part: Part): Promise<void> {
    try {
      await part.start?.()
      this.#running.push(part)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Stops what runs, the last started first. A part that fails to stop is logged and does not hold up the others. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #stopAll(): Promise<void> {
    for (let part = this.#running.pop(); part; part = this.#running.pop()) {
      try {
        await part.stop?.()
      } catch (error) {
        this.#log.error({ err: error, part: part.name }, `${part.name} did not stop cleanly`)
      }
    }
  }
}
