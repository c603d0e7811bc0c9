import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { RedisLink, Script } from '../../src/adapters/redis/link.ts'
import { slotOf } from '../../src/adapters/redis/servers.ts'
import { Unavailable } from '../../src/ports.ts'
import { TestClock } from '../support/clock.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import {
  type RedisCluster,
  type RedisSentinel,
  type RedisServer,
  startRedis,
  startRedisCluster,
  startSentinel,
} from '../support/redis.ts'
import { type LinkAtHand, linkTo } from '../support/redis-link.ts'

const ADD: Script = { name: 'add', source: "return redis.call('INCRBY', KEYS[1], ARGV[1])" }

const open: RedisLink[] = []
async function linked(url: string, more: Record<string, string> = {}): Promise<LinkAtHand> {
  const at = linkTo(url, more)
  open.push(at.link)
  await at.up()
  return at
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((link) => link.stop()))
})

describe('a link to one server', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  test('answers with texts, octets, and maps as flat arrays', async () => {
    const { link } = await linked(redis.url)
    const key = `${link.prefix}a`
    const raw = Buffer.from([0, 255, 13, 10])
    await link.run(key, ['HSET', key, 'f', raw, '__proto__', 'ä'])
    expect(await link.run(key, ['HGET', key, '__proto__'])).toBe('ä')
    expect(await link.octets(key, ['HGETALL', key])).toEqual([
      Buffer.from('f'),
      raw,
      Buffer.from('__proto__'),
      Buffer.from('ä'),
    ])
    expect(await link.run(key, ['HGET', key, 'none'])).toBeNull()
  })

  test('runs a script by its digest, also after the server has forgotten it', async () => {
    const { link } = await linked(redis.url)
    const keys = [`${link.prefix}n`] as const
    expect(await link.script(ADD, keys, ['1'])).toBe(1)
    await redis.cli('SCRIPT', 'FLUSH')
    const answers = await Promise.all([1, 2, 3].map((n) => link.script(ADD, keys, [String(n)])))
    expect(Math.max(...(answers as number[]))).toBe(7)
  })

  test('says what is wrong with a command that is wrong', async () => {
    const { link } = await linked(redis.url)
    await link.run('a', ['SET', `${link.prefix}x`, 'text'])
    const error = await link.run('a', ['INCR', `${link.prefix}x`]).catch((problem: unknown) => problem)
    expect(error).not.toBeInstanceOf(Unavailable)
    expect(error).toMatchObject({ message: expect.stringContaining('not an integer') })
  })

  test('that this process was too busy to hear is not taken for gone', async () => {
    const clock = new TestClock()
    const at = linkTo(redis.url, {}, { clock })
    open.push(at.link)
    await clock.advance(25)
    await at.up()
    const asked = at.link.run('a', ['PING'])
    // The timers of a busy process come before what it has not read yet
    clock.sleep(5000)
    clock.fire()
    expect(await asked).toBe('PONG')
    expect(at.link.up).toBe(true)
  })

  test('commands of one key keep their order', async () => {
    const { link } = await linked(redis.url)
    const key = `${link.prefix}list`
    for (let n = 0; n < 200; n++) void link.run(key, ['RPUSH', key, String(n)])
    expect(await link.run(key, ['LRANGE', key, '0', '-1'])).toEqual(Array.from({ length: 200 }, (_, n) => String(n)))
  })

  test('tells the time of the server', async () => {
    const { link } = await linked(redis.url)
    const [seconds] = (await redis.cli('TIME')).split('\n')
    expect(Math.abs((await link.time()) - Number(seconds) * 1000)).toBeLessThan(60_000)
  })

  test('a command that blocks has a connection of its own: others do not wait for it', async () => {
    const { link } = await linked(redis.url)
    const key = `${link.prefix}stream`
    const read = link.blocking(key, ['XREAD', 'BLOCK', '60000', 'STREAMS', key, '0'])
    await link.run(key, ['XADD', key, '1-1', 'm', Buffer.from([255])])
    expect(await read).toEqual([Buffer.from(key), [[Buffer.from('1-1'), [Buffer.from('m'), Buffer.from([255])]]]])
  })

  test('whoever watches late is told too that it is up', async () => {
    const { link } = await linked(redis.url)
    await new Promise<void>((resolve) => void link.watch({ up: resolve }))
  })
})

