import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { RedisLink } from '../../src/adapters/redis/link.ts'
import type { Call, Effect, Member, MemberState } from '../../src/calls/types.ts'
import { Unavailable } from '../../src/ports.ts'
import { callStoreContract, over, ringing } from '../contracts/call-store.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import { type RedisCluster, type RedisServer, startRedis, startRedisCluster } from '../support/redis.ts'
import { FakeBuses, type StoreAtHand, type StoreOptions, storeAt } from '../support/redis-calls.ts'

let redis: RedisServer
const open: StoreAtHand[] = []
let group = 0
let buses = new FakeBuses()

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(() => {
  group++
  buses = new FakeBuses()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.stop()))
})

/** Those of one test share their calls. */
async function opens(node = 'a', more: StoreOptions = {}, url = redis.url): Promise<StoreAtHand> {
  const variables = { REDIS_PREFIX: `c${group}:`, ...more.variables }
  const one = await storeAt(url, { node, buses, ...more, variables })
  open.push(one)
  return one
}

callStoreContract('Redis', async () => (await opens()).store)

describe('in a Cluster', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())
  callStoreContract(
    'Redis Cluster',
    async () => (await opens('a', { variables: { REDIS_MODE: 'cluster' } }, cluster.url)).store,
  )
})

const call = ringing('c1', 'alice', 'bob')
const create = ({ store }: StoreAtHand, made: Call = call, effects?: readonly Effect[]) =>
  store.commit([{ call: made, expected: 0 }], effects)

describe('calls in Redis, of several processes', () => {
  test('each has at hand what another one has changed, once it has seen the call', async () => {
    const [a, b, c] = [await opens('a'), await opens('b'), await opens('c')]
    await create(a)
    expect(b.store.atHand('c1')).toBeUndefined()
    expect((await b.store.line('bob'))[0]?.version).toBe(1)
    await b.store.commit([{ call: { ...call, status: 'CONNECTED', winner: call.origin }, expected: 1 }])
    expect(a.store.atHand('c1')).toMatchObject({ status: 'CONNECTED', version: 2 })
    expect(a.store.atHand('c1')).toEqual(await a.store.load('c1'))
    expect(c.store.atHand('c1')).toBeUndefined()
    expect(buses.sent.map(({ to }) => to)).toEqual(['a'])
  })

  test('a later version is not replaced by one that arrives late', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    await b.store.load('c1')
    buses.cut = true
    await a.store.commit([{ call: { ...call, due: call.due + 1 }, expected: 1 }])
    buses.cut = false
    await a.store.commit([{ call: { ...call, due: call.due + 2 }, expected: 2 }])
    expect(b.store.atHand('c1')?.version).toBe(3)
    await b.store.load('c1')
    expect(b.store.atHand('c1')).toMatchObject({ version: 3, due: call.due + 2 })
  })

  test('each hears of what another one has changed, once it has seen the call', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    const heard: (string | undefined)[] = []
    a.store.watch((callId) => void heard.push(callId))
    await create(b)
    await b.store.commit([{ call: { ...call, due: call.due + 1 }, expected: 1 }])
    expect(heard).toEqual([])
    await a.store.load('c1')
    await b.store.commit([{ call: { ...call, due: call.due + 2 }, expected: 2 }])
    expect(heard).toEqual(['c1'])
    buses.misses('a')
    expect(heard).toEqual(['c1', undefined])
  })

  test('has nothing at hand any more when it may have missed something', async () => {
    const a = await opens('a')
    await create(a)
    expect(a.store.liveAtHand()).toHaveLength(1)
    buses.misses('a')
    expect(a.store.atHand('c1')).toBeUndefined()
  })

  test('has a bounded number of calls at hand: those seen longest ago are asked for again', async () => {
    const a = await opens('a', { mostAtHand: 10 })
    for (let n = 0; n < 30; n++) await create(a, ringing(`c${n}`, `a${n}`, `b${n}`))
    expect(a.store.atHand('c29')?.callId).toBe('c29')
    expect(a.store.atHand('c7')).toBeUndefined()
    expect(a.store.counts).toMatchObject({ atHand: 10, hits: 1, misses: 1 })
    expect((await a.store.load('c7'))?.callId).toBe('c7')
  })

  test('a deadline is told to one process, and to another one when that does nothing about it', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? a : b).store.due(call.due, 10)))
    expect(all.flat()).toEqual(['c1'])
    expect(await b.store.due(call.due + 1999, 10)).toEqual([])
    expect(await b.store.due(call.due + 2000, 10)).toEqual(['c1'])
  })

  test('a call that Redis has forgotten holds no slot and is never due', async () => {
    const a = await opens('a')
    await create(a)
    await redis.cli('DEL', `c${group}:{calls}c:c1`)
    expect(await a.store.line('alice')).toEqual([])
    expect(await a.store.due(call.due, 10)).toEqual([])
    expect(await a.store.nextDue()).toBeUndefined()
    expect(await a.store.live()).toEqual([])
    expect(await create(a, ringing('c2', 'bob', 'carol'))).toBe(true)
  })

  test('keys go by themselves if everybody is gone', async () => {
    const a = await opens('a')
    await create(a, call, [{ kind: 'ring', call }])
    await a.store.commit([{ call: over(call), expected: 1 }])
    await create(a, ringing('c2', 'alice', 'bob'))
    const expiry = async (key: string) => Number(await redis.cli('PTTL', `c${group}:{calls}${key}`))
    const tombstone = await expiry('c:c1')
    expect(tombstone).toBeGreaterThan(600_000)
    expect(tombstone).toBeLessThanOrEqual(660_000)
    for (const key of ['c:c2', 'h:alice', 'h:bob', 'untold:a']) expect(await expiry(key)).toBeGreaterThan(3_600_000)
  })

  test('works on after SCRIPT FLUSH', async () => {
    const a = await opens('a')
    await create(a)
    await redis.cli('SCRIPT', 'FLUSH')
    expect((await a.store.load('c1'))?.version).toBe(1)
    expect(await a.store.commit([{ call: over(call), expected: 1 }])).toBe(true)
  })

  test('a commit that comes too late is not carried out', async () => {
    let measured = 0
    const slow = {
      redisNow: () => Date.now() - 60_000,
      async measure() {
        measured++
        return undefined
      },
    }
    const a = await opens('a', { time: slow })
    await expect(create(a, call, [{ kind: 'ring', call }])).rejects.toBeInstanceOf(Unavailable)
    expect(measured).toBeGreaterThan(0)
    expect(await a.store.load('c1')).toBeUndefined()
    expect(a.store.counts.untold).toBe(0)
  })
})

