/** A request: the one command that may begin a call, and the one that looks at the calls of both users. */

import { accepted, type Outcome, refuse } from '../../errors.ts'
import type { Actor, Call, CallTimers, EndReason, EndStatus } from '../types.ts'
import { cameBack } from './binding.ts'
import { end, expire, scheduled } from './deadlines.ts'
import { type Change, type Decision, type RequestCommand, refused, type Situation, written } from './decision.ts'
import { isOver, isUnanswered, legFor, legOf, peerOf, speaksFor } from './legs.ts'
import { accept } from './live.ts'
import { farewell, tell } from './words.ts'

export function request(situation: Situation, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const { actor, callId, callee } = command
  if (callee === actor.user) return refused(refuse('badRequest', 'callee: must be somebody else than the caller'))
  if (situation.call) return requestAgain(situation.call, command, now, timers)

  // A slot whose call has run out is free, even if no timer has said so yet.
  const overdue = [...new Set([situation.mine, situation.theirs])].flatMap((call) => {
    const expired = call && expire(call, now, timers)
    return expired ? [expired] : []
  })
  const cleared = new Set(overdue.map((expired) => expired.call.callId))
  const stillHeld = (call: Call | undefined) => (call && !cleared.has(call.callId) ? call : undefined)
  const mine = stillHeld(situation.mine)
  const theirs = stillHeld(situation.theirs)

  const decision = requestBetween(mine, theirs, command, now, timers)
  return {
    ...decision,
    outcome: withCallId(decision.outcome, callId),
    others: [...overdue, ...(decision.others ?? [])],
  }
}

function requestBetween(
  mine: Call | undefined,
  theirs: Call | undefined,
  command: RequestCommand,
  now: number,
  timers: CallTimers,
): Decision {
  const { actor, callee } = command
  if (theirs?.caller === callee && theirs.callee === actor.user && isUnanswered(theirs)) {
    if (command.acceptGlare) return acceptInstead(theirs, command, now, timers)
    return busy(command, 'CANCELLED', 'GLARE', { busy: 'GLARE', activeCallId: theirs.callId }, now, timers)
  }
  const old = mine && peerOf(mine, actor.user) === callee ? mine : undefined
  const died = old && (speaksFor(legOf(old, actor.user), actor) || legOf(old, actor.user)?.lostAt !== undefined)
  if (old && died) {
    return { ...begin(command, now, timers), others: [replace(old, actor, now, timers)] }
  }
  if (theirs) return busy(command, 'REJECTED', 'BUSY', { busy: 'BUSY' }, now, timers)
  if (mine) return refused(refuse('callerInCall', 'you are already in a call', { activeCallId: mine.callId }))
  return begin(command, now, timers)
}

function requestAgain(call: Call, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const same =
    call.caller === command.actor.user &&
    call.fingerprint === command.fingerprint &&
    speaksFor(call.origin, command.actor)
  if (!same) {
    return refused(
      refuse('callIdTaken', 'callId: already used; make a new one for every call', { callId: call.callId }),
    )
  }
  const expired = isOver(call) ? undefined : expire(call, now, timers)
  const repeat = firstAnswer(call)
  if (expired) return { ...written(expired), outcome: repeat }
  return { outcome: repeat, ...cameBack(call, command.actor, now, timers) }
}

function firstAnswer(call: Call): Outcome {
  const { busy: reason, activeCallId } = call.answer
  if (!reason) return accepted
  return refuse('busy', reason === 'GLARE' ? 'both call each other' : 'the callee is busy', {
    callId: call.callId,
    reason,
    ...(activeCallId === undefined ? {} : { activeCallId }),
  })
}

function begin(command: RequestCommand, now: number, timers: CallTimers): Decision {
  const call = scheduled(newCall(command, now), timers)
  return {
    outcome: accepted,
    write: call,
    effects: [
      { kind: 'news', news: 'call.requested', call },
      { kind: 'ring', call },
    ],
  }
}

/** A request that never rings anybody still leaves a record: its callId is used, and the history shows it. */
function busy(
  command: RequestCommand,
  status: EndStatus,
  reason: EndReason,
  answer: Call['answer'],
  now: number,
  timers: CallTimers,
): Decision {
  const { call, effects } = end({ ...newCall(command, now), answer }, status, reason, now, timers, [])
  return { outcome: firstAnswer(call), write: call, effects }
}

/** `glare: "accept"`: the request answers the call that rings here. The asking device learns which one from `activeCallId`. */
function acceptInstead(theirs: Call, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const { write = theirs, effects } = accept(theirs, command.actor, now, timers)
  const { device } = command.actor
  const body = { callId: command.callId, type: 'ACCEPT', activeCallId: theirs.callId }
  return {
    outcome: accepted,
    effects: device === undefined ? [] : [tell({ device }, 'call/response', body)],
    others: [{ call: write, effects }],
  }
}

/** The same device calls the same peer anew: its app has died and knows nothing of the old call. */
function replace(old: Call, actor: Actor, now: number, timers: CallTimers): Change {
  return isUnanswered(old)
    ? end(old, 'CANCELLED', 'CANCELLED', now, timers, farewell(old, actor, 'CANCELLED'))
    : end(old, 'COMPLETED', 'REPLACED', now, timers, farewell(old, actor, 'REPLACED'))
}

function newCall(command: RequestCommand, now: number): Call {
  const { actor, callId, type, callee, ringMs, request: fields, fingerprint } = command
  return {
    callId,
    type,
    caller: actor.user,
    callee,
    request: fields,
    fingerprint,
    answer: {},
    origin: legFor(actor, now),
    status: 'CALLING',
    rung: [],
    declined: [],
    kept: [],
    createdAt: now,
    ringUntil: now + ringMs,
    due: now + ringMs,
    version: 0,
  }
}

const withCallId = (outcome: Outcome, callId: string): Outcome => (outcome.ok ? outcome : { callId, ...outcome })
