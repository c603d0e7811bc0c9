import { beforeEach, describe, expect, jest, test } from '@jest/globals'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import type { Rejection } from '../../src/calls/types.ts'
import type { CallStore } from '../../src/ports.ts'
import { actor, engine, requestOf, TIMERS } from '../support/engine.ts'

let world: ReturnType<typeof engine>
const live = async (callId = 'c1') => (await world.store.load(callId))?.status
const reason = async (callId = 'c1') => (await world.store.load(callId))?.reason

const requests = (who: string, callee: string, callId = 'c1', more = {}) =>
  world.calls.request(actor(who), requestOf(callee, callId, more))
const responds = (who: string, type: 'ACCEPT' | 'REJECT', callId = 'c1', why: Rejection = 'DECLINED') =>
  world.calls.respond(actor(who), { callId, type, reason: why })
const hangs = (who: string, callId?: string) => world.calls.hangup(actor(who), callId === undefined ? {} : { callId })
const signals = (who: string, text = 'sdp', callId = 'c1') =>
  world.calls.signal(
    actor(who),
    { callId },
    { body: Buffer.from(JSON.stringify({ text })), contentType: 'application/json' },
  )
const leaves = async (device: string) => {
  world.devices.disconnect(device)
  await world.calls.lost(device.split('/')[0] ?? '', device)
}
/** It loses its connection, and may come back as the same device. */
const goesAway = async (device: string) => {
  world.devices.goesAway(device)
  await world.calls.lost(device.split('/')[0] ?? '', device, `token of ${device}`, [], true)
}
const comesBack = async (device: string, token = `token of ${device}`) => {
  world.devices.comesBack(device)
  await world.calls.returned(device.split('/')[0] ?? '', device, token)
  await world.calls.appeared(device.split('/')[0] ?? '', device)
}
const hears = (device: string) => world.devices.of(device)

beforeEach(() => {
  world = engine()
  for (const device of ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop', 'carol/phone']) {
    world.devices.connect(device.split('/')[0] ?? '', device)
  }
})

