/** How members go, and how a room ends with the last of them. */

import { accepted } from '../../errors.ts'
import { changed } from '../changed.ts'
import type { Actor, CallTimers, Effect, EndReason, Member, Rejection } from '../types.ts'
import { end } from './deadlines.ts'
import { type Change, type Decision, written } from './decision.ts'
import { speaksFor } from './legs.ts'
import { gone, isJoined, isRinging, type Joined, joinedOf, membersWith, type Room, settled } from './room-members.ts'
import { downElsewhere, hangUpMember, memberNews, tellRoster } from './room-words.ts'
import { elsewhere, tell, tellLeg } from './words.ts'

/** Ends the room for all who are in it or asked into it. `effects`: what is told before. */
export function endRoom(
  room: Room,
  reason: EndReason,
  now: number,
  timers: CallTimers,
  effects: readonly Effect[],
): Change {
  const members = room.members.map((member) => ({ ...member, ...atTheEnd(member, now) }))
  const final = changed(room, { members, aloneSince: undefined, held: undefined })
  const goodbyes = room.members.flatMap((member) => hangUpMember(room, member, reason))
  const { call, effects: news } = end(final, 'COMPLETED', reason, now, timers, [])
  const unanswered = room.members
    .filter(isRinging)
    .map((member) => memberNews('member.gone', call, member, now, 'CANCELLED'))
  return { call, effects: [...effects, ...goodbyes, ...unanswered, ...news] }
}

function atTheEnd(member: Member, now: number): Partial<Member> {
  if (member.state === 'JOINED') return gone(member, 'LEFT', now)
  return member.state === 'RINGING' ? gone(member, 'MISSED', now) : {}
}

/**
 * The room without this member; its end, when nobody is left in it. `effects`: what the member's devices are told.
 * `why`: of one who has not joined it.
 */
export function without(
  room: Room,
  member: Member,
  state: 'LEFT' | 'DECLINED' | 'MISSED' | 'BUSY',
  now: number,
  timers: CallTimers,
  effects: readonly Effect[],
  why: EndReason = state === 'MISSED' || state === 'LEFT' ? 'NO_ANSWER' : state,
): Change {
  const held = room.held?.filter((user) => user !== member.user)
  const kept = room.kept.filter(({ to }) => to !== member.user)
  const next = settled(room, membersWith(room, member, gone(member, state, now)), now, timers, { held, kept })
  const news = isJoined(member) ? [] : [memberNews('member.gone', next, member, now, why)]
  if (joinedOf(next).length === 0) return endRoom(next, 'HANGUP', now, timers, [...effects, ...news])
  return { call: next, effects: [...effects, ...tellRoster(next, member.user), ...news] }
}

/** Nobody has answered for this member. */
export const missedRoom = (room: Room, member: Member, now: number, timers: CallTimers): Change =>
  without(room, member, 'MISSED', now, timers, [tell({ user: member.user }, 'call/timeout', { callId: room.callId })])

/** HANGUP by who is in the room: by the device that is, or by the user over HTTP; for a lost device any other one. */
export function leave(room: Room, member: Joined, actor: Actor, now: number, timers: CallTimers): Decision {
  const { leg } = member
  const may = actor.overHttp || leg.device === undefined || leg.lostAt !== undefined || speaksFor(leg, actor)
  if (!may) return elsewhere(room, actor)
  const byItself = leg.device !== undefined && leg.device === actor.device
  const body = { callId: room.callId, reason: 'HANGUP' }
  const own = byItself ? [] : tellLeg(leg, 'call/hangup', body, actor.device)
  return { outcome: accepted, ...written(without(room, member, 'LEFT', now, timers, own)) }
}

/** REJECT or HANGUP by who is asked in: for the user, or (BUSY, while others ring) for this device alone. */
export function decline(
  room: Room,
  member: Member,
  actor: Actor,
  reason: Rejection,
  now: number,
  timers: CallTimers,
): Decision {
  if (reason === 'NO_ANSWER') return { outcome: accepted, ...written(missedRoom(room, member, now, timers)) }
  const others = member.rung.filter((device) => device !== actor.device)
  if (reason === 'BUSY' && actor.device !== undefined && others.length > 0) {
    const members = membersWith(room, member, { rung: others, declined: withDevice(member.declined, actor.device) })
    return { outcome: accepted, write: settled(room, members, now, timers), effects: [] }
  }
  const told = [downElsewhere(room, member.user, others, 'REJECT')]
  return { outcome: accepted, ...written(without(room, member, reason, now, timers, told)) }
}

export const withDevice = (devices: readonly string[], device: string): readonly string[] =>
  devices.includes(device) ? devices : [...devices, device]

/** An operator has shut out the user, or the device that is in the room. */
export function shutOutOfRoom(
  room: Room,
  member: Member | undefined,
  device: string | undefined,
  now: number,
  timers: CallTimers,
): Decision | undefined {
  if (!member || !(isJoined(member) || isRinging(member))) return undefined
  if (device !== undefined && !(isJoined(member) && member.leg.device === device)) return undefined
  const state = isJoined(member) ? 'LEFT' : 'MISSED'
  const told = hangUpMember(room, member, 'ADMIN')
  return { outcome: accepted, ...written(without(room, member, state, now, timers, told, 'ADMIN')) }
}