describe('what was committed and not told', () => {
  const effects: readonly Effect[] = [
    { kind: 'ring', call },
    { kind: 'news', news: 'call.requested', call },
    { kind: 'news', news: 'call.ended', call: ringing('c0', 'x', 'y') },
    { kind: 'tell', to: { user: 'bob', devices: ['d'] }, queue: 'call/down', body: { a: [null] }, headers: { h: '1' } },
    {
      kind: 'relay',
      to: { user: 'bob', devices: ['d'] },
      from: 'alice',
      signal: { body: Buffer.from([0, 255]), contentType: 'x/y' },
    },
  ]
  const left = async (one: StoreAtHand, node: string) => {
    const all = []
    for await (const untold of one.store.recover(node)) all.push(untold)
    return all
  }
  const untoldOf = (node: string) => redis.cli('HLEN', `c${group}:{calls}untold:${node}`)

  test('is there for the heir, octets and all, until it is done', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a, call, effects)
    await a.store.commit(
      [
        { call: over(call), expected: 1 },
        { call: ringing('c2', 'alice', 'bob'), expected: 0 },
      ],
      [{ kind: 'news', news: 'call.ended', call: over(call) }],
    )
    const [first, second] = await left(b, 'a')
    expect(first?.call).toEqual({ ...call, version: 1 })
    const [ring, news, other, tell, relay] = effects
    expect(first?.effects).toEqual([
      { ...ring, call: { ...call, version: 1 } },
      { ...news, call: { ...call, version: 1 } },
      other,
      tell,
      relay,
    ])
    expect(second?.call.callId).toBe('c2')
    expect(second?.effects).toEqual([{ kind: 'news', news: 'call.ended', call: { ...over(call), version: 2 } }])
    expect(await untoldOf('a')).toBe('0')
    expect(await left(b, 'a')).toEqual([])
  })

  test('stays when the heir dies in the middle', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a, call, effects)
    await create(a, ringing('c2', 'carol', 'dave'), effects)
    for await (const _ of b.store.recover('a')) break
    expect(await untoldOf('a')).toBe('2')
    expect(await left(b, 'a')).toHaveLength(2)
  })

  test('is taken off when it was told', async () => {
    const a = await opens('a')
    const commits = Array.from({ length: 30 }, (_, n) => [
      { call: ringing(`c${n}`, `a${n}`, `b${n}`), expected: 0 },
    ]) satisfies unknown[]
    for (const writes of commits) {
      await a.store.commit(writes, effects)
      a.store.told(writes)
    }
    expect(a.store.counts.untold).toBe(0)
    await a.store.stop()
    expect(await untoldOf('a')).toBe('0')
  })

  test('what makes no sense to the heir keeps nothing else from being told', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a, call, effects)
    await redis.cli('HSET', `c${group}:{calls}untold:a`, '1 x', 'of another version')
    expect(await left(b, 'a')).toHaveLength(1)
  })

  test('a refused commit leaves nothing', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    expect(await create(b, ringing('c2', 'bob', 'carol'), effects)).toBe(false)
    expect(await untoldOf('b')).toBe('0')
    expect(b.store.counts.untold).toBe(0)
  })

  test('what could not be told while Redis was away is done when it is back', async () => {
    const proxy = await CutProxy.to(redis.port)
    const a = await opens('a', {}, `redis://127.0.0.1:${proxy.port}`)
    await create(a, call, effects)
    expect(await left(a, 'a')).toEqual([])
    const down = a.down()
    proxy.cut()
    await down
    proxy.heal()
    await a.up()
    expect(await left(a, 'a')).toMatchObject([{ call: { callId: 'c1' } }])
    expect(await untoldOf('a')).toBe('0')
    await a.stop()
    await proxy.stop()
  })

  test('a commit whose answer was lost has taken place: its repeat is refused, and its effects are done', async () => {
    const proxy = await CutProxy.to(redis.port)
    let lost = false
    const loses = (link: RedisLink): RedisLink => ({
      ...plain(link),
      async script(script, keys, args) {
        const answer = await link.script(script, keys, args)
        if (!lost || script.name !== 'calls.commit') return answer
        throw new Unavailable('the answer was lost')
      },
    })
    const a = await opens('a', { through: loses }, `redis://127.0.0.1:${proxy.port}`)
    const b = await opens('b')
    lost = true
    await expect(create(a, call, effects)).rejects.toBeInstanceOf(Unavailable)
    lost = false
    expect((await b.store.load('c1'))?.version).toBe(1)
    expect(await create(a, call, effects)).toBe(false)
    const down = a.down()
    proxy.cut()
    await down
    proxy.heal()
    await a.up()
    expect(await left(a, 'a')).toMatchObject([{ call: { callId: 'c1' } }])
    await a.stop()
    await proxy.stop()
  })

  test('what was never sent is not waited for', async () => {
    const proxy = await CutProxy.to(redis.port)
    const a = await opens('a', {}, `redis://127.0.0.1:${proxy.port}`)
    const down = a.down()
    proxy.cut()
    await down
    await expect(create(a, call, effects)).rejects.toBeInstanceOf(Unavailable)
    expect(a.store.counts.untold).toBe(0)
    await a.stop()
    await proxy.stop()
  })
})

