/** Commands of a member for whom a room is over, whether others are still in it or not. */

import { accepted, refuse } from '../../errors.ts'
import type { Actor, CallCommand, Effect, Member } from '../types.ts'
import { type Decision, unchanged } from './decision.ts'
import { speaksFor } from './legs.ts'
import { isJoined, memberOf, type Room } from './room-members.ts'
import { downElsewhere } from './room-words.ts'
import { tell } from './words.ts'

/** ACCEPT after the member's end. */
export function overForMember(room: Room, member: Member, actor: Actor): Decision {
  const { callId } = room
  const effects = closingInRoom(room, member, actor)
  const wentOn = member.joinedAt !== undefined && !speaksFor(member.leg, actor)
  const outcome = wentOn
    ? refuse('handledElsewhere', 'answered on another device', { callId, status: member.state })
    : refuse('alreadyOver', `the call is over for you (${member.state})`, { callId, status: member.state })
  return { outcome, effects }
}

/** The frame with which this device was, or would have been, told that it is over. */
export function closingInRoom({ callId, reason = 'HANGUP' }: Room, member: Member, actor: Actor): readonly Effect[] {
  const { device, user } = actor
  if (device === undefined) return []
  switch (member.state) {
    case 'MISSED':
      return [tell({ user, devices: [device] }, 'call/timeout', { callId })]
    case 'DECLINED':
    case 'BUSY':
      return [downElsewhere({ callId }, user, [device], 'REJECT')]
    case 'LEFT':
      return member.leg && !speaksFor(member.leg, actor)
        ? [downElsewhere({ callId }, user, [device], 'ACCEPT')]
        : [tell({ user, devices: [device] }, 'call/hangup', { callId, reason })]
    case 'RINGING':
    case 'JOINED':
      return []
  }
}

/** The device that was in the room is gone, and here is one with its token, which may show the room still. */
export function recallInRoom(
  room: Room,
  { user, device, token, present }: Extract<CallCommand, { verb: 'recall' }>,
): Decision {
  const member = memberOf(room, user)
  const leg = member?.leg
  if (isJoined(member) || leg?.device === undefined || leg.device === device || present.includes(leg.device)) {
    return unchanged
  }
  if (leg.token !== token && leg.former?.includes(token) !== true) return unchanged
  const { callId, reason = leg.lostAt === undefined ? 'HANGUP' : 'PEER_LOST' } = room
  return { outcome: accepted, effects: [tell({ user, devices: [device] }, 'call/hangup', { callId, reason })] }
}
