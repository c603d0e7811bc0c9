/**
 * Fresh credentials for sessions that have asked once: told before those they have end, for as long as they are
 * connected. One timer for all sessions. Knows when, and nothing of what credentials are made of.
 */

import { Deadlines } from '../deadlines.ts'
import type { Clock, DeviceId } from '../ports.ts'

/** The part of their life after which credentials are replaced: a call that begins a moment later still gets through. */
const RENEWED_AFTER = 0.8
/** The part of their life after which it is tried again when there was nothing to tell. */
const TRIED_AGAIN_AFTER = 0.05
/** Of credentials that live for moments only. */
const LEAST_PAUSE_MS = 500

export interface RenewalOptions {
  readonly clock: Clock
  /** How long credentials are good, in seconds. */
  readonly ttlSeconds: number
  /**
   * Tells the session fresh credentials. `unheard`: it does not listen; `nothing`: no relay is up that they would be
   * good for. Must not throw.
   */
  readonly tell: (session: DeviceId, region: string | undefined) => 'told' | 'unheard' | 'nothing'
}

interface Asker {
  /** What it has asked for, last. */
  readonly region: string | undefined
  /** Could not be told at its time, and is when it listens again. */
  readonly missed: boolean
}

export class Renewal {
  readonly #options: RenewalOptions
  readonly #deadlines: Deadlines
  readonly #askers = new Map<DeviceId, Asker>()

  constructor(options: RenewalOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(options.clock, (session) => this.#renew(session))
  }

  /** Sessions that have asked and are still connected. */
  get size(): number {
    return this.#askers.size
  }

  /** The session has just got credentials that it asked for. */
  asked(session: DeviceId, region?: string): void {
    this.#next(session, region, RENEWED_AFTER)
  }

  /** The session hears what is told to it from now on: it has subscribed, or is no longer restricted. */
  listens(session: DeviceId): void {
    if (this.#askers.get(session)?.missed === true) this.#renew(session)
  }

  /** What the session has asked for last; undefined: nothing. */
  packed(session: DeviceId): { readonly region?: string | undefined } | undefined {
    const asker = this.#askers.get(session)
    return asker && { region: asker.region }
  }

  /** Another process has told the session credentials until now: it gets fresh ones when it listens. */
  unpack(session: DeviceId, { region }: { readonly region?: string | undefined }): void {
    this.#askers.set(session, { region, missed: true })
  }

  disconnected(session: DeviceId): void {
    if (this.#askers.delete(session)) this.#deadlines.delete(session)
  }

  /** Nobody is told any more. */
  stop(): void {
    this.#deadlines.stop()
  }

  #renew(session: DeviceId): void {
    const region = this.#askers.get(session)?.region
    switch (this.#options.tell(session, region)) {
      case 'told':
        this.#next(session, region, RENEWED_AFTER)
        return
      case 'nothing':
        this.#next(session, region, TRIED_AGAIN_AFTER)
        return
      case 'unheard':
        this.#askers.set(session, { region, missed: true })
        this.#deadlines.delete(session)
    }
  }

  #next(session: DeviceId, region: string | undefined, part: number): void {
    const { clock, ttlSeconds } = this.#options
    this.#askers.set(session, { region, missed: false })
    this.#deadlines.set(session, clock.now() + Math.max(ttlSeconds * 1000 * part, LEAST_PAUSE_MS))
  }
}
