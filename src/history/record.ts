/** A call that is over → what is kept of it. Pure. */

import type { Call, Member, Names } from '../calls/types.ts'
import type { UserId } from '../ports.ts'
import type { CallRecord, MemberRecord } from './types.ts'

/**
 * Of a call that has ended: nothing of one that has not. `names`: what the ended call no longer has; without them the
 * request is asked.
 */
export function recordOf(call: Call, names: Names = namesOf(call)): CallRecord | undefined {
  const { callId, type, caller, callee, status, reason, createdAt, ringingAt, connectedAt, endedAt } = call
  if (endedAt === undefined || reason === undefined) return undefined
  if (status === 'CALLING' || status === 'RINGING' || status === 'CONNECTED') return undefined
  const { callerUserName: callerName, calleeUserName: calleeName } = names
  const { transferredBy, members } = call
  return {
    callId,
    type,
    caller,
    callee,
    ...(callerName !== undefined && { callerName }),
    ...(calleeName !== undefined && { calleeName }),
    status,
    reason,
    createdAt,
    ...(ringingAt !== undefined && { ringingAt }),
    ...(connectedAt !== undefined && { connectedAt }),
    // Clocks of two processes may disagree a little: nothing ends before it began
    endedAt: Math.max(endedAt, connectedAt ?? createdAt),
    ...(transferredBy !== undefined && { transferredBy }),
    ...(members && { members: members.map((member) => memberOf(member, endedAt)) }),
  }
}

/** Of a call that goes on without the process that knew it: as far as anybody can tell it ends now. */
export function abandoned(call: Call, now: number): CallRecord | undefined {
  const unanswered = call.connectedAt === undefined
  const end = unanswered
    ? ({ status: 'CANCELLED', reason: 'ADMIN' } as const)
    : ({ status: 'COMPLETED', reason: 'NODE_FAILURE' } as const)
  return recordOf({ ...call, ...end, endedAt: now }, namesOf(call))
}

/** Everybody whose list has this call. */
export function usersOf({ caller, callee, members }: CallRecord): readonly UserId[] {
  return [...new Set([caller, callee, ...(members ?? []).map(({ user }) => user)])]
}

/** Who is still in a room has left it when it ends; who still rings has missed it. */
function memberOf({ user, name, state, invitedBy, joinedAt, leftAt }: Member, endedAt: number): MemberRecord {
  return {
    user,
    ...(name !== undefined && { name }),
    state: state === 'JOINED' ? 'LEFT' : state === 'RINGING' ? 'MISSED' : state,
    ...(invitedBy !== undefined && { invitedBy }),
    ...(joinedAt !== undefined && { joinedAt }),
    leftAt: leftAt ?? endedAt,
  }
}

function namesOf({ request: { callerUserName, calleeUserName } }: Call): Names {
  return {
    ...(typeof callerUserName === 'string' && { callerUserName }),
    ...(typeof calleeUserName === 'string' && { calleeUserName }),
  }
}
