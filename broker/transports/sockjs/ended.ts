/**
 * Sessions that are over and may still be asked for: "the server must constantly serve the close message" until they
 * time out (sockjs-protocol 0.3.3, Protocol.test_closeSession).
 */

import type { Clock } from '../../clock.ts'
import type { Sweep, Swept } from './sweep.ts'

/** More are forgotten early, the oldest first. */
const MOST = 10_000

export class EndedSessions implements Swept {
  readonly #clock: Clock
  readonly #sweep: Sweep
  readonly #keptMs: number
  /** By session id, the oldest first. */
  readonly #ended = new Map<string, { readonly frame: string; readonly until: number }>()

  constructor(clock: Clock, sweep: Sweep, keptMs: number) {
    this.#clock = clock
    this.#sweep = sweep
    this.#keptMs = keptMs
  }

  get size(): number {
    return this.#ended.size
  }

  /** The close frame of a session that ended a while ago. */
  frame(id: string): string | undefined {
    return this.#ended.get(id)?.frame
  }

  add(id: string, frame: string): void {
    if (this.#ended.size === 0) this.#sweep.add(this)
    this.#ended.delete(id)
    this.#ended.set(id, { frame, until: this.#clock.now() + this.#keptMs })
    if (this.#ended.size > MOST) for (const oldest of this.#ended.keys()) return void this.#ended.delete(oldest)
  }

  look(now: number): void {
    for (const [id, { until }] of this.#ended) {
      if (until > now) return
      this.#ended.delete(id)
    }
    this.#sweep.remove(this)
  }
}
