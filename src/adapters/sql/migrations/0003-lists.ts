/** Lists of calls in SQLite: an index whose pages are changed together instead of three for each call. */

import { type Kysely, sql } from 'kysely'
import type { Dialect } from '../database.ts'
import { MAKE_LISTS } from '../sqlite/lists.ts'
import type { Tables } from '../tables.ts'
import type { Statement } from './index.ts'

export function lists(db: Kysely<Tables>, dialect: Dialect): Statement[] {
  if (dialect !== 'sqlite') return []
  return MAKE_LISTS.map((statement) => ({ compile: () => sql.raw<unknown>(statement).compile(db) }))
}
