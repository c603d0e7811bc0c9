/** What the history asks of a database, whichever it is: SQLite and PostgreSQL answer this. Knows no tables. */

import type { CallRow } from './rows.ts'

export type SqlValue = string | number | null

/** SQL in the words of the database that is asked. */
export interface Query {
  readonly sql: string
  readonly parameters: readonly unknown[]
  /** Nothing at all is done when this changes no row: the promise is rejected with {@link Overtaken}. */
  readonly mustChange?: boolean
  /** One of few texts, which is asked again and again: planning it once is worth it. */
  readonly recurring?: boolean
}

export interface Result {
  readonly rows: readonly unknown[]
  /** How many rows a statement that is no SELECT has changed. */
  readonly changed: number
}

export type Dialect = 'sqlite' | 'postgres'

/** Every promise is settled within a few seconds. */
export interface Database {
  /** What it is and where, for people: no password. */
  readonly name: string
  readonly dialect: Dialect
  /**
   * Makes it ready: connects, and runs the migrations that have not run, which are lists of statements. Harmless when it
   * is ready already. Rejected with Unavailable, or with {@link Unfit}.
   */
  open(migrations: readonly (readonly string[])[]): Promise<void>
  /** All of them in one transaction. Rejected with Unavailable, {@link Refused}, {@link Overtaken}. */
  run(queries: readonly Query[]): Promise<readonly Result[]>
  /** Writes calls that are not there yet in one transaction; durable when fulfilled. Rejected with Unavailable, {@link Refused}. */
  write(rows: readonly CallRow[]): Promise<void>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/** The database is there and takes none of this, now or later: a text that is too long for an index, say. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** Somebody else was first; look again. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken'
}

/** This is no database that may be used: it is corrupt, or belongs to a newer Carillon. The message says what to do. */
export class Unfit extends Error {
  override readonly name = 'Unfit'
}

/** What {@link Unfit} says of tables that are newer than this program. */
export function newerThanKnown(name: string, found: number, known: number): string {
  return (
    `${name} has the tables of a newer Carillon (version ${found}; this one knows ${known}): ` +
    'run that version, or name another database in DATABASE_URL'
  )
}
