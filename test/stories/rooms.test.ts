/** A call of two becomes one of four: everybody rings, answers, signals and goes for themselves. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { type Device, opens, type Transport, type World } from '../support/story.ts'

const ROOM = '/user/queue/call/room'
const ENDS = '/user/queue/call/hangup'
const SIGNALS = '/user/queue/rtc/signaling'
const ERRORS = '/user/queue/errors'

/** Everything about calls; who comes online is of no interest here. */
const LISTENS = [
  '/user/queue/call/request',
  '/user/queue/call/response',
  '/user/queue/call/down',
  '/user/queue/call/timeout',
  '/user/queue/call/ringing',
  ENDS,
  ROOM,
  SIGNALS,
  ERRORS,
]

let world: World
let [alice, bob, carol, dave]: Device[] = []
let round = 0

/** Users nobody else has. */
const names = () => {
  round++
  return ['alice', 'bob', 'carol', 'dave'].map((user) => `${user}-${round}`) as [string, string, string, string]
}

beforeAll(async () => {
  world = await opens()
})

beforeEach(async () => {
  const [a, b, c, d] = names()
  alice = await arrives(a)
  bob = await arrives(b)
  carol = await arrives(c)
  dave = await arrives(d, 'phone', 'sockjs-websocket')
})

afterAll(() => world.closes())

const arrives = (user: string, name = 'phone', transport: Transport = 'websocket') =>
  world.arrives(user, name, { transport, listens: LISTENS })

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the story has not begun')
  return value
}
const all = () => [must(alice), must(bob), must(carol), must(dave)] as const

/** alice and bob, who can be in rooms. */
async function inCall(): Promise<string> {
  const [a, b] = all()
  const callId = await a.requests(b.user, { features: ['room', 'hold'] })
  await b.hears('/user/queue/call/request', { callId, features: ['room', 'hold'] })
  await a.hears('/user/queue/call/ringing', { callId })
  await b.accepts(callId, ['room'])
  await a.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  return callId
}

const invites = (device: Device, callId: string, ...invitees: Device[]) =>
  device.says('/app/call/invite', { callId, invitees: invitees.map(({ user }) => user) })

/** What each of them is, in the order of their coming. */
const states = (...members: [Device, string][]) => ({
  members: members.map(([{ user }, state]) => expect.objectContaining({ userId: user, state })),
})

const signals = (device: Device, callId: string, type: string, to: Device, payload = `of ${device.user}`) =>
  device.says('/app/rtc/signaling', { callId, type, payload, to: to.user })

/** alice, bob and carol, who is the last to have come. */
async function threeIn(): Promise<string> {
  const [a, b, c] = all()
  const callId = await inCall()
  await invites(a, callId, c)
  await c.hears('/user/queue/call/request', { callId })
  await c.accepts(callId, ['room'])
  for (const device of [a, b, c]) await device.forgets()
  return callId
}

