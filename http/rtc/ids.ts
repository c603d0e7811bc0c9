/**
 * Users as the rtc-service writes them. Inside they are texts: the user of the token. Back ends that keep numbers send
 * and get numbers; what a number cannot hold exactly stays a text.
 */

import { z } from 'zod'
import { userId } from '../../src/calls/messages.ts'
import type { UserId } from '../../src/ports.ts'

// Beyond 2^53 the number that was sent may be another one already (RFC 8259 section 6)
const number = z
  .number()
  .refine(
    (value) => Number.isSafeInteger(value) && !Object.is(value, -0),
    'must be a whole number below 2^53; send other ids as texts',
  )

/** A number or a text. 10001 and "10001" are the same user; "007" is another one than 7. */
export const RtcUserId = z
  .union([number, userId], {
    error: ({ input }) => (input === undefined ? 'is required' : 'must be a number or a text'),
  })
  .transform(String)

/** In answers: a number where that is the same in every respect, else the text. */
export function shownId(user: UserId): number | string {
  return /^(?:0|-?[1-9]\d{0,15})$/.test(user) && Number.isSafeInteger(Number(user)) ? Number(user) : user
}

/** How an answer shows a user. */
export const ShownId = z
  .union([z.int(), z.string()])
  .describe('A number when it is a whole one below 2^53, else a text.')