describe('when Redis goes away', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())

  test('commands are refused at once, those on the way too, and it is found again, empty', async () => {
    const { link, lines, up, down } = await linked(redis.url)
    const key = `${link.prefix}a`
    await link.script(ADD, [key], ['1'])
    const blocked = link.blocking(key, ['XREAD', 'BLOCK', '60000', 'STREAMS', `${key}2`, '$'])
    const wasDown = down()
    await redis.kill()
    await expect(blocked).rejects.toBeInstanceOf(Unavailable)
    await wasDown
    await expect(link.run(key, ['GET', key])).rejects.toBeInstanceOf(Unavailable)
    await expect(link.script(ADD, [key], ['1'])).rejects.toBeInstanceOf(Unavailable)
    await expect(link.time()).rejects.toBeInstanceOf(Unavailable)
    await expect(link.blocking(key, ['XREAD', 'BLOCK', '1', 'STREAMS', key, '$'])).rejects.toBeInstanceOf(Unavailable)
    await redis.restart()
    await up()
    expect(await link.script(ADD, [key], ['1'])).toBe(1)
    const said = lines.map((line) => line.split(' {')[0]).filter((line) => line !== 'Redis cannot be reached')
    expect(said).toEqual(['Redis is there', 'Redis is away', 'Redis is there'])
  })

  test('a server that says nothing any more is given up within a second, and found again', async () => {
    const { link, up, down } = await linked(redis.url)
    const wasDown = down()
    redis.pause()
    await expect(link.run('a', ['GET', 'a'])).rejects.toBeInstanceOf(Unavailable)
    await wasDown
    redis.resume()
    await up()
    expect(await link.run('a', ['GET', `${link.prefix}a`])).toBeNull()
  })

  test('what blocks ends with the way to the server', async () => {
    const proxy = await CutProxy.to(redis.port)
    const { link, up } = await linked(`redis://127.0.0.1:${proxy.port}`)
    const key = `${link.prefix}s`
    const read = link.blocking(key, ['XREAD', 'BLOCK', '60000', 'STREAMS', key, '$'])
    await link.run(key, ['PING'])
    proxy.silence()
    await expect(link.run(key, ['PING'])).rejects.toBeInstanceOf(Unavailable)
    await expect(read).rejects.toBeInstanceOf(Unavailable)
    proxy.heal()
    await up()
    await link.stop()
    await proxy.stop()
  })

  test('a full memory is a reason to refuse, not a bug', async () => {
    const { link, lines } = await linked(redis.url)
    await redis.cli('CONFIG', 'SET', 'maxmemory', '1')
    await expect(link.run('a', ['SET', `${link.prefix}a`, '1'])).rejects.toBeInstanceOf(Unavailable)
    await redis.cli('CONFIG', 'SET', 'maxmemory', '0')
    await link.run('a', ['SET', `${link.prefix}a`, '1'])
    expect(lines.join()).toContain('maxmemory')
  })

  test('a wrong password is said in the log, and never shown', async () => {
    await redis.cli('ACL', 'SETUSER', 'carl', 'on', '>right', '~*', '+@all')
    const at = linkTo(`redis://carl:hunter2@127.0.0.1:${redis.port}`)
    const said = new Promise<void>((resolve) => {
      const push = at.lines.push.bind(at.lines)
      at.lines.push = (...lines) => {
        resolve()
        return push(...lines)
      }
    })
    await said
    expect(at.lines[0]).toContain('WRONGPASS')
    expect(at.lines.join()).not.toContain('hunter2')
    await at.link.stop()
    const right = await linked(`redis://carl:right@127.0.0.1:${redis.port}`)
    expect(await right.link.run('a', ['ACL', 'WHOAMI'])).toBe('carl')
  })
})

