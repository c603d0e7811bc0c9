/** Events for the back end in a real Redis: alone and in a Cluster, with processes that die and a Redis that goes away. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { RedisOutbox } from '../../src/adapters/redis/outbox.ts'
import { type Hook, LEASE_MS } from '../../src/webhooks/ports.ts'
import { hook, type OutboxOptions, outboxContract, Taker } from '../contracts/outbox.ts'
import { TestClock } from '../support/clock.ts'
import { type RedisCluster, type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts'
import { type LinkAtHand, linkTo } from '../support/redis-link.ts'

const SHARDS = 16

let redis: RedisServer
let cluster: RedisCluster
const links: LinkAtHand[] = []

beforeAll(async () => {
  redis = await startRedis()
  cluster = await startRedisCluster()
})
afterAll(() => Promise.all([redis.stop(), cluster.stop()]))
afterEach(async () => {
  await Promise.all(links.splice(0).map(({ link }) => link.stop()))
})

/** One of the processes that share an outbox: those with the same prefix. */
async function opens(url: string, options: OutboxOptions, more: Record<string, string> = {}) {
  const at = linkTo(url, more)
  links.push(at)
  await at.up()
  const bugs: unknown[] = []
  const outbox = new RedisOutbox({ ...options, link: at.link, report: (error) => bugs.push(error) })
  return { at, outbox, bugs }
}

/** Each shard has its part of the room; the contract fills one key, and so one shard. */
const ofOneShard = ({ mostWaiting, ...options }: OutboxOptions): OutboxOptions => ({
  ...options,
  ...(mostWaiting !== undefined && { mostWaiting: mostWaiting * SHARDS }),
})

outboxContract('Redis', async (options) => (await opens(redis.url, ofOneShard(options))).outbox)
outboxContract(
  'Redis Cluster',
  async (options) => (await opens(cluster.url, ofOneShard(options), { REDIS_MODE: 'cluster' })).outbox,
)

describe('processes that share an outbox', () => {
  let group = 0

  async function processes(count: number) {
    const clock = new TestClock()
    const more = { REDIS_PREFIX: `outbox${group++}:` }
    const options = { clock, dropped: ({ id }: Hook) => void dropped.push(id) }
    const dropped: string[] = []
    const those = []
    for (let n = 0; n < count; n++) {
      const { outbox, at, bugs } = await opens(redis.url, options, more)
      those.push({ outbox, at, bugs, taker: new Taker(outbox) })
    }
    return { clock, those, dropped, again: () => opens(redis.url, options, more) }
  }

  test('never deliver the same event at the same time, and keep the order of a key whoever puts', async () => {
    const { those } = await processes(3)
    const [a, b, c] = those as [(typeof those)[0], (typeof those)[0], (typeof those)[0]]
    for (let n = 0; n < 60; n++) {
      const { outbox } = those[n % 3] as typeof a
      outbox.put(hook(String(n), `call:${n % 5}`))
      await outbox.backlog()
    }
    const seen: Hook[] = []
    const underWay = new Set<string>()
    const works = async ({ outbox }: typeof a) => {
      while (seen.length < 60) {
        outbox.onReady(() => undefined)
        for (const taken of await outbox.take(2)) {
          expect(underWay.has(taken.hook.key)).toBe(false)
          underWay.add(taken.hook.key)
          seen.push(taken.hook)
          await outbox.backlog()
          underWay.delete(taken.hook.key)
          await outbox.done(taken)
        }
      }
    }
    await Promise.all([works(a), works(b), works(c)])
    for (let key = 0; key < 5; key++) {
      const order = seen.filter((one) => one.key === `call:${key}`).map(({ id }) => Number(id))
      expect(order).toEqual([...order].sort((x, y) => x - y))
      expect(order).toHaveLength(12)
    }
    await Promise.all(those.map(({ outbox }) => outbox.stop()))
  })

  test('take over what a dead one had under way, once its lease is over, in order', async () => {
    const { those, clock } = await processes(2)
    const [a, b] = those as [(typeof those)[0], (typeof those)[0]]
    for (const id of ['1', '2']) a.outbox.put(hook(id, 'call:x'))
    await a.taker.takesOne()
    await a.at.link.stop()
    await b.taker.takesNothing()
    await clock.advance(LEASE_MS)
    const first = await b.taker.takesOne()
    await b.outbox.done(first)
    expect([first.hook.id, (await b.taker.takesOne()).hook.id]).toEqual(['1', '2'])
    await b.outbox.stop()
    await a.outbox.stop()
  })

  test('leave what waits to those that are started after them', async () => {
    const { those, again } = await processes(1)
    const [a] = those as [(typeof those)[0]]
    for (const id of ['1', '2']) a.outbox.put(hook(id, 'call:x'))
    await a.outbox.stop()
    await a.at.link.stop()
    const { outbox } = await again()
    expect(await new Taker(outbox).takesOne()).toMatchObject({ hook: hook('1', 'call:x') })
    await outbox.stop()
  })

  test('keep what is put while Redis is away, in order, and lose nobody’s news to a Redis that comes back empty', async () => {
    const { those, dropped } = await processes(1)
    const [{ outbox, at, taker, bugs }] = those as [(typeof those)[0]]
    const down = at.down()
    await redis.kill()
    await down
    for (const id of ['1', '2', '3']) outbox.put(hook(id, 'call:x'))
    const up = at.up()
    await redis.restart()
    await up
    for (const id of ['1', '2', '3']) {
      const taken = await taker.takesOne()
      expect(taken.hook.id).toBe(id)
      await outbox.done(taken)
    }
    expect({ dropped, bugs }).toEqual({ dropped: [], bugs: [] })
    await outbox.stop()
  })

  test('drop what finds no room here while Redis is away, and say so', async () => {
    const { those, dropped } = await processes(1)
    const [{ outbox, at }] = those as [(typeof those)[0]]
    const down = at.down()
    await redis.kill()
    await down
    for (let n = 0; n < 10_003; n++) outbox.put(hook(String(n), `call:${n}`))
    expect(dropped).toEqual(['10000', '10001', '10002'])
    const up = at.up()
    await redis.restart()
    await up
    expect(await outbox.backlog()).toMatchObject({ waiting: 10_000 })
    await outbox.stop()
  })
})
