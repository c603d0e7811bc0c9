/**
 * When to repair a media path, and when to give up. Knows time and connection states; how an ICE restart is made is the
 * owner's. A restart needs the other side's answer: while that cannot be asked, nothing is tried and nothing given up.
 */

import type { Clock } from './clock.ts'

export interface Repair {
  readonly clock: Clock
  /** How long `disconnected` may last: it often heals by itself. */
  readonly patienceMs: number
  /** It takes the place of a path that could not be repaired. */
  readonly broken: boolean
  restart(): void
  interrupted(on: boolean): void
  giveUp(): void
}

/** A restart needs a round trip through the server and then ICE's own checks. */
const BETWEEN_RESTARTS_MS = 8_000
const MOST_RESTARTS = 4

export class IceRecovery {
  readonly #repair: Repair
  #cancel: (() => void) | undefined
  #restarts = 0
  #interrupted = false
  #away = false

  constructor(repair: Repair) {
    this.#repair = repair
    this.#interrupted = repair.broken
  }

  /** Told every connectionState of the RTCPeerConnection. */
  observe(state: RTCPeerConnectionState): void {
    switch (state) {
      case 'connected':
        this.close()
        this.#restarts = 0
        if (this.#interrupted) this.#repair.interrupted(false)
        this.#interrupted = false
        break
      case 'disconnected':
        this.#begin(this.#repair.patienceMs)
        break
      case 'failed':
        this.#begin(0)
        break
      case 'closed':
        this.close()
        break
      case 'new':
      case 'connecting':
        break
    }
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Whether signalling can reach the other side. When it can again, what is broken is repaired at once. */
  set away(on: boolean) {
    if (this.#away === on) return
    this.#away = on
    if (on) this.close()
    else this.hurry(0)
  }

  /** There is news, such as the other side's return: what is broken is repaired after this time, with all tries anew. */
  hurry(afterMs: number): void {
    if (!this.#interrupted || this.#away) return
    this.close()
    this.#restarts = 0
    this.#plan(afterMs)
  }

  #begin(afterMs: number): void {
    if (!this.#interrupted) this.#repair.interrupted(true)
    this.#interrupted = true
    if (this.#away) return
    // `failed` ends the patience with `disconnected`, but a restart that is under way keeps its time.
    if (this.#cancel && (this.#restarts > 0 || afterMs > 0)) return
    this.close()
    this.#plan(afterMs)
  }

  #plan(afterMs: number): void {
    if (afterMs === 0) this.#restart()
    else this.#cancel = this.#repair.clock.after(afterMs, () => this.#restart())
  }

  #restart(): void {
    this.#cancel = undefined
    if (this.#restarts++ >= MOST_RESTARTS) {
      this.#repair.giveUp()
      return
    }
    this.#cancel = this.#repair.clock.after(BETWEEN_RESTARTS_MS, () => this.#restart())
    this.#repair.restart()
  }
}
