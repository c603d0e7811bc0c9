import { describe, expect, test } from '@jest/globals'
import { ClusterClock } from '../../src/adapters/redis/clock.ts'
import { settled, TestClock } from '../support/clock.ts'

const AT = Date.UTC(2026, 0, 1)

/** Redis with a clock of its own, a way to it that takes a while, and a machine whose clock is wrong. */
function world(machineIsAheadBy: number) {
  const machine = new TestClock(AT + machineIsAheadBy)
  const redis = { ahead: 0, away: false, ways: [] as number[] }
  const warnings: string[] = []
  let extra = 0
  /** What passes for the monotonic clock passes for Redis too. */
  const monotonic = () => machine.now() - machineIsAheadBy - AT + extra
  let up: () => void = () => undefined
  const link = {
    watch(watcher: { up?(): void }) {
      up = () => watcher.up?.()
      return () => undefined
    },
    async time() {
      if (redis.away) throw new Error('away')
      const way = redis.ways.shift() ?? 0
      extra += way * 0.9
      const time = AT + monotonic() + redis.ahead
      extra += way * 0.1
      return time
    },
  }
  const clock = new ClusterClock({
    link,
    clock: machine,
    monotonic,
    log: { warn: (_, message) => warnings.push(message) },
  })
  const truth = () => AT + monotonic() + redis.ahead
  return { machine, redis, clock, warnings, truth, up: () => up() }
}

describe('the clock that processes share', () => {
  test.each([0, 3_600_000, -90_000])('is that of Redis, though the machine is ahead by %d ms', async (ahead) => {
    const { clock, machine, truth } = world(ahead)
    await clock.start()
    expect(clock.now()).toBe(truth())
    await machine.advance(1234)
    expect(clock.now()).toBe(truth())
    expect(clock.skew + ahead).toBe(0)
  })

  test('believes the quickest answer', async () => {
    const { clock, redis, truth } = world(5000)
    redis.ways = [400, 900, 2, 700, 800]
    await clock.start()
    expect(Math.abs(clock.now() - truth())).toBeLessThanOrEqual(1)
  })

  test('is that of the machine until Redis answers', async () => {
    const { clock, redis, machine, truth, up } = world(7000)
    redis.away = true
    await clock.start()
    expect(clock.now()).toBe(machine.now())
    redis.away = false
    up()
    await settled()
    expect(clock.now()).toBe(truth())
  })

  test('makes up for a small difference little by little, and never goes backwards', async () => {
    for (const difference of [2000, -2000]) {
      const { clock, redis, machine, truth } = world(0)
      await clock.start()
      redis.ahead = difference
      let last = clock.now()
      for (let second = 0; second < 60; second++) {
        await machine.advance(1000)
        const passed = clock.now() - last
        expect(passed).toBeGreaterThanOrEqual(899)
        expect(passed).toBeLessThanOrEqual(1101)
        last = clock.now()
      }
      expect(Math.abs(clock.now() - truth())).toBeLessThanOrEqual(1)
    }
  })

  test('follows when Redis has another time altogether, once it is sure', async () => {
    const { clock, redis, machine, truth, warnings } = world(0)
    await clock.start()
    redis.ahead = 3_600_000
    await machine.advance(10_000)
    redis.ahead = 0
    await machine.advance(10_000)
    expect(clock.now()).toBe(truth())
    redis.ahead = 3_600_000
    await machine.advance(30_000)
    expect(clock.now()).toBe(truth())
    expect(warnings).toHaveLength(1)
  })

  test('goes on by itself while Redis is away', async () => {
    const { clock, redis, machine, truth } = world(-1000)
    await clock.start()
    redis.away = true
    await machine.advance(3_600_000)
    expect(clock.now()).toBe(truth())
    clock.stop()
    await machine.advance(60_000)
    expect(machine.waiting).toBe(0)
  })
})
