import { afterEach, describe, expect, test } from '@jest/globals'
import { createLoginGuard } from '../../broker/index.ts'
import { originAllowed } from '../../http/origin.ts'
import type { HttpOptions } from '../../http/services.ts'
import { TokenBuckets } from '../../http/token-buckets.ts'
import { refuse } from '../../src/errors.ts'
import { settled, TestClock } from '../support/clock.ts'
import { type Face, FakeServices, serveFace } from '../support/http-face.ts'

let face: Face
const faces: Face[] = []
afterEach(() => Promise.all(faces.splice(0).map((each) => each.close())))

async function serve(options: Partial<HttpOptions> = {}, prepare: (fake: FakeServices) => void = () => {}) {
  const fake = new FakeServices()
  prepare(fake)
  face = await serveFace(fake, options)
  faces.push(face)
  return fake
}

/** Until so many requests have met a bound. */
async function waitsFor(fake: FakeServices, limits: number): Promise<void> {
  while (fake.limits < limits) await settled()
}

const HANGUP = '/imserver/call/hangup'

describe('the token', () => {
  test.each([
    ['ide', { ide: ' token-of-bob ' }, 'bob'],
    ['Authorization: Bearer', { ide: '', Authorization: 'Bearer token-of-bob' }, 'bob'],
    ['Authorization: bearer', { ide: '', Authorization: 'bearer  token-of-bob' }, 'bob'],
    ['ide, where both are there', { ide: 'token-of-alice', Authorization: 'Bearer token-of-bob' }, 'alice'],
  ])('comes in the header %s', async (_, headers, user) => {
    const fake = await serve()
    expect((await face.ask(HANGUP, { headers })).status).toBe(200)
    expect(fake.commands[0]?.actor.user).toBe(user)
  })

  test.each([
    ['missing', { ide: '' }, /^token: is missing; send it as header `ide`/],
    ['of another scheme', { ide: '', Authorization: 'Basic YTpi' }, /^token: is missing/],
    ['forged', { ide: 'forged' }, /^token: is not a signed/],
  ])('is refused with 401 when it is %s', async (_, headers, msg) => {
    const fake = await serve()
    const told = await face.ask(HANGUP, { headers, body: '{' })
    expect(told).toMatchObject({ status: 401, json: { code: 401, msg: expect.stringMatching(msg), data: null } })
    expect(told.headers['www-authenticate']).toBe('Bearer realm="carillon"')
    expect(fake.commands).toEqual([])
    expect(fake.heard).toEqual([])
  })

  test('that cannot be checked now is answered with 503 and a time to come back', async () => {
    await serve({}, (fake) => {
      fake.authenticate = () => Promise.resolve(refuse('unavailable', 'no keys', { retryAfter: 5 }))
    })
    const { status, headers } = await face.ask(HANGUP)
    expect({ status, after: headers['retry-after'] }).toEqual({ status: 503, after: '5' })
  })
})

