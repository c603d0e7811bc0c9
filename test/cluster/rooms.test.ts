/** A room whose people are on different nodes is a room like any other. */

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Device } from '../support/story.ts'
import { alone, CALLS, Cluster, type ClusterNode } from './world.ts'

const ROOM = '/user/queue/call/room'
const SIGNALS = '/user/queue/rtc/signaling'
const ERRORS = '/user/queue/errors'

let cluster: Cluster
let a: ClusterNode
let b: ClusterNode
let c: ClusterNode
let people = 0

beforeAll(async () => {
  cluster = new Cluster(await alone())
  ;[a, b, c] = await cluster.nodes(3)
})

afterAll(() => cluster.closes())

const arrives = (node: ClusterNode, user: string, name = 'phone') =>
  node.arrives(`${user}-${people}`, name, { listens: [...CALLS.filter((queue) => queue !== ROOM), ROOM] })

const invites = (device: Device, callId: string, ...invitees: Device[]) =>
  device.says('/app/call/invite', { callId, invitees: invitees.map(({ user }) => user) })

const states = (...members: [Device, string][]) => ({
  members: members.map(([{ user }, state]) => expect.objectContaining({ userId: user, state })),
})

/** The last roster that has come, whatever came before it. */
async function lastRoster(device: Device, expected: Record<string, unknown>): Promise<void> {
  await cluster.settles()
  const rosters = device.unexpected.filter(({ destination }) => destination === ROOM).map(({ body }) => body)
  const versions = rosters.map((roster) => (roster as { version: number }).version)
  expect(rosters[versions.indexOf(Math.max(...versions))]).toMatchObject(expected)
  await device.forgets()
}

async function quiet(...devices: readonly Device[]): Promise<void> {
  await cluster.settles()
  for (const device of devices) await device.hearsNothing()
}

/** alice on the first node is in a call with bob on the second. */
async function inCall(): Promise<{ callId: string; alice: Device; bob: Device }> {
  people++
  const [alice, bob] = [await arrives(a, 'alice'), await arrives(b, 'bob')]
  const callId = await alice.requests(bob.user, { features: ['room'] })
  await bob.hears('/user/queue/call/request', { callId })
  await alice.hears('/user/queue/call/ringing', { callId })
  await bob.accepts(callId, ['room'])
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  return { callId, alice, bob }
}

test('four on three nodes: all devices of who is invited ring, one joins, each signals to each, and they leave', async () => {
  const { callId, alice, bob } = await inCall()
  const [carol, tablet, dave] = [
    await arrives(c, 'carol'),
    await arrives(a, 'carol', 'tablet'),
    await arrives(b, 'dave'),
  ]
  await invites(bob, callId, carol, dave)
  for (const device of [alice, bob])
    await device.hears(ROOM, states([alice, 'JOINED'], [bob, 'JOINED'], [carol, 'RINGING'], [dave, 'RINGING']))
  for (const device of [carol, tablet, dave])
    await device.hears('/user/queue/call/request', { callId, caller: bob.user, room: true })
  await carol.accepts(callId, ['room'])
  await tablet.hears('/user/queue/call/down', { callId, reason: 'ANSWERED_ELSEWHERE' })
  for (const device of [alice, bob, carol]) await device.hears(ROOM, { by: carol.user })
  await dave.accepts(callId, ['room'])
  for (const device of [alice, bob, carol, dave])
    await device.hears(ROOM, states([alice, 'JOINED'], [bob, 'JOINED'], [carol, 'JOINED'], [dave, 'JOINED']))

  const all = [alice, bob, carol, dave]
  for (const one of all)
    for (const other of all.filter((device) => device !== one)) {
      await one.says('/app/rtc/signaling', { callId, type: 'OFFER', payload: `of ${one.user}`, to: other.user })
      expect((await other.hears(SIGNALS, { payload: `of ${one.user}` })).headers.from).toBe(one.user)
    }

  await bob.hangsUp(callId)
  for (const device of [alice, carol, dave]) await device.hears(ROOM, { by: bob.user })
  const next = await bob.requests('somebody who is away')
  await bob.hangsUp(next)
  for (const device of [alice, carol]) await device.hangsUp(callId)
  await dave.hears(ROOM, { by: alice.user })
  await carol.hears(ROOM, { by: alice.user })
  await dave.hears(ROOM, { by: carol.user })
  await dave.hangsUp(callId)
  await quiet(alice, bob, carol, tablet, dave)
  const over = await a.asks(dave.user, '/imserver/call/invite', { callId, invitees: [alice.user] })
  expect(over.body).toMatchObject({ code: 1005 })
})

