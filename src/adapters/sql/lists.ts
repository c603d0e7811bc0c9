/** Whose calls they are: the questions that each database answers by an index of its own kind. Knows no SQL. */

import type { CallId } from '../../calls/types.ts'
import type { Cursor, HistoryFilter } from '../../history/types.ts'
import type { UserId } from '../../ports.ts'
import type { Query } from './database.ts'

export interface Lists {
  /** The latest end first, of one moment the larger id: `size` calls behind a key, of which `skip` are left out. In no order. */
  page(user: UserId, filter: HistoryFilter, size: number, after: Cursor | undefined, skip: number): Query
  /** The last one that was called so: an id that comes again after a while is another call. */
  find(callId: CallId): Query
  /** `count`, up to `atMost`. */
  count(user: UserId, filter: HistoryFilter, atMost: number): Query
  /** `count` of the missed calls that the user has not said to have seen, up to `atMost`. */
  unread(user: UserId, atMost: number): Query
  /** Calls until then that name the user somewhere. */
  naming(user: UserId, until: number, atMost: number): Query
  /** What must be done before calls change or go, and after one has changed: in the same transaction. */
  readonly upkeep: {
    beforeDelete(endedAt: number, atMost: number): readonly Query[]
    beforeChange(call: Cursor): readonly Query[]
    afterChange(call: Cursor): readonly Query[]
  }
}

/** Before and after every call. */
const EVER = Number.MIN_SAFE_INTEGER
const NEVER = Number.MAX_SAFE_INTEGER

/** From when on, and behind what: a cursor, or the end of the time that is asked for, whichever comes first. */
export function boundsOf({ from = EVER, before = NEVER }: HistoryFilter, after?: Cursor) {
  // nothing comes before the empty text
  const { endedAt, callId } = after && after.endedAt < before ? after : { endedAt: before, callId: '' }
  return { from, endedAt, callId }
}
