/**
 * How many answers a source without credentials gets in a second. The sender's address may be forged, so this must
 * cost the same however many sources there seem to be: a fixed table of counters, in which sources share a place by
 * a keyed hash, instead of one entry for each.
 */

import { randomInt } from 'node:crypto'
import type { Clock } from '../../../broker/clock.ts'

const PLACES = 1 << 16

export class Challenges {
  readonly #clock: Clock
  readonly #perSecond: number
  readonly #counts = new Uint16Array(PLACES)
  readonly #seed = randomInt(2 ** 32)
  #second = 0

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = Math.min(perSecond, 0xffff)
  }

  /** Counts one answer to this source; false when it has had its share of this second. */
  allow(address: string): boolean {
    const second = Math.floor(this.#clock.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#counts.fill(0)
    }
    const place = this.#place(address)
    const count = this.#counts[place] ?? 0
    if (count >= this.#perSecond) return false
    this.#counts[place] = count + 1
    return true
  }

  /** FNV-1a from a secret start, folded to the size of the table. */
  #place(address: string): number {
    let hash = this.#seed
    for (let at = 0; at < address.length; at++) hash = Math.imul(hash ^ address.charCodeAt(at), 0x01000193)
    return (hash ^ (hash >>> 16)) & (PLACES - 1)
  }
}
