/**
 * SQLite: a key that is one number for each call, and an inverted index (sqlite/lists.ts) for the ordinary ones, of which
 * each call changed three pages anywhere in the file.
 */

import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../database.ts'
import { keyOf, LIST_ALL, momentOf } from '../sqlite/lists.ts'
import type { Tables } from '../tables.ts'
import type { Statement } from './index.ts'

const STATEMENTS: readonly string[] = [
  'alter table calls rename to old_calls',
  'create table calls (key integer primary key, ended_at integer not null, call_id text not null, type text not null, ' +
    'caller text not null, callee text not null, missed integer not null, status text not null, reason text not null, ' +
    'created_at integer not null, ringing_at integer, connected_at integer, caller_name text, callee_name text, ' +
    `transferred_by text, members text, check (${momentOf('key')} = ended_at)) strict`,
  `insert into calls select ${keyOf('ended_at')} | ` +
    '(row_number() over (partition by ended_at order by call_id) - 1), * from old_calls order by ended_at, call_id',
  'drop table old_calls',
  'create unique index calls_key on calls (ended_at, call_id)',
  // no text is kept, and what is deleted needs none; words are letters and digits, and nobody asks for their order
  'create virtual table lists using ' +
    "fts5(words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii')",
  LIST_ALL,
  'drop index call_members_missed',
]

export function lists(db: Kysely<Tables>, dialect: Dialect): Statement[] {
  if (dialect !== 'sqlite') return []
  return STATEMENTS.map((statement) => ({ compile: () => sql.raw<unknown>(statement).compile(db) }))
}
