/** Tokens that end while their session is connected, over the real server: told, renewed, expired, revoked. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Device, opens, TRANSPORTS, tokenFor, type World } from '../support/story.ts'

const ADMIN_KEY = 'a key for operators that has 32 characters'
const AUTH = '/user/queue/auth'
const ERRORS = '/user/queue/errors'
const REFRESH = '/app/auth/refresh'

let world: World

beforeEach(async () => {
  world = await opens({ ADMIN_KEY })
})
afterEach(() => world.closes())

/** A token that ends so many seconds from now. */
const lasting = (user: string, seconds: number | null) =>
  tokenFor(user, {
    exp: seconds === null ? null : secondsNow() + seconds,
    iat: secondsNow(),
  })
const secondsNow = () => Math.ceil(world.clock.now() / 1000)

async function quiet(...devices: Device[]): Promise<void> {
  await world.clock.advance(300)
  for (const device of devices) await device.forgets()
}

async function inCall(seconds: number): Promise<{ alice: Device; bob: Device; callId: string }> {
  const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', seconds) })
  const bob = await world.arrives('bob')
  const callId = await alice.requests('bob')
  await bob.accepts(callId)
  await quiet(alice, bob)
  return { alice, bob, callId }
}

describe('a token that ends', () => {
  test('is told of 60 s before, and again at its end', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 300) })
    await quiet(alice)
    const start = world.clock.now()
    await world.clock.advance(300_000 - 61_300)
    await alice.hearsNothing()
    await world.clock.advance(2_000)
    const { body } = await alice.hears(AUTH, { type: 'EXPIRING' })
    const { expiresAt, remainingMs } = body as { expiresAt: number; remainingMs: number }
    expect(remainingMs).toBe(60_000)
    expect(expiresAt - start).toBeGreaterThan(298_000)
    await world.clock.advance(60_000)
    await alice.hears(AUTH, { type: 'EXPIRED', expiresAt })
  })

  test('is told of on SUBSCRIBE when less is left', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 30), listens: [] })
    await alice.subscribes(AUTH)
    await alice.hears(AUTH, { type: 'EXPIRING' })
  })

  test('leaves 10 s to refresh, and then the session is cut', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 100) })
    const bob = await world.arrives('bob')
    await quiet(alice, bob)
    await world.clock.advance(101_000)
    await alice.hears(AUTH, { type: 'EXPIRING' })
    await alice.hears(AUTH, { type: 'EXPIRED' })
    await alice.says('/app/call/request', { callId: 'c', callee: 'bob', callerUserName: 'Alice' })
    await alice.hears(ERRORS, { code: 401, destination: '/app/call/request' })
    void alice.subscribes('/topic/user/status')
    await alice.hears(ERRORS, { code: 401, destination: '/topic/user/status' })
    await bob.hearsNothing()
    await world.clock.advance(10_000)
    expect(await alice.isCut()).toEqual({ error: '401 token: has expired', code: 1008 })
  })

  test('that never ends ends nothing', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', null) })
    await quiet(alice)
    await world.clock.advance(1_000_000)
    await alice.hearsNothing()
  })
})

