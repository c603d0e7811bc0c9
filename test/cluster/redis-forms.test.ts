/** A Redis Cluster, and a Redis under Sentinel, are as good as one Redis. */

import { afterEach, expect, test } from '@jest/globals'
import { Resumable } from './resumable.ts'
import { Cluster, type ClusterNode, clustered, STATUS, watchedBySentinel } from './world.ts'

let cluster: Cluster | undefined

afterEach(async () => {
  await cluster?.closes()
  cluster = undefined
})

/** A call between two nodes, with a resume on a third and a look at who is online. */
async function everything(a: ClusterNode, b: ClusterNode, c: ClusterNode): Promise<void> {
  const watcher = await c.arrives('watcher', 'screen', { listens: [STATUS] })
  const alice = await a.arrives('alice')
  const [phone, laptop] = [await Resumable.arrives(b, 'bob'), await c.arrives('bob', 'laptop')]
  const callId = await alice.requests('bob')
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
    expect(changes).not.toContainEqual({ userId: 'bob', status: 'OFFLINE' })
    if (changes.some(({ userId, status }) => userId === 'alice' && status === 'OFFLINE')) break
  }
  const { body } = await b.asks('watcher', '/imserver/user/status', ['alice', 'bob'])
  expect(body.data).toEqual([
    { userId: 'alice', status: 'OFFLINE' },
    { userId: 'bob', status: 'ONLINE' },
  ])
}

test('three processes over a Redis Cluster of three: a call, a resume, presence', async () => {
  cluster = new Cluster(await clustered())
  await everything(...(await cluster.nodes(3)))
})

test('three processes over a Redis under Sentinel: a call, a resume, presence', async () => {
  cluster = new Cluster(await watchedBySentinel())
  await everything(...(await cluster.nodes(3)))
})

test('when the master dies, calls are made again as soon as its replica has taken over', async () => {
  const shared = await watchedBySentinel()
  cluster = new Cluster(shared)
  const [a, b] = await cluster.nodes(2)
  const [alice, bob] = [await a.arrives('alice'), await b.arrives('bob')]
  const callId = await alice.requests('bob')
  await bob.hears('/user/queue/call/request', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await shared.redis.failover()
  for (let tries = 0; ; tries++) {
    const request = { callId: `${callId}-${tries}`, callee: 'dan', callerUserName: 'Carol' }
    const { status } = await b.asks('carol', '/imserver/call/request', request)
    if (status === 200) break
    expect(status).toBe(503)
  }
  await alice.signals(callId, 'OFFER', 'still in the call')
  await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'still in the call' })
  await bob.hangsUp(callId)
  await alice.hears('/user/queue/call/hangup', { callId })
})
