/** The client in Node against the real server, over a network that is cut: what arrives, in which order, how often. */

import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import {
  type Call,
  CallClient,
  type Clock,
  type FrameSeen,
  type SocketLike,
  type StateChange,
} from '../../client/index.ts'
import { becomes, once, reaches, rings } from '../support/client-events.ts'
import { TestClock } from '../support/clock.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import { opens, tokenFor, type World } from '../support/story.ts'

let world: World
const clients: CallClient[] = []
const networks: CutProxy[] = []

beforeEach(async () => {
  world = await opens()
})

afterEach(async () => {
  for (const network of networks) network.heal()
  await Promise.all(clients.splice(0).map((client) => client.disconnect()))
  await Promise.all(networks.splice(0).map((network) => network.stop()))
  await world.closes()
})

/** A client with a network of its own, and a fresh token for every connection. */
async function arrives(user: string, clock?: Clock): Promise<{ client: CallClient; network: CutProxy }> {
  const network = await CutProxy.to(Number(new URL(world.url).port))
  const client = new CallClient({
    url: `http://127.0.0.1:${network.port}/imserver/ws`,
    userId: user,
    token: () => tokenFor(user),
    webSocketFactory: (url, protocols) => new WebSocket(url, protocols) as unknown as SocketLike,
    // The server's clock makes leaps that no heart-beat can follow
    heartbeatMs: 0,
    ...(clock && { clock }),
    rtc: null,
  })
  networks.push(network)
  clients.push(client)
  await client.connect()
  return { client, network }
}

async function two(clockOfBob?: Clock) {
  const { client: alice, network: hers } = await arrives('alice')
  const { client: bob, network: his } = await arrives('bob', clockOfBob)
  return { alice, hers, bob, his }
}

async function talking(clockOfBob?: Clock) {
  const all = await two(clockOfBob)
  const ringing = rings(all.bob)
  const call = await all.alice.call('bob', { type: 'AUDIO' })
  const answered = await ringing
  await answered.accept()
  await becomes(call, 'connected')
  return { ...all, call, answered }
}

/** Bob is away while `meanwhile` happens, and then back. */
async function isAway(bob: CallClient, his: CutProxy, meanwhile: () => Promise<void>): Promise<StateChange> {
  const away = reaches(bob, 'reconnecting')
  his.cut()
  await away
  await meanwhile()
  const back = reaches(bob, 'online')
  his.heal()
  return back
}

test('what is signalled to somebody who is away arrives afterwards, in order, once, over the same device', async () => {
  const { alice, bob, his, call, answered } = await talking()
  const { session } = bob
  const heard: unknown[] = []
  answered.on('signal', ({ payload }) => heard.push(payload))
  const wholly = once<{ payload: unknown }>(
    (tell) => answered.on('signal', tell),
    ({ payload }) => payload === 'three',
  )
  call.signal('OFFER', 'one')
  const back = await isAway(bob, his, async () => {
    call.signal('OFFER', 'two')
    call.signal('OFFER', 'three')
    await alice.watch(['bob']) // whose answer comes when all before it is done
  })
  await wholly
  expect(heard).toEqual(['one', 'two', 'three'])
  expect([back.resumed, bob.session, answered.state, answered.reconnecting]).toEqual([
    true,
    session,
    'connected',
    false,
  ])
})

test('what somebody says who is away arrives afterwards, in order, and the other side is told that they are back', async () => {
  const { alice, bob, his, call, answered } = await talking()
  const heard: unknown[] = []
  call.on('signal', ({ payload }) => heard.push(payload))
  const reattached = once<FrameSeen>(
    (tell) => alice.on('frame', tell),
    ({ headers }) => headers['peer-reattached'] === 'true',
  )
  const wholly = once<{ payload: unknown }>(
    (tell) => call.on('signal', tell),
    ({ payload }) => payload === 'two',
  )
  await isAway(bob, his, async () => {
    answered.signal('ANSWER', 'one')
    answered.signal('ANSWER', 'two')
  })
  await Promise.all([wholly, reattached])
  expect(heard).toEqual(['one', 'two'])
})

test('a hang-up while one is away is heard afterwards', async () => {
  const { alice, bob, his, call, answered } = await talking()
  const ended = becomes(answered, 'ended')
  await isAway(bob, his, async () => {
    call.hangUp()
    await alice.watch(['bob'])
  })
  await ended
  expect([answered.endReason, answered.endedBy]).toEqual(['hung-up', 'peer'])
})

test('a call that rings goes on ringing, and is answered afterwards', async () => {
  const { alice, bob, his } = await two()
  const ringing = rings(bob)
  const call = await alice.call('bob', { type: 'AUDIO' })
  const answered = await ringing
  let accepted: Promise<void> | undefined
  await isAway(bob, his, async () => {
    accepted = answered.accept()
  })
  await accepted
  await becomes(call, 'connected')
})

test('a call to somebody who is away rings when they are back', async () => {
  const { alice, bob, his } = await two()
  const ringing = rings(bob)
  let call: Call | undefined
  await isAway(bob, his, async () => {
    call = await alice.call('bob', { type: 'AUDIO' })
  })
  expect((await ringing).id).toBe(call?.id)
  await becomes(call as Call, 'ringing')
})

test('a caller who was away hears who has answered meanwhile', async () => {
  const { alice, hers, bob } = await two()
  const ringing = rings(bob)
  const call = await alice.call('bob', { type: 'AUDIO' })
  const answered = await ringing
  await isAway(alice, hers, () => answered.accept())
  await becomes(call, 'connected')
})

test('nobody sees somebody go who comes back', async () => {
  const { alice, bob, his } = await two()
  await alice.watch(['bob'])
  const told: unknown[] = []
  alice.on('presence', (changes) => told.push(...changes.filter(({ status }) => status === 'OFFLINE')))
  await isAway(bob, his, () => world.clock.advance(20_000))
  await world.clock.advance(60_000)
  await alice.watch(['alice'])
  expect(told).toEqual([])
})

test('a hang-up into a network that only swallows is said over the next, which is the same device', async () => {
  const clock = new TestClock(Date.now())
  const { bob, his, call, answered } = await talking(clock)
  const { session } = bob
  const ended = becomes(call, 'ended')
  his.strand()
  answered.hangUp()
  await clock.advance(10_000)
  await ended
  expect([call.endReason, call.endedBy]).toEqual(['hung-up', 'peer'])
  expect(bob.session).toBe(session)
})

test('a device that was away for too long is a new one, and its call is over', async () => {
  const { bob, his, call, answered } = await talking()
  const { session } = bob
  const ended = [becomes(call, 'ended'), becomes(answered, 'ended')]
  const back = await isAway(bob, his, () => world.clock.advance(31_000))
  await Promise.all(ended)
  expect([call.endReason, answered.endReason, back.resumed]).toEqual(['lost', 'lost', false])
  expect(bob.session).not.toBe(session)
})
