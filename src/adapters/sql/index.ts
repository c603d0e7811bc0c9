/** The history in SQLite or PostgreSQL: what a `DATABASE_URL` names. */

import { parseDatabaseUrl } from '../../database-url.ts'
import { postgresDatabase } from './postgres/postgres.ts'
import { sqliteDatabase } from './sqlite/sqlite.ts'
import { SqlHistory, type SqlWorld } from './store.ts'

export type { SqlHistory, SqlWorld } from './store.ts'

/**
 * Opens it, and makes or renews its tables; undefined for `none`. It is `down` until that is done, and while the database
 * is away; `ready` tells when the first attempt is over. Throws what {@link parseDatabaseUrl} throws.
 */
export function openHistory(url: string, world: SqlWorld): SqlHistory | undefined {
  const parsed = parseDatabaseUrl(url)
  switch (parsed.kind) {
    case 'none':
      return undefined
    case 'sqlite':
      return new SqlHistory(sqliteDatabase(parsed.path, world.clock), world)
    case 'postgres': {
      const history: SqlHistory = new SqlHistory(
        postgresDatabase(parsed, (reason) => history.lost(reason)),
        world,
      )
      return history
    }
  }
}
