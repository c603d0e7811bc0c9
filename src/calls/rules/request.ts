/** A request: the one command that may begin a call, and the one that looks at the lines of both users. */

import { accepted, type Outcome, refuse } from '../../errors.ts'
import { changed } from '../changed.ts'
import type { Actor, Call, CallId, CallTimers, EndReason, EndStatus } from '../types.ts'
import { cameBack } from './binding.ts'
import { end, scheduled } from './deadlines.ts'
import { type Change, type Decision, type RequestCommand, refused, type Situation, written } from './decision.ts'
import { expired, lineAfter } from './expiry.ts'
import { isOver, isParty, isUnanswered, legFor, legOf, peerOf, speaksFor } from './legs.ts'
import { accept } from './live.ts'
import { farewell, tell } from './words.ts'

export function request(situation: Situation, command: RequestCommand, now: number, timers: CallTimers): Decision {
  const { actor, callId, callee } = command
  if (callee === actor.user) return refused(refuse('badRequest', 'callee: must be somebody else than the caller'))
  if (situation.call) return requestAgain(situation.call, command, now, timers)

  const { mine = NONE, theirs = NONE } = situation
  // A line whose call has run out is free, even if no timer has said so yet.
  const overdue = callsIn(mine, theirs).flatMap((call) => expired(call, now, timers) ?? [])
  const [my, their] = [lineAfter(overdue, mine, actor.user), lineAfter(overdue, theirs, callee)]

  const decision = requestBetween(my, their, command, now, timers)
  return {
    ...decision,
    outcome: withCallId(decision.outcome, callId),
    others: [...overdue, ...(decision.others ?? [])],
  }
}

const NONE: readonly Call[] = []

/** The calls in the lines of two users: each once, although a store may answer with two copies of one. */
const callsIn = (mine: readonly Call[], theirs: readonly Call[]): readonly Call[] => [
  ...mine,
  ...theirs.filter((call) => mine.every((other) => other.callId !== call.callId)),
]

function requestBetween(
  mine: readonly Call[],
  theirs: readonly Call[],
  command: RequestCommand,
  now: number,
  timers: CallTimers,
): Decision {
  const { actor, callee } = command
  const ringsHere = theirs.find((call) => call.caller === callee && call.callee === actor.user && isUnanswered(call))
  if (ringsHere) {
    if (command.acceptGlare) return acceptInstead(ringsHere, command, now, timers)
    return record(command, 'CANCELLED', 'GLARE', { busy: 'GLARE', activeCallId: ringsHere.callId }, now, timers)
  }
  const old = mine.find((call) => isWith(callee, call, actor) && isForgottenBy(actor, call))
  if (old === undefined) return requestBeside(mine, theirs, command, now, timers)
  const rest = ({ callId }: Call) => callId !== old.callId
  const decision = requestBeside(mine.filter(rest), theirs.filter(rest), command, now, timers)
  return { ...decision, others: [replace(old, actor, now, timers)] }
}

/** Where the lines of both are free, or the calls that are there may wait. */
function requestBeside(
  mine: readonly Call[],
  theirs: readonly Call[],
  command: RequestCommand,
  now: number,
  timers: CallTimers,
): Decision {
  const { actor, waiting } = command
  const [inMyWay, inTheirWay] = [mine[0], theirs[0]]
  const mayRing = inTheirWay === undefined || (waiting === true && theirs.length === 1 && mayWait(inTheirWay, actor))
  if (!mayRing) return record(command, 'REJECTED', 'BUSY', { busy: 'BUSY' }, now, timers)
  if (inMyWay && !(mine.length === 1 && inMyWay.status === 'CONNECTED' && inMyWay.held?.includes(actor.user)))
    return refused(refuse('callerInCall', 'you are already in a call', { activeCallId: inMyWay.callId }))
  if (command.unreachable) return refused(refuse('unreachable', 'no device of the callee is connected'))
  return begin(
    command,
    [...mine, ...theirs].map(({ callId }) => callId),
    inTheirWay !== undefined,
    now,
    timers,
  )
}

/** A call of two in which the callee talks, to somebody else: a second one may be shown. */
const mayWait = (call: Call, { user }: Actor): boolean =>
  call.status === 'CONNECTED' && call.members === undefined && !isParty(call, user)

/** A call of two, with this peer. */
const isWith = (peer: string, call: Call, { user }: Actor): boolean =>
  call.members === undefined && peerOf(call, user) === peer

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

/** `waits`: the callee is in a call, and is shown this one all the same. */
function begin(
  command: RequestCommand,
  beside: readonly CallId[],
  waits: boolean,
  now: number,
  timers: CallTimers,
): Decision {
  const fresh = newCall(command, now)
  const call = scheduled(
    beside.length === 0
      ? fresh
      : { ...fresh, beside, request: waits ? { ...fresh.request, waiting: true } : fresh.request },
    {},
    timers,
  )
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
  const { write = theirs, effects } = accept(theirs, command.actor, command.features, now, timers)
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
  const { actor, callId, type, callee, ringMs, fingerprint } = command
  return {
    callId,
    type,
    caller: actor.user,
    callee,
    request: withoutOurs(command.request),
    fingerprint,
    answer: {},
    origin: legFor(actor, now, command.features),
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

/** What only the server says to those who are rung. */
const OURS = ['waiting', 'transferredBy', 'transferredByUserName', 'replaces', 'room', 'members'] as const

function withoutOurs(request: Call['request']): Call['request'] {
  if (!OURS.some((name) => name in request)) return request
  return Object.fromEntries(Object.entries(request).filter(([name]) => !OURS.some((ours) => ours === name)))
}

const withCallId = (outcome: Outcome<unknown>, callId: string): Outcome<unknown> =>
  outcome.ok ? outcome : { callId, ...outcome }
