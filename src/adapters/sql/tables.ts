/**
 * The tables as they are after all migrations. Text, whole numbers and nothing else, so that both databases mean the same;
 * the order of texts is that of their octets in both.
 */

import type { CallType, EndReason, EndStatus } from '../../calls/types.ts'

/**
 * One row per call. Its key begins with the end, so that new rows lie beside each other and old ones go together; what a
 * call is known by is its end and its id. In SQLite it has a number as well (sqlite/lists.ts).
 */
export interface CallsTable {
  /** Milliseconds since the epoch, like all times. */
  ended_at: number
  call_id: string
  type: CallType
  /** Empty: somebody who has been forgotten. */
  caller: string
  callee: string
  /** 1: the callee has missed it. */
  missed: number
  status: EndStatus
  reason: EndReason
  created_at: number
  ringing_at: number | null
  connected_at: number | null
  caller_name: string | null
  callee_name: string | null
  transferred_by: string | null
  /** Of a room, a JSON list of MemberRecord. */
  members: string | null
}

/** Whose call a room was beside its caller and callee: an index of the lists of members. */
export interface CallMembersTable {
  user_id: string
  type: CallType
  ended_at: number
  call_id: string
  missed: number
}

export interface CallReadersTable {
  user_id: string
  /** They have seen all missed calls that ended until then. */
  missed_until: number
}

export interface ForgottenTable {
  /** Of the id of a user. */
  digest: string
  /** What ended until then must not name them. */
  until: number
}

/** A row per migration that has run. */
export interface CarillonSchemaTable {
  version: number
}

export interface Tables {
  calls: CallsTable
  call_members: CallMembersTable
  call_readers: CallReadersTable
  forgotten: ForgottenTable
  carillon_schema: CarillonSchemaTable
}

/** In the order of the values of a {@link CallRow}. */
export const CALL_COLUMNS = [
  'ended_at',
  'call_id',
  'type',
  'caller',
  'callee',
  'missed',
  'status',
  'reason',
  'created_at',
  'ringing_at',
  'connected_at',
  'caller_name',
  'callee_name',
  'transferred_by',
  'members',
] as const satisfies readonly (keyof CallsTable)[]

export const MEMBER_COLUMNS = [
  'user_id',
  'type',
  'ended_at',
  'call_id',
  'missed',
] as const satisfies readonly (keyof CallMembersTable)[]

/** Columns that hold whole numbers; all others hold texts. */
export const NUMBERS: ReadonlySet<string> = new Set(['ended_at', 'missed', 'created_at', 'ringing_at', 'connected_at'])
