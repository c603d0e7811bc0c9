import { describe, expect, test } from '@jest/globals'
import { TokenBuckets } from '../../broker/rate.ts'
import { freshSessionId } from '../../broker/session-id.ts'
import { TestClock } from '../support/clock.ts'

describe('a bucket that several hold', () => {
  const buckets = (clock: TestClock) => new TokenBuckets({ perSecond: 1, burst: 2 }, clock)

  test('is one for all of them', () => {
    const clock = new TestClock()
    const all = buckets(clock)
    all.hold('alice').take(clock.now())
    all.hold('alice').take(clock.now())
    expect(all.hold('alice').wait(clock.now())).toBe(1000)
    expect(all.hold('bob').wait(clock.now())).toBe(0)
  })

  test('is the same after leaving and coming back, until it is full', async () => {
    const clock = new TestClock()
    const all = buckets(clock)
    all.hold('alice').take(clock.now())
    all.hold('alice').take(clock.now())
    all.letGo('alice')
    all.letGo('alice')
    expect(all.hold('alice').wait(clock.now())).toBe(1000)
    all.letGo('alice')
    await clock.advance(60_000)
    expect(all.size).toBe(0)
  })

  test('stays while somebody holds it, however full it is', async () => {
    const clock = new TestClock()
    const all = buckets(clock)
    const held = all.hold('alice')
    all.hold('bob').take(clock.now())
    all.letGo('bob')
    await clock.advance(60_000)
    expect(all.size).toBe(1)
    expect(all.hold('alice')).toBe(held)
  })

  test('goes at once when it is full and nobody holds it', () => {
    const all = buckets(new TestClock())
    all.hold('alice')
    all.letGo('alice')
    expect(all.size).toBe(0)
  })
})

test('session ids have 128 bits in base64url, and are never the same', () => {
  const ids = Array.from({ length: 2000 }, freshSessionId)
  expect(new Set(ids).size).toBe(2000)
  for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/)
})
