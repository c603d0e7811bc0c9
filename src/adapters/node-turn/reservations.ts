/**
 * Ports kept for an Allocate that is still to come (RFC 8656, section 7.2: EVEN-PORT with its R bit). A reservation
 * takes one of its user's places, or ports could be hoarded with it.
 */

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:dgram'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { Family } from './endpoint.ts'

/** RFC 8656, section 7.2: at least so long. */
const HELD_MS = 30_000

export interface ReservedPort {
  /** Bound. */
  readonly socket: Socket
  readonly family: Family
  /** The only one who may use it. */
  readonly user: string
}

export class Reservations {
  readonly #clock: Clock
  readonly #lapsed: (user: string) => void
  /** By token in hexadecimal. As many as there are places at most. */
  readonly #ports = new Map<string, ReservedPort & { readonly cancel: Cancel }>()

  /** `lapsed` is told whenever one ends unused. */
  constructor(clock: Clock, lapsed: (user: string) => void) {
    this.#clock = clock
    this.#lapsed = lapsed
  }

  /** Keeps the port; the answer is its RESERVATION-TOKEN. */
  keep(port: ReservedPort): Buffer {
    const token = randomBytes(8)
    const key = token.toString('hex')
    const cancel = this.#clock.after(HELD_MS, () => this.#lapse(key))
    this.#ports.set(key, { ...port, cancel })
    port.socket.on('error', () => this.#lapse(key))
    return token
  }

  /** The port of this token, which is the caller's from then on; undefined when there is none of this user. */
  take(token: Buffer, user: string): ReservedPort | undefined {
    const key = token.toString('hex')
    const port = this.#ports.get(key)
    if (!port || port.user !== user) return undefined
    this.#ports.delete(key)
    port.cancel()
    return port
  }

  releaseAll(): void {
    for (const key of [...this.#ports.keys()]) this.#lapse(key)
  }

  #lapse(key: string): void {
    const port = this.#ports.get(key)
    if (!port) return
    this.#ports.delete(key)
    port.cancel()
    port.socket.close()
    this.#lapsed(port.user)
  }
}