describe('a refresh', () => {
  test('renews the token in place: nothing is told or cut at the end of the old one', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 100) })
    await quiet(alice)
    await alice.says(REFRESH, { token: await lasting('alice', 500) })
    await alice.hears(AUTH, { type: 'REFRESHED' })
    await world.clock.advance(400_000)
    await alice.hearsNothing()
    await world.clock.advance(50_000)
    await alice.hears(AUTH, { type: 'EXPIRING' })
  })

  test.each([
    ['another user', 403, () => lasting('bob', 10_000)],
    ['a shorter life', 401, () => lasting('alice', 50)],
    [
      'a forged signature',
      401,
      async () => `${(await lasting('alice', 10_000)).split('.').slice(0, 2).join('.')}.AAAA`,
    ],
    ['an end that has passed', 401, () => lasting('alice', -1)],
    ['no text', 400, async () => 5],
  ])('with a token of %s is refused with %i, and nothing changes', async (_, code, token) => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 100) })
    await quiet(alice)
    await alice.says(REFRESH, { token: await token() })
    await alice.hears(ERRORS, { code, destination: REFRESH })
    await world.clock.advance(111_000)
    expect(await alice.isCut()).toEqual({ error: '401 token: has expired', code: 1008 })
  })

  test('after the end gives everything back, and what rings by then rings here', async () => {
    const bob = await world.arrives('bob', 'phone', { token: await lasting('bob', 100) })
    const alice = await world.arrives('alice')
    await quiet(alice, bob)
    await world.clock.advance(101_000)
    await bob.hears(AUTH, { type: 'EXPIRING' })
    await bob.hears(AUTH, { type: 'EXPIRED' })
    const callId = await alice.requests('bob')
    const carol = await world.arrives('carol')
    await world.clock.advance(300)
    await bob.hearsNothing()
    await bob.says(REFRESH, { token: await lasting('bob', 1000) })
    await bob.hears(AUTH, { type: 'REFRESHED' })
    await bob.hears('/user/queue/call/request', { callId })
    await bob.accepts(callId)
    await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    await carol.leaves()
    await world.notes('carol')
    await world.clock.advance(6_000)
    await bob.hears('/topic/user/status')
  })

  test.each([
    ['the new token', (fresh: string) => fresh],
    ['the old one, while it is good', (_: string, old: string) => old],
  ])('counts over HTTP too: %s is the device', async (_, which) => {
    const alice = await world.arrives('alice')
    const old = await lasting('bob', 100)
    const phone = await world.arrives('bob', 'phone', { token: old })
    const laptop = await world.arrives('bob', 'laptop')
    const fresh = await lasting('bob', 1000)
    await phone.says(REFRESH, { token: fresh })
    const token = which(fresh, old)
    const callId = await alice.requests('bob')
    await quiet(alice, phone, laptop)
    expect(await world.asks('bob', '/imserver/call/response', { callId, type: 'ACCEPT' }, { token })).toMatchObject({
      body: { code: 200 },
    })
    await laptop.hears('/user/queue/call/down', { callId })
    await phone.hearsNothing()
  })

  test.each([
    ['the new token', (fresh: string) => fresh],
    ['the old one, while it is good', (_: string, old: string) => old],
  ])('in a call: a device that is lost and comes back with %s is the same one', async (_, which) => {
    const { alice, bob, callId } = await inCall(200)
    const fresh = await lasting('alice', 5000)
    await alice.says(REFRESH, { token: fresh })
    const token = which(fresh, alice.token)
    await alice.vanishes()
    await world.notes('alice')
    const again = await world.arrives('alice', 'again', { token })
    await again.signals(callId, 'OFFER', 'v=0')
    await bob.hears('/user/queue/rtc/signaling', { type: 'OFFER' })
    await world.clock.advance(60_000)
    await bob.signals(callId, 'ANSWER', 'v=0')
    await again.hears('/user/queue/rtc/signaling', { type: 'ANSWER' })
  })
})

describe('an expired session in a call', () => {
  test('may signal, hold and hang up, nothing else; then it is cut', async () => {
    const { alice, bob, callId } = await inCall(100)
    await world.clock.advance(101_000)
    await alice.hears(AUTH, { type: 'EXPIRING' })
    await alice.hears(AUTH, { type: 'EXPIRED' })
    await world.clock.advance(300_000)
    await alice.signals(callId, 'OFFER', 'v=0')
    await bob.hears('/user/queue/rtc/signaling', { type: 'OFFER' })
    await bob.signals(callId, 'ANSWER', 'v=0')
    await alice.hears('/user/queue/rtc/signaling', { type: 'ANSWER' })
    await bob.subscribes('/user/queue/call/hold')
    for (const hold of [true, false]) {
      await alice.says('/app/call/hold', { callId, hold })
      await bob.hears('/user/queue/call/hold', { callId, hold, by: 'alice' })
    }
    for (const destination of [
      '/app/user/status',
      '/app/turn/get-turn-credentials',
      '/app/call/history/read',
      ...['request', 'transfer', 'invite'].map((verb) => `/app/call/${verb}`),
    ]) {
      await alice.says(destination, [])
      await alice.hears(ERRORS, { code: 401, destination })
    }
    await alice.hangsUp()
    await bob.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
    await world.clock.advance(1_000)
    expect(await alice.isCut()).toEqual({ error: '401 token: has expired', code: 1008 })
  })

  test('is cut when the other side hangs up', async () => {
    const { alice, bob, callId } = await inCall(100)
    await world.clock.advance(120_000)
    await bob.hangsUp()
    await alice.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
    await world.clock.advance(1_000)
    expect(await alice.isCut()).toMatchObject({ code: 1008 })
  })

  test('has 10 minutes, however long the call', async () => {
    const { alice, bob, callId } = await inCall(100)
    await world.clock.advance(690_000)
    await alice.signals(callId, 'OFFER', 'v=0')
    await bob.hears('/user/queue/rtc/signaling', { type: 'OFFER' })
    await world.clock.advance(15_000)
    expect(await alice.isCut()).toEqual({ error: '401 token: has expired', code: 1008 })
  })
})

