/** `/api/v1/rtc` is a face of the one engine: what begins there goes on over STOMP, and the other way round. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { settled } from '../support/clock.ts'
import { type Device, opens, tokenFor, type World } from '../support/story.ts'

const RTC = '/api/v1/rtc'

let world: World
let service: string
let people = 0
const open: Device[] = []

beforeAll(async () => {
  world = await opens({
    TURN_SECRET: 'a secret of the relay',
    TURN_URLS: 'turn:turn.example.org:3478',
    DATABASE_URL: 'sqlite::memory:',
  })
  service = await tokenFor('back end', { role: 'service' })
})
afterAll(() => world.closes())
afterEach(async () => {
  await Promise.all(open.splice(0).map((device) => device.vanishes()))
})

/** Users nobody else has, as numbers. */
function users(): [number, number] {
  people += 2
  return [10_000 + people, 10_001 + people]
}

async function arrives(user: number | string, name = 'phone', token?: string): Promise<Device> {
  const device = await world.arrives(String(user), name, {
    listens: QUEUES.concat('/user/queue/errors'),
    ...(token !== undefined && { token }),
  })
  open.push(device)
  return device
}

const QUEUES = ['request', 'response', 'down', 'hangup', 'timeout', 'ringing'].map((name) => `/user/queue/call/${name}`)
const ALL = [...QUEUES, '/user/queue/rtc/signaling', '/user/queue/errors']

interface Told {
  readonly status: number
  readonly headers: Headers
  readonly body: { readonly code: number; readonly message: string; readonly data: Record<string, unknown> }
}

interface Options {
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly method?: string
}

async function asks(user: number | string, path: string, body?: object, options: Options = {}): Promise<Told> {
  const response = await fetch(world.url + RTC + path, {
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ide: options.token ?? (await tokenFor(String(user))), ...options.headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) } as Told
}

const initiates = (caller: number, callee: number | string, more: object = {}, options: Options = {}) =>
  asks(caller, '/call/initiate', { callerId: caller, calleeId: callee, callType: 'VIDEO', ...more }, options)

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)

describe('a call that begins here', () => {
  test('rings who subscribes over STOMP, is answered there, and ends here', async () => {
    const [caller, callee] = users()
    const phone = await arrives(callee)
    const begun = await initiates(caller, callee, { callerName: '张三', calleeName: '李四', colour: 'red' })
    const callId = begun.body.data.callId as string
    expect(begun).toMatchObject({ status: 200 })
    expect(begun.body).toEqual({
      code: 200,
      message: 'call initiated',
      data: { callId, callerId: caller, calleeId: callee, callType: 'VIDEO', status: 'CALLING', createdAt: TIME },
    })
    expect(callId).toMatch(/^call_[0-9A-HJKMNP-TV-Z]{26}$/)
    const { body } = await phone.hears('/user/queue/call/request', { callId })
    expect(body).toEqual({
      callId,
      type: 'VIDEO',
      caller: String(caller),
      callee: String(callee),
      callerUserName: '张三',
      calleeUserName: '李四',
      remainingMs: 30_000,
    })
    await phone.accepts(callId)
    await world.clock.advance(90_000)
    const ended = await asks(caller, '/call/hangup', { callId, userId: caller })
    expect(ended.body).toEqual({ code: 200, message: 'call ended', data: { callId, duration: 90, endedAt: TIME } })
    await phone.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
    await world.clock.advance(60_000)
    for (const user of [caller, callee])
      expect((await asks(user, '/call/hangup', { callId, userId: user })).body).toEqual(ended.body)
    await phone.hearsNothing()
  })

  test('shows the id of who calls when the name is not said', async () => {
    const [caller, callee] = users()
    const phone = await arrives(callee)
    await initiates(caller, callee)
    await phone.hears('/user/queue/call/request', { callerUserName: String(caller) })
  })

  test('is that of the device which is connected with the same token', async () => {
    const [caller, callee] = users()
    const token = await tokenFor(String(caller))
    const [mine, theirs] = [await arrives(caller, 'phone', token), await arrives(callee)]
    const { callId } = (await initiates(caller, callee, {}, { token })).body.data as { callId: string }
    await mine.hears('/user/queue/call/ringing', { callId })
    await theirs.accepts(callId)
    await mine.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  })

  test('to somebody who is busy is 1001 with what became of it', async () => {
    const [caller, callee] = users()
    const [third] = users()
    await initiates(caller, callee)
    const { status, body } = await initiates(third, callee, { callType: 'AUDIO' })
    expect(status).toBe(200)
    expect(body).toEqual({
      code: 1001,
      message: 'the callee is busy',
      data: {
        callId: expect.stringMatching(/^call_/),
        callerId: third,
        calleeId: callee,
        callType: 'AUDIO',
        status: 'REJECTED',
        reason: 'BUSY',
        createdAt: TIME,
      },
    })
  })

  test('to somebody who is calling just now is 1001 with the call that lives', async () => {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data
    expect((await initiates(callee, caller)).body).toMatchObject({
      code: 1001,
      data: { status: 'CANCELLED', reason: 'GLARE', activeCallId: callId, callerId: callee },
    })
  })

  test('of somebody who is in another call is refused with the id of that', async () => {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data
    const { body } = await initiates(caller, 'somebody else')
    expect(body).toMatchObject({ code: 1006, data: { activeCallId: callId } })
  })

  test('to oneself is refused in the words of this face', async () => {
    const [caller] = users()
    const { status, body } = await initiates(caller, String(caller))
    expect({ status, body }).toEqual({
      status: 400,
      body: { code: 400, message: 'calleeId: must be somebody else than the caller', data: null },
    })
  })
})

