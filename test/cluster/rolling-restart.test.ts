/** A new version is rolled out, node by node, while people call each other: nobody loses a call. */

import { afterEach, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { type Call, CallClient, type SocketLike } from '../../client/index.ts'
import { becomes, rings } from '../support/client-events.ts'
import { tokenFor } from '../support/story.ts'
import { Balancer } from './balancer.ts'
import { alone, Cluster } from './world.ts'

const PAIRS = 4
/** How many calls of each pair must be over after the last node was replaced. */
const CALLS_AFTERWARDS = 2

let cluster: Cluster | undefined
let balancer: Balancer | undefined
const clients: CallClient[] = []

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.disconnect()))
  await balancer?.stop()
  await cluster?.closes()
})

async function arrives(url: string, user: string): Promise<CallClient> {
  const client = new CallClient({
    url: `${url}/imserver/ws`,
    userId: user,
    token: () => tokenFor(user),
    webSocketFactory: (address, protocols) => new WebSocket(address, protocols) as unknown as SocketLike,
    rtc: null,
  })
  clients.push(client)
  await client.connect()
  return client
}

/** Two who call each other by turns, as long as they are asked to. */
class Pair {
  readonly #ends: readonly [CallClient, CallClient]
  over = 0
  #wake: (() => void)[] = []

  constructor(one: CallClient, other: CallClient) {
    this.#ends = [one, other]
  }

  /** One whole call, with signals both ways. Rejected with what went wrong. */
  async call(): Promise<void> {
    const [caller, callee] = this.over % 2 === 0 ? this.#ends : [this.#ends[1], this.#ends[0]]
    await Promise.all(this.#ends.map(online))
    const ringing = rings(callee)
    const call = await caller.call(callee.userId ?? '')
    const answered = await orEnds(call, ringing)
    await answered.accept()
    await orEnds(call, becomes(call, 'connected'))
    for (const [from, to] of [
      [call, answered],
      [answered, call],
    ] as const) {
      const heard = hears(to, `${from.direction} ${call.id}`)
      from.signal('OFFER', `${from.direction} ${call.id}`)
      await orEnds(call, heard)
    }
    const ends = [becomes(call, 'ended'), becomes(answered, 'ended')]
    call.hangUp()
    await Promise.all(ends)
    expect([call.endReason, answered.endReason]).toEqual(['hung-up', 'hung-up'])
    this.over++
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Fulfilled when they have had so many calls. */
  async has(calls: number): Promise<void> {
    while (this.over < calls) await new Promise<void>((wake) => this.#wake.push(wake))
  }
}

const online = (client: CallClient) =>
  new Promise<void>((done) => {
    if (client.state === 'online') return done()
    const off = client.on('state', ({ state }) => {
      if (state !== 'online') return
      off()
      done()
    })
  })

const hears = (call: Call, wanted: string) =>
  new Promise<void>((done) => {
    call.on('signal', ({ payload }) => payload === wanted && done())
  })

/** What is waited for, unless the call ends before. */
const orEnds = <T>(call: Call, wanted: Promise<T>): Promise<T> =>
  Promise.race([
    wanted,
    becomes(call, 'ended').then(() => {
      throw new Error(`${call.id} has ended: ${call.endReason}`)
    }),
  ])

test('three nodes are replaced one after the other under load, and no call fails', async () => {
  cluster = new Cluster(await alone(), { CALLER_GRACE_MS: '10000', CALL_GRACE_MS: '30000' })
  const before = await cluster.nodes(3)
  balancer = await Balancer.before(before.map(({ url }) => url))
  const { url } = balancer
  const pairs = await Promise.all(
    Array.from(
      { length: PAIRS },
      async (_, n) => new Pair(await arrives(url, `caller-${n}`), await arrives(url, `callee-${n}`)),
    ),
  )
  let replaced = false
  const load = pairs.map(async (pair) => {
    let left = CALLS_AFTERWARDS
    while (left > 0) {
      if (replaced) left--
      await pair.call()
    }
  })
  // Not fulfilled while there is anything to wait for
  const failed = Promise.all(load)
  failed.catch(() => {})
  const roll = async () => {
    for (const node of before) {
      const next = await cluster?.node()
      balancer?.add(next?.url ?? '')
      await node.stops()
      balancer?.remove(node.url)
      const done = pairs.map(({ over }) => over)
      // Everybody has had a call since: nobody lives from what one node alone knew
      const another = Promise.all(pairs.map((pair, n) => pair.has((done[n] ?? 0) + 1)))
      await Promise.race([another, failed])
    }
    replaced = true
  }
  await Promise.all([roll(), ...load])
  expect(Math.min(...pairs.map(({ over }) => over))).toBeGreaterThanOrEqual(3 + CALLS_AFTERWARDS)
}, 120_000)
