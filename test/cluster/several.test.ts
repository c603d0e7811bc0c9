/** Several servers that act as one: calls, presence, HTTP, revocations and operators over a real Redis. */

import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { ADMIN_KEY, type Server, serverOn } from '../support/several.ts'
import { type Device, tokenFor } from '../support/story.ts'

let redis: RedisServer
let prefix = 0
const running: Server[] = []

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
afterEach(async () => {
  expect(running.flatMap(({ errors }) => errors)).toEqual([])
  await Promise.all(running.map((server) => server.leaves()))
  await Promise.all(running.splice(0).map((server) => server.stops()))
  prefix++
})

async function three(env: Record<string, string> = {}): Promise<[Server, Server, Server]> {
  const one = () => serverOn(redis.url, { REDIS_PREFIX: `s${prefix}:`, ...env })
  const servers = await Promise.all([one(), one(), one()])
  running.push(...servers)
  return servers as [Server, Server, Server]
}

const REQUEST = '/user/queue/call/request'
const RESPONSE = '/user/queue/call/response'
const HANGUP = '/user/queue/call/hangup'
const SIGNALS = '/user/queue/rtc/signaling'
const STATUS = '/topic/user/status'

describe('a call', () => {
  test('between users of two servers goes as it does on one, signalling in order', async () => {
    const [a, b, c] = await three()
    const alice = await a.arrives('alice')
    const [phone, laptop] = [await b.arrives('bob', 'phone'), await c.arrives('bob', 'laptop')]
    const call = await alice.requests('bob')
    await phone.hears(REQUEST, { callId: call, caller: 'alice' })
    await laptop.hears(REQUEST, { callId: call })
    await alice.hears('/user/queue/call/ringing', { callId: call })
    await alice.signals(call, 'OFFER', 'early')
    await phone.accepts(call)
    await alice.hears(RESPONSE, { callId: call, type: 'ACCEPT' })
    await laptop.hears('/user/queue/call/down', { callId: call, reason: 'ANSWERED_ELSEWHERE' })
    await phone.hears(SIGNALS, { payload: 'early' })
    for (let n = 0; n < 50; n++) alice.sends('/app/rtc/signaling', { callId: call, type: 'OFFER', payload: `${n}` })
    for (let n = 0; n < 50; n++) await phone.hears(SIGNALS, { payload: `${n}` })
    await phone.signals(call, 'ANSWER', 'answer')
    expect((await alice.hears(SIGNALS, { payload: 'answer' })).headers.from).toBe('bob')
    await phone.hangsUp(call)
    await alice.hears(HANGUP, { callId: call, reason: 'HANGUP' })
    for (const device of [alice, phone, laptop]) {
      expect(device.unexpected.filter(({ destination }) => destination !== STATUS)).toEqual([])
    }
  })

  test('over HTTP at a server that holds nobody is the device’s of that token', async () => {
    const [a, b, c] = await three()
    const token = await tokenFor('alice')
    const alice = await a.arrives('alice', 'phone', { token })
    const bob = await b.arrives('bob')
    const callId = randomUUID()
    const body = { callId, callee: 'bob', callerUserName: 'Alice' }
    expect((await c.asks('alice', '/imserver/call/request', body, { token })).body).toMatchObject({ code: 200 })
    await bob.hears(REQUEST, { callId })
    await alice.hears('/user/queue/call/ringing', { callId })
    await bob.accepts(callId)
    await alice.hears(RESPONSE, { callId, type: 'ACCEPT' })
    expect((await c.asks('alice', '/imserver/call/hangup', undefined, { token })).body).toMatchObject({ code: 200 })
    await bob.hears(HANGUP, { callId })
  })

  test('of two users who call each other at once from two servers is one', async () => {
    const [a, b] = await three()
    const [alice, bob] = [await a.arrives('alice'), await b.arrives('bob')]
    for (let round = 0; round < 20; round++) {
      await Promise.all([alice.requests('bob'), bob.requests('alice')])
      await Promise.all([alice.hangsUp(), bob.hangsUp()])
      await Promise.all([alice.hangsUp(), bob.hangsUp()])
    }
    const outcome = await b.asks('bob', '/imserver/call/hangup')
    expect(outcome.body).toMatchObject({ code: 200 })
    const { body } = await a.asks('carol', '/imserver/call/request', {
      callId: randomUUID(),
      callee: 'bob',
      callerUserName: 'Carol',
    })
    expect(body).toMatchObject({ code: 200 })
  })

  test('rings a callee who comes to another server later', async () => {
    const [a, b] = await three()
    const alice = await a.arrives('alice')
    const call = await alice.requests('bob')
    const bob = await b.arrives('bob')
    await bob.hears(REQUEST, { callId: call })
    await alice.hears('/user/queue/call/ringing', { callId: call })
  })
})

