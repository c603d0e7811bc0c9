/**
 * Readers that are too slow by the clock: what waits for a peer must be gone after a while. Watches only the sessions
 * that have something waiting, by one timer that stands still while there are none.
 */

import type { Cancel, Clock } from './clock.ts'

/** A session, as far as what waits for its peer goes. */
export interface Backlog {
  /** Octets written so far. */
  readonly written: number
  /** Octets of them that wait. */
  readonly buffered: number
  /** What waited `ms` milliseconds ago waits still. */
  stuck(ms: number): void
}

/** What must have left by when. */
interface Mark {
  readonly octets: number
  readonly since: number
}

/** Looks per interval: somebody stuck is found this much of an interval late at most. */
const LOOKS = 10

export class Backlogs {
  readonly #clock: Clock
  readonly #longestMs: number
  readonly #marks = new Map<Backlog, Mark>()
  #timer: Cancel | undefined

  /** `longestMs`: how long an octet may wait. */
  constructor(clock: Clock, longestMs: number) {
    this.#clock = clock
    this.#longestMs = longestMs
  }

  /** Something waits there now. */
  add(session: Backlog): void {
    if (this.#marks.has(session)) return
    this.#marks.set(session, { octets: session.written, since: this.#clock.now() })
    this.#timer ??= this.#later()
  }

  remove(session: Backlog): void {
    if (!this.#marks.delete(session) || this.#marks.size > 0) return
    this.#timer?.()
    this.#timer = undefined
  }

  #later(): Cancel {
    return this.#clock.after(this.#longestMs / LOOKS, () => this.#look())
  }

  #look(): void {
    this.#timer = undefined
    const now = this.#clock.now()
    for (const [session, mark] of this.#marks) {
      const { written, buffered } = session
      if (buffered === 0) this.#marks.delete(session)
      else if (written - buffered >= mark.octets) this.#marks.set(session, { octets: written, since: now })
      else if (now - mark.since >= this.#longestMs) session.stuck(this.#longestMs)
    }
    if (this.#marks.size > 0) this.#timer ??= this.#later()
  }
}
