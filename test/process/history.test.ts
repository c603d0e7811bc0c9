/** What becomes of the history when the process ends, in order or not, and when its database is not there. */

import { mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { freePort } from '../support/free-port.ts'
import { ServerProcess } from '../support/process.ts'
import { SECRET, tokenFor } from '../support/story.ts'

const running: ServerProcess[] = []
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'carillon-history-'))
})

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.ends()))
})

interface Running {
  readonly process: ServerProcess
  readonly url: string
}

async function starts(env: Record<string, string>): Promise<Running> {
  const process = new ServerProcess({ HOST: '127.0.0.1', AUTH_JWT_SECRET: SECRET, TURN_ENABLED: 'false', ...env })
  running.push(process)
  return { process, url: await process.url() }
}

const sqlite = () => ({ DATABASE_URL: `sqlite:${join(folder, 'calls.db')}` })

async function asks(url: string, user: string, path: string, body?: object) {
  const response = await fetch(url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ide: await tokenFor(user) },
    ...(body && { body: JSON.stringify(body) }),
  })
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  }
}

const requests = (url: string, callId: string) =>
  asks(url, 'alice', '/imserver/call/request', { callId, callee: 'bob', callerUserName: 'Alice' })

/** Alice calls bob so often, and gives up. */
async function calls(url: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, n) => `call ${n}`)
  for (const callId of ids) {
    await requests(url, callId)
    expect((await asks(url, 'alice', '/imserver/call/hangup', { callId })).status).toBe(200)
  }
  return ids
}

async function listed(url: string, user: string) {
  const { body } = await asks(url, user, '/imserver/call/history?size=100&page=1')
  const { records, total } = body.data as { records: Record<string, unknown>[]; total: number }
  expect(records).toHaveLength(total)
  return records
}

const idsOf = (records: readonly Record<string, unknown>[]) => records.map(({ callId }) => String(callId)).reverse()

test('a stop in order loses no call', async () => {
  const first = await starts(sqlite())
  const ids = await calls(first.url, 40)
  first.process.signal('SIGTERM')
  expect(await first.process.exited).toBe(0)
  const second = await starts(sqlite())
  expect(idsOf(await listed(second.url, 'bob')).sort()).toEqual(ids.sort())
})

test('a call that goes on without its server has ended as far as the history knows', async () => {
  const first = await starts(sqlite())
  await requests(first.url, 'answered')
  await asks(first.url, 'bob', '/imserver/call/response', { callId: 'answered', type: 'ACCEPT' })
  first.process.signal('SIGTERM')
  expect(await first.process.exited).toBe(0)
  const second = await starts(sqlite())
  expect(await listed(second.url, 'bob')).toMatchObject([
    { callId: 'answered', status: 'COMPLETED', reason: 'NODE_FAILURE', seenAs: 'answered' },
  ])
})

test('calls that wait for a database outlive a kill, and a stop, and are written by the next process', async () => {
  const away = { DATABASE_URL: `postgres://carillon:secret-word@127.0.0.1:${await freePort()}/x`, DATA_DIR: folder }
  const first = await starts(away)
  const ids = await calls(first.url, 20)
  const refused = await asks(first.url, 'bob', '/imserver/call/history')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
  const ready = await fetch(`${first.url}/readyz`)
  expect([ready.status, await ready.json()]).toMatchObject([200, { status: 'ready', history: 'down' }])
  await first.process.ends()
  const second = await starts(away)
  await requests(second.url, 'last')
  await asks(second.url, 'alice', '/imserver/call/hangup', { callId: 'last' })
  second.process.signal('SIGTERM')
  expect(await second.process.exited).toBe(0)
  expect(readdirSync(folder)).toHaveLength(1)
  const third = await starts(sqlite())
  expect(idsOf(await listed(third.url, 'bob')).sort()).toEqual([...ids, 'last'].sort())
  for (const { process } of [first, second]) expect(process.output).not.toContain('secret-word')
})

test('where no database can be, the server says so once and serves, and at its stop what is lost', async () => {
  const { process, url } = await starts({ DATABASE_URL: 'sqlite:/dev/null/data/carillon.db' })
  const answer = await requests(url, 'one')
  expect(answer.body.code).toBe(200)
  expect((await asks(url, 'alice', '/imserver/call/hangup', { callId: 'one' })).status).toBe(200)
  expect((await asks(url, 'bob', '/imserver/call/history')).status).toBe(503)
  process.signal('SIGTERM')
  expect(await process.exited).toBe(0)
  expect(process.output.match(/cannot be reached.*/g)).toHaveLength(1)
  expect(process.output).toContain('/dev/null/data')
  expect(process.output).toContain('"calls":1,"msg":"calls are lost for the history')
})