describe('a phone that comes back to another server', () => {
  const payloads = async (device: Device, count: number) => {
    const heard: unknown[] = []
    for (let n = 0; n < count; n++) heard.push(((await device.hears(SIGNALS)).body as { payload: unknown }).payload)
    return heard
  }

  async function inCall(a: Server, b: Server) {
    const [alice, bob] = [await a.arrives('alice'), await b.arrives('bob')]
    const call = await alice.requests('bob')
    await bob.accepts(call)
    await Promise.all([alice.forgets(), bob.forgets()])
    return { alice, bob, call }
  }

  test('is the same device, and hears what was said meanwhile, once and in order', async () => {
    const [a, b, c] = await three()
    const { alice, bob, call } = await inCall(a, b)
    const { session } = bob
    await bob.vanishes()
    await b.misses('bob')
    for (let n = 0; n < 5; n++) await alice.signals(call, 'OFFER', `away ${n}`)
    const resuming = bob.resumes({ at: c.url })
    for (let n = 0; n < 20; n++)
      alice.sends('/app/rtc/signaling', { callId: call, type: 'OFFER', payload: `back ${n}` })
    await resuming
    expect(bob).toMatchObject({ session, resumed: 'true' })
    await alice.signals(call, 'OFFER', 'last')
    expect(await payloads(bob, 26)).toEqual([
      ...Array.from({ length: 5 }, (_, n) => `away ${n}`),
      ...Array.from({ length: 20 }, (_, n) => `back ${n}`),
      'last',
    ])
    await bob.signals(call, 'ANSWER', 'answer')
    expect((await alice.hears(SIGNALS, { payload: 'answer' })).headers).toMatchObject({ 'peer-reattached': 'true' })
    await alice.hangsUp(call)
    await bob.hears(HANGUP, { callId: call })
  })

  test('while its old connection looks alive: that one is closed, and nothing is told twice', async () => {
    const [a, b, c] = await three()
    const { alice, bob, call } = await inCall(a, b)
    await alice.signals(call, 'OFFER', 'one')
    expect(await payloads(bob, 1)).toEqual(['one'])
    await bob.vanishes()
    await bob.resumes({ at: c.url })
    expect(bob.resumed).toBe('true')
    await bob.vanishes()
    await bob.resumes({ at: a.url })
    await alice.signals(call, 'OFFER', 'two')
    expect(await payloads(bob, 1)).toEqual(['two'])
    expect((await a.looks('/imserver/admin/sessions/bob')) as object).toMatchObject({
      sessions: [{ sessionId: bob.session, away: false }],
    })
  })

  test('because its own has stopped in order: nothing is lost, and nobody sees it go', async () => {
    const [a, b, c] = await three({ PRESENCE_SCOPE: 'watched' })
    const { alice, bob, call } = await inCall(a, b)
    await alice.says('/app/user/status', ['bob'])
    await alice.forgets()
    const stopping = b.stops()
    running.splice(running.indexOf(b), 1)
    await bob.isCut()
    alice.sends('/app/rtc/signaling', { callId: call, type: 'OFFER', payload: 'while it stops' })
    await stopping
    await alice.signals(call, 'OFFER', 'parked')
    await bob.vanishes()
    await bob.resumes({ at: c.url })
    expect(bob.resumed).toBe('true')
    await alice.signals(call, 'OFFER', 'back')
    expect(await payloads(bob, 3)).toEqual(['while it stops', 'parked', 'back'])
    await bob.signals(call, 'ANSWER', 'answer')
    await alice.hears(SIGNALS, { payload: 'answer' })
    await alice.hearsNothing()
    await bob.hangsUp(call)
    await alice.hears(HANGUP, { callId: call })
  })

  test('with a guess, or as somebody else, is a new one', async () => {
    const [a, b, c] = await three()
    const { bob } = await inCall(a, b)
    const { session, resumeId } = bob
    const mallory = await c.arrives('mallory')
    await mallory.vanishes()
    await mallory.resumes({ resumeId, lastSeq: 0 })
    expect([mallory.resumed, mallory.session === session]).toEqual(['false', false])
    const other = await c.arrives('bob', 'laptop')
    await other.vanishes()
    await other.resumes({ resumeId: `${session}.guess`, lastSeq: 0 })
    expect([other.resumed, other.session === session]).toEqual(['false', false])
    await bob.forgets()
    const { sessions } = (await a.looks('/imserver/admin/sessions/bob')) as {
      sessions: { sessionId: string; away: boolean }[]
    }
    expect(sessions.filter(({ away }) => !away).map(({ sessionId }) => sessionId)).toEqual([session, other.session])
  })
})

