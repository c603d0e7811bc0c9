/** PostgreSQL, by a small pool of connections that come back by themselves. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type pg from 'pg'
import type { PostgresUrl } from '../../../database-url.ts'
import { type Database, newerThanKnown, Overtaken, type Query, type Result, Unfit } from '../database.ts'
import { CALL_COLUMNS, MEMBER_COLUMNS, NUMBERS } from '../tables.ts'
import { errorFor } from './failures.ts'

/** One writes; the others read. */
const MOST_CONNECTIONS = 5

const CONNECT_MS = 3000
const PATIENCE_MS = 5000

/** Any number; of all locks with numbers in this database, ours. */
const MIGRATION_LOCK = 7_249_120_263

/** The type of times and counts, which are far below 2^53; pg makes texts of it. */
const BIGINT = 20

const unnested = (columns: readonly string[], first: number) =>
  `unnest(${columns.map((name, n) => `$${first + n}::${NUMBERS.has(name) ? 'bigint' : 'text'}[]`).join(', ')}) ` +
  `as t(${columns.join(', ')})`

const CALLS = CALL_COLUMNS.join(', ')
const MEMBERS = MEMBER_COLUMNS.join(', ')

const INSERT_CALLS = `insert into calls (${CALLS}) select ${CALLS} from ${unnested(CALL_COLUMNS, 1)} on conflict do nothing`

/** Of a call that was there already, a member may have been forgotten since: only members of new ones are written. */
const INSERT_CALLS_AND_MEMBERS =
  `with written as (${INSERT_CALLS} returning ended_at as new_ended_at, call_id as new_call_id) ` +
  `insert into call_members (${MEMBERS}) select ${MEMBERS} from ${unnested(MEMBER_COLUMNS, CALL_COLUMNS.length + 1)} ` +
  'join written on ended_at = new_ended_at and call_id = new_call_id on conflict do nothing'

/**
 * What a pooler says that gives each transaction to another connection, which does not know our statements, or knows
 * them already; and PostgreSQL, when somebody has changed a table under a statement.
 */
const CANNOT_PLAN_AHEAD: ReadonlySet<string | undefined> = new Set(['26000', '42P05', '0A000'])

/** `onLost`: a connection that nobody was using has broken; PostgreSQL is ending, or the way to it is cut. */
export function postgresDatabase(url: PostgresUrl, onLost: (reason: string) => void): Database {
  const name = `PostgreSQL at ${url.host}:${url.port}/${url.database}`
  const settings: pg.ClientConfig = {
    host: url.host,
    port: url.port,
    database: url.database,
    ...(url.user !== undefined && { user: url.user }),
    ...(url.password !== undefined && { password: url.password }),
    application_name: 'carillon',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
  }
  let pool: pg.Pool | undefined
  let closed = false
  let plansAhead = url.plansAhead
  const statements = new Map<string, Statement>()

  /** A statement that comes again and again is planned once by each connection, where that is possible. */
  async function ask(client: pg.ClientBase, query: Query): Promise<Result> {
    const { sql: text, parameters, recurring } = query
    const values = [...parameters]
    if (!recurring || !plansAhead) return resultOf(await client.query<object>(text, values))
    const statement = statements.get(text) ?? statementOf(text)
    statements.set(text, statement)
    try {
      const result = resultOf(await client.query<object>({ ...statement, values }))
      if (!statement.asText) return result
      const [{ rows }] = result.rows as readonly [{ rows: string }]
      return { rows: JSON.parse(rows) as unknown[], changed: 0 }
    } catch (error) {
      if (!CANNOT_PLAN_AHEAD.has((error as { code?: string }).code)) throw error
      // nothing has been done
      plansAhead = false
      return ask(client, query)
    }
  }

  async function connected(): Promise<pg.Pool> {
    const { Pool, types } = await library()
    if (pool) return pool
    if (closed) throw new Error('it has been closed')
    pool = new Pool({
      ...settings,
      types: { getTypeParser: (id, format) => (id === BIGINT ? Number : types.getTypeParser(id, format)) },
      ssl: sslOf(url),
      max: MOST_CONNECTIONS,
      // of this side alone: a limit that the server is told when connecting is refused by PgBouncer
      query_timeout: PATIENCE_MS,
      allowExitOnIdle: true,
    })
    // of one in use, what was asked is rejected as well; without a listener the process would end
    pool.on('connect', (client) => void client.on('error', () => undefined))
    pool.on('error', (error) => onLost(errorFor(name, error).message))
    return pool
  }

  /** Calls `work` with a connection of the pool; one that has failed is not used again. */
  async function withClient<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    try {
      const client = await (await connected()).connect()
      try {
        const result = await work(client)
        client.release()
        return result
      } catch (error) {
        client.release(!(error instanceof Overtaken) && errorFor(name, error).name === 'Unavailable')
        throw error
      }
    } catch (error) {
      throw errorFor(name, error)
    }
  }

  return {
    name,
    dialect: 'postgres',

    async open(migrations) {
      try {
        const { Client } = await library()
        const client = new Client({ ...settings, ssl: sslOf(url) })
        client.on('error', () => undefined) // what was asked is rejected with it
        try {
          await client.connect()
          await migrate(client, name, migrations)
        } finally {
          await client.end().catch(() => undefined)
        }
      } catch (error) {
        throw errorFor(name, error)
      }
    },

    run(queries) {
      return withClient(async (client) => {
        const [only] = queries
        if (queries.length === 1 && only && !only.mustChange) return [await ask(client, only)]
        return inTransaction(client, async () => {
          const results: Result[] = []
          for (const query of queries) {
            // in a transaction a failure cannot be mended by asking again
            const result = await ask(client, { ...query, recurring: false })
            if (query.mustChange && result.changed === 0) throw new Overtaken(`${name}: somebody else was first`)
            results.push(result)
          }
          return results
        })
      })
    },

    async write(rows) {
      const calls = rows.map(({ call }) => call)
      const members = rows.flatMap((row) => row.members)
      const values = columnsOf(calls, CALL_COLUMNS.length)
      if (members.length > 0) values.push(...columnsOf(members, MEMBER_COLUMNS.length))
      const text = members.length > 0 ? INSERT_CALLS_AND_MEMBERS : INSERT_CALLS
      await withClient((client) => ask(client, { sql: text, parameters: values, recurring: true }))
    },

    async close() {
      closed = true
      await pool?.end()
    },
  }
}

