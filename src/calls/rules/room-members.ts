/** Who is in a room, and what follows from that. */

import type { Actor, Call, CallTimers, Leg, Member, MemberState } from '../types.ts'
import { scheduled } from './deadlines.ts'
import { legFor, speaksFor } from './legs.ts'

/** A call that has become a room. It is CONNECTED as long as it lives. */
export type Room = Call & { readonly members: readonly Member[] }

/** A member who is in it. */
export type Joined = Member & { readonly leg: Leg }

export const isRoom = (call: Call): call is Room => call.members !== undefined

export const memberOf = (room: Room, user: string): Member | undefined =>
  room.members.find((member) => member.user === user)

export const isJoined = (member: Member | undefined): member is Joined =>
  member?.state === 'JOINED' && member.leg !== undefined

export const isRinging = (member: Member | undefined): boolean => member?.state === 'RINGING'

export const joinedOf = (room: Room): readonly Joined[] => room.members.filter(isJoined)

/** The members with these changes of one of them. */
export function membersWith(room: Room, { user }: Member, changes: Partial<Member>): readonly Member[] {
  return room.members.map((member) => (member.user === user ? { ...member, ...changes } : member))
}

/** The room with these members: whether somebody is alone in it, and when it must be looked at, follow from them. */
export function settled(
  room: Room,
  members: readonly Member[],
  now: number,
  timers: CallTimers,
  more: Partial<Call> = {},
): Room {
  const alone = members.filter(isJoined).length < 2
  const aloneSince = alone ? (room.aloneSince ?? now) : undefined
  return scheduled(room, { ...more, members, aloneSince }, timers) as Room
}

/** A member is not in the room any more, or not asked into it. Where they signalled from is kept: they may ask again. */
export function gone(member: Member, state: Exclude<MemberState, 'RINGING' | 'JOINED'>, now: number): Partial<Member> {
  // Who has been in it before, and was asked again in vain, has still been in it until then
  const leftAt = state !== 'LEFT' && member.joinedAt !== undefined ? member.leftAt : now
  return { state, rung: [], declined: [], ringUntil: undefined, unaware: undefined, leftAt }
}

/** A lost device of a member speaks again: it is in the room again, which the others learn with what it says to them. */
export function rejoined(room: Room, member: Joined, actor: Actor, now: number, timers: CallTimers): Room | undefined {
  const { leg } = member
  if (leg.lostAt === undefined || actor.device === undefined || !speaksFor(leg, actor)) return undefined
  const back = { ...legFor(actor, now), features: leg.features }
  return scheduled(
    room,
    { members: membersWith(room, member, { leg: back, unaware: othersIn(room, member) }) },
    timers,
  ) as Room
}

const othersIn = (room: Room, { user }: Member): readonly string[] =>
  joinedOf(room).flatMap((other) => (other.user === user ? [] : [other.user]))
