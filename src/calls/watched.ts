/**
 * Who waits for a call to change. It knows ids alone: what has changed is asked of the store. Whoever lets others wait
 * bounds their number.
 */

import type { Cancel } from '../ports.ts'
import type { CallId } from './types.ts'

export class Watched {
  readonly #listeners = new Map<CallId, Set<() => void>>()

  /** Calls that somebody waits for. */
  get size(): number {
    return this.#listeners.size
  }

  /** `changed` must not throw; it is told until it is taken off. */
  add(callId: CallId, changed: () => void): Cancel {
    // One of their own for each, though the same function is given twice
    const listener = () => changed()
    const listeners = this.#listeners.get(callId) ?? new Set()
    this.#listeners.set(callId, listeners.add(listener))
    return () => {
      if (listeners.delete(listener) && listeners.size === 0) this.#listeners.delete(callId)
    }
  }

  /** Nothing: any call may have changed. */
  changed(callId?: CallId): void {
    if (callId !== undefined) {
      for (const listener of [...(this.#listeners.get(callId) ?? [])]) listener()
      return
    }
    for (const known of [...this.#listeners.keys()]) this.changed(known)
  }
}