describe('a call that was begun over STOMP', () => {
  test('is answered, looked at and ended here', async () => {
    const [caller, callee] = users()
    const [alice, bob] = [await arrives(caller), await arrives(callee)]
    const callId = await alice.requests(String(callee))
    await bob.hears('/user/queue/call/request', { callId })
    await alice.hears('/user/queue/call/ringing', { callId })
    expect((await asks(callee, `/call/${callId}`)).body.data).toEqual({
      callId,
      callerId: caller,
      calleeId: callee,
      callType: 'VIDEO',
      status: 'RINGING',
      createdAt: TIME,
      ringingAt: TIME,
      duration: 0,
      version: expect.any(String),
    })
    const answered = await asks(callee, '/call/answer', { callId, userId: callee })
    expect(answered.body).toEqual({
      code: 200,
      message: 'call answered',
      data: { callId, status: 'CONNECTED', connectedAt: TIME },
    })
    await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    expect((await asks(callee, '/call/answer', { callId, userId: callee })).body).toEqual(answered.body)
    await world.clock.advance(5_000)
    expect((await asks(callee, '/call/hangup', { callId, userId: String(callee) })).body).toMatchObject({
      data: { duration: 5 },
    })
    await alice.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
    expect((await asks(caller, `/call/${callId}`)).body.data).toMatchObject({ status: 'COMPLETED', reason: 'HANGUP' })
    expect((await asks(caller, '/call/answer', { callId, userId: caller })).body).toMatchObject({ code: 1005 })
  })

  test.each([
    ['DECLINED', 'REJECTED'],
    ['BUSY', 'REJECTED'],
    ['NO_ANSWER', 'MISSED'],
  ])('is rejected here with %s, and is %s then', async (reason, status) => {
    const [caller, callee] = users()
    const [alice, bob] = [await arrives(caller), await arrives(callee)]
    const callId = await alice.requests(String(callee))
    const rejected = await asks(callee, '/call/reject', { callId, userId: callee, reason })
    expect(rejected.body).toEqual({ code: 200, message: 'call rejected', data: null })
    const queue = status === 'MISSED' ? 'timeout' : 'response'
    await alice.hears(`/user/queue/call/${queue}`, { callId, ...(status === 'REJECTED' && { reason }) })
    await bob.hears(`/user/queue/call/request`, { callId })
    await bob.hears(`/user/queue/call/${status === 'MISSED' ? 'timeout' : 'down'}`, { callId })
    expect((await asks(caller, `/call/${callId}`)).body.data).toMatchObject({ status, reason, duration: 0 })
    expect((await asks(callee, '/call/reject', { callId, userId: callee, reason })).body).toEqual(rejected.body)
  })

  test('goes on here by signalling over STOMP: the first device that signals is the one', async () => {
    const [caller, callee] = users()
    const alice = await world.arrives(String(caller), 'phone', { listens: ALL })
    const bob = await world.arrives(String(callee), 'phone', { listens: ALL })
    open.push(alice, bob)
    const { callId } = (await initiates(caller, callee)).body.data as { callId: string }
    await asks(callee, '/call/answer', { callId, userId: callee })
    await alice.signals(callId, 'OFFER', 'v=0')
    await bob.hears('/user/queue/rtc/signaling', { callId, type: 'OFFER' })
    await bob.signals(callId, 'ANSWER', 'v=0')
    await alice.hears('/user/queue/rtc/signaling', { callId, type: 'ANSWER' })
  })
})

