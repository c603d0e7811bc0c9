/**
 * The call history in a database of a million calls of 10,000 users, in SQLite and in PostgreSQL: what it costs to write
 * 1,000 calls per second, in batches as they come in 50 ms, and how long pages take. Beside it, plain INSERTs one by one.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DatabaseSync } from '@photostructure/sqlite'
import pg from 'pg'
import { keyOf, LIST_AGAIN, LIST_CALLS, NEXT_KEY } from '../../src/adapters/sql/sqlite/lists.ts'
import { type Postgres, postgresFolder, startPostgres } from '../../test/support/postgres.ts'
import { cores, costOf, type Meter, meterOf, pinProcess } from '../support/cpu.ts'
import type { Row, Scenario } from '../support/scenario.ts'
import { percentile } from '../support/stats.ts'
import { below, timed } from '../support/target.ts'

const CALLS = 1_000_000
const USERS = 10_000
const PER_SECOND = 1000
const EVERY_MS = 50
/** Calls that are written together. */
const BATCH = (PER_SECOND * EVERY_MS) / 1000
const WARMING_S = 5
const WRITING_S = 5
const PLAIN_CALLS = 1000
const PAGES = 1000

/** When the first call ended; one ends each second. */
const FIRST_END = 1_700_000_000_000

/** Has 100,000 calls, three of them missed. */
const BUSY = 'user-0'

const LISTS = [
  { what: 'the latest', filter: {} },
  { what: 'behind a cursor', filter: {}, behind: true },
  { what: 'missed', filter: { only: 'missed' } },
  { what: 'outgoing, video', filter: { only: 'outgoing', type: 'VIDEO' } },
  { what: 'incoming, of three days', filter: { only: 'incoming', from: 1.7e12, before: 1.7e12 + 3 * 86_400_000 } },
  { what: 'the latest of one with 100,000', filter: {}, user: BUSY },
  { what: 'three missed of 100,000', filter: { only: 'missed' }, user: BUSY },
] as const