describe('REQUEST', () => {
  test('rings every listening device of the callee and tells the caller once that it rings', async () => {
    expect(await requests('alice/phone', 'bob', 'c1', { extra: 1 })).toMatchObject({ ok: true })
    expect(hears('bob/phone')).toEqual(['call/request VIDEO'])
    expect(hears('bob/laptop')).toEqual(['call/request VIDEO'])
    expect(hears('alice/phone')).toEqual(['call/ringing'])
    expect(hears('alice/laptop')).toEqual([])
    expect(world.devices.heard.at(-1)).toMatchObject({ body: { callId: 'c1' }, headers: { devices: '2' } })
    expect(world.devices.heard[0]?.body).toEqual({
      callId: 'c1',
      type: 'VIDEO',
      callee: 'bob',
      callerUserName: 'Somebody',
      extra: 1,
      caller: 'alice',
      remainingMs: 30_000,
    })
  })

  test('a caller field in the request cannot pretend to be somebody else', async () => {
    await requests('alice/phone', 'bob', 'c1', { caller: 'mallory', remainingMs: 5 })
    expect(world.devices.heard[0]?.body).toMatchObject({ caller: 'alice', remainingMs: 30_000 })
  })

  test('stays CALLING while no device of the callee listens, and rings the one that comes', async () => {
    await requests('alice/phone', 'dave')
    expect(await live()).toBe('CALLING')
    expect(hears('alice/phone')).toEqual([])
    world.devices.connect('dave', 'dave/phone')
    await world.clock.advance(12_000)
    await world.calls.appeared('dave', 'dave/phone')
    expect(world.devices.heard.map((frame) => [frame.device, frame.body.remainingMs])).toEqual([
      ['dave/phone', 18_000],
      ['alice/phone', undefined],
    ])
    expect(await live()).toBe('RINGING')
  })

  test('with the policy to fail fast is refused with 1003 when no device of the callee is connected', async () => {
    world = engine({ offline: 'fail' })
    expect(await requests('alice/phone', 'dave')).toMatchObject({ code: 1003, callId: 'c1' })
    expect(await live()).toBeUndefined()
  })

  test('with the policy to fail fast keeps every answer that has nothing to do with it', async () => {
    world = engine({ offline: 'fail' })
    world.devices.connect('alice', 'alice/phone')
    world.devices.connect('bob', 'bob/phone')
    await requests('alice/phone', 'bob')
    await leaves('bob/phone')
    expect(await requests('alice/phone', 'bob')).toMatchObject({ ok: true })
    expect(await requests('carol/phone', 'bob', 'c2')).toMatchObject({ code: 1001 })
    expect(await requests('alice/laptop', 'dave', 'c3')).toMatchObject({ code: 1006 })
    expect(await requests('carol/phone', 'dave')).toMatchObject({ code: 1002 })
  })

  test('to oneself is 400', async () => {
    expect(await requests('alice/phone', 'alice')).toMatchObject({
      code: 400,
      message: expect.stringContaining('callee'),
    })
  })

  test('to a user with a live call is 1001 BUSY for the caller alone', async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    expect(await requests('carol/phone', 'bob', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY', callId: 'c2' })
    expect(world.devices.heard).toEqual([])
    expect([await live('c2'), await reason('c2')]).toEqual(['REJECTED', 'BUSY'])
  })

  test('to a user who is calling somebody is 1001 as well', async () => {
    await requests('alice/phone', 'bob')
    expect(await requests('carol/phone', 'alice', 'c2')).toMatchObject({ code: 1001 })
  })

  test('from a user with a live call is 1006', async () => {
    await requests('alice/phone', 'bob')
    expect(await requests('alice/laptop', 'carol', 'c2')).toMatchObject({ code: 1006, activeCallId: 'c1' })
    expect(await live('c2')).toBeUndefined()
  })

  test('to somebody who is calling the requester just now is 1001 GLARE and names the call that lives', async () => {
    await requests('alice/phone', 'bob')
    expect(await requests('bob/phone', 'alice', 'c2')).toMatchObject({
      code: 1001,
      reason: 'GLARE',
      activeCallId: 'c1',
    })
    expect([await live('c1'), await live('c2'), await reason('c2')]).toEqual(['RINGING', 'CANCELLED', 'GLARE'])
  })

  test('with glare: accept answers the call that rings instead', async () => {
    await requests('alice/phone', 'bob')
    expect(await requests('bob/phone', 'alice', 'c2', { glare: 'accept' })).toMatchObject({ ok: true })
    expect([await live('c1'), await live('c2')]).toEqual(['CONNECTED', 'CANCELLED'])
    expect(hears('alice/phone')).toContain('call/response ACCEPT')
    expect(world.devices.heard.at(-1)).toMatchObject({
      device: 'bob/phone',
      body: { callId: 'c2', activeCallId: 'c1' },
    })
  })

  test('with glare: accept, repeated, is answered as the first one was and ends nothing', async () => {
    await requests('alice/phone', 'bob')
    await requests('bob/phone', 'alice', 'c2', { glare: 'accept' })
    world.devices.forgetHeard()
    const again = await requests('bob/phone', 'alice', 'c2', { glare: 'accept' })
    expect(again).toEqual({ ok: true, data: { activeCallId: 'c1' } })
    expect(hears('bob/phone')).toEqual(['call/response ACCEPT'])
    expect([await live('c1'), hears('alice/phone')]).toEqual(['CONNECTED', []])
  })

  test('of the callee of a connected call for its peer is 1001, not a replacement', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    expect(await requests('bob/phone', 'alice', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
    expect(await live()).toBe('CONNECTED')
  })

  test('repeated after its call has ended is 1002: a callId is never used again', async () => {
    await requests('alice/phone', 'bob')
    await hangs('alice/phone')
    expect(await requests('alice/phone', 'bob')).toMatchObject({ code: 1002, callId: 'c1' })
  })

  test('of the same device for the same peer ends its old call: the app had died', async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    expect(await requests('alice/phone', 'bob', 'c2')).toMatchObject({ ok: true })
    expect(await live('c1')).toBe('CANCELLED')
    expect(hears('bob/phone')).toEqual(['call/hangup CANCELLED', 'call/request VIDEO'])
  })

  test('of the same device for the same peer replaces a connected call', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    world.devices.forgetHeard()
    expect(await requests('alice/phone', 'bob', 'c2')).toMatchObject({ ok: true })
    expect([await live('c1'), await reason('c1')]).toEqual(['COMPLETED', 'REPLACED'])
    expect(hears('bob/phone')).toEqual(['call/hangup REPLACED', 'call/request VIDEO'])
    expect(hears('bob/laptop')).toEqual(['call/request VIDEO'])
  })

  test('of a restarted app, whose old session is lost, replaces its old call too', async () => {
    await requests('alice/phone', 'bob')
    await leaves('alice/phone')
    world.devices.connect('alice', 'alice/phone2')
    expect(await requests('alice/phone2', 'bob', 'c2')).toMatchObject({ ok: true })
    expect([await live('c1'), await live('c2')]).toEqual(['CANCELLED', 'RINGING'])
  })

  test('of another device of the caller for the same peer is 1001', async () => {
    await requests('alice/phone', 'bob')
    expect(await requests('alice/laptop', 'bob', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
  })

  test('repeated by the same device is answered as the first one was and rings nobody', async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    expect(await requests('alice/phone', 'bob')).toMatchObject({ ok: true })
    expect(world.devices.heard).toEqual([])
    expect(await requests('carol/phone', 'bob', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
    await hangs('alice/phone')
    expect(await requests('carol/phone', 'bob', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
  })

  test.each([
    ['other fields', 'alice/phone', { callerUserName: 'Other' }],
    ['another device', 'alice/laptop', {}],
    ['another user', 'carol/phone', {}],
  ])('with a known callId but %s is 1002', async (_, who, more) => {
    await requests('alice/phone', 'bob')
    expect(await requests(who, 'bob', 'c1', more)).toMatchObject({ code: 1002 })
    expect(await live()).toBe('RINGING')
  })

  test('repeated with the same token by the new session of a lost device binds the call to that session', async () => {
    const token = 'one token'
    await world.calls.request(actor('alice/phone', token), requestOf('bob', 'c1'))
    await leaves('alice/phone')
    world.devices.connect('alice', 'alice/phone2')
    expect(await world.calls.request(actor('alice/phone2', token), requestOf('bob', 'c1'))).toMatchObject({ ok: true })
    await world.clock.advance(TIMERS.callerGraceMs)
    expect(await live()).toBe('RINGING')
    await responds('bob/phone', 'ACCEPT')
    expect(hears('alice/phone2')).toEqual(['call/response ACCEPT'])
  })

  test('frees slots whose call has run out although no timer has said so', async () => {
    await requests('alice/phone', 'bob', 'c1', { timeout: 5 })
    world.calls.stop()
    await world.clock.advance(5_000)
    expect(await live('c1')).toBe('RINGING')
    expect(await requests('carol/phone', 'bob', 'c2')).toMatchObject({ ok: true })
    expect([await live('c1'), await live('c2')]).toEqual(['MISSED', 'RINGING'])
  })

  test('ends a call of the two that has run out once, though the store answers with copies', async () => {
    const store = new MemoryCallStore()
    const commits = jest.spyOn(store, 'commit')
    const line = store.line.bind(store)
    jest.spyOn(store, 'line').mockImplementation((user) => structuredClone(line(user)))
    world = engine({ store })
    for (const device of ['alice/phone', 'bob/phone']) world.devices.connect(device.split('/')[0] ?? '', device)
    await requests('alice/phone', 'bob', 'c1', { timeout: 5 })
    world.calls.stop()
    await world.clock.advance(5_000)
    world.devices.forgetHeard()
    commits.mockClear()
    await requests('alice/phone', 'bob', 'c2')
    expect(commits.mock.calls[0]?.[0].map(({ call }) => call.callId).sort()).toEqual(['c1', 'c2'])
    expect(hears('bob/phone').filter((frame) => frame.startsWith('call/timeout'))).toHaveLength(1)
  })
})

describe('while it rings', () => {
  beforeEach(async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
  })

  test('ACCEPT connects: the caller hears it, the other devices stop', async () => {
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject({ ok: true })
    expect(hears('alice/phone')).toEqual(['call/response ACCEPT'])
    expect(hears('bob/phone')).toEqual([])
    expect(hears('bob/laptop')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
  })

  test('REJECT ends it for all devices of the callee', async () => {
    expect(await responds('bob/phone', 'REJECT')).toMatchObject({ ok: true })
    expect(hears('alice/phone')).toEqual(['call/response REJECT DECLINED'])
    expect(hears('bob/laptop')).toEqual(['call/down REJECT DECLINED_ELSEWHERE'])
    expect([await live(), await reason()]).toEqual(['REJECTED', 'DECLINED'])
  })

  test('HANGUP of the callee, without a callId, is a REJECT', async () => {
    await hangs('bob/phone')
    expect(hears('alice/phone')).toEqual(['call/response REJECT DECLINED'])
    expect(hears('bob/laptop')).toEqual(['call/down REJECT DECLINED_ELSEWHERE'])
  })

  test('REJECT with NO_ANSWER is what the ring timer does, before its time', async () => {
    expect(await responds('bob', 'REJECT', 'c1', 'NO_ANSWER')).toMatchObject({ ok: true })
    expect([await live(), await reason()]).toEqual(['MISSED', 'NO_ANSWER'])
    for (const device of ['bob/phone', 'bob/laptop', 'alice/phone']) expect(hears(device)).toEqual(['call/timeout'])
    expect(await responds('bob', 'REJECT', 'c1', 'NO_ANSWER')).toMatchObject({ ok: true })
  })

  test('REJECT with BUSY ends one leg; the last leg ends the call', async () => {
    await responds('bob/phone', 'REJECT', 'c1', 'BUSY')
    expect([await live(), world.devices.heard]).toEqual(['RINGING', []])
    await world.calls.appeared('bob', 'bob/phone')
    expect(hears('bob/phone')).toEqual([])
    await responds('bob/laptop', 'REJECT', 'c1', 'BUSY')
    expect([await live(), await reason()]).toEqual(['REJECTED', 'BUSY'])
    expect(hears('alice/phone')).toEqual(['call/response REJECT BUSY'])
  })

  test('REJECT with BUSY over HTTP speaks for all devices', async () => {
    await responds('bob', 'REJECT', 'c1', 'BUSY')
    expect([await live(), await reason()]).toEqual(['REJECTED', 'BUSY'])
    expect(hears('bob/laptop')).toEqual(['call/down REJECT DECLINED_ELSEWHERE'])
  })

  test('further devices that ring are not told to the caller again', async () => {
    world.devices.connect('bob', 'bob/watch')
    await world.calls.appeared('bob', 'bob/watch')
    expect(hears('bob/watch')).toEqual(['call/request VIDEO'])
    expect(hears('alice/phone')).toEqual([])
  })

  test('a request repeated with another token is not the lost device that came back', async () => {
    await leaves('alice/phone')
    expect(await requests('alice/laptop', 'bob')).toMatchObject({ code: 1002 })
  })

  test('HANGUP of the caller stops every device that rang', async () => {
    expect(await hangs('alice/phone')).toMatchObject({ ok: true })
    expect(hears('bob/phone')).toEqual(['call/hangup CANCELLED'])
    expect(hears('bob/laptop')).toEqual(['call/hangup CANCELLED'])
    expect(hears('alice/phone')).toEqual([])
  })

  test('HANGUP of the caller over HTTP cancels it and stops the calling device', async () => {
    expect(await hangs('alice')).toMatchObject({ ok: true })
    expect(hears('bob/phone')).toEqual(['call/hangup CANCELLED'])
    expect(hears('alice/phone')).toEqual(['call/hangup CANCELLED'])
  })

  test('HANGUP from another device of the caller is 1004', async () => {
    expect(await hangs('alice/laptop')).toMatchObject({ code: 1004 })
    expect([await live(), hears('alice/laptop')]).toEqual(['RINGING', []])
  })

  test('HANGUP over HTTP cancels it, whichever device of the caller is meant', async () => {
    const overHttp = { ...actor('alice/laptop'), overHttp: true }
    expect(await world.calls.hangup(overHttp, {})).toMatchObject({ ok: true })
    expect(hears('bob/phone')).toEqual(['call/hangup CANCELLED'])
    expect(hears('alice/phone')).toEqual(['call/hangup CANCELLED'])
  })

  test('the ring timer ends it as MISSED for every device of the callee and the calling device', async () => {
    await world.clock.advance(29_999)
    expect(world.devices.heard).toEqual([])
    await world.clock.advance(1)
    for (const device of ['bob/phone', 'bob/laptop', 'alice/phone']) expect(hears(device)).toEqual(['call/timeout'])
    expect([await live(), await reason()]).toEqual(['MISSED', 'NO_ANSWER'])
  })

  test.each([
    ['one millisecond before', 29_999, { ok: true }, 'CONNECTED'],
    ['at', 30_000, { code: 1005, status: 'MISSED' }, 'MISSED'],
    ['one millisecond after', 30_001, { code: 1005, status: 'MISSED' }, 'MISSED'],
  ])('ACCEPT %s the deadline, before any timer has fired', async (_, at, answer, status) => {
    world.calls.stop()
    await world.clock.advance(at)
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject(answer)
    expect(await live()).toBe(status)
    if (status === 'MISSED') expect(hears('bob/phone')).toEqual(['call/timeout'])
  })

  test('a caller who is gone for longer than the grace cancels it', async () => {
    await leaves('alice/phone')
    await world.clock.advance(9_999)
    expect(await live()).toBe('RINGING')
    await world.clock.advance(1)
    expect([await live(), await reason()]).toEqual(['CANCELLED', 'CALLER_LOST'])
    expect(hears('bob/phone')).toEqual(['call/hangup CALLER_LOST'])
  })

  test('the grace of the caller never outlasts the ringing', async () => {
    await world.clock.advance(25_000)
    await leaves('alice/phone')
    await world.clock.advance(5_000)
    expect(await live()).toBe('MISSED')
  })

  test('a device of the callee that reloads its page rings again; the lost one is told nothing', async () => {
    await leaves('bob/phone')
    world.devices.connect('bob', 'bob/phone2')
    await world.calls.appeared('bob', 'bob/phone2')
    expect(hears('bob/phone2')).toEqual(['call/request VIDEO'])
    await responds('bob/phone2', 'ACCEPT')
    expect(hears('bob/laptop')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
    expect(hears('bob/phone')).toEqual([])
  })

  test('a device that subscribes again is not rung again', async () => {
    await world.calls.appeared('bob', 'bob/phone')
    expect(hears('bob/phone')).toEqual([])
  })

  test('a device that did not subscribe but says ringing counts as rung', async () => {
    world.devices.connect('bob', 'bob/watch')
    expect(await world.calls.ringing(actor('bob/watch'), { callId: 'c1' })).toMatchObject({ ok: true })
    await responds('bob/phone', 'ACCEPT')
    expect(hears('bob/watch')).toEqual(['call/request VIDEO', 'call/down ACCEPT ANSWERED_ELSEWHERE'])
  })

  test('the caller cannot answer its own call, a stranger not even see it', async () => {
    expect(await responds('alice/phone', 'ACCEPT')).toMatchObject({ code: 403 })
    expect(await responds('alice/phone', 'REJECT')).toMatchObject({ code: 403 })
    for (const answer of [responds('carol/phone', 'ACCEPT'), hangs('carol/phone', 'c1'), signals('carol/phone')]) {
      expect(await answer).toMatchObject({ code: 403 })
    }
    expect(await live()).toBe('RINGING')
  })
})

describe('while connected', () => {
  beforeEach(async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    world.devices.forgetHeard()
  })

  test('ACCEPT again from the winner is fine, from another device 1004 and call/down', async () => {
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject({ ok: true })
    expect(world.devices.heard).toEqual([])
    for (const answer of [responds('bob/laptop', 'ACCEPT'), responds('bob/laptop', 'REJECT'), hangs('bob/laptop')]) {
      expect(await answer).toMatchObject({ code: 1004 })
    }
    expect(hears('bob/laptop')).toEqual(Array(3).fill('call/down ACCEPT ANSWERED_ELSEWHERE'))
    expect(await live()).toBe('CONNECTED')
  })

  test.each([
    ['alice/phone', 'bob/phone'],
    ['bob/phone', 'alice/phone'],
  ])('HANGUP from %s is told to %s alone', async (who, peer) => {
    expect(await hangs(who)).toMatchObject({ ok: true })
    expect(world.devices.heard.map((frame) => frame.device)).toEqual([peer])
    expect(hears(peer)).toEqual(['call/hangup HANGUP'])
    expect([await live(), await reason()]).toEqual(['COMPLETED', 'HANGUP'])
  })

  test('HANGUP over HTTP, twice and with an empty body, is harmless', async () => {
    expect(await hangs('bob')).toMatchObject({ ok: true })
    expect(await hangs('bob')).toMatchObject({ ok: true })
    expect(hears('alice/phone')).toEqual(['call/hangup HANGUP'])
  })

  test('REQUEST of the peer is no glare but busy: they talk already', async () => {
    expect(await requests('bob/laptop', 'alice', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
    expect(await live()).toBe('CONNECTED')
  })

  test('signalling goes to the other bound device, octets untouched, with who it is from', async () => {
    const body = Buffer.from('{ "text" :\t"a\\u00e4"}')
    await world.calls.signal(actor('alice/phone'), { callId: 'c1' }, { body, contentType: 'application/json' })
    expect(world.devices.heard).toMatchObject([
      { device: 'bob/phone', queue: 'rtc/signaling', headers: { from: 'alice' } },
    ])
    expect(world.devices.heard[0]?.raw.equals(body)).toBe(true)
  })

  test('signalling from a device that is not bound is 1004', async () => {
    expect(await signals('bob/laptop')).toMatchObject({ code: 1004 })
    expect(world.devices.heard).toEqual([])
  })

  test('a bound device that is gone for longer than the grace ends it', async () => {
    await leaves('bob/phone')
    await world.clock.advance(TIMERS.graceMs - 1)
    expect(await live()).toBe('CONNECTED')
    await world.clock.advance(1)
    expect([await live(), await reason()]).toEqual(['COMPLETED', 'PEER_LOST'])
    expect(hears('alice/phone')).toEqual(['call/hangup PEER_LOST'])
  })

  test('a lost device that signals from a new session with its token is bound again', async () => {
    await leaves('bob/phone')
    world.devices.connect('bob', 'bob/phone2')
    const back = actor('bob/phone2', 'token of bob/phone')
    const frame = { body: Buffer.from('{}'), contentType: 'application/json' }
    expect(await world.calls.signal(back, { callId: 'c1' }, frame)).toMatchObject({ ok: true })
    await world.clock.advance(TIMERS.graceMs)
    expect(await live()).toBe('CONNECTED')
    await signals('alice/phone')
    expect(hears('bob/phone2')).toEqual(['rtc/signaling'])
  })

  test.each([
    ['the token it was renewed to', 'renewed token', undefined],
    ['one that it had before and that is still good', 'earlier token', ['first token', 'earlier token']],
  ])('a bound device that comes back with %s is bound again', async (_, comesWith, former) => {
    world.devices.disconnect('bob/phone')
    await world.calls.lost('bob', 'bob/phone', 'renewed token', former)
    const frame = { body: Buffer.from('{}'), contentType: 'application/json' }
    const old = actor('bob/laptop', 'token of bob/phone')
    expect(await world.calls.signal(old, { callId: 'c1' }, frame)).toMatchObject({ code: 1004 })
    world.devices.connect('bob', 'bob/phone2')
    const back = actor('bob/phone2', comesWith)
    expect(await world.calls.signal(back, { callId: 'c1' }, frame)).toMatchObject({ ok: true })
    await world.clock.advance(TIMERS.graceMs)
    expect(await live()).toBe('CONNECTED')
  })

  test('any device of a user whose bound device is lost may hang up', async () => {
    await leaves('bob/phone')
    expect(await hangs('bob/laptop')).toMatchObject({ ok: true })
    expect(await live()).toBe('COMPLETED')
  })

  test('the longest call ends for both', async () => {
    await world.clock.advance(TIMERS.longestCallMs)
    expect([hears('alice/phone'), hears('bob/phone')]).toEqual([
      ['call/hangup MAX_DURATION'],
      ['call/hangup MAX_DURATION'],
    ])
  })
})

describe('an operator who shuts somebody out', () => {
  const ended = async () => [await live(), await reason()]
  const everybody = () => ['alice/phone', 'bob/phone', 'bob/laptop'].map(hears)

  test.each([
    ['the user', 'bob', undefined],
    ['the bound device', 'bob', 'bob/phone'],
    ['the other party', 'alice', undefined],
    ['the other bound device', 'alice', 'alice/phone'],
  ])('(%s) ends an answered call for both: COMPLETED, ADMIN', async (_, user, device) => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    world.devices.forgetHeard()
    await world.calls.shutOut(user, device)
    expect(await ended()).toEqual(['COMPLETED', 'ADMIN'])
    expect(everybody()).toEqual([['call/hangup ADMIN'], ['call/hangup ADMIN'], []])
  })

  test.each([
    ['the calling user', 'alice', undefined],
    ['the calling device', 'alice', 'alice/phone'],
    ['the called user', 'bob', undefined],
  ])('(%s) ends a call that rings: CANCELLED, ADMIN; all who know of it hear it once', async (_, user, device) => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    await world.calls.shutOut(user, device)
    expect(await ended()).toEqual(['CANCELLED', 'ADMIN'])
    expect(everybody()).toEqual([['call/hangup ADMIN'], ['call/hangup ADMIN'], ['call/hangup ADMIN']])
  })

  test('ends a call that was answered by the user as a whole for the devices that still ring', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob', 'ACCEPT')
    world.devices.forgetHeard()
    await world.calls.shutOut('bob')
    expect(await ended()).toEqual(['COMPLETED', 'ADMIN'])
    expect(everybody()).toEqual([['call/hangup ADMIN'], ['call/hangup ADMIN'], ['call/hangup ADMIN']])
  })

  test.each([
    ['a device that only rings', 'bob', 'bob/laptop'],
    ['another device of the caller', 'alice', 'alice/laptop'],
    ['somebody without a call', 'carol', undefined],
  ])('(%s) leaves the call alone', async (_, user, device) => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    await world.calls.shutOut(user, device)
    expect(await live()).toBe('RINGING')
    expect(everybody()).toEqual([[], [], []])
  })

  test('changes nothing about a call that is over', async () => {
    await requests('alice/phone', 'bob')
    await hangs('alice/phone')
    await world.calls.shutOut('alice')
    expect(await ended()).toEqual(['CANCELLED', 'CANCELLED'])
  })
})

describe('the end of the process', () => {
  const everybody = () => ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop'].map(hears)

  test('ends a call that rings: CANCELLED, ADMIN; the rung devices and the caller’s hear it', async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    await world.calls.shutDown()
    expect([await live(), await reason()]).toEqual(['CANCELLED', 'ADMIN'])
    expect(everybody()).toEqual([['call/hangup ADMIN'], [], ['call/hangup ADMIN'], ['call/hangup ADMIN']])
  })

  test('ends a call that waits for a device of the callee', async () => {
    await requests('alice/phone', 'dave')
    await world.calls.shutDown()
    expect([await live(), await reason()]).toEqual(['CANCELLED', 'ADMIN'])
    expect(hears('alice/phone')).toEqual(['call/hangup ADMIN'])
  })

  test('leaves an answered call to its two devices, and tells them what the server can no longer do', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    world.devices.forgetHeard()
    await world.calls.shutDown()
    expect(await live()).toBe('CONNECTED')
    expect(everybody()).toEqual([['errors'], [], ['errors'], []])
    expect(world.devices.heard[0]?.body).toEqual({
      code: 503,
      message: expect.stringMatching(/^the server restarts and forgets this call; it goes on between you/),
      callId: 'c1',
      retryAfter: 5,
    })
  })

  test('begins no call any more, but an answered one can still be hung up', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    await world.calls.shutDown()
    expect(await requests('carol/phone', 'dave', 'c2')).toMatchObject({ code: 503, callId: 'c2', retryAfter: 5 })
    world.devices.forgetHeard()
    await hangs('alice/phone')
    expect(hears('bob/phone')).toEqual(['call/hangup HANGUP'])
  })

  test('is no business of calls that outlive it', async () => {
    const store: CallStore = Object.defineProperty(new MemoryCallStore(), 'outlives', { value: true })
    world = engine({ store })
    for (const device of ['alice/phone', 'bob/phone']) world.devices.connect(device.split('/')[0] ?? '', device)
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    await world.calls.shutDown()
    expect(world.devices.heard).toEqual([])
    expect(await live()).toBe('RINGING')
    expect(await requests('carol/phone', 'dave', 'c2')).toMatchObject({ ok: true })
  })

  test('leaves nobody in doubt: a later process refuses with 404 what it does not know, and says which call', async () => {
    const unknown = { code: 404, callId: 'c1', message: expect.stringMatching(/no such call.*restarted/) }
    expect(await hangs('alice/phone', 'c1')).toMatchObject(unknown)
    expect(await signals('alice/phone')).toMatchObject(unknown)
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject(unknown)
    expect(await hangs('alice/phone')).toMatchObject({ ok: true })
  })
})