describe('too much', () => {
  test('of one user is refused with 429 until a moment has passed, and no other user feels it', async () => {
    const fake = await serve({ userRate: { perSecond: 1, burst: 2 } })
    const statusOf = async (ide: string) => (await face.ask(HANGUP, { headers: { ide } })).status
    expect([await statusOf('token-of-alice'), await statusOf('other-token-of-alice')]).toEqual([200, 200])
    const told = await face.ask(HANGUP)
    expect(told).toMatchObject({ status: 429, json: { code: 429, retryAfter: 1 } })
    expect(told.headers['retry-after']).toBe('1')
    expect(await statusOf('token-of-bob')).toBe(200)
    await fake.clock.advance(1000)
    expect(await statusOf('token-of-alice')).toBe(200)
    expect(await statusOf('token-of-alice')).toBe(429)
  })

  const guards = (burst: number) => (fake: FakeServices) => {
    fake.logins = createLoginGuard({
      clock: fake.clock,
      rate: { perSecond: 1, burst },
      limited: () => void fake.limits++,
    })
  }
  const guess = (headers: Record<string, string> = {}) => face.ask(HANGUP, { headers: { ide: 'forged', ...headers } })

  test('guessing from one address makes its answers wait, and says for how long; good tokens do not', async () => {
    const fake = await serve({}, guards(2))
    expect([(await guess()).status, (await guess({ ide: '' })).status]).toEqual([401, 401])
    const [third, counted] = [guess(), waitsFor(fake, 1)]
    await counted
    expect((await face.ask(HANGUP)).status).toBe(200)
    await fake.clock.advance(100)
    const { status, headers, json } = await third
    expect(json).toMatchObject({ code: 401, msg: 'token: is not a signed JSON Web Token', retryAfter: 2 })
    expect({ status, after: headers['retry-after'] }).toEqual({ status: 401, after: '2' })
  })

  test('guessing on many connections at once is turned away with 429, and ends when the guesser leaves', async () => {
    const fake = await serve({}, guards(1))
    const leaves = new AbortController()
    const guesses = Array.from({ length: 21 }, () =>
      fetch(`${face.address}${HANGUP}`, { method: 'POST', headers: { ide: 'forged' }, signal: leaves.signal }).catch(
        () => undefined,
      ),
    )
    await waitsFor(fake, 20)
    const full = { code: 429, msg: 'too many failed logins from this address; wait 11 s', retryAfter: 11 }
    expect(await guess()).toMatchObject({ status: 429, json: full })
    // Every request of somebody who is logged in carries a token: a neighbour must not be able to shut him out
    expect((await face.ask(HANGUP)).status).toBe(200)
    leaves.abort()
    await Promise.all(guesses)
    while (fake.logins.turnedAway('127.0.0.1') !== undefined) await settled()
  })

  test('counts the address that a trusted proxy names, and believes nobody else', async () => {
    const from = (address: string) => guess({ 'x-forwarded-for': address }).then(({ status }) => status)
    const fake = await serve({ trustedProxies: ['127.0.0.1'] }, guards(1))
    expect([await from('192.0.2.1'), await from('192.0.2.2')]).toEqual([401, 401])
    const again = from('192.0.2.1')
    await waitsFor(fake, 1)
    await fake.clock.advance(100)
    expect(await again).toBe(401)
    await face.close()
    const other = await serve({}, guards(1))
    expect(await from('192.0.2.1')).toBe(401)
    const waiting = from('192.0.2.2')
    await waitsFor(other, 1)
    await other.clock.advance(100)
    expect(await waiting).toBe(401)
  })

  test('is kept in a bounded memory, from which those seen last are not pushed out', () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 1, clock: new TestClock(), atMost: 2 })
    buckets.take('a')
    buckets.take('b')
    buckets.take('a')
    buckets.take('c')
    expect(buckets.size).toBe(2)
    expect([buckets.take('a'), buckets.take('c')]).toEqual([1, 1])
    expect(buckets.take('b')).toBe(0)
  })
})

