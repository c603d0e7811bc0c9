/** A phone in a lift: its network is gone for a while, and nothing else is. Over real sockets, with stompjs. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Device, opens, type Transport, tokenFor, type World } from '../support/story.ts'

const RING = '/user/queue/call/request'
const HANGUP = '/user/queue/call/hangup'
const SIGNALS = '/user/queue/rtc/signaling'
const STATUS = '/topic/user/status'

let world: World
let alice: Device
let phone: Device

beforeEach(async () => {
  world = await opens({ RESUME_GRACE_S: '30', PRESENCE_SCOPE: 'watched' })
  alice = await world.arrives('alice', 'phone')
  phone = await world.arrives('bob', 'phone')
  for (const device of [alice, phone]) await device.forgets()
})

afterEach(() => world.closes())

async function loses(device: Device) {
  await device.vanishes()
  await world.notes(device.user)
}

const inCall = async () => {
  const callId = await alice.requests('bob')
  await phone.accepts(callId)
  for (const device of [alice, phone]) await device.forgets()
  return callId
}

describe.each<Transport>(['websocket', 'sockjs-websocket', 'xhr-streaming', 'xhr-polling'])('over %s', (transport) => {
  test('offer and candidates that are sent while the callee is away arrive once, in order, and it is the same device', async () => {
    const carol = await world.arrives('carol', 'phone', { transport })
    const callId = await alice.requests('carol')
    await carol.accepts(callId)
    await carol.forgets()
    const { session } = carol
    await loses(carol)
    await alice.signals(callId, 'OFFER', 'offer')
    for (let n = 1; n <= 5; n++) await alice.signals(callId, 'ICE_CANDIDATE', { candidate: `${n}` })
    await carol.resumes()
    expect(carol).toMatchObject({ session, resumed: 'true' })
    await alice.signals(callId, 'ICE_CANDIDATE', { candidate: 'live' })
    const heard: unknown[] = []
    for (let n = 0; n < 7; n++) heard.push(((await carol.hears(SIGNALS)).body as { payload: unknown }).payload)
    expect(heard).toEqual(['offer', ...['1', '2', '3', '4', '5', 'live'].map((candidate) => ({ candidate }))])
    await carol.hearsNothing()
    await carol.signals(callId, 'ANSWER', 'answer')
    expect((await alice.hears(SIGNALS)).headers).toMatchObject({ from: 'carol', 'peer-reattached': 'true' })
  }, 30_000)
})

test('cut while it rings: it is not rung again, and can answer', async () => {
  const callId = await alice.requests('bob')
  await phone.hears(RING, { callId })
  await alice.forgets()
  await loses(phone)
  await phone.resumes()
  await phone.hearsNothing()
  await phone.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
})

test('cut before it rings: it rings on the return, with the time that is left', async () => {
  await loses(phone)
  const callId = await alice.requests('bob')
  await alice.hearsNothing()
  await world.clock.advance(4_000)
  await phone.resumes()
  await phone.hears(RING, { callId, remainingMs: 26_000 })
  await alice.hears('/user/queue/call/ringing', { callId })
})

test('cut while it rings, and the caller gives up meanwhile: it hears so on the return', async () => {
  const callId = await alice.requests('bob')
  await phone.hears(RING, { callId })
  await loses(phone)
  await alice.hangsUp()
  await phone.resumes()
  await phone.hears(HANGUP, { callId, reason: 'CANCELLED' })
})

test('the caller is cut while it rings: who has answered meanwhile, it hears on the return', async () => {
  const callId = await alice.requests('bob')
  await loses(alice)
  await phone.accepts(callId)
  await alice.resumes()
  await alice.hears('/user/queue/call/ringing', { callId })
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await world.clock.advance(60_000)
  await phone.hears(RING, { callId })
  await phone.hearsNothing()
})

test('cut in a call, and the other side hangs up meanwhile: it hears so on the return', async () => {
  const callId = await inCall()
  await loses(phone)
  await alice.hangsUp()
  await phone.resumes()
  await phone.hears(HANGUP, { callId, reason: 'HANGUP' })
})

test('the network changes: the old connection, which looks alive, is closed, and the new one is the device', async () => {
  const callId = await inCall()
  await phone.says('/app/user/status', ['alice'])
  const { headers } = await phone.hears(STATUS)
  const moved = await world.arrives('bob', 'phone on another network', {
    token: phone.token,
    headers: { 'resume-id': phone.resumeId, 'last-seq': headers.seq ?? '' },
  })
  expect(moved).toMatchObject({ resumed: 'true', session: phone.session })
  expect((await phone.isCut()).code).toBe(4001)
  await alice.signals(callId, 'OFFER', 'offer')
  await moved.hears(SIGNALS, { callId, payload: 'offer' })
  await moved.hangsUp()
  await alice.hears(HANGUP, { callId, reason: 'HANGUP' })
})

test('too late: it is a new session, and the call is over', async () => {
  const callId = await inCall()
  const { session } = phone
  await loses(phone)
  await world.clock.advance(30_000)
  await alice.hears(HANGUP, { callId, reason: 'PEER_LOST' })
  await phone.resumes()
  expect(phone.resumed).toBe('false')
  expect(phone.session).not.toBe(session)
  await phone.hears(HANGUP, { callId, reason: 'PEER_LOST' })
})

test('a gap that cannot be closed is said: a new session, which reads how things are', async () => {
  await world.closes()
  world = await opens({ LIMIT_RESUME_BYTES: '2048' })
  alice = await world.arrives('alice', 'phone')
  phone = await world.arrives('bob', 'phone')
  const callId = await inCall()
  await loses(phone)
  for (let n = 0; n < 5; n++) await alice.signals(callId, 'OFFER', 'x'.repeat(1000))
  await phone.resumes()
  expect(phone.resumed).toBe('false')
  // The token tells that it is the same device all the same
  await phone.signals(callId, 'OFFER', 'an ICE restart')
  await alice.hears(SIGNALS, { payload: 'an ICE restart' })
})

test.each([
  ['with a wrong secret', 'bob', () => `${phone.session}.guessed`],
  ['as another user', 'mallory', () => phone.resumeId],
])('%s nobody gets the session, which goes on', async (_, user, resumeId) => {
  const callId = await inCall()
  const headers = { 'resume-id': resumeId(), 'last-seq': '0' }
  const thief = await world.arrives(user, 'thief', { listens: [], headers })
  expect(thief.resumed).toBe('false')
  expect(thief.session).not.toBe(phone.session)
  await alice.signals(callId, 'OFFER', 'offer')
  await phone.hears(SIGNALS, { payload: 'offer' })
})

test('a new token of the same user becomes the one of the session: with it the device acts over HTTP', async () => {
  const callId = await inCall()
  await loses(phone)
  const token = await tokenFor('bob')
  await phone.resumes({ token })
  const { body } = await world.asks('bob', '/imserver/call/hangup', { callId }, { token })
  expect(body).toMatchObject({ code: 200 })
  await alice.hears(HANGUP, { callId, reason: 'HANGUP' })
})

test('nobody sees a user go offline who is back within the delay, nor one who has promised to come back', async () => {
  const carol = await world.arrives('carol', 'phone', { headers: { resume: 'true' } })
  await alice.says('/app/user/status', ['bob', 'carol'])
  await world.clock.advance(300)
  await alice.forgets()
  await loses(phone)
  await loses(carol)
  await world.clock.advance(4_999)
  await phone.resumes()
  await world.clock.advance(24_000)
  await carol.resumes()
  await world.clock.advance(60_000)
  await alice.hearsNothing()
})

test('who has promised to come back, and does not, is offline when the time is over', async () => {
  const carol = await world.arrives('carol', 'phone', { headers: { resume: 'true' } })
  await alice.says('/app/user/status', ['carol'])
  await world.clock.advance(300)
  await alice.forgets()
  await loses(carol)
  await world.clock.advance(29_999)
  await alice.hearsNothing()
  await world.clock.advance(301)
  expect((await alice.hears(STATUS)).body).toEqual([{ userId: 'carol', status: 'OFFLINE' }])
})

test('who was away hears on the return who has come and gone meanwhile', async () => {
  const carol = await world.arrives('carol')
  await phone.says('/app/user/status', ['carol', 'dave'])
  await phone.forgets()
  await loses(phone)
  await carol.leaves()
  await world.arrives('dave')
  await world.clock.advance(6_000)
  await phone.resumes()
  const { body } = await phone.hears(STATUS)
  expect(body).toEqual(
    expect.arrayContaining([
      { userId: 'carol', status: 'OFFLINE' },
      { userId: 'dave', status: 'ONLINE' },
    ]),
  )
})

test('whose token is revoked while it is away does not come back to its session, nor to its call', async () => {
  await world.closes()
  const key = 'an admin key of thirty-two letters'
  world = await opens({ ADMIN_KEY: key })
  alice = await world.arrives('alice', 'phone')
  phone = await world.arrives('bob', 'phone')
  const callId = await inCall()
  await loses(phone)
  const { body } = await world.asks(
    'bob',
    '/imserver/admin/sessions/revoke',
    { sessionId: phone.session },
    { headers: { 'x-admin-key': key } },
  )
  expect(body).toMatchObject({ code: 200, data: { sessions: 1 } })
  await alice.hears(HANGUP, { callId, reason: 'ADMIN' })
  await expect(phone.resumes()).rejects.toThrow('401')
})

describe('a plain client, which knows nothing of resuming', () => {
  const comesAgain = (token = phone.token) => world.arrives('bob', 'the same phone', { token })

  test('hears a call that still rings again', async () => {
    const callId = await alice.requests('bob')
    await phone.hears(RING, { callId })
    await loses(phone)
    const again = await comesAgain()
    await again.hears(RING, { callId })
  })

  test('hears the end of the call that it was in', async () => {
    const callId = await inCall()
    await loses(phone)
    await alice.hangsUp()
    const again = await comesAgain()
    await again.hears(HANGUP, { callId, reason: 'HANGUP' })
  })

  test('hears nothing of a call that another token was in', async () => {
    await inCall()
    await loses(phone)
    await alice.hangsUp()
    const again = await comesAgain(await tokenFor('bob'))
    await again.hearsNothing()
  })
})

test('with RESUME_GRACE_S=0 a session ends with its connection', async () => {
  await world.closes()
  world = await opens({ RESUME_GRACE_S: '0' })
  phone = await world.arrives('bob', 'phone')
  expect(phone.resumeId).toBe('')
  await loses(phone)
  await phone.resumes({ resumeId: 'x.y' })
  expect(phone.resumed).toBe('false')
})