describe('who may', () => {
  test('speak for a user is the user, and a service', async () => {
    const [caller, callee] = users()
    const mallory = await tokenFor('mallory')
    const body = { callerId: caller, calleeId: callee, callType: 'AUDIO' }
    expect(await asks('', '/call/initiate', body, { token: mallory })).toMatchObject({
      status: 403,
      body: { code: 403, message: expect.stringMatching(/^callerId: must be the user of the token/), data: null },
    })
    const begun = await asks('', '/call/initiate', body, { token: service })
    const { callId } = begun.body.data as { callId: string }
    expect(begun.body).toMatchObject({ code: 200, data: { callerId: caller } })
    for (const [path, more] of [
      ['/call/answer', {}],
      ['/call/reject', { reason: 'BUSY' }],
      ['/call/hangup', {}],
    ] as const) {
      const forged = await asks('', path, { callId, userId: callee, ...more }, { token: mallory })
      expect(forged).toMatchObject({ status: 403, body: { message: expect.stringMatching(/^userId: /) } })
      const stranger = await asks('', path, { callId, userId: 'mallory', ...more }, { token: mallory })
      expect(stranger).toMatchObject({ status: 403, body: { message: 'callId: this is not a call of yours' } })
    }
    expect((await asks('', `/call/${callId}`, undefined, { token: mallory })).status).toBe(403)
    expect((await asks('', `/call/${callId}?userId=${caller}`, undefined, { token: mallory })).status).toBe(403)
    expect((await asks('', `/call/${callId}`, undefined, { token: service })).body.data.callId).toBe(callId)
    expect((await asks('', '/call/answer', { callId, userId: callee }, { token: service })).body.code).toBe(200)
    expect((await asks('', '/call/hangup', { callId, userId: caller }, { token: service })).body.code).toBe(200)
  })

  test('do so is a service here alone: over /imserver it is a user like others', async () => {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data as { callId: string }
    const told = await world.asks('', '/imserver/call/hangup', { callId }, { token: service })
    expect(told).toMatchObject({ status: 403, body: { code: 403 } })
  })

  test('look at a call that there is not, is nobody', async () => {
    const told = await asks('', '/call/call_of_nobody', undefined, { token: service })
    expect(told).toMatchObject({ status: 404, body: { code: 404, data: null } })
  })
})

