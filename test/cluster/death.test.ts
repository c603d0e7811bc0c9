/**
 * A node is killed with -9 at the worst moment: whoever talked to its users, or was about to, is not left alone. It dies
 * once, with many stories under way that know nothing of each other, and these go on side by side.
 */

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { alone, Cluster, type ClusterNode } from './world.ts'

let cluster: Cluster
/** The one that dies, and two that live. */
let doomed: ClusterNode
let b: ClusterNode
let c: ClusterNode

/** The same node, as an operator starts it again at once. */
let startedAgain: Promise<ClusterNode>
/** Fulfilled when one of the living, or the new one, says that it is gone. */
let foundDead: Promise<unknown>

/** What is under way when the node dies; fulfilled with what comes afterwards. */
type Story = (alice: string, bob: string) => Promise<() => Promise<void>>

/** A call that both are in. */
async function inCall(from: ClusterNode, alice: string, to: ClusterNode, bob: string) {
  const [caller, callee] = [await from.arrives(alice), await to.arrives(bob)]
  const callId = await caller.requests(bob)
  await callee.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await callee.accepts(callId)
  await caller.hears('/user/queue/call/response', { callId })
  return { caller, callee, callId }
}

const stories: Record<string, Story> = {
  'of the caller, while it rings: the callee’s devices stop ringing, and both users are free': async (alice, bob) => {
    const caller = await doomed.arrives(alice)
    const [phone, laptop] = [await b.arrives(bob), await c.arrives(bob, 'laptop')]
    const callId = await caller.requests(bob)
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
    return async () => {
      for (const device of [phone, laptop])
        await device.hears('/user/queue/call/hangup', { callId, reason: 'CALLER_LOST' })
      await cluster.settles()
      for (const device of [phone, laptop]) await device.hearsNothing()
      const again = await b.arrives(alice)
      const next = await again.requests(bob)
      for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId: next })
    }
  },

  'of a callee’s device, while it rings: the call goes on, and rings again where the callee comes back': async (
    alice,
    bob,
  ) => {
    const caller = await b.arrives(alice)
    const phone = await doomed.arrives(bob)
    const callId = await caller.requests(bob)
    await phone.hears('/user/queue/call/request', { callId })
    await caller.hears('/user/queue/call/ringing', { callId })
    return async () => {
      const again = await c.arrives(bob, 'phone', { token: phone.token })
      await again.hears('/user/queue/call/request', { callId, caller: alice })
      await again.accepts(callId)
      await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
      await caller.signals(callId, 'OFFER', 'to the device that came back')
      await again.hears('/user/queue/rtc/signaling', { callId })
      await cluster.settles()
      await caller.hearsNothing()
      await again.hearsNothing()
    }
  },

  'of a callee’s device, while it rings: the others go on ringing and can answer': async (alice, bob) => {
    const caller = await b.arrives(alice)
    const [phone, laptop] = [await doomed.arrives(bob), await c.arrives(bob, 'laptop')]
    const callId = await caller.requests(bob)
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
    return async () => {
      await laptop.accepts(callId)
      await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
      await laptop.hangsUp(callId)
      await caller.hears('/user/queue/call/hangup', { callId })
    }
  },

  'of the caller, in a call: the other hears its end, and both are free': async (alice, bob) => {
    const { callee, callId } = await inCall(doomed, alice, b, bob)
    return async () => {
      await callee.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
      const next = await callee.requests(alice)
      const back = await c.arrives(alice)
      await back.hears('/user/queue/call/request', { callId: next })
    }
  },

  'of the callee, in a call: the other hears its end, and is free': async (alice, bob) => {
    const { caller, callId } = await inCall(b, alice, doomed, bob)
    return async () => {
      await caller.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
      const carol = `${alice}'s friend`
      const next = await caller.requests(carol)
      const third = await c.arrives(carol)
      await third.hears('/user/queue/call/request', { callId: next })
    }
  },

  'that nobody in the call is connected to: the call goes on': async (alice, bob) => {
    const { caller, callee, callId } = await inCall(b, alice, c, bob)
    return async () => {
      await caller.signals(callId, 'OFFER', 'still here')
      await callee.hears('/user/queue/rtc/signaling', { callId, payload: 'still here' })
      await foundDead
      await caller.signals(callId, 'OFFER', 'and when it was found dead')
      await callee.hears('/user/queue/rtc/signaling', { callId, payload: 'and when it was found dead' })
      await callee.hangsUp(callId)
      await caller.hears('/user/queue/call/hangup', { callId })
    }
  },

  'that took an HTTP request: the call that it began rings out on the deadline that others keep': async (
    alice,
    bob,
  ) => {
    const phone = await b.arrives(bob)
    const request = { callId: 'begun over HTTP', callee: bob, callerUserName: 'Alice', timeout: 5 }
    const { body } = await doomed.asks(alice, '/imserver/call/request', request)
    expect(body).toMatchObject({ code: 200 })
    await phone.hears('/user/queue/call/request', { callId: request.callId })
    return async () => {
      await phone.hears('/user/queue/call/timeout', { callId: request.callId })
      await cluster.settles()
      await phone.hearsNothing()
    }
  },

  'and is started again: its users come back, and nothing of before is in the way': async (alice, bob) => {
    const { callee, callId } = await inCall(doomed, alice, b, bob)
    return async () => {
      const again = await startedAgain
      await callee.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
      const back = await again.arrives(alice)
      const next = await callee.requests(alice)
      await back.hears('/user/queue/call/request', { callId: next })
    }
  },
}

const outcomes = new Map<string, Promise<void>>()

/** A story that does not get as far as the death has failed: the others do not wait for it for ever. */
const PATIENCE_MS = 30_000

beforeAll(async () => {
  cluster = new Cluster(await alone())
  ;[doomed, b, c] = await cluster.nodes(3)
  const begun = Object.entries(stories).map(
    ([name, begins], place) => [name, begins(`alice-${place}`, `bob-${place}`)] as const,
  )
  let patience: NodeJS.Timeout | undefined
  const atLast = new Promise<void>((resolve) => {
    patience = setTimeout(resolve, PATIENCE_MS)
  })
  await Promise.race([atLast, Promise.allSettled(begun.map(([, story]) => story))])
  clearTimeout(patience)
  await doomed.kill()
  startedAgain = cluster.node({ name: doomed.name })
  const heirs = [b, c, startedAgain].map(async (node) => (await node).process.says(/a server is gone/))
  foundDead = Promise.race(heirs)
  for (const [name, story] of begun) {
    const outcome = story.then((goesOn) => goesOn())
    // Whoever asks for it learns of it
    outcome.catch(() => {})
    outcomes.set(name, outcome)
  }
})

afterAll(() => cluster.closes())

test.each(Object.keys(stories))('%s', async (name) => outcomes.get(name))
