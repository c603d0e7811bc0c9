import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { exportJWK, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import {
  type AuthenticatorOptions,
  type AuthKey,
  createAuthenticator,
  fingerprint,
  mintDemoToken,
  readPublicKey,
} from '../../src/auth.ts'
import type { Outcome } from '../../src/errors.ts'
import { TestClock } from '../support/clock.ts'

const SECRET = 'a secret of more than thirty-two bytes'
const clock = new TestClock()
const NOW_S = clock.now() / 1000

type Options = Partial<Omit<AuthenticatorOptions, 'key'>>

function authenticator(key: AuthKey = { kind: 'secret', secret: SECRET }, options: Options = {}) {
  return createAuthenticator({ key, issuers: [], audiences: [], userClaim: 'sub', clock, ...options })
}

interface Signing {
  readonly alg?: string
  readonly key?: KeyObject | Uint8Array
  readonly kid?: string
}

function sign(claims: JWTPayload, { alg = 'HS256', key = Buffer.from(SECRET), kid }: Signing = {}): Promise<string> {
  return new SignJWT({ exp: NOW_S + 60, ...claims })
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
    .sign(key)
}

const messageOf = (outcome: Outcome<unknown>) => (outcome.ok ? 'accepted' : `${outcome.code} ${outcome.message}`)

describe('a secret', () => {
  test('lets in the user of a token signed with it', async () => {
    const token = await sign({ sub: 'alice' })
    expect(await authenticator().authenticate(token)).toEqual({
      ok: true,
      data: { user: 'alice', token: fingerprint(token), expiresAt: (NOW_S + 60) * 1000 },
    })
  })

  test('lets in a token without an expiry, which then has none', async () => {
    const token = await new SignJWT({ sub: 'alice' }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(SECRET))
    expect(await authenticator().authenticate(token)).toEqual({
      ok: true,
      data: { user: 'alice', token: fingerprint(token) },
    })
  })

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const cases: readonly (readonly [string, () => string | Promise<string>, RegExp])[] = [
    ['signed with another secret', () => sign({ sub: 'a' }, { key: Buffer.from(`${SECRET}!`) }), /signature is not/],
    ['with alg none', () => new UnsecuredJWT({ sub: 'a' }).encode(), /alg must be HS256|not a signed/],
    ['of another hash', () => sign({ sub: 'a' }, { alg: 'HS512' }), /alg must be HS256$/],
    ['of another kind', () => sign({ sub: 'a' }, { alg: 'RS256', key: rsa.privateKey }), /alg must be HS256$/],
    ['that has expired', () => sign({ sub: 'a', exp: NOW_S - 60 }), /has expired \(2025-12-31T23:59:00.000Z\)/],
    ['with an absurd expiry', () => sign({ sub: 'a', exp: -1e300 }), /has expired$/],
    ['that is not valid yet', () => sign({ sub: 'a', nbf: NOW_S + 60 }), /not valid yet/],
    ['that is no token', () => 'hello', /not a signed JSON Web Token/],
    ['that is three dots', () => '...', /not a signed JSON Web Token/],
    ['that is empty', () => '', /is missing/],
    ['over 8 KiB', () => sign({ sub: 'a', more: 'x'.repeat(9000) }), /longer than 8192/],
    ['with a critical header nobody knows', () => 'eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdLCJ4IjoxfQ.e30.AAAA', /token: /],
    ['whose user is missing', () => sign({}), /has no claim "sub"/],
    ['whose user is empty', () => sign({ sub: '' }), /1 to 128 plain characters/],
    ['whose user is blank', () => sign({ sub: '  ' }), /1 to 128 plain characters/],
    ['whose user is too long', () => sign({ sub: 'u'.repeat(129) }), /1 to 128 plain characters/],
    ['whose user has a line end', () => sign({ sub: 'a\nb' }), /1 to 128 plain characters/],
    ['whose user is half a character', () => sign({ sub: 'a\ud800' }), /1 to 128 plain characters/],
  ]
  test.each(cases)('refuses a token %s, says so, and never repeats it', async (_, make, complaint) => {
    const token = await make()
    const outcome = await authenticator().authenticate(token)
    expect(messageOf(outcome)).toMatch(complaint)
    expect(outcome).toMatchObject({ ok: false, code: 401 })
    if (token.length > 3) expect(JSON.stringify(outcome)).not.toContain(token)
  })

  test('lets the issuer be 5 seconds ahead, and takes no token that has expired', async () => {
    expect((await authenticator().authenticate(await sign({ sub: 'a', nbf: NOW_S + 4 }))).ok).toBe(true)
    expect((await authenticator().authenticate(await sign({ sub: 'a', nbf: NOW_S + 6 }))).ok).toBe(false)
    expect((await authenticator().authenticate(await sign({ sub: 'a', exp: NOW_S + 1 }))).ok).toBe(true)
    expect(messageOf(await authenticator().authenticate(await sign({ sub: 'a', exp: NOW_S - 1 })))).toMatch(/expired/)
  })
})

describe('issuer, audience and user claim', () => {
  test('are checked when they are configured', async () => {
    const { authenticate } = authenticator(undefined, { issuers: ['https://id', 'https://id2'], audiences: ['im'] })
    expect((await authenticate(await sign({ sub: 'a', iss: 'https://id2', aud: ['x', 'im'] }))).ok).toBe(true)
    expect(messageOf(await authenticate(await sign({ sub: 'a', iss: 'https://other', aud: 'im' })))).toMatch(/iss/)
    expect(messageOf(await authenticate(await sign({ sub: 'a', iss: 'https://id', aud: 'other' })))).toMatch(/aud/)
    expect(messageOf(await authenticate(await sign({ sub: 'a', aud: 'im' })))).toMatch(/401 .*iss/)
  })

  test('may name the user by another claim, and by a number', async () => {
    const { authenticate } = authenticator(undefined, { userClaim: 'user_id' })
    expect(await authenticate(await sign({ sub: 'x', user_id: 42 }))).toMatchObject({ data: { user: '42' } })
    expect((await authenticate(await sign({ sub: 'x', user_id: 1.5 }))).ok).toBe(false)
    expect((await authenticate(await sign({ sub: 'x', user_id: 2 ** 53 }))).ok).toBe(false)
    expect((await authenticate(await sign({ sub: 'x', user_id: ['a'] }))).ok).toBe(false)
  })

  test('are the token’s own, not what every object has', async () => {
    for (const userClaim of ['constructor', 'toString', '__proto__']) {
      const { authenticate } = authenticator(undefined, { userClaim })
      expect(messageOf(await authenticate(await sign({ sub: 'x' })))).toMatch(/has no claim/)
    }
  })
})

describe('a public key', () => {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    EdDSA: generateKeyPairSync('ed25519'),
  }
  const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()

  test.each(Object.keys(pairs) as (keyof typeof pairs)[])('pins %s by its kind', async (alg) => {
    const { authenticate } = authenticator(readPublicKey(pemOf(pairs[alg].publicKey)))
    expect(await authenticate(await sign({ sub: 'a' }, { alg, key: pairs[alg].privateKey }))).toMatchObject({
      ok: true,
    })
    for (const other of Object.keys(pairs) as (keyof typeof pairs)[]) {
      if (other === alg) continue
      const outcome = await authenticate(await sign({ sub: 'a' }, { alg: other, key: pairs[other].privateKey }))
      expect(messageOf(outcome)).toMatch(`401 token: alg must be ${alg}`)
    }
  })

  test('never serves as the secret of an HS256 token', async () => {
    const pem = pemOf(pairs.RS256.publicKey)
    const forged = await sign({ sub: 'a' }, { key: Buffer.from(pem) })
    expect(messageOf(await authenticator(readPublicKey(pem)).authenticate(forged))).toMatch(/alg must be RS256/)
  })

  test('allows no other padding than its own', async () => {
    const { authenticate } = authenticator(readPublicKey(pemOf(pairs.RS256.publicKey)))
    const token = await sign({ sub: 'a' }, { alg: 'PS256', key: pairs.RS256.privateKey })
    expect(messageOf(await authenticate(token))).toMatch(/alg must be RS256/)
  })

  test.each([
    ['of another curve', generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey, /another curve/],
    ['of another kind', generateKeyPairSync('x25519').publicKey, /another kind/],
    ['too short', generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey, /less than 2048 bits/],
  ])('is refused when it is %s', (_, key, complaint) => {
    expect(() => readPublicKey(pemOf(key))).toThrow(complaint)
  })
})

