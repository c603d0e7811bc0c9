/** Calls between devices of different processes are calls like any other. */

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Device } from '../support/story.ts'
import { alone, Cluster, type ClusterNode } from './world.ts'

let cluster: Cluster
let a: ClusterNode
let b: ClusterNode
let c: ClusterNode

beforeAll(async () => {
  cluster = new Cluster(await alone())
  ;[a, b, c] = await cluster.nodes(3)
})

afterAll(() => cluster.closes())

/** Nothing that was not expected has been told to these devices, nor is it on its way. */
async function quiet(...devices: readonly Device[]): Promise<void> {
  await cluster.settles()
  for (const device of devices) await device.hearsNothing()
}

/** A call that both have heard all about. */
async function inCall(caller: Device, callee: Device): Promise<string> {
  const callId = await caller.requests(callee.user)
  await callee.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await callee.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  return callId
}

/** The one of the two that was refused what it has just said. */
function refusedOf(one: Device, other: Device): Device {
  const refused = [one, other].filter(({ unexpected }) =>
    unexpected.some(({ destination }) => destination === '/user/queue/errors'),
  )
  expect(refused.map(({ user, name }) => `${user}'s ${name}`)).toHaveLength(1)
  return refused[0] ?? one
}

let people = 0

/** Users nobody else has. */
function users(): [string, string] {
  people++
  return [`alice-${people}`, `bob-${people}`]
}

test('a user calls another on another node, they signal, and one hangs up', async () => {
  const [alice, bob] = users()
  const caller = await a.arrives(alice)
  const callee = await b.arrives(bob)
  const callId = await caller.requests(bob, { type: 'AUDIO' })
  await callee.hears('/user/queue/call/request', { callId, caller: alice, type: 'AUDIO' })
  await caller.hears('/user/queue/call/ringing', { callId })
  await caller.signals(callId, 'OFFER', 'made before the answer')
  await callee.accepts(callId)
  await callee.hears('/user/queue/rtc/signaling', { callId, type: 'OFFER', payload: 'made before the answer' })
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await callee.signals(callId, 'ANSWER', 'an answer')
  await caller.hears('/user/queue/rtc/signaling', { callId, type: 'ANSWER', payload: 'an answer' })
  await callee.hangsUp(callId)
  await caller.hears('/user/queue/call/hangup', { callId })
  await quiet(caller, callee)
})

test('the body of a signal reaches the other node byte for byte, and says from whom', async () => {
  const [alice, bob] = users()
  const [caller, callee] = [await a.arrives(alice), await b.arrives(bob)]
  const callId = await inCall(caller, callee)
  const text = `{ "payload":\t"v=0 – ü 🔔",  "type":"OFFER","callId":"${callId}" , "extra":[1,2] }`
  await caller.says('/app/rtc/signaling', text)
  const heard = await callee.hears('/user/queue/rtc/signaling', { type: 'OFFER' })
  expect(Buffer.from(heard.raw).toString()).toBe(text)
  expect(heard.headers.from).toBe(alice)
})

test('a thousand signals each way arrive each once and in order', async () => {
  const [alice, bob] = users()
  const [caller, callee] = [await a.arrives(alice), await b.arrives(bob)]
  const callId = await inCall(caller, callee)
  const numbers = Array.from({ length: 1000 }, (_, number) => number)
  for (const number of numbers) {
    for (const device of [caller, callee])
      device.sends('/app/rtc/signaling', { callId, type: 'ICE_CANDIDATE', payload: { candidate: `${number}` } })
  }
  for (const device of [caller, callee]) {
    for (const number of numbers) {
      await device.hears('/user/queue/rtc/signaling', { payload: { candidate: `${number}` } })
    }
    await device.hearsNothing()
  }
})

test('signals and the hang-up behind them arrive in that order', async () => {
  const [alice, bob] = users()
  const [caller, callee] = [await a.arrives(alice), await b.arrives(bob)]
  const callId = await inCall(caller, callee)
  for (let number = 0; number < 50; number++)
    caller.sends('/app/rtc/signaling', { callId, type: 'ICE_CANDIDATE', payload: { candidate: `${number}` } })
  caller.sends('/app/call/hangup', { callId })
  await callee.hears('/user/queue/call/hangup', { callId })
  expect(callee.unexpected.map(({ body }) => (body as { payload: { candidate: string } }).payload.candidate)).toEqual(
    Array.from({ length: 50 }, (_, number) => `${number}`),
  )
})

