/**
 * Nonces that need no memory (RFC 8489, section 9.2): the minute of their making and a MAC over it and the client's
 * address. They are 12 characters short so that a challenge stays below twice the size of the smallest Allocate.
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../../broker/clock.ts'
import type { Endpoint } from './endpoint.ts'

const MINUTE_MS = 60_000
/** 56 bits: guessing one takes longer than it is good for, and it protects against replay only. */
const MAC_OCTETS = 7

export class Nonces {
  readonly #clock: Clock
  readonly #minutes: number
  readonly #key = randomBytes(32)

  constructor(clock: Clock, seconds: number) {
    this.#clock = clock
    this.#minutes = Math.max(1, Math.ceil(seconds / 60))
  }

  issue(client: Endpoint): string {
    return this.#encode(this.#minute(), client).toString('base64url')
  }

  /** Whether we gave it to this client, and not too long ago. */
  fresh(nonce: string, client: Endpoint): boolean {
    const given = Buffer.from(nonce, 'base64url')
    if (given.length !== 2 + MAC_OCTETS || given.toString('base64url') !== nonce) return false
    const now = this.#minute()
    const age = (now - given.readUInt16BE(0)) & 0xffff
    return age <= this.#minutes && timingSafeEqual(given, this.#encode(now - age, client))
  }

  #minute(): number {
    return Math.floor(this.#clock.now() / MINUTE_MS)
  }

  #encode(minute: number, { address, port }: Endpoint): Buffer {
    const nonce = Buffer.alloc(2 + MAC_OCTETS)
    nonce.writeUInt16BE(minute & 0xffff, 0)
    createHmac('sha256', this.#key).update(`${minute} ${address} ${port}`).digest().copy(nonce, 2, 0, MAC_OCTETS)
    return nonce
  }
}