describe('a JWKS address', () => {
  const first = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const second = generateKeyPairSync('ed25519')
  let issuer: Server
  let url: string
  let asked: number
  let answer: { status: number; body: string }

  const setOf = async (keys: Record<string, KeyObject>) =>
    JSON.stringify({
      keys: await Promise.all(Object.entries(keys).map(async ([kid, key]) => ({ ...(await exportJWK(key)), kid }))),
    })

  const answers = (next: typeof answer) => {
    answer = next
  }
  const listen = (port: number) => new Promise<void>((resolve) => issuer.listen(port, '127.0.0.1', resolve))
  const down = () =>
    new Promise<void>((resolve) => {
      issuer.closeAllConnections()
      issuer.close(() => resolve())
    })

  beforeEach(async () => {
    asked = 0
    answer = { status: 200, body: await setOf({ first: first.publicKey }) }
    issuer = createServer((_request, response) => {
      asked++
      response.writeHead(answer.status, { 'content-type': 'application/json', connection: 'close' }).end(answer.body)
    })
    await listen(0)
    url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks.json`
  })
  afterEach(async () => {
    if (issuer.listening) await down()
  })

  const warnings: string[] = []
  const remote = (jwks: NonNullable<AuthenticatorOptions['jwks']> = {}) =>
    authenticator({ kind: 'jwks', url }, { jwks, warn: (text) => void warnings.push(text) })
  const byFirst = (sub = 'a') => sign({ sub }, { alg: 'ES256', key: first.privateKey, kid: 'first' })
  const bySecond = () => sign({ sub: 'a' }, { alg: 'EdDSA', key: second.privateKey, kid: 'second' })

  test('is asked once for many tokens', async () => {
    const { authenticate } = remote()
    expect((await Promise.all([1, 2, 3].map(async () => authenticate(await byFirst())))).every(({ ok }) => ok)).toBe(
      true,
    )
    expect((await authenticate(await byFirst())).ok).toBe(true)
    expect(asked).toBe(1)
  })

  test('is asked again for a key that is not in the set', async () => {
    const { authenticate } = remote({ cooldownMs: 0 })
    await authenticate(await byFirst())
    answer = { status: 200, body: await setOf({ first: first.publicKey, second: second.publicKey }) }
    expect((await authenticate(await bySecond())).ok).toBe(true)
  })

  test('is not asked again and again for keys that do not exist', async () => {
    const { authenticate } = remote()
    await authenticate(await byFirst())
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(messageOf(await authenticate(await bySecond()))).toMatch(/401 .*no single key/)
    }
    expect(asked).toBe(1)
  })

  const failures: readonly (readonly [string, () => Promise<void> | void])[] = [
    ['is down', () => down()],
    ['answers 500', () => answers({ status: 500, body: '{"keys":[{"kty":"oct"}]}' })],
    ['answers with a page', () => answers({ status: 200, body: '<html>' })],
    ['answers with another JSON', () => answers({ status: 200, body: '{"keys":[1]}' })],
    ['answers with no keys', () => answers({ status: 200, body: '{"keys":[]}' })],
    ['answers without end', () => answers({ status: 200, body: `{"keys":[{}],"x":"${'x'.repeat(300_000)}"}` })],
  ]
  test.each(failures)('keeps the last good keys while the issuer %s', async (_, fails) => {
    warnings.length = 0
    const { authenticate } = remote({ maxAgeMs: 0, cooldownMs: 0 })
    expect((await authenticate(await byFirst())).ok).toBe(true)
    await fails()
    expect((await authenticate(await byFirst('b'))).ok).toBe(true)
    expect((await authenticate(await byFirst('c'))).ok).toBe(true)
    expect(messageOf(await authenticate(await bySecond()))).toMatch(/^401 /)
    expect(warnings).toEqual([expect.stringMatching(/cannot be fetched .* the last good keys are used/)])
  })

  test('says so when it works again', async () => {
    warnings.length = 0
    const { authenticate } = remote({ maxAgeMs: 0 })
    await authenticate(await byFirst())
    answer = { status: 503, body: '' }
    await authenticate(await byFirst())
    answer = { status: 200, body: await setOf({ second: second.publicKey }) }
    expect((await authenticate(await bySecond())).ok).toBe(true)
    expect((await authenticate(await byFirst())).ok).toBe(false)
    expect(warnings).toHaveLength(2)
  })

  test('gives 503 while no keys are known, and is not hurried by logins', async () => {
    const { authenticate } = remote()
    answer = { status: 500, body: '' }
    expect(await authenticate(await byFirst())).toMatchObject({ ok: false, code: 503, retryAfter: 5 })
    expect(await authenticate(await byFirst())).toMatchObject({ ok: false, code: 503 })
    expect(asked).toBe(1)
    answer = { status: 200, body: await setOf({ first: first.publicKey }) }
    await clock.advance(2000)
    expect(
      (
        await authenticate(
          await sign({ sub: 'a', exp: clock.now() / 1000 + 9 }, { alg: 'ES256', key: first.privateKey }),
        )
      ).ok,
    ).toBe(true)
  })

  test('is not waited for without end', async () => {
    issuer.removeAllListeners('request').on('request', () => {})
    const { authenticate } = remote({ timeoutMs: 1 })
    expect(await authenticate(await byFirst())).toMatchObject({ ok: false, code: 503 })
  })

  test('never accepts a shared secret', async () => {
    const { authenticate } = remote()
    expect(messageOf(await authenticate(await sign({ sub: 'a' }, { kid: 'first' })))).toMatch(/alg must be RS256 or/)
  })
})

test('a demo token is accepted for 12 hours, and every one is another', async () => {
  const { token, expiresAt } = await mintDemoToken(SECRET, 'Ada Lovelace', clock.now())
  expect(expiresAt).toBe(Math.floor(clock.now() / 1000) * 1000 + 12 * 60 * 60 * 1000)
  expect(await authenticator().authenticate(token)).toEqual({
    ok: true,
    data: {
      user: 'Ada Lovelace',
      token: fingerprint(token),
      expiresAt,
      issuedAt: Math.floor(clock.now() / 1000) * 1000,
    },
  })
  expect((await mintDemoToken(SECRET, 'Ada Lovelace', clock.now())).token).not.toBe(token)
})

describe('the role of a service', () => {
  const services = { claims: ['role', 'roles', 'scope', 'realm_access.roles'], role: 'service' }
  const serviceOf = async (claims: JWTPayload, options: Options = { services }) => {
    const outcome = await authenticator(undefined, options).authenticate(await sign({ sub: 'back end', ...claims }))
    return outcome.ok && outcome.data.service
  }

  test.each([
    ['a text', { role: 'service' }],
    ['a list', { roles: ['reader', 'service'] }],
    ['words', { scope: 'openid service' }],
    ['a list inside a claim', { realm_access: { roles: ['service'] } }],
    ['a claim with a dot in its name', { 'realm_access.roles': 'service' }],
  ])('may stand in its claim as %s', async (_, claims) => {
    expect(await serviceOf(claims)).toBe(true)
  })

  test.each([
    ['nothing', {}],
    ['another role', { role: 'admin' }],
    ['a part of a word', { scope: 'service.read services' }],
    ['another case', { role: 'Service' }],
    ['an object', { role: { service: true } }],
    ['a list in a list', { roles: [['service']] }],
    ['what objects inherit', { realm_access: null, roles: { toString: 'service' } }],
  ])('is not what %s says', async (_, claims) => {
    expect(await serviceOf(claims)).toBeUndefined()
  })

  test('is nobody’s where none is configured', async () => {
    expect(await serviceOf({ role: 'service' }, {})).toBeUndefined()
  })

  test('can be that of a demo token', async () => {
    const { token } = await mintDemoToken(SECRET, 'back end', clock.now(), 'service')
    const outcome = await authenticator(undefined, { services }).authenticate(token)
    expect(outcome).toMatchObject({ ok: true, data: { user: 'back end', service: true } })
  })
})