describe('a page of another site', () => {
  const FOREIGN = 'https://evil.example'

  test.each(['POST', 'GET', 'OPTIONS'])('is refused (%s) unless its origin is allowed', async (method) => {
    const fake = await serve({ allowedOrigins: ['https://im.example.org'] })
    const told = await face.ask(HANGUP, {
      method,
      headers: { origin: FOREIGN, 'access-control-request-method': 'POST' },
    })
    expect(told).toMatchObject({ status: 403, json: { code: 403 } })
    expect(told.headers['access-control-allow-origin']).toBeUndefined()
    expect(fake.commands).toEqual([])
  })

  test('whose origin is allowed can read the answers', async () => {
    await serve({ allowedOrigins: ['https://im.example.org'] })
    const { status, headers } = await face.ask(HANGUP, { headers: { origin: 'https://im.example.org' } })
    expect(status).toBe(200)
    expect(headers['access-control-allow-origin']).toBe('https://im.example.org')
    expect(headers.vary).toBe('Origin')
    expect(headers['access-control-allow-credentials']).toBeUndefined()
  })

  test('can read refusals too', async () => {
    const fake = await serve({ allowedOrigins: ['*'] })
    fake.state = 'stopping'
    const { status, headers } = await face.ask(HANGUP, { headers: { origin: FOREIGN } })
    expect({ status, origin: headers['access-control-allow-origin'] }).toEqual({ status: 503, origin: FOREIGN })
  })

  test('may ask beforehand which headers it may send', async () => {
    await serve({ allowedOrigins: ['https://im.example.org'] })
    const { status, headers } = await face.ask(HANGUP, {
      method: 'OPTIONS',
      headers: {
        ide: '',
        origin: 'https://im.example.org',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'ide,content-type',
      },
    })
    expect(status).toBe(204)
    expect(headers['access-control-allow-headers']).toBe(
      'ide, authorization, content-type, x-session-id, idempotency-key, if-none-match',
    )
    expect(headers['access-control-allow-methods']).toBe('GET, POST')
  })

  test('is no longer another site when its host is this one', async () => {
    await serve()
    expect((await face.ask(HANGUP, { headers: { origin: face.address } })).status).toBe(200)
    expect((await face.ask(HANGUP, { headers: { origin: `http://127.0.0.1:1` } })).status).toBe(403)
  })
})

describe('the rule for origins', () => {
  const cases: readonly (readonly [boolean, string[], string | undefined, string | undefined])[] = [
    [true, [], undefined, 'im.example.org'],
    [true, [], 'https://im.example.org', 'im.example.org'],
    [true, [], 'https://im.example.org', 'IM.example.org:443'],
    [true, [], 'http://[::1]:8080', '[::1]:8080'],
    [false, [], 'https://im.example.org', 'im.example.org:8443'],
    [false, [], 'https://im.example.org', undefined],
    [false, [], 'null', 'im.example.org'],
    [false, [], 'file://', 'im.example.org'],
    [false, [], 'https://im.example.org@evil.example', 'im.example.org'],
    [false, [], 'https://im.example.org/x', 'im.example.org'],
    [true, ['*'], 'null', 'im.example.org'],
    [true, ['https://a.example'], 'https://A.example', 'x'],
    [false, ['https://a.example'], 'http://a.example', 'x'],
    [false, ['https://a.example'], 'https://a.example:8443', 'x'],
    [false, ['https://a.example'], 'https://a.example.evil.example', 'x'],
    [true, ['https://*.a.example'], 'https://x.y.a.example', 'x'],
    [false, ['https://*.a.example'], 'https://a.example', 'x'],
    [false, ['https://*.a.example'], 'https://xa.example', 'x'],
    [false, ['https://*.a.example'], 'http://x.a.example', 'x'],
    [true, ['https://*.a.example:8443'], 'https://x.a.example:8443', 'x'],
  ]
  test.each(cases)('says %j with %j allowed to a page of %j at host %j', (may, allowed, origin, host) => {
    expect(originAllowed(allowed)(origin, host)).toBe(may)
  })

  test.each([
    ['127.0.0.1:8080', true],
    ['localhost', true],
    ['carillon.localhost:8080', true],
    ['[::1]:8080', true],
    ['127.1.2.3', true],
    ['evil.example:8080', false],
    ['127.0.0.1.evil.example', false],
    ['localhost.evil.example', false],
    ['192.168.1.2', false],
    [undefined, false],
  ])('in demo mode lets host %s be %s, so that no name from outside can be made to point here', (host, may) => {
    expect(originAllowed([], { loopbackOnly: true })(undefined, host)).toBe(may)
    const origin = host && `http://${host}`
    expect(originAllowed(['*'], { loopbackOnly: true })(origin, host)).toBe(may)
  })
})