export const history: Scenario = {
  name: 'history',
  title: () =>
    `${PER_SECOND.toLocaleString('en')} calls per second into ${CALLS.toLocaleString('en')} calls of ${USERS.toLocaleString('en')} users; pages of 20`,
  async run({ progress, seconds }) {
    const folder = mkdtempSync(join(tmpdir(), 'carillon-bench-'))
    const found: Measured[] = []
    try {
      found.push(await measure(sqlite(join(folder, 'calls.db')), seconds, progress))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    if (postgresFolder() === undefined) progress('PostgreSQL is not measured: apt-get install postgresql')
    else {
      const postgres = await startPostgres({ durable: true })
      try {
        found.push(await measure(postgresSite(postgres), seconds, progress))
      } finally {
        await postgres.stop()
      }
    }
    return {
      rows: found.flatMap(({ rows }) => rows),
      merits: [],
      targets: found.flatMap(({ busy, slowest }) => [
        timed((row) => below((PER_SECOND * 50) / 10_000, row), busy),
        timed((row) => below(2, row), slowest),
      ]),
    }
  },
}

interface Measured {
  readonly rows: readonly Row[]
  readonly busy: Row
  readonly slowest: Row
}

/** A database, as far as it must be known here. */
interface Site {
  readonly name: string
  readonly url: string
  /** Puts a million calls into tables that are there. */
  fill(): Promise<void> | void
  /** Writes so many by a plain INSERT each; the CPU of this process in microseconds. */
  plain(count: number): Promise<number>
}

async function measure(site: Site, seconds: number, progress: (text: string) => void): Promise<Measured> {
  const { name } = site
  progress(`${name}: a million calls`)
  await (await startReader(site.url)).stop()
  await site.fill()
  const reader = await startReader(site.url)
  progress(`${name}: pages`)
  const lists: Row[] = []
  let slowest = 0
  // some five seconds in which V8 compiles what it runs, as in every scenario
  for (const { what: _, ...list } of LISTS) await reader.ask('pages', { count: PAGES, ...list })
  for (const { what, ...list } of LISTS) {
    const took = await reader.ask<number[]>('pages', { count: PAGES, ...list })
    for (const [of, share] of [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const) {
      lists.push(rowOf(`${name}: page of 20, ${what}, ${of}`, 'ms', percentile(took, share)))
    }
    slowest = Math.max(slowest, percentile(took, 0.99))
  }
  progress(`${name}: ${PER_SECOND} calls per second`)
  const count = PER_SECOND * WRITING_S * seconds
  await reader.ask('prepare', { count: PER_SECOND * WARMING_S, size: BATCH })
  await reader.ask('write', { everyMs: EVERY_MS })
  await reader.ask('prepare', { count, size: BATCH })
  const { cpuMicros, took, elapsed } = await costOf(reader.meter, () =>
    reader.ask<{ took: number[]; elapsed: number }>('write', { everyMs: EVERY_MS }),
  )
  await reader.stop()
  const plainMicros = await site.plain(PLAIN_CALLS)
  const busy = rowOf(`${name}: CPU at 1,000 calls/s`, '% of a core', cpuMicros / elapsed / 1e4)
  return {
    rows: [
      {
        what: `${name}: CPU per call written`,
        unit: 'µs',
        found: { carillon: [cpuMicros / count], plain: [plainMicros / PLAIN_CALLS] },
      },
      busy,
      rowOf(`${name}: until a batch is durable, p50`, 'ms', percentile(took, 0.5)),
      rowOf(`${name}: until a batch is durable, p99`, 'ms', percentile(took, 0.99)),
      ...lists,
    ],
    busy,
    slowest: rowOf(`${name}: p99 of the slowest kind of page`, 'ms', slowest),
  }
}

const rowOf = (what: string, unit: string, value: number): Row => ({ what, unit, found: { carillon: [value] } })

/** The measured process: a history as a server has it. */
interface Reader {
  readonly meter: Meter
  ask<A>(work: string, more?: object): Promise<A>
  stop(): Promise<void>
}

async function startReader(url: string): Promise<Reader> {
  const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const child: ChildProcess = fork(file('../peers/history.mjs'), [JSON.stringify({ url, users: USERS })], {
    execArgv: ['--import', file('../support/meter.mjs')],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  if (cores && child.pid !== undefined) pinProcess(child.pid, cores.server)
  await new Promise<void>((resolve, reject) => {
    child.on('message', ({ listening }: { listening?: boolean }) => listening && resolve())
    child.once('exit', () => reject(new Error('the measured process has ended')))
  })
  let questions = 0
  function ask<A>(work: string, more: object = {}): Promise<A> {
    const question = `history-${questions++}`
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error('the measured process has ended'))
      const answered = (message: { question?: string; answer: A }) => {
        if (message.question !== question) return
        child.off('message', answered)
        child.off('exit', ended)
        resolve(message.answer)
      }
      child.on('message', answered)
      child.once('exit', ended)
      child.send({ work, question, ...more })
    })
  }
  await ask('ready')
  return {
    meter: meterOf(child),
    ask,
    async stop() {
      const ended = once(child, 'exit')
      child.send({ work: 'stop' })
      await ended
    },
  }
}

/** Of call `i`: every tenth is made by the busy one, every twentieth goes to them; the others are anybody's. */
const fillOf = (random: string, series: string, key?: { column: string; value: string }) => `
  insert into calls (${key ? `${key.column}, ` : ''}ended_at, call_id, type, caller, callee, missed, status, reason,
    created_at, ringing_at, connected_at, caller_name, callee_name)
  select ${key ? `${key.value}, ` : ''}${FIRST_END} + i * 1000, 'call-' || i || '-' || (${random} % 100000000),
    case when i % 3 = 0 then 'AUDIO' else 'VIDEO' end, caller, callee, missed,
    case when missed = 1 then 'MISSED' else 'COMPLETED' end, case when missed = 1 then 'NO_ANSWER' else 'HANGUP' end,
    ${FIRST_END} + i * 1000 - 60000, ${FIRST_END} + i * 1000 - 59000,
    case when missed = 1 then null else ${FIRST_END} + i * 1000 - 50000 end, 'Alice Example', 'Bob Example'
  from (
    select i,
      case when i % 20 = 0 then '${BUSY}' else 'user-' || (1 + (${random} % ${USERS - 1})) end as caller,
      case when i % 20 = 10 then '${BUSY}' else 'user-' || (1 + (${random} % ${USERS - 1})) end as callee,
      case when i % 20 = 10 then case when i in (10, 500010, 900010) then 1 else 0 end
        else case when i % 20 < 3 then 1 else 0 end end as missed
    from (${series}) as numbers
  ) as numbered`

const PLAIN = `insert into calls (ended_at, call_id, type, caller, callee, missed, status, reason, created_at)
  values ($1, $2, 'VIDEO', $3, $4, 0, 'COMPLETED', 'HANGUP', $1)`

const PLAIN_SQLITE = PLAIN.replaceAll(/\$(\d)/g, '?$1')
  .replace('created_at)', 'created_at, key)')
  .replace(/\)$/, `, ${NEXT_KEY})`)

