/**
 * Two calls of one user, and calls that take the place of others, over random interleavings: of one engine, and of two that
 * race on one store whose answers come in any order.
 */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { TIMERS } from '../support/engine.ts'
import {
  batchesOf,
  CONSULTING,
  checkLines,
  ENGINES,
  inAnyOrder,
  last,
  lineStep,
  newWorld,
  oneBatch,
  type Step,
  take,
  type World,
} from '../support/interleavings.ts'

/** So that a life is over soon, and few timers are needed for it. */
const SHORT = { ...TIMERS, httpLegMs: 60_000, longestCallMs: 180_000, tombstoneMs: 120_000 }
const TO_THE_END_MS = 400_000

describe.each([
  ['as usual', false],
  ['with call waiting', true],
])('whatever happens, %s', (_, callWaiting) => {
  test('one engine, one command after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(lineStep, { maxLength: 30 }), async (consulting, steps) => {
        const world = newWorld((value) => Promise.resolve(value), 1, callWaiting, SHORT)
        for (const step of [...(consulting ? CONSULTING : []), ...steps]) {
          await take(world, step, 0)
          if (step.do === 'wait') await world.clock.advance(step.ms)
        }
        await world.clock.advance(TO_THE_END_MS)
        checkLines(world)
      }),
      { numRuns: 100 },
    )
  }, 120_000)

  test.each(ENGINES)(
    '%s, with the answers of the store in any order',
    (_, nodes) =>
      inAnyOrder({
        worldOf: (answer) => newWorld(answer, nodes, callWaiting, SHORT),
        take,
        beginnings: [[], CONSULTING],
        batches: batchesOf(lineStep, 4),
        runs: 100,
        async holds(world) {
          await world.clock.advance(TO_THE_END_MS)
          checkLines(world)
        },
      }),
    120_000,
  )
})

/** The call that takes the place of another one. */
const newCall = (world: World) =>
  [...world.commits.versions.values()].flatMap((versions) => versions.at(-1) ?? []).find(({ replaces }) => replaces)

/** Stands for the id of that call, which nobody has chosen. */
const NEW = 'new'

const withId = (world: World, step: Step): Step =>
  'callId' in step && step.callId === NEW ? { ...step, callId: newCall(world)?.callId ?? '' } : step

/** Races from the middle of a consultation, a few hundred times, each with another order of the store's answers. */
const races = (
  nodes: number,
  before: readonly Step[],
  race: readonly Step[],
  then: (world: World) => void,
): Promise<void> =>
  inAnyOrder({
    worldOf: (answer) => newWorld(answer, nodes, false, SHORT),
    take: (world, step, node) => take(world, withId(world, step), node),
    beginnings: [[...CONSULTING, ...before]],
    batches: oneBatch(race),
    runs: 200,
    async holds(world) {
      expect(world.commits.broken).toEqual([])
      then(world)
      await world.clock.advance(TO_THE_END_MS)
      checkLines(world)
    },
  })

const TRANSFER: Step = { do: 'transfer', who: 'alice/1', callId: 'c1', target: 'carol', withCallId: 'c2' }

describe.each(ENGINES)('races of calls that change each other, %s', (_, nodes) => {
  test('both calls are taken up at the same time: one is talked in, and nobody waits for ever', async () => {
    await races(
      nodes,
      [],
      [
        { do: 'hold', who: 'alice/1', callId: 'c1', hold: false },
        { do: 'hold', who: 'alice/1', callId: 'c2', hold: false },
        { do: 'hold', who: 'alice/1', callId: 'c1', hold: false },
        { do: 'hold', who: 'alice/1', callId: 'c2', hold: false },
      ],
      (world) => {
        const held = ['c1', 'c2'].filter((id) => last(world, id)?.held?.includes('alice'))
        expect(held).toHaveLength(1)
      },
    )
  }, 120_000)

  test('who holds hears the truth last: what is told of a call keeps the order of its changes', async () => {
    await races(
      1,
      [],
      [
        { do: 'hold', who: 'alice/1', callId: 'c1', hold: false },
        { do: 'hold', who: 'alice/1', callId: 'c2', hold: false },
        { do: 'hold', who: 'alice/1', callId: 'c1', hold: false },
      ],
      (world) => {
        for (const [id, device] of [
          ['c1', 'bob/1'],
          ['c2', 'carol/1'],
        ] as const) {
          const told = world.devices.heard.filter(
            (frame) => frame.device === device && frame.queue === 'call/hold' && frame.body.by === 'alice',
          )
          const isHeld = last(world, id)?.held?.includes('alice') ?? false
          if (told.length > 0) expect({ id, hold: told.at(-1)?.body.hold }).toEqual({ id, hold: isHeld })
          else expect(isHeld).toBe(id === 'c1')
        }
      },
    )
  }, 120_000)

  test('who is transferred hangs up while the target answers: the transfer is done, or both calls are over', async () => {
    await races(
      nodes,
      [TRANSFER],
      [
        { do: 'hangup', who: 'bob/1', callId: 'c1' },
        { do: 'accept ringing', who: 'carol/1' },
      ],
      (world) => {
        const next = newCall(world)
        const first = last(world, 'c1')
        expect(first?.endedAt).toBeDefined()
        if (first?.reason === 'TRANSFERRED') expect(next?.status).toBe('CONNECTED')
        else expect([first?.reason, next?.reason]).toEqual(['HANGUP', 'CANCELLED'])
      },
    )
  }, 120_000)

  test('who transfers takes the call up again, hangs up, or does it again, while the target answers', async () => {
    await races(
      nodes,
      [TRANSFER],
      [
        { do: 'accept ringing', who: 'carol/1' },
        { do: 'hold', who: 'alice/1', callId: 'c1', hold: false },
        { do: 'hangup', who: 'alice/1', callId: 'c1' },
        { ...TRANSFER },
      ],
      (world) => {
        expect(newCall(world)?.status).toBe('CONNECTED')
        expect([last(world, 'c1')?.reason, last(world, 'c2')?.reason]).toEqual(['TRANSFERRED', 'TRANSFERRED'])
      },
    )
  }, 120_000)

  test('the target declines while it runs out and who is transferred gives up: one of them decides, once', async () => {
    await races(
      nodes,
      [TRANSFER],
      [
        { do: 'reject', who: 'carol/1', callId: NEW },
        { do: 'hangup', who: 'bob/1', callId: NEW },
      ],
      (world) => {
        expect(last(world, 'c1')).toMatchObject({ status: 'CONNECTED' })
        expect(last(world, 'c1')?.transfer).toBeUndefined()
        const failed = world.devices.heard.filter(({ body, device }) => body.state === 'FAILED' && device === 'bob/1')
        expect(failed).toHaveLength(1)
      },
    )
  }, 120_000)
})
