/** What the devices of a room's members are told. */

import type { Call, Effect, EndReason, Leg, Member, MemberNews } from '../types.ts'
import { targetOf } from './legs.ts'
import { joinedOf, memberOf, type Room } from './room-members.ts'
import { tell, tellLeg } from './words.ts'

/** Everybody who is or was in the room, as devices are shown them. */
export const rosterOf = ({ members }: Room) =>
  members.map(({ user, name, state, invitedBy }) => ({
    userId: user,
    ...(name !== undefined && { name }),
    state,
    ...(invitedBy !== undefined && { invitedBy }),
  }))

/**
 * The whole roster, to everybody who has joined. `by`: who has changed it. `version` grows with every change: from several
 * servers an earlier roster may arrive after a later one.
 */
export function tellRoster(room: Room, by?: string, legs: readonly Leg[] = joinedOf(room).map(({ leg }) => leg)) {
  const { callId, type, media, version } = room
  const body = { callId, type, media, members: rosterOf(room), ...(by !== undefined && { by }), version: version + 1 }
  return legs.map((leg) => tell(targetOf(leg), 'call/room', body))
}

/** The room as it rings at somebody who is asked into it. */
export function invitation(room: Room, { user, name, invitedBy = room.caller, ringUntil = 0 }: Member, now: number) {
  const { callId, type, media } = room
  return {
    callId,
    type,
    callee: user,
    ...(name !== undefined && { calleeUserName: name }),
    caller: invitedBy,
    callerUserName: memberOf(room, invitedBy)?.name ?? invitedBy,
    remainingMs: ringUntil - now,
    room: true,
    media,
    members: rosterOf(room),
  }
}

/** A member's own devices hear that it is over for them: those that ring, or the one that is in the room. */
export function hangUpMember(
  { callId }: Call,
  { user, state, leg, rung }: Member,
  reason: EndReason,
): readonly Effect[] {
  const body = { callId, reason }
  if (state === 'JOINED') return tellLeg(leg, 'call/hangup', body)
  return state === 'RINGING' ? [tell({ user, devices: rung }, 'call/hangup', body)] : []
}

export const downElsewhere = (
  { callId }: Pick<Call, 'callId'>,
  user: string,
  devices: readonly string[],
  type: 'ACCEPT' | 'REJECT',
): Effect =>
  tell({ user, devices }, 'call/down', {
    callId,
    type,
    reason: type === 'ACCEPT' ? 'ANSWERED_ELSEWHERE' : 'DECLINED_ELSEWHERE',
  })

export const memberNews = (
  news: MemberNews,
  call: Call,
  { user }: Pick<Member, 'user'>,
  at: number,
  reason?: EndReason,
): Effect => ({ kind: 'member', news, call, user, at, ...(reason && { reason }) })
