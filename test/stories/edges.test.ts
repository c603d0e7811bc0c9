/** What happens when people do not behave: devices that vanish, come late, call each other at once. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Device, opens, tokenFor, type World } from '../support/story.ts'

let world: World
let alice: Device
let phone: Device
let laptop: Device

beforeEach(async () => {
  world = await opens()
  alice = await world.arrives('alice', 'phone')
  phone = await world.arrives('bob', 'phone')
  laptop = await world.arrives('bob', 'laptop')
  await world.clock.advance(300)
  for (const device of [alice, phone, laptop]) await device.forgets()
})

afterEach(() => world.closes())

test('nobody answers: every device of the callee and the calling device hear the timeout', async () => {
  const callId = await alice.requests('bob', { timeout: 5 })
  await world.clock.advance(5_000)
  for (const device of [alice, phone, laptop]) await device.hears('/user/queue/call/timeout', { callId })
})

test('declined on one device: the other one stops, the caller hears it', async () => {
  const callId = await alice.requests('bob')
  await phone.rejects(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'REJECT', reason: 'DECLINED' })
  await laptop.hears('/user/queue/call/down', { callId, reason: 'DECLINED_ELSEWHERE' })
})

test('a busy callee: 1001 on the errors queue, with the callId', async () => {
  await alice.requests('bob')
  const carol = await world.arrives('carol')
  const callId = await carol.requests('bob')
  await carol.hears('/user/queue/errors', { code: 1001, reason: 'BUSY', callId, destination: '/app/call/request' })
})

test('a busy callee, and a caller that does not read errors: a rejection closes its window', async () => {
  await alice.requests('bob')
  const old = await world.arrives('carol', 'old app', { listens: ['/user/queue/call/response'] })
  const callId = 'c1'
  old.sends('/app/call/request', { callId, callee: 'bob', callerUserName: 'Carol' })
  const { body } = await old.hears('/user/queue/call/response')
  expect(body).toEqual({ callId, type: 'REJECT', reason: 'BUSY' })
})

test('a device that comes late rings with the time that is left', async () => {
  const callId = await alice.requests('dave')
  await world.clock.advance(10_000)
  const dave = await world.arrives('dave')
  await dave.hears('/user/queue/call/request', { callId, remainingMs: 20_000 })
  await alice.hears('/user/queue/call/ringing', { callId })
})

test('the caller vanishes while it rings: after the grace the devices stop', async () => {
  const callId = await alice.requests('bob')
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
  await alice.vanishes()
  await world.notes('alice')
  await world.clock.advance(10_000)
  for (const device of [phone, laptop]) await device.hears('/user/queue/call/hangup', { callId, reason: 'CALLER_LOST' })
})

test('the peer vanishes in the call: after the grace the other side hears it', async () => {
  const callId = await alice.requests('bob')
  await phone.accepts(callId)
  await phone.vanishes()
  await world.notes('bob')
  await world.clock.advance(30_000)
  await alice.hears('/user/queue/call/hangup', { callId, reason: 'PEER_LOST' })
})

test('both call each other: one call lives and can be answered', async () => {
  const callId = await alice.requests('bob')
  await phone.hears('/user/queue/call/request', { callId })
  await phone.requests('alice')
  await phone.hears('/user/queue/errors', { code: 1001, reason: 'GLARE', activeCallId: callId })
  await phone.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
})

test('a hang-up that is sent just before the socket closes still counts', async () => {
  const callId = await alice.requests('bob')
  await phone.hears('/user/queue/call/request', { callId })
  alice.sends('/app/call/hangup', '')
  await alice.leaves()
  await phone.hears('/user/queue/call/hangup', { callId, reason: 'CANCELLED' })
})

describe('HTTP beside STOMP', () => {
  test('an answer over HTTP with the token of one socket is that socket: it hears no call/down', async () => {
    const callId = await alice.requests('bob')
    for (const device of [phone, laptop]) await device.hears('/user/queue/call/request', { callId })
    const answer = await world.asks(
      'bob',
      '/imserver/call/response',
      { callId, type: 'ACCEPT' },
      { token: phone.token },
    )
    expect(answer).toMatchObject({ status: 200, body: { code: 200, msg: 'ok', data: null } })
    await laptop.hears('/user/queue/call/down', { callId })
    await phone.hearsNothing()
  })

  test('X-Session-Id names the device, even where two sockets share a token', async () => {
    const token = await tokenFor('carol')
    const one = await world.arrives('carol', 'tab 1', { token })
    const two = await world.arrives('carol', 'tab 2', { token })
    const callId = await alice.requests('carol')
    await two.hears('/user/queue/call/request', { callId })
    await one.hears('/user/queue/call/request', { callId })
    const options = { token, headers: { 'X-Session-Id': two.session } }
    await world.asks('carol', '/imserver/call/response', { callId, type: 'ACCEPT' }, options)
    await one.hears('/user/queue/call/down', { callId })
    await two.hearsNothing()
    const foreign = { token, headers: { 'X-Session-Id': alice.session } }
    expect(await world.asks('carol', '/imserver/call/hangup', '', foreign)).toMatchObject({ status: 400 })
  })

  test('a call begun over HTTP rings; busy is 1001 with status 200', async () => {
    const body = { callId: 'h1', callee: 'bob', callerUserName: 'Back end' }
    expect(await world.asks('erin', '/imserver/call/request', body)).toMatchObject({ status: 200, body: { code: 200 } })
    await phone.hears('/user/queue/call/request', { callId: 'h1', caller: 'erin' })
    const second = await world.asks('alice', '/imserver/call/request', { ...body, callId: 'h2' })
    expect(second).toMatchObject({ status: 200, body: { code: 1001, reason: 'BUSY', data: null } })
    expect(await world.asks('erin', '/imserver/call/hangup', '')).toMatchObject({ status: 200, body: { code: 200 } })
    await phone.hears('/user/queue/call/hangup', { callId: 'h1' })
    expect(await world.asks('erin', '/imserver/call/hangup', '')).toMatchObject({ status: 200, body: { code: 200 } })
  })

  test('signalling and presence over HTTP', async () => {
    const callId = await alice.requests('bob')
    await phone.accepts(callId)
    await phone.hears('/user/queue/call/request', { callId })
    const body = ` {"callId":"${callId}","type":"OFFER","payload":"v=0"}`
    expect(await world.asks('alice', '/imserver/rtc/signaling', body, { token: alice.token })).toMatchObject({
      status: 200,
    })
    const { raw } = await phone.hears('/user/queue/rtc/signaling')
    expect(Buffer.from(raw).toString()).toBe(body)
    const status = await world.asks('alice', '/imserver/user/status', ['bob', 'nobody'])
    expect(status.body.data).toEqual([
      { userId: 'bob', status: 'ONLINE' },
      { userId: 'nobody', status: 'OFFLINE' },
    ])
  })
})

describe('who may connect', () => {
  test('a forged, a foreign and a missing token are refused with one ERROR', async () => {
    await expect(world.arrives('alice', 'x', { token: `${await tokenFor('alice')}x` })).rejects.toThrow(/401/)
    await expect(world.arrives('alice', 'x', { token: await tokenFor('mallory') })).rejects.toThrow(/401/)
    await expect(world.arrives('alice', 'x', { token: '' })).rejects.toThrow(/401/)
  })
})

test('presence is pushed in batches, and a short absence is not told', async () => {
  const carol = await world.arrives('carol')
  await world.clock.advance(250)
  const { body } = await alice.hears('/topic/user/status')
  expect(body).toEqual([{ userId: 'carol', status: 'ONLINE' }])
  await carol.leaves()
  await world.notes('carol')
  await world.clock.advance(4_000)
  const again = await world.arrives('carol', 'again')
  await world.clock.advance(10_000)
  await alice.hearsNothing()
  await again.leaves()
  await world.notes('carol')
  await world.clock.advance(5_250)
  expect((await alice.hears('/topic/user/status')).body).toEqual([{ userId: 'carol', status: 'OFFLINE' }])
})
