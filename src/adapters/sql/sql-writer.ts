/** Kysely as a writer of SQL, typed by our tables. It runs nothing: databases do (database.ts). */

import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import type { Cursor } from '../../history/types.ts'
import type { Dialect } from './database.ts'
import type { Tables } from './tables.ts'

export function sqlWriter(dialect: Dialect): Kysely<Tables> {
  const createDriver = () => new DummyDriver()
  return new Kysely<Tables>({
    dialect:
      dialect === 'sqlite'
        ? {
            createDriver,
            createAdapter: () => new SqliteAdapter(),
            createIntrospector: (db) => new SqliteIntrospector(db),
            createQueryCompiler: () => new SqliteQueryCompiler(),
          }
        : {
            createDriver,
            createAdapter: () => new PostgresAdapter(),
            createIntrospector: (db) => new PostgresIntrospector(db),
            createQueryCompiler: () => new PostgresQueryCompiler(),
          },
  })
}

/** In the order of the key of `calls`: before or behind that one. */
export const keyIs = (side: '<' | '>', { endedAt, callId }: Cursor) =>
  sql<boolean>`(ended_at, call_id) ${sql.raw(side)} (${endedAt}, ${callId})`
