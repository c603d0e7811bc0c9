import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { refuse } from '../../src/errors.ts'
import { type Face, FakeServices, serveFace } from '../support/http-face.ts'

let fake: FakeServices
let face: Face

beforeEach(async () => {
  fake = new FakeServices()
  face = await serveFace(fake)
})
afterEach(() => face.close())

const CALL = { callId: 'c1', callee: 'bob', callerUserName: 'Alice' }
const ALICE = { user: 'alice', token: 'print of token-of-alice', overHttp: true }
const OK = { code: 200, msg: 'ok', data: null }

describe('a command', () => {
  test('to call reaches the call service with the checked message, and is answered in the envelope', async () => {
    const { status, json, headers } = await face.ask('/imserver/call/request', { body: { ...CALL, colour: 'red' } })
    expect({ status, json }).toEqual({ status: 200, json: OK })
    expect(headers['content-type']).toBe('application/json; charset=utf-8')
    expect(fake.commands).toEqual([
      { verb: 'request', actor: ALICE, message: { ...CALL, type: 'VIDEO', colour: 'red' } },
    ])
  })

  test('to answer reaches the call service', async () => {
    await face.ask('/imserver/call/response', { body: { callId: 'c1', type: 'REJECT', reason: 'BUSY' } })
    expect(fake.commands).toEqual([
      { verb: 'respond', actor: ALICE, message: { callId: 'c1', type: 'REJECT', reason: 'BUSY' } },
    ])
  })

  test.each([
    ['an empty body', undefined, {}],
    ['an empty object', {}, {}],
    ['a callId', { callId: 'c1' }, { callId: 'c1' }],
  ])('to hang up takes %s', async (_, body, message) => {
    expect((await face.ask('/imserver/call/hangup', { body })).json).toEqual(OK)
    expect(fake.commands).toEqual([{ verb: 'hangup', actor: ALICE, message }])
  })

  test('to signal is carried on octet for octet', async () => {
    const body = '{ "type":"OFFER",\n "callId" : "c1", "payload": "v=0\\r\\n\\u00e9 é", "more": 1.0 }'
    await face.ask('/imserver/rtc/signaling', { body: Buffer.from(body) })
    expect(fake.commands[0]).toMatchObject({ body: Buffer.from(body).toString('latin1') })
  })

  test.each([
    [{}, 'application/json'],
    [{ 'content-type': 'application/json; charset=utf-8' }, 'application/json; charset=utf-8'],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 'application/json'],
    [{ 'content-type': 'application/json; a="b"' }, 'application/json'],
  ])('to signal says what its body is: %j', async (headers: Record<string, string>, contentType) => {
    await face.ask('/imserver/rtc/signaling', { headers, body: { callId: 'c', type: 'ANSWER', payload: 'v=0' } })
    expect(fake.commands[0]).toMatchObject({ contentType })
  })

  test('counts as a sign of life of its user', async () => {
    await face.ask('/imserver/call/hangup')
    await face.ask('/imserver/turn/get-turn-credentials', { method: 'GET', headers: { ide: 'token-of-bob' } })
    expect(fake.heard).toEqual(['alice', 'bob'])
  })

  test('is carried out even when the sign of life is lost', async () => {
    fake.hears = () => Promise.reject(new Error('no store'))
    expect((await face.ask('/imserver/call/hangup')).json).toEqual(OK)
    expect(fake.logged).toHaveLength(1)
  })
})

