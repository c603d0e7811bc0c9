/** Calls as the rtc-service shows them: those that live, and those that the history alone remembers. */

import { hash } from 'node:crypto'
import type { Call, Member } from '../../src/calls/types.ts'
import type { CallRecord, MemberRecord } from '../../src/history/types.ts'
import type { UserId } from '../../src/ports.ts'
import { shownId } from './ids.ts'
import type { ShownCall, ShownMember } from './messages.ts'
import { secondsBetween, shownTime } from './times.ts'

/** What both kinds of calls have. */
type Known = Pick<Call, 'callId' | 'type' | 'caller' | 'callee' | 'status' | 'createdAt'> &
  Partial<Pick<Call, 'reason' | 'ringingAt' | 'connectedAt' | 'endedAt' | 'held' | 'transferredBy'>> & {
    readonly members?: readonly (Member | MemberRecord)[] | undefined
  }

export type AnyCall = Call | CallRecord

/** Whether it is, or was, a call of this user. */
export const isPartyTo = ({ caller, callee, members }: Known, user: UserId): boolean =>
  user === caller || user === callee || members?.some((member) => member.user === user) === true

/** Nothing about it will change. */
export const isOver = ({ endedAt }: Pick<Known, 'endedAt'>): boolean => endedAt !== undefined

export function shownCall(call: Known): ShownCall {
  const { callId, caller, callee, status, reason, createdAt, connectedAt, endedAt, held, transferredBy, members } = call
  const shown = {
    callId,
    callerId: shownId(caller),
    calleeId: shownId(callee),
    callType: call.type,
    status,
    ...(reason !== undefined && { reason }),
    createdAt: shownTime(createdAt),
    ...timesOf(call),
    duration: secondsBetween(connectedAt, endedAt),
    ...(held !== undefined && held.length > 0 && endedAt === undefined && { heldBy: held.map(shownId) }),
    ...(transferredBy !== undefined && { transferredBy: shownId(transferredBy) }),
    ...(members !== undefined && { members: members.map(shownMember) }),
  }
  return { ...shown, version: hash('sha256', JSON.stringify(shown), 'base64url').slice(0, 16) }
}

const timesOf = ({ ringingAt, connectedAt, endedAt }: Known) => ({
  ...(ringingAt !== undefined && { ringingAt: shownTime(ringingAt) }),
  ...(connectedAt !== undefined && { connectedAt: shownTime(connectedAt) }),
  ...(endedAt !== undefined && { endedAt: shownTime(endedAt) }),
})

const shownMember = ({ user, state, joinedAt, leftAt }: Member | MemberRecord): ShownMember => ({
  userId: shownId(user),
  state,
  ...(joinedAt !== undefined && { joinedAt: shownTime(joinedAt) }),
  ...(leftAt !== undefined && { leftAt: shownTime(leftAt) }),
})

/** When this user was in the call: of a room their own time, else that of the call. */
export function stayOf(
  call: Known,
  user: UserId,
): { readonly from?: number | undefined; readonly to?: number | undefined } {
  const member = call.members?.find((one) => one.user === user)
  if (member === undefined) return { from: call.connectedAt, to: call.endedAt }
  return { from: member.joinedAt, to: member.leftAt ?? call.endedAt }
}