describe('an Idempotency-Key', () => {
  const keyed = (key: string) => ({ headers: { 'Idempotency-Key': key } })

  test('makes ten requests at a time one call', async () => {
    const [caller, callee] = users()
    const phone = await arrives(callee)
    const told = await Promise.all(Array.from({ length: 10 }, () => initiates(caller, callee, {}, keyed('k1'))))
    for (const { body } of told) expect(body).toEqual(told[0]?.body)
    await phone.hears('/user/queue/call/request', { callId: told[0]?.body.data.callId })
    await phone.hearsNothing()
  })

  test('is answered as at first when a device has taken over, and when the call is over', async () => {
    const [caller, callee] = users()
    const alice = await world.arrives(String(caller), 'phone', { listens: ALL })
    open.push(alice)
    const first = await initiates(caller, callee, {}, keyed('k2'))
    const { callId } = first.body.data as { callId: string }
    await alice.signals(callId, 'OFFER', 'v=0')
    expect((await initiates(caller, callee, {}, keyed('k2'))).body).toEqual(first.body)
    await asks(callee, '/call/reject', { callId, userId: callee, reason: 'DECLINED' })
    expect((await initiates(caller, callee, {}, keyed('k2'))).body).toEqual(first.body)
  })

  test('is answered as at first when that was busy', async () => {
    const [caller, callee] = users()
    const [third] = users()
    const { callId } = (await initiates(caller, callee)).body.data
    const first = await initiates(third, callee, {}, keyed('k3'))
    expect(first.body).toMatchObject({ code: 1001, data: { reason: 'BUSY' } })
    await asks(caller, '/call/hangup', { callId, userId: caller })
    expect((await initiates(third, callee, {}, keyed('k3'))).body).toEqual(first.body)
  })

  test('with another body is refused with 422', async () => {
    const [caller, callee] = users()
    await initiates(caller, callee, {}, keyed('k4'))
    const { status, body } = await initiates(caller, callee, { callType: 'AUDIO' }, keyed('k4'))
    expect({ status, body }).toMatchObject({ status: 422, body: { code: 422, data: null } })
  })

  test('is answered as at first when only the history remembers the call: nobody rings', async () => {
    const [caller, callee] = users()
    const [third] = users()
    const names = { callerName: 'Alice', calleeName: 'Bob' }
    const first = await initiates(caller, callee, names, keyed('k6'))
    const busy = await initiates(third, callee, {}, keyed('k6'))
    expect(busy.body.code).toBe(1001)
    await world.clock.advance(1)
    await asks(callee, '/call/reject', { callId: first.body.data.callId, userId: callee, reason: 'BUSY' })
    await world.clock.advance(700_000)
    const phone = await arrives(callee)
    expect((await initiates(caller, callee, names, keyed('k6'))).body).toEqual(first.body)
    expect((await initiates(third, callee, {}, keyed('k6'))).body).toEqual(busy.body)
    for (const other of [{}, { ...names, callType: 'AUDIO' }, { ...names, calleeId: third }]) {
      expect((await initiates(caller, callee, other, keyed('k6'))).status).toBe(422)
    }
    await phone.hearsNothing()
  })

  test('of another caller is another one', async () => {
    const [[a, b], [c, d]] = [users(), users()]
    const ids = [await initiates(a, b, {}, keyed('k5')), await initiates(c, d, {}, keyed('k5'))]
    expect(ids[0]?.body.data.callId).not.toBe(ids[1]?.body.data.callId)
    expect(ids.map(({ body }) => body.code)).toEqual([200, 200])
  })
})

