/**
 * A node dies between the commit of a change and telling anybody: the moment in which a ring, an answer or an end could
 * be lost for ever. The test is that node: it changes the call with the product's own code, tells nobody, and vanishes.
 */

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { systemClock } from '../../broker/index.ts'
import { LeasedMembers } from '../../src/adapters/redis/members.ts'
import type { CallStore } from '../../src/ports.ts'
import { TestClock } from '../support/clock.ts'
import { actor, engine, requestOf } from '../support/engine.ts'
import { storeAt } from '../support/redis-calls.ts'
import { alone, Cluster, type ClusterNode, own } from './world.ts'

let cluster: Cluster
let redis: string
let a: ClusterNode
let b: ClusterNode

beforeAll(async () => {
  const shared = await alone()
  redis = shared.redis.url
  cluster = new Cluster(shared)
  ;[a, b] = await cluster.nodes(2)
})

afterEach(() => cluster.empties())

afterAll(() => cluster.closes())

/** A lease that nobody renews, and that is over by the time somebody looks. */
const LEASE_MS = 1
const NEVER_MS = 3_600_000

/** Registers as a node, gives `act` an engine whose every commit is its last deed, and is gone. */
async function vanishesAfter(act: (calls: ReturnType<typeof engine>['calls']) => unknown): Promise<void> {
  const node = own('ghost')
  const { store, link, stop } = await storeAt(redis, { node, variables: { REDIS_PREFIX: 'carillon:' } })
  const log = { info() {}, warn() {}, error() {} }
  const facts = () => ({ name: node, version: '0', startedAt: Date.now() })
  const leases = { leaseMs: LEASE_MS, renewMs: NEVER_MS }
  const members = new LeasedMembers({ self: node, link, clock: systemClock, log, facts, ...leases })
  await new Promise<void>((committed, failed) => {
    const dying = diesAtCommit(store, committed)
    const { calls } = engine({ store: dying, clock: new TestClock(Date.now()) })
    // What it has left untold is there before its lease: whoever looks finds both
    Promise.resolve(act(calls)).then(() => failed(new Error('nothing was committed')), failed)
  })
  await members.start()
  await stop()
}

function diesAtCommit(store: CallStore, committed: () => void): CallStore {
  return {
    outlives: true,
    load: (callId) => store.load(callId),
    line: (user) => store.line(user),
    async commit(writes, effects) {
      if (!(await store.commit(writes, effects))) return false
      committed()
      return new Promise(() => {})
    },
    forget: (callId, expected) => store.forget(callId, expected),
    due: () => [],
    live: () => [],
    nextDue: () => undefined,
  }
}

test('a call that nobody was told of rings', async () => {
  const bob = await b.arrives(own('bob'))
  await vanishesAfter((calls) => calls.request(actor(own('alice')), requestOf(own('bob'), 'first')))
  await bob.hears('/user/queue/call/request', { callId: 'first', caller: own('alice') })
  await bob.accepts('first')
})

test('an answer that nobody was told of is heard by the caller, and by the devices that rang', async () => {
  const alice = await a.arrives(own('alice'))
  const [phone, laptop] = [await b.arrives(own('bob')), await a.arrives(own('bob'), 'laptop')]
  const callId = await alice.requests(own('bob'))
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  const answering = { user: own('bob'), device: phone.session, token: 'whatever it is' }
  await vanishesAfter((calls) => calls.respond(answering, { callId, type: 'ACCEPT', reason: 'DECLINED' }))
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await laptop.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
  await alice.signals(callId, 'OFFER', 'to the one who has answered')
  await phone.hears('/user/queue/rtc/signaling', { callId })
})

test('a rejection that nobody was told of is heard by the caller, who is free', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await b.arrives(own('bob'))
  const callId = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  await vanishesAfter((calls) => calls.respond(actor(own('bob')), { callId, type: 'REJECT', reason: 'DECLINED' }))
  await alice.hears('/user/queue/call/response', { callId, type: 'REJECT' })
  const next = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId: next })
})

test('a cancellation that nobody was told of stops the ringing on every node', async () => {
  const alice = await a.arrives(own('alice'))
  const [phone, laptop] = [await b.arrives(own('bob')), await a.arrives(own('bob'), 'laptop')]
  const callId = await alice.requests(own('bob'))
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  await vanishesAfter((calls) => calls.hangup(actor(own('alice')), { callId }))
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/hangup', { callId })
})

test('a hang-up that nobody was told of ends the call for the other', async () => {
  const alice = await a.arrives(own('alice'))
  const bob = await b.arrives(own('bob'))
  const callId = await alice.requests(own('bob'))
  await bob.hears('/user/queue/call/request', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await vanishesAfter((calls) => calls.hangup(actor(own('bob')), { callId }))
  await alice.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
  expect(await a.asks(own('alice'), '/imserver/call/hangup', '')).toMatchObject({ status: 200 })
})
