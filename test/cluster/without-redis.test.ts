/** What is left of several servers while Redis is gone, and that they find together again by themselves. */

import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from '@jest/globals'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { type Server, serverOn } from '../support/several.ts'

const REQUEST = '/user/queue/call/request'
const SIGNALS = '/user/queue/rtc/signaling'
const HANGUP = '/user/queue/call/hangup'
const ERRORS = '/user/queue/errors'

let redis: RedisServer
const running: Server[] = []

afterEach(async () => {
  expect(running.flatMap(({ errors }) => errors)).toEqual([])
  await Promise.all(running.map((server) => server.leaves()))
  await Promise.all(running.splice(0).map((server) => server.stops()))
  await redis.stop()
})

async function two(): Promise<[Server, Server]> {
  redis = await startRedis()
  const servers = await Promise.all([serverOn(redis.url), serverOn(redis.url)])
  running.push(...servers)
  return servers as [Server, Server]
}

/** Asks until the answer is the one that is waited for. */
async function until<T>(ask: () => Promise<T>, done: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (done(answer)) return answer
  }
}

test('calls in progress go on on one server, new ones are refused, and everything comes back', async () => {
  const [a, b] = await two()
  const [alice, bob] = [await a.arrives('alice'), await a.arrives('bob')]
  const carol = await b.arrives('carol')
  const call = await alice.requests('bob')
  await bob.accepts(call)
  await alice.signals(call, 'OFFER', 'before')
  await bob.hears(SIGNALS, { payload: 'before' })
  for (const device of [alice, bob, carol]) await device.forgets()

  await redis.kill()
  await until(
    () => a.counts('carillon_redis_up'),
    (up) => up === 0,
  )
  await alice.signals(call, 'OFFER', 'during')
  await bob.hears(SIGNALS, { payload: 'during' })
  await carol.requests('dave').catch(() => undefined)
  const refusal = { code: 503, message: expect.stringMatching(/store of calls/), retryAfter: 2 }
  await carol.hears(ERRORS, refusal)
  const callId = randomUUID()
  const asked = { callId, callee: 'dave', callerUserName: 'Eve' }
  const { status, body } = await b.asks('eve', '/imserver/call/request', asked)
  expect([status, body.callId]).toEqual([503, callId])
  expect((await b.asks('eve', '/imserver/user/status', ['carol'])).body.data).toEqual([
    { userId: 'carol', status: 'ONLINE' },
  ])
  expect((await b.asks('', '/imserver/admin/nodes', undefined, { method: 'GET' })).status).not.toBe(500)

  await redis.restart()
  await until(
    () => b.asks('eve', '/imserver/user/status', ['alice', 'bob', 'carol']),
    (answer) => JSON.stringify(answer.body).match(/ONLINE/g)?.length === 3,
  )
  // The call that went on is known again: whoever is in it is busy
  const { body: busy } = await until(
    () => a.asks('eve', '/imserver/call/request', { ...asked, callId: randomUUID(), callee: 'alice' }),
    (answer) => answer.status !== 503,
  )
  expect(busy).toMatchObject({ code: 1001, reason: 'BUSY' })
  await alice.hangsUp(call)
  await bob.hears(HANGUP, { callId: call })
  // Each server finds Redis again at its own time, and says 503 until then
  const again = randomUUID()
  const { status: late } = await until(
    () => b.asks('carol', '/imserver/call/request', { callId: again, callee: 'bob', callerUserName: 'Carol' }),
    (answer) => answer.status !== 503,
  )
  expect(late).toBe(200)
  await bob.hears(REQUEST, { callId: again })
})

test('who arrives while it is gone is found when it is back', async () => {
  const [a, b] = await two()
  await b.arrives('carol')
  await redis.kill()
  await until(
    () => a.counts('carillon_redis_up'),
    (up) => up === 0,
  )
  const dave = await a.arrives('dave')
  await redis.restart()
  await until(
    () => b.asks('eve', '/imserver/user/status', ['dave']),
    (answer) => JSON.stringify(answer.body).includes('ONLINE'),
  )
  const callId = randomUUID()
  await until(
    () => b.asks('carol', '/imserver/call/request', { callId, callee: 'dave', callerUserName: 'Carol' }),
    (answer) => answer.status !== 503,
  )
  await dave.hears(REQUEST, { callId })
})
