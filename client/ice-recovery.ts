/**
 * When to repair a media path, and when to give up. Knows time and connection states; how an ICE restart is made is the
 * owner's.
 */

import type { Clock } from './clock.ts'

export interface Repair {
  readonly clock: Clock
  /** How long `disconnected` may last: it often heals by itself. */
  readonly patienceMs: number
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

  constructor(repair: Repair) {
    this.#repair = repair
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

  #begin(afterMs: number): void {
    if (!this.#interrupted) this.#repair.interrupted(true)
    this.#interrupted = true
    // `failed` ends the patience with `disconnected`, but a restart that is under way keeps its time.
    if (this.#cancel && (this.#restarts > 0 || afterMs > 0)) return
    this.close()
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
