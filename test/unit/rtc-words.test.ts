/** Ids, times and languages of the rtc-service. */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { callIdFor, keyOf, newCallId } from '../../http/rtc/idempotency.ts'
import { RtcUserId, shownId } from '../../http/rtc/ids.ts'
import { secondsBetween, shownTime } from '../../http/rtc/times.ts'
import { languageOf, refusedIn } from '../../http/rtc/words.ts'
import { CODES } from '../../src/errors.ts'

const read = (json: string) => RtcUserId.safeParse(JSON.parse(json))
const complaint = (json: string) => read(json).error?.issues[0]?.message

describe('a user’s id', () => {
  test('that is a number comes back as the same number', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (id) => {
        expect(shownId(RtcUserId.parse(id))).toBe(id)
      }),
    )
  })

  test('that is shown names the same user when it is sent back', () => {
    const digits = fc.stringMatching(/^-?\d{1,20}$/)
    const likeNumbers = fc.stringMatching(/^[-+]?[\d.e]{1,8}$/)
    const anything = fc.string({ minLength: 1, maxLength: 128 })
    const users = fc.oneof(digits, likeNumbers, anything).filter((user) => RtcUserId.safeParse(user).success)
    fc.assert(
      fc.property(users, (user) => {
        const json = JSON.stringify(shownId(user))
        expect(RtcUserId.parse(JSON.parse(json))).toBe(user)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['10001', '10001', 10001],
    ['"10001"', '10001', 10001],
    ['0', '0', 0],
    ['"007"', '007', '007'],
    ['"1e3"', '1e3', '1e3'],
    ['1e3', '1000', 1000],
    ['"-0"', '-0', '-0'],
    ['"+1"', '+1', '+1'],
    ['" 1"', ' 1', ' 1'],
    ['9007199254740991', '9007199254740991', 9007199254740991],
    ['"9007199254740992"', '9007199254740992', '9007199254740992'],
    ['"18446744073709551615"', '18446744073709551615', '18446744073709551615'],
    ['"alice"', 'alice', 'alice'],
  ])('%s is the user %j, and is shown as %j', (json, user, shown) => {
    expect(read(json).data).toBe(user)
    expect(shownId(user)).toBe(shown)
  })

  test.each(['9007199254740992', '9007199254740993', '1.5', '-0', '1e300'])('%s is no id', (json) => {
    expect(complaint(json)).toBe('must be a whole number below 2^53; send other ids as texts')
  })

  test.each([
    ['null', 'must be a number or a text'],
    ['true', 'must be a number or a text'],
    ['[1]', 'must be a number or a text'],
    ['{"id":1}', 'must be a number or a text'],
    ['1e999', 'must be a number or a text'],
    ['""', 'must not be blank'],
    ['" "', 'must not be blank'],
    [`"${'x'.repeat(129)}"`, 'must have at most 128 characters'],
    ['"a\\u0000b"', 'must not contain NUL'],
  ])('%s is refused: it %s', (json, message) => {
    expect(complaint(json)).toBe(message)
  })
})

test('times are UTC in whole seconds, durations are whole seconds of talk', () => {
  expect(shownTime(Date.UTC(2025, 10, 9, 15, 0, 30, 999))).toBe('2025-11-09T15:00:30Z')
  expect(secondsBetween(1_000, 3_999)).toBe(2)
  expect(secondsBetween(undefined, 3_000)).toBe(0)
  expect(secondsBetween(1_000, undefined)).toBe(0)
  expect(secondsBetween(3_000, 1_000)).toBe(0)
})

describe('the callId', () => {
  const FORM = /^call_[0-7][0-9A-HJKMNP-TV-Z]{25}$/

  test('of a call is a ULID, and sorts by its time', () => {
    const [earlier, later] = [newCallId(Date.UTC(2026, 0, 1)), newCallId(Date.UTC(2026, 0, 2))]
    for (const id of [earlier, later]) expect(id).toMatch(FORM)
    expect(earlier < later).toBe(true)
  })

  test('of a key is the same for the same caller and key, and for nobody else', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (caller, key, other, another) => {
        expect(callIdFor(caller, key)).toMatch(FORM)
        const same = caller === other && key === another
        expect(callIdFor(caller, key) === callIdFor(other, another)).toBe(same)
      }),
    )
    expect(callIdFor('alice', 'k')).toBe(callIdFor('alice', 'k'))
  })

  test.each(['', ' ', 'a b', 'ä', 'x'.repeat(256), 'a\tb'])('has no key %j', (key) => {
    expect(keyOf(key)).toMatchObject({ ok: false, code: 400 })
  })

  test.each([undefined, 'a', '~'.repeat(255), '"quoted"'])('may have the key %j', (key) => {
    expect(keyOf(key)).toEqual({ ok: true, data: key })
  })
})

describe('the language', () => {
  test.each([
    [undefined, 'en'],
    ['', 'en'],
    ['*', 'en'],
    ['zh', 'zh'],
    ['zh-CN,zh;q=0.9,en;q=0.8', 'zh'],
    ['zh-Hans-CN', 'zh'],
    ['ZH-tw', 'zh'],
    ['en-US,en;q=0.9,zh;q=0.8', 'en'],
    ['de, zh;q=0.5', 'zh'],
    ['de', 'en'],
    ['en;q=0.1, zh;q=0.2', 'zh'],
    ['en;q=0, *', 'zh'],
    ['zh;q=0, *', 'en'],
    ['zha', 'en'],
    ['zh;q=2', 'en'],
    ['zh;q=abc', 'en'],
    [';;;,,,=', 'en'],
    [`${'a,'.repeat(5000)}zh`, 'en'],
  ])('of %j is %s', (header, language) => {
    expect(languageOf(header)).toBe(language)
  })

  test('has words for every code, and names fields only to those who write clients', () => {
    for (const { code } of Object.values(CODES)) {
      expect(refusedIn('en', { code, message: 'details' })).toBe('details')
      const words = refusedIn('zh', { code, message: 'details' })
      expect(words).toMatch(/^[一-鿿]/)
      expect(words.includes('details')).toBe(code < 1000)
    }
  })
})