describe('a revocation', () => {
  const revokes = (body: unknown, key = ADMIN_KEY) =>
    world.asks('', '/imserver/admin/sessions/revoke', body, { token: '', headers: { 'X-Admin-Key': key } })
  const cut = { error: '401 session: was revoked', code: 1008 }

  test.each(TRANSPORTS)('cuts every session of the user at once, over %s', async (transport) => {
    const phone = await world.arrives('bob', 'phone', { transport })
    const laptop = await world.arrives('bob', 'laptop')
    const alice = await world.arrives('alice')
    expect(await revokes({ userId: 'bob' })).toMatchObject({
      status: 200,
      body: { code: 200, msg: 'ok', data: { sessions: 2 } },
    })
    expect(await phone.isCut()).toEqual(cut)
    expect(await laptop.isCut()).toEqual(cut)
    await alice.says('/app/user/status', ['bob'])
  })

  test('lasts: older tokens of the user are refused everywhere, a newer one is not', async () => {
    const other = await lasting('bob', 1000)
    const silent = await tokenFor('bob', { exp: secondsNow() + 1000, iat: undefined })
    const unused = await world.arrives('bob', 'phone', { token: await lasting('bob', 1000) })
    await world.clock.advance(2_000)
    await revokes({ userId: 'bob' })
    await unused.isCut()
    for (const token of [other, silent]) {
      await expect(world.arrives('bob', 'x', { token })).rejects.toThrow(/401 token: was revoked/)
      expect(await world.asks('bob', '/imserver/user/status', ['a'], { token })).toMatchObject({
        status: 401,
        body: { msg: 'token: was revoked' },
      })
    }
    await world.clock.advance(1_000)
    const bob = await world.arrives('bob', 'phone', { token: await lasting('bob', 1000) })
    await bob.says(REFRESH, { token: other })
    await bob.hears(ERRORS, { code: 401, message: 'token: was revoked' })
    await bob.hearsNothing()
  })

  test('of a session leaves the user’s others alone, and refuses its token from then on', async () => {
    const token = await lasting('bob', 1000)
    const phone = await world.arrives('bob', 'phone', { token })
    const laptop = await world.arrives('bob', 'laptop')
    expect(await revokes({ sessionId: phone.session })).toMatchObject({ body: { data: { sessions: 1 } } })
    expect(await phone.isCut()).toEqual(cut)
    await expect(world.arrives('bob', 'again', { token })).rejects.toThrow(/401 token: was revoked/)
    await laptop.says('/app/user/status', ['bob'])
  })

  test('of a token cuts the session that began with it, and has another one now', async () => {
    const token = await lasting('bob', 500)
    const phone = await world.arrives('bob', 'phone', { token })
    const renewed = await lasting('bob', 1000)
    await phone.says(REFRESH, { token: renewed })
    expect(await revokes({ token })).toMatchObject({ body: { data: { sessions: 1 } } })
    expect(await phone.isCut()).toEqual(cut)
    for (const one of [token, renewed])
      await expect(world.arrives('bob', 'again', { token: one })).rejects.toThrow(/401 token: was revoked/)
  })

  test('of a token cannot be got round by writing its signature differently', async () => {
    const token = await lasting('bob', 500)
    await revokes({ token })
    const last = token.at(-1) as string
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const place = alphabet.indexOf(last)
    // 32 octets are 43 characters, and the last two bits of the last one mean nothing
    const same = alphabet[(place & ~3) | ((place + 1) & 3)]
    await expect(world.arrives('bob', 'x', { token: token.slice(0, -1) + same })).rejects.toThrow(/401/)
  })

  test('ends the call of the user for the other side', async () => {
    const { alice, bob, callId } = await inCall(1000)
    await revokes({ userId: 'alice' })
    await bob.hears('/user/queue/call/hangup', { callId, reason: 'ADMIN' })
    expect(await alice.isCut()).toEqual(cut)
    await bob.requests('carol')
    await bob.hearsNothing()
  })

  test('of a session withdraws the call that it makes', async () => {
    const alice = await world.arrives('alice')
    const bob = await world.arrives('bob')
    const callId = await alice.requests('bob')
    await bob.hears('/user/queue/call/request', { callId })
    await revokes({ sessionId: alice.session })
    await bob.hears('/user/queue/call/hangup', { callId, reason: 'ADMIN' })
  })

  test('of nobody who is there cuts nobody; without a name it is 400, without the key 401', async () => {
    expect(await revokes({ userId: 'nobody', sessionId: 'none', token: 'none' })).toMatchObject({
      body: { code: 200, data: { sessions: 0 } },
    })
    expect(await revokes({})).toMatchObject({ status: 400 })
    expect(await revokes({ userId: 'bob' }, 'x'.repeat(40))).toMatchObject({ status: 401 })
  })

  test('is counted, like expiry and refresh', async () => {
    const alice = await world.arrives('alice', 'phone', { token: await lasting('alice', 100) })
    await world.clock.advance(101_000)
    await alice.hears(AUTH, { type: 'EXPIRING' })
    await alice.hears(AUTH, { type: 'EXPIRED' })
    await alice.says(REFRESH, { token: await lasting('alice', 100) })
    await revokes({ userId: 'alice' })
    const text = await (await fetch(`${world.url}/metrics`)).text()
    for (const name of ['expired', 'refreshed', 'revoked']) expect(text).toContain(`carillon_sessions_${name}_total 1`)
  })
})
