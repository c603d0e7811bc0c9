import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Deadlines } from '../../src/deadlines.ts'
import { Schedule } from '../../src/schedule.ts'
import { TestClock } from '../support/clock.ts'

test('a time that is no number never comes, and holds up nothing', () => {
  const schedule = new Schedule()
  schedule.set('a', Number.NaN)
  schedule.set('b', 2)
  schedule.set('c', 1)
  schedule.set('c', Number.NaN)
  expect(schedule.next()).toBe(2)
  expect(schedule.due(5, 10)).toEqual(['b'])
  expect(schedule.size).toBe(1)
})

test('a key that is moved away and back is due once', () => {
  const schedule = new Schedule()
  for (const at of [1, 2, 1]) schedule.set('a', at)
  expect(schedule.due(5, 10)).toEqual(['a'])
  schedule.delete('a')
  schedule.set('a', 1)
  expect(schedule.due(5, 10)).toEqual(['a'])
})

test('a schedule gives what is due in the order of time, whatever was set, moved and deleted before', () => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 20 }), at: fc.option(fc.integer({ min: 0, max: 100 })) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 0, max: 100 }), (steps, now) => {
      const schedule = new Schedule()
      const times = new Map<string, number>()
      for (const { key, at } of steps) {
        if (at === null) {
          schedule.delete(`${key}`)
          times.delete(`${key}`)
        } else {
          schedule.set(`${key}`, at)
          times.set(`${key}`, at)
        }
      }
      const sorted = [...times].sort(([, a], [, b]) => a - b)
      const due = schedule.due(now, 1000)
      expect(due.map((key) => times.get(key))).toEqual(sorted.map(([, at]) => at).filter((at) => at <= now))
      expect(new Set(due).size).toBe(due.length)
      expect(schedule.next()).toBe(sorted[0]?.[1])
      expect(schedule.size).toBe(times.size)
    }),
  )
})

function watched() {
  const clock = new TestClock(0)
  const fired: string[] = []
  const deadlines = new Deadlines(clock, (key) => void fired.push(`${key} ${clock.now()}`))
  return { clock, fired, deadlines }
}

test('each deadline fires once, at its time, with one timer for all of them', async () => {
  const { clock, fired, deadlines } = watched()
  for (let n = 1; n <= 1000; n++) deadlines.set(`${n}`, n * 10)
  expect(clock.waiting).toBe(1)
  await clock.advance(10_000)
  expect(fired).toEqual(Array.from({ length: 1000 }, (_, n) => `${n + 1} ${(n + 1) * 10}`))
  expect(clock.waiting).toBe(0)
})

test('a deadline that is moved or deleted fires at its new time, or not at all', async () => {
  const { clock, fired, deadlines } = watched()
  deadlines.set('later', 10)
  deadlines.set('later', 30)
  deadlines.set('sooner', 40)
  deadlines.set('sooner', 20)
  deadlines.set('never', 15)
  deadlines.delete('never')
  await clock.advance(100)
  expect(fired).toEqual(['sooner 20', 'later 30'])
})

test('what falls due at the same moment fires in portions, so that others get their turn', async () => {
  const { clock, fired, deadlines } = watched()
  for (let n = 0; n < 1000; n++) deadlines.set(`${n}`, 10)
  let turns = 0
  clock.after(10, () => {
    turns = fired.length
  })
  await clock.advance(10)
  expect(turns).toBe(256)
  expect(fired).toHaveLength(1000)
})

test('what has passed fires soon, but never before set has returned; after a stop nothing fires', async () => {
  const { clock, fired, deadlines } = watched()
  deadlines.set('past', -5)
  expect(fired).toEqual([])
  await clock.advance(0)
  expect(fired).toEqual(['past 0'])
  deadlines.set('more', 5)
  deadlines.stop()
  deadlines.set('again', 6)
  await clock.advance(10)
  expect(fired).toEqual(['past 0'])
})
