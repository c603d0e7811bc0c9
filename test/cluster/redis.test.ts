/** The servers that the tests of this folder run against do what these tests take for granted. */

import { afterEach, expect, test } from '@jest/globals'
import { startRedis, startRedisCluster, startSentinel } from '../support/redis.ts'

const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()))
})

async function started<S extends { stop(): Promise<void> }>(starting: Promise<S>): Promise<S> {
  const server = await starting
  running.push(server)
  return server
}

test('a Redis that is restarted listens where it did, and is empty', async () => {
  const redis = await started(startRedis())
  await redis.cli('SET', 'key', 'value')
  expect(await redis.cli('GET', 'key')).toBe('value')
  await redis.restart()
  expect(await redis.cli('EXISTS', 'key')).toBe('0')
})

test('a Redis that is paused answers afterwards', async () => {
  const redis = await started(startRedis())
  redis.pause()
  const answer = redis.cli('PING')
  redis.resume()
  expect(await answer).toBe('PONG')
})

test('each of the three in a Cluster has a third of the keys, and refuses scripts over keys of several', async () => {
  const { servers } = await started(startRedisCluster())
  const [first] = servers
  expect(await first.cli('CLUSTER', 'INFO')).toMatch(/cluster_state:ok.*cluster_size:3/s)
  expect(await first.cli('-c', 'SET', 'foo', 'bar')).toBe('OK')
  expect(await first.cli('GET', 'foo')).toMatch(/^MOVED 12182 /)
  expect(await first.cli('EVAL', 'return 1', '2', 'foo', 'bar')).toMatch(/CROSSSLOT/)
})

test('the replica takes the place of a master that dies, with its data', async () => {
  const redis = await started(startSentinel())
  await redis.master.cli('SET', 'key', 'value')
  // WAIT would speak of what its own connection has written, and each command has one of its own
  while ((await redis.replica.cli('GET', 'key')) !== 'value');
  await redis.failover()
  expect(await redis.sentinel.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', redis.name)).toContain(
    String(redis.replica.port),
  )
  expect(await redis.replica.cli('GET', 'key')).toBe('value')
})
