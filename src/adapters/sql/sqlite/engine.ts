/**
 * A SQLite file, or a database in memory, as this thread sees it: everything here waits for the disk. Knows neither
 * threads nor Kysely.
 *
 * WAL with `synchronous=FULL`: what is committed survives the loss of power, and other processes read meanwhile. The log is
 * brought into the file seldom, when many of its pages have been changed several times.
 */

import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync, type DatabaseSyncInstance, type StatementSyncInstance } from '@photostructure/sqlite'
import { newerThanKnown, type Query, type SqlValue } from '../database.ts'
import type { CallRow } from '../rows.ts'
import { CALL_COLUMNS, MEMBER_COLUMNS } from '../tables.ts'
import { failureOf, NewerTables, NothingChanged } from './failures.ts'
import { LIST_CALLS, NEXT_KEY, PLACE } from './lists.ts'
import type { Found, Outcome, Work } from './messages.ts'

/** How long another process may hold the file before we give up. */
const BUSY_MS = 2000

/** Of 4 KiB. */
const CHECKPOINT_PAGES = 8000
const CACHE_KIB = 16_000

/** What comes again and again is some thirty. */
const MOST_STATEMENTS = 100

const valuesOf = (columns: readonly string[]) => columns.map((_, n) => `?${n + 1}`).join(', ')

/** Its end is the first value. */
const INSERT_CALL =
  `insert into calls (${CALL_COLUMNS.join(', ')}, key) values (${valuesOf(CALL_COLUMNS)}, ${NEXT_KEY}) ` +
  `on conflict (ended_at, call_id) do nothing returning ${PLACE} as place`

const INSERT_MEMBER =
  `insert into call_members (${MEMBER_COLUMNS.join(', ')}) values (${valuesOf(MEMBER_COLUMNS)}) ` +
  'on conflict do nothing'

export class SqliteEngine {
  readonly #path: string | undefined
  #db: DatabaseSyncInstance | undefined
  #statements = new Map<string, StatementSyncInstance>()
  #questions = new Map<string, StatementSyncInstance>()

  /** `path` undefined: in memory. */
  constructor(path: string | undefined) {
    this.#path = path
  }

  /** Does it, and never throws. */
  perform(work: Work): Outcome {
    try {
      return { results: this.#perform(work) }
    } catch (error) {
      return { failure: failureOf(error) }
    }
  }

  #perform(work: Work): readonly Found[] {
    switch (work.kind) {
      case 'open':
        this.#open(work.migrations)
        return []
      case 'run':
        return this.#run(work.queries)
      case 'write':
        this.#write(work.rows)
        return []
      case 'close':
        this.#close()
        return []
    }
  }

  #open(migrations: readonly (readonly string[])[]): void {
    if (this.#db) {
      this.#statement('select 1').get()
      return
    }
    try {
      this.#db = this.#connect()
      this.#migrate(migrations)
    } catch (error) {
      this.#close()
      throw error
    }
  }

  #connect(): DatabaseSyncInstance {
    const file = this.#path === undefined ? ':memory:' : resolve(this.#path)
    if (this.#path !== undefined) {
      mkdirSync(dirname(file), { recursive: true })
      makeOurs(file)
    }
    const db = new DatabaseSync(file, { timeout: BUSY_MS, enableForeignKeyConstraints: false })
    try {
      db.exec('pragma journal_mode=wal')
      db.exec('pragma synchronous=full')
      db.exec(`pragma wal_autocheckpoint=${CHECKPOINT_PAGES}`)
      db.exec(`pragma cache_size=-${CACHE_KIB}`)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  }

  /** Only one process at a time gets in here: the others wait for its transaction, and find the work done. */
  #migrate(migrations: readonly (readonly string[])[]): void {
    const db = this.#opened()
    if (this.#version(db) === migrations.length) return
    this.#inTransaction(() => {
      const version = this.#version(db)
      if (version > migrations.length) {
        throw new NewerTables(newerThanKnown('the SQLite file', version, migrations.length))
      }
      if (version === 0) db.exec('create table if not exists carillon_schema (version integer primary key) strict')
      for (const [done, statements] of migrations.entries()) {
        if (done < version) continue
        for (const statement of statements) db.exec(statement)
        db.prepare('insert into carillon_schema (version) values (?)').run(done + 1)
      }
    })
  }

  #version(db: DatabaseSyncInstance): number {
    const there = db.prepare("select count(*) as n from sqlite_schema where name = 'carillon_schema'").get()
    if ((there as { n: number }).n === 0) return 0
    return (db.prepare('select coalesce(max(version), 0) as n from carillon_schema').get() as { n: number }).n
  }

  #run(queries: readonly Query[]): readonly Found[] {
    const [only] = queries
    if (queries.length === 1 && only && !only.mustChange) return [this.#one(only)]
    return this.#inTransaction(() =>
      queries.map((query) => {
        const result = this.#one(query)
        if (query.mustChange && result.changed === 0) throw new NothingChanged()
        return result
      }),
    )
  }

  #one({ sql, parameters }: Query): Found {
    const question = this.#question(sql)
    if (question) return { rows: (question.get(...parameters) as { rows: string }).rows, changed: 0 }
    return { rows: '[]', changed: Number(this.#statement(sql).run(...parameters).changes) }
  }

  /** A SELECT that answers with all its rows as one text, in their order; undefined of anything else. */
  #question(sql: string): StatementSyncInstance | undefined {
    const known = this.#questions.get(sql)
    if (known || !/^(select|with)\b/.test(sql)) return known
    const db = this.#opened()
    const columns = db
      .prepare(sql)
      .columns()
      .map(({ name }) => name)
    const row = columns.map((name) => `'${name}', "${name}"`).join(', ')
    const question = db.prepare(`select json_group_array(json_object(${row})) as rows from (${sql})`)
    if (this.#questions.size >= MOST_STATEMENTS) this.#questions.clear()
    this.#questions.set(sql, question)
    return question
  }

  #write(rows: readonly CallRow[]): void {
    this.#inTransaction(() => {
      const call = this.#statement(INSERT_CALL)
      const written: [endedAt: SqlValue, place: number][] = []
      for (const row of rows) {
        const inserted = call.get(...row.call) as { place: number } | undefined
        // of a call that was there already, a member may have been forgotten since
        if (!inserted) continue
        written.push([row.call[0]!, inserted.place])
        for (const member of row.members) this.#statement(INSERT_MEMBER).run(...member)
      }
      if (written.length > 0) this.#statement(LIST_CALLS).run(JSON.stringify(written))
    })
  }

  /** Immediate: whoever begins by reading may find later that another process has written. */
  #inTransaction<T>(work: () => T): T {
    this.#statement('begin immediate').run()
    try {
      const result = work()
      this.#statement('commit').run()
      return result
    } catch (error) {
      // a full disk has rolled it back already
      if (this.#db?.isTransaction) this.#statement('rollback').run()
      throw error
    }
  }

  #statement(sql: string): StatementSyncInstance {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.#opened().prepare(sql)
    if (this.#statements.size >= MOST_STATEMENTS) this.#statements.clear()
    this.#statements.set(sql, statement)
    return statement
  }

  #opened(): DatabaseSyncInstance {
    if (!this.#db) throw new Error('the SQLite file is not open')
    return this.#db
  }

  #close(): void {
    this.#statements = new Map()
    this.#questions = new Map()
    const db = this.#db
    this.#db = undefined
    db?.close()
  }
}

/** Who called whom is nobody else's business. SQLite gives the files beside it the same mode. */
function makeOurs(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch {
    // it is there, with the mode that somebody has chosen; or SQLite will say what is wrong
  }
}
