/** `/api/v1/rtc` as HTTP: one envelope whoever answers, and nothing that a client sends gets further than it may. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { HttpOptions } from '../../http/services.ts'
import { type Ask, type Face, FakeServices, serveFace } from '../support/http-face.ts'

const RTC = '/api/v1/rtc'
const CALL = { callerId: 'alice', calleeId: 10002, callType: 'AUDIO' }

let fake: FakeServices
let face: Face

async function serve(options: Partial<HttpOptions> = {}): Promise<void> {
  await face?.close()
  face = await serveFace(fake, options)
}

beforeEach(async () => {
  fake = new FakeServices()
  await serve()
})
afterEach(() => face.close())

const asks = (path: string, ask: Ask = {}) => face.ask(RTC + path, ask)

describe('every answer has the envelope of this face', () => {
  test.each<readonly [string, string, Ask, number]>([
    ['no token', '/config/webrtc', { method: 'GET', headers: { ide: '' } }, 401],
    ['a forged token', '/config/webrtc', { method: 'GET', headers: { ide: 'forged' } }, 401],
    ['an unknown path', '/nothing', {}, 404],
    ['the wrong method', '/call/initiate', { method: 'GET' }, 404],
    ['another wrong method', '/config/webrtc', { method: 'POST' }, 404],
    ['an address that cannot be decoded', '/call/%E0%A4%A', { method: 'GET' }, 400],
    ['no JSON', '/call/initiate', { body: '{' }, 400],
    ['an empty body', '/call/initiate', {}, 400],
    ['a body that is a list', '/call/hangup', { body: [] }, 400],
    ['a body that is too large', '/call/initiate', { body: 'x'.repeat(5000) }, 413],
    ['a compressed body', '/call/initiate', { headers: { 'content-encoding': 'gzip' }, body: 'x' }, 400],
    ['a page of another origin', '/call/initiate', { headers: { origin: 'https://evil.example' }, body: CALL }, 403],
    ['a session that is not there', '/call/initiate', { headers: { 'x-session-id': 's' }, body: CALL }, 400],
    ['a history that is not kept', '/call/history', { method: 'GET' }, 404],
  ])('%s', async (_, path, ask, status) => {
    const told = await asks(path, ask)
    expect(told.status).toBe(status)
    expect(told.json).toEqual({ code: status, message: expect.any(String), data: null })
    expect(told.headers['content-language']).toBe('en')
    expect(told.headers.vary).toContain('Accept-Language')
    const chinese = await asks(path, { ...ask, headers: { ...ask.headers, 'accept-language': 'zh' } })
    expect(chinese.json).toMatchObject({ code: status, message: expect.stringMatching(/^[一-鿿]/) })
  })

  test('while the server stops, and when it has a fault', async () => {
    fake.answer = () => Promise.reject(new Error('a bug'))
    expect(await asks('/call/initiate', { body: CALL })).toMatchObject({ status: 500, json: { code: 500, data: null } })
    fake.state = 'stopping'
    expect(await asks('/call/initiate', { body: CALL })).toMatchObject({ status: 503, json: { code: 503, data: null } })
    expect((await face.ask('/imserver/call/hangup')).json).toHaveProperty('msg')
  })
})

describe('a body', () => {
  test.each([
    [{ ...CALL, callerId: undefined }, 'callerId: is required'],
    [{ ...CALL, callerId: null }, 'callerId: must be a number or a text'],
    [{ ...CALL, calleeId: 1.5 }, 'calleeId: must be a whole number below 2^53; send other ids as texts'],
    [{ ...CALL, callType: undefined }, 'callType: is required'],
    [{ ...CALL, callType: 'FAX' }, 'callType: must be one of AUDIO, VIDEO'],
    [{ ...CALL, callerName: ' ' }, 'callerName: must not be blank'],
    [{ ...CALL, timeout: 4 }, 'timeout: must be at least 5 seconds'],
  ])('%j is refused: %s', async (body, message) => {
    expect(await asks('/call/initiate', { body })).toMatchObject({ status: 400, json: { message } })
    expect(fake.commands).toEqual([])
  })

  test('of a rejection says why', async () => {
    const body = { callId: 'c', userId: 'alice' }
    expect((await asks('/call/reject', { body })).json).toMatchObject({ message: 'reason: is required' })
    expect((await asks('/call/reject', { body: { ...body, reason: 'LAZY' } })).json).toMatchObject({
      message: 'reason: must be one of BUSY, DECLINED, NO_ANSWER',
    })
  })

  test('reaches the call service in its own words, and what is not known of it does not', async () => {
    await asks('/call/initiate', { body: { ...CALL, callerName: 'A', timeout: 10, __proto__: null, x: { y: 1 } } })
    expect(fake.commands).toMatchObject([
      {
        verb: 'request',
        actor: { user: 'alice', overHttp: true },
        message: { callee: '10002', type: 'AUDIO', callerUserName: 'A', timeout: 10 },
      },
    ])
    expect(fake.commands[0]?.message).not.toHaveProperty('x')
    expect(fake.heard).toEqual(['alice'])
  })

  test('is not read for somebody who may not', async () => {
    expect(await asks('/call/initiate', { body: { ...CALL, callerId: 'bob' } })).toMatchObject({ status: 403 })
    expect(fake.commands).toEqual([])
    expect(fake.heard).toEqual([])
  })
})

test.each(['', 'a b', 'x'.repeat(256)])('an Idempotency-Key may not be %j', async (key) => {
  const { status, json } = await asks('/call/initiate', { headers: { 'idempotency-key': key }, body: CALL })
  expect(status).toBe(400)
  expect(json).toMatchObject({ message: expect.stringMatching(/^Idempotency-Key: /) })
})

test.each([
  ['page=0', 'page: must be a whole number from 1'],
  ['page=x&size=0', 'page: must be a whole number from 1; size: must be a whole number from 1 to 100'],
  ['size=101', 'size: must be a whole number from 1 to 100'],
  ['size=1e2', 'size: must be a whole number from 1 to 100'],
  ['page=101&size=100', expect.stringMatching(/^page: must not lead further than 10000 calls/)],
])('a page of the history may not be %s', async (query, message) => {
  expect(await asks(`/call/history?${query}`, { method: 'GET' })).toMatchObject({ status: 400, json: { message } })
})

test('a service has a rate of its own, where it is one', async () => {
  fake.authenticate = () => Promise.resolve({ ok: true, data: { user: 'back end', token: 't', service: true } })
  await serve({ userRate: { perSecond: 1, burst: 1 }, serviceRate: { perSecond: 1, burst: 3 } })
  const config = async () => (await asks('/config/webrtc', { method: 'GET' })).status
  expect([await config(), await config(), await config(), await config()]).toEqual([200, 200, 200, 429])
  const hangup = async () => (await face.ask('/imserver/call/hangup')).status
  expect([await hangup(), await hangup()]).toEqual([200, 429])
})

test('a user has one rate over all faces', async () => {
  await serve({ userRate: { perSecond: 1, burst: 2 } })
  expect((await face.ask('/imserver/call/hangup')).status).toBe(200)
  expect((await asks('/config/webrtc', { method: 'GET' })).status).toBe(200)
  expect((await asks('/config/webrtc', { method: 'GET' })).headers['retry-after']).toBe('1')
})

test('pages of allowed origins may send what this face reads, and read what it says', async () => {
  await serve({ allowedOrigins: ['https://im.example.org'] })
  const headers = { origin: 'https://im.example.org', 'access-control-request-method': 'POST' }
  const asked = await asks('/call/initiate', { method: 'OPTIONS', headers })
  expect(asked.status).toBe(204)
  expect(asked.headers['access-control-allow-headers']).toMatch(/idempotency-key, if-none-match/)
  expect(asked.headers['access-control-expose-headers']).toMatch(/ETag/)
})

test('requests that wait are answered at once when the server stops', async () => {
  const call = { caller: 'alice', callee: 'bob', status: 'RINGING', type: 'AUDIO', createdAt: fake.clock.now() }
  fake.calls = { c1: { callId: 'c1', ...call } as never }
  const told = asks('/call/c1?wait=25', { method: 'GET' })
  while (fake.clock.waiting === 0) await new Promise((resolve) => setImmediate(resolve))
  fake.stopping.abort()
  expect(await told).toMatchObject({ status: 200, json: { data: { status: 'RINGING' } } })
  expect(fake.clock.waiting).toBe(0)
})
