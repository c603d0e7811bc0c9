/** Records as rows, and back. */

import { seenBy } from '../../history/seen.ts'
import type { CallRecord, MemberRecord } from '../../history/types.ts'
import type { UserId } from '../../ports.ts'
import type { SqlValue } from './database.ts'
import type { CallsTable } from './tables.ts'

/** A call to be written: its values in the order of CALL_COLUMNS, and those of the members that are found by it. */
export interface CallRow {
  readonly call: readonly SqlValue[]
  readonly members: readonly (readonly SqlValue[])[]
}

export function rowOf(record: CallRecord): CallRow {
  const endedAt = whole(record.endedAt)
  const callId = text(record.callId)
  return {
    call: [
      endedAt,
      callId,
      record.type,
      text(record.caller),
      text(record.callee),
      missedBy(record, record.callee),
      record.status,
      record.reason,
      whole(record.createdAt),
      wholeOrNull(record.ringingAt),
      wholeOrNull(record.connectedAt),
      textOrNull(record.callerName),
      textOrNull(record.calleeName),
      textOrNull(record.transferredBy),
      record.members ? membersText(record.members) : null,
    ],
    // caller and callee are found by the call itself
    members: (record.members ?? [])
      .filter(({ user }) => user !== record.caller && user !== record.callee && user !== '')
      .map(({ user }) => [text(user), record.type, endedAt, callId, missedBy(record, user)]),
  }
}

export function recordOf(row: CallsTable): CallRecord {
  return {
    callId: row.call_id,
    type: row.type,
    caller: row.caller,
    callee: row.callee,
    status: row.status,
    reason: row.reason,
    createdAt: row.created_at,
    endedAt: row.ended_at,
    ...(row.caller_name !== null && { callerName: row.caller_name }),
    ...(row.callee_name !== null && { calleeName: row.callee_name }),
    ...(row.ringing_at !== null && { ringingAt: row.ringing_at }),
    ...(row.connected_at !== null && { connectedAt: row.connected_at }),
    ...(row.transferred_by !== null && { transferredBy: row.transferred_by }),
    ...(row.members !== null && { members: JSON.parse(row.members) as MemberRecord[] }),
  }
}

/** The list of members as it is kept. */
export function membersText(members: readonly MemberRecord[]): string {
  // JSON writes NUL as six characters: what is refused as text would slip through here and be read again
  return JSON.stringify(members, (_, value: unknown) => (typeof value === 'string' ? text(value) : value))
}

const missedBy = (record: CallRecord, user: UserId) => (user !== '' && seenBy(record, user).seenAs === 'missed' ? 1 : 0)

/** SQLite cuts a text at NUL, PostgreSQL refuses it. Messages are refused with one; this is for what else may come. */
export function text(value: string): string {
  return value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value
}

const textOrNull = (value: string | undefined) => (value === undefined ? null : text(value))

/** Milliseconds may come with fractions from a clock that is corrected. */
const whole = (value: number) => Math.trunc(value)

const wholeOrNull = (value: number | undefined) => (value === undefined ? null : whole(value))