describe('demo mode', () => {
  const demo = (fake: FakeServices) => {
    fake.demo = { mint: (user) => Promise.resolve({ token: `token-of-${user}`, expiresAt: 90_500 }) }
  }

  test('hands out a token for any name', async () => {
    await serve({}, demo)
    expect(await face.ask('/demo/token', { headers: { ide: '' }, body: { userId: 'Ada Lovelace' } })).toMatchObject({
      status: 200,
      json: { code: 200, msg: 'ok', data: { token: 'token-of-Ada Lovelace', userId: 'Ada Lovelace', expiresAt: 90 } },
    })
  })

  test.each([
    [{}, 'userId: is required'],
    [{ userId: ' ' }, 'userId: must not be blank'],
    [{ userId: 'a\nb' }, 'userId: must not contain control characters'],
    [{ userId: 'x'.repeat(129) }, 'userId: must have at most 128 characters'],
    ['[]', 'body: must be a JSON object'],
  ])('refuses %j', async (body, msg) => {
    const fake = await serve({}, demo)
    expect(await face.ask('/demo/token', { body })).toMatchObject({ status: 400, json: { code: 400, msg } })
    expect(fake.refusals).toEqual([400])
  })

  test('gives none to a page of another site, nor to one that made its own name point here', async () => {
    await serve({}, demo)
    const body = { userId: 'alice' }
    const from = async (headers: Record<string, string>) => (await face.ask('/demo/token', { headers, body })).status
    expect(await from({ origin: 'https://evil.example' })).toBe(403)
    expect(await from({ origin: 'http://evil.example:8080', host: 'evil.example:8080' })).toBe(403)
    expect(await from({ host: 'evil.example:8080' })).toBe(403)
    expect(await from({ origin: face.address })).toBe(200)
  })

  test('does not exist beside a key', async () => {
    await serve()
    expect((await face.ask('/demo/token', { body: { userId: 'alice' } })).status).toBe(404)
  })
})

describe('the operator’s endpoint', () => {
  const PATH = '/imserver/admin/sessions/revoke'
  const adminKey = 'a key for operators that has 32 characters'
  const body = { userId: 'bob' }

  test('is switched off without a key, and says how it is switched on', async () => {
    const fake = await serve()
    const told = await face.ask(PATH, { headers: { 'x-admin-key': adminKey }, body })
    expect(told).toMatchObject({ status: 403, json: { code: 403, msg: expect.stringContaining('ADMIN_KEY') } })
    expect(fake.revoked).toEqual([])
  })

  test.each([
    ['X-Admin-Key', { 'x-admin-key': adminKey }],
    ['Authorization: Bearer', { Authorization: `Bearer ${adminKey.replaceAll(' ', '-')}` }],
  ])('takes the key in %s, and needs no token', async (_, headers) => {
    const spaceless = 'Authorization' in headers ? adminKey.replaceAll(' ', '-') : adminKey
    const fake = await serve({ adminKey: spaceless })
    const told = await face.ask(PATH, { headers: { ide: '', ...headers }, body })
    expect(told).toMatchObject({ status: 200, json: { code: 200, msg: 'ok', data: { sessions: 2 } } })
    expect(fake.revoked).toEqual([body])
  })

  test.each([
    ['missing', {}],
    ['wrong', { 'x-admin-key': 'x'.repeat(40) }],
    ['a beginning of the right one', { 'x-admin-key': adminKey.slice(0, -1) }],
  ])('refuses a key that is %s, whatever token comes with it', async (_, headers) => {
    const fake = await serve({ adminKey })
    expect(await face.ask(PATH, { headers, body })).toMatchObject({ status: 401, json: { code: 401 } })
    expect([fake.revoked, fake.refusals]).toEqual([[], [401]])
  })

  test('counts wrong keys as failed logins of the address', async () => {
    const failed: string[] = []
    await serve({ adminKey }, (fake) => {
      fake.logins = {
        addresses: 0,
        turnedAway: () => (failed.length < 2 ? undefined : { code: 429, message: 'wait', retryAfter: 3 }),
        refused: (address, refusal, tell) => {
          failed.push(address)
          tell(refusal)
          return () => undefined
        },
      }
    })
    const guess = () => face.ask(PATH, { headers: { 'x-admin-key': 'x'.repeat(40) }, body })
    expect([(await guess()).status, (await guess()).status]).toEqual([401, 401])
    expect(await guess()).toMatchObject({ status: 429, json: { retryAfter: 3 } })
    expect(failed).toEqual(['127.0.0.1', '127.0.0.1'])
  })

  test.each([
    ['{}', /must name a userId, a sessionId or a token/],
    ['{"userId":""}', /^userId: /],
    ['{"sessionId":5}', /^sessionId: must be a string/],
    ['[]', /must be a JSON object/],
    ['{', /is not JSON/],
  ])('refuses %s with 400', async (text, msg) => {
    const fake = await serve({ adminKey })
    const told = await face.ask(PATH, { headers: { 'x-admin-key': adminKey }, body: text })
    expect(told).toMatchObject({ status: 400, json: { msg: expect.stringMatching(msg) } })
    expect(fake.revoked).toEqual([])
  })

  test('takes POST alone', async () => {
    await serve({ adminKey })
    const told = await face.ask(PATH, { method: 'GET', headers: { 'x-admin-key': adminKey } })
    expect({ status: told.status, allow: told.headers.allow }).toEqual({ status: 404, allow: 'POST, OPTIONS' })
  })
})