describe('a room', () => {
  test('of four in a mesh: two invited at once, each answers, each pair negotiates, and it ends with the last', async () => {
    const [a, b, c, d] = all()
    const callId = await inCall()
    await invites(a, callId, c, d)
    const ringing = states([a, 'JOINED'], [b, 'JOINED'], [c, 'RINGING'], [d, 'RINGING'])
    for (const device of [a, b]) await device.hears(ROOM, { callId, by: a.user, media: { kind: 'mesh' }, ...ringing })
    for (const device of [c, d]) {
      const { body } = await device.hears('/user/queue/call/request', {
        callId,
        caller: a.user,
        callee: device.user,
        callerUserName: `${a.user} on phone`,
        room: true,
        ...ringing,
      })
      expect(body).toMatchObject({ remainingMs: 30_000, type: 'VIDEO' })
    }

    await c.accepts(callId, ['room'])
    const three = states([a, 'JOINED'], [b, 'JOINED'], [c, 'JOINED'], [d, 'RINGING'])
    for (const device of [a, b, c]) await device.hears(ROOM, { by: c.user, ...three })
    await d.accepts(callId, ['room', 'something of tomorrow'])
    const four = states([a, 'JOINED'], [b, 'JOINED'], [c, 'JOINED'], [d, 'JOINED'])
    for (const device of all()) await device.hears(ROOM, { by: d.user, ...four })

    for (const [last, others] of [
      [c, [a, b]],
      [d, [a, b, c]],
    ] as const) {
      for (const other of others) {
        await signals(last, callId, 'OFFER', other)
        const { headers } = await other.hears(SIGNALS, { callId, type: 'OFFER', payload: `of ${last.user}` })
        expect(headers.from).toBe(last.user)
        await signals(other, callId, 'ANSWER', last)
        await last.hears(SIGNALS, { callId, type: 'ANSWER', payload: `of ${other.user}` })
      }
    }

    await a.hangsUp()
    for (const device of [b, c, d]) await device.hears(ROOM, { by: a.user })
    await d.hangsUp(callId)
    for (const device of [b, c]) await device.hears(ROOM, { by: d.user })
    await b.hangsUp(callId)
    await c.hears(ROOM, { by: b.user, ...states([a, 'LEFT'], [b, 'LEFT'], [c, 'JOINED'], [d, 'LEFT']) })
    await world.clock.advance(30_000)
    await c.hears(ENDS, { callId, reason: 'HANGUP' })
    for (const device of all()) await device.hearsNothing()
  })

  test('carries a body that names its receiver byte for byte', async () => {
    const [a, , c] = all()
    const callId = await threeIn()
    const text = `{ "to":"${c.user}",\t"payload":"v=0 – ü 🔔",  "type":"OFFER","callId":"${callId}" , "extra":[1,2] }`
    await a.says('/app/rtc/signaling', text)
    const heard = await c.hears(SIGNALS, { type: 'OFFER' })
    expect(Buffer.from(heard.raw).toString()).toBe(text)
  })

  test('refuses signalling that does not say for whom', async () => {
    const [a, b] = all()
    const callId = await threeIn()
    await a.signals(callId, 'OFFER', 'v=0')
    await a.hears(ERRORS, { code: 400, callId, message: expect.stringContaining('to: is required') })
    await a.says('/app/rtc/signaling', { callId, type: 'OFFER', payload: 'v=0', to: 5 })
    await a.hears(ERRORS, { code: 400, callId })
    await b.hearsNothing()
  })

  test('takes its people’s lines: who calls them hears busy, who has left is free again', async () => {
    const [a, b, c, d] = all()
    const callId = await threeIn()
    await d.requests(c.user)
    await d.hears(ERRORS, { code: 1001, reason: 'BUSY' })
    await a.hangsUp(callId)
    const again = await d.requests(a.user)
    await a.hears('/user/queue/call/request', { callId: again })
    await d.hears('/user/queue/call/ringing', { callId: again })
    for (const device of [b, c]) await device.hears(ROOM, { by: a.user })
    await invites(b, callId, a)
    for (const device of [b, c]) await device.hears(ROOM, { ...states([a, 'BUSY'], [b, 'JOINED'], [c, 'JOINED']) })
    for (const device of all()) await device.hearsNothing()
  })

  test('rings at somebody who comes online while it does, and is left by nobody for that', async () => {
    const [a, b] = all()
    const callId = await inCall()
    const erin = `erin-${round}`
    await a.says('/app/call/invite', { callId, invitees: [erin], names: { [erin]: 'Erin', [a.user]: 'Alice A.' } })
    await b.hears(ROOM, { by: a.user })
    await world.clock.advance(12_000)
    const phone = await arrives(erin)
    await phone.hears('/user/queue/call/request', {
      callId,
      callerUserName: 'Alice A.',
      calleeUserName: 'Erin',
      remainingMs: 18_000,
    })
    await phone.rejects(callId)
    await b.hears(ROOM, { members: [{}, {}, { userId: erin, name: 'Erin', state: 'DECLINED', invitedBy: a.user }] })
  })

  test('closes the window of a client that knows no rooms, and rings on where the others are', async () => {
    const [a, , c] = all()
    const tablet = await arrives(c.user, 'tablet')
    const callId = await inCall()
    await invites(a, callId, c)
    for (const device of [c, tablet]) await device.hears('/user/queue/call/request', { callId })
    await c.accepts(callId)
    await c.hears(ERRORS, { code: 1007, callId })
    await c.hears(ENDS, { callId })
    await tablet.hearsNothing()
    await tablet.accepts(callId, ['room'])
    await tablet.hears(ROOM, { by: c.user })
    await c.hearsNothing()
  })

  test('keeps a member whose connection breaks, who then hears what was said meanwhile', async () => {
    const [a, b, c] = all()
    const callId = await threeIn()
    await c.vanishes()
    await world.notes(c.user)
    await signals(a, callId, 'ICE_CANDIDATE', c, { candidate: 'x' } as never)
    await c.resumes()
    await c.hears(SIGNALS, { type: 'ICE_CANDIDATE' })
    await signals(c, callId, 'OFFER', a)
    expect((await a.hears(SIGNALS, { type: 'OFFER' })).headers['peer-reattached']).toBe('true')
    await signals(c, callId, 'OFFER', b)
    expect((await b.hears(SIGNALS, { type: 'OFFER' })).headers['peer-reattached']).toBe('true')
    await signals(c, callId, 'OFFER', b)
    expect((await b.hears(SIGNALS, { type: 'OFFER' })).headers).not.toHaveProperty('peer-reattached')
    for (const device of [a, b, c]) await device.hearsNothing()
  })
})

