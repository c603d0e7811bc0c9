/**
 * What whoever asked first was told of a call, for those who ask again with the same `Idempotency-Key`: by the engine
 * while it remembers the call, by the history after that.
 */

import type { Call } from '../../src/calls/types.ts'
import { type Refusal, refuse } from '../../src/errors.ts'
import type { CallRecord } from '../../src/history/types.ts'
import type { Asked } from './asked.ts'
import type { RtcOutcome } from './envelope.ts'
import { shownId } from './ids.ts'
import type { Initiate } from './messages.ts'
import { shownTime } from './times.ts'

/** Longer a call does not wait for a database that is slow or is just being opened: it rings, even if it has rung before. */
const RECALL_MS = 1_000

/** `data` of a call that has begun. `createdAt` in milliseconds since the epoch. */
export const begun = (
  callId: string,
  parties: Pick<Initiate, 'callerId' | 'calleeId' | 'callType'>,
  createdAt: number,
) => ({
  callId,
  callerId: shownId(parties.callerId),
  calleeId: shownId(parties.calleeId),
  callType: parties.callType,
  status: 'CALLING',
  createdAt: shownTime(createdAt),
})

/** However the call has gone on. */
export function firstAnswer({ callId, type, caller, callee, createdAt, answer, status, reason }: Call): RtcOutcome {
  const data = begun(callId, { callerId: caller, calleeId: callee, callType: type }, createdAt)
  if (answer.busy === undefined) return { ok: true, data }
  const activeCallId = answer.activeCallId === undefined ? {} : { activeCallId: answer.activeCallId }
  return busy({ ...data, status, reason, ...activeCallId })
}

/** Of a call that the history alone knows; undefined: it knows none of this id, or cannot say so now. */
export async function answerOfBefore({ services }: Asked, callId: string, message: Initiate) {
  const { calls, history } = services
  const known = await calls.read(callId)
  if (!known.ok || known.data !== undefined) return undefined
  const record = await history.recall(callId, RECALL_MS)
  if (record === undefined) return undefined
  return isOf(record, message) ? firstAnswerOf(record, message) : keyReused()
}

/** The key of a caller stands for one request. */
export const keyReused = (): Refusal =>
  refuse('keyReused', 'Idempotency-Key: was used with another body; make a new one for every call')

function firstAnswerOf({ callId, createdAt, endedAt, ringingAt, status, reason }: CallRecord, message: Initiate) {
  const data = begun(callId, message, createdAt)
  // Who was busy when the call was made ended it in that moment; who has rung may have said BUSY later
  const atOnce = reason === 'BUSY' && ringingAt === undefined && endedAt === createdAt
  return atOnce || reason === 'GLARE' ? busy({ ...data, status, reason }) : ({ ok: true, data } as const)
}

/** Of those who were forgotten nothing is known that could differ. */
function isOf({ type, caller, callee, callerName, calleeName }: CallRecord, message: Initiate): boolean {
  return (
    type === message.callType &&
    (caller === '' || callerName === (message.callerName ?? message.callerId)) &&
    (callee === '' || (callee === message.calleeId && calleeName === (message.calleeName ?? undefined)))
  )
}

function busy(data: Readonly<Record<string, unknown>>): RtcOutcome {
  const words = data.reason === 'GLARE' ? 'both call each other' : 'the callee is busy'
  return { ...refuse('busy', words), data }
}