describe('whether a call goes over a device', () => {
  test('is so for the one that called and the one that answered, while the call lives', async () => {
    const occupied = () =>
      Promise.all(
        ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop'].map((device) =>
          world.calls.occupies(device.split('/')[0] ?? '', device),
        ),
      )
    await requests('alice/phone', 'bob')
    expect(await occupied()).toEqual([true, false, false, false])
    await responds('bob/phone', 'ACCEPT')
    expect(await occupied()).toEqual([true, false, true, false])
    await hangs('bob/phone')
    expect(await occupied()).toEqual([false, false, false, false])
  })
})

describe('signalling before the answer', () => {
  beforeEach(async () => {
    await requests('alice/phone', 'bob')
  })

  test("is kept in order for the device that answers; the callee's own is refused", async () => {
    for (const text of ['offer', 'ice 1', 'ice 2'])
      expect(await signals('alice/phone', text)).toMatchObject({ ok: true })
    expect(await signals('bob/phone')).toMatchObject({ code: 403 })
    expect(await signals('alice/laptop')).toMatchObject({ code: 1004 })
    world.devices.forgetHeard()
    await responds('bob/phone', 'ACCEPT')
    await signals('alice/phone', 'ice 3')
    const got = world.devices.heard.filter((frame) => frame.queue === 'rtc/signaling')
    expect(got.map((frame) => [frame.device, frame.body.text])).toEqual(
      ['offer', 'ice 1', 'ice 2', 'ice 3'].map((text) => ['bob/phone', text]),
    )
  })

  test('is bounded by 64 frames', async () => {
    for (let n = 0; n < 64; n++) expect(await signals('alice/phone')).toMatchObject({ ok: true })
    expect(await signals('alice/phone')).toMatchObject({ code: 429, message: expect.stringContaining('64 frames') })
  })

  test('is bounded by 256 KiB', async () => {
    const large = 'x'.repeat(100 * 1024)
    for (let n = 0; n < 2; n++) expect(await signals('alice/phone', large)).toMatchObject({ ok: true })
    expect(await signals('alice/phone', large)).toMatchObject({ code: 429 })
  })
})

