/**
 * The messages of presence (contract, section 5): one schema gives the type, the check, and the place in AsyncAPI and
 * OpenAPI.
 */

import { z } from 'zod'
import { userId } from '../calls/messages.ts'

/** The most users that can be asked for at once. */
export const MOST_USERS = 200

/** `/app/user/status` */
export const StatusQuery = z
  .array(userId, 'body: must be a JSON array of user ids')
  .min(1, 'body: must have at least 1 user id')
  .max(MOST_USERS, `body: must have at most ${MOST_USERS} user ids`)
  .describe('Users whose status is asked for.')
export type StatusQuery = z.output<typeof StatusQuery>

export const PresenceStatus = z.enum(['ONLINE', 'OFFLINE'])
export type PresenceStatus = z.output<typeof PresenceStatus>

export const UserStatus = z.object({ userId: z.string(), status: PresenceStatus })
export type UserStatus = z.output<typeof UserStatus>

/** `/topic/user/status`: the answer to a query, and every batch of later changes. */
export const StatusReport = z.array(UserStatus)
export type StatusReport = z.output<typeof StatusReport>
