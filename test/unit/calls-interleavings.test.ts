/**
 * The invariants of the call engine over random interleavings, of one engine, and of two that race on one store whose
 * answers come in any order.
 */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  ALICE_CALLS_BOB,
  BOTH_CALL,
  batchesOf,
  check,
  ENGINES,
  inAnyOrder,
  last,
  newWorld,
  oneBatch,
  type Race,
  step,
  TWO_ACCEPT,
  take,
} from '../support/interleavings.ts'

describe('whatever happens', () => {
  test('one engine, one command after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = newWorld((value) => Promise.resolve(value), 1)
        for (const step of steps) {
          await take(world, step, 0)
          if (step.do === 'wait') await world.clock.advance(step.ms)
        }
        await world.clock.advance(24 * 3_600_000)
        check(world, true)
      }),
      { numRuns: 150 },
    )
  }, 60_000)

  test.each(ENGINES)(
    '%s, with the answers of the store in any order',
    (_, nodes) =>
      inAnyOrder({
        worldOf: (answer) => newWorld(answer, nodes),
        take,
        beginnings: [[]],
        batches: batchesOf(step, 5),
        runs: 200,
        async holds(world) {
          await world.clock.advance(24 * 3_600_000)
          check(world, nodes === 1)
        },
      }),
    60_000,
  )
})

describe.each(ENGINES)('a thousand races, %s', (_, nodes) => {
  const aThousandTimes = ({ before, steps, holds }: Race) =>
    inAnyOrder({
      worldOf: (answer) => newWorld(answer, nodes),
      take,
      beginnings: [before],
      batches: oneBatch(steps),
      runs: 1000,
      holds,
    })

  test('both call each other: one call lives, one is glare', () => aThousandTimes(BOTH_CALL), 60_000)

  test(
    'two devices accept: one wins, the other is told once, the caller hears one ACCEPT',
    () => aThousandTimes(TWO_ACCEPT),
    60_000,
  )

  test.each([
    ['cancel', { do: 'hangup', who: 'alice/1', callId: 'c1' }],
    ['reject', { do: 'reject', who: 'bob/2', callId: 'c1' }],
  ] as const)(
    'accept against %s: one of them decides',
    (_, rival) =>
      aThousandTimes({
        before: [ALICE_CALLS_BOB],
        steps: [{ do: 'accept', who: 'bob/1', callId: 'c1' }, rival],
        holds(world) {
          const outcomes = world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))
          const call = last(world, 'c1')
          if (call?.connectedAt !== undefined) expect(outcomes).toEqual(['call/response ACCEPT'])
          else expect(outcomes.length).toBe(call?.status === 'REJECTED' ? 1 : 0)
        },
      }),
    60_000,
  )
})
