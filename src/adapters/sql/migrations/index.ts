/**
 * How the tables came about, each step in its file. A step that has been released is never changed again: what follows
 * is a new step. A database keeps how many it has seen.
 */

import type { Compilable, Kysely } from 'kysely'
import type { Dialect } from '../database.ts'
import type { Tables } from '../tables.ts'
import { calls } from './0001-calls.ts'
import { forgotten } from './0002-forgotten.ts'
import { lists } from './0003-lists.ts'

export type Statement = Pick<Compilable, 'compile'>

type Migration = (db: Kysely<Tables>, dialect: Dialect) => readonly Statement[]

const MIGRATIONS: readonly Migration[] = [calls, forgotten, lists]

/** All steps in their order, as SQL of this database. */
export function migrationsFor(db: Kysely<Tables>, dialect: Dialect): string[][] {
  return MIGRATIONS.map((migration) => migration(db, dialect).map((statement) => statement.compile().sql))
}
