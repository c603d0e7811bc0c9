import { describe, expect, test } from '@jest/globals'
import { encodeUser, mint, passwordOf, readName, verify } from '../../src/turn/credentials.ts'

const SECRET = 'north wind'

describe('TURN credentials', () => {
  // printf '%s' "$name" | openssl dgst -sha1 -hmac 'north wind' -binary | base64
  test.each([
    ['1767229200:alice', 'JG+iPRJdoryEBNReCZ9/jy2bgG4='],
    ['1767229200:a%20b%22c', '8hjzflUN7Kw9Ao34Rc3BKSpuXxA='],
    ['1767229200:J%C3%BCrgen', '+5A038ISglirwtAUNJo1BhILeRI='],
  ])('the password of %s is what openssl computes', (username, password) => {
    expect(passwordOf(SECRET, username)).toBe(password)
    expect(verify(SECRET, { username, credential: password })).toBe(true)
  })

  test.each([
    ['alice', 'alice'],
    ['a.b_c~d@e=f+g-h', 'a.b_c~d@e=f+g-h'],
    ['a b"c', 'a%20b%22c'],
    ['a:b/c', 'a%3Ab%2Fc'],
    ['100%', '100%25'],
    ['Jürgen', 'J%C3%BCrgen'],
    ['日本', '%E6%97%A5%E6%9C%AC'],
    ['constructor', 'constructor'],
    ['half a pair: \ud800', 'half%20a%20pair%3A%20%EF%BF%BD'],
    ['x'.repeat(128), 'x'.repeat(128)],
  ])('the user %j stands in a name as %s', (user, encoded) => {
    expect(encodeUser(user)).toBe(encoded)
  })

  test('a user of more than 128 octets stands in a name as a hash that is always the same and nobody else’s', () => {
    const long = encodeUser('x'.repeat(129))
    expect(long).toMatch(/^%7E[A-Za-z0-9_-]{43}$/)
    expect(encodeUser('x'.repeat(129))).toBe(long)
    expect(encodeUser('x'.repeat(130))).not.toBe(long)
    expect(encodeUser(decodeURIComponent(long))).not.toBe(long)
    expect(encodeUser('ü'.repeat(22))).toMatch(/^%7E/)
  })

  test('a minted credential reads back as the user and the second of its expiry', () => {
    const minted = mint(SECRET, 'Jürgen', 1_767_229_200.9)
    expect(minted.username).toBe('1767229200:J%C3%BCrgen')
    expect(readName(minted.username)).toEqual({ expiresAt: 1_767_229_200, user: 'J%C3%BCrgen' })
    expect(verify(SECRET, minted)).toBe(true)
  })

  test.each([
    'alice',
    'constructor',
    '__proto__',
    'toString',
    '',
    ':',
    '1767229200',
    '1767229200:',
    ':alice',
    '-1:alice',
    '1e9:alice',
    ' 1767229200:alice',
    '1767229200:a b',
    '1767229200:a:b',
    '1767229200:alice\n',
    '17672292000:alice',
    `1767229200:${'x'.repeat(129)}`,
  ])('%j is no name', (username) => {
    expect(readName(username)).toBeUndefined()
  })

  test.each([
    ['of another secret', () => passwordOf('south wind', '1767229200:alice')],
    ['of another name', () => passwordOf(SECRET, '1767229201:alice')],
    ['cut short', () => passwordOf(SECRET, '1767229200:alice').slice(0, 20)],
    ['spelt otherwise', () => passwordOf(SECRET, '1767229200:alice').replace('=', '')],
    ['empty', () => ''],
  ])('a password %s is refused', (_how, password) => {
    expect(verify(SECRET, { username: '1767229200:alice', credential: password() })).toBe(false)
  })
})