describe('a refusal', () => {
  test('of HTTP has the status of its code', async () => {
    fake.answer = () => Promise.resolve(refuse('forbidden', 'you are not a party of this call', { callId: 'c1' }))
    const { status, json } = await face.ask('/imserver/call/hangup', { body: { callId: 'c1' } })
    expect({ status, json }).toEqual({
      status: 403,
      json: { code: 403, msg: 'you are not a party of this call', data: null, callId: 'c1' },
    })
    expect(fake.refusals).toEqual([403])
  })

  test('of the business has status 200 and its facts beside the code', async () => {
    fake.answer = () => Promise.resolve(refuse('busy', 'bob calls you', { reason: 'GLARE', activeCallId: 'c0' }))
    const { status, json } = await face.ask('/imserver/call/request', { body: CALL })
    expect({ status, json }).toEqual({
      status: 200,
      json: { code: 1001, msg: 'bob calls you', data: null, reason: 'GLARE', activeCallId: 'c0' },
    })
    expect(fake.refusals).toEqual([1001])
  })

  test.each([
    ['a missing field', { callId: 'c1', callee: 'bob' }, 'callerUserName: is required'],
    ['a blank field', { ...CALL, callerUserName: ' ' }, 'callerUserName: must not be blank'],
    ['several', { callId: '', type: 'FAX' }, /^callId: .*; type: .*; callee: .*; callerUserName: /],
    ['JSON that is no object', '[]', 'body: must be a JSON object'],
    ['no JSON', '{"callId"', /^body: is not JSON in UTF-8/],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), /^body: is not JSON in UTF-8/],
    ['an empty body', undefined, /callId: is required/],
  ])('names what is wrong with %s', async (_, body, msg) => {
    const { status, json } = await face.ask('/imserver/call/request', { body })
    expect(status).toBe(400)
    expect(json).toEqual({
      code: 400,
      msg: typeof msg === 'string' ? msg : expect.stringMatching(msg),
      data: null,
    })
    expect(fake.commands).toEqual([])
  })

  test('is told for a body over the limit, whether its length is announced or not', async () => {
    const body = 'x'.repeat(5000)
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      const { status, json } = await face.ask('/imserver/call/request', { headers, body })
      expect({ status, json }).toEqual({
        status: 413,
        json: { code: 413, msg: 'body: must have at most 4096 bytes', data: null },
      })
    }
  })

  test('is told for a compressed body, which could be a bomb', async () => {
    const { json } = await face.ask('/imserver/call/request', { headers: { 'content-encoding': 'gzip' }, body: 'x' })
    expect(json).toMatchObject({ code: 400, msg: 'body: must be sent without Content-Encoding' })
  })

  test.each([
    ['/imserver/nothing', 'POST', 404],
    ['/imserver', 'GET', 404],
    ['/imserver/call/request/', 'PUT', 404],
    ['/%', 'GET', 404],
    ['/demo/token', 'POST', 404],
    ['/__proto__', 'GET', 404],
  ])('is told for %s %s', async (path, method, code) => {
    const { status, json } = await face.ask(path, { method })
    expect({ status, json }).toEqual({ status: code, json: { code, msg: expect.any(String), data: null } })
  })

  test('of another method than the path has says which it has', async () => {
    const { status, headers, json } = await face.ask('/imserver/call/request', { method: 'DELETE' })
    expect({ status, allow: headers.allow }).toEqual({ status: 404, allow: 'POST, OPTIONS' })
    expect(json).toMatchObject({ code: 404, msg: 'DELETE is not possible here; allowed: POST, OPTIONS' })
    const options = await face.ask('/imserver/turn/get-turn-credentials', { method: 'OPTIONS' })
    expect({ status: options.status, allow: options.headers.allow }).toEqual({ status: 204, allow: 'GET, OPTIONS' })
  })

  test('hides a bug from the client and shows it to the log', async () => {
    fake.answer = () => Promise.reject(new Error('the store said: secret things'))
    const { status, json, text } = await face.ask('/imserver/call/hangup')
    expect({ status, json }).toEqual({
      status: 500,
      json: { code: 500, msg: 'a fault of the server; it has been logged', data: null },
    })
    expect(text).not.toContain('secret things')
    expect(fake.logged).toEqual([
      { facts: { err: expect.any(Error), method: 'POST', path: '/imserver/call/hangup' }, message: expect.any(String) },
    ])
    expect(fake.refusals).toEqual([500])
  })

  test('is told to everybody, with a time to come back, while the server stops', async () => {
    fake.state = 'stopping'
    const { status, headers, json } = await face.ask('/imserver/call/request', { body: CALL })
    expect({ status, after: headers['retry-after'], connection: headers.connection }).toEqual({
      status: 503,
      after: '2',
      connection: 'close',
    })
    expect(json).toMatchObject({ code: 503, data: null })
    expect(fake.commands).toEqual([])
  })

  test('is not needed for a client that leaves in the middle of its body', async () => {
    const gone = new Promise<void>((resolve) => {
      const served = jest.spyOn(fake.served, 'push').mockImplementation((...items) => {
        served.mockRestore()
        resolve()
        return fake.served.push(...items)
      })
    })
    const socket = connect(Number(face.host.split(':')[1]), '127.0.0.1')
    socket.write(`POST /imserver/call/hangup HTTP/1.1\r\nHost: x\r\nide: token-of-alice\r\nContent-Length: 99\r\n\r\n{`)
    socket.end()
    await gone
    expect(fake.commands).toEqual([])
    expect(fake.logged).toEqual([])
    socket.destroy()
  })
})

