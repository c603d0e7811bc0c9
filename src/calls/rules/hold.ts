/** Hold and resume (docs/calls.md): a mark that the others hear of. Media stay where they are, with the clients. */

import { accepted, refuse } from '../../errors.ts'
import { changed } from '../changed.ts'
import type { Actor, Call, CallTimers, Effect, Leg } from '../types.ts'
import { bind, cameBack } from './binding.ts'
import { type Change, type Decision, refused, type Situation } from './decision.ts'
import { speaksFor } from './legs.ts'
import { isJoined, isRoom, memberOf, rejoined } from './room-members.ts'
import { elsewhere, legsOf, tell, tellHold, transferred } from './words.ts'

export function hold(
  call: Call,
  actor: Actor,
  on: boolean,
  { mine = [] }: Situation,
  now: number,
  timers: CallTimers,
): Decision {
  const { user } = actor
  const leg = legsOf(call).find((one) => one.user === user)
  if (call.status !== 'CONNECTED' || leg === undefined) return notNow(call)
  if (!mayAct(leg, actor)) return elsewhere(call, actor)
  const rebound = takenUp(call, leg, actor, now, timers)
  const held = call.held ?? []
  if (held.includes(user) === on) {
    return { outcome: accepted, ...rebound, effects: [...rebound.effects, ...asItIs(rebound.write ?? call, actor)] }
  }
  const next = changed(rebound.write ?? call, {
    held: on ? [...held, user] : held.filter((other) => other !== user),
  })
  return {
    outcome: accepted,
    write: next,
    others: on ? [] : mine.filter(({ callId }) => callId !== call.callId).map((other) => swapped(other, user)),
    effects: [...rebound.effects, ...tellHold(next, user, on, actor.overHttp === true)],
  }
}

/**
 * For the device that says what is so already: it may have come back, and not know what the others have done meanwhile, nor
 * whether a transfer is still under way.
 */
function asItIs(call: Call, { user, device, overHttp }: Actor): readonly Effect[] {
  if (device === undefined || overHttp === true) return []
  const { callId, held = [], transfer, version } = call
  const to = { user, devices: [device] }
  return [
    ...legsOf(call)
      .filter((leg) => leg.user !== user)
      .map(({ user: by }) => tell(to, 'call/hold', { callId, hold: held.includes(by), by, version })),
    ...(transfer ? [tell(to, 'call/transfer', transferred(call, transfer, 'RINGING'))] : []),
  ]
}

/**
 * The other call of who takes this one up again: they hold it from now on. What they hold already, or nobody has answered
 * yet, is written too: that it is so must be true still when this is committed.
 */
function swapped(call: Call, user: string): Change {
  const held = call.held ?? []
  if (call.status !== 'CONNECTED' || held.includes(user)) return { call, effects: [] }
  const next = changed(call, { held: [...held, user] })
  return { call: next, effects: tellHold(next, user, true, true) }
}

/** The actor is the party on its device, or the party as a whole. */
export const mayAct = (leg: Leg, actor: Actor): boolean =>
  actor.overHttp === true || leg.device === undefined || speaksFor(leg, actor)

/** A lost device that speaks again is bound again; the first device of a user who answered as a whole is bound. */
export function takenUp(
  call: Call,
  leg: Leg,
  actor: Actor,
  now: number,
  timers: CallTimers,
): ReturnType<typeof cameBack> {
  if (actor.device === undefined || actor.overHttp === true) return { effects: [] }
  if (isRoom(call)) {
    const member = memberOf(call, actor.user)
    return { write: isJoined(member) ? rejoined(call, member, actor, now, timers) : undefined, effects: [] }
  }
  return leg.device === undefined ? bind(call, actor.user, actor, now, timers) : cameBack(call, actor, now, timers)
}

export const notNow = (call: Call, why = 'the call is not connected'): Decision =>
  refused(refuse('notNow', `callId: ${why}`, { callId: call.callId, status: call.status }))
