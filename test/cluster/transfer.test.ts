/** A call is held and transferred between users whose devices are on different nodes. */

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { features, HANGUP, HOLD, inCall, listens, TRANSFER } from '../support/hold-and-transfer.ts'
import type { Device } from '../support/story.ts'
import { alone, Cluster, type ClusterNode } from './world.ts'

let cluster: Cluster
let nodes: readonly ClusterNode[]

beforeAll(async () => {
  cluster = new Cluster(await alone())
  nodes = await cluster.nodes(3)
})
afterAll(() => cluster.closes())

test('who consults somebody on a third node joins the two', async () => {
  const users = ['alice', 'bob', 'carol']
  const [alice, bob, carol] = (await Promise.all(
    users.map((user, place) => nodes[place]?.arrives(user, 'phone', { listens })),
  )) as [Device, Device, Device]
  const first = await inCall(alice, bob)
  await alice.says('/app/call/hold', { callId: first, hold: true })
  await bob.hears(HOLD, { callId: first, hold: true, by: 'alice' })
  const second = await inCall(alice, carol)

  // Bob's turn: what the others do is seen on every node
  await alice.says('/app/call/hold', { callId: first, hold: false })
  await bob.hears(HOLD, { callId: first, hold: false })
  await carol.hears(HOLD, { callId: second, hold: true, by: 'alice' })
  await alice.hears(HOLD, { callId: second, hold: true, by: 'alice' })

  await alice.says('/app/call/transfer', { callId: first, target: 'carol', mode: 'ATTENDED', withCallId: second })
  const told = await bob.hears(TRANSFER, { callId: first, state: 'RINGING' })
  const { newCallId } = told.body as { newCallId: string }
  await alice.hears(TRANSFER, { callId: first, state: 'RINGING', newCallId })
  await carol.hears('/user/queue/call/request', { callId: newCallId, caller: 'bob', replaces: second })
  await bob.hears('/user/queue/call/ringing', { callId: newCallId })
  await carol.accepts(newCallId, features)
  await bob.hears('/user/queue/call/response', { callId: newCallId, type: 'ACCEPT' })
  for (const device of [alice, bob]) {
    await device.hears(TRANSFER, { callId: first, state: 'DONE', newCallId })
    await device.hears(HANGUP, { callId: first, reason: 'TRANSFERRED' })
  }
  for (const device of [alice, carol]) await device.hears(HANGUP, { callId: second, reason: 'TRANSFERRED' })
  await bob.signals(newCallId, 'OFFER', 'to carol')
  expect((await carol.hears('/user/queue/rtc/signaling', { callId: newCallId })).headers.from).toBe('bob')
  await bob.hangsUp()
  await carol.hears(HANGUP, { callId: newCallId, reason: 'HANGUP' })
  await cluster.settles()
  for (const device of [alice, bob, carol]) await device.hearsNothing()
})
