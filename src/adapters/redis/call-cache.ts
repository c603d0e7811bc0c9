/**
 * The calls that this process has seen, each in the latest version it has heard of. Bounded: what was written longest ago
 * goes first. Knows nothing of where versions come from.
 */

import type { Call, CallId } from '../../calls/types.ts'

const MOST_CALLS = 20_000

export class CallCache {
  readonly #calls = new Map<CallId, Call>()
  readonly #most: number
  hits = 0
  misses = 0

  constructor(most = MOST_CALLS) {
    this.#most = most
  }

  get size(): number {
    return this.#calls.size
  }

  /** Counts whether it was there. */
  get(callId: CallId): Call | undefined {
    const call = this.#calls.get(callId)
    if (call === undefined) this.misses++
    else this.hits++
    return call
  }

  /** Unless a later version is there already. */
  put(call: Call): void {
    const { callId, version } = call
    if ((this.#calls.get(callId)?.version ?? 0) > version) return
    this.#calls.delete(callId)
    this.#calls.set(callId, call)
    if (this.#calls.size <= this.#most) return
    for (const oldest of this.#calls.keys()) {
      this.#calls.delete(oldest)
      break
    }
  }

  clear(): void {
    this.#calls.clear()
  }

  drop(callId: CallId): void {
    this.#calls.delete(callId)
  }

  /** Those that have not ended. */
  live(): readonly Call[] {
    return [...this.#calls.values()].filter(({ endedAt }) => endedAt === undefined)
  }

  /** All of them. */
  all(): readonly Call[] {
    return [...this.#calls.values()]
  }
}
