/** Calls that are over, as they are kept for good. Knows neither databases nor who asks. */

import type { CallId, CallType, EndReason, EndStatus, MemberState } from '../calls/types.ts'
import type { UserId } from '../ports.ts'

/** What a call leaves behind: written once, never changed. All times in milliseconds since the epoch. */
export interface CallRecord {
  readonly callId: CallId
  readonly type: CallType
  readonly caller: UserId
  readonly callee: UserId
  readonly callerName?: string | undefined
  readonly calleeName?: string | undefined
  readonly status: EndStatus
  readonly reason: EndReason
  readonly createdAt: number
  readonly ringingAt?: number | undefined
  readonly connectedAt?: number | undefined
  readonly endedAt: number
  /** It came about by a transfer that this user has arranged. */
  readonly transferredBy?: UserId | undefined
  /** Of a room: everybody who was asked into it, caller and callee too. */
  readonly members?: readonly MemberRecord[] | undefined
}

/** What a room was for one of its members. */
export interface MemberRecord {
  readonly user: UserId
  readonly name?: string | undefined
  readonly state: Exclude<MemberState, 'RINGING' | 'JOINED'>
  readonly invitedBy?: UserId | undefined
  readonly joinedAt?: number | undefined
  readonly leftAt: number
}

/** How a user sees a call: `answered` when they were in it. */
export type SeenAs = 'answered' | 'missed' | 'declined' | 'cancelled' | 'busy' | 'unanswered'

/** What one user sees of a call. */
export interface SeenCall {
  readonly record: CallRecord
  readonly direction: 'incoming' | 'outgoing'
  readonly seenAs: SeenAs
  /** Whole seconds from connected to ended (of a member: from joined to left); 0 when never connected. */
  readonly duration: number
}

/** Which of a user's calls. What is not named does not narrow. */
export interface HistoryFilter {
  readonly only?: 'missed' | 'incoming' | 'outgoing'
  readonly type?: CallType
  /** By the end of the call: from here on, and before this. Milliseconds since the epoch. */
  readonly from?: number
  readonly before?: number
}

/** Where a page begins: behind this call, in the order of the list (the latest end first; of one moment the larger callId). */
export interface Cursor {
  readonly endedAt: number
  readonly callId: CallId
}
