/** When a room must be looked at. */

import type { Call, CallTimers } from '../types.ts'
import { silentUntil } from './legs.ts'

/** One who is left alone may still ask others in. */
const ALONE_MS = 30_000

export interface RoomDeadline {
  readonly at: number
  readonly passes: 'ring' | 'lost' | 'alone' | 'longest-call'
  /** Of one member: whose. */
  readonly user?: string
}

/** The first of all that may end a room, or somebody's part in it; with equal times what concerns one member comes first. */
export function firstInRoom(
  { members = [], aloneSince, connectedAt, createdAt }: Call,
  timers: CallTimers,
): RoomDeadline {
  let first: RoomDeadline = { at: (connectedAt ?? createdAt) + timers.longestCallMs, passes: 'longest-call' }
  const consider = (at: number | undefined, passes: RoomDeadline['passes'], user?: string) => {
    if (at !== undefined && (at < first.at || (at === first.at && first.user === undefined)))
      first = { at, passes, ...(user !== undefined && { user }) }
  }
  if (aloneSince !== undefined) consider(aloneSince + ALONE_MS, 'alone')
  for (const { user, state, leg, ringUntil } of members) {
    if (state === 'RINGING') consider(ringUntil, 'ring', user)
    if (state === 'JOINED') consider(leg && silentUntil(leg, timers), 'lost', user)
  }
  return first
}
