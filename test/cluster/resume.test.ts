/** A device that loses its connection is the same device on whichever node it comes back (contract, section 7). */

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import type { Device } from '../support/story.ts'
import { Resumable } from './resumable.ts'
import { alone, Cluster, type ClusterNode, own, STATUS } from './world.ts'

let cluster: Cluster
let a: ClusterNode
let b: ClusterNode
let c: ClusterNode
/** Of the story that is told, and gone with it. */
let doomed: ClusterNode | undefined

beforeAll(async () => {
  // Longer than whatever a test does while somebody is away
  cluster = new Cluster(await alone(), {
    CALLER_GRACE_MS: '20000',
    CALL_GRACE_MS: '30000',
    PRESENCE_OFFLINE_DELAY_MS: '2000',
  })
  ;[a, b, c] = await cluster.nodes(3)
})

afterEach(async () => {
  await doomed?.ends()
  doomed = undefined
  await cluster.empties()
})

afterAll(() => cluster.closes())

const REQUEST = '/user/queue/call/request'
const SIGNALING = '/user/queue/rtc/signaling'

async function calls(caller: Device, callee: Resumable): Promise<string> {
  const callId = await caller.requests(callee.user)
  expect((await callee.hears(REQUEST)).body).toMatchObject({ callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  return callId
}

async function inCall(caller: Device, callee: Resumable): Promise<string> {
  const callId = await calls(caller, callee)
  await callee.says('/app/call/response', { callId, type: 'ACCEPT' })
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  return callId
}

/** Every number once, in order, whichever connection it came over. */
function noGap(device: Resumable): void {
  const numbers = device.messages.map(({ headers }) => Number(headers.seq))
  expect(numbers).toEqual(numbers.map((_, place) => place + 1))
}

test('on another node: what was said meanwhile is replayed in order and without a gap', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const { session } = bob
  const callId = await inCall(alice, bob)
  await alice.signals(callId, 'OFFER', 'one')
  await bob.hears(SIGNALING)
  await bob.cuts()
  for (let number = 0; number < 20; number++)
    await alice.signals(callId, 'ICE_CANDIDATE', { candidate: String(number) })
  await bob.returns(c)
  expect(bob.resumed).toBe('true')
  expect(bob.session).toBe(session)
  for (let number = 0; number < 20; number++)
    expect((await bob.hears(SIGNALING)).body).toMatchObject({ payload: { candidate: String(number) } })
  await alice.signals(callId, 'OFFER', 'two')
  expect((await bob.hears(SIGNALING)).body).toMatchObject({ payload: 'two' })
  noGap(bob)
  await bob.says('/app/rtc/signaling', { callId, type: 'ANSWER', payload: 'three' })
  await alice.hears(SIGNALING, { payload: 'three' })
  await bob.says('/app/call/hangup', { callId })
  await alice.hears('/user/queue/call/hangup', { callId })
})

test('on another node, while it rings: it can answer, and was rung once', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const callId = await calls(alice, bob)
  await bob.cuts()
  await bob.returns(c)
  expect(bob.resumed).toBe('true')
  await bob.says('/app/call/response', { callId, type: 'ACCEPT' })
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await cluster.settles()
  await bob.settled()
  expect(bob.messages.filter(({ headers }) => headers.destination === REQUEST)).toHaveLength(1)
  await alice.hearsNothing()
})

test('on another node: a call that began while it was away rings', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  await bob.cuts()
  const callId = await alice.requests(bob.user)
  await bob.returns(c)
  expect((await bob.hears(REQUEST)).body).toMatchObject({ callId })
  await alice.hears('/user/queue/call/ringing', { callId })
})

test('on another node: the end of a call that rang before it was cut is told', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const callId = await calls(alice, bob)
  await bob.cuts()
  await alice.hangsUp(callId)
  await bob.returns(c)
  expect((await bob.hears('/user/queue/call/hangup')).body).toMatchObject({ callId })
})

test('on another node: the caller’s call goes on ringing', async () => {
  const alice = await Resumable.arrives(a, own('alice'))
  const bob = await b.arrives(own('bob'))
  await alice.says('/app/call/request', { callId: 'goes on', callee: bob.user, callerUserName: 'Alice' })
  await bob.hears(REQUEST, { callId: 'goes on' })
  await alice.cuts()
  await alice.returns(c)
  expect(alice.resumed).toBe('true')
  await bob.accepts('goes on')
  expect((await alice.hears('/user/queue/call/response')).body).toMatchObject({ callId: 'goes on', type: 'ACCEPT' })
})

