/**
 * The rules of a call, as one pure function: what is, what happens, what time it is → what shall be, whom to tell.
 * It is the table of the call engine's specification, row by row. It knows no store, no socket and no timer.
 *
 * Whatever a deadline has already decided is decided first: a command that comes at or after the deadline finds the
 * call over, whether or not a timer was there to say so.
 */

import { accepted, type Outcome, type Refusal, refuse } from '../errors.ts'
import type {
  Actor,
  Call,
  CallCommand,
  CallQueue,
  CallTimers,
  Effect,
  EndReason,
  EndStatus,
  KeptSignal,
  Leg,
  Target,
} from './types.ts'

/** Signalling of the caller that is kept until somebody answers (contract, section 4). */
const KEPT_FRAMES = 64
const KEPT_BYTES = 256 * 1024

/** The calls that a command may touch. */
export interface Situation {
  /** The call that has the command's callId. */
  readonly call?: Call | undefined
  /** With a request: the live call that holds the caller's slot, and the one that holds the callee's. */
  readonly mine?: Call | undefined
  readonly theirs?: Call | undefined
}

export interface Decision {
  /** What the one who gave the command is answered. A refusal may still write: a busy callee leaves a record. */
  readonly outcome: Outcome
  /** The command's own call as it shall be; it keeps the version it was loaded with (0: new). */
  readonly write?: Call | undefined
  /** Done in order, after the commit. */
  readonly effects: readonly Effect[]
  /** What a request does to other calls that hold its slots. All of it is committed together with `write`, or none. */
  readonly others?: readonly Change[]
  /** The call is past its tombstone. */
  readonly forget?: boolean
}

/** A call as it shall be, and what is done about it after the commit. */
export interface Change {
  readonly call: Call
  readonly effects: readonly Effect[]
}

export function decide(situation: Situation, command: CallCommand, now: number, timers: CallTimers): Decision {
  if (command.verb === 'request') return request(situation, command, now, timers)
  const { call } = situation
  if (!call) return refused(refuse('notFound', 'callId: no such call'))
  if (isOver(call)) return afterTheEnd(call, command, now, timers)
  const expired = expire(call, now, timers)
  if (expired) return { ...written(expired), outcome: answerAfterTheEnd(expired.call, command, now, timers).outcome }
  return whileLive(call, command, now, timers)
}

/** Whether the call has ended: then nothing about it changes any more. */
export function isOver(call: Call): boolean {
  return call.endedAt !== undefined
}

// ---------------------------------------------------------------------------------------------------------- request

type RequestCommand = Extract<CallCommand, { verb: 'request' }>

function request(situation: Situation, command: RequestCommand, now: number, timers: CallTimers): Decision {
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

// ------------------------------------------------------------------------------------------------------ a live call

function whileLive(
  call: Call,
  command: Exclude<CallCommand, RequestCommand>,
  now: number,
  timers: CallTimers,
): Decision {
  switch (command.verb) {
    case 'appear':
      return command.user === call.callee && isUnanswered(call) ? appear(call, command.devices, now, timers) : unchanged
    case 'lose':
      return lose(call, command.user, command.device, now, timers)
    case 'hear':
      return hear(call, command.user, now, timers)
    case 'tick':
      return unchanged
    case 'ringing':
    case 'accept':
    case 'reject':
    case 'hangup':
    case 'signal':
      if (!isParty(call, command.actor.user)) return refused(notAParty(call))
      return byParty(call, command, now, timers)
  }
}

type PartyCommand = Extract<CallCommand, { verb: 'ringing' | 'accept' | 'reject' | 'hangup' | 'signal' }>

function byParty(call: Call, command: PartyCommand, now: number, timers: CallTimers): Decision {
  const { actor } = command
  switch (command.verb) {
    case 'ringing':
      return ringing(call, actor, now, timers)
    case 'accept':
      return accept(call, actor, now, timers)
    case 'reject':
      return reject(call, actor, command.reason, now, timers)
    case 'hangup':
      return hangUp(call, actor, now, timers)
    case 'signal':
      return signal(call, actor, command.signal, now, timers)
  }
}

function ringing(call: Call, actor: Actor, now: number, timers: CallTimers): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call)) return speaksFor(call.winner, actor) ? unchanged : elsewhere(call, actor)
  return actor.device === undefined ? unchanged : appear(call, [actor.device], now, timers)
}

