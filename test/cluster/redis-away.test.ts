/** Redis goes, stands still, comes back empty, or is out of reach of one node. Nothing of it needs a restart of ours. */

import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { RedisServer } from '../support/redis.ts'
import type { Device } from '../support/story.ts'
import { Resumable } from './resumable.ts'
import { alone, Cluster, type ClusterNode, own, STATUS } from './world.ts'

let cluster: Cluster
let redis: RedisServer
let a: ClusterNode
let b: ClusterNode

beforeAll(async () => {
  const shared = await alone()
  redis = shared.redis
  cluster = new Cluster(shared)
  ;[a, b] = await cluster.nodes(2, { cuttable: true })
})

// Each story begins when all is well again, however the one before has ended
beforeEach(async () => {
  for (const { url } of [a, b]) while ((await fetch(`${url}/readyz`)).status !== 200);
})

afterEach(async () => {
  for (const { way } of [a, b]) way?.heal()
  redis.resume()
  await redis.cli('PING').catch(() => redis.restart())
  await cluster.empties()
})

afterAll(() => cluster.closes())

async function inCall(caller: Device, callee: Device): Promise<string> {
  const callId = await caller.requests(callee.user)
  await callee.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await callee.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  return callId
}

const request = (callee: string) => ({ callId: randomUUID(), callee, callerUserName: 'Carol' })

/** A call over HTTP that is answered with anything but 503, which it is until Redis is back. */
async function accepted(node: ClusterNode, caller: string, callee: string): Promise<string> {
  for (;;) {
    const asked = request(callee)
    const { status, body } = await node.asks(caller, '/imserver/call/request', asked)
    if (status === 503) continue
    expect(body).toMatchObject({ code: 200 })
    return asked.callId
  }
}

const ways: readonly [string, () => Promise<void> | void, () => Promise<void> | void][] = [
  ['is killed', () => redis.kill(), () => redis.restart()],
  ['stands still', () => redis.pause(), () => redis.resume()],
  [
    'is cut off',
    () => {
      for (const { way } of [a, b]) way?.cut()
    },
    () => {
      for (const { way } of [a, b]) way?.heal()
    },
  ],
  [
    'is silent',
    () => {
      for (const { way } of [a, b]) way?.silence()
    },
    () => {
      for (const { way } of [a, b]) way?.heal()
    },
  ],
]

test.each(ways)(
  'when Redis %s, calls are refused with 503, those that stand go on, and all is well afterwards',
  async (_, goes, comes) => {
    const [alice, bob] = [await a.arrives(own('alice')), await a.arrives(own('bob'))]
    const [carol, dan] = [await a.arrives(own('carol')), await b.arrives(own('dan'))]
    const callId = await inCall(alice, bob)
    await alice.signals(callId, 'OFFER', 'before')
    await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'before' })

    await goes()
    await carol.requests(own('dan'))
    const { body } = await carol.hears('/user/queue/errors', { code: 503 })
    expect(body).toMatchObject({ message: expect.stringMatching(/\w+ \w+/), retryAfter: expect.any(Number) })
    for (const node of [a, b]) {
      const { status, headers, body } = await node.asks(own('carol'), '/imserver/call/request', request(own('dan')))
      expect(status).toBe(503)
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
      expect(body).toMatchObject({ code: 503, msg: expect.stringMatching(/\w+ \w+/) })
    }
    await alice.signals(callId, 'OFFER', 'meanwhile')
    await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'meanwhile' })
    await bob.signals(callId, 'ANSWER', 'back')
    await alice.hears('/user/queue/rtc/signaling', { callId, payload: 'back' })
    for (const node of [a, b]) expect((await fetch(`${node.url}/livez`)).status).toBe(200)

    await comes()
    const next = await accepted(b, own('carol'), own('dan'))
    await dan.hears('/user/queue/call/request', { callId: next })
    // One node may be back before the other
    await accepted(a, own('eve'), own('frank'))
    await alice.signals(callId, 'OFFER', 'afterwards')
    await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'afterwards' })
    await bob.hangsUp(callId)
    await alice.hears('/user/queue/call/hangup', { callId })
    await inCall(alice, bob)
    await cluster.settles()
  },
)

test('who comes back to another server while Redis is away for a moment is the same device', async () => {
  const bob = await Resumable.arrives(a, own('bob'))
  const alice = await a.arrives(own('alice'))
  await bob.cuts()
  redis.pause()
  while (!(await (await fetch(`${b.url}/metrics`)).text()).includes('carillon_redis_up 0'));
  const back = bob.returns(b)
  await b.asks(own('carol'), '/imserver/call/request', request(own('dan')))
  redis.resume()
  await back
  expect(bob.resumed).toBe('true')
  const callId = await accepted(a, alice.user, bob.user)
  expect((await bob.hears('/user/queue/call/request')).body).toMatchObject({ callId })
})

