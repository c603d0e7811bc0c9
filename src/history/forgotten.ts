/**
 * Somebody was forgotten while calls of theirs waited to be written: they are taken out of those before they are. Pure.
 */

import type { UserId } from '../ports.ts'
import type { CallRecord, MemberRecord } from './types.ts'

/** Everybody whom a record names, whatever for. */
export function namedIn({ caller, callee, transferredBy, members }: CallRecord): UserId[] {
  const invited = (members ?? []).flatMap(({ user, invitedBy }) => [user, invitedBy])
  return [caller, callee, transferredBy, ...invited].flatMap((user) => user || [])
}

/** The record with somebody unknown in the places of those; undefined: nobody is left in it. */
export function withoutUsers(record: CallRecord, gone: (user: UserId) => boolean): CallRecord | undefined {
  if (!namedIn(record).some(gone)) return record
  const { callerName, calleeName, transferredBy, members, ...rest } = record
  const caller = gone(record.caller) ? '' : record.caller
  const callee = gone(record.callee) ? '' : record.callee
  const others = members?.map((member) => withoutUsersIn(member, gone))
  if (caller === '' && callee === '' && !others?.some(({ user }) => user !== '')) return undefined
  return {
    ...rest,
    caller,
    callee,
    ...(callerName !== undefined && caller !== '' && { callerName }),
    ...(calleeName !== undefined && callee !== '' && { calleeName }),
    ...(transferredBy !== undefined && !gone(transferredBy) && { transferredBy }),
    ...(others && { members: others }),
  }
}

/** The members without one of them: nobody is left where they were. */
export function withoutMember(members: readonly MemberRecord[], user: UserId): MemberRecord[] {
  return members.map((member) => withoutUsersIn(member, (other) => other === user))
}

function withoutUsersIn({ name, invitedBy, ...member }: MemberRecord, gone: (user: UserId) => boolean): MemberRecord {
  return {
    ...member,
    ...(gone(member.user) ? { user: '' } : name !== undefined && { name }),
    ...(invitedBy !== undefined && !gone(invitedBy) && { invitedBy }),
  }
}