/** The same link as a plain object. */
const plain = (link: RedisLink): RedisLink => ({
  get up() {
    return link.up
  },
  prefix: link.prefix,
  run: (key, command) => link.run(key, command),
  octets: (key, command) => link.octets(key, command),
  script: (script, keys, args) => link.script(script, keys, args),
  blocking: (key, command) => link.blocking(key, command),
  watch: (watcher) => link.watch(watcher),
  time: () => link.time(),
  stop: () => link.stop(),
})

describe('when Redis comes back', () => {
  test('empty, live calls are put back as they were known last', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    await b.store.load('c1')
    await b.store.commit([{ call: { ...call, status: 'CONNECTED', winner: call.origin }, expected: 1 }])
    await create(a, over(ringing('c2', 'x', 'y')))
    const down = [a.down(), b.down()]
    await redis.kill()
    await Promise.all(down)
    expect(a.store.atHand('c1')?.status).toBe('CONNECTED')
    await redis.restart()
    await Promise.all([a.up(), b.up()])
    expect(await a.store.line('bob')).toMatchObject([{ callId: 'c1', status: 'CONNECTED', version: 2 }])
    expect(await b.store.nextDue()).toBe(call.due)
    expect(await b.store.live()).toEqual(['c1'])
    expect((await a.store.load('c2'))?.status).toBe('CANCELLED')
    expect(await b.store.commit([{ call: over(call), expected: 2 }])).toBe(true)
    expect(a.store.atHand('c1')?.version).toBe(3)
  })

  test('empty, a call is over that one process knows to be over and another one does not', async () => {
    for (const [late, first] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      group++
      const both = { a: await opens('a'), b: await opens('b') }
      await create(both.a)
      await both.b.store.load('c1')
      buses.cut = true
      await both.b.store.commit([{ call: over(call), expected: 1 }])
      buses.cut = false
      expect(both.a.store.atHand('c1')?.endedAt).toBeUndefined()
      await redis.cli('FLUSHALL')
      // Whoever commits finds out first, and puts back what it knows
      for (const one of [both[first], both[late]]) await create(one, over(ringing(`x${one.node}`, 'x', 'y')))
      expect(await both[late].store.load('c1')).toMatchObject({ status: 'CANCELLED', version: 2 })
      expect(await both[first].store.line('alice')).toEqual([])
      expect(await both[first].store.live()).toEqual([])
      expect(await create(both[first], ringing('c3', 'bob', 'alice'))).toBe(true)
    }
  })

  test.each([
    ['older', ['c1', 'c2']],
    ['newer', ['c2', 'c1']],
  ])('empty, calls that share a line are put back, the %s one first', async (_, order) => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    await create(b, ringing('c2', 'alice', 'carol', { beside: ['c1'] }))
    await redis.cli('FLUSHALL')
    for (const one of order[0] === 'c1' ? [a, b] : [b, a]) await create(one, over(ringing(`x${one.node}`, 'x', 'y')))
    expect((await a.store.line('alice')).map(({ callId }) => callId).sort()).toEqual(['c1', 'c2'])
    expect((await a.store.line('bob')).map(({ callId }) => callId)).toEqual(['c1'])
    expect(await create(a, ringing('c3', 'carol', 'dave'))).toBe(false)
  })

  test('with an earlier state, who has left a room is free', async () => {
    const a = await opens('a')
    const member = (user: string, state: MemberState): Member => ({ user, state, rung: [], declined: [], invitedAt: 0 })
    const room = { ...call, status: 'CONNECTED' as const }
    const joined = { ...room, members: [member('alice', 'JOINED'), member('bob', 'JOINED')] }
    await create(a, room)
    await a.store.commit([{ call: joined, expected: 1 }])
    const left = { ...room, members: [member('alice', 'LEFT'), member('bob', 'JOINED')] }
    const key = `c${group}:{calls}c:c1`
    const [json, holders] = [await redis.cli('HGET', key, 'j'), await redis.cli('HGET', key, 'h')]
    await a.store.commit([{ call: left, expected: 2 }])
    await redis.cli('HSET', key, 'j', json, 'v', '2', 'h', holders)
    await redis.cli('SADD', `c${group}:{calls}h:alice`, 'c1')
    const down = a.down()
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal')
    await down
    await a.up()
    expect(await a.store.line('alice')).toEqual([])
    expect(await create(a, ringing('c2', 'alice', 'carol'))).toBe(true)
    expect(await create(a, ringing('c3', 'bob', 'dave'))).toBe(false)
  })

  test('empty, nobody is free before everybody has had the time to put back what they know', async () => {
    const proxy = await CutProxy.to(redis.port)
    const a = await opens('a', {}, `redis://127.0.0.1:${proxy.port}`)
    const b = await opens('b')
    await create(a)
    const down = [a.down(), b.down()]
    proxy.cut()
    await redis.kill()
    await Promise.all(down)
    await redis.restart()
    await b.up()
    // Of alice's call b knows nothing
    const begun = create(b, ringing('c2', 'alice', 'carol'))
    proxy.heal()
    await a.up()
    expect(await begun).toBe(false)
    expect((await b.store.line('alice'))[0]?.callId).toBe('c1')
    await a.stop()
    await proxy.stop()
  })

  test('emptied behind our back, the next commit notices', async () => {
    const a = await opens('a')
    await create(a)
    await redis.cli('FLUSHALL')
    expect(await a.store.commit([{ call: { ...call, due: call.due + 1 }, expected: 1 }])).toBe(true)
    expect((await a.store.line('alice'))[0]?.version).toBe(2)
  })

  test('with what it had, calls that ended meanwhile stay ended', async () => {
    const proxy = await CutProxy.to(redis.port)
    const a = await opens('a', {}, `redis://127.0.0.1:${proxy.port}`)
    const b = await opens('b')
    await create(a)
    await create(a, ringing('c2', 'carol', 'dave'))
    const down = a.down()
    proxy.cut()
    await down
    buses.cut = true
    await b.store.load('c1')
    await b.store.commit([{ call: over(call), expected: 1 }])
    await b.store.load('c2')
    await b.store.commit([{ call: over(ringing('c2', 'carol', 'dave')), expected: 1 }])
    await b.store.forget('c2', 2)
    expect(a.store.atHand('c1')?.status).toBe('RINGING')
    proxy.heal()
    await a.up()
    expect((await a.store.load('c1'))?.status).toBe('CANCELLED')
    expect(await a.store.load('c2')).toBeUndefined()
    expect(a.store.atHand('c2')).toBeUndefined()
    await a.stop()
    await proxy.stop()
  })

  test('with an earlier state, the version that was told last is put back', async () => {
    const a = await opens('a')
    await create(a)
    const earlier = await redis.cli('HGET', `c${group}:{calls}c:c1`, 'j')
    await a.store.commit([{ call: { ...call, status: 'CONNECTED', winner: call.origin }, expected: 1 }])
    await redis.cli('HSET', `c${group}:{calls}c:c1`, 'j', earlier, 'v', '1')
    const down = a.down()
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal')
    await down
    await a.up()
    expect(await a.store.load('c1')).toMatchObject({ status: 'CONNECTED', version: 2 })
  })

  test('a user who has begun another call meanwhile keeps that one', async () => {
    const proxy = await CutProxy.to(redis.port)
    const a = await opens('a', {}, `redis://127.0.0.1:${proxy.port}`)
    await create(a)
    const down = a.down()
    proxy.cut()
    await down
    await redis.restart()
    const b = await opens('b')
    expect(await create(b, ringing('c2', 'bob', 'carol'))).toBe(true)
    proxy.heal()
    await a.up()
    expect((await a.store.line('bob'))[0]?.callId).toBe('c2')
    expect(await a.store.load('c1')).toBeUndefined()
    await a.stop()
    await proxy.stop()
  })
})

describe('hundreds of races between processes', () => {
  test('of two that claim the same users one wins, every time', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    for (let n = 0; n < 300; n++) {
      const won = await Promise.all([
        create(a, ringing(`a${n}`, 'alice', 'bob')),
        create(b, ringing(`b${n}`, 'bob', 'alice')),
      ])
      expect(won.filter(Boolean)).toHaveLength(1)
      const winner = won[0] ? ringing(`a${n}`, 'alice', 'bob') : ringing(`b${n}`, 'bob', 'alice')
      expect(await a.store.commit([{ call: over(winner), expected: 1 }])).toBe(true)
    }
  })

  test('of two that change the same call one wins, every time', async () => {
    const [a, b] = [await opens('a'), await opens('b')]
    await create(a)
    for (let version = 1; version <= 300; version++) {
      const won = await Promise.all(
        [a, b].map(({ store }) => store.commit([{ call: { ...call, due: call.due + version }, expected: version }])),
      )
      expect(won.filter(Boolean)).toHaveLength(1)
    }
  })
})