test('a callee with devices on three nodes rings on all, one answers, the others hear that', async () => {
  const [alice, bob] = users()
  const caller = await a.arrives(alice)
  const [phone, laptop, tablet] = [await a.arrives(bob), await b.arrives(bob, 'laptop'), await c.arrives(bob, 'tablet')]
  const callId = await caller.requests(bob)
  for (const device of [phone, laptop, tablet]) await device.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await laptop.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  for (const device of [phone, tablet])
    await device.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
  await caller.signals(callId, 'OFFER', 'to the one that has answered')
  await laptop.hears('/user/queue/rtc/signaling', { callId })
  await quiet(caller, phone, laptop, tablet)
})

test('when devices on two nodes answer at once, one wins and the other is told', async () => {
  const [alice, bob] = users()
  const caller = await a.arrives(alice)
  const [phone, laptop] = [await b.arrives(bob), await c.arrives(bob, 'laptop')]
  for (let round = 0; round < 20; round++) {
    const callId = await caller.requests(bob)
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
    await Promise.all([phone.accepts(callId), laptop.accepts(callId)])
    await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    const loser = refusedOf(phone, laptop)
    const winner = loser === phone ? laptop : phone
    await loser.hears('/user/queue/errors', { code: 1004, callId })
    // Because it rang, and because it has answered too late
    for (let times = 0; times < 2; times++)
      await loser.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
    await caller.signals(callId, 'OFFER', 'here')
    await winner.hears('/user/queue/rtc/signaling', { callId })
    await caller.hangsUp(callId)
    await winner.hears('/user/queue/call/hangup', { callId })
    await caller.hears('/user/queue/call/ringing', { callId })
    await quiet(caller, phone, laptop)
  }
})

test('of two users who call each other at once from two nodes, one calls and the other rings', async () => {
  const [alice, bob] = users()
  const [one, other] = [await a.arrives(alice), await b.arrives(bob)]
  for (let round = 0; round < 20; round++) {
    const callIds = await Promise.all([one.requests(bob), other.requests(alice)])
    const loser = refusedOf(one, other)
    const winner = loser === one ? other : one
    const callId = winner === one ? callIds[0] : callIds[1]
    await loser.hears('/user/queue/errors', { code: 1001, reason: 'GLARE', activeCallId: callId })
    await loser.hears('/user/queue/call/request', { callId, caller: winner.user })
    await loser.accepts(callId)
    await winner.hears('/user/queue/call/ringing', { callId })
    await winner.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    await winner.hangsUp(callId)
    await loser.hears('/user/queue/call/hangup', { callId })
    await quiet(winner, loser)
  }
})

test('over HTTP any node does, whether it holds a device or nobody', async () => {
  const [alice, bob] = users()
  const callee = await b.arrives(bob)
  const callId = randomUUID()
  const request = { callId, callee: bob, callerUserName: 'Alice' }
  expect((await c.asks(alice, '/imserver/call/request', request)).body).toMatchObject({ code: 200 })
  await callee.hears('/user/queue/call/request', { callId, caller: alice })
  const another = { ...request, callId: randomUUID(), callee: 'somebody else' }
  const busy = await a.asks(alice, '/imserver/call/request', another)
  expect(busy.body).toMatchObject({ code: 1006 })
  await callee.accepts(callId)
  const signal = { callId, type: 'OFFER', payload: 'over HTTP' }
  expect((await a.asks(alice, '/imserver/rtc/signaling', signal)).body).toMatchObject({ code: 200 })
  await callee.hears('/user/queue/rtc/signaling', { callId, payload: 'over HTTP' })
  expect((await b.asks(alice, '/imserver/call/hangup', '')).body).toMatchObject({ code: 200 })
  await callee.hears('/user/queue/call/hangup', { callId })
  await quiet(callee)
})