describe('after the end', () => {
  const ends: [string, () => Promise<unknown>, Record<string, string>][] = [
    [
      'COMPLETED',
      async () => {
        await responds('bob/phone', 'ACCEPT')
        await hangs('alice/phone')
      },
      {
        'alice/phone': 'call/hangup HANGUP',
        'bob/phone': 'call/hangup HANGUP',
        'bob/laptop': 'call/down ACCEPT ANSWERED_ELSEWHERE',
      },
    ],
    [
      'REJECTED',
      async () => responds('bob/phone', 'REJECT'),
      { 'alice/phone': 'call/response REJECT DECLINED', 'bob/laptop': 'call/down REJECT DECLINED_ELSEWHERE' },
    ],
    [
      'CANCELLED',
      async () => hangs('alice/phone'),
      { 'alice/phone': 'call/hangup CANCELLED', 'bob/phone': 'call/hangup CANCELLED' },
    ],
    ['MISSED', () => world.clock.advance(30_000), { 'alice/phone': 'call/timeout', 'bob/phone': 'call/timeout' }],
  ]

  test.each(ends)('%s: HANGUP and REJECT get 200 and the closing frame again', async (status, finish, closing) => {
    await requests('alice/phone', 'bob')
    await finish()
    world.devices.forgetHeard()
    for (const [device, frame] of Object.entries(closing)) {
      expect(await hangs(device, 'c1')).toMatchObject({ ok: true })
      expect(await responds(device, 'REJECT')).toMatchObject({ ok: true })
      expect(hears(device)).toEqual([frame, frame])
    }
    expect(await live()).toBe(status)
  })

  test('ACCEPT is 1005 with the status, 1004 when another device had answered', async () => {
    await requests('alice/phone', 'bob')
    await hangs('alice/phone')
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject({ code: 1005, status: 'CANCELLED' })
    await requests('alice/phone', 'bob', 'c2')
    await responds('bob/phone', 'ACCEPT', 'c2')
    await hangs('bob/phone')
    expect(await responds('bob/laptop', 'ACCEPT', 'c2')).toMatchObject({ code: 1004 })
    expect(await responds('bob/phone', 'ACCEPT', 'c2')).toMatchObject({ code: 1005, status: 'COMPLETED' })
  })

  test('signalling is dropped without a word for 10 s, then 404', async () => {
    await requests('alice/phone', 'bob')
    await hangs('alice/phone')
    world.devices.forgetHeard()
    await world.clock.advance(9_999)
    expect(await signals('alice/phone')).toMatchObject({ ok: true })
    await world.clock.advance(1)
    expect(await signals('alice/phone')).toMatchObject({ code: 404 })
    expect(world.devices.heard).toEqual([])
  })

  test('a stranger is 403, and after 10 minutes the call is forgotten', async () => {
    await requests('alice/phone', 'bob')
    await hangs('alice/phone')
    expect(await responds('carol/phone', 'ACCEPT')).toMatchObject({ code: 403 })
    await world.clock.advance(TIMERS.tombstoneMs - 1)
    expect(await requests('alice/phone', 'carol')).toMatchObject({ code: 1002 })
    await world.clock.advance(1)
    expect(await responds('bob/phone', 'ACCEPT')).toMatchObject({ code: 404 })
  })
})

