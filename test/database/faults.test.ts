import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { HistoryStore } from '../../src/history/ports.ts'
import { historyFaultsContract } from '../contracts/history-faults.ts'
import { AT, record, room } from '../support/call-records.ts'
import { startPooler } from '../support/pooler.ts'
import { POSTGRES_PASSWORD, type Postgres, startPostgres } from '../support/postgres.ts'
import { ServerProcess } from '../support/process.ts'
import { historyAt } from '../support/sql-history.ts'
import { Device, SECRET, tokenFor } from '../support/story.ts'

let postgres: Postgres

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(() => postgres.stop())

historyFaultsContract('PostgreSQL', () => postgres.newDatabase())

describe('PostgreSQL that is away', () => {
  test('is killed while calls are written: it comes back by itself, and has every call that was acknowledged, once', async () => {
    const { history, becomes, lines } = historyAt(postgres.newDatabase())
    await history.ready
    const acknowledged: string[] = []
    const write = async (n: number) => {
      const batch = Array.from({ length: 20 }, (_, each) => record(`c${n}-${each}`, n * 20 + each))
      // what is refused is written again, though it may be there
      for (;;) {
        try {
          await history.write(batch)
          break
        } catch (error) {
          expect(error).toMatchObject({ name: 'Unavailable' })
          await becomes('up')
        }
      }
      acknowledged.push(...batch.map(({ callId }) => callId))
    }
    for (let n = 0; n < 20; n++) await write(n)
    const writing = (async () => {
      for (let n = 20; n < 60; n++) await write(n)
    })()
    await postgres.kill()
    await becomes('down')
    await expect(history.page('alice', {}, { size: 1 })).rejects.toMatchObject({ name: 'Unavailable' })
    await postgres.restart()
    await writing
    expect(await history.count('alice', {})).toBe(1200)
    expect(acknowledged).toHaveLength(1200)
    expect(lines.join()).toMatch(/call history is away.*call history is up/)
    expect(lines.join()).not.toContain(POSTGRES_PASSWORD)
    await history.stop()
  })

  test('is told of before anybody asks, when it ends in good order', async () => {
    const { history, becomes } = historyAt(postgres.newDatabase())
    await history.count('alice', {})
    await postgres.kill()
    await becomes('down')
    await postgres.restart()
    await becomes('up')
    expect(await history.count('alice', {})).toBe(0)
    await history.stop()
  })

  test('is not there at the beginning: its tables are made when it is', async () => {
    const url = postgres.newDatabase()
    await postgres.kill()
    const { history, becomes, lines } = historyAt(url)
    await history.ready
    expect(history.state).toBe('down')
    await expect(history.write([record('c', 1)])).rejects.toMatchObject({
      name: 'Unavailable',
      message: expect.stringMatching(
        /^PostgreSQL at 127\.0\.0\.1:\d+\/calls\d+: .*ECONNREFUSED.*nothing listens there$/,
      ),
    })
    await postgres.restart()
    await becomes('up')
    await history.write([record('c', 1)])
    expect(lines.join()).not.toContain(POSTGRES_PASSWORD)
    await history.stop()
  })

  test('hangs: nobody waits for longer than a few seconds, and it goes on when it does', async () => {
    const { history, becomes } = historyAt(postgres.newDatabase())
    await history.write([record('c', 1)])
    postgres.pause()
    try {
      await expect(history.write([record('d', 2)])).rejects.toMatchObject({ name: 'Unavailable' })
      await expect(history.count('alice', {})).rejects.toMatchObject({ name: 'Unavailable' })
    } finally {
      postgres.resume()
    }
    await becomes('up')
    await history.write([record('d', 2)])
    expect(await history.count('alice', {})).toBe(2)
    await history.stop()
  })
})

describe('PostgreSQL that says no', () => {
  test.each([
    [(url: string) => url.replace(/calls\d+$/, 'nothing'), /"nothing" does not exist.*createdb/],
    [(url: string) => url.replace('127.0.0.1', 'no-such-host.invalid'), /its name is not known/],
    [(url: string) => `${url}?sslmode=require`, /SSL/],
    [(url: string) => `${url}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem`, /ENOENT.*\/nowhere\/ca\.pem/],
  ])('tells what is wrong, without the password (%#)', async (change, message) => {
    const { history } = historyAt(change(postgres.newDatabase()))
    await history.ready
    const error = await history.find('c').catch((found: Error) => found)
    expect(error).toMatchObject({ name: 'Unavailable', message: expect.stringMatching(message) })
    expect((error as Error).message).not.toContain(POSTGRES_PASSWORD)
    await history.stop()
  })

  test('to one record does not keep the others waiting', async () => {
    const { history, refused } = historyAt(postgres.newDatabase())
    const long = record('long', 1, { caller: Array.from({ length: 9000 }, () => Math.random().toString(36)).join('') })
    await history.write([record('a', 2), record('b', 3), long, record('c', 4)])
    expect(refused.map(({ callId }) => callId)).toEqual(['long'])
    expect(await history.count('alice', {})).toBe(3)
    expect(history.state).toBe('up')
    await history.stop()
  })

  test('to tables of a newer version, with what to do', async () => {
    const url = postgres.newDatabase()
    const first = historyAt(url)
    await first.history.ready
    await first.history.stop()
    postgres.sql(url.split('/').at(-1)!, 'insert into carillon_schema values (1000)')
    const { history } = historyAt(url)
    await expect(history.ready).rejects.toMatchObject({
      name: 'Unfit',
      message: expect.stringMatching(/newer Carillon \(version 1000; this one knows \d+\): run that version/),
    })
    await history.stop()
  })

  test('to whoever may not create tables is no harm once they are there', async () => {
    const url = postgres.newDatabase()
    const first = historyAt(url)
    await first.history.ready
    await first.history.stop()
    const database = url.split('/').at(-1)!
    postgres.sql(
      database,
      `create role ${database} login; grant select, insert, update, delete on all tables in schema public to ${database}`,
    )
    const { history } = historyAt(url.replace(/\/\/phone:[^@]*@/, `//${database}@`))
    await history.write([record('c', 1)])
    expect(await history.count('alice', {})).toBe(1)
    await history.stop()
  })
})