describe('presence', () => {
  test.each(['all', 'watched'])(
    'with scope %s is that of all servers, and tells of changes elsewhere',
    async (scope) => {
      const [a, b, c] = await three({ PRESENCE_SCOPE: scope, PRESENCE_OFFLINE_DELAY_MS: '300' })
      const alice = await a.arrives('alice')
      await alice.says('/app/user/status', ['bob', 'alice', 'carol'])
      const first = await alice.hears(STATUS)
      const status = (one: { body: unknown }) => one.body as { userId: string; status: string }[]
      const found = (one: { body: unknown }, user: string) => status(one).find(({ userId }) => userId === user)?.status
      expect([found(first, 'bob'), found(first, 'alice')]).toEqual(['OFFLINE', 'ONLINE'])
      const next = async (user: string) => {
        for (;;) {
          const status = found(await alice.hears(STATUS), user)
          if (status !== undefined) return status
        }
      }
      const bob = await b.arrives('bob')
      expect(await next('bob')).toBe('ONLINE')
      // A reconnect elsewhere is no news
      await bob.leaves()
      const again = await c.arrives('bob', 'tablet')
      const carol = await c.arrives('carol')
      expect(await next('carol')).toBe('ONLINE')
      await carol.leaves()
      expect(await next('carol')).toBe('OFFLINE')
      await alice.forgets()
      await again.leaves()
      expect(await next('bob')).toBe('OFFLINE')
      const { body } = await b.asks('dave', '/imserver/user/status', ['alice', 'bob'])
      expect(body.data).toEqual([
        { userId: 'alice', status: 'ONLINE' },
        { userId: 'bob', status: 'OFFLINE' },
      ])
    },
  )
})

describe('an operator', () => {
  test('sees all servers, and where the sessions of a user are', async () => {
    const [a, b] = await three()
    await a.arrives('alice', 'phone')
    const laptop = await b.arrives('alice', 'laptop')
    const { nodes } = (await a.looks('/imserver/admin/nodes')) as {
      nodes: { id: string; name: string; self: boolean }[]
    }
    expect(nodes.map(({ name }) => name).sort()).toEqual(running.map(({ name }) => name).sort())
    expect(nodes.filter(({ self }) => self).map(({ name }) => name)).toEqual([a.name])
    const { sessions } = (await running[2]!.looks('/imserver/admin/sessions/alice')) as {
      sessions: { sessionId: string; node: string }[]
    }
    expect(sessions).toHaveLength(2)
    expect(sessions[1]).toMatchObject({
      sessionId: laptop.session,
      node: nodes.find(({ name }) => name === b.name)?.id,
      rings: true,
      away: false,
    })
    expect(await a.counts('carillon_nodes')).toBe(3)
  })

  test('revokes everywhere, for servers that start later too', async () => {
    const [a, b, c] = await three()
    const [phone, laptop] = [await a.arrives('alice', 'phone'), await b.arrives('alice', 'laptop')]
    const bob = await c.arrives('bob')
    const call = await phone.requests('bob')
    await bob.hears(REQUEST, { callId: call })
    const headers = { 'X-Admin-Key': ADMIN_KEY }
    const { body } = await c.asks('', '/imserver/admin/sessions/revoke', { userId: 'alice' }, { token: '', headers })
    expect(body).toMatchObject({ code: 200, data: { sessions: 2 } })
    expect([(await phone.isCut()).error, (await laptop.isCut()).error]).toEqual([
      '401 session: was revoked',
      '401 session: was revoked',
    ])
    await bob.hears(HANGUP, { callId: call, reason: 'ADMIN' })
    const late = await serverOn(redis.url, { REDIS_PREFIX: `s${prefix}:` })
    running.push(late)
    for (const server of [b, late]) {
      const refused = await server.asks('alice', '/imserver/user/status', ['bob'], { token: phone.token })
      expect(refused.status).toBe(401)
    }
  })

  test('revokes the token of a session that another server holds, wherever it is used', async () => {
    const [a, b, c] = await three()
    const token = await tokenFor('alice')
    const [phone, laptop] = [
      await a.arrives('alice', 'phone', { token }),
      await b.arrives('alice', 'laptop', { token }),
    ]
    const other = await c.arrives('alice', 'tablet')
    const headers = { 'X-Admin-Key': ADMIN_KEY }
    const { body } = await c.asks(
      '',
      '/imserver/admin/sessions/revoke',
      { sessionId: phone.session },
      { token: '', headers },
    )
    expect(body).toMatchObject({ code: 200, data: { sessions: 2 } })
    await Promise.all([phone.isCut(), laptop.isCut()])
    await other.hearsNothing().catch(() => undefined)
    expect((await c.looks('/imserver/admin/sessions/alice')) as object).toMatchObject({
      sessions: [{ sessionId: other.session }],
    })
  })
})
