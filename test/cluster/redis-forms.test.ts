/** A Redis Cluster, and a Redis under Sentinel, are as good as one Redis. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { Resumable } from './resumable.ts'
import { Cluster, type ClusterNode, clustered, own, STATUS, watchedBySentinel } from './world.ts'

/** A call between two nodes, with a resume on a third and a look at who is online. */
async function everything(a: ClusterNode, b: ClusterNode, c: ClusterNode): Promise<void> {
  const watcher = await c.arrives(own('watcher'), 'screen', { listens: [STATUS] })
  const alice = await a.arrives(own('alice'))
  const [phone, laptop] = [await Resumable.arrives(b, own('bob')), await c.arrives(own('bob'), 'laptop')]
  const callId = await alice.requests(own('bob'))
  await phone.hears('/user/queue/call/request')
  await laptop.hears('/user/queue/call/request', { callId })
  await phone.says('/app/call/response', { callId, type: 'ACCEPT' })
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await laptop.hears('/user/queue/call/down', { callId })
  await phone.cuts()
  await alice.signals(callId, 'OFFER', 'missed')
  await phone.returns(c)
  expect(phone.resumed).toBe('true')
  expect((await phone.hears('/user/queue/rtc/signaling')).body).toMatchObject({ callId, payload: 'missed' })
  await phone.says('/app/call/hangup', { callId })
  await alice.hears('/user/queue/call/hangup', { callId })
  await watcher.forgets()
  await alice.leaves()
  for (;;) {
    const { body } = await watcher.hears(STATUS)
    const changes = body as { userId: string; status: string }[]
    expect(changes).not.toContainEqual({ userId: own('bob'), status: 'OFFLINE' })
    if (changes.some(({ userId, status }) => userId === own('alice') && status === 'OFFLINE')) break
  }
  const { body } = await b.asks(own('watcher'), '/imserver/user/status', ['alice', 'bob'].map(own))
  expect(body.data).toEqual([
    { userId: own('alice'), status: 'OFFLINE' },
    { userId: own('bob'), status: 'ONLINE' },
  ])
}

test('three processes over a Redis Cluster of three: a call, a resume, presence', async () => {
  const cluster = new Cluster(await clustered())
  try {
    await everything(...(await cluster.nodes(3)))
  } finally {
    await cluster.closes()
  }
})

describe('three processes over a Redis under Sentinel', () => {
  let shared: Awaited<ReturnType<typeof watchedBySentinel>>
  let cluster: Cluster
  let nodes: [ClusterNode, ClusterNode, ClusterNode]

  beforeAll(async () => {
    shared = await watchedBySentinel()
    cluster = new Cluster(shared)
    nodes = await cluster.nodes(3)
  })

  afterEach(() => cluster.empties())

  afterAll(() => cluster.closes())

  test('a call, a resume, presence', () => everything(...nodes))

  test('when the master dies, calls are made again as soon as its replica has taken over', async () => {
    const [a, b] = nodes
    const [alice, bob] = [await a.arrives(own('alice')), await b.arrives(own('bob'))]
    const callId = await alice.requests(own('bob'))
    await bob.hears('/user/queue/call/request', { callId })
    await bob.accepts(callId)
    await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    await shared.redis.failover()
    for (let tries = 0; ; tries++) {
      const request = { callId: `${callId}-${tries}`, callee: own('dan'), callerUserName: 'Carol' }
      const { status } = await b.asks(own('carol'), '/imserver/call/request', request)
      if (status === 200) break
      expect(status).toBe(503)
    }
    await alice.signals(callId, 'OFFER', 'still in the call')
    await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'still in the call' })
    await bob.hangsUp(callId)
    await alice.hears('/user/queue/call/hangup', { callId })
  })
})
