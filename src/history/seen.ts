/** What a call was for one of those who were in it. A pure function; docs/calls.md has the table. */

import type { UserId } from '../ports.ts'
import type { CallRecord, MemberRecord, SeenAs, SeenCall } from './types.ts'

/**
 * The call as this user sees it, who is its caller, its callee or a member of it (anybody else sees what the callee
 * sees). A room is for each member what their own state says.
 */
export function seenBy(record: CallRecord, user: UserId): SeenCall {
  const outgoing = record.caller === user
  const member = record.members?.find((each) => each.user === user)
  return {
    record,
    direction: outgoing ? 'outgoing' : 'incoming',
    seenAs: member ? asMember(member, outgoing) : asParty(record, outgoing),
    duration: member ? seconds(member.joinedAt, member.leftAt) : seconds(record.connectedAt, record.endedAt),
  }
}

function asParty({ status, reason }: CallRecord, outgoing: boolean): SeenAs {
  switch (status) {
    case 'COMPLETED':
      return 'answered'
    case 'MISSED':
      return outgoing ? 'unanswered' : 'missed'
    case 'CANCELLED':
      // of two who called each other at once nobody has missed anything: the other call lives
      return outgoing || reason === 'GLARE' ? 'cancelled' : 'missed'
    case 'REJECTED':
      if (reason !== 'BUSY') return 'declined'
      return outgoing ? 'busy' : 'missed'
  }
}

function asMember({ state, joinedAt }: MemberRecord, outgoing: boolean): SeenAs {
  if (joinedAt !== undefined) return 'answered'
  switch (state) {
    case 'LEFT':
      return 'answered'
    case 'DECLINED':
      return 'declined'
    case 'BUSY':
      return outgoing ? 'busy' : 'missed'
    case 'MISSED':
      return outgoing ? 'unanswered' : 'missed'
  }
}

/** Whole seconds; clocks that went back make no negative ones. */
function seconds(from: number | undefined, until: number): number {
  return from === undefined ? 0 : Math.max(0, Math.floor((until - from) / 1000))
}
