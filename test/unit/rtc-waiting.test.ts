/** Requests that wait for a call to change. */

import { expect, test } from '@jest/globals'
import { Waiting } from '../../http/rtc/waiting.ts'
import { TestClock } from '../support/clock.ts'

function world(most?: number) {
  const clock = new TestClock()
  const stopping = new AbortController()
  const waiting = new Waiting({ clock, stopping: stopping.signal, ...(most !== undefined && { most }) })
  return { clock, stopping, waiting }
}

test('a bell rings when it is rung, once for any number of rings, and before anybody listens too', async () => {
  const { waiting } = world()
  const bell = waiting.begin('alice', 1000, false)
  bell?.ring()
  bell?.ring()
  await bell?.next()
  let again = false
  const next = bell?.next().then(() => {
    again = true
  })
  await Promise.resolve()
  expect(again).toBe(false)
  bell?.ring()
  await next
  expect(bell?.ended).toBe(false)
})

test('it ends with its time, which stops when its place is given up', async () => {
  const { waiting, clock } = world()
  const bell = waiting.begin('alice', 1000, false)
  await clock.advance(999)
  expect(bell?.ended).toBe(false)
  await clock.advance(1)
  await bell?.next()
  expect(bell?.ended).toBe(true)
  waiting.begin('alice', 1000, false)?.cancel()
  expect(clock.waiting).toBe(0)
})

test('all end when the server stops, and those that come later at once', async () => {
  const { waiting, stopping } = world()
  const bells = ['alice', 'bob'].map((user) => waiting.begin(user, 25_000, false))
  stopping.abort()
  for (const bell of [...bells, waiting.begin('carol', 25_000, false)]) {
    await bell?.next()
    expect(bell?.ended).toBe(true)
  }
})

test('a user has eight at most, a service two thousand, all together so many', () => {
  const { waiting } = world(2010)
  const begun = (user: string, count: number, service = false) =>
    Array.from({ length: count }, () => waiting.begin(user, 1000, service)).filter((bell) => bell !== undefined)
  const mine = begun('alice', 9)
  expect(mine).toHaveLength(8)
  expect(begun('back end', 2001, true)).toHaveLength(2000)
  expect(begun('bob', 8)).toHaveLength(2)
  mine[0]?.cancel()
  mine[0]?.cancel()
  expect(waiting.size).toBe(2009)
  expect(begun('alice', 2)).toHaveLength(1)
})
