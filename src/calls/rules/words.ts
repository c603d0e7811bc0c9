/** What devices are told, and the refusals that several rules share. */

import { type Refusal, refuse } from '../../errors.ts'
import type { Actor, Call, CallQueue, Effect, EndReason, Leg, SignalFrame, Target, Transfer } from '../types.ts'
import { type Decision, refused } from './decision.ts'
import { isUnanswered, legOf, otherLeg, targetOf } from './legs.ts'

export const tell = (
  to: Target,
  queue: CallQueue | 'errors',
  body: Readonly<Record<string, unknown>>,
): Extract<Effect, { kind: 'tell' }> => ({
  kind: 'tell',
  to,
  queue,
  body,
})

export const relay = (to: Target, from: string, frame: SignalFrame): Effect => ({
  kind: 'relay',
  to,
  from,
  signal: frame,
})

/** The same from a device that has come back, of which the other side learns with it. */
export const relayAgain = (to: Target, from: string, frame: SignalFrame): Effect => ({
  kind: 'relay',
  to,
  from,
  signal: frame,
  reattached: true,
})

export function tellLeg(
  leg: Leg | undefined,
  queue: CallQueue | 'errors',
  body: Readonly<Record<string, unknown>>,
  except?: string,
): readonly Effect[] {
  return leg ? [tell(targetOf(leg, except), queue, body)] : []
}

export function hangUpRung(call: Call, reason: EndReason): readonly Effect[] {
  return [tell({ user: call.callee, devices: call.rung }, 'call/hangup', { callId: call.callId, reason })]
}

/** Who hears `call/hangup` when a party ends the call: the other party, and the own devices but the one that did it. */
export function farewell(call: Call, actor: Actor, reason: EndReason): readonly Effect[] {
  const body = { callId: call.callId, reason }
  const own = legOf(call, actor.user)
  const byItself = own?.device !== undefined && own.device === actor.device
  return [
    ...(isUnanswered(call) ? hangUpRung(call, reason) : tellLeg(otherLeg(call, actor.user), 'call/hangup', body)),
    ...(byItself ? [] : tellLeg(own, 'call/hangup', body, actor.device)),
  ]
}

/** `devices` of the callee, unless it is another party's. */
export const answeredElsewhere = (call: Call, devices: readonly string[], user = call.callee): Effect =>
  tell({ user, devices }, 'call/down', { callId: call.callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' })

export const declinedElsewhere = (call: Call, devices: readonly string[]): Effect =>
  tell({ user: call.callee, devices }, 'call/down', {
    callId: call.callId,
    type: 'REJECT',
    reason: 'DECLINED_ELSEWHERE',
  })

/** Who is bound to a call of two, or joined to a room. */
export function legsOf({ origin, winner, members }: Call): readonly Leg[] {
  if (members !== undefined) return members.flatMap(({ state, leg }) => (state === 'JOINED' && leg ? [leg] : []))
  return winner === undefined ? [origin] : [origin, winner]
}

/** Everybody else in the call hears that this user holds it, or no longer does; with `own` the user's bound device too. */
export function tellHold(call: Call, user: string, hold: boolean, own: boolean): readonly Effect[] {
  const body = { callId: call.callId, hold, by: user, version: call.version + 1 }
  return legsOf(call)
    .filter((leg) => leg.user !== user || own)
    .map((leg) => tell(targetOf(leg), 'call/hold', body))
}

/** How far the transfer of this call is, for the two who are in it. */
export function tellTransfer(
  call: Call,
  transfer: Transfer,
  state: 'RINGING' | 'DONE' | 'FAILED',
  reason?: EndReason,
): readonly Effect[] {
  const body = { ...transferred(call, transfer, state), ...(reason === undefined ? {} : { reason }) }
  return legsOf(call).map((leg) => tell(targetOf(leg), 'call/transfer', body))
}

/** The body of `call/transfer`. */
export function transferred(
  { callId }: Call,
  { to, target, by, mode }: Transfer,
  state: 'RINGING' | 'DONE' | 'FAILED',
) {
  return { callId, newCallId: to, state, target, transferredBy: by, mode }
}

/** Told to the two who talk: what they have goes from device to device, only nobody carries their words any more. */
export function forgotten(call: Call): readonly Effect[] {
  return [...forgottenBy(call.origin, call), ...forgottenBy(call.winner, call)]
}

export function forgottenBy(leg: Leg | undefined, { callId }: Call): readonly Effect[] {
  const { ok: _, ...body } = refuse('unavailable', FORGOTTEN, { callId, retryAfter: BACK_AFTER_S })
  return tellLeg(leg, 'errors', body)
}

const FORGOTTEN =
  'the server restarts and forgets this call; it goes on between you, but cannot be changed or repaired any more: when it breaks, call again'

/** Seconds in which a restarted server is there again, as a rule. */
const BACK_AFTER_S = 5

export const notAParty = (call: Call): Refusal =>
  refuse('forbidden', 'callId: this is not a call of yours', { callId: call.callId })

export const onlyTheCallee = (call: Call): Refusal =>
  refuse('forbidden', 'callId: only the callee may answer this call', { callId: call.callId })

const handledElsewhere = (call: Call): Refusal =>
  refuse('handledElsewhere', 'another device of yours handles this call', { callId: call.callId })

/** 1004, and the window on this device closes. */
export function elsewhere(call: Call, actor: Actor): Decision {
  const closing = actor.device === undefined ? [] : [answeredElsewhere(call, [actor.device], actor.user)]
  return { outcome: handledElsewhere(call), effects: closing }
}

export const elsewhereQuietly = (call: Call): Decision => refused(handledElsewhere(call))