describe('over HTTP, the user as a whole', () => {
  test('an answer keeps every device ringing until one signals: that one is bound, the others stop', async () => {
    await requests('alice/phone', 'bob')
    world.devices.forgetHeard()
    expect(await responds('bob', 'ACCEPT')).toMatchObject({ ok: true })
    expect(hears('alice/phone')).toEqual(['call/response ACCEPT'])
    expect([...hears('bob/phone'), ...hears('bob/laptop')]).toEqual([])
    await signals('bob/laptop')
    expect(hears('alice/phone')).toEqual(['call/response ACCEPT', 'rtc/signaling'])
    expect(hears('bob/phone')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
    expect(hears('bob/laptop')).toEqual([])
    expect(await signals('bob/phone')).toMatchObject({ code: 1004 })
  })

  test('a caller hears the answer on all devices; the first that signals is bound', async () => {
    await requests('alice', 'bob')
    await responds('bob/phone', 'ACCEPT')
    expect(hears('alice/phone')).toEqual(['call/ringing', 'call/response ACCEPT'])
    expect(hears('alice/laptop')).toEqual(['call/ringing', 'call/response ACCEPT'])
    await signals('alice/phone')
    expect(hears('alice/laptop').at(-1)).toBe('call/down ACCEPT ANSWERED_ELSEWHERE')
    expect(await hangs('alice/laptop')).toMatchObject({ code: 1004 })
  })

  test('devices that still show the call hear once that the peer hung up', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob', 'ACCEPT')
    world.devices.forgetHeard()
    await hangs('alice/phone')
    expect([hears('bob/phone'), hears('bob/laptop')]).toEqual([['call/hangup HANGUP'], ['call/hangup HANGUP']])
  })

  test('an answer that comes before its device keeps the offer for it', async () => {
    await leaves('bob/laptop')
    await leaves('bob/phone')
    await requests('alice/phone', 'bob')
    await signals('alice/phone', 'offer')
    await responds('bob', 'ACCEPT')
    await signals('alice/phone', 'ice')
    world.devices.connect('bob', 'bob/woken')
    world.devices.forgetHeard()
    await world.calls.listens('bob', 'bob/woken')
    expect(world.devices.heard.map(({ device, body, headers }) => [device, body.text, headers.from])).toEqual([
      ['bob/woken', 'offer', 'alice'],
      ['bob/woken', 'ice', 'alice'],
    ])
    await signals('bob/woken', 'answer')
    await world.calls.listens('bob', 'bob/woken')
    expect(hears('bob/woken')).toHaveLength(2)
    expect((await world.store.load('c1'))?.kept).toEqual([])
  })

  test('a caller over HTTP whose device comes after the answer hears what the callee signalled', async () => {
    await leaves('alice/phone')
    await leaves('alice/laptop')
    await requests('alice', 'bob')
    await responds('bob/phone', 'ACCEPT')
    await signals('bob/phone', 'offer')
    world.devices.connect('alice', 'alice/woken')
    await world.calls.listens('alice', 'alice/woken')
    expect(hears('alice/woken')).toEqual(['rtc/signaling'])
  })

  test('a device that comes late hears what the other side signalled, not its own side', async () => {
    for (const device of ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop']) await leaves(device)
    await requests('alice', 'bob')
    await responds('bob', 'ACCEPT')
    await signals('alice', 'of alice')
    await signals('bob', 'of bob')
    world.devices.connect('bob', 'bob/woken')
    await world.calls.listens('bob', 'bob/woken')
    expect(world.devices.heard.map(({ body }) => body.text)).toEqual(['of alice'])
  })

  test('a leg without a device ends after 120 s without a request', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob', 'ACCEPT')
    await world.clock.advance(100_000)
    await world.calls.heard('bob')
    await world.clock.advance(119_999)
    expect(await live()).toBe('CONNECTED')
    await world.clock.advance(1)
    expect([await live(), await reason()]).toEqual(['COMPLETED', 'PEER_LOST'])
    expect(hears('alice/phone').at(-1)).toBe('call/hangup PEER_LOST')
    expect(hears('bob/phone').at(-1)).toBe('call/hangup PEER_LOST')
  })

  test('any device of a user who answered as a whole may hang up', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob', 'ACCEPT')
    expect(await hangs('bob/laptop')).toMatchObject({ ok: true })
    expect(hears('bob/phone').at(-1)).toBe('call/hangup HANGUP')
    expect(hears('alice/phone').at(-1)).toBe('call/hangup HANGUP')
  })

  test('once a socket is bound the silence over HTTP does not matter', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob', 'ACCEPT')
    await signals('bob/phone')
    await world.clock.advance(1_000_000)
    expect(await live()).toBe('CONNECTED')
  })

  test('HANGUP without any live call is fine', async () => {
    expect(await hangs('alice')).toMatchObject({ ok: true })
  })
})

