/** Calls, whose they were, and what their users have seen of them. */

import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../database.ts'
import type { Tables } from '../tables.ts'
import type { Statement } from './index.ts'

export function calls({ schema }: Kysely<Tables>, dialect: Dialect): Statement[] {
  const number = dialect === 'postgres' ? 'bigint' : 'integer'
  // SQLite compares octets unless told otherwise; PostgreSQL compares as its locale does
  const text = dialect === 'postgres' ? sql`text collate "C"` : sql`text`
  const end = dialect === 'postgres' ? sql`` : sql`without rowid, strict`
  return [
    schema
      .createTable('calls')
      .addColumn('ended_at', number, (column) => column.notNull())
      .addColumn('call_id', text, (column) => column.notNull())
      .addColumn('type', text, (column) => column.notNull())
      .addColumn('caller', text, (column) => column.notNull())
      .addColumn('callee', text, (column) => column.notNull())
      .addColumn('missed', 'integer', (column) => column.notNull())
      .addColumn('status', text, (column) => column.notNull())
      .addColumn('reason', text, (column) => column.notNull())
      .addColumn('created_at', number, (column) => column.notNull())
      .addColumn('ringing_at', number)
      .addColumn('connected_at', number)
      .addColumn('caller_name', text)
      .addColumn('callee_name', text)
      .addColumn('transferred_by', text)
      .addColumn('members', text)
      .addPrimaryKeyConstraint('calls_key', ['ended_at', 'call_id'])
      .modifyEnd(end),
    // a list of one type is one range of these, a list of both is two: no filter has to skip anything
    schema.createIndex('calls_of_caller').on('calls').columns(['caller', 'type', 'ended_at', 'call_id']),
    schema.createIndex('calls_of_callee').on('calls').columns(['callee', 'type', 'ended_at', 'call_id']),
    schema
      .createIndex('calls_missed')
      .on('calls')
      .columns(['callee', 'type', 'ended_at', 'call_id'])
      .where(sql.ref('missed'), '=', sql.lit(1)),
    schema.createIndex('calls_by_id').on('calls').columns(['call_id']),
    // who has arranged a call need not be in it; to forget them all the same
    schema
      .createIndex('calls_transferred')
      .on('calls')
      .columns(['transferred_by'])
      .where(sql.ref('transferred_by'), 'is not', null),
    schema
      .createTable('call_members')
      .addColumn('user_id', text, (column) => column.notNull())
      .addColumn('type', text, (column) => column.notNull())
      .addColumn('ended_at', number, (column) => column.notNull())
      .addColumn('call_id', text, (column) => column.notNull())
      .addColumn('missed', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('call_members_key', ['user_id', 'type', 'ended_at', 'call_id'])
      .modifyEnd(end),
    schema.createIndex('call_members_of_call').on('call_members').columns(['ended_at', 'call_id']),
    schema
      .createIndex('call_members_missed')
      .on('call_members')
      .columns(['user_id', 'type', 'ended_at', 'call_id'])
      .where(sql.ref('missed'), '=', sql.lit(1)),
    schema
      .createTable('call_readers')
      .addColumn('user_id', text, (column) => column.notNull())
      .addColumn('missed_until', number, (column) => column.notNull())
      .addPrimaryKeyConstraint('call_readers_key', ['user_id'])
      .modifyEnd(end),
  ]
}