test('while the old connection is still open: that one is closed, and only the new one hears', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const callId = await inCall(alice, bob)
  const { closed } = bob
  await bob.returns(c)
  expect(bob.resumed).toBe('true')
  await closed
  await alice.signals(callId, 'OFFER', 'to the new one')
  expect((await bob.hears(SIGNALING)).body).toMatchObject({ payload: 'to the new one' })
  noGap(bob)
})

test('from node to node, many times: still the same device', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const callId = await inCall(alice, bob)
  for (let round = 0; round < 12; round++) {
    const node = [c, a, b][round % 3] ?? a
    if (round % 2 === 0) await bob.cuts()
    const sent = alice.signals(callId, 'ICE_CANDIDATE', { candidate: String(round) })
    await bob.returns(node)
    expect(bob.resumed).toBe('true')
    await sent
    expect((await bob.hears(SIGNALING)).body).toMatchObject({ payload: { candidate: String(round) } })
  }
  noGap(bob)
})

test('nobody sees it go offline', async () => {
  const watcher = await a.arrives(own('watcher'), 'screen', { listens: [STATUS] })
  const bob = await Resumable.arrives(b, own('bob'))
  const marker = await b.arrives(own('marker'))
  const learns = async (status: string) => {
    for (;;) {
      const { body } = await watcher.hears(STATUS)
      const changes = body as { userId: string; status: string }[]
      expect(changes).not.toContainEqual({ userId: bob.user, status: 'OFFLINE' })
      if (changes.some((change) => change.userId === marker.user && change.status === status)) return
    }
  }
  await learns('ONLINE')
  await bob.cuts()
  await bob.returns(c)
  await marker.leaves()
  await learns('OFFLINE')
})

test('of a node that stops in order: another one takes the session up, with all that was told meanwhile', async () => {
  doomed = await cluster.node()
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(doomed, own('bob'))
  const callId = await inCall(alice, bob)
  const { closed } = bob
  await doomed.stops()
  expect(await closed).toMatchObject({ code: 1012 })
  await alice.signals(callId, 'OFFER', 'while nobody held it')
  await bob.returns(c)
  expect(bob.resumed).toBe('true')
  await alice.signals(callId, 'OFFER', 'and after')
  const heard = [await bob.hears(SIGNALING)]
  if (heard[0]?.body.payload === 'while nobody held it') heard.push(await bob.hears(SIGNALING))
  expect(heard.at(-1)?.body).toMatchObject({ payload: 'and after' })
  await bob.says('/app/call/hangup', { callId })
  await alice.hears('/user/queue/call/hangup', { callId })
})

test('of a node that was killed: what is lost is said, and the call goes on', async () => {
  doomed = await cluster.node()
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(doomed, own('bob'))
  const callId = await inCall(alice, bob)
  await doomed.kill()
  await bob.returns(c)
  expect(bob.resumed).toBe('false')
  await bob.subscribes()
  await bob.says('/app/rtc/signaling', { callId, type: 'OFFER', payload: 'I am back' })
  await alice.hears(SIGNALING, { payload: 'I am back' })
})

test('of a node that stands still: it cannot write any more when it wakes', async () => {
  doomed = await cluster.node()
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(doomed, own('bob'))
  const callId = await inCall(alice, bob)
  doomed.freezes()
  await bob.returns(c)
  expect(bob.resumed).toBe('false')
  await bob.subscribes()
  doomed.thaws()
  await cluster.settles()
  await bob.says('/app/rtc/signaling', { callId, type: 'OFFER', payload: 'from the new one' })
  await alice.hears(SIGNALING, { payload: 'from the new one' })
  await alice.signals(callId, 'ANSWER', 'to the new one')
  expect((await bob.hears(SIGNALING)).body).toMatchObject({ payload: 'to the new one' })
})

test('somebody else cannot: a resume-id is worth nothing without a token of its user', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await Resumable.arrives(b, own('bob'))
  const callId = await calls(alice, bob)
  const mallory = await Resumable.arrives(a, own('mallory'))
  await mallory.takes(bob, c)
  expect(mallory.resumed).toBe('false')
  expect(mallory.session).not.toBe(bob.session)
  await bob.says('/app/call/response', { callId, type: 'ACCEPT' })
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
})
