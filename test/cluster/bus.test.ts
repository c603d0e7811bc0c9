import { describe, expect, test } from '@jest/globals'
import { pack } from '../../src/adapters/redis/parcel.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import { Group } from '../support/group.ts'
import { type NodeAtHand, type NodeOptions, nodeAt } from '../support/nodes.ts'
import { startRedisCluster } from '../support/redis.ts'

const LEASE = { leaseMs: 2000, renewMs: 300 }

const group = new Group()

const joins = (more: Partial<NodeOptions> = {}): Promise<NodeAtHand> =>
  group.joins(nodeAt({ ...group.at, ...LEASE, ...more }))

const numbers = (from: NodeAtHand, count: number) => Array.from({ length: count }, (_, n) => `${from.id} ${n}`)

describe('the bus', () => {
  test('brings octets untouched, facts beside them, to the one process', async () => {
    const [a, b, c] = [await joins(), await joins(), await joins()]
    const body = Buffer.from([0, 255, 10, 13, 128])
    const arrived = new Promise<unknown>((resolve) => {
      b.bus.handle('tell', (from, message) => resolve({ from, ...message }))
    })
    c.bus.handle('tell', () => c.heard.push('not for me'))
    a.bus.send(b.id, { kind: 'tell', facts: { __proto__x: 'ä', list: [1, null] }, body })
    expect(await arrived).toEqual({ from: a.id, kind: 'tell', facts: { __proto__x: 'ä', list: [1, null] }, body })
    a.says(c.id, 'and this')
    expect(await c.hears(1)).toEqual([`${a.id} and this`])
  })

  test('keeps the order of each sender, and packs what one turn sends', async () => {
    const [a, b, c] = [await joins(), await joins(), await joins()]
    for (let n = 0; n < 2500; n++) a.says(b.id, String(n))
    for (let n = 0; n < 500; n++) c.says(b.id, String(n))
    const heard = await b.hears(3000)
    expect(heard.filter((line) => line.startsWith(a.id))).toEqual(numbers(a, 2500))
    expect(heard.filter((line) => line.startsWith(c.id))).toEqual(numbers(c, 500))
    expect(a.bus.counts().parcels).toBeLessThan(10)
  })

  test('reaches every living process but the sender, and oneself by name', async () => {
    const [a, b, c] = [await joins(), await joins(), await joins()]
    c.bus.broadcast({ kind: 'say', facts: 'all' })
    expect([await a.hears(1), await b.hears(1)]).toEqual([[`${c.id} all`], [`${c.id} all`]])
    c.says(c.id, 'me')
    expect(await c.hears(1)).toEqual([`${c.id} me`])
  })

  test('a handler that throws, or none, stops nothing', async () => {
    const [a, b] = [await joins(), await joins()]
    b.bus.handle('bad', () => {
      throw new Error('a bug')
    })
    a.bus.send(b.id, { kind: 'bad', facts: null })
    a.bus.send(b.id, { kind: 'from the future', facts: null })
    await group.redis.cli('XADD', `${group.prefix}{inbox:${b.id}}`, '*', 'm', 'nonsense')
    a.says(b.id, 'good')
    expect(await b.hears(1)).toEqual([`${a.id} good`])
  })

  test('what was sent while the reader was cut off arrives afterwards, once and in order', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins()
    const b = await joins({ url: `redis://127.0.0.1:${proxy.port}`, leaseMs: 20_000 })
    a.says(b.id, '0')
    await b.hears(1)
    proxy.cut()
    await b.down()
    for (let n = 1; n < 300; n++) a.says(b.id, String(n))
    proxy.heal()
    expect(await b.hears(300)).toEqual(numbers(a, 300))
    await b.stop()
    await proxy.stop()
  })

  test('what was sent while the sender was cut off waits, and arrives once', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins({ url: `redis://127.0.0.1:${proxy.port}`, leaseMs: 20_000 })
    const b = await joins()
    a.says(b.id, '0')
    await b.hears(1)
    // Redis may take the parcel and not be able to say so
    proxy.silence()
    for (let n = 1; n < 100; n++) a.says(b.id, String(n))
    await a.down()
    for (let n = 100; n < 200; n++) a.says(b.id, String(n))
    proxy.heal()
    expect(await b.hears(200)).toEqual(numbers(a, 200))
    await a.stop()
    await proxy.stop()
  })

  test('a parcel that was taken without an answer is not handed out twice', async () => {
    const [a, b] = [await joins(), await joins()]
    a.says(b.id, 'once')
    await b.hears(1)
    const key = `${group.prefix}{inbox:${b.id}}`
    const [[, fields]] = (await a.link.octets(key, ['XREVRANGE', key, '+', '-', 'COUNT', '1'])) as [[Buffer, Buffer[]]]
    await a.link.run(key, ['XADD', key, '*', 'm', fields[1] ?? ''])
    a.says(b.id, 'then')
    expect(await b.hears(2)).toEqual([`${a.id} once`, `${a.id} then`])
    expect(b.bus.counts().missing).toBe(0)
  })

  test('says when something was lost on the way', async () => {
    const [a, b] = [await joins(), await joins()]
    let missed = 0
    b.bus.onMissing(() => missed++)
    a.says(b.id, 'one')
    await b.hears(1)
    const parcel = (number: number, after: number) =>
      pack({ from: a.id, number, after, messages: [{ kind: 'say', facts: `${number}` }] })
    const key = `${group.prefix}{inbox:${b.id}}`
    await a.link.run(key, ['XADD', key, '*', 'm', parcel(8, 1)])
    await b.hears(2)
    expect(missed).toBe(0)
    await a.link.run(key, ['XADD', key, '*', 'm', parcel(10, 9)])
    await b.hears(3)
    expect([missed, b.bus.counts().missing]).toEqual([1, 1])
  })

  test('goes on when Redis was restarted empty', async () => {
    const [a, b] = [await joins(), await joins()]
    a.says(b.id, 'before')
    await b.hears(1)
    await group.redis.restart()
    a.says(b.id, 'after')
    expect(await b.hears(2)).toEqual([`${a.id} before`, `${a.id} after`])
  })

  test('goes on when the ids have gone backwards', async () => {
    const [a, b] = [await joins(), await joins()]
    const key = `${group.prefix}{inbox:${b.id}}`
    await a.link.run(key, ['XADD', key, '99999999999999-1', 'm', 'of a server whose clock is far ahead'])
    a.says(b.id, 'before')
    await b.hears(1)
    await a.link.run(key, ['DEL', key])
    await a.link.run(key, ['XADD', key, '1-1', 'begin', '1'])
    a.says(b.id, 'after')
    expect(await b.hears(2)).toEqual([`${a.id} before`, `${a.id} after`])
  })

  test('messages for a process that is gone are given up, and leave nothing behind', async () => {
    const [a, b] = [await joins(), await joins()]
    const gone = new Promise<void>((resolve) => {
      a.members.onDeath(async (dead) => {
        await a.bus.forget(dead)
        resolve()
      })
    })
    await b.stop()
    await gone
    a.says(b.id, 'anybody?')
    a.says(a.id, 'later')
    await a.hears(1)
    while (a.bus.counts().waiting > 0) await a.link.run('x', ['PING'])
    expect(a.bus.counts().dropped).toBeGreaterThan(0)
    expect(await group.redis.cli('EXISTS', `${group.prefix}{inbox:${b.id}}`)).toBe('0')
  })

  test('what waits while Redis is away is bounded: the oldest are dropped, and counted', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins({ url: `redis://127.0.0.1:${proxy.port}`, leaseMs: 20_000, bounds: { messages: 10 } })
    const b = await joins()
    a.says(b.id, 'before')
    await b.hears(1)
    proxy.cut()
    await a.down()
    a.says(b.id, 'the first one, already packed')
    await new Promise<void>((resolve) => setImmediate(resolve))
    for (let n = 0; n < 50; n++) a.says(b.id, String(n))
    expect(a.bus.counts()).toMatchObject({ waiting: 11, dropped: 40 })
    proxy.heal()
    expect((await b.hears(12)).slice(2)).toEqual(numbers(a, 50).slice(40))
    await a.stop()
    await proxy.stop()
  })

  test('an inbox is trimmed as it is read', async () => {
    const [a, b] = [await joins(), await joins()]
    for (let n = 0; n < 600; n++) {
      a.says(b.id, String(n))
      await b.hears(n + 1)
    }
    expect(Number(await group.redis.cli('XLEN', `${group.prefix}{inbox:${b.id}}`))).toBeLessThan(400)
  })
})

test('the bus works in a Cluster', async () => {
  const cluster = await startRedisCluster()
  const at = { url: cluster.url, mode: 'cluster' }
  const nodes = [await joins(at), await joins(at), await joins(at)]
  for (const from of nodes) for (const to of nodes) if (to !== from) from.says(to.id, 'hello')
  for (const node of nodes) expect((await node.hears(2)).length).toBe(2)
  await group.ends()
  await cluster.stop()
}, 60_000)
