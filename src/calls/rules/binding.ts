/** How a device comes to be bound to a leg: again after it was lost, or as the first one of a user who acted as a whole. */

import { changed } from '../changed.ts'
import type { Actor, Call, CallTimers, Leg } from '../types.ts'
import { scheduled } from './deadlines.ts'
import type { Rebound } from './decision.ts'
import { legFor, legOf } from './legs.ts'
import { tell } from './words.ts'

/** The call with this leg in the place of the same user's. */
export function withLeg(call: Call, leg: Leg, timers: CallTimers): Call {
  return scheduled(call, leg.user === call.caller ? { origin: leg } : { winner: leg }, timers)
}

/** A lost device that speaks again is bound again, under its new session. */
export function cameBack(call: Call, actor: Actor, now: number, timers: CallTimers): Rebound {
  const leg = legOf(call, actor.user)
  if (!leg || leg.lostAt === undefined || actor.device === undefined) return { effects: [] }
  return { write: withLeg(call, back(call, legFor(actor, now, leg.features)), timers), effects: [] }
}

/** The very device is connected again: its leg goes on, as if it had not been away. */
export function returned(
  call: Call,
  user: string,
  device: string,
  token: string,
  now: number,
  timers: CallTimers,
): Rebound {
  const leg = legOf(call, user)
  if (leg?.device !== device || leg.lostAt === undefined) return { effects: [] }
  return { write: withLeg(call, back(call, legFor({ user, device, token }, now, leg.features)), timers), effects: [] }
}

/** Who talks is to learn that the other side has been away: what was said directly, device to device, may be broken. */
const back = (call: Call, leg: Leg): Leg => (call.status === 'CONNECTED' ? { ...leg, reattached: true } : leg)

/** The first device that signals for a user who acted as a whole becomes the bound one; the others stop. */
export function bind(
  call: Call,
  user: string,
  actor: Actor,
  now: number,
  timers: CallTimers,
  features = legOf(call, user)?.features,
): Rebound {
  // What was kept for this user has reached the device, which hears it live and when it begins to listen.
  const kept = call.kept.filter((frame) => frame.from === user)
  const rung = user === call.callee ? [] : call.rung
  const next = withLeg(changed(call, { rung, kept }), legFor(actor, now, features), timers)
  const body = { callId: call.callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' }
  return { write: next, effects: [tell({ user, except: actor.device }, 'call/down', body)] }
}
