/** A node is killed with -9 at the worst moment: whoever talked to its users, or was about to, is not left alone. */

import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { alone, Cluster, type ClusterNode } from './world.ts'

let cluster: Cluster
let a: ClusterNode
let b: ClusterNode
let c: ClusterNode

beforeEach(async () => {
  cluster = new Cluster(await alone())
  ;[a, b, c] = await cluster.nodes(3)
})

afterEach(() => cluster.closes())

test('of the caller, while it rings: the callee’s devices stop ringing, and both users are free', async () => {
  const caller = await a.arrives('alice')
  const [phone, laptop] = [await b.arrives('bob'), await c.arrives('bob', 'laptop')]
  const callId = await caller.requests('bob')
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  await a.kill()
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/hangup', { callId, reason: 'CALLER_LOST' })
  await cluster.settles()
  for (const device of [phone, laptop]) await device.hearsNothing()
  const again = await b.arrives('alice')
  const next = await again.requests('bob')
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId: next })
})

test('of a callee’s device, while it rings: the call goes on, and rings again where the callee comes back', async () => {
  const caller = await a.arrives('alice')
  const phone = await b.arrives('bob')
  const callId = await caller.requests('bob')
  await phone.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await b.kill()
  const again = await c.arrives('bob', 'phone', { token: phone.token })
  await again.hears('/user/queue/call/request', { callId, caller: 'alice' })
  await again.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await caller.signals(callId, 'OFFER', 'to the device that came back')
  await again.hears('/user/queue/rtc/signaling', { callId })
  await cluster.settles()
  await caller.hearsNothing()
  await again.hearsNothing()
})

test('of a callee’s device, while it rings: the others go on ringing and can answer', async () => {
  const caller = await a.arrives('alice')
  const [phone, laptop] = [await b.arrives('bob'), await c.arrives('bob', 'laptop')]
  const callId = await caller.requests('bob')
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  await b.kill()
  await laptop.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await laptop.hangsUp(callId)
  await caller.hears('/user/queue/call/hangup', { callId })
})

test.each([
  ['the caller', 'alice', 'bob'],
  ['the callee', 'bob', 'alice'],
] as const)('of %s, in a call: the other hears its end, and both are free', async (_, lost, left) => {
  const [one, other] = [await a.arrives(lost), await b.arrives(left)]
  const [caller, callee] = lost === 'alice' ? [one, other] : [other, one]
  const callId = await caller.requests('bob')
  await callee.hears('/user/queue/call/request', { callId })
  await callee.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId })
  await a.kill()
  await other.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
  const next = await other.requests('carol')
  const carol = await c.arrives('carol')
  await carol.hears('/user/queue/call/request', { callId: next })
})

test('that nobody in the call is connected to: the call goes on', async () => {
  const [caller, callee] = [await a.arrives('alice'), await b.arrives('bob')]
  const callId = await caller.requests('bob')
  await callee.hears('/user/queue/call/request', { callId })
  await callee.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId })
  await c.kill()
  await caller.signals(callId, 'OFFER', 'still here')
  await callee.hears('/user/queue/rtc/signaling', { callId, payload: 'still here' })
  await callee.hangsUp(callId)
  await caller.hears('/user/queue/call/hangup', { callId })
})

test('that took an HTTP request: the call that it began rings out on the deadline that others keep', async () => {
  const phone = await b.arrives('bob')
  const request = { callId: 'begun over HTTP', callee: 'bob', callerUserName: 'Alice', timeout: 5 }
  expect((await a.asks('alice', '/imserver/call/request', request)).body).toMatchObject({ code: 200 })
  await phone.hears('/user/queue/call/request', { callId: request.callId })
  await a.kill()
  await phone.hears('/user/queue/call/timeout', { callId: request.callId })
  await cluster.settles()
  await phone.hearsNothing()
})

test('and is started again: its users come back, and nothing of before is in the way', async () => {
  const [caller, callee] = [await a.arrives('alice'), await b.arrives('bob')]
  const callId = await caller.requests('bob')
  await callee.hears('/user/queue/call/request', { callId })
  await callee.accepts(callId)
  await a.kill()
  const again = await cluster.node({ name: 'a' })
  await callee.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
  const back = await again.arrives('alice')
  const next = await callee.requests('alice')
  await back.hears('/user/queue/call/request', { callId: next })
})