const somebody = () => `user-${1 + Math.floor(Math.random() * (USERS - 1))}`

/** User and system time of this process meanwhile, in microseconds. */
async function ownCost(work: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

function sqlite(file: string): Site {
  return {
    name: 'SQLite',
    url: `sqlite:${file}`,
    fill() {
      const db = new DatabaseSync(file)
      db.exec('pragma synchronous = off; pragma cache_size = -100000')
      db.exec(
        fillOf(
          'abs(random())',
          `with recursive n(i) as (select 0 union all select i + 1 from n where i < ${CALLS - 1}) select i from n`,
          { column: 'key', value: keyOf(`(${FIRST_END} + i * 1000)`) },
        ),
      )
      // in batches as they come, so that the index has the parts that it has then
      const list = db.prepare(LIST_CALLS)
      for (let at = 0; at < CALLS; at += BATCH) {
        list.run(JSON.stringify(Array.from({ length: BATCH }, (_, n) => [FIRST_END + (at + n) * 1000, 0])))
      }
      db.close()
    },
    plain(count) {
      const db = new DatabaseSync(file)
      db.exec('pragma synchronous = full')
      const insert = db.prepare(PLAIN_SQLITE)
      const list = db.prepare(LIST_AGAIN)
      const cost = ownCost(() => {
        for (let n = 0; n < count; n++) {
          const [endedAt, callId] = [Date.now(), crypto.randomUUID()]
          db.exec('begin immediate')
          insert.run(endedAt, callId, somebody(), somebody())
          list.run(endedAt, callId)
          db.exec('commit')
        }
      })
      db.close()
      return cost
    },
  }
}

function postgresSite(postgres: Postgres): Site {
  const url = postgres.newDatabase()
  const database = url.split('/').at(-1)!
  const sql = (text: string) => postgres.sql(database, text)
  return {
    name: 'PostgreSQL',
    url,
    fill() {
      const indexes = sql(
        "select indexdef from pg_indexes where tablename = 'calls' and indexname <> 'calls_key'",
      ).split('\n')
      for (const index of indexes) sql(`drop index ${/^CREATE INDEX (\S+)/.exec(index)?.[1]}`)
      sql(fillOf('floor(random() * 2000000000)::bigint', `select i from generate_series(0, ${CALLS - 1}) as i`))
      for (const index of indexes) sql(index)
      sql('vacuum analyze calls')
      sql('checkpoint')
    },
    async plain(count) {
      const client = new pg.Client(url)
      await client.connect()
      const cost = await ownCost(async () => {
        for (let n = 0; n < count; n++) {
          await client.query({
            name: 'plain',
            text: PLAIN,
            values: [Date.now(), crypto.randomUUID(), somebody(), somebody()],
          })
        }
      })
      await client.end()
      return cost
    },
  }
}