/** Loaded where it is used, and not before. */
const library = async () => (await import('pg')).default

const resultOf = ({ rows, rowCount }: pg.QueryResult<object>): Result => ({ rows, changed: rowCount ?? 0 })

interface Statement {
  readonly name: string
  readonly text: string
  /** It answers with all rows as one text of JSON, which is a fifth less work here than twenty rows of fifteen values. */
  readonly asText: boolean
}

/** The name of one text is the same in every process, and never that of another. */
function statementOf(query: string): Statement {
  const asText = query.startsWith('select ')
  const text = asText ? `select coalesce(json_agg(t), '[]')::text as rows from (${query}) as t` : query
  return { name: `carillon_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`, text, asText }
}

async function inTransaction<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** Only one process at a time gets past the lock: the others wait for its transaction, and find the work done. */
async function migrate(client: pg.Client, name: string, migrations: readonly (readonly string[])[]): Promise<void> {
  if ((await versionOf(client)) === migrations.length) return
  await inTransaction(client, async () => {
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    const version = await versionOf(client)
    if (version > migrations.length) throw new Unfit(newerThanKnown(name, version, migrations.length))
    if (version === 0) await client.query('create table if not exists carillon_schema (version integer primary key)')
    for (const [done, statements] of migrations.entries()) {
      if (done < version) continue
      for (const statement of statements) await client.query(statement)
      await client.query('insert into carillon_schema (version) values ($1)', [done + 1])
    }
  })
}

/**
 * Asked without a right to create anything: who only reads and writes needs none. The catalogue is read as a table:
 * `to_regclass` may still say what was true before the lock was waited for.
 */
async function versionOf(client: pg.Client): Promise<number> {
  const { rows: there } = await client.query(
    'select exists (select from pg_tables where schemaname = any (current_schemas(false)) ' +
      "and tablename = 'carillon_schema') as there",
  )
  if (!(there[0] as { there: boolean }).there) return 0
  const { rows } = await client.query('select coalesce(max(version), 0) as version from carillon_schema')
  return (rows[0] as { version: number }).version
}

/** Rows as one list per column, as `unnest` takes them. */
function columnsOf<T>(rows: readonly (readonly T[])[], columns: number): T[][] {
  return Array.from({ length: columns }, (_, column) => rows.map((row) => row[column]!))
}

/** As libpq has it: `require` encrypts, and believes whoever answers. */
function sslOf({ ssl, rootCertificate }: PostgresUrl): pg.ClientConfig['ssl'] {
  if (ssl === 'disable') return false
  const ca = rootCertificate === undefined ? {} : { ca: readFileSync(rootCertificate, 'utf8') }
  switch (ssl) {
    case 'require':
      return { ...ca, rejectUnauthorized: rootCertificate !== undefined, checkServerIdentity: () => undefined }
    case 'verify-ca':
      return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined }
    case 'verify-full':
      return { ...ca, rejectUnauthorized: true }
  }
}
