/** What the deadlines of a live call make of it, be it of two or a room. */

import type { Call, CallTimers } from '../types.ts'
import { expire } from './deadlines.ts'
import type { Change } from './decision.ts'
import { expireRoom } from './room.ts'
import { isRoom } from './room-members.ts'

/** Nothing when none has passed. A call of two is over then; a room may go on without somebody. */
export const expired = (call: Call, now: number, timers: CallTimers): Change | undefined =>
  isRoom(call) ? expireRoom(call, now, timers) : expire(call, now, timers)
