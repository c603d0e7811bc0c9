/**
 * Transfer (docs/calls.md): who transfers asks for a call between the other party and the target. It rings beside the old
 * one, which waits for it; what its answer and its end mean for the old one is in `consequences.ts`.
 */

import { refuse } from '../../errors.ts'
import { changed } from '../changed.ts'
import type { Call, CallCommand, CallTimers, Feature, Leg, Transfer } from '../types.ts'
import { scheduled } from './deadlines.ts'
import { type Decision, refused, type Situation } from './decision.ts'
import { expired, lineAfter } from './expiry.ts'
import { mayAct, notNow, takenUp } from './hold.ts'
import { legOf, otherLeg, peerOf } from './legs.ts'
import { elsewhere, tellTransfer } from './words.ts'

type TransferCommand = Extract<CallCommand, { verb: 'transfer' }>

export function transfer(
  call: Call,
  command: TransferCommand,
  situation: Situation,
  now: number,
  timers: CallTimers,
): Decision {
  const { actor, target, mode, newCallId } = command
  const { callId } = call
  const own = legOf(call, actor.user)
  const theirs = otherLeg(call, actor.user)
  const peer = peerOf(call, actor.user)
  if (call.members !== undefined) return notNow(call, 'a call of more than two cannot be transferred')
  if (call.status !== 'CONNECTED' || own === undefined || theirs === undefined) return notNow(call)
  if (!mayAct(own, actor)) return elsewhere(call, actor)
  if (target === actor.user || target === peer)
    return refused(refuse('badRequest', 'target: must be somebody who is not in this call', { callId }))
  if (call.transfer !== undefined) {
    const { to, by } = call.transfer
    const again = by === actor.user && call.transfer.target === target && call.transfer.mode === mode
    return again ? { outcome: newCall(to), effects: [] } : notNow(call, 'a transfer is under way')
  }
  const consultation = mode === 'ATTENDED' ? consultationIn(situation, command) : undefined
  if (mode === 'ATTENDED') {
    if (consultation === undefined || consultation === 'not theirs')
      return refused(refuse('badRequest', 'withCallId: must be your call with the target', { callId }))
    if (consultation === 'not connected')
      return notNow(call, 'the call with the target is not connected, or one of more than two')
  }
  const second = typeof consultation === 'object' ? consultation : undefined
  const targetLeg = second && legOf(second, target)
  if (!can(theirs, 'transfer') || (targetLeg && !can(targetLeg, 'transfer')))
    return refused(refuse('notSupported', 'a client in the call cannot be transferred', { callId }))
  const inTheWay = (situation.theirs ?? []).filter((other) => other.callId !== second?.callId)
  const overdue = inTheWay.flatMap((other) => expired(other, now, timers) ?? [])
  if (lineAfter(overdue, inTheWay, target).length > 0)
    return refused(refuse('busy', 'the target is busy', { callId, reason: 'BUSY' }))
  if ((situation.peers ?? []).some((other) => other.callId !== callId))
    return notNow(call, 'the other party is in a second call')
  if (command.unreachable) return refused(refuse('unreachable', 'no device of the target is connected', { callId }))

  const rebound = takenUp(call, own, actor, now, timers)
  const pending: Transfer = { to: newCallId, target, by: actor.user, mode }
  const next = changed(rebound.write ?? call, { transfer: pending })
  const begun = scheduled(callBetween(next, theirs, command, second, now), {}, timers)
  return {
    outcome: newCall(newCallId),
    write: next,
    others: [
      ...overdue,
      // It must be connected still when this is committed
      ...(second ? [{ call: second, effects: [] }] : []),
      {
        call: begun,
        // Who is to be transferred hears of it before the new call rings
        effects: [
          ...tellTransfer(next, pending, 'RINGING'),
          { kind: 'news', news: 'call.requested', call: begun },
          { kind: 'ring', call: begun },
        ],
      },
    ],
    effects: rebound.effects,
  }
}

const newCall = (newCallId: string): Decision['outcome'] => ({ ok: true, data: { newCallId } })

const can = (leg: Leg, feature: Feature): boolean => leg.features?.includes(feature) === true

/** With ATTENDED: the actor's call with the target, or what is wrong with the one that was named. */
function consultationIn(
  { mine = [], callId }: Situation,
  { actor, target, withCallId }: TransferCommand,
): Call | 'not theirs' | 'not connected' {
  const found = mine.find((call) => call.callId === withCallId)
  if (found === undefined || found.callId === callId) return 'not theirs'
  if (found.members !== undefined) return 'not connected'
  if (peerOf(found, actor.user) !== target) return 'not theirs'
  return found.status === 'CONNECTED' ? found : 'not connected'
}

/** From who is transferred to the target. */
function callBetween(
  call: Call,
  caller: Leg,
  { actor, target, newCallId, ringMs }: TransferCommand,
  consultation: Call | undefined,
  now: number,
): Call {
  const replaces = consultation ? [call.callId, consultation.callId] : [call.callId]
  const targetName = consultation && nameIn(consultation, target)
  return {
    callId: newCallId,
    type: call.type,
    caller: caller.user,
    callee: target,
    request: {
      callId: newCallId,
      type: call.type,
      callee: target,
      callerUserName: nameIn(call, caller.user) ?? caller.user,
      ...(targetName === undefined ? {} : { calleeUserName: targetName }),
      ...(caller.features ? { features: caller.features } : {}),
      transferredBy: actor.user,
      transferredByUserName: nameIn(call, actor.user) ?? actor.user,
      ...(consultation ? { replaces: consultation.callId } : {}),
    },
    fingerprint: `transfer of ${call.callId}`,
    answer: {},
    origin: { ...caller, reattached: undefined },
    status: 'CALLING',
    rung: [],
    declined: [],
    kept: [],
    createdAt: now,
    ringUntil: now + ringMs,
    beside: replaces,
    replaces,
    transferredBy: actor.user,
    aim: consultation && legOf(consultation, target)?.device,
    due: now + ringMs,
    version: 0,
  }
}

/** What the request of this call says that the user is called. */
function nameIn({ caller, request: { callerUserName, calleeUserName } }: Call, user: string): string | undefined {
  const name = user === caller ? callerUserName : calleeUserName
  return typeof name === 'string' ? name : undefined
}
