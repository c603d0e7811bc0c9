/** A request: the one command that may begin a call, and the one that looks at the calls of both users. */

import { accepted, type Outcome, refuse } from '../../errors.ts'
import { changed } from '../changed.ts'
import { holdersOf } from '../holders.ts'
import type { Actor, Call, CallTimers, EndReason, EndStatus } from '../types.ts'
import { cameBack } from './binding.ts'
import { end, scheduled } from './deadlines.ts'
import { type Change, type Decision, type RequestCommand, refused, type Situation, written } from './decision.ts'
import { expired } from './expiry.ts'
import { isOver, isUnanswered, legFor, legOf, peerOf, speaksFor } from './legs.ts'
import { accept } from './live.ts'
import { farewell, tell } from './words.ts'

export function request(situation: Situation, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const { actor, callId, callee } = command
  if (callee === actor.user) return refused(refuse('badRequest', 'callee: must be somebody else than the caller'))
  if (situation.call) return requestAgain(situation.call, command, now, timers)

  const { mine, theirs } = situation
  // A slot whose call has run out is free, even if no timer has said so yet.
  const overdue = callsIn(mine, theirs).flatMap((call) => expired(call, now, timers) ?? [])
  const stillHeld = (call: Call | undefined, by: string) => {
    const now = overdue.find((change) => change.call.callId === call?.callId)?.call ?? call
    return now && !isOver(now) && holdersOf(now).includes(by) ? now : undefined
  }

  const decision = requestBetween(stillHeld(mine, actor.user), stillHeld(theirs, callee), command, now, timers)
  return {
    ...decision,
    outcome: withCallId(decision.outcome, callId),
    others: [...overdue, ...(decision.others ?? [])],
  }
}

/** The calls that hold the slots of two users: each once, although a store may answer with two copies of one. */
const callsIn = (mine: Call | undefined, theirs: Call | undefined): readonly Call[] =>
  [mine, theirs?.callId === mine?.callId ? undefined : theirs].filter((call) => call !== undefined)

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
    return record(command, 'CANCELLED', 'GLARE', { busy: 'GLARE', activeCallId: theirs.callId }, now, timers)
  }
  const old = mine && mine.members === undefined && peerOf(mine, actor.user) === callee ? mine : undefined
  if (old && isForgottenBy(actor, old)) {
    return { ...begin(command, now, timers), others: [replace(old, actor, now, timers)] }
  }
  if (theirs) return record(command, 'REJECTED', 'BUSY', { busy: 'BUSY' }, now, timers)
  if (mine) return refused(refuse('callerInCall', 'you are already in a call', { activeCallId: mine.callId }))
  if (command.unreachable) return refused(refuse('unreachable', 'no device of the callee is connected'))
  return begin(command, now, timers)
}

/**
 * Whether the app that made this call has died and knows nothing of it: its device is lost, or the very device that made
 * it calls the same peer anew. Who was called and asks again has a live call, and hears that it is busy.
 */
function isForgottenBy(actor: Actor, old: Call): boolean {
  const leg = legOf(old, actor.user)
  return leg?.lostAt !== undefined || (old.caller === actor.user && speaksFor(leg, actor))
}

function requestAgain(call: Call, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const same =
    call.caller === command.actor.user &&
    call.fingerprint === command.fingerprint &&
    speaksFor(call.origin, command.actor)
  const { busy: wasBusy, activeCallId } = call.answer
  // A call that rang and is over keeps its callId for ever: its caller is not to wait for another outcome.
  const rangAndIsOver = isOver(call) && wasBusy === undefined && activeCallId === undefined
  if (!same || rangAndIsOver) {
    return refused(
      refuse('callIdTaken', 'callId: already used; make a new one for every call', { callId: call.callId }),
    )
  }
  if (isOver(call)) return firstAnswer(call, command.actor)
  const change = expired(call, now, timers)
  if (change) return { ...written(change), outcome: accepted }
  return { outcome: accepted, ...cameBack(call, command.actor, now, timers) }
}

/** What a request that rang nobody was answered with. */
function firstAnswer({ callId, answer }: Call, { user, device }: Actor): Pick<Decision, 'outcome' | 'effects'> {
  const { busy: reason, activeCallId } = answer
  if (reason) {
    const facts = { callId, reason, ...(activeCallId === undefined ? {} : { activeCallId }) }
    const words = reason === 'GLARE' ? 'both call each other' : 'the callee is busy'
    return { outcome: refuse('busy', words, facts), effects: [] }
  }
  const told =
    device === undefined
      ? []
      : [tell({ user, devices: [device] }, 'call/response', { callId, type: 'ACCEPT', activeCallId })]
  return { outcome: { ok: true, data: { activeCallId } }, effects: told }
}

function begin(command: RequestCommand, now: number, timers: CallTimers): Decision {
  const call = scheduled(newCall(command, now), {}, timers)
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
function record(
  command: RequestCommand,
  status: EndStatus,
  reason: EndReason,
  answer: Call['answer'],
  now: number,
  timers: CallTimers,
): Decision {
  const { call, effects } = end(changed(newCall(command, now), { answer }), status, reason, now, timers, [])
  const first = firstAnswer(call, command.actor)
  return { outcome: first.outcome, write: call, effects: [...effects, ...first.effects] }
}

/** `glare: "accept"`: the request answers the call that rings here. Which one that is, `activeCallId` says. */
function acceptInstead(theirs: Call, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const { write = theirs, effects } = accept(theirs, command.actor, now, timers)
  const recorded = record(command, 'CANCELLED', 'GLARE', { activeCallId: theirs.callId }, now, timers)
  return { ...recorded, others: [{ call: write, effects }] }
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

const withCallId = (outcome: Outcome<unknown>, callId: string): Outcome<unknown> =>
  outcome.ok ? outcome : { callId, ...outcome }
