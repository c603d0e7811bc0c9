/** What users find in their list of calls, over HTTP and STOMP, from the whole server. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { TestClock } from '../support/clock.ts'
import { type Device, opens, type World } from '../support/story.ts'

const ADMIN_KEY = 'a key for operators that has 32 characters'
const MISSED = '/user/queue/call/missed'
const CALLS = ['/user/queue/call/request', '/user/queue/call/response', '/user/queue/call/hangup', '/user/queue/errors']

let world: World

beforeEach(async () => {
  world = await opens({ DATABASE_URL: 'sqlite::memory:', ADMIN_KEY }, new TestClock(Date.UTC(2026, 0, 1)))
})

afterEach(() => world.closes())

const arrives = (user: string, name = 'phone', listens = [...CALLS, MISSED]) => world.arrives(user, name, { listens })

interface Page {
  records: Record<string, unknown>[]
  next?: string
  total?: number
  unreadMissed: number
}

async function list(user: string, query = ''): Promise<Page> {
  const { status, body } = await world.asks(user, `/imserver/call/history${query}`, undefined, { method: 'GET' })
  expect({ status, code: body.code }).toEqual({ status: 200, code: 200 })
  return body.data as Page
}

const refusal = async (path: string) => {
  const { status, body } = await world.asks('bob', path, undefined, { method: 'GET' })
  return [status, body.msg]
}

/** Alice calls bob and gives up. */
async function calls(alice: Device, more: Record<string, unknown> = {}): Promise<string> {
  const callId = await alice.requests('bob', more)
  await alice.says('/app/call/hangup', { callId })
  await world.clock.advance(1000)
  return callId
}

async function operator(path: string, method = 'GET', key = ADMIN_KEY) {
  return fetch(world.url + path, { method, headers: { 'X-Admin-Key': key } })
}

describe('a call that is over', () => {
  test('is in the list of both at once, each as they have seen it', async () => {
    const [alice, bob] = [await arrives('alice'), await arrives('bob')]
    const callId = await alice.requests('bob', { callerUserName: 'Alice', calleeUserName: 'Bob', type: 'AUDIO' })
    await bob.accepts(callId)
    await world.clock.advance(61_500)
    await alice.says('/app/call/hangup', { callId })
    const common = {
      callId,
      type: 'AUDIO',
      status: 'COMPLETED',
      reason: 'HANGUP',
      seenAs: 'answered',
      createdAt: '2026-01-01T00:00:00.000Z',
      connectedAt: '2026-01-01T00:00:00.000Z',
      endedAt: '2026-01-01T00:01:01.500Z',
      duration: 61,
    }
    expect(await list('alice')).toEqual({
      records: [{ ...common, direction: 'outgoing', peer: { userId: 'bob', name: 'Bob' } }],
      unreadMissed: 0,
    })
    expect(await list('bob')).toEqual({
      records: [{ ...common, direction: 'incoming', peer: { userId: 'alice', name: 'Alice' } }],
      unreadMissed: 0,
    })
    expect((await list('carol')).records).toEqual([])
  })

  test('that met a busy callee, or a call the other way, leaves a row too', async () => {
    const [alice, bob, carol] = [await arrives('alice'), await arrives('bob'), await arrives('carol')]
    const first = await alice.requests('bob')
    const busy = await world.asks('carol', '/imserver/call/request', {
      callId: 'busy',
      callee: 'bob',
      callerUserName: 'Carol',
    })
    expect(busy.body.code).toBe(1001)
    const glare = await world.asks('bob', '/imserver/call/request', {
      callId: 'glare',
      callee: 'alice',
      callerUserName: 'Bob',
    })
    expect(glare.body).toMatchObject({ code: 1001, reason: 'GLARE', activeCallId: first })
    await bob.accepts(first)
    await carol.hearsNothing()
    expect((await list('carol')).records).toMatchObject([{ callId: 'busy', seenAs: 'busy', reason: 'BUSY' }])
    const { records, unreadMissed } = await list('bob')
    expect(records.map(({ callId, seenAs }) => [callId, seenAs]).sort()).toEqual([
      ['busy', 'missed'],
      ['glare', 'cancelled'],
    ])
    expect(unreadMissed).toBe(1)
    expect((await list('alice', '?only=missed')).records).toEqual([])
  })
})

