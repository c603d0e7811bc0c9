/**
 * The invariants of the call engine over random interleavings, of one engine, and of two that race on one store whose
 * answers come in any order.
 */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { check, last, newWorld, step, take, type World } from '../support/interleavings.ts'

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

  test.each([
    ['one engine', 1],
    ['two engines on one store', 2],
  ])(
    '%s, with the answers of the store in any order',
    async (_, nodes) => {
      const batch = fc.array(fc.tuple(step, fc.nat({ max: 1 })), { minLength: 2, maxLength: 8 })
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), fc.array(batch, { maxLength: 5 }), async (scheduler, batches) => {
          let running = true
          const world = newWorld(
            (value) => (running ? scheduler.schedule(Promise.resolve(value)) : Promise.resolve(value)),
            nodes,
          )
          for (const steps of batches) {
            await scheduler.waitFor(Promise.all(steps.map(([step, node]) => take(world, step, node))))
          }
          running = false
          await scheduler.waitAll()
          await world.clock.advance(24 * 3_600_000)
          check(world, nodes === 1)
        }),
        { numRuns: 200 },
      )
    },
    60_000,
  )
})

/** Runs `race` a thousand times, each with another order of the store's answers. */
async function aThousandTimes(nodes: number, race: (world: World) => Promise<unknown>, then: (world: World) => void) {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      let running = true
      const world = newWorld(
        (value) => (running ? scheduler.schedule(Promise.resolve(value)) : Promise.resolve(value)),
        nodes,
      )
      await scheduler.waitFor(race(world))
      running = false
      await scheduler.waitAll()
      then(world)
    }),
    { numRuns: 1000 },
  )
}

describe.each([
  ['one engine', 1],
  ['two engines', 2],
])('a thousand races, %s', (_, nodes) => {
  const other = nodes - 1

  test('both call each other: one call lives, one is glare', async () => {
    await aThousandTimes(
      nodes,
      (world) =>
        Promise.all([
          take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0),
          take(world, { do: 'request', who: 'bob/1', callee: 'alice', callId: 'c2', glare: false }, other),
        ]),
      (world) => {
        const statuses = ['c1', 'c2'].map((id) => last(world, id)?.reason ?? 'live')
        expect(statuses.sort()).toEqual(['GLARE', 'live'])
      },
    )
  }, 60_000)

  test('two devices accept: one wins, the other is told once, the caller hears one ACCEPT', async () => {
    await aThousandTimes(
      nodes,
      async (world) => {
        await take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0)
        await Promise.all([
          take(world, { do: 'accept', who: 'bob/1', callId: 'c1' }, 0),
          take(world, { do: 'accept', who: 'bob/2', callId: 'c1' }, other),
        ])
      },
      (world) => {
        const winner = last(world, 'c1')?.winner?.device
        expect(['bob/1', 'bob/2']).toContain(winner)
        expect(world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))).toEqual([
          'call/response ACCEPT',
        ])
        expect(world.devices.of(winner ?? '').some((frame) => frame.startsWith('call/down'))).toBe(false)
        expect(world.devices.of('bob/3')).toEqual(['call/request VIDEO', 'call/down ACCEPT ANSWERED_ELSEWHERE'])
      },
    )
  }, 60_000)

  test('accept against cancel, accept against reject: one of them decides', async () => {
    for (const rival of [
      { do: 'hangup', who: 'alice/1', callId: 'c1' },
      { do: 'reject', who: 'bob/2', callId: 'c1' },
    ] as const) {
      await aThousandTimes(
        nodes,
        async (world) => {
          await take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0)
          await Promise.all([take(world, { do: 'accept', who: 'bob/1', callId: 'c1' }, 0), take(world, rival, other)])
        },
        (world) => {
          const outcomes = world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))
          const call = last(world, 'c1')
          if (call?.connectedAt !== undefined) expect(outcomes).toEqual(['call/response ACCEPT'])
          else expect(outcomes.length).toBe(call?.status === 'REJECTED' ? 1 : 0)
        },
      )
    }
  }, 60_000)
})