test('a command for a callId that nobody has used is 404', async () => {
  for (const answer of [responds('bob/phone', 'ACCEPT'), hangs('bob/phone', 'c1'), signals('bob/phone')]) {
    expect(await answer).toMatchObject({ code: 404 })
  }
})

describe('a device that loses its connection and resumes', () => {
  const inCall = async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    world.devices.forgetHeard()
  }
  const headers = (device: string) =>
    world.devices.heard.filter((one) => one.device === device).map((one) => one.headers)

  test('while it rings there, is not rung again', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('bob/phone')
    await comesBack('bob/phone')
    expect(hears('bob/phone')).toEqual(['call/request VIDEO'])
    await hangs('alice/phone')
    expect(hears('bob/phone')).toEqual(['call/request VIDEO', 'call/hangup CANCELLED'])
  })

  test('hears on its return that what rang there is over', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('bob/phone')
    await hangs('alice/phone')
    expect(hears('bob/phone')).toEqual(['call/request VIDEO'])
    await comesBack('bob/phone')
    expect(hears('bob/phone')).toEqual(['call/request VIDEO', 'call/hangup CANCELLED'])
  })

  test('rings on its return when the call has begun while it was away', async () => {
    await goesAway('bob/phone')
    await requests('alice/phone', 'bob')
    expect(hears('bob/phone')).toEqual([])
    await world.clock.advance(5000)
    await comesBack('bob/phone')
    expect(hears('bob/phone')).toEqual(['call/request VIDEO'])
    expect(world.devices.heard.at(-1)?.body).toMatchObject({ remainingMs: 25_000 })
  })

  test('does not keep it ringing for itself when it never comes back', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('bob/phone')
    await leaves('bob/phone')
    expect((await world.store.load('c1'))?.rung).toEqual(['bob/laptop'])
  })

  test('as the caller, within its grace, calls on', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('alice/phone')
    await world.clock.advance(TIMERS.callerGraceMs - 1)
    await comesBack('alice/phone')
    await world.clock.advance(10_000)
    expect(await live()).toBe('RINGING')
    await responds('bob/phone', 'ACCEPT')
    expect(hears('alice/phone')).toEqual(['call/ringing', 'call/response ACCEPT'])
  })

  test('as the caller, after its grace, hears that the call is over', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('alice/phone')
    await world.clock.advance(TIMERS.callerGraceMs)
    await comesBack('alice/phone')
    expect(hears('alice/phone')).toEqual(['call/ringing', 'call/hangup CALLER_LOST'])
  })

  test('as the caller hears on its return who has answered meanwhile', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('alice/phone')
    await responds('bob/phone', 'ACCEPT')
    await comesBack('alice/phone')
    expect(hears('alice/phone')).toEqual(['call/ringing', 'call/response ACCEPT'])
    await world.clock.advance(TIMERS.graceMs)
    expect(await live()).toBe('CONNECTED')
  })

  test('in a call is bound again, with the token that it has now', async () => {
    await inCall()
    await goesAway('bob/phone')
    await world.clock.advance(TIMERS.graceMs - 1)
    await comesBack('bob/phone', 'another token')
    await world.clock.advance(TIMERS.graceMs)
    expect((await world.store.load('c1'))?.winner).toMatchObject({ device: 'bob/phone', token: 'another token' })
    expect(await live()).toBe('CONNECTED')
  })

  test('in a call, too late: it is over, and both hear it', async () => {
    await inCall()
    await goesAway('bob/phone')
    await world.clock.advance(TIMERS.graceMs)
    expect(hears('alice/phone')).toEqual(['call/hangup PEER_LOST'])
    await comesBack('bob/phone')
    expect(hears('bob/phone')).toEqual(['call/hangup PEER_LOST'])
  })

  test('gets the signalling of meanwhile in order, and once', async () => {
    await inCall()
    await goesAway('bob/phone')
    for (const text of ['one', 'two', 'three']) await signals('alice/phone', text)
    await comesBack('bob/phone')
    await signals('alice/phone', 'four')
    expect(world.devices.heard.map((one) => one.body.text)).toEqual(['one', 'two', 'three', 'four'])
  })

  test('says with its first signalling, and only with that, that it has been away', async () => {
    await inCall()
    await goesAway('bob/phone')
    await comesBack('bob/phone')
    await signals('alice/phone', 'to the one that was away')
    await signals('bob/phone', 'one')
    await signals('bob/phone', 'two')
    expect(headers('bob/phone')).toEqual([{ from: 'alice' }])
    expect(headers('alice/phone')).toEqual([{ from: 'bob', 'peer-reattached': 'true' }, { from: 'bob' }])
  })

  test('a plain client that comes back under a new session says so, too', async () => {
    await inCall()
    await leaves('bob/phone')
    world.devices.connect('bob', 'bob/phone2')
    await world.calls.signal(
      actor('bob/phone2', 'token of bob/phone'),
      { callId: 'c1' },
      { body: Buffer.from('{}'), contentType: 'application/json' },
    )
    await world.calls.signal(
      actor('bob/phone2', 'token of bob/phone'),
      { callId: 'c1' },
      { body: Buffer.from('{}'), contentType: 'application/json' },
    )
    expect(headers('alice/phone')).toEqual([{ from: 'bob', 'peer-reattached': 'true' }, { from: 'bob' }])
  })

  test('before the answer there is nobody to tell that the caller has been away', async () => {
    await requests('alice/phone', 'bob')
    await goesAway('alice/phone')
    await comesBack('alice/phone')
    await signals('alice/phone', 'offer')
    await responds('bob/phone', 'ACCEPT')
    expect(world.devices.heard.at(-1)).toMatchObject({ device: 'bob/phone', headers: { from: 'alice' } })
    expect(headers('bob/phone').at(-1)).toEqual({ from: 'alice' })
  })

  test('both away at once, both come back: the call goes on', async () => {
    await inCall()
    await goesAway('alice/phone')
    await goesAway('bob/phone')
    await comesBack('bob/phone')
    await signals('bob/phone', 'while alice is away')
    await comesBack('alice/phone')
    await world.clock.advance(TIMERS.graceMs)
    expect(await live()).toBe('CONNECTED')
    expect(hears('alice/phone')).toHaveLength(1)
  })

  test('a return that nobody waits for changes nothing', async () => {
    await inCall()
    const { version } = (await world.store.load('c1')) ?? {}
    await world.calls.returned('bob', 'bob/phone', 'token of bob/phone')
    await world.calls.returned('bob', 'bob/laptop', 'token of bob/laptop')
    await world.calls.returned('carol', 'carol/phone', 'token of carol/phone')
    expect((await world.store.load('c1'))?.version).toBe(version)
  })
})