describe('the list', () => {
  test('is turned over by a cursor and by number', async () => {
    const alice = await arrives('alice')
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.unshift(await calls(alice))
    const idsOf = ({ records }: Page) => records.map(({ callId }) => callId)
    const first = await list('bob', '?size=2')
    expect(idsOf(first)).toEqual(ids.slice(0, 2))
    expect(first.total).toBeUndefined()
    const second = await list('bob', `?size=2&cursor=${first.next}`)
    expect(idsOf(second)).toEqual(ids.slice(2, 4))
    const third = await list('bob', `?size=2&cursor=${second.next}`)
    expect(idsOf(third)).toEqual(ids.slice(4))
    expect(third.next).toBeUndefined()
    const numbered = await list('bob', '?size=2&page=3')
    expect(idsOf(numbered)).toEqual(ids.slice(4))
    expect(numbered.total).toBe(5)
  })

  test('is narrowed by what it was, by type and by time', async () => {
    const [alice, bob] = [await arrives('alice'), await arrives('bob')]
    const missed = await calls(alice, { type: 'AUDIO' })
    const made = await bob.requests('alice')
    await bob.says('/app/call/hangup', { callId: made })
    const only = async (query: string) => (await list('bob', query)).records.map(({ callId }) => callId)
    expect(await only('?only=missed')).toEqual([missed])
    expect(await only('?only=outgoing')).toEqual([made])
    expect(await only('?only=incoming')).toEqual([missed])
    expect(await only('?type=AUDIO')).toEqual([missed])
    expect(await only('?from=2026-01-01T00:00:01Z')).toEqual([made])
    expect(await only('?from=2026-01-01T08:00:01+08:00')).toEqual([made])
    expect(await only(`?before=${Date.UTC(2026, 0, 1, 0, 0, 1)}`)).toEqual([missed])
  })

  test('refuses what it does not understand, by name', async () => {
    const ask = (query: string) => refusal(`/imserver/call/history?${query}`)
    expect(await ask('size=101')).toEqual([400, 'size: must be a whole number from 1 to 100'])
    expect(await ask('size=0&page=0')).toEqual([
      400,
      'size: must be a whole number from 1 to 100; page: must be a whole number from 1 to 10000',
    ])
    expect(await ask('page=1000&size=100')).toEqual([
      400,
      'page: must not lead further than 10000 calls; go on with cursor',
    ])
    expect(await ask('only=everything')).toEqual([400, 'only: must be one of missed, incoming, outgoing'])
    expect(await ask('cursor=bm90IG9uZQ')).toEqual([400, 'cursor: must be `next` of an earlier answer'])
    expect(await ask('from=yesterday')).toEqual([
      400,
      'from: must be a time: ISO 8601 with its offset, or milliseconds since 1970',
    ])
    const { next } = { next: Buffer.from(JSON.stringify([1, 'c'])).toString('base64url') }
    expect(await ask(`cursor=${next}&page=2`)).toEqual([400, 'page: cannot stand beside cursor'])
  })
})

describe('missed calls', () => {
  test('are told to a device that was away, when it subscribes', async () => {
    const alice = await arrives('alice')
    const [first, second] = [await calls(alice, { callerUserName: 'Alice' }), await calls(alice)]
    const bob = await arrives('bob')
    const { body } = await bob.hears(MISSED)
    expect(body).toMatchObject({
      unread: 2,
      calls: [{ callId: second }, { callId: first, seenAs: 'missed', peer: { userId: 'alice', name: 'Alice' } }],
    })
  })

  test('are told when they happen, to every device that listens', async () => {
    const alice = await arrives('alice')
    const [phone, laptop] = [await arrives('bob'), await arrives('bob', 'laptop')]
    const callId = await calls(alice)
    for (const device of [phone, laptop]) {
      const { body } = await device.hears(MISSED)
      expect(body).toMatchObject({ unread: 1, calls: [{ callId, reason: 'CANCELLED' }] })
    }
  })

  test('that were seen on one device are told so to the others', async () => {
    const alice = await arrives('alice')
    const [phone, laptop] = [await arrives('bob'), await arrives('bob', 'laptop')]
    await calls(alice)
    for (const device of [phone, laptop]) await device.hears(MISSED, { unread: 1 })
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/request')
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/hangup')
    await phone.says('/app/call/history/read', '')
    expect((await laptop.hears(MISSED)).body).toEqual({ unread: 0, calls: [] })
    await phone.hearsNothing()
    expect((await list('bob')).unreadMissed).toBe(0)
    const late = await arrives('bob', 'tablet')
    await late.hearsNothing()
  })

  test('are marked over HTTP as well, up to a moment', async () => {
    const alice = await arrives('alice')
    await calls(alice)
    await calls(alice)
    const bob = await arrives('bob')
    await bob.hears(MISSED, { unread: 2 })
    const half = await world.asks('bob', '/imserver/call/history/read', { until: '2026-01-01T00:00:00.500Z' })
    expect(half.body).toEqual({ code: 200, msg: 'ok', data: { unreadMissed: 1 } })
    expect((await bob.hears(MISSED)).body).toEqual({ unread: 1, calls: [] })
    const all = await world.asks('bob', '/imserver/call/history/read')
    expect(all.body.data).toEqual({ unreadMissed: 0 })
  })
})