describe('who waits for a call to change', () => {
  const waits = (user: number, callId: string, query: string, options: Options = {}) =>
    asks(user, `/call/${callId}?${query}`, undefined, options)

  /** Fulfilled when one more timer runs on the server than before. */
  async function begins(before: number): Promise<void> {
    while (world.clock.waiting <= before) await settled()
  }

  async function call(): Promise<{ caller: number; callee: number; callId: string; version: string }> {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data as { callId: string }
    const { version } = (await asks(caller, `/call/${callId}`)).body.data as { version: string }
    return { caller, callee, callId, version }
  }

  test('is told when it does', async () => {
    const { caller, callee, callId, version } = await call()
    const before = world.clock.waiting
    const told = waits(caller, callId, `wait=25&since=${version}`)
    await begins(before)
    await asks(callee, '/call/answer', { callId, userId: callee })
    const { body, headers } = await told
    expect(body.data).toMatchObject({ status: 'CONNECTED', connectedAt: TIME })
    expect(headers.get('etag')).toBe(`"${String(body.data.version)}"`)
    expect(body.data.version).not.toBe(version)
  })

  test('is told at once when it has changed already', async () => {
    const { caller, callee, callId, version } = await call()
    await asks(callee, '/call/answer', { callId, userId: callee })
    expect((await waits(caller, callId, `wait=25&since=${version}`)).body.data.status).toBe('CONNECTED')
  })

  test('is not woken by signs of life that change nothing to be seen', async () => {
    const { caller, callee, callId } = await call()
    const before = world.clock.waiting
    const told = waits(caller, callId, 'wait=25')
    await begins(before)
    await world.clock.advance(1000)
    await asks(caller, `/call/${callId}`)
    await world.clock.advance(1000)
    await asks(callee, '/call/answer', { callId, userId: callee })
    expect((await told).body.data.status).toBe('CONNECTED')
  })

  test('is told how it is when the time is over', async () => {
    const { caller, callId, version } = await call()
    const before = world.clock.waiting
    const told = waits(caller, callId, `wait=10&since=${version}`)
    await begins(before)
    await world.clock.advance(10_000)
    expect((await told).body.data).toMatchObject({ status: 'CALLING', version })
  })

  test('hears nothing new of a call that is over', async () => {
    const { caller, callId } = await call()
    await asks(caller, '/call/hangup', { callId, userId: caller })
    expect((await waits(caller, callId, 'wait=25')).body.data.status).toBe('CANCELLED')
  })

  test('may name what is known by its ETag: then nothing new is 304', async () => {
    const { caller, callee, callId, version } = await call()
    const headers = { 'If-None-Match': `"${version}"` }
    expect(await waits(caller, callId, '', { headers })).toMatchObject({ status: 304, body: {} })
    const before = world.clock.waiting
    const told = waits(caller, callId, 'wait=25', { headers })
    await begins(before)
    await asks(callee, '/call/answer', { callId, userId: callee })
    expect(await told).toMatchObject({ status: 200, body: { data: { status: 'CONNECTED' } } })
  })

  test('and leaves, makes room: there is a bound for each user', async () => {
    const { caller, callId, version } = await call()
    const [before, leaves] = [world.clock.waiting, new AbortController()]
    const ide = await tokenFor(String(caller))
    const wait = () =>
      fetch(`${world.url}${RTC}/call/${callId}?wait=25&since=${version}`, {
        headers: { ide },
        signal: leaves.signal,
      }).catch(() => undefined)
    const all = Array.from({ length: 8 }, wait)
    await begins(before + 7)
    const ninth = await waits(caller, callId, `wait=25&since=${version}`)
    expect(ninth).toMatchObject({ status: 429, body: { code: 429 } })
    expect(ninth.headers.get('retry-after')).toBe('1')
    leaves.abort()
    await Promise.all(all)
    while (world.clock.waiting > before) await settled()
    expect((await waits(caller, callId, 'wait=0')).status).toBe(200)
  })

  test.each(['26', '-1', '1.5', 'x', '1e1', '9'.repeat(30)])('may not wait for %s', async (wait) => {
    const { caller, callId } = await call()
    const { status, body } = await waits(caller, callId, `wait=${wait}`)
    expect({ status, message: body.message }).toEqual({
      status: 400,
      message: 'wait: must be a whole number of seconds from 0 to 25',
    })
  })
})

