/** Ids of sessions: nobody can guess one, and no two are the same. */

import { randomFillSync } from 'node:crypto'

const OCTETS = 16

/** Random octets are asked for in large pieces: a call for each id costs more than the octets. */
const pool = Buffer.alloc(256 * OCTETS)
let used = pool.length

/** 128 random bits in base64url. */
export function freshSessionId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += OCTETS
  const id = pool.toString('base64url', used - OCTETS, used)
  // What was given away is not kept
  pool.fill(0, used - OCTETS, used)
  return id
}
