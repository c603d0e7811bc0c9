/** A call as one user sees it → what clients are told. Pure. */

import type { UserId } from '../ports.ts'
import type { SeenRecord } from './messages.ts'
import type { CallRecord, SeenCall } from './types.ts'

export function seenRecordOf({ record, direction, seenAs, duration }: SeenCall, user: UserId): SeenRecord {
  const { callId, type, status, reason, createdAt, connectedAt, endedAt, transferredBy, members } = record
  const peer = personOf(record, peerOf(record, user))
  return {
    callId,
    type,
    direction,
    ...(peer && { peer }),
    status,
    reason,
    seenAs,
    createdAt: iso(createdAt),
    ...(connectedAt !== undefined && { connectedAt: iso(connectedAt) }),
    endedAt: iso(endedAt),
    duration,
    ...(transferredBy !== undefined && { transferredBy }),
    ...(members && {
      members: members
        .filter((member) => member.user !== '')
        .map(({ user: userId, name, state, joinedAt, leftAt }) => ({
          userId,
          ...(name !== undefined && { name }),
          state,
          ...(joinedAt !== undefined && { joinedAt: iso(joinedAt) }),
          leftAt: iso(leftAt),
        })),
    }),
  }
}

/** Who is called back. */
function peerOf({ caller, callee, members }: CallRecord, user: UserId): UserId {
  if (user === caller) return callee
  if (user === callee) return caller
  return members?.find((member) => member.user === user)?.invitedBy ?? caller
}

/** Nobody, when they were forgotten. */
function personOf({ caller, callee, callerName, calleeName, members }: CallRecord, userId: UserId) {
  if (userId === '') return undefined
  const named = members?.find((member) => member.user === userId)?.name
  const name = userId === caller ? (callerName ?? named) : userId === callee ? (calleeName ?? named) : named
  return { userId, ...(name !== undefined && { name }) }
}

export const iso = (ms: number): string => new Date(ms).toISOString()