describe('a call of clients that can do more', () => {
  const features = ['hold', 'transfer', 'room']

  async function connected(): Promise<{ caller: number; callee: number; callId: string; bob: Device }> {
    const [caller, callee] = users()
    const bob = await world.arrives(String(callee), 'phone', { listens: [...ALL, '/user/queue/call/hold'] })
    open.push(bob)
    const { callId } = (await initiates(caller, callee, { features })).body.data as { callId: string }
    await bob.says('/app/call/response', { callId, type: 'ACCEPT', features })
    return { caller, callee, callId, bob }
  }

  test('is put on hold and taken up again, and says so', async () => {
    const { caller, callId, bob } = await connected()
    const held = await asks(caller, '/call/hold', { callId, userId: caller, hold: true })
    expect(held.body).toEqual({ code: 200, message: 'success', data: { callId, hold: true } })
    await bob.hears('/user/queue/call/hold', { callId, hold: true, by: String(caller) })
    expect((await asks(caller, `/call/${callId}`)).body.data.heldBy).toEqual([caller])
    await asks(caller, '/call/hold', { callId, userId: caller, hold: false })
    expect((await asks(caller, `/call/${callId}`)).body.data).not.toHaveProperty('heldBy')
  })

  test('is transferred: the third one rings, and is shown who has done that', async () => {
    const { caller, callee, callId } = await connected()
    const [third] = users()
    const carol = await arrives(third)
    const told = await asks(caller, '/call/transfer', { callId, userId: caller, target: third })
    const { newCallId } = told.body.data
    expect(told.body).toMatchObject({ code: 200, data: { callId, newCallId: expect.any(String) } })
    await carol.hears('/user/queue/call/request', { callId: newCallId, transferredBy: String(caller) })
    expect((await asks(third, `/call/${String(newCallId)}`)).body.data).toMatchObject({
      callerId: callee,
      calleeId: third,
      transferredBy: caller,
    })
  })

  test('becomes a room, with a member for each who is in it', async () => {
    const { caller, callee, callId } = await connected()
    const [third] = users()
    const carol = await arrives(third)
    const told = await asks(caller, '/call/invite', { callId, userId: caller, invitees: [third] })
    expect(told.body).toEqual({ code: 200, message: 'invited', data: null })
    await carol.hears('/user/queue/call/request', { callId, room: true })
    expect((await asks(third, `/call/${callId}`)).body.data.members).toMatchObject([
      { userId: caller, state: 'JOINED' },
      { userId: callee, state: 'JOINED' },
      { userId: third, state: 'RINGING' },
    ])
  })

  test('is refused what the other client cannot do, and what makes no sense', async () => {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data
    const transfer = { callId, userId: caller, target: 'carol' }
    expect((await asks(caller, '/call/transfer', transfer)).body).toMatchObject({ code: 1008, data: { callId } })
    const attended = await asks(caller, '/call/transfer', { ...transfer, mode: 'ATTENDED' })
    expect(attended.body.message).toBe('withCallId: is required with mode ATTENDED, and with it alone')
    const nobody = await asks(caller, '/call/invite', { callId, userId: caller, invitees: [] })
    expect(nobody.body.message).toBe('invitees: must name somebody')
    const unsaid = await asks(caller, '/call/invite', { callId, userId: caller })
    expect(unsaid.body.message).toBe('invitees: is required')
  })
})