describe('a plain client that comes back when its call is over', () => {
  const hearsEnds = (device: string, token: string) => world.calls.hearsEnds('bob', device, token)
  const overWithoutIt = async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    await leaves('bob/phone')
    await hangs('alice/phone')
    world.devices.connect('bob', 'bob/phone2')
  }

  test('hears that it is over when its token is the one that it had', async () => {
    await overWithoutIt()
    await hearsEnds('bob/phone2', 'token of bob/phone')
    expect(world.devices.heard.at(-1)).toMatchObject({
      device: 'bob/phone2',
      queue: 'call/hangup',
      body: { callId: 'c1', reason: 'HANGUP' },
    })
  })

  test('hears it too when nobody had noticed that it was gone', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    await hangs('alice/phone')
    world.devices.disconnect('bob/phone')
    world.devices.connect('bob', 'bob/phone2')
    await hearsEnds('bob/phone2', 'token of bob/phone')
    expect(hears('bob/phone2')).toEqual(['call/hangup HANGUP'])
  })

  test.each([
    ['another token tells nothing', 'bob/phone2', 'another token'],
    ['a device that is connected has heard it', 'bob/phone', 'token of bob/phone'],
  ])('%s', async (_, device, token) => {
    await overWithoutIt()
    world.devices.connect('bob', 'bob/phone')
    world.devices.forgetHeard()
    await hearsEnds(device, token)
    expect(world.devices.heard).toEqual([])
  })

  test('hears nothing of a call that goes on, nor of one long ago', async () => {
    await requests('alice/phone', 'bob')
    await responds('bob/phone', 'ACCEPT')
    await leaves('bob/phone')
    world.devices.connect('bob', 'bob/phone2')
    await hearsEnds('bob/phone2', 'token of bob/phone')
    expect(hears('bob/phone2')).toEqual([])
    await hangs('alice/phone')
    await world.clock.advance(TIMERS.tombstoneMs)
    await hearsEnds('bob/phone2', 'token of bob/phone')
    expect(hears('bob/phone2')).toEqual([])
  })
})