function appear(call: Call, devices: readonly string[], now: number, timers: CallTimers): Decision {
  const fresh = devices.filter((device) => !call.rung.includes(device) && !call.declined.includes(device))
  if (fresh.length === 0) return unchanged
  const first = call.status === 'CALLING'
  const next = scheduled(
    { ...call, status: 'RINGING', ringingAt: call.ringingAt ?? now, rung: [...call.rung, ...fresh] },
    timers,
  )
  const body = { ...call.request, caller: call.caller, remainingMs: call.ringUntil - now }
  const shown = fresh.map((device) => tell({ device }, 'call/request', body))
  const told: Effect[] = first
    ? [
        ...tellLeg(call.origin, 'call/ringing', { callId: call.callId }),
        { kind: 'news', news: 'call.ringing', call: next },
      ]
    : []
  return { outcome: accepted, write: next, effects: [...shown, ...told] }
}

function accept(call: Call, actor: Actor, now: number, timers: CallTimers): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call)) {
    if (speaksFor(call.winner, actor)) return { outcome: accepted, ...cameBack(call, actor, now, timers) }
    return call.winner?.device === undefined && actor.device !== undefined
      ? { outcome: accepted, ...bind(call, actor.user, actor, now, timers) }
      : elsewhere(call, actor)
  }
  const winner = legFor(actor, now)
  // A user who answers as a whole (over HTTP) keeps every device ringing until one of them signals.
  const others = actor.device === undefined ? [] : call.rung.filter((device) => device !== actor.device)
  const next = scheduled(
    {
      ...call,
      status: 'CONNECTED',
      winner,
      rung: actor.device === undefined ? call.rung : [],
      kept: [],
      connectedAt: now,
    },
    timers,
  )
  return {
    outcome: accepted,
    write: next,
    effects: [
      ...tellLeg(call.origin, 'call/response', { callId: call.callId, type: 'ACCEPT' }),
      ...others.map((device) => answeredElsewhere(call, device)),
      ...call.kept.map((kept) => relay(targetOf(winner), call.caller, kept)),
      { kind: 'news', news: 'call.connected', call: next },
    ],
  }
}

function reject(call: Call, actor: Actor, reason: 'DECLINED' | 'BUSY', now: number, timers: CallTimers): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call))
    return speaksFor(call.winner, actor) ? hangUp(call, actor, now, timers) : elsewhere(call, actor)
  const others = call.rung.filter((device) => device !== actor.device)
  if (reason === 'BUSY' && actor.device !== undefined && others.length > 0) {
    const declined = [...call.declined.filter((device) => device !== actor.device), actor.device]
    return { outcome: accepted, write: scheduled({ ...call, rung: others, declined }, timers), effects: [] }
  }
  const ended = end(call, 'REJECTED', reason, now, timers, [
    ...tellLeg(call.origin, 'call/response', { callId: call.callId, type: 'REJECT', reason }),
    ...others.map((device) => declinedElsewhere(call, device)),
  ])
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