describe('a link to a Cluster', () => {
  let redis: RedisCluster
  beforeAll(async () => {
    redis = await startRedisCluster()
  })
  afterAll(() => redis.stop())
  const cluster = () => linked(redis.servers[0].url, { REDIS_MODE: 'cluster' })

  test('finds the server of every key, whatever its hash tag', async () => {
    const { link } = await cluster()
    const keys = ['a', 'b', 'c', '{u:alice}x', '{u:alice}y', 'x{}y', '{}', 'ä{ö}', '}{a}{b}'].map(
      (key) => link.prefix + key,
    )
    for (const key of keys) {
      expect(String(slotOf(key))).toBe(await redis.servers[0].cli('CLUSTER', 'KEYSLOT', key))
      expect(await link.run(key, ['SET', key, '1'])).toBe('OK')
      expect(await link.script(ADD, [key], ['1'])).toBe(2)
    }
  })

  test('follows a slot that moves, in the middle and afterwards', async () => {
    const { link } = await cluster()
    const key = `${link.prefix}{moves}`
    const other = `${link.prefix}{moves}2`
    const slot = String(slotOf(key))
    await link.run(key, ['SET', key, 'there'])
    const ids = await Promise.all(redis.servers.map((server) => server.cli('CLUSTER', 'MYID')))
    const owners = await Promise.all(redis.servers.map((server) => server.cli('CLUSTER', 'COUNTKEYSINSLOT', slot)))
    const from = owners.indexOf('1')
    const to = (from + 1) % 3
    const [source, target] = [redis.servers[from], redis.servers[to]]
    await target?.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[from] ?? '')
    await source?.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[to] ?? '')
    // ASK: the key that is not there any more
    expect(await link.run(other, ['SET', other, 'new'])).toBe('OK')
    expect(await link.run(key, ['GET', key])).toBe('there')
    await source?.cli('MIGRATE', '127.0.0.1', String(target?.port), key, '0', '5000')
    expect(await link.run(key, ['GET', key])).toBe('there')
    for (const server of redis.servers) await server.cli('CLUSTER', 'SETSLOT', slot, 'NODE', ids[to] ?? '')
    expect(await link.run(key, ['GET', key])).toBe('there')
    expect(await link.run(other, ['GET', other])).toBe('new')
    expect(link.up).toBe(true)
  })

  test('is down while one of its servers is', async () => {
    const { link, up, down } = await cluster()
    const lost = redis.servers[2]
    const wasDown = down()
    lost.pause()
    const tries = Array.from({ length: 30 }, (_, n) => link.run(`${n}`, ['GET', `${link.prefix}{${n}}`]))
    const answers = await Promise.allSettled(tries)
    expect(answers.some(({ status }) => status === 'rejected')).toBe(true)
    await wasDown
    lost.resume()
    await up()
    expect(await link.run('b', ['GET', 'b'])).toBeNull()
  })
})

describe('a link by way of Sentinel', () => {
  let redis: RedisSentinel
  beforeAll(async () => {
    redis = await startSentinel()
  })
  afterAll(() => redis.stop())

  test('finds the new master when the old one dies', async () => {
    const { link, up, down } = await linked(redis.url, { REDIS_MODE: 'sentinel', REDIS_SENTINEL_NAME: redis.name })
    const key = `${link.prefix}a`
    expect(await link.run(key, ['SET', key, '1'])).toBe('OK')
    const wasDown = down()
    await redis.failover()
    await wasDown
    await up()
    expect(await link.run(key, ['SET', key, '2'])).toBe('OK')
  })
})
