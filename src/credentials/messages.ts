/** The messages about a session's own credential, and the operator's word that takes one away: schemas, types, places in the documents. */

import { z } from 'zod'
import { userId } from '../calls/messages.ts'

const text = (longest: number) =>
  z
    .string({ error: (issue) => (issue.input === undefined ? 'is required' : 'must be a string') })
    .min(1, 'must not be empty')
    .max(longest, `must have at most ${longest} characters`)

/** How long a token is, at most, is settled where it is checked. */
const token = text(65_536).describe('A JWT, as in CONNECT.')

/** SEND `/app/auth/refresh` */
export const TokenRefresh = z.looseObject({ token }, 'body: must be a JSON object')
export type TokenRefresh = z.output<typeof TokenRefresh>

const moment = z.int().describe('Milliseconds since the Unix epoch.')

/** MESSAGE on `/user/queue/auth` */
export const CredentialNotice = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('EXPIRING'),
    expiresAt: moment,
    remainingMs: z.int().nonnegative().describe('How long the token is still good.'),
  }),
  z.object({ type: z.literal('EXPIRED'), expiresAt: moment }),
  z.object({
    type: z.literal('REFRESHED'),
    expiresAt: moment.optional().describe('Of the new token; absent when that never ends.'),
  }),
])
export type CredentialNotice = z.output<typeof CredentialNotice>

/** `POST /imserver/admin/sessions/revoke`. Whatever is named is revoked. */
export const RevokeRequest = z
  .looseObject(
    {
      userId: userId.optional().describe('Every token of this user that was issued until now.'),
      sessionId: text(256).optional().describe('The token of this session (`session` in CONNECTED).'),
      token: token.optional().describe('This token.'),
    },
    'body: must be a JSON object',
  )
  .refine(
    ({ userId: user, sessionId, token: one }) => [user, sessionId, one].some((named) => named !== undefined),
    'body: must name a userId, a sessionId or a token',
  )
export type RevokeRequest = z.output<typeof RevokeRequest>

/** What came of it. */
export const Revoked = z.object({ sessions: z.int().nonnegative().describe('How many sessions were cut.') })
export type Revoked = z.output<typeof Revoked>
