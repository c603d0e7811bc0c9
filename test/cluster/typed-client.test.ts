/** The typed client behind a load balancer that sends it to another server of the same Redis whenever it comes back. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { type Call, CallClient, type SocketLike } from '../../client/index.ts'
import { becomes, once, reaches, rings } from '../support/client-events.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import type { RedisServer } from '../support/redis.ts'
import { tokenFor } from '../support/story.ts'
import { alone, Cluster, type ClusterNode, own } from './world.ts'

let redis: RedisServer
let cluster: Cluster
let first: ClusterNode
let second: ClusterNode
const clients: CallClient[] = []
const networks: CutProxy[] = []

beforeAll(async () => {
  const shared = await alone()
  redis = shared.redis
  // Longer than any client is away
  cluster = new Cluster(shared, { CALLER_GRACE_MS: '20000', CALL_GRACE_MS: '30000' })
  ;[first, second] = await cluster.nodes(2)
})

// Two servers that are well, whatever the story before has done to the first
beforeEach(async () => {
  if (!first.running) first = await cluster.node()
  for (const { url } of [first, second]) while ((await fetch(`${url}/readyz`)).status !== 200);
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.disconnect()))
  await Promise.all(networks.splice(0).map((network) => network.stop()))
  await cluster.empties()
})

afterAll(() => cluster.closes())

const portOf = ({ url }: ClusterNode) => Number(new URL(url).port)

/** With one token for all its connections. */
async function arrives(user: string, node: ClusterNode): Promise<{ client: CallClient; network: CutProxy }> {
  const network = await CutProxy.to(portOf(node))
  const token = await tokenFor(user)
  const client = new CallClient({
    url: `http://127.0.0.1:${network.port}/imserver/ws`,
    userId: user,
    token: () => token,
    webSocketFactory: (url, protocols) => new WebSocket(url, protocols) as unknown as SocketLike,
    rtc: null,
  })
  networks.push(network)
  clients.push(client)
  await client.connect()
  return { client, network }
}

/** Alice is on the first of two servers and stays there; Bob comes back on the second. */
async function two() {
  const { client: alice } = await arrives(own('alice'), first)
  const { client: bob, network: his } = await arrives(own('bob'), first)
  his.leadTo(portOf(second))
  return { alice, bob, his }
}

async function ringing() {
  const all = await two()
  const incoming = rings(all.bob)
  const call = await all.alice.call(own('bob'), { type: 'AUDIO' })
  return { ...all, call, incoming: await incoming }
}

async function talking() {
  const all = await ringing()
  await all.incoming.accept()
  await becomes(all.call, 'connected')
  return all
}

/** All that is heard until the other says `last`. */
function hears(call: Call): Promise<unknown[]> {
  const heard: unknown[] = []
  return new Promise((all) => {
    call.on('signal', ({ payload }) => {
      heard.push(payload)
      if (payload === 'last') all(heard)
    })
  })
}

describe('a device that comes back on another server', () => {
  test('is the same, and hears what was said meanwhile, in order and once', async () => {
    const { alice, bob, his, call, incoming } = await talking()
    const { session } = bob
    const heard = hears(incoming)
    call.signal('OFFER', 'one')
    const away = reaches(bob, 'reconnecting')
    const back = reaches(bob, 'online')
    his.cut()
    await away
    call.signal('OFFER', 'two')
    call.signal('OFFER', 'three')
    await alice.watch([own('bob')])
    his.heal()
    const { resumed } = await back
    call.signal('OFFER', 'last')
    expect(await heard).toEqual(['one', 'two', 'three', 'last'])
    expect([resumed, bob.session, incoming.state, incoming.reconnecting]).toEqual([true, session, 'connected', false])
  })

  test('goes on ringing there, and answers', async () => {
    const { bob, his, call, incoming } = await ringing()
    const back = reaches(bob, 'online')
    his.drop()
    expect((await back).resumed).toBe(true)
    await incoming.accept()
    await becomes(call, 'connected')
  })
})

describe('while Redis is away', () => {
  test('a new call fails in plain words, and a hang-up counts as soon as it is back', async () => {
    const { alice, call, incoming } = await talking()
    const { client: carol } = await arrives(own('carol'), first)
    const refused = once<{ direction: string; headers: Readonly<Record<string, string>>; body: string }>(
      (tell) => alice.on('frame', tell),
      ({ direction, headers, body }) =>
        direction === 'received' && 'receipt-id' in headers && body.includes('"code":503'),
    )
    await redis.kill()
    try {
      await expect(carol.call(own('dave'), { type: 'AUDIO' })).rejects.toMatchObject({ code: 503 })
      call.hangUp()
      await refused
    } finally {
      await redis.restart()
    }
    await becomes(incoming, 'ended')
    expect([incoming.endReason, incoming.endedBy]).toEqual(['hung-up', 'peer'])
  })
})

describe('a server that stops in order', () => {
  test('hands its devices to the next: calls go on in which both were on it', async () => {
    const { alice, bob, call, incoming } = await talking()
    for (const network of networks) network.leadTo(portOf(second))
    const back = [alice, bob].map((client) => reaches(client, 'online'))
    const heard = hears(incoming)
    const lost: unknown[] = []
    for (const one of [call, incoming]) one.on('state', ({ state }) => lost.push(state))
    const stopping = first.stops()
    expect((await Promise.all(back)).map(({ resumed }) => resumed)).toEqual([true, true])
    call.signal('OFFER', 'last')
    expect(await heard).toEqual(['last'])
    expect([lost, call.forgotten, incoming.forgotten]).toEqual([[], false, false])
    const ended = becomes(call, 'ended')
    incoming.hangUp()
    await ended
    expect([call.endReason, call.endedBy]).toEqual(['hung-up', 'peer'])
    await stopping
  })
})

describe('a server that is killed', () => {
  test('takes no call with it in which both were on it: they go on with the next', async () => {
    const { alice, bob, call, incoming } = await talking()
    for (const network of networks) network.leadTo(portOf(second))
    const back = [alice, bob].map((client) => reaches(client, 'online'))
    const heard = hears(incoming)
    await first.kill()
    await Promise.all(back)
    await Promise.all([settles(call), settles(incoming)])
    expect([call.state, incoming.state]).toEqual(['connected', 'connected'])
    call.signal('OFFER', 'last')
    expect(await heard).toEqual(['last'])
  })

  test('takes no ring with it', async () => {
    const { alice, bob, call, incoming } = await ringing()
    for (const network of networks) network.leadTo(portOf(second))
    const back = [alice, bob].map((client) => reaches(client, 'online'))
    await first.kill()
    await Promise.all(back)
    await Promise.all([settles(call), settles(incoming)])
    await incoming.accept()
    await becomes(call, 'connected')
  })
})

/** The client knows again how the call is. */
async function settles(call: Call): Promise<void> {
  if (call.reconnecting)
    await once<boolean>(
      (tell) => call.on('reconnecting', tell),
      (on) => !on,
    )
}