function hangUp(call: Call, actor: Actor, now: number, timers: CallTimers): Decision {
  if (isUnanswered(call) && actor.user === call.callee) return reject(call, actor, 'DECLINED', now, timers)
  const leg = legOf(call, actor.user)
  // A lost device cannot hang up itself, so any other device of its user may.
  const may =
    actor.device === undefined || leg?.device === undefined || leg.lostAt !== undefined || speaksFor(leg, actor)
  if (!may) return elsewhere(call, actor)
  const ended = isUnanswered(call)
    ? end(call, 'CANCELLED', 'CANCELLED', now, timers, farewell(call, actor, 'CANCELLED'))
    : end(call, 'COMPLETED', 'HANGUP', now, timers, farewell(call, actor, 'HANGUP'))
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

function signal(call: Call, actor: Actor, frame: KeptSignal, now: number, timers: CallTimers): Decision {
  const leg = legOf(call, actor.user)
  if (!leg) {
    return refused(refuse('forbidden', 'callId: answer the call before you signal', { callId: call.callId }))
  }
  const asTheUser = actor.device === undefined
  if (!asTheUser && leg.device !== undefined && !speaksFor(leg, actor)) return elsewhereQuietly(call)
  const bound =
    !asTheUser && leg.device === undefined
      ? bind(call, actor.user, actor, now, timers)
      : cameBack(call, actor, now, timers)
  if (isUnanswered(call)) return keep(bound.write ?? call, frame, bound.effects, timers)
  const other = otherLeg(call, actor.user)
  const relayed = other ? [relay(targetOf(other), actor.user, frame)] : []
  return { outcome: accepted, write: bound.write, effects: [...bound.effects, ...relayed] }
}

function keep(call: Call, frame: KeptSignal, effects: readonly Effect[], timers: CallTimers): Decision {
  const bytes = call.kept.reduce((sum, kept) => sum + kept.body.length, frame.body.length)
  if (call.kept.length >= KEPT_FRAMES || bytes > KEPT_BYTES) {
    const limit = `at most ${KEPT_FRAMES} frames and ${KEPT_BYTES} octets are kept before the answer`
    return refused(refuse('tooMany', `signalling: ${limit}`, { callId: call.callId }))
  }
  return { outcome: accepted, write: scheduled({ ...call, kept: [...call.kept, copyOf(frame)] }, timers), effects }
}

/** What is kept must not hold on to the network buffer that it came in. */
const copyOf = (frame: KeptSignal): KeptSignal => ({ ...frame, body: Uint8Array.from(frame.body) })

function lose(call: Call, user: string, device: string, now: number, timers: CallTimers): Decision {
  const losing = (leg: Leg | undefined): Leg | undefined =>
    leg?.user === user && leg.device === device && leg.lostAt === undefined ? { ...leg, lostAt: now } : leg
  const origin = losing(call.origin) ?? call.origin
  const winner = losing(call.winner)
  const rung = user === call.callee ? call.rung.filter((other) => other !== device) : call.rung
  if (origin === call.origin && winner === call.winner && rung.length === call.rung.length) return unchanged
  const next = scheduled({ ...call, origin, ...(winner ? { winner } : {}), rung }, timers)
  return { outcome: accepted, write: next, effects: [] }
}

function hear(call: Call, user: string, now: number, timers: CallTimers): Decision {
  const leg = legOf(call, user)
  if (!leg || leg.device !== undefined || leg.heardAt === now) return unchanged
  return { outcome: accepted, write: withLeg(call, { ...leg, heardAt: now }, timers), effects: [] }
}

// --------------------------------------------------------------------------------------------------------- the end

function end(
  call: Call,
  status: EndStatus,
  reason: EndReason,
  now: number,
  timers: CallTimers,
  effects: readonly Effect[],
): Change {
  const ended: Call = {
    ...call,
    status,
    reason,
    endedAt: now,
    due: now + timers.tombstoneMs,
    // A tombstone needs none of these, and a client must not be able to fill the memory with ended calls.
    request: {},
    rung: [],
    declined: [],
    kept: [],
  }
  return { call: ended, effects: [...effects, { kind: 'news', news: 'call.ended', call: ended }] }
}

interface Deadline {
  readonly at: number
  readonly ends: (now: number) => Change
}

/** What the earliest deadline that has passed makes of a live call. */
function expire(call: Call, now: number, timers: CallTimers): Change | undefined {
  if (now < call.due) return undefined
  const passed = deadlines(call, timers)
    .filter((deadline) => deadline.at <= now)
    .sort((a, b) => a.at - b.at)[0]
  return passed?.ends(now)
}

/** All deadlines of a live call; with equal times the first listed wins. */
function deadlines(call: Call, timers: CallTimers): readonly Deadline[] {
  const { callId } = call
  if (isUnanswered(call)) {
    const ring: Deadline = {
      at: call.ringUntil,
      ends: (now) =>
        end(call, 'MISSED', 'NO_ANSWER', now, timers, [
          tell({ user: call.callee }, 'call/timeout', { callId }),
          ...tellLeg(call.origin, 'call/timeout', { callId }),
        ]),
    }
    if (call.origin.lostAt === undefined) return [ring]
    const callerLost: Deadline = {
      at: call.origin.lostAt + timers.callerGraceMs,
      ends: (now) => end(call, 'CANCELLED', 'CALLER_LOST', now, timers, hangUpRung(call, 'CALLER_LOST')),
    }
    return [ring, callerLost]
  }
  const longest: Deadline = {
    at: (call.connectedAt ?? call.createdAt) + timers.longestCallMs,
    ends: (now) =>
      end(call, 'COMPLETED', 'MAX_DURATION', now, timers, [
        ...tellLeg(call.origin, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
        ...tellLeg(call.winner, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
      ]),
  }
  const lost = [call.origin, call.winner].flatMap((leg): Deadline[] => {
    const at = leg && silentUntil(leg, timers)
    if (!leg || at === undefined) return []
    const body = { callId, reason: 'PEER_LOST' }
    return [
      {
        at,
        ends: (now) =>
          end(call, 'COMPLETED', 'PEER_LOST', now, timers, [
            ...tellLeg(otherLeg(call, leg.user), 'call/hangup', body),
            // The user as a whole was silent, but devices may still show the call.
            ...(leg.device === undefined ? tellLeg(leg, 'call/hangup', body) : []),
          ]),
      },
    ]
  })
  return [...lost, longest]
}

/** When a leg that says nothing counts as lost; undefined while a device is bound and connected. */
function silentUntil(leg: Leg, timers: CallTimers): number | undefined {
  if (leg.device === undefined) return leg.heardAt + timers.httpLegMs
  return leg.lostAt === undefined ? undefined : leg.lostAt + timers.graceMs
}

function afterTheEnd(
  call: Call,
  command: Exclude<CallCommand, RequestCommand>,
  now: number,
  timers: CallTimers,
): Decision {
  const forget = command.verb === 'tick' && now >= call.due
  return { ...answerAfterTheEnd(call, command, now, timers), forget }
}

function answerAfterTheEnd(
  call: Call,
  command: Exclude<CallCommand, RequestCommand>,
  now: number,
  timers: CallTimers,
): Decision {
  switch (command.verb) {
    case 'appear':
    case 'lose':
    case 'hear':
    case 'tick':
      return unchanged
    case 'ringing':
    case 'accept':
    case 'reject':
    case 'hangup':
    case 'signal':
      break
  }
  const { actor } = command
  if (!isParty(call, actor.user)) return refused(notAParty(call))
  if (command.verb === 'signal') {
    const late = now >= (call.endedAt ?? now) + timers.lateSignalMs
    return late ? refused(refuse('notFound', 'callId: this call is over', { callId: call.callId })) : unchanged
  }
  const closing = closingFrame(call, actor)
  if (command.verb === 'reject' || command.verb === 'hangup') {
    return { outcome: accepted, effects: closing }
  }
  const wentOn = actor.user === call.callee && call.winner && !speaksFor(call.winner, actor)
  const facts = { callId: call.callId, status: call.status, ...(call.reason ? { reason: call.reason } : {}) }
  const refusal = wentOn
    ? refuse('handledElsewhere', 'answered on another device', facts)
    : refuse('alreadyOver', `the call is over (${call.status})`, facts)
  return { outcome: refusal, effects: closing }
}

/** The frame with which this device was, or would have been, told that the call is over. */
function closingFrame(call: Call, actor: Actor): readonly Effect[] {
  const { device, user } = actor
  if (device === undefined) return []
  const { callId, reason } = call
  switch (call.status) {
    case 'MISSED':
      return [tell({ device }, 'call/timeout', { callId })]
    case 'REJECTED':
      return user === call.caller
        ? [tell({ device }, 'call/response', { callId, type: 'REJECT', reason })]
        : [declinedElsewhere(call, device)]
    case 'COMPLETED':
      return user === call.callee && !speaksFor(call.winner, actor)
        ? [answeredElsewhere(call, device)]
        : [tell({ device }, 'call/hangup', { callId, reason })]
    default:
      return [tell({ device }, 'call/hangup', { callId, reason })]
  }
}

// ---------------------------------------------------------------------------------------------------- legs and words

const unchanged: Decision = { outcome: accepted, effects: [] }

const refused = (outcome: Refusal): Decision => ({ outcome, effects: [] })

const written = ({ call, effects }: Change): Rebound => ({ write: call, effects })

const withCallId = (outcome: Outcome, callId: string): Outcome => (outcome.ok ? outcome : { callId, ...outcome })

const isUnanswered = (call: Call): boolean => call.status === 'CALLING' || call.status === 'RINGING'

const isParty = (call: Call, user: string): boolean => user === call.caller || user === call.callee

const peerOf = (call: Call, user: string): string => (user === call.caller ? call.callee : call.caller)

const legOf = (call: Call, user: string): Leg | undefined => (user === call.caller ? call.origin : call.winner)

const otherLeg = (call: Call, user: string): Leg | undefined => (user === call.caller ? call.winner : call.origin)

const legFor = (actor: Actor, now: number): Leg => ({
  user: actor.user,
  device: actor.device,
  token: actor.token,
  heardAt: now,
})

/** The actor is the leg's own device, or the same token on a new session after that device was lost: it came back. */
function speaksFor(leg: Leg | undefined, actor: Actor): boolean {
  if (!leg || leg.user !== actor.user) return false
  return leg.device === actor.device || (leg.lostAt !== undefined && leg.token === actor.token)
}

function withLeg(call: Call, leg: Leg, timers: CallTimers): Call {
  return scheduled(leg.user === call.caller ? { ...call, origin: leg } : { ...call, winner: leg }, timers)
}

type Rebound = Pick<Decision, 'write' | 'effects'>

/** A lost device that speaks again is bound again, under its new session. */
function cameBack(call: Call, actor: Actor, now: number, timers: CallTimers): Rebound {
  const leg = legOf(call, actor.user)
  if (isOver(call) || !leg || leg.lostAt === undefined || actor.device === undefined) return { effects: [] }
  return { write: withLeg(call, legFor(actor, now), timers), effects: [] }
}

/** The first device that signals for a user who acted as a whole becomes the bound one; the others stop. */
function bind(call: Call, user: string, actor: Actor, now: number, timers: CallTimers): Rebound {
  const next = withLeg({ ...call, rung: user === call.callee ? [] : call.rung }, legFor(actor, now), timers)
  const body = { callId: call.callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' }
  return { write: next, effects: [tell({ user, except: actor.device }, 'call/down', body)] }
}

/** Sets `due` to the earliest deadline of a live call. */
function scheduled(call: Call, timers: CallTimers): Call {
  return { ...call, due: Math.min(...deadlines(call, timers).map((deadline) => deadline.at)) }
}

const targetOf = (leg: Leg, except?: string): Target =>
  leg.device === undefined ? { user: leg.user, except } : { device: leg.device }

const tell = (to: Target, queue: CallQueue, body: Readonly<Record<string, unknown>>): Effect => ({
  kind: 'tell',
  to,
  queue,
  body,
})

const relay = (to: Target, from: string, frame: KeptSignal): Effect => ({ kind: 'relay', to, from, signal: frame })

function tellLeg(
  leg: Leg | undefined,
  queue: CallQueue,
  body: Readonly<Record<string, unknown>>,
  except?: string,
): readonly Effect[] {
  return leg ? [tell(targetOf(leg, except), queue, body)] : []
}

function hangUpRung(call: Call, reason: EndReason): readonly Effect[] {
  return call.rung.map((device) => tell({ device }, 'call/hangup', { callId: call.callId, reason }))
}

/** Who hears `call/hangup` when a party ends the call: the other party, and the own devices but the one that did it. */
function farewell(call: Call, actor: Actor, reason: EndReason): readonly Effect[] {
  const body = { callId: call.callId, reason }
  const own = legOf(call, actor.user)
  const byItself = own?.device !== undefined && own.device === actor.device
  return [
    ...(isUnanswered(call) ? hangUpRung(call, reason) : tellLeg(otherLeg(call, actor.user), 'call/hangup', body)),
    ...(byItself ? [] : tellLeg(own, 'call/hangup', body, actor.device)),
  ]
}

const answeredElsewhere = (call: Call, device: string): Effect =>
  tell({ device }, 'call/down', { callId: call.callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' })

const declinedElsewhere = (call: Call, device: string): Effect =>
  tell({ device }, 'call/down', { callId: call.callId, type: 'REJECT', reason: 'DECLINED_ELSEWHERE' })

const notAParty = (call: Call): Refusal =>
  refuse('forbidden', 'callId: this is not a call of yours', { callId: call.callId })

const onlyTheCallee = (call: Call): Refusal =>
  refuse('forbidden', 'callId: only the callee may answer this call', { callId: call.callId })

const handledElsewhere = (call: Call): Refusal =>
  refuse('handledElsewhere', 'another device of yours handles this call', { callId: call.callId })

/** 1004, and the window on this device closes. */
function elsewhere(call: Call, actor: Actor): Decision {
  const closing = actor.device === undefined ? [] : [answeredElsewhere(call, actor.device)]
  return { outcome: handledElsewhere(call), effects: closing }
}

const elsewhereQuietly = (call: Call): Decision => refused(handledElsewhere(call))