describe('what an operator can look at', () => {
  const adminKey = 'a key for operators that has 32 characters'
  const NODES = '/imserver/admin/nodes'
  const look = (path: string, headers: Record<string, string> = { 'x-admin-key': adminKey }) =>
    face.ask(path, { method: 'GET', headers })

  test('the servers, and the sessions of a user', async () => {
    const node = { id: 'n1', name: 'one', version: '1', startedAt: 1, self: true, sessions: 2, away: 0, users: 1 }
    await serve({ adminKey }, (fake) => {
      fake.nodes = async () => ({ ok: true, data: [node] })
      fake.sessions = { 'a/b': [{ id: 's1', token: 'secret' }] }
    })
    expect((await look(NODES)).json).toEqual({ code: 200, msg: 'ok', data: { nodes: [node] } })
    const sessions = [{ sessionId: 's1', node: 'n1', connectedAt: 1, rings: true, away: false }]
    expect((await look('/imserver/admin/sessions/a%2Fb')).json).toMatchObject({ code: 200, data: { sessions } })
    expect((await look('/imserver/admin/sessions/nobody')).json).toMatchObject({ code: 200, data: { sessions: [] } })
  })

  test('what is not known now is refused with 503', async () => {
    await serve({ adminKey }, (fake) => {
      fake.nodes = () => refuse('unavailable', 'Redis cannot be reached', { retryAfter: 2 })
    })
    const told = await look(NODES)
    expect([told.status, told.headers['retry-after']]).toEqual([503, '2'])
  })

  test.each([NODES, '/imserver/admin/sessions/alice'])('%s needs the key, and GET', async (path) => {
    await serve({ adminKey })
    expect((await look(path, { 'x-admin-key': 'x'.repeat(40) })).status).toBe(401)
    expect((await face.ask(path, { headers: { 'x-admin-key': adminKey } })).status).toBe(404)
    await serve()
    expect((await look(path)).status).toBe(403)
  })
})

test('a server that cannot reach Redis asks for no new traffic, and says why', async () => {
  const fake = await serve()
  const ready = async () => {
    const { status, json } = await face.ask('/readyz', { method: 'GET' })
    return [status, json]
  }
  expect(await ready()).toEqual([200, { status: 'ready', relay: 'up' }])
  fake.redis = 'up'
  expect(await ready()).toEqual([200, { status: 'ready', redis: 'up', relay: 'up' }])
  fake.redis = 'down'
  expect(await ready()).toEqual([503, { status: 'ready', redis: 'down', relay: 'up' }])
})