describe('over HTTP', () => {
  test('somebody invites, joins, signals and leaves', async () => {
    const [a, b, c] = all()
    const callId = await inCall()
    const invited = await world.asks(a.user, '/imserver/call/invite', { callId, invitees: [c.user] })
    expect(invited).toMatchObject({
      status: 200,
      body: { code: 200, data: { callId, ...states([a, 'JOINED'], [b, 'JOINED'], [c, 'RINGING']) } },
    })
    for (const device of [a, b]) await device.hears(ROOM, { by: a.user })
    await c.hears('/user/queue/call/request', { callId })
    const joined = await world.asks(c.user, '/imserver/call/response', { callId, type: 'ACCEPT', features: ['room'] })
    expect(joined.body).toMatchObject({ code: 200 })
    for (const device of [a, b, c]) await device.hears(ROOM, { by: c.user })
    const offer = { callId, type: 'OFFER', payload: 'v=0', to: b.user }
    expect((await world.asks(c.user, '/imserver/rtc/signaling', offer)).body).toMatchObject({ code: 200 })
    expect((await b.hears(SIGNALS, { payload: 'v=0' })).headers.from).toBe(c.user)
    expect((await world.asks(c.user, '/imserver/call/hangup', { callId })).body).toMatchObject({ code: 200 })
    for (const device of [a, b]) await device.hears(ROOM, { by: c.user })
    await c.hears(ENDS, { callId, reason: 'HANGUP' })
    for (const device of [a, b, c]) await device.hearsNothing()
  })

  test('an invitation of too many, or into a call of somebody else, is refused', async () => {
    const [a, , c, d] = all()
    const callId = await inCall()
    const many = { callId, invitees: [c.user, d.user, 'erin'] }
    expect((await world.asks(a.user, '/imserver/call/invite', many)).body).toMatchObject({ code: 1009 })
    expect((await world.asks(c.user, '/imserver/call/invite', many)).body).toMatchObject({ code: 403 })
    const nobody = { callId, invitees: [] }
    expect((await world.asks(a.user, '/imserver/call/invite', nobody)).body).toMatchObject({ code: 400 })
  })
})

test('a client that knows nothing of rooms cannot be made to be in one: 1007, and it hears nothing', async () => {
  const [a, b, c] = all()
  const callId = await a.requests(b.user, { features: ['room'] })
  await b.hears('/user/queue/call/request', { callId })
  await b.accepts(callId)
  await a.forgets()
  await invites(a, callId, c)
  await a.hears(ERRORS, { code: 1007, callId })
  for (const device of [b, c]) await device.hearsNothing()
})

test('a plain client that comes back when the room has gone on without it hears that', async () => {
  const [a, b, c] = all()
  const callId = await threeIn()
  await c.leaves()
  await world.clock.advance(30_000)
  for (const device of [a, b]) await device.hears(ROOM, { by: c.user })
  const again = await world.arrives(c.user, 'phone again', { token: c.token, listens: LISTENS })
  await again.hears(ENDS, { callId, reason: 'PEER_LOST' })
  for (const device of [a, b, again]) await device.hearsNothing()
})
