/** Who was forgotten, and when: calls of theirs may still wait elsewhere to be written. Of their ids only a digest is kept. */

import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../database.ts'
import type { Tables } from '../tables.ts'
import type { Statement } from './index.ts'

export function forgotten({ schema }: Kysely<Tables>, dialect: Dialect): Statement[] {
  return [
    schema
      .createTable('forgotten')
      .addColumn('digest', dialect === 'postgres' ? sql`text collate "C"` : sql`text`, (column) => column.notNull())
      .addColumn('until', dialect === 'postgres' ? 'bigint' : 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('forgotten_key', ['digest'])
      .modifyEnd(dialect === 'postgres' ? sql`` : sql`without rowid, strict`),
  ]
}
