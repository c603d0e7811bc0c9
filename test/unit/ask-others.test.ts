/** A question to all other processes, without a network: `answers` is whoever hears them. */

import { expect, test } from '@jest/globals'
import { askOthers, type Bus, type BusMessage } from '../../src/adapters/redis/bus.ts'
import { settled, TestClock } from '../support/clock.ts'

const QUESTION: BusMessage = { kind: 'well?', facts: {} }

function asking(...others: string[]) {
  const clock = new TestClock()
  const asked: BusMessage[] = []
  const bus: Bus = {
    self: 'a',
    send: () => undefined,
    handle: () => undefined,
    broadcast: (one) => void asked.push(one),
  }
  const round = askOthers({ bus, members: { living: () => new Set(['a', ...others]) }, clock }, QUESTION, 1000)
  let isOver = false
  void round.over.then(() => {
    isOver = true
  })
  const over = async () => {
    await settled()
    return isOver
  }
  return { clock, asked, round, over }
}

test('is over when each of them has answered, and no sooner', async () => {
  const { clock, asked, round, over } = asking('b', 'c')
  expect(asked).toEqual([QUESTION])
  expect([round.answers('b'), round.answers('b'), round.answers('stranger'), round.answers('a')]).toEqual([
    true,
    false,
    false,
    false,
  ])
  expect(await over()).toBe(false)
  expect(round.answers('c')).toBe(true)
  expect(await over()).toBe(true)
  expect(clock.waiting).toBe(0)
})

test('is over after a moment, though one says nothing', async () => {
  const { clock, round, over } = asking('b', 'c')
  round.answers('b')
  await clock.advance(999)
  expect(await over()).toBe(false)
  await clock.advance(1)
  expect(await over()).toBe(true)
  expect(round.answers('c')).toBe(true)
})

test('is over at once where there is nobody else, and nobody is asked', async () => {
  const { clock, asked, over } = asking()
  expect(await over()).toBe(true)
  expect(asked).toEqual([])
  expect(clock.waiting).toBe(0)
})