describe('statements that are planned once', () => {
  const asked = async (history: HistoryStore) => [
    (await history.page('alice', {}, { size: 20 })).map(({ callId }) => callId),
    await history.count('alice', { only: 'outgoing' }),
    (await history.find('c1'))?.callId,
  ]

  test('are given up behind a pooler that hands each transaction to another connection, and nobody notices', async () => {
    const pooler = await startPooler(postgres.port)
    const { history, lines } = historyAt(postgres.newDatabase().replace(/:\d+\//, `:${pooler.port}/`))
    await history.write([record('c1', 1)])
    await history.write([record('c2', 2)])
    for (let n = 0; n < 4; n++) expect(await asked(history)).toEqual([['c2', 'c1'], 2, 'c1'])
    expect(lines.join()).not.toContain('away')
    expect(history.state).toBe('up')
    await history.stop()
    await pooler.stop()
  })

  test('go on when somebody changes a table under them', async () => {
    const url = postgres.newDatabase()
    const { history, lines } = historyAt(url)
    await history.write([record('c1', 1)])
    for (let n = 0; n < 7; n++) expect(await asked(history)).toEqual([['c1'], 1, 'c1'])
    postgres.sql(url.split('/').at(-1)!, 'alter table calls alter column callee_name type varchar(500)')
    expect(await asked(history)).toEqual([['c1'], 1, 'c1'])
    expect(lines.join()).not.toContain('away')
    await history.stop()
  })
})

test('two processes that forget different members of the same rooms do not undo each other', async () => {
  const url = postgres.newDatabase()
  const [one, other] = [historyAt(url).history, historyAt(url).history]
  const members = ['carol', 'dave', 'erin'].map((user) => ({ user, state: 'LEFT', leftAt: AT }) as const)
  await one.write(Array.from({ length: 100 }, (_, n) => room(`r${n}`, n, ...members)))
  await Promise.all([one.erase('carol'), other.erase('dave'), other.erase('alice'), one.erase('bob')])
  for await (const portion of one.all({})) expect(JSON.stringify(portion)).not.toMatch(/carol|dave|alice|bob/)
  expect(await one.count('erin', {})).toBe(100)
  await Promise.all([one.stop(), other.stop()])
})

describe('a server that keeps its calls there', () => {
  const running: ServerProcess[] = []
  const devices: Device[] = []
  afterAll(async () => {
    await Promise.all(devices.map((device) => device.vanishes()))
    await Promise.all(running.map((server) => server.ends()))
  })

  async function starts(database: string): Promise<{ server: ServerProcess; url: string }> {
    const auth = { AUTH_JWT_SECRET: SECRET, TURN_ENABLED: 'false' }
    const server = new ServerProcess({ HOST: '127.0.0.1', ...auth, DATABASE_URL: database })
    running.push(server)
    return { server, url: await server.url() }
  }

  async function arrives(url: string, user: string): Promise<Device> {
    const listens = ['request', 'response', 'ringing', 'hangup'].map((name) => `/user/queue/call/${name}`)
    const device = new Device(url, user, 'phone', await tokenFor(user), { listens })
    devices.push(device)
    await device.connects()
    return device
  }

  /** Over STOMP, as phones do it: answered, and ended by who has called. */
  async function talks(url: string): Promise<string> {
    const [alice, bob] = [await arrives(url, 'alice'), await arrives(url, 'bob')]
    const callId = await alice.requests('bob')
    await bob.hears('/user/queue/call/request', { callId })
    await bob.accepts(callId)
    await alice.hangsUp(callId)
    await bob.hears('/user/queue/call/hangup', { callId })
    return callId
  }

  async function listed(url: string): Promise<unknown[]> {
    const response = await fetch(`${url}/imserver/call/history`, { headers: { ide: await tokenFor('bob') } })
    const { data } = (await response.json()) as { data: { records: unknown[] } }
    return data.records
  }

  test('has each of them once, after a kill and after a stop', async () => {
    const url = postgres.newDatabase()
    const first = await starts(url)
    const killed = await talks(first.url)
    const shown = await listed(first.url)
    expect(shown).toMatchObject([{ callId: killed, seenAs: 'answered', reason: 'HANGUP' }])
    await first.server.ends()

    const second = await starts(url)
    expect(await listed(second.url)).toEqual(shown)
    const stopped = await talks(second.url)
    second.server.signal('SIGTERM')
    expect(await second.server.exited).toBe(0)
    const rows = postgres.sql(new URL(url).pathname.slice(1), 'select call_id, status from calls order by ended_at')
    expect(rows.split('\n')).toEqual([`${killed}|COMPLETED`, `${stopped}|COMPLETED`])
    for (const { output } of running) expect(output).not.toContain(encodeURIComponent(POSTGRES_PASSWORD))
  })
})
