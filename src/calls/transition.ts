/**
 * The rules of a call, as one pure function: what is, what happens, what time it is → what shall be, whom to tell.
 * It is the table of the call engine's specification, row by row. It knows no store, no socket and no timer.
 *
 * Whatever a deadline has already decided is decided first: a command that comes at or after the deadline finds the
 * call over, whether or not a timer was there to say so.
 */

import { refuse } from '../errors.ts'
import { afterTheEnd, answerAfterTheEnd } from './rules/after-the-end.ts'
import { withConsequences } from './rules/consequences.ts'
import { type Change, type Decision, refused, type Situation, written } from './rules/decision.ts'
import { expired } from './rules/expiry.ts'
import { isOver, isParty } from './rules/legs.ts'
import { whileLive } from './rules/live.ts'
import { request } from './rules/request.ts'
import { inRoom } from './rules/room.ts'
import { invite } from './rules/room-coming.ts'
import { isRoom } from './rules/room-members.ts'
import { notAParty } from './rules/words.ts'
import type { CallCommand, CallTimers } from './types.ts'

export { linksOf } from './rules/consequences.ts'
export type { Change, Decision, Situation } from './rules/decision.ts'

const UNKNOWN = 'callId: no such call; it was over long ago, or the server has restarted since'

/** Never throws, asks nobody, changes nothing: the caller commits `write` and `others` together, then does the effects. */
export function decide(situation: Situation, command: CallCommand, now: number, timers: CallTimers): Decision {
  const decision = decideAlone(situation, command, now, timers)
  return situation.linked === undefined ? decision : withConsequences(decision, situation, command, now, timers)
}

/** What becomes of the command's own call, and of those that it names. */
function decideAlone(situation: Situation, command: CallCommand, now: number, timers: CallTimers): Decision {
  if (command.verb === 'request') return request(situation, command, now, timers)
  const { call, callId } = situation
  if (!call) return refused(refuse('notFound', UNKNOWN, { callId }))
  if (isOver(call)) return afterTheEnd(call, command, now, timers)
  const change = expired(call, now, timers)
  if (change && isOver(change.call)) {
    return { ...written(change), outcome: answerAfterTheEnd(change.call, command, now, timers).outcome }
  }
  if (change) return after(change, decideAlone({ ...situation, call: change.call }, command, now, timers))
  if (isRoom(call)) return inRoom(call, command, situation, now, timers)
  if (command.verb === 'invite') {
    if (!isParty(call, command.actor.user)) return refused(notAParty(call))
    return invite(call, command, situation.taken ?? [], now, timers)
  }
  return whileLive(call, command, situation, now, timers)
}

/** Both in one commit: what a deadline has made of a room that goes on, and then the command. */
const after = ({ call, effects }: Change, then: Decision): Decision => ({
  ...then,
  write: then.write ?? call,
  effects: [...effects, ...then.effects],
})