describe('the history', () => {
  test('of a user has their calls, page by page, the latest first', async () => {
    const [caller, callee] = users()
    const begun: string[] = []
    for (const callType of ['AUDIO', 'VIDEO', 'AUDIO']) {
      const { callId } = (await initiates(caller, callee, { callType, callerName: '张三' })).body.data
      await asks(callee, '/call/answer', { callId, userId: callee })
      await world.clock.advance(120_000)
      await asks(caller, '/call/hangup', { callId, userId: caller })
      begun.unshift(String(callId))
    }
    const { body } = await asks(callee, `/call/history?userId=${callee}&page=1&size=2`)
    expect(body).toMatchObject({ code: 200, message: 'success', data: { total: 3, page: 1, size: 2 } })
    const records = body.data.records as Record<string, unknown>[]
    expect(records.map(({ callId }) => callId)).toEqual(begun.slice(0, 2))
    expect(records[0]).toEqual({
      callId: begun[0],
      callerId: caller,
      callerName: '张三',
      calleeId: callee,
      calleeName: String(callee),
      callType: 'AUDIO',
      status: 'COMPLETED',
      duration: 120,
      startTime: TIME,
      endTime: TIME,
    })
    const second = await asks('', `/call/history?userId=${caller}&page=2&size=2`, undefined, { token: service })
    expect((second.body.data.records as unknown[]).length).toBe(1)
    const forged = await asks(caller, `/call/history?userId=${callee}`)
    expect(forged).toMatchObject({ status: 403, body: { code: 403, data: null } })
  })

  test('knows a call that the engine has forgotten: it is read, and its end is answered again', async () => {
    const [caller, callee] = users()
    const { callId } = (await initiates(caller, callee)).body.data
    await asks(callee, '/call/reject', { callId, userId: callee, reason: 'NO_ANSWER' })
    const before = (await asks(caller, `/call/${String(callId)}`)).body.data
    const ended = await asks(caller, '/call/hangup', { callId, userId: caller })
    await world.clock.advance(700_000)
    expect((await asks(caller, `/call/${String(callId)}`)).body.data).toEqual(before)
    expect((await asks(caller, '/call/hangup', { callId, userId: caller })).body).toEqual(ended.body)
    expect((await asks('mallory', `/call/${String(callId)}`)).status).toBe(403)
  })
})

describe('what a page makes its RTCPeerConnection with', () => {
  test('has no nulls, and names the user of the token', async () => {
    const { body } = await asks(10001, '/config/webrtc')
    expect(body).toMatchObject({ code: 200, message: 'success' })
    const { iceServers, ...rest } = body.data as { iceServers: { urls: string; username?: string }[] }
    expect(rest).toEqual({ sdpSemantics: 'unified-plan' })
    expect(iceServers.map(({ urls }) => urls)).toEqual(['stun:turn.example.org:3478', 'turn:turn.example.org:3478'])
    expect(Object.keys(iceServers[0] ?? {})).toEqual(['urls'])
    expect(iceServers[1]?.username).toMatch(/:10001$/)
  })

  test('is for those alone who have a token', async () => {
    expect((await fetch(`${world.url}${RTC}/config/webrtc`)).status).toBe(401)
    const forged = await asks(10001, '/config/webrtc?userId=10002')
    expect(forged.status).toBe(403)
    const asked = await asks('', '/config/webrtc?userId=10002', undefined, { token: service })
    expect(JSON.stringify(asked.body.data)).toContain(':10002"')
  })
})

test('a message is in the language that the client likes', async () => {
  const [caller, callee] = users()
  const chinese = { headers: { 'Accept-Language': 'zh-CN,zh;q=0.9,en;q=0.8' } }
  const begun = await initiates(caller, callee, {}, chinese)
  expect(begun.body.message).toBe('通话发起成功')
  expect(begun.headers.get('content-language')).toBe('zh-CN')
  expect(begun.headers.get('vary')).toContain('Accept-Language')
  const { callId } = begun.body.data
  const say = async (user: number, path: string, body?: object) => (await asks(user, path, body, chinese)).body.message
  expect(await say(callee, '/call/answer', { callId, userId: callee })).toBe('接听成功')
  expect(await say(caller, '/call/hangup', { callId, userId: caller })).toBe('通话已结束')
  expect(await say(callee, '/call/reject', { callId, userId: callee, reason: 'BUSY' })).toBe('已拒绝')
  expect(await say(caller, '/config/webrtc')).toBe('success')
  expect(await say(callee, '/call/answer', { callId, userId: callee })).toBe('通话已经结束')
  expect(await say(callee, '/call/answer', { callId })).toBe('请求参数有误（userId: is required）')
})