test('a Redis that comes back empty is told who is there: users ring, are online, and go offline', async () => {
  const watcher = await a.arrives(own('watcher'), 'screen', { listens: [STATUS] })
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  await redis.restart()
  const callId = await accepted(a, own('carol'), own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  // One node may be back before the other
  await accepted(b, own('eve'), own('frank'))
  for (const node of [a, b]) {
    const { body } = await node.asks(own('watcher'), '/imserver/user/status', ['alice', 'bob', 'nobody'].map(own))
    expect(body.data).toEqual([
      { userId: own('alice'), status: 'ONLINE' },
      { userId: own('bob'), status: 'ONLINE' },
      { userId: own('nobody'), status: 'OFFLINE' },
    ])
  }
  await watcher.forgets()
  await alice.leaves()
  for (;;) {
    const { body } = await watcher.hears(STATUS)
    const changes = body as { userId: string; status: string }[]
    expect(changes).not.toContainEqual({ userId: own('bob'), status: 'OFFLINE' })
    if (changes.some(({ userId, status }) => userId === own('alice') && status === 'OFFLINE')) break
  }
})

test('of a call that an empty Redis has forgotten both sides are told, or it goes on: nobody is stuck busy', async () => {
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  const callId = await inCall(alice, bob)
  await redis.restart()
  await accepted(b, own('carol'), own('dan'))
  await accepted(a, own('eve'), own('frank'))
  await alice.hangsUp(callId)
  await bob.forgets()
  const next = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId: next })
})

test('a node that loses Redis alone refuses calls, the others go on, and it is one of them again when it is healed', async () => {
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  a.way?.cut()
  await alice.requests(own('bob'))
  await alice.hears('/user/queue/errors', { code: 503 })
  const carol = await b.arrives(own('carol'))
  const callId = await inCall(carol, bob)
  await bob.hangsUp(callId)
  a.way?.heal()
  const next = await accepted(a, own('dan'), own('alice'))
  await alice.hears('/user/queue/call/request', { callId: next })
})

test('a signal that was sent while the other node was cut off arrives when it is back', async () => {
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  const callId = await inCall(alice, bob)
  b.way?.cut()
  for (const candidate of ['1', '2', '3']) await alice.signals(callId, 'ICE_CANDIDATE', { candidate })
  b.way?.heal()
  for (const candidate of ['1', '2', '3'])
    await bob.hears('/user/queue/rtc/signaling', { callId, payload: { candidate } })
})

test('the call of a callee whose node is cut off rings there when it is back', async () => {
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  b.way?.cut()
  const callId = await alice.requests(own('bob'))
  b.way?.heal()
  await bob.hears('/user/queue/call/request', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
})

test('when nobody could renew a lease for long, the living are not taken for gone: nobody flaps, calls go on', async () => {
  const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
  const watchers = [
    [a, await a.arrives(own('watcher'), 'one', { listens: [STATUS] })],
    [b, await b.arrives(own('watcher'), 'other', { listens: [STATUS] })],
  ] as const
  const callId = await inCall(alice, bob)
  await redis.cli('EVAL', EXPIRE_LEASES, '0')
  while ((await redis.cli('EVAL', EARLIEST_LEASE, '0')) === '1') await alice.hearsNothing()
  await alice.signals(callId, 'OFFER', 'still there')
  await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'still there' })
  for (const [node, watcher] of watchers) {
    const marker = await node.arrives(own('marker'))
    await marker.leaves()
    for (;;) {
      const { body } = await watcher.hears(STATUS)
      const changes = body as { userId: string; status: string }[]
      for (const userId of ['alice', 'bob'].map(own)) expect(changes).not.toContainEqual({ userId, status: 'OFFLINE' })
      if (changes.some(({ userId, status }) => userId === own('marker') && status === 'OFFLINE')) break
    }
  }
  await cluster.settles()
  await alice.hearsNothing()
  await bob.hangsUp(callId)
  await alice.hears('/user/queue/call/hangup', { callId })
})

test('a node that starts while there is no Redis waits for it', async () => {
  await redis.kill()
  const starting = cluster.node({ name: 'c' })
  await redis.restart()
  const c = await starting
  const bob = await b.arrives(own('bob'))
  const callId = await accepted(c, own('alice'), own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  await c.stops()
})

const LEASES = 'carillon:{nodes}leases'

/** As if Redis had stood still for a minute. */
const EXPIRE_LEASES = `
for _, node in ipairs(redis.call('ZRANGE', '${LEASES}', 0, -1)) do redis.call('ZADD', '${LEASES}', 1, node) end`

const EARLIEST_LEASE = `return redis.call('ZRANGE', '${LEASES}', 0, 0, 'WITHSCORES')[2]`
