/** What the rtc-service does with a call: its commands are those of the one engine, in other words. */

import type { CallRequest } from '../../src/calls/messages.ts'
import { fingerprintOf } from '../../src/calls/service.ts'
import { CODES, type Outcome, refuse } from '../../src/errors.ts'
import type { UserId } from '../../src/ports.ts'
import { type Asked, speaker } from './asked.ts'
import type { RtcOutcome } from './envelope.ts'
import { answerOfBefore, begun, firstAnswer, keyReused } from './first-answer.ts'
import { callIdFor, keyOf, newCallId } from './idempotency.ts'
import type { Answer, Hangup, Hold, Initiate, Invite, Reject, Transfer } from './messages.ts'
import { type AnyCall, isPartyTo, stayOf } from './shown.ts'
import { secondsBetween, shownTime } from './times.ts'

/** Rings the callee. A repeat with the same `Idempotency-Key` is answered as the first one was, and rings nobody. */
export async function initiate(asked: Asked, message: Initiate): Promise<RtcOutcome> {
  const { calls, clock } = asked.services
  const key = keyOf(asked.header('idempotency-key'))
  if (!key.ok) return key
  const actor = await speaker(asked, 'callerId', message.callerId)
  if (!actor.ok) return actor
  const { user } = actor.data
  const callId = key.data === undefined ? newCallId(clock.now()) : callIdFor(user, key.data)
  const before = key.data === undefined ? undefined : await answerOfBefore(asked, callId, message)
  if (before) return before
  const request = requestOf(callId, message)
  const outcome = inOurWords(await calls.request(actor.data, request))
  if (!outcome.ok && outcome.code !== CODES.busy.code && outcome.code !== CODES.callIdTaken.code) return outcome
  const read = await calls.read(callId)
  if (!read.ok) return read
  const call = read.data
  if (!outcome.ok && outcome.code === CODES.callIdTaken.code) {
    // The engine has gone further than its first answer: a device has been bound since, or the call is over
    if (call?.caller !== user || key.data === undefined) return outcome
    if (call.fingerprint === fingerprintOf(request)) return firstAnswer(call)
    return keyReused()
  }
  if (call !== undefined) return firstAnswer(call)
  // Ended and forgotten between the two: a deployment that remembers nothing
  return outcome.ok ? { ok: true, data: begun(callId, message, clock.now()) } : outcome
}

const requestOf = (callId: string, message: Initiate): CallRequest => ({
  callId,
  type: message.callType,
  callee: message.calleeId,
  callerUserName: message.callerName ?? message.callerId,
  ...(message.calleeName != null && { calleeUserName: message.calleeName }),
  ...(message.timeout != null && { timeout: message.timeout }),
  ...(message.features != null && { features: message.features }),
})

export async function answer(asked: Asked, { callId, userId, features }: Answer): Promise<RtcOutcome> {
  const { calls } = asked.services
  const actor = await speaker(asked, 'userId', userId)
  if (!actor.ok) return actor
  const message = { callId, type: 'ACCEPT', reason: 'DECLINED', ...(features != null && { features }) } as const
  const outcome = await calls.respond(actor.data, message)
  if (!outcome.ok) return outcome
  const read = await calls.read(callId)
  if (!read.ok) return read
  const { from = asked.services.clock.now() } = read.data === undefined ? {} : stayOf(read.data, userId)
  return { ok: true, data: { callId, status: 'CONNECTED', connectedAt: shownTime(from) } }
}

export async function reject(asked: Asked, { callId, userId, reason }: Reject): Promise<RtcOutcome> {
  const actor = await speaker(asked, 'userId', userId)
  return actor.ok ? asDone(await asked.services.calls.respond(actor.data, { callId, type: 'REJECT', reason })) : actor
}

/** Also when the call is over already: with the same answer as to who has ended it. */
export async function hangUp(asked: Asked, { callId, userId }: Hangup): Promise<RtcOutcome> {
  const { calls, clock } = asked.services
  const actor = await speaker(asked, 'userId', userId)
  if (!actor.ok) return actor
  const outcome = await calls.hangup(actor.data, { callId })
  if (!outcome.ok && outcome.code !== CODES.notFound.code) return outcome
  const call = await callNamed(asked, callId, userId)
  if (!call.ok) return outcome.ok ? call : outcome
  const { from, to = clock.now() } = stayOf(call.data, userId)
  return { ok: true, data: { callId, duration: secondsBetween(from, to), endedAt: shownTime(to) } }
}

export async function hold(asked: Asked, { callId, userId, hold: held }: Hold): Promise<RtcOutcome> {
  const actor = await speaker(asked, 'userId', userId)
  if (!actor.ok) return actor
  const outcome = await asked.services.calls.hold(actor.data, { callId, hold: held })
  return outcome.ok ? { ok: true, data: { callId, hold: held } } : outcome
}

export async function transfer(asked: Asked, message: Transfer): Promise<RtcOutcome> {
  const { callId, userId, target, mode, withCallId } = message
  const actor = await speaker(asked, 'userId', userId)
  if (!actor.ok) return actor
  const outcome = await asked.services.calls.transfer(actor.data, { callId, target, mode, withCallId })
  return outcome.ok ? { ok: true, data: { callId, ...(outcome.data as { newCallId: string }) } } : outcome
}

export async function invite(asked: Asked, { callId, userId, invitees, names }: Invite): Promise<RtcOutcome> {
  const actor = await speaker(asked, 'userId', userId)
  return actor.ok ? asDone(await asked.services.calls.invite(actor.data, { callId, invitees, names })) : actor
}

/** A call that a user may know of, also when the history alone remembers it. `user`: nothing: a service asks. */
export async function callNamed(
  { services }: Asked,
  callId: string,
  user: UserId | undefined,
): Promise<Outcome<AnyCall>> {
  const read = await services.calls.read(callId)
  if (!read.ok) return read
  const kept = read.data === undefined ? await services.history.find(callId) : read
  if (!kept.ok && kept.code !== CODES.notFound.code) return kept
  if (!kept.ok || kept.data === undefined) return refuse('notFound', 'callId: no such call', { callId })
  if (user === undefined || isPartyTo(kept.data, user)) return { ok: true, data: kept.data }
  return refuse('forbidden', 'callId: this is not a call of yours', { callId })
}

/** Commands are answered with what this face says, not with what the engine adds for another one. */
const asDone = (outcome: Outcome<unknown>): Outcome<unknown> => (outcome.ok ? { ok: true, data: null } : outcome)

/** The engine names fields as its own messages do. */
function inOurWords(outcome: Outcome<unknown>): Outcome<unknown> {
  if (outcome.ok || outcome.code !== CODES.badRequest.code) return outcome
  return { ...outcome, message: outcome.message.replace(/^callee: /, 'calleeId: ') }
}
