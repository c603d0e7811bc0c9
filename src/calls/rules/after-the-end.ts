/** Commands for a call that is over: nothing changes any more, but everybody gets an answer. */

import { accepted, refuse } from '../../errors.ts'
import type { Actor, Call, CallCommand, CallTimers, Effect } from '../types.ts'
import { closingInRoom, overForMember, recallInRoom } from './after-a-room.ts'
import { type Decision, type RequestCommand, refused, unchanged } from './decision.ts'
import { isParty, legOf, speaksFor } from './legs.ts'
import { isRoom, memberOf } from './room-members.ts'
import { answeredElsewhere, declinedElsewhere, notAParty, tell } from './words.ts'

export function afterTheEnd(
  call: Call,
  command: Exclude<CallCommand, RequestCommand>,
  now: number,
  timers: CallTimers,
): Decision {
  const forget = command.verb === 'tick' && now >= call.due
  return { ...answerAfterTheEnd(call, command, now, timers), forget }
}

export function answerAfterTheEnd(
  call: Call,
  command: Exclude<CallCommand, RequestCommand>,
  now: number,
  timers: CallTimers,
): Decision {
  if (command.verb === 'recall') return isRoom(call) ? recallInRoom(call, command) : recall(call, command)
  // Devices that come and go, and timers, ask nothing.
  if (!('actor' in command)) return unchanged
  const { actor } = command
  if (!isParty(call, actor.user)) return refused(notAParty(call))
  const facts = { callId: call.callId, status: call.status, ...(call.reason ? { reason: call.reason } : {}) }
  if (command.verb === 'signal') {
    const late = now >= (call.endedAt ?? now) + timers.lateSignalMs
    return late ? refused(refuse('notFound', 'callId: this call is over', facts)) : unchanged
  }
  const member = isRoom(call) ? memberOf(call, actor.user) : undefined
  const closing = isRoom(call) && member ? closingInRoom(call, member, actor) : closingFrame(call, actor)
  if (command.verb === 'reject' || command.verb === 'hangup') {
    return { outcome: accepted, effects: closing }
  }
  if (isRoom(call) && member && command.verb === 'accept') return overForMember(call, member, actor)
  const wentOn = actor.user === call.callee && call.winner && !speaksFor(call.winner, actor)
  const refusal = wentOn
    ? refuse('handledElsewhere', 'answered on another device', facts)
    : refuse('alreadyOver', `the call is over (${call.status})`, facts)
  return { outcome: refusal, effects: closing }
}

/**
 * The device that was in the call is gone, and here is one with its token: it is the same one, which knows nothing of
 * resuming, and may show the call still.
 */
function recall(call: Call, { user, device, token, present }: Extract<CallCommand, { verb: 'recall' }>): Decision {
  const leg = legOf(call, user)
  if (leg?.device === undefined || leg.device === device || present.includes(leg.device)) return unchanged
  if (leg.token !== token && leg.former?.includes(token) !== true) return unchanged
  const { callId, reason } = call
  return { outcome: accepted, effects: [tell({ user, devices: [device] }, 'call/hangup', { callId, reason })] }
}

/** The frame with which this device was, or would have been, told that the call is over. */
function closingFrame(call: Call, actor: Actor): readonly Effect[] {
  const { device, user } = actor
  if (device === undefined) return []
  const { callId, reason } = call
  switch (call.status) {
    case 'MISSED':
      return [tell({ user, devices: [device] }, 'call/timeout', { callId })]
    case 'REJECTED':
      return user === call.caller
        ? [tell({ user, devices: [device] }, 'call/response', { callId, type: 'REJECT', reason })]
        : [declinedElsewhere(call, [device])]
    case 'COMPLETED':
      return user === call.callee && !speaksFor(call.winner, actor)
        ? [answeredElsewhere(call, [device])]
        : [tell({ user, devices: [device] }, 'call/hangup', { callId, reason })]
    case 'CANCELLED':
    case 'CALLING':
    case 'RINGING':
    case 'CONNECTED':
      return [tell({ user, devices: [device] }, 'call/hangup', { callId, reason })]
  }
}
