/**
 * The rules of a call, as one pure function: what is, what happens, what time it is → what shall be, whom to tell.
 * It is the table of the call engine's specification, row by row. It knows no store, no socket and no timer.
 *
 * Whatever a deadline has already decided is decided first: a command that comes at or after the deadline finds the
 * call over, whether or not a timer was there to say so.
 */

import { refuse } from '../errors.ts'
import { afterTheEnd, answerAfterTheEnd } from './rules/after-the-end.ts'
import { expire } from './rules/deadlines.ts'
import { type Decision, refused, type Situation, written } from './rules/decision.ts'
import { isOver } from './rules/legs.ts'
import { whileLive } from './rules/live.ts'
import { request } from './rules/request.ts'
import type { CallCommand, CallTimers } from './types.ts'

export type { Change, Decision, Situation } from './rules/decision.ts'

const UNKNOWN = 'callId: no such call; it was over long ago, or the server has restarted since'

/** Never throws, asks nobody, changes nothing: the caller commits `write` and `others` together, then does the effects. */
export function decide(situation: Situation, command: CallCommand, now: number, timers: CallTimers): Decision {
  if (command.verb === 'request') return request(situation, command, now, timers)
  const { call, callId } = situation
  if (!call) return refused(refuse('notFound', UNKNOWN, { callId }))
  if (isOver(call)) return afterTheEnd(call, command, now, timers)
  const expired = expire(call, now, timers)
  if (expired) return { ...written(expired), outcome: answerAfterTheEnd(expired.call, command, now, timers).outcome }
  return whileLive(call, command, now, timers)
}
