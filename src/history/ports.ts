/** What the history asks of the world: a database, and a place where records wait while it is away. */

import type { CallId } from '../calls/types.ts'
import type { Awaitable, UserId } from '../ports.ts'
import type { CallRecord, Cursor, HistoryFilter } from './types.ts'

/**
 * A database of calls, shared by any number of processes. Every promise is rejected with `Unavailable` (src/ports.ts)
 * while the database cannot be reached, and waits for it no longer than a few seconds.
 */
export interface HistoryStore {
  /**
   * Writes these in one transaction; a call that is there already (known by its id and its end: an id that comes again
   * after a while is another call) is left as it is. When it is fulfilled, a kill of this
   * process loses none of them.
   */
  write(records: readonly CallRecord[]): Promise<void>
  /** Of a user's calls, the latest end first, at most `size`; behind the cursor, or from the `skip`th on. */
  page(
    user: UserId,
    filter: HistoryFilter,
    page: { size: number; after?: Cursor; skip?: number },
  ): Promise<readonly CallRecord[]>
  /** One call by its id, whoever asks. */
  find(callId: CallId): Promise<CallRecord | undefined>
  /** How many there are. */
  count(user: UserId, filter: HistoryFilter): Promise<number>
  /** Missed calls that ended after the user last said that they have seen them; counted up to 1,000. */
  unread(user: UserId): Promise<number>
  /** They have seen all missed calls that ended until then. Going back is not possible. */
  markRead(user: UserId, until: number): Promise<void>
  /** Every call, the earliest end first, in portions: for an export. */
  all(filter: { from?: number; before?: number }): AsyncIterable<readonly CallRecord[]>
  /**
   * Forgets a user: their names and ids are taken out of every call that has ended until then (now); the other party keeps
   * the call, with somebody unknown, and calls that nobody is left in are deleted. How many calls that concerned. It is
   * noted until when.
   */
  erase(user: UserId, until?: number): Promise<number>
  /** Who of these was forgotten, and until when: what ended until then must not be written with them in it. */
  forgotten(users: readonly UserId[]): Promise<ReadonlyMap<UserId, number>>
  /** Deletes what ended before, at most so many at a time; how many were deleted. */
  deleteBefore(endedAt: number, atMost: number): Promise<number>
  /** Whether it answers. */
  readonly state: 'up' | 'down'
  stop(): Promise<void>
}

/** Where records wait that could not be written yet: a file, or Redis. They outlive this process. */
export interface Spool {
  /** What earlier processes have left is found when it is fulfilled. Called once, before anything else. */
  start?(): Awaitable<void>
  /** Keeps them behind what is there. When fulfilled, a kill of this process loses none. False: there is no room. */
  put(records: readonly CallRecord[]): Awaitable<boolean>
  /** The oldest, at most so many; they stay until {@link done}. */
  peek(atMost: number): Awaitable<readonly CallRecord[]>
  /** These, which {@link peek} has returned last, are written. */
  done(records: readonly CallRecord[]): Awaitable<void>
  /** Records, and octets. */
  size(): Awaitable<{ readonly records: number; readonly bytes: number }>
  stop(): Awaitable<void>
}