test('members on two nodes invite at once into the last place: one gets it, and both hear the same in the end', async () => {
  for (let round = 0; round < 10; round++) {
    const { callId, alice, bob } = await inCall()
    const [carol, dave, erin] = [await arrives(c, 'carol'), await arrives(a, 'dave'), await arrives(b, 'erin')]
    await invites(alice, callId, carol)
    await carol.accepts(callId, ['room'])
    await cluster.settles()
    for (const device of [alice, bob, carol]) await device.forgets()
    await Promise.all([invites(alice, callId, dave), invites(bob, callId, erin)])
    const full = [alice, bob].filter(({ unexpected }) => unexpected.some(({ destination }) => destination === ERRORS))
    expect(full).toHaveLength(1)
    const asked = full[0] === alice ? erin : dave
    await full[0]?.hears(ERRORS, { code: 1009, callId })
    await asked.hears('/user/queue/call/request', { callId })
    await alice.hangsUp(callId)
    await asked.accepts(callId, ['room'])
    const now = states([alice, 'LEFT'], [bob, 'JOINED'], [carol, 'JOINED'], [asked, 'JOINED'])
    for (const device of [bob, carol, asked]) await lastRoster(device, now)
    await quiet(dave === asked ? erin : dave)
  }
}, 60_000)

test('somebody is invited on one node and called on another at once: their line is taken once', async () => {
  for (let round = 0; round < 20; round++) {
    const { callId, alice, bob } = await inCall()
    const [carol, erin] = [await arrives(c, 'carol'), await arrives(b, 'erin')]
    const [, other] = await Promise.all([invites(alice, callId, erin), carol.requests(erin.user)])
    await bob.hears(ROOM, { by: alice.user })
    const busy = carol.unexpected.some(({ destination }) => destination === ERRORS)
    await alice.hears(ROOM, states([alice, 'JOINED'], [bob, 'JOINED'], [erin, busy ? 'RINGING' : 'BUSY']))
    await erin.hears('/user/queue/call/request', { callId: busy ? callId : other })
    if (busy) await carol.hears(ERRORS, { code: 1001, reason: 'BUSY' })
    else await carol.hears('/user/queue/call/ringing', { callId: other })
    await quiet(alice, bob, carol, erin)
  }
}, 60_000)

test('the node of a member dies: the others go on without them, and the room remembers who was in it', async () => {
  const mortal = await cluster.node({ name: 'mortal' })
  const { callId, alice, bob } = await inCall()
  const carol = await arrives(mortal, 'carol')
  await invites(alice, callId, carol)
  await carol.hears('/user/queue/call/request', { callId })
  await carol.accepts(callId, ['room'])
  await cluster.settles()
  for (const device of [alice, bob]) await device.forgets()
  await mortal.kill()
  for (const device of [alice, bob])
    await device.hears(ROOM, { by: carol.user, ...states([alice, 'JOINED'], [bob, 'JOINED'], [carol, 'LEFT']) })
  await alice.signals(callId, 'OFFER', 'two are left')
  await bob.hears(SIGNALS, { callId, payload: 'two are left' })
  const again = await arrives(c, 'carol')
  await invites(bob, callId, again)
  await again.hears('/user/queue/call/request', { callId, caller: bob.user })
})