test('an HTTP action with the token of a socket on another node is that device’s', async () => {
  const [alice, bob] = users()
  const [caller, phone, laptop] = [await a.arrives(alice), await b.arrives(bob), await b.arrives(bob, 'laptop')]
  const callId = await caller.requests(bob)
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  const accept = { callId, type: 'ACCEPT' }
  const answer = await c.asks(bob, '/imserver/call/response', accept, { token: phone.token })
  expect(answer.body).toMatchObject({ code: 200 })
  await laptop.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await caller.signals(callId, 'OFFER', 'to the phone')
  await phone.hears('/user/queue/rtc/signaling', { callId })
  await quiet(phone)
})

test('a header names a device of another node', async () => {
  const [alice, bob] = users()
  const [caller, phone, laptop] = [await a.arrives(alice), await b.arrives(bob), await b.arrives(bob, 'laptop')]
  const callId = await caller.requests(bob)
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  const headers = { 'x-session-id': laptop.session }
  const answer = await c.asks(bob, '/imserver/call/response', { callId, type: 'ACCEPT' }, { headers })
  expect(answer.body).toMatchObject({ code: 200 })
  await phone.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
  await quiet(laptop)
})

test('a callee who connects late, on any node, rings with the time that is left', async () => {
  const [alice, bob] = users()
  const caller = await a.arrives(alice)
  const callId = await caller.requests(bob)
  await quiet(caller)
  const callee = await c.arrives(bob)
  const { body } = await callee.hears('/user/queue/call/request', { callId, caller: alice })
  expect((body as { remainingMs: number }).remainingMs).toBeLessThanOrEqual(30_000)
  await caller.hears('/user/queue/call/ringing', { callId })
  await callee.rejects(callId)
  await caller.hears('/user/queue/call/response', { callId, type: 'REJECT' })
})

test('nobody answers: every device on every node and the caller hear the timeout once', async () => {
  const [alice, bob] = users()
  const caller = await a.arrives(alice)
  const [phone, laptop] = [await b.arrives(bob), await c.arrives(bob, 'laptop')]
  const callId = await caller.requests(bob, { timeout: 5 })
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  for (const device of [caller, phone, laptop]) await device.hears('/user/queue/call/timeout', { callId })
  await quiet(caller, phone, laptop)
})

test('a third on another node finds both busy, and free again when they have hung up', async () => {
  const [alice, bob] = users()
  const carol = `carol-${people}`
  const [caller, callee, third] = [await a.arrives(alice), await b.arrives(bob), await c.arrives(carol)]
  const callId = await inCall(caller, callee)
  await third.requests(alice)
  await third.hears('/user/queue/errors', { code: 1001, reason: 'BUSY' })
  await callee.hangsUp()
  const next = await third.requests(alice)
  await caller.hears('/user/queue/call/hangup', { callId })
  await caller.hears('/user/queue/call/request', { callId: next })
})

test('an operator shuts a user out of every node', async () => {
  const [alice, bob] = users()
  const [phone, laptop] = [await a.arrives(alice), await b.arrives(alice, 'laptop')]
  const callee = await c.arrives(bob)
  const callId = await inCall(phone, callee)
  await c.shutsOut(alice)
  for (const device of [phone, laptop]) expect(await device.isCut()).toMatchObject({ code: 1008 })
  await callee.hears('/user/queue/call/hangup', { callId, reason: 'ADMIN' })
  expect((await b.asks(alice, '/imserver/call/hangup', '', { token: phone.token })).status).toBe(401)
})

test('the operator sees each node, and on which of them a user is', async () => {
  const [alice] = users()
  const [phone, laptop] = [await a.arrives(alice), await b.arrives(alice, 'laptop')]
  const { nodes } = (await c.admin('/imserver/admin/nodes')) as { nodes: { id: string; name: string }[] }
  expect(nodes.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c'])
  const idOf = (node: ClusterNode) => nodes.find(({ name }) => name === node.name)?.id
  const { sessions } = (await c.admin(`/imserver/admin/sessions/${alice}`)) as { sessions: object[] }
  expect(sessions).toMatchObject([
    { sessionId: phone.session, node: idOf(a), rings: true, away: false },
    { sessionId: laptop.session, node: idOf(b), rings: true, away: false },
  ])
})