describe('an operator', () => {
  test('has a user forgotten, whose calls the others keep', async () => {
    const alice = await arrives('alice')
    await calls(alice, { callerUserName: 'Alice' })
    const erased = await operator('/imserver/admin/users/alice/history', 'DELETE')
    expect(await erased.json()).toEqual({ code: 200, msg: 'ok', data: { calls: 1 } })
    expect((await list('alice')).records).toEqual([])
    const [kept] = (await list('bob')).records
    expect(kept).toMatchObject({ seenAs: 'missed' })
    expect(JSON.stringify(kept)).not.toMatch(/alice/i)
  })

  test('takes everything along in JSON lines and CSV, where no cell is a formula', async () => {
    const alice = await arrives('alice')
    const callId = await calls(alice, { callerUserName: '=HYPERLINK("http://x")', calleeUserName: 'Bob, "B"' })
    const lines = await operator('/imserver/admin/history/export')
    expect(lines.headers.get('content-type')).toBe('application/x-ndjson')
    expect(JSON.parse((await lines.text()).trim())).toEqual({
      callId,
      type: 'VIDEO',
      caller: 'alice',
      callee: 'bob',
      callerName: '=HYPERLINK("http://x")',
      calleeName: 'Bob, "B"',
      status: 'CANCELLED',
      reason: 'CANCELLED',
      createdAt: '2026-01-01T00:00:00.000Z',
      endedAt: '2026-01-01T00:00:00.000Z',
      duration: 0,
    })
    const csv = await operator('/imserver/admin/history/export?format=csv&from=2026-01-01&before=2026-01-02')
    expect(csv.headers.get('content-disposition')).toBe('attachment; filename="calls.csv"')
    expect(await csv.text()).toBe(
      'callId,type,caller,callerName,callee,calleeName,status,reason,createdAt,ringingAt,connectedAt,endedAt,duration,transferredBy,members\r\n' +
        `${callId},VIDEO,alice,"'=HYPERLINK(""http://x"")",bob,"Bob, ""B""",CANCELLED,CANCELLED,2026-01-01T00:00:00.000Z,,,2026-01-01T00:00:00.000Z,0,,\r\n`,
    )
    const none = await operator('/imserver/admin/history/export?format=csv&before=2025-01-01')
    expect((await none.text()).split('\r\n')).toHaveLength(2)
  })

  test('reads one line of CSV for each call, whatever lines and formulas are in the names', async () => {
    const alice = await arrives('alice')
    for (const callerUserName of ['x\n=1+1', 'x\r=1+1', '\n=1', ' =1', '-1', 'plain'])
      await calls(alice, { callerUserName })
    const csv = await operator('/imserver/admin/history/export?format=csv')
    const cells = /^[^,]+,VIDEO,alice,("(?:[^"]|"")*"|[^"\r\n,]*),bob,/
    const rows = (await csv.text()).split('\r\n').slice(1, -1)
    expect(rows.map((row) => cells.exec(row)?.[1])).toEqual([
      '"x\n=1+1"',
      '"x\r=1+1"',
      '"\'\n=1"',
      "' =1",
      "'-1",
      'plain',
    ])
  })

  test('needs the key', async () => {
    for (const [path, method] of [
      ['/imserver/admin/users/alice/history', 'DELETE'],
      ['/imserver/admin/history/export', 'GET'],
    ] as const) {
      expect((await operator(path, method, 'wrong')).status).toBe(401)
    }
    expect((await operator('/imserver/admin/history/export?format=xml')).status).toBe(400)
    expect((await operator('/imserver/admin/history/export', 'POST')).status).toBe(404)
  })

  test('sees in the metrics and in /readyz how the history does', async () => {
    await calls(await arrives('alice'))
    const text = await (await fetch(`${world.url}/metrics`)).text()
    expect(text).toContain('carillon_history_written_total 1')
    expect(text).toContain('carillon_history_up 1')
    expect(text).toContain('carillon_history_spool_calls 0')
    expect(await (await fetch(`${world.url}/readyz`)).json()).toMatchObject({ status: 'ready', history: 'up' })
  })
})

test('a server without a history says so', async () => {
  const without = await opens({ ADMIN_KEY })
  const answer = await without.asks('bob', '/imserver/call/history', undefined, { method: 'GET' })
  expect(answer).toMatchObject({ status: 404, body: { msg: 'this server keeps no history (DATABASE_URL)' } })
  const bob = await without.arrives('bob', 'phone', { listens: [MISSED, '/user/queue/errors'] })
  await bob.says('/app/call/history/read', {})
  await bob.hears('/user/queue/errors', { code: 404 })
  await without.closes()
})
