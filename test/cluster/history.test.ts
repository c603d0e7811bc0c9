/** One history of several processes. */

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RedisSpool } from '../../src/adapters/redis/spool.ts'
import { missedCall } from '../support/history.ts'
import { startRedis } from '../support/redis.ts'
import { type LinkAtHand, linkTo } from '../support/redis-link.ts'
import { ADMIN_KEY, type Server, serverOn } from '../support/several.ts'

const MISSED = '/user/queue/call/missed'
const LISTENS = ['/user/queue/call/request', '/user/queue/call/hangup', MISSED]

let redis: Awaited<ReturnType<typeof startRedis>>

beforeEach(async () => {
  redis = await startRedis()
})

afterEach(() => redis.stop())

describe('two servers with one database', () => {
  let env: Record<string, string>
  const servers: Server[] = []

  beforeEach(() => {
    env = { DATABASE_URL: `sqlite:${join(mkdtempSync(join(tmpdir(), 'carillon-')), 'calls.db')}` }
  })

  afterEach(async () => {
    for (const server of servers) await server.leaves()
    for (const server of servers) await server.stops()
    expect(servers.splice(0).flatMap(({ errors }) => errors)).toEqual([])
  })

  async function starts(more: Record<string, string> = {}): Promise<Server> {
    const server = await serverOn(redis.url, { ...env, ...more })
    servers.push(server)
    return server
  }

  const listOf = async (server: Server, user: string) => {
    const { body } = await server.asks(user, '/imserver/call/history?page=1', undefined, { method: 'GET' })
    return body.data as { records: { callId: string }[]; total: number; unreadMissed: number }
  }

  test('a call over both of them is one row, which both show at once', async () => {
    const [one, two] = [await starts(), await starts()]
    const [alice, bob] = [await one.arrives('alice'), await two.arrives('bob')]
    const callId = await alice.requests('bob')
    await bob.hears('/user/queue/call/request', { callId })
    await bob.accepts(callId)
    await alice.hears('/user/queue/call/response', { callId })
    await bob.says('/app/call/hangup', { callId })
    for (const [server, user] of [
      [two, 'bob'],
      [two, 'alice'],
      [one, 'alice'],
    ] as const) {
      expect(await listOf(server, user)).toMatchObject({ total: 1, records: [{ callId, seenAs: 'answered' }] })
    }
  })

  test('a missed call, and that it was seen, is told to devices of both', async () => {
    const [one, two] = [await starts(), await starts()]
    const phone = await one.arrives('bob', 'phone', { listens: LISTENS })
    const laptop = await two.arrives('bob', 'laptop', { listens: LISTENS })
    const alice = await one.arrives('alice')
    const callId = await alice.requests('bob')
    await alice.says('/app/call/hangup', { callId })
    for (const device of [phone, laptop]) await device.hears(MISSED, { unread: 1 })
    await laptop.says('/app/call/history/read', {})
    expect((await phone.hears(MISSED)).body).toEqual({ unread: 0, calls: [] })
  })

  test('what one of them cannot write is written by the other, by way of Redis', async () => {
    const one = await starts({ DATABASE_URL: 'sqlite:/dev/null/calls.db' })
    const alice = await one.arrives('alice')
    const callId = await alice.requests('bob')
    await alice.says('/app/call/hangup', { callId })
    const { status } = await one.asks('bob', '/imserver/call/history', undefined, { method: 'GET' })
    expect(status).toBe(503)
    one.errors.splice(0)
    const two = await starts()
    const bob = await two.arrives('bob', 'phone', { listens: [MISSED] })
    await bob.hears(MISSED, { unread: 1 })
    expect(await listOf(two, 'bob')).toMatchObject({ total: 1, unreadMissed: 1 })
  })

  test('a user is forgotten by an operator who asks either', async () => {
    const [one, two] = [await starts(), await starts()]
    const alice = await one.arrives('alice')
    const callId = await alice.requests('bob')
    await alice.says('/app/call/hangup', { callId })
    expect((await listOf(one, 'bob')).total).toBe(1)
    const answer = await fetch(`${two.url}/imserver/admin/users/bob/history`, {
      method: 'DELETE',
      headers: { 'X-Admin-Key': ADMIN_KEY },
    })
    expect(await answer.json()).toMatchObject({ data: { calls: 1 } })
    expect((await listOf(one, 'bob')).total).toBe(0)
  })
})

describe('the spool in Redis', () => {
  let at: LinkAtHand
  let spools: RedisSpool[]

  beforeEach(async () => {
    at = linkTo(redis.url)
    await at.up()
    spools = ['one', 'two'].map((self) => new RedisSpool({ link: at.link, self, mostBytes: 10_000 }))
  })

  afterEach(() => at.link.stop())

  const calls = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => missedCall(`${from + n}`, n))

  test('gives records back in their order, to one process at a time', async () => {
    const [one, two] = spools as [RedisSpool, RedisSpool]
    expect(await one.put(calls(0, 3))).toBe(true)
    expect(await two.put(calls(3, 5))).toBe(true)
    expect(await one.size()).toMatchObject({ records: 5 })
    const first = await one.peek(4)
    expect(first.map(({ callId }) => callId)).toEqual(['0', '1', '2', '3'])
    expect(await two.peek(4)).toEqual([])
    await one.done(first)
    const second = await two.peek(4)
    expect(second).toEqual(calls(4, 5).map((call) => ({ ...call, endedAt: 1, createdAt: -29_999 })))
    await two.done(second)
    expect(await two.size()).toEqual({ records: 0, bytes: 0 })
  })

  test('lets another process have its turn when the first could not write', async () => {
    const [one, two] = spools as [RedisSpool, RedisSpool]
    await one.put(calls(0, 1))
    expect(await one.peek(1)).toHaveLength(1)
    expect(await one.peek(1)).toEqual([])
    expect(await two.peek(1)).toHaveLength(1)
    await one.done(calls(0, 1))
    expect((await one.size()).records).toBe(1)
  })

  test('has a bound, and takes all of a batch or none', async () => {
    const [one] = spools as [RedisSpool]
    expect(await one.put(calls(0, 40))).toBe(true)
    expect(await one.put(calls(40, 80))).toBe(false)
    const { records, bytes } = await one.size()
    expect(records).toBe(40)
    expect(bytes).toBeLessThan(10_000)
    await one.done(await one.peek(40))
    expect(await one.put(calls(40, 80))).toBe(true)
  })
})
