/** Commands for a room: a call that several are in, each with a leg of their own (docs/calls.md, "Rooms"). */

import { accepted, refuse } from '../../errors.ts'
import type { Actor, CallCommand, CallTimers, Member } from '../types.ts'
import { closingInRoom, overForMember, recallInRoom } from './after-a-room.ts'
import { type Change, type Decision, type RequestCommand, refused, type Situation, unchanged } from './decision.ts'
import { hold } from './hold.ts'
import { legFor, speaksFor } from './legs.ts'
import { appearInRoom, bindInRoom, invite, join, joinAgain } from './room-coming.ts'
import { decline, endRoom, leave, missedRoom, shutOutOfRoom, without } from './room-going.ts'
import { isJoined, isRinging, joinedOf, memberOf, membersWith, type Room, settled } from './room-members.ts'
import { listenInRoom, signalInRoom } from './room-signal.ts'
import { firstInRoom } from './room-times.ts'
import { hangUpMember } from './room-words.ts'
import { elsewhere, forgottenBy, notAParty, tellLeg } from './words.ts'

type RoomCommand = Exclude<CallCommand, RequestCommand>

export function inRoom(
  room: Room,
  command: RoomCommand,
  situation: Situation,
  now: number,
  timers: CallTimers,
): Decision {
  if ('actor' in command) {
    const member = memberOf(room, command.actor.user)
    return member ? byMember(room, member, command, situation, now, timers) : refused(notAParty(room))
  }
  switch (command.verb) {
    case 'appear':
      return appearInRoom(room, memberOf(room, command.user), command.devices, now, timers)
    case 'listen':
      return listenInRoom(room, command.user, command.device)
    case 'lose':
      return lose(room, command, now, timers)
    case 'return':
      return comeBack(room, command, now, timers)
    case 'recall':
      return recallInRoom(room, command)
    case 'shutOut':
      return shutOutOfRoom(room, memberOf(room, command.user), command.device, now, timers) ?? unchanged
    case 'shutDown':
      return shutDown(room, now, timers)
    case 'hear':
      return hear(room, command.user, now, timers)
    case 'tick':
      return unchanged
  }
}

function byMember(
  room: Room,
  member: Member,
  command: Extract<RoomCommand, { actor: Actor }>,
  situation: Situation,
  now: number,
  timers: CallTimers,
): Decision {
  const { actor } = command
  switch (command.verb) {
    case 'ringing':
      if (isRinging(member)) {
        return actor.device === undefined ? unchanged : appearInRoom(room, member, [actor.device], now, timers)
      }
      if (isJoined(member)) return speaksFor(member.leg, actor) ? unchanged : elsewhere(room, actor)
      return overForMember(room, member, actor)
    case 'accept':
      return accept(room, member, command, now, timers)
    case 'reject':
      if (isRinging(member)) return decline(room, member, actor, command.reason, now, timers)
      if (isJoined(member)) {
        return speaksFor(member.leg, actor) ? leave(room, member, actor, now, timers) : elsewhere(room, actor)
      }
      return { outcome: accepted, effects: closingInRoom(room, member, actor) }
    case 'hangup':
      if (isRinging(member)) return decline(room, member, actor, 'DECLINED', now, timers)
      if (isJoined(member)) return leave(room, member, actor, now, timers)
      return { outcome: accepted, effects: closingInRoom(room, member, actor) }
    case 'signal':
      return signalInRoom(room, actor, command.signal, command.to, now, timers)
    case 'invite':
      return invite(room, command, situation.taken ?? [], now, timers)
    case 'hold':
      return hold(room, actor, command.hold, situation, now, timers)
    case 'transfer':
      return refused(refuse('notNow', 'not in a call of several', { callId: room.callId, status: room.status }))
  }
}

