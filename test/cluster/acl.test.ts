/** What operators are told to allow is enough, and no more than that is asked for. */

import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { over, ringing } from '../contracts/call-store.ts'
import { nodeAt } from '../support/nodes.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { FakeBuses, storeAt } from '../support/redis-calls.ts'
import { ADMIN_KEY, type Server, serverOn } from '../support/several.ts'

let redis: RedisServer
let url: string

beforeAll(async () => {
  redis = await startRedis()
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const [, rules = ''] = /```\nACL SETUSER carillon on >password ([^`]+)```/.exec(page) ?? []
  expect(rules).toContain('~carillon:*')
  await redis.cli('ACL', 'SETUSER', 'carillon', 'on', '>password', ...rules.trim().split(/\s+/))
  url = `redis://carillon:password@127.0.0.1:${redis.port}`
})
afterEach(async () => {
  expect(await redis.cli('ACL', 'LOG')).toBe('')
})
afterAll(() => redis.stop())

const SECRET = { WEBHOOK_SECRET: 'a secret of more than sixteen characters' }

test('members and bus', async () => {
  const lease = { leaseMs: 500, renewMs: 100 }
  const [a, b] = [
    await nodeAt({ url, prefix: 'carillon:', ...lease }),
    await nodeAt({ url, prefix: 'carillon:', ...lease }),
  ]
  for (let n = 0; n < 200; n++) {
    a.says(b.id, String(n))
    await b.hears(n + 1)
  }
  expect(await a.members.reports()).toHaveLength(2)
  const inherited = new Promise<void>((resolve) => {
    a.members.onDeath(async (dead) => {
      await a.bus.forget(dead)
      resolve()
    })
  })
  await b.dies()
  await inherited
  await a.stop()
})

test('calls', async () => {
  const buses = new FakeBuses()
  const variables = { REDIS_PREFIX: 'carillon:' }
  const [a, b] = [
    await storeAt(url, { node: 'a', buses, variables }),
    await storeAt(url, { node: 'b', buses, variables }),
  ]
  const call = ringing('c1', 'alice', 'bob')
  const writes = [{ call, expected: 0 }]
  await a.store.commit(writes, [{ kind: 'ring', call }])
  await b.store.current('bob')
  for await (const untold of b.store.recover('a')) expect(untold.call.callId).toBe('c1')
  a.store.told(writes)
  expect(await a.store.live()).toEqual(['c1'])
  expect(await a.store.nextDue()).toBe(call.due)
  expect(await a.store.due(call.due, 1)).toEqual(['c1'])
  await redis.cli('DEL', 'carillon:{calls}store')
  await b.store.commit([{ call: over(call), expected: 1 }])
  await b.store.forget('c1', 2)
  expect(await a.link.time()).toBeGreaterThan(0)
  await Promise.all([a.stop(), b.stop()])
})

test('whole servers: a call, presence, webhooks, operators, a revocation', async () => {
  const env = { REDIS_PREFIX: 'carillon:', PRESENCE_SCOPE: 'watched', WEBHOOK_URL: 'http://127.0.0.1:9/', ...SECRET }
  const servers = [await serverOn(url, env), await serverOn(url, env)]
  const [a, b] = servers as [Server, Server]
  const [alice, bob] = [await a.arrives('alice'), await b.arrives('bob')]
  const call = await alice.requests('bob')
  await bob.hears('/user/queue/call/request', { callId: call })
  await bob.accepts(call)
  await alice.hears('/user/queue/call/response', { callId: call })
  await bob.hangsUp(call)
  await alice.hears('/user/queue/call/hangup', { callId: call })
  await a.looks('/imserver/admin/nodes')
  await a.looks('/imserver/admin/sessions/bob')
  await a.asks('alice', '/imserver/user/status', ['bob'])
  await fetch(`${a.url}/imserver/admin/sessions/revoke`, {
    method: 'POST',
    headers: { 'X-Admin-Key': ADMIN_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'bob' }),
  })
  await Promise.all(servers.map((server) => server.stops()))
  expect(servers.flatMap(({ errors }) => errors)).toEqual([])
}, 60_000)
