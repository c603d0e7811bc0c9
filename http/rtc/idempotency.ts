/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the callId is made of the caller and the key, so that a
 * repeat names the same call on whichever node it arrives, and the engine's own rule for repeats answers it. Nothing is
 * kept for it.
 */

import { createHash } from 'node:crypto'
import { ulid } from 'ulid'
import { type Outcome, refuse } from '../../src/errors.ts'
import type { UserId } from '../../src/ports.ts'

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** A new callId; the later one sorts behind the earlier one. `now` in milliseconds since the epoch. */
export const newCallId = (now: number): string => `call_${ulid(now)}`

/** The callId of this caller's key: of the form of the others, but of no time. */
export function callIdFor(caller: UserId, key: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify(['call/initiate', caller, key]))
    .digest('hex')
  let bits = BigInt(`0x${digest.slice(0, 32)}`)
  let text = ''
  for (let place = 0; place < 26; place++) {
    text = CROCKFORD[Number(bits & 31n)] + text
    bits >>= 5n
  }
  return `call_${text}`
}

/** The header as it came. Nothing: the request has none. */
export function keyOf(header: string | undefined): Outcome<string | undefined> {
  if (header === undefined) return { ok: true, data: undefined }
  if (/^[\x21-\x7e]{1,255}$/.test(header)) return { ok: true, data: header }
  return refuse('badRequest', 'Idempotency-Key: must have 1 to 255 visible ASCII characters')
}
