/** How people come into a room: who is asked in, where that rings, and who answers. */

import { accepted, refuse } from '../../errors.ts'
import { changed } from '../changed.ts'
import type { Actor, Call, CallTimers, Feature, Leg, Member } from '../types.ts'
import { type Decision, type InviteCommand, refused } from './decision.ts'
import { legFor, legOf, otherLeg, peerOf, speaksFor } from './legs.ts'
import { withDevice } from './room-going.ts'
import {
  isJoined,
  isRinging,
  isRoom,
  type Joined,
  memberOf,
  membersWith,
  type Room,
  rejoined,
  settled,
} from './room-members.ts'
import { downElsewhere, invitation, memberNews, rosterOf, tellRoster } from './room-words.ts'
import { elsewhereQuietly, tell } from './words.ts'

/** Everybody who was ever asked into one room; who has left is still in its roster and in the history. */
const MOST_REMEMBERED = 32

/** `taken`: those of the invitees who are in another call. */
export function invite(
  call: Call,
  command: InviteCommand,
  taken: readonly string[],
  now: number,
  timers: CallTimers,
): Decision {
  const obstacle = obstacleTo(call, command.actor)
  if (obstacle) return obstacle
  const room = isRoom(call) ? call : roomOf(call, command)
  const fresh = [...new Set(command.invitees)].filter((user) => !isAsked(memberOf(room, user)))
  if (fresh.length === 0) return { outcome: { ok: true, data: answerOf(room) }, effects: [] }
  const asked = room.members.filter(isAsked).length + fresh.length
  const strangers = fresh.filter((user) => memberOf(room, user) === undefined).length
  if (asked > command.most || room.members.length + strangers > MOST_REMEMBERED) {
    return refused(refuse('roomFull', `at most ${command.most} people can be in this call`, { callId: call.callId }))
  }
  const back = returnOf(room, command.actor, now, timers)
  const invitees = fresh.map((user) => inviteeOf(back, user, command, taken.includes(user), now))
  const next = settled(back, merged(back.members, invitees), now, timers, { media: command.media })
  return {
    outcome: { ok: true, data: answerOf(next) },
    write: next,
    effects: [
      ...tellRoster(next, command.actor.user),
      ...invitees.map((invitee) => memberNews('member.invited', next, invitee, now)),
      ...invitees.filter(isRinging).map(({ user }) => ({ kind: 'ring', call: next, user }) as const),
    ],
  }
}

const isAsked = (member: Member | undefined): boolean => isJoined(member) || isRinging(member)

const answerOf = (room: Room) => ({ callId: room.callId, members: rosterOf(room) })

/** Why this actor may not ask anybody into this call; nothing: they may. */
function obstacleTo(call: Call, actor: Actor): Decision | undefined {
  const { callId, status } = call
  const leg = legOf(call, actor.user)
  if (isRoom(call)) {
    const member = memberOf(call, actor.user)
    if (!isJoined(member)) {
      return refused(refuse('notNow', 'join the call before you invite', { callId, status: member?.state ?? status }))
    }
  } else if (status !== 'CONNECTED' || call.transfer !== undefined || (call.held ?? []).length > 0) {
    return refused(refuse('notNow', `nobody can be invited now (${WHY_NOT[status] ?? 'on hold'})`, { callId, status }))
  } else if (![leg, otherLeg(call, actor.user)].every(canRooms)) {
    return refused(refuse('notSupported', 'not both of you have said `room` in `features`', { callId }))
  }
  const may = actor.overHttp || (leg !== undefined && (leg.device === undefined || speaksFor(leg, actor)))
  return may ? undefined : elsewhereQuietly(call)
}

const WHY_NOT: Readonly<Record<string, string>> = { CALLING: 'not answered', RINGING: 'not answered' }

const canRooms = (leg: Leg | undefined): boolean => leg?.features?.includes('room') === true

/** A call of two, seen as a room of two. */
function roomOf(call: Call, { names }: InviteCommand): Room {
  const { callId, origin, winner, request, connectedAt, kept } = call
  const { callerUserName, calleeUserName } = request
  const party = (leg: Leg, said: unknown, rung: readonly string[]): Member => ({
    user: leg.user,
    name: names?.get(leg.user) ?? (typeof said === 'string' ? said : undefined),
    state: 'JOINED',
    leg,
    rung,
    declined: [],
    invitedAt: call.createdAt,
    joinedAt: connectedAt,
    ...(leg.reattached === true && { unaware: [peerOf(call, leg.user)] }),
  })
  if (!winner) throw new Error(`call ${callId} is connected, but nobody has answered it`)
  const members = [party(origin, callerUserName, []), party(winner, calleeUserName, call.rung)]
  return changed(call, {
    members,
    rung: [],
    kept: kept.map((frame) => ({ ...frame, to: peerOf(call, frame.from) })),
  }) as Room
}