describe('presence and credentials', () => {
  test('tell who is online, in the order asked', async () => {
    expect((await face.ask('/imserver/user/status', { body: ['bob', 'alice'] })).json).toEqual({
      code: 200,
      msg: 'ok',
      data: [
        { userId: 'bob', status: 'OFFLINE' },
        { userId: 'alice', status: 'ONLINE' },
      ],
    })
  })

  test.each([
    ['no array', { a: 1 }, 'body: must be a JSON array of user ids'],
    ['an empty body', undefined, 'body: must be a JSON array of user ids'],
    ['an empty array', [], 'body: must have at least 1 user id'],
    ['201 users', Array.from({ length: 201 }, (_, i) => `u${i}`), 'body: must have at most 200 user ids'],
    ['no user id', ['a', 1], '[1]: must be a string'],
  ])('refuse a query with %s', async (_, body, msg) => {
    expect((await face.ask('/imserver/user/status', { body })).json).toEqual({ code: 400, msg, data: null })
  })

  test('are for the user of the token, and never stored on the way', async () => {
    const { json, headers } = await face.ask('/imserver/turn/get-turn-credentials', { method: 'GET' })
    expect(json).toMatchObject({ code: 200, data: { iceServers: [{ username: '9:alice' }], ttl: 60, expiresAt: 9 } })
    expect(headers['cache-control']).toBe('no-store')
    expect(headers.etag).toBeUndefined()
  })
})

describe('the device', () => {
  const same = { id: 's1', token: 'print of token-of-alice' }
  const other = { id: 's2', token: 'print of other-token-of-alice' }
  const deviceOf = async (headers: Record<string, string> = {}) => {
    await face.ask('/imserver/call/hangup', { headers })
    return fake.commands[0]?.actor.device
  }

  test('is the session that the request names', async () => {
    fake.sessions = { alice: [same, other] }
    expect(await deviceOf({ 'X-Session-Id': 's2' })).toBe('s2')
  })

  test('is not named by an empty header', async () => {
    fake.sessions = { alice: [same, other] }
    expect(await deviceOf({ 'X-Session-Id': '' })).toBe('s1')
  })

  test.each([
    ['of nobody', 's9'],
    ['of another user', 's3'],
  ])('is refused when the session named is %s', async (_, id) => {
    fake.sessions = { alice: [same], bob: [{ id: 's3', token: same.token }] }
    const { status, json } = await face.ask('/imserver/call/hangup', { headers: { 'X-Session-Id': id } })
    expect(status).toBe(400)
    expect(json).toMatchObject({ msg: expect.stringMatching(/^X-Session-Id: /) })
    expect(fake.commands).toEqual([])
  })

  test('is the one live session that has the very same token', async () => {
    fake.sessions = { alice: [other, same] }
    expect(await deviceOf()).toBe('s1')
  })

  test('is nobody’s when two sessions have the same token, or none', async () => {
    fake.sessions = { alice: [same, { ...same, id: 's4' }] }
    expect(await deviceOf()).toBeUndefined()
    fake.sessions = { alice: [other] }
    expect(await deviceOf()).toBeUndefined()
  })
})

describe('operations', () => {
  test('/livez answers whenever the process does', async () => {
    fake.state = 'stopping'
    expect((await face.ask('/livez', { method: 'GET' })).status).toBe(200)
  })

  test.each(['starting', 'stopping', 'ready'] as const)('/readyz says %s', async (state) => {
    fake.state = state
    fake.relay = 'down'
    const { status, json } = await face.ask('/readyz', { method: 'GET' })
    expect({ status, json }).toEqual({ status: state === 'ready' ? 200 : 503, json: { status: state, relay: 'down' } })
  })

  test('/metrics is the text that Prometheus reads', async () => {
    const { headers, text } = await face.ask('/metrics', { method: 'GET' })
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(text).toBe('up 1\n')
  })

  test('count every answer under its route, never under an address somebody made up', async () => {
    await face.ask('/imserver/call/hangup')
    await face.ask('/imserver/call/hangup', { method: 'PUT' })
    await face.ask('/secret/place', { method: 'GET' })
    expect(fake.served).toEqual([
      { route: '/imserver/call/hangup', method: 'POST', status: 200, seconds: 0 },
      { route: '/imserver/call/hangup', method: 'PUT', status: 404, seconds: 0 },
      { route: 'unknown', method: 'GET', status: 404, seconds: 0 },
    ])
  })
})
