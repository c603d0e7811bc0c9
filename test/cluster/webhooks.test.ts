/** What a back end hears of several servers that act as one, and of those that die with something to tell. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { BackEnd, isSigned, WEBHOOK_SECRET } from '../support/back-end.ts'
import { ServerProcess } from '../support/process.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { type Server, serverOn } from '../support/several.ts'
import { Device, SECRET, tokenFor } from '../support/story.ts'

const CALLS = 'call.ring,call.answered,call.cancel,call.missed,call.ended'

let redis: RedisServer
let backEnd: BackEnd
let prefix = 0
const running: Server[] = []

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  backEnd = await BackEnd.opens()
  prefix++
})
afterEach(async () => {
  expect(running.flatMap(({ errors }) => errors)).toEqual([])
  await Promise.all(running.splice(0).map((server) => server.stops()))
  await backEnd.closes()
})

const variables = (events: string) => ({
  REDIS_PREFIX: `w${prefix}:`,
  WEBHOOK_URL: backEnd.url,
  WEBHOOK_SECRET,
  WEBHOOK_EVENTS: events,
  PRESENCE_OFFLINE_DELAY_MS: '100',
  CALLER_GRACE_MS: '500',
})

async function servers(count: number, events = CALLS): Promise<Server[]> {
  const those = await Promise.all(Array.from({ length: count }, () => serverOn(redis.url, variables(events))))
  running.push(...those)
  return those
}

const heard = () => backEnd.requests.map(({ type }) => type)

async function hearsAll(...types: string[]): Promise<void> {
  for (const _ of types) await backEnd.hears()
  expect(heard()).toEqual(types)
}

describe('of several servers', () => {
  test('a back end hears of a call over two of them in order, each event once', async () => {
    const [a, b] = (await servers(3)) as [Server, Server, Server]
    const [alice, bob] = [await a.arrives('alice'), await b.arrives('bob')]
    for (let n = 0; n < 5; n++) {
      backEnd.requests.length = 0
      const call = await alice.requests('bob')
      await bob.hears('/user/queue/call/request', { callId: call })
      await bob.accepts(call)
      await bob.hangsUp(call)
      await hearsAll('call.ring', 'call.answered', 'call.ended')
      const [ring] = backEnd.requests
      expect(ring?.data).toMatchObject({ callId: call, devices: [bob.session], away: [] })
      expect(backEnd.requests.every((one) => isSigned(one, WEBHOOK_SECRET, Date.now()))).toBe(true)
    }
  })

  test('it wakes a phone, which rings wherever it connects', async () => {
    const [a, , c] = (await servers(3)) as [Server, Server, Server]
    const alice = await a.arrives('alice')
    const call = await alice.requests('bob')
    expect((await backEnd.hears('call.ring')).data.devices).toEqual([])
    const bob = await c.arrives('bob')
    await bob.hears('/user/queue/call/request', { callId: call, caller: 'alice' })
    await alice.hears('/user/queue/call/ringing', { callId: call })
  })

  test('a user with devices on two of them comes online once, and goes offline once', async () => {
    const [a, b] = (await servers(2, 'user.online,user.offline')) as [Server, Server]
    const [phone, laptop] = [await a.arrives('alice', 'phone'), await b.arrives('alice', 'laptop')]
    expect(await backEnd.hears()).toMatchObject({ type: 'user.online', data: { userId: 'alice' } })
    await phone.leaves()
    await laptop.leaves()
    expect(await backEnd.hears()).toMatchObject({ type: 'user.offline', data: { userId: 'alice' } })
    expect(heard()).toEqual(['user.online', 'user.offline'])
  })
})

describe('what one has not delivered', () => {
  test('when it stops in order is delivered by the others', async () => {
    const [a] = (await servers(1)) as [Server]
    backEnd.reply = () => 500
    const alice = await a.arrives('alice')
    await alice.requests('bob')
    await alice.hangsUp()
    await backEnd.hears()
    await a.stops()
    running.length = 0
    backEnd.requests.length = 0
    backEnd.reply = () => 204
    await servers(1)
    for (const type of ['call.ring', 'call.cancel', 'call.missed', 'call.ended']) {
      expect((await backEnd.hears(type)).type).toBe(type)
    }
  })

  test('when it is killed is delivered by another one, and so is what becomes of its calls', async () => {
    backEnd.reply = () => 500
    const doomed = new ServerProcess({
      HOST: '127.0.0.1',
      AUTH_JWT_SECRET: SECRET,
      TURN_ENABLED: 'false',
      REDIS_URL: redis.url,
      ...variables(CALLS),
    })
    const alice = new Device(await doomed.url(), 'alice', 'phone', await tokenFor('alice'), {})
    await alice.connects()
    const call = await alice.requests('bob')
    await backEnd.hears('call.ring')
    await doomed.ends()
    await alice.leaves()
    expect(await redis.cli('EVAL', EXPIRE_CLAIMS, '0', `w${prefix}:`)).toBe('1')
    backEnd.reply = () => 204
    await servers(1)
    for (const type of ['call.ring', 'call.cancel', 'call.missed', 'call.ended']) {
      expect(await backEnd.hears(type)).toMatchObject({ data: { callId: call } })
    }
    const delivered = backEnd.requests.filter((one) => one.type !== 'call.ring').map(({ type }) => type)
    expect(delivered).toEqual(['call.cancel', 'call.missed', 'call.ended'])
  }, 60_000)
})

/** As if all that is under way had been so for longer than anybody may have it; how much that is. */
const EXPIRE_CLAIMS = `
local expired = 0
for shard = 0, 15 do
  local due = ARGV[1] .. '{hooks:' .. shard .. '}:due'
  for _, key in ipairs(redis.call('ZRANGE', due, 0, -1)) do
    redis.call('ZADD', due, 1, key)
    expired = expired + 1
  end
end
return expired`
