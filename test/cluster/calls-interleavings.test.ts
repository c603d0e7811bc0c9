/**
 * The invariants of the call engine, and the races, with two engines that race on one real Redis, each over a connection
 * and a store of its own.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { systemClock } from '../../broker/clock.ts'
import { RedisCallStore } from '../../src/adapters/redis/call-store.ts'
import { TIMERS } from '../support/engine.ts'
import {
  ALICE_CALLS_BOB,
  BOTH_CALL,
  batchesOf,
  brokenLines,
  CONSULTING,
  Commits,
  check,
  checkLines,
  last,
  lineStep,
  type Race,
  step,
  TWO_ACCEPT,
  take,
  WatchedStore,
  type World,
  worldOf,
} from '../support/interleavings.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { FakeBuses, redisTime } from '../support/redis-calls.ts'
import { type LinkAtHand, linkTo } from '../support/redis-link.ts'

/** So that a life is over soon; ended calls are remembered for longer than a run waits. */
const SHORT = { ...TIMERS, longestCallMs: 120_000, tombstoneMs: 700_000 }
const TO_THE_END = [...Array<number>(12).fill(30_000), 800_000, 1000, 1000]

let redis: RedisServer
let links: LinkAtHand[]

beforeAll(async () => {
  redis = await startRedis()
  links = ['a', 'b'].map(() => linkTo(redis.url, { REDIS_PREFIX: 'i:' }))
  await Promise.all(links.map(({ up }) => up()))
})
afterAll(async () => {
  await Promise.all(links.map(({ link }) => link.stop()))
  await redis.stop()
})

interface RedisWorld extends World {
  /** Fulfilled when nothing is under way. */
  quiet(): Promise<void>
  /** Lets time pass until no call is left. */
  end(): Promise<void>
}

async function newWorld(callWaiting = false): Promise<RedisWorld> {
  await links[0]?.link.run('i:', ['FLUSHALL'])
  const buses = new FakeBuses()
  const commits = new Commits(false)
  const inner = links.map(
    ({ link }, n) => new RedisCallStore({ link, bus: buses.of(`node${n}`), clock: systemClock, redisTime }),
  )
  const stores = inner.map((store) => new WatchedStore((value) => Promise.resolve(value), commits, store))
  const world = worldOf(stores, commits, SHORT, callWaiting)
  const quiet = async () => {
    do {
      await Promise.all(stores.map((store) => store.idle()))
      await new Promise<void>((resolve) => setImmediate(resolve))
    } while (!stores.every(({ isIdle }) => isIdle))
  }
  return Object.assign(world, {
    quiet,
    async end() {
      for (const ms of TO_THE_END) {
        await world.clock.advance(ms)
        await quiet()
      }
      expect(await inner[0]?.live()).toEqual([])
      expect(await inner[0]?.nextDue()).toBeUndefined()
      for (const store of inner) {
        expect(store.counts.untold).toBe(0)
        await store.stop()
      }
      for (const { calls } of world.engines) calls.stop()
    },
  })
}

/** Nobody's line has calls that do not belong there: asked of Redis, when nothing changes. */
async function checkLinesOf(): Promise<void> {
  const keys = (await redis.cli('KEYS', 'i:{calls}c:*')).split('\n').filter((key) => key !== '')
  const calls = await Promise.all(keys.map(async (key) => JSON.parse(await redis.cli('HGET', key, 'j'))))
  expect(brokenLines(calls.filter(({ endedAt }) => endedAt === undefined))).toEqual([])
}

test('whatever happens, with two engines on one Redis', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(batchesOf(step, 5), async (batches) => {
      const world = await newWorld()
      for (const steps of batches) {
        await Promise.all(steps.map(([one, node]) => take(world, one, node)))
        await world.quiet()
        await world.clock.advance(Math.max(...steps.map(([one]) => (one.do === 'wait' ? one.ms : 0))))
        await world.quiet()
      }
      // By redis-cli, which takes its time
      if (run++ % 10 === 0) await checkLinesOf()
      await world.end()
      check(world, false)
    }),
    { numRuns: 100 },
  )
}, 120_000)

test('whatever happens with two calls of one user, with two engines on one Redis', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.boolean(), batchesOf(lineStep, 4, 6), async (callWaiting, batches) => {
      const world = await newWorld(callWaiting)
      for (const one of CONSULTING) await take(world, one, 0)
      for (const steps of batches) {
        await Promise.all(steps.map(([one, node]) => take(world, one, node)))
        await world.quiet()
        await world.clock.advance(Math.max(...steps.map(([one]) => (one.do === 'wait' ? one.ms : 0))))
        await world.quiet()
      }
      if (run++ % 10 === 0) await checkLinesOf()
      await world.end()
      checkLines(world)
    }),
    { numRuns: 60 },
  )
}, 120_000)

const RACES = 200

async function races(race: (world: RedisWorld) => Promise<unknown>, then: (world: World) => void): Promise<void> {
  for (let n = 0; n < RACES; n++) {
    const world = await newWorld()
    await race(world)
    await world.quiet()
    then(world)
    for (const { calls, bugs } of world.engines) {
      calls.stop()
      expect(bugs).toEqual([])
    }
  }
}

/** Each step by a process of its own. */
const raceOf = ({ before, steps, holds }: Race): Promise<void> =>
  races(async (world) => {
    for (const one of before) await take(world, one, 0)
    await Promise.all(steps.map((one, node) => take(world, one, node)))
  }, holds)

describe('hundreds of races on one Redis', () => {
  test(
    'both call each other, each by a process of its own: one call lives, one is glare',
    () => raceOf(BOTH_CALL),
    120_000,
  )

  test(
    'two devices accept, each by a process of its own: one wins, the other is told once',
    () => raceOf(TWO_ACCEPT),
    120_000,
  )

  test('a deadline that two processes fire ends the call once', async () => {
    await races(
      async (world) => {
        await take(world, ALICE_CALLS_BOB, 0)
        await take(world, { do: 'ringing', who: 'bob/1', callId: 'c1' }, 1)
        // Whoever looks at the store does so every second
        for (const ms of [29_500, 1000, 1000]) {
          await world.clock.advance(ms)
          await world.quiet()
        }
      },
      (world) => {
        expect(last(world, 'c1')?.reason).toBe('NO_ANSWER')
        for (const device of ['alice/1', 'bob/1', 'bob/2', 'bob/3'])
          expect(world.devices.of(device).filter((frame) => frame.startsWith('call/timeout'))).toHaveLength(1)
      },
    )
  }, 120_000)
})
