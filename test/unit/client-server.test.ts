/** The client in Node against the real server, over real sockets: call control and signals of one's own, no media. */

import { afterEach, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { CallClient, type ClientOptions, type SocketLike } from '../../client/index.ts'
import { becomes, rings } from '../support/client-events.ts'
import { opens, tokenFor, type World } from '../support/story.ts'

let world: World | undefined
const clients: CallClient[] = []

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.disconnect()))
  await world?.closes()
  world = undefined
})

async function arrives(
  user: string,
  token: () => Promise<string> = () => tokenFor(user),
  more: Pick<ClientOptions, 'renewToken' | 'heartbeatMs'> = {},
): Promise<CallClient> {
  world ??= await opens()
  const client = new CallClient({
    url: `${world.url}/imserver/ws`,
    userId: user,
    token,
    ...more,
    webSocketFactory: (url, protocols) => new WebSocket(url, protocols) as unknown as SocketLike,
    rtc: null,
  })
  clients.push(client)
  await client.connect()
  return client
}

const reaches = (client: CallClient, wanted: CallClient['state']) =>
  new Promise<void>((done) => {
    const off = client.on('state', ({ state }) => {
      if (state !== wanted) return
      off()
      done()
    })
  })

test('a bot calls a person with two devices, one answers, both sides signal, one hangs up', async () => {
  const [alice, phone, laptop] = [await arrives('alice'), await arrives('bob'), await arrives('bob')]
  const [onPhone, onLaptop] = [rings(phone), rings(laptop)]
  const call = await alice.call('bob', { name: 'Alice', type: 'AUDIO' })
  const [answered, other] = [await onPhone, await onLaptop]
  await becomes(call, 'ringing')
  expect(call.ringingDevices).toBe(2)
  expect(answered.peer).toEqual({ userId: 'alice', name: 'Alice' })

  call.signal('OFFER', 'an offer, made before the answer')
  const offered = new Promise((heard) => answered.on('signal', heard))
  await answered.accept()
  await becomes(other, 'ended')
  expect(other.endReason).toBe('answered-elsewhere')
  await becomes(call, 'connected')
  expect(await offered).toEqual({ type: 'OFFER', payload: 'an offer, made before the answer' })

  const heard = new Promise((answer) => call.on('signal', answer))
  answered.signal('ANSWER', 'an answer')
  expect(await heard).toEqual({ type: 'ANSWER', payload: 'an answer' })

  answered.hangUp()
  await becomes(call, 'ended')
  expect([call.endReason, call.endedBy]).toEqual(['hung-up', 'peer'])
})

test('somebody in a call is busy for a third', async () => {
  const [alice, bob, carol] = [await arrives('alice'), await arrives('bob'), await arrives('carol')]
  const ringing = rings(bob)
  await alice.call('bob')
  await (await ringing).accept()
  const call = await carol.call('bob')
  expect([call.state, call.endReason]).toEqual(['ended', 'busy'])
})

test('two who call each other at the same moment are joined by one call', async () => {
  const [alice, bob] = [await arrives('alice'), await arrives('bob')]
  const [one, two] = await Promise.all([alice.call('bob'), bob.call('alice')])
  await Promise.all([becomes(one, 'connected'), becomes(two, 'connected')])
  expect(one.id).toBe(two.id)
  expect([one.direction, two.direction].sort()).toEqual(['incoming', 'outgoing'])
})

test('presence and credentials are answered', async () => {
  const [alice] = [await arrives('alice'), await arrives('bob')]
  await alice.watch(['bob', 'nobody'])
  expect([alice.presence.get('bob'), alice.presence.get('nobody')]).toEqual(['ONLINE', 'OFFLINE'])
  expect((await alice.turnCredentials()).iceServers).toBeInstanceOf(Array)
})

test('a refusal of the server comes with its code and its words', async () => {
  const alice = await arrives('alice')
  await expect(alice.call('alice')).rejects.toMatchObject({ name: 'CallError', code: 400 })
})

test('a token of somebody else is refused as such', async () => {
  await expect(arrives('alice', () => tokenFor('bob'))).rejects.toMatchObject({ name: 'TokenRefusedError', code: 401 })
})

test('a call outlives its server: both are told, go on, come back to the next one, and hang up without an error', async () => {
  const [alice, bob] = [await arrives('alice'), await arrives('bob')]
  const first = world as World
  const ringing = rings(bob)
  const call = await alice.call('bob', { type: 'AUDIO' })
  const answered = await ringing
  await answered.accept()
  await becomes(call, 'connected')
  const told = [call, answered].map((one) => new Promise((tell) => one.on('problem', ({ code }) => tell(code))))
  const errors: unknown[] = []
  for (const client of [alice, bob]) client.on('error', (error) => errors.push(error))

  const away = [alice, bob].map((client) => reaches(client, 'reconnecting'))
  await first.closes()
  expect(await Promise.all(told)).toEqual([503, 503])
  await Promise.all(away)
  expect([call.state, call.forgotten, answered.state, answered.forgotten]).toEqual([
    'connected',
    true,
    'connected',
    true,
  ])

  const back = [alice, bob].map((client) => reaches(client, 'online'))
  world = await opens({ PORT: new URL(first.url).port })
  await Promise.all(back)
  call.hangUp()
  answered.hangUp()
  await alice.watch(['bob'])
  await bob.watch(['alice'])
  expect([call.endReason, answered.endReason, errors]).toEqual(['hung-up', 'hung-up', []])
  expect(await alice.call('bob')).toMatchObject({ state: 'ringing' })
})

test('a token that ends is replaced in place: nobody notices, and calls go on', async () => {
  world = await opens()
  const { clock } = world
  const lasting = (user: string, seconds: number) => tokenFor(user, { exp: Math.ceil(clock.now() / 1000) + seconds })
  const begun: string[] = []
  const alice = await arrives(
    'alice',
    async () => {
      begun.push('asked')
      return lasting('alice', 100)
    },
    // the server's clock makes leaps that no heart-beat can follow
    { renewToken: () => lasting('alice', 1000), heartbeatMs: 0 },
  )
  const states: string[] = []
  alice.on('state', ({ state }) => states.push(state))
  const renewed = new Promise<void>((done) => {
    alice.on('frame', ({ direction, body }) => direction === 'received' && body.includes('REFRESHED') && done())
  })
  await clock.advance(60_000)
  await renewed
  await clock.advance(120_000)
  const bob = await arrives('bob')
  const ringing = rings(alice)
  await bob.call('alice')
  await ringing
  expect([states, begun]).toEqual([[], ['asked']])
})