/** The room with the inviter's device in it again, had it been lost. */
function returnOf(room: Room, actor: Actor, now: number, timers: CallTimers): Room {
  const member = memberOf(room, actor.user)
  return (isJoined(member) ? rejoined(room, member, actor, now, timers) : undefined) ?? room
}

function inviteeOf(
  room: Room,
  user: string,
  { actor, names, ringMs }: InviteCommand,
  busy: boolean,
  now: number,
): Member {
  const { name, joinedAt, leftAt } = memberOf(room, user) ?? {}
  return {
    user,
    name: names?.get(user) ?? name,
    invitedBy: actor.user,
    rung: [],
    declined: [],
    invitedAt: now,
    joinedAt,
    ...(busy
      ? { state: 'BUSY', leftAt: joinedAt === undefined ? now : leftAt }
      : { state: 'RINGING', ringUntil: now + ringMs, leftAt }),
  }
}

/** The members with these in the place of what they were, or behind. */
function merged(members: readonly Member[], invitees: readonly Member[]): readonly Member[] {
  const known = new Set(members.map(({ user }) => user))
  return [
    ...members.map((member) => invitees.find(({ user }) => user === member.user) ?? member),
    ...invitees.filter(({ user }) => !known.has(user)),
  ]
}

/** Devices of somebody who is asked in can show that. */
export function appearInRoom(
  room: Room,
  member: Member | undefined,
  devices: readonly string[],
  now: number,
  timers: CallTimers,
): Decision {
  if (!member || !isRinging(member)) return { outcome: accepted, effects: [] }
  const fresh = devices.filter((device) => !member.rung.includes(device) && !member.declined.includes(device))
  if (fresh.length === 0) return { outcome: accepted, effects: [] }
  const members = membersWith(room, member, { rung: [...member.rung, ...fresh] })
  return {
    outcome: accepted,
    write: settled(room, members, now, timers),
    effects: [tell({ user: member.user, devices: fresh }, 'call/request', invitation(room, member, now))],
  }
}

/** ACCEPT by who is asked in. */
export function join(
  room: Room,
  member: Member,
  actor: Actor,
  features: readonly Feature[] | undefined,
  now: number,
  timers: CallTimers,
): Decision {
  if (features?.includes('room') !== true) return notWithThis(room, member, actor, now, timers)
  const { device } = actor
  // A user who answers as a whole (over HTTP) keeps every device ringing until one of them signals
  const others = device === undefined ? [] : member.rung.filter((other) => other !== device)
  const members = membersWith(room, member, {
    state: 'JOINED',
    leg: { ...legFor(actor, now), features },
    rung: device === undefined ? member.rung : [],
    declined: [],
    ringUntil: undefined,
    joinedAt: member.joinedAt ?? now,
    leftAt: undefined,
  })
  const next = settled(room, members, now, timers)
  return {
    outcome: accepted,
    write: next,
    effects: [
      downElsewhere(room, member.user, others, 'ACCEPT'),
      ...tellRoster(next, member.user),
      memberNews('member.joined', next, member, now),
    ],
  }
}

/** This client knows nothing of rooms: it is over on this device, others of the user go on ringing. */
function notWithThis(room: Room, member: Member, actor: Actor, now: number, timers: CallTimers): Decision {
  const { callId } = room
  const outcome = refuse('notSupported', 'this is a call of several, for clients that say `room` in `features`', {
    callId,
  })
  const { device, user } = actor
  if (device === undefined) return refused(outcome)
  const effects = [tell({ user, devices: [device] }, 'call/hangup', { callId })]
  if (member.declined.includes(device) && !member.rung.includes(device)) return { outcome, effects }
  const rung = member.rung.filter((other) => other !== device)
  const members = membersWith(room, member, { rung, declined: withDevice(member.declined, device) })
  return { outcome, write: settled(room, members, now, timers), effects }
}

/** ACCEPT again, by a device that is in the room: it may have come back, and not know who is there. */
export function joinAgain(room: Room, member: Joined, actor: Actor, now: number, timers: CallTimers): Decision {
  const back = rejoined(room, member, actor, now, timers)
  const { leg } = memberOf(back ?? room, member.user) ?? member
  return { outcome: accepted, write: back, effects: leg ? tellRoster(back ?? room, undefined, [leg]) : [] }
}

/** Who is in the room as a whole, without a device, gets one: the first that speaks. The others stop. */
export function bindInRoom(room: Room, member: Joined, actor: Actor, now: number, timers: CallTimers): Decision {
  const { user } = member
  const leg = { ...legFor(actor, now), features: member.leg.features }
  // What was kept for this user has reached the device, which hears it live and when it begins to listen
  const kept = room.kept.filter(({ to }) => to !== user)
  const members = membersWith(room, member, { leg, rung: [] })
  const body = { callId: room.callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' }
  return {
    outcome: accepted,
    write: settled(room, members, now, timers, { kept }),
    effects: [tell({ user, except: actor.device }, 'call/down', body)],
  }
}
