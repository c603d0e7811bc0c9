import { createHmac } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { errors, jwtVerify } from 'jose'
import { hmacTokens } from '../../src/hmac-tokens.ts'

const SECRET = 'a secret of the issuer, long enough for HS256'
const NOW = new Date('2026-01-01T00:00:00Z')
const exp = NOW.getTime() / 1000 + 60

const encoded = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

function tokenOf(head: unknown, claims: unknown, secret = SECRET): string {
  const signed = `${encoded(head)}.${encoded(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const HEAD = { alg: 'HS256', typ: 'JWT' }
const CLAIMS = { sub: 'alice', exp }
const good = tokenOf(HEAD, CLAIMS)
const read = hmacTokens(SECRET)

/** The last character of a signature has two bits that say nothing. */
const respelt = `${good.slice(0, -1)}${String.fromCharCode(good.charCodeAt(good.length - 1) + 1)}`

describe('a token that was signed with the secret', () => {
  test('says its claims, as jose reads them', async () => {
    const { payload } = await jwtVerify(good, new TextEncoder().encode(SECRET), { currentDate: NOW })
    expect(read(good, { currentDate: NOW })).toEqual(payload)
    expect(read(good, { currentDate: NOW })).toEqual(CLAIMS)
  })

  test.each([
    ['has expired', { sub: 'alice', exp: exp - 61 }, {}, errors.JWTExpired],
    ['is not valid yet', { sub: 'alice', nbf: exp }, {}, errors.JWTClaimValidationFailed],
    ['has another audience', { sub: 'alice', aud: 'b' }, { audience: ['a'] }, errors.JWTClaimValidationFailed],
    ['has another issuer', { sub: 'alice', iss: 'b' }, { issuer: ['a'] }, errors.JWTClaimValidationFailed],
    ['has claims that are none', 'claims', {}, errors.JWTInvalid],
  ])('and %s is refused', (_, claims, checks, refusal) => {
    expect(() => read(tokenOf(HEAD, claims), { currentDate: NOW, ...checks })).toThrow(refusal)
  })
})

test.each([
  ['a token of another secret', tokenOf(HEAD, CLAIMS, 'another secret')],
  ['another algorithm', tokenOf({ alg: 'HS512' }, CLAIMS)],
  ['no algorithm', `${encoded({ alg: 'none' })}.${encoded(CLAIMS)}.`],
  ['a head that asks for more to be understood', tokenOf({ ...HEAD, crit: ['b64'], b64: false }, CLAIMS)],
  ['a head that is none', tokenOf('head', CLAIMS)],
  ['a head that is null', tokenOf(null, CLAIMS)],
  ['another spelling of the signature', respelt],
  ['no signature', good.slice(0, good.lastIndexOf('.') + 1)],
  ['four parts', `${good}.x`],
  ['two parts', good.slice(0, good.lastIndexOf('.'))],
  ['one part', 'token'],
])('%s is left to jose', (_, token) => {
  expect(read(token, { currentDate: NOW })).toBeUndefined()
})
