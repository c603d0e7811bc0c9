/** The clocks of the machines disagree by more than any deadline: that changes nothing. */

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { alone, Cluster, type ClusterNode, own, STATUS } from './world.ts'

const MINUTES = 60_000

let cluster: Cluster
let now: ClusterNode
let ahead: ClusterNode
let behind: ClusterNode

beforeAll(async () => {
  cluster = new Cluster(await alone())
  ;[now, ahead, behind] = await Promise.all([
    cluster.node({ name: 'now' }),
    cluster.node({ name: 'ahead', aheadMs: 10 * MINUTES }),
    cluster.node({ name: 'behind', aheadMs: -10 * MINUTES }),
  ])
})

afterEach(() => cluster.empties())

afterAll(() => cluster.closes())

test('a call rings as long as it should on every node, and its timeout comes once', async () => {
  const caller = await behind.arrives(own('alice'))
  const devices = [
    await now.arrives(own('bob')),
    await ahead.arrives(own('bob'), 'laptop'),
    await behind.arrives(own('bob'), 'tablet'),
  ]
  const callId = await caller.requests(own('bob'), { timeout: 5 })
  for (const device of devices) {
    const { body } = await device.hears('/user/queue/call/request', { callId })
    const { remainingMs } = body as { remainingMs: number }
    expect(remainingMs).toBeGreaterThan(0)
    expect(remainingMs).toBeLessThanOrEqual(5000)
  }
  await caller.hears('/user/queue/call/ringing', { callId })
  for (const device of [caller, ...devices]) await device.hears('/user/queue/call/timeout', { callId })
  await cluster.settles()
  for (const device of [caller, ...devices]) await device.hearsNothing()
})

test('a call is answered, goes on for longer than a lease, and nobody seems to be gone', async () => {
  const watcher = await behind.arrives(own('watcher'), 'screen', { listens: [STATUS] })
  const [alice, bob, carol] = [
    await ahead.arrives(own('alice')),
    await behind.arrives(own('bob')),
    await now.arrives(own('carol')),
  ]
  const people = [alice, bob, carol].map(({ user }) => user)
  const callId = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  // Nobody answers this one: its timeout is the event that comes after more than a lease
  const other = await carol.requests(own('nobody'), { timeout: 6 })
  await carol.hears('/user/queue/call/timeout', { callId: other })
  await alice.signals(callId, 'OFFER', 'still there')
  await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'still there' })
  for (const node of [now, ahead, behind]) {
    const { body } = await node.asks(watcher.user, '/imserver/user/status', [...people, own('nobody')])
    expect((body.data as { status: string }[]).map(({ status }) => status)).toEqual([
      'ONLINE',
      'ONLINE',
      'ONLINE',
      'OFFLINE',
    ])
  }
  await watcher.hears(STATUS)
  const told = watcher.unexpected.flatMap(({ body }) => body as { userId: string; status: string }[])
  expect(told.filter(({ userId, status }) => people.includes(userId) && status === 'OFFLINE')).toEqual([])
})

test('the time of a lost device runs out once, not early by one clock or late by another', async () => {
  const [alice, bob] = [await ahead.arrives(own('alice')), await behind.arrives(own('bob'))]
  const callId = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await bob.leaves()
  await alice.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
})
