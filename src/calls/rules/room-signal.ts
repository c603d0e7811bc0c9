/** Signalling in a room: from one member's device to another's. */

import { accepted, refuse } from '../../errors.ts'
import type { Actor, CallTimers, Effect, SignalFrame } from '../types.ts'
import { type Decision, refused, unchanged } from './decision.ts'
import { keep } from './kept-signals.ts'
import { isBound, speaksFor, targetOf } from './legs.ts'
import { bindInRoom } from './room-coming.ts'
import { isJoined, type Joined, joinedOf, memberOf, membersWith, type Room, rejoined, settled } from './room-members.ts'
import { elsewhereQuietly, relay, relayAgain } from './words.ts'

/** `to`: for whom; who is one of two need not say. */
export function signalInRoom(
  room: Room,
  actor: Actor,
  frame: SignalFrame,
  to: string | undefined,
  now: number,
  timers: CallTimers,
): Decision {
  const { callId } = room
  const member = memberOf(room, actor.user)
  if (!isJoined(member)) {
    if (member?.state === 'RINGING')
      return refused(refuse('forbidden', 'callId: answer the call before you signal', { callId }))
    const late = now >= (member?.leftAt ?? 0) + timers.lateSignalMs
    return late ? refused(refuse('notFound', 'callId: you are not in this call any more', { callId })) : unchanged
  }
  const found = addressee(room, member, to, now, timers)
  return 'outcome' in found ? found : carry(room, member, found, actor, frame, now, timers)
}

/** Who is meant; or what the sender is answered instead. */
function addressee(
  room: Room,
  { user }: Joined,
  to: string | undefined,
  now: number,
  timers: CallTimers,
): Joined | Decision {
  const { callId } = room
  if (to === undefined) {
    const others = joinedOf(room).filter((other) => other.user !== user)
    if (others.length > 1) {
      return refused(refuse('badRequest', `to: is required, ${others.length + 1} are in this call`, { callId }))
    }
    // Whoever it was meant for has just gone
    return others[0] ?? unchanged
  }
  const other = to === user ? undefined : memberOf(room, to)
  if (isJoined(other)) return other
  const justLeft = other?.state === 'LEFT' && now < (other.leftAt ?? 0) + timers.lateSignalMs
  return justLeft ? unchanged : refused(refuse('badRequest', 'to: is not in this call', { callId }))
}

function carry(
  room: Room,
  member: Joined,
  other: Joined,
  actor: Actor,
  frame: SignalFrame,
  now: number,
  timers: CallTimers,
): Decision {
  const { leg, user } = member
  // Device to device, which nearly all signalling is
  if (isBound(leg) && leg.device === actor.device && member.unaware === undefined && isBound(other.leg)) {
    return { outcome: accepted, effects: [relay({ user: other.user, devices: [other.leg.device] }, user, frame)] }
  }
  const asTheUser = actor.device === undefined
  if (!asTheUser && leg.device !== undefined && !speaksFor(leg, actor)) return elsewhereQuietly(room)
  const bound = bindOrReturn(room, member, actor, now, timers)
  const { room: next, again } = announced(bound.room, user, other.user, asTheUser, now, timers)
  const effects = [...bound.effects, (again ? relayAgain : relay)(targetOf(other.leg), user, frame)]
  const write = next === room ? undefined : next
  if (other.leg.device !== undefined) return { outcome: accepted, write, effects }
  // Nobody is bound there yet: devices that listen hear it now, the one that comes later as well
  const kept = keep(next, { ...frame, from: user, to: other.user }, effects, timers)
  return kept.outcome.ok ? kept : { outcome: accepted, write, effects }
}

interface Bound {
  readonly room: Room
  readonly effects: readonly Effect[]
}

/** The first device that signals for a user who acted as a whole is bound; a lost one that speaks again is there again. */
function bindOrReturn(room: Room, member: Joined, actor: Actor, now: number, timers: CallTimers): Bound {
  if (actor.device !== undefined && member.leg.device === undefined) {
    const { write = room, effects } = bindInRoom(room, member, actor, now, timers)
    return { room: write as Room, effects }
  }
  return { room: rejoined(room, member, actor, now, timers) ?? room, effects: [] }
}

/** With what a device says after it came back the other learns of it: each of them, and once. */
function announced(room: Room, user: string, to: string, asTheUser: boolean, now: number, timers: CallTimers) {
  const member = memberOf(room, user)
  if (asTheUser || !member?.unaware?.includes(to)) return { room, again: false }
  const left = member.unaware.filter((other) => other !== to)
  const unaware = left.length > 0 ? left : undefined
  return { room: settled(room, membersWith(room, member, { unaware }), now, timers), again: true }
}

/** A device of a member who has none bound yet begins to listen: it hears what was said before it came. */
export function listenInRoom(room: Room, user: string, device: string): Decision {
  const member = memberOf(room, user)
  if (!isJoined(member) || member.leg.device !== undefined) return unchanged
  const missed = room.kept.filter(({ to }) => to === user)
  return { outcome: accepted, effects: missed.map((frame) => relay({ user, devices: [device] }, frame.from, frame)) }
}
