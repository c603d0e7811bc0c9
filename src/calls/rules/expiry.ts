/** What the deadlines of a live call make of it, be it of two or a room. */

import { holdersOf } from '../holders.ts'
import type { Call, CallTimers } from '../types.ts'
import { expire } from './deadlines.ts'
import type { Change } from './decision.ts'
import { isOver } from './legs.ts'
import { expireRoom } from './room.ts'
import { isRoom } from './room-members.ts'

/** Nothing when none has passed. A call of two is over then; a room may go on without somebody. */
export const expired = (call: Call, now: number, timers: CallTimers): Change | undefined =>
  isRoom(call) ? expireRoom(call, now, timers) : expire(call, now, timers)

/** What is left of a user's line after these changes. */
export function lineAfter(changes: readonly Change[], line: readonly Call[], user: string): readonly Call[] {
  if (changes.length === 0) return line
  return line
    .map((call) => changes.find((change) => change.call.callId === call.callId)?.call ?? call)
    .filter((call) => !isOver(call) && holdersOf(call).includes(user))
}
