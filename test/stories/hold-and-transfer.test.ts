/** A call is held, another one is made beside it, and the two are joined, over the wire. */

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { features, HANGUP, HOLD, inCall, listens, TRANSFER } from '../support/hold-and-transfer.ts'
import { type Device, opens, type World } from '../support/story.ts'

let world: World

beforeAll(async () => {
  world = await opens()
})
afterAll(() => world.closes())

let people = 0
async function arrive(...users: string[]): Promise<[Device, Device, Device]> {
  people++
  const devices = users.map((user) => world.arrives(`${user}-${people}`, 'phone', { listens }))
  return (await Promise.all(devices)) as [Device, Device, Device]
}

test('a call is held, taken up again, and the other one is told; over HTTP the own device is told too', async () => {
  const [alice, bob] = await arrive('alice', 'bob')
  const callId = await inCall(alice, bob)
  await alice.says('/app/call/hold', { callId, hold: true })
  await bob.hears(HOLD, { callId, hold: true, by: alice.user })
  await alice.hearsNothing()
  const answer = await world.asks(alice.user, '/imserver/call/hold', { callId, hold: false })
  expect(answer.body).toMatchObject({ code: 200, data: null })
  for (const device of [alice, bob]) await device.hears(HOLD, { callId, hold: false, by: alice.user })
  await alice.says('/app/call/hold', { callId })
  await alice.hears('/user/queue/errors', { code: 400, callId, message: 'hold: is required' })
})

test('who consults somebody joins the two: they go on with each other', async () => {
  const [alice, bob, carol] = await arrive('alice', 'bob', 'carol')
  const first = await inCall(alice, bob)
  await alice.says('/app/call/hold', { callId: first, hold: true })
  await bob.hears(HOLD, { callId: first, hold: true })
  const second = await inCall(alice, carol)

  const asked = { callId: first, target: carol.user, mode: 'ATTENDED', withCallId: second }
  await alice.says('/app/call/transfer', asked)
  const told = await bob.hears(TRANSFER, { callId: first, state: 'RINGING', mode: 'ATTENDED', target: carol.user })
  const { newCallId } = told.body as { newCallId: string }
  await alice.hears(TRANSFER, { callId: first, state: 'RINGING', newCallId })
  await bob.hears('/user/queue/call/ringing', { callId: newCallId })
  const by = { caller: bob.user, transferredBy: alice.user, replaces: second }
  await carol.hears('/user/queue/call/request', { callId: newCallId, ...by })

  await bob.signals(newCallId, 'OFFER', 'v=0 of bob')
  await carol.accepts(newCallId, features)
  await bob.hears('/user/queue/call/response', { callId: newCallId, type: 'ACCEPT', features: ['hold', 'transfer'] })
  await carol.hears('/user/queue/rtc/signaling', { callId: newCallId, payload: 'v=0 of bob' })
  for (const device of [alice, bob]) {
    await device.hears(TRANSFER, { callId: first, state: 'DONE', newCallId })
    await device.hears(HANGUP, { callId: first, reason: 'TRANSFERRED' })
  }
  for (const device of [alice, carol]) await device.hears(HANGUP, { callId: second, reason: 'TRANSFERRED' })
  await carol.signals(newCallId, 'ANSWER', 'v=0 of carol')
  await bob.hears('/user/queue/rtc/signaling', { callId: newCallId, payload: 'v=0 of carol' })

  await bob.hangsUp()
  await carol.hears(HANGUP, { callId: newCallId, reason: 'HANGUP' })
  for (const device of [alice, bob, carol]) await device.hearsNothing()
})

test('a blind transfer over HTTP that nobody answers gives the call back', async () => {
  const [alice, bob, carol] = await arrive('alice', 'bob', 'carol')
  const callId = await inCall(alice, bob)
  const answer = await world.asks(alice.user, '/imserver/call/transfer', { callId, target: carol.user })
  expect(answer.body).toMatchObject({ code: 200, data: { newCallId: expect.any(String) } })
  const { newCallId } = (answer.body as { data: { newCallId: string } }).data
  await carol.hears('/user/queue/call/request', { callId: newCallId, transferredBy: alice.user })
  for (const device of [alice, bob]) await device.hears(TRANSFER, { callId, state: 'RINGING', newCallId })
  await carol.rejects(newCallId)
  await bob.hears('/user/queue/call/response', { callId: newCallId, type: 'REJECT' })
  for (const device of [alice, bob]) await device.hears(TRANSFER, { callId, state: 'FAILED', reason: 'DECLINED' })
  await alice.signals(callId, 'OFFER', 'v=0 again')
  await bob.hears('/user/queue/rtc/signaling', { callId, payload: 'v=0 again' })
})

test('a client that has said nothing of it cannot be transferred, and is told nothing new', async () => {
  const [alice, bob] = await arrive('alice', 'bob')
  const callId = await alice.requests(bob.user, { features })
  await bob.accepts(callId)
  const heard = await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  expect(heard.body).toEqual({ callId, type: 'ACCEPT' })
  await alice.says('/app/call/transfer', { callId, target: 'carol' })
  await alice.hears('/user/queue/errors', { code: 1007, callId })
  const attended = { callId, target: 'carol', mode: 'ATTENDED' }
  await alice.says('/app/call/transfer', attended)
  await alice.hears('/user/queue/errors', { code: 400, callId })
})

test('with CALL_WAITING a second call is shown, and the first is held by answering it', async () => {
  const other = await opens({ CALL_WAITING: 'true' })
  const devices = ['alice', 'bob', 'carol'].map((user) => other.arrives(user, 'phone', { listens }))
  const [alice, bob, carol] = (await Promise.all(devices)) as [Device, Device, Device]
  const first = await inCall(alice, bob)
  const second = await carol.requests('bob', { features })
  await bob.hears('/user/queue/call/request', { callId: second, waiting: true })
  await bob.accepts(second, features)
  await alice.hears(HOLD, { callId: first, hold: true, by: 'bob' })
  await bob.hears(HOLD, { callId: first, hold: true, by: 'bob' })
  await bob.hangsUp()
  await carol.hears(HANGUP, { callId: second, reason: 'HANGUP' })
  await bob.says('/app/call/hold', { callId: first, hold: false })
  await alice.hears(HOLD, { callId: first, hold: false })
  await other.closes()
})
