/** A user of Redis who may do only what docs/operations.md says it needs. */

import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { BackEnd, WEBHOOK_SECRET } from '../support/back-end.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { serverOn } from '../support/several.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

const rights = /ACL SETUSER[\s\S]*?(?=\n```)/.exec(read('docs/operations.md'))?.[0].split(/\s+/) ?? []

let redis: RedisServer

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

test('has a right to every command that is in the sources', () => {
  const folder = 'src/adapters/redis'
  const sources = readdirSync(new URL(`../../${folder}`, import.meta.url)).map((name) => read(`${folder}/${name}`))
  const commands = sources.flatMap((text) =>
    [...text.matchAll(/(?:redis\.call\(|(?:run|octets|blocking|ask|send)\([^[\]]*\[)'([A-Z]+)'/g)].map(
      ([, name = '']) => name.toLowerCase(),
    ),
  )
  expect(commands.length).toBeGreaterThan(50)
  // A Sentinel is not the Redis that this user is of
  const granted = new Set(['sentinel', ...rights.map((right) => right.replace(/^\+/, '').replace(/\|.*/, ''))])
  expect([...new Set(commands)].filter((name) => !granted.has(name))).toEqual([])
})

test('is enough for calls, presence, webhooks, operators, and a stop', async () => {
  expect(await redis.cli(...rights)).toBe('OK')
  const backEnd = await BackEnd.opens()
  const url = `redis://carillon:password@127.0.0.1:${redis.port}`
  const variables = { WEBHOOK_URL: backEnd.url, WEBHOOK_SECRET, PRESENCE_SCOPE: 'watched' }
  const [a, b] = [await serverOn(url, variables), await serverOn(url, variables)]
  const [alice, bob, carol] = [await a.arrives('alice'), await b.arrives('bob'), await b.arrives('carol')]
  await alice.says('/app/user/status', ['bob', 'nobody'])
  const call = await alice.requests('bob')
  await bob.hears('/user/queue/call/request', { callId: call })
  await bob.accepts(call)
  await alice.signals(call, 'OFFER', 'v=0')
  await bob.hears('/user/queue/rtc/signaling', { payload: 'v=0' })
  await bob.hangsUp(call)
  await backEnd.hears('call.ended')
  expect(await a.looks('/imserver/admin/nodes')).toMatchObject({ nodes: [{}, {}] })
  expect(await a.looks('/imserver/admin/sessions/bob')).toBeDefined()
  await carol.vanishes()
  await b.stops()
  await a.stops()
  expect([...a.errors, ...b.errors]).toEqual([])
  expect(await redis.cli('ACL', 'LOG')).toBe('')
  await backEnd.closes()
})
