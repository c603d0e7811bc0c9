/** The part of the configuration that is about the history of calls: which database, for how long, and what may wait for it. */

import { dirname } from 'node:path'
import { parseDatabaseUrl } from './database-url.ts'
import type { Notes, Settings } from './variables.ts'

export interface HistoryConfig {
  /** With its password: never for logs. */
  readonly url: string
  /** In days; 0: for ever. */
  readonly days: number
  /** What may wait while the database is away. */
  readonly spoolBytes: number
  /** Where it waits, unless that is Redis; undefined: in memory alone, as the database is. */
  readonly folder?: string
}

/** Undefined: no history is kept. */
export function historyOf(settings: Settings, notes: Pick<Notes, 'warn'>): HistoryConfig | undefined {
  const { DATABASE_URL: url, HISTORY_DAYS: days, HISTORY_SPOOL_BYTES: spoolBytes, DATA_DIR, REDIS_URL } = settings
  const database = parseDatabaseUrl(url)
  if (database.kind === 'none') return undefined
  if (database.kind === 'sqlite' && REDIS_URL !== undefined) {
    notes.warn(
      'DATABASE_URL is SQLite: with several servers each machine has a history of its own then; take PostgreSQL, or none',
    )
  }
  const beside = database.kind === 'sqlite' && database.path !== undefined ? dirname(database.path) : undefined
  const folder = database.kind === 'postgres' ? DATA_DIR : beside
  return { url, days, spoolBytes, ...(folder !== undefined && { folder }) }
}