function accept(
  room: Room,
  member: Member,
  { actor, features }: Extract<CallCommand, { verb: 'accept' }>,
  now: number,
  timers: CallTimers,
): Decision {
  if (isRinging(member)) return join(room, member, actor, features, now, timers)
  if (!isJoined(member)) return overForMember(room, member, actor)
  if (speaksFor(member.leg, actor)) return joinAgain(room, member, actor, now, timers)
  return member.leg.device === undefined && actor.device !== undefined
    ? bindInRoom(room, member, actor, now, timers)
    : elsewhere(room, actor)
}

function lose(
  room: Room,
  { user, device, token, former, away }: Extract<CallCommand, { verb: 'lose' }>,
  now: number,
  timers: CallTimers,
): Decision {
  const member = memberOf(room, user)
  if (isJoined(member) && member.leg.device === device && member.leg.lostAt === undefined) {
    const leg = { ...member.leg, lostAt: now, token: token ?? member.leg.token, former }
    return { outcome: accepted, write: settled(room, membersWith(room, member, { leg }), now, timers), effects: [] }
  }
  // Nobody who may come back is forgotten: what ends meanwhile waits for them
  if (away === true || !member?.rung.includes(device)) return unchanged
  const rung = member.rung.filter((other) => other !== device)
  return { outcome: accepted, write: settled(room, membersWith(room, member, { rung }), now, timers), effects: [] }
}

/** The very device is connected again. */
function comeBack(
  room: Room,
  { user, device, token }: Extract<CallCommand, { verb: 'return' }>,
  now: number,
  timers: CallTimers,
): Decision {
  const member = memberOf(room, user)
  if (!isJoined(member) || member.leg.device !== device || member.leg.lostAt === undefined) return unchanged
  const leg = { ...legFor({ user, device, token }, now), features: member.leg.features }
  const unaware = joinedOf(room).flatMap((other) => (other.user === user ? [] : [other.user]))
  return {
    outcome: accepted,
    write: settled(room, membersWith(room, member, { leg, unaware }), now, timers),
    effects: [],
  }
}

/** What rings ends; who talks needs no server to go on. */
function shutDown(room: Room, now: number, timers: CallTimers): Decision {
  const told = joinedOf(room).flatMap(({ leg }) => forgottenBy(leg, room))
  let next = room
  const hungUp = room.members.filter(isRinging).flatMap((member) => {
    const { call, effects } = without(next, member, 'MISSED', now, timers, hangUpMember(room, member, 'ADMIN'), 'ADMIN')
    next = call as Room
    return effects
  })
  return { outcome: accepted, write: next === room ? undefined : next, effects: [...hungUp, ...told] }
}

function hear(room: Room, user: string, now: number, timers: CallTimers): Decision {
  const member = memberOf(room, user)
  if (!isJoined(member) || member.leg.device !== undefined || member.leg.heardAt === now) return unchanged
  const leg = { ...member.leg, heardAt: now }
  return { outcome: accepted, write: settled(room, membersWith(room, member, { leg }), now, timers), effects: [] }
}

/** What the deadlines that have passed make of a room, one after the other. */
export function expireRoom(room: Room, now: number, timers: CallTimers): Change | undefined {
  if (now < room.due) return undefined
  let change: Change | undefined
  for (let current = room; current.endedAt === undefined; ) {
    const passed = pass(current, now, timers)
    if (!passed) break
    change = { call: passed.call, effects: [...(change?.effects ?? []), ...passed.effects] }
    current = passed.call as Room
  }
  return change
}

function pass(room: Room, now: number, timers: CallTimers): Change | undefined {
  const { at, passes, user } = firstInRoom(room, timers)
  if (at > now) return undefined
  const { callId } = room
  const member = user === undefined ? undefined : memberOf(room, user)
  switch (passes) {
    case 'longest-call':
      return endRoom(room, 'MAX_DURATION', now, timers, [])
    case 'alone':
      return endRoom(room, 'HANGUP', now, timers, [])
    case 'ring':
      return member && missedRoom(room, member, now, timers)
    case 'lost':
      return (
        member &&
        without(room, member, 'LEFT', now, timers, tellLeg(member.leg, 'call/hangup', { callId, reason: 'PEER_LOST' }))
      )
  }
}
