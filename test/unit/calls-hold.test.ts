/** Hold, consultation and call waiting, row by row (docs/calls.md). */

import { beforeEach, describe, expect, test } from '@jest/globals'
import { Table } from '../support/table.ts'

const DEVICES = ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop', 'carol/phone', 'dave/phone']
let at: Table

beforeEach(() => {
  at = new Table(DEVICES)
})

describe('features', () => {
  test('those of the answer are told to the caller, and only when they were said', async () => {
    await at.requests('alice/phone', 'bob', 'c1', { features: ['hold', 'telepathy'] })
    expect(at.world.devices.heard[0]?.body).toMatchObject({ features: ['hold', 'telepathy'] })
    await at.accepts('bob/phone', 'c1', ['room', 'hold', 'telepathy', 'hold'])
    expect(at.world.devices.heard.at(-2)).toMatchObject({
      device: 'alice/phone',
      body: { callId: 'c1', type: 'ACCEPT', features: ['hold', 'room'] },
    })
    await at.requests('carol/phone', 'dave', 'c2')
    await at.accepts('dave/phone', 'c2')
    const told = at.world.devices.heard.find(
      ({ device, queue }) => device === 'carol/phone' && queue === 'call/response',
    )
    expect(told?.body).toEqual({ callId: 'c2', type: 'ACCEPT' })
  })

  test('stay with a leg whose device comes back under a new session, and with one that answered without a device', async () => {
    await at.connects('alice/phone', 'bob/phone', 'c1')
    await at.leaves('bob/phone')
    at.world.devices.connect('bob', 'bob/new')
    const again = { user: 'bob', device: 'bob/new', token: 'token of bob/phone' }
    await at.world.calls.signal(again, { callId: 'c1' }, { body: Buffer.from('{}'), contentType: 'application/json' })
    expect((await at.call('c1'))?.winner).toMatchObject({ device: 'bob/new', features: ['hold', 'transfer', 'room'] })

    await at.requests('carol/phone', 'dave', 'c2')
    await at.accepts('dave', 'c2', ['hold'])
    const dave = { user: 'dave', device: 'dave/phone', token: 'token of dave/phone' }
    await at.world.calls.signal(dave, { callId: 'c2' }, { body: Buffer.from('{}'), contentType: 'application/json' })
    expect((await at.call('c2'))?.winner).toMatchObject({ device: 'dave/phone', features: ['hold'] })
  })
})

describe('HOLD', () => {
  beforeEach(() => at.connects('alice/phone', 'bob/phone', 'c1'))

  test('by a bound device is told to the other one, and HOLD false takes it back', async () => {
    expect(await at.holds('alice/phone', 'c1')).toMatchObject({ ok: true })
    expect(at.world.devices.heard.map(({ device, queue, body }) => [device, queue, body])).toEqual([
      ['bob/phone', 'call/hold', { callId: 'c1', hold: true, by: 'alice', version: 4 }],
    ])
    expect((await at.call('c1'))?.held).toEqual(['alice'])
    expect(await at.holds('alice/phone', 'c1', false)).toMatchObject({ ok: true })
    expect(at.hears('bob/phone')).toEqual(['c1 call/hold on by alice', 'c1 call/hold off by alice'])
    expect((await at.call('c1'))?.held).toEqual([])
  })

  test('by both: it is on hold until both have taken it back', async () => {
    await at.holds('alice/phone', 'c1')
    await at.holds('bob/phone', 'c1')
    await at.holds('alice/phone', 'c1', false)
    expect((await at.call('c1'))?.held).toEqual(['bob'])
    expect(at.hears('alice/phone')).toEqual(['c1 call/hold on by bob'])
  })

  test('as it is already is 200, and tells the device that says so alone how the other side has it', async () => {
    const told = () => at.world.devices.heard.map(({ device, body }) => [device, body])
    expect(await at.holds('alice/phone', 'c1', false)).toMatchObject({ ok: true })
    expect(told()).toEqual([['alice/phone', { callId: 'c1', hold: false, by: 'bob', version: 3 }]])
    await at.holds('alice/phone', 'c1')
    await at.holds('bob/phone', 'c1')
    at.world.devices.forgetHeard()
    expect(await at.holds('alice/phone', 'c1')).toMatchObject({ ok: true })
    expect(told()).toEqual([['alice/phone', { callId: 'c1', hold: true, by: 'bob', version: 5 }]])
  })

  test('as it is already, by the user over HTTP, is heard by nobody', async () => {
    expect(await at.holds('alice', 'c1', false)).toMatchObject({ ok: true })
    expect(at.world.devices.heard).toEqual([])
  })

  test('by the user over HTTP is told to the own device too', async () => {
    expect(await at.holds('alice', 'c1')).toMatchObject({ ok: true })
    expect(at.hears('alice/phone')).toEqual(['c1 call/hold on by alice'])
    expect(at.hears('alice/laptop')).toEqual([])
    expect(at.hears('bob/phone')).toEqual(['c1 call/hold on by alice'])
  })

  test('from another device of a party is 1004', async () => {
    expect(await at.holds('alice/laptop', 'c1')).toMatchObject({ code: 1004 })
    expect((await at.call('c1'))?.held).toBeUndefined()
  })

  test('from a stranger is 403', async () => {
    expect(await at.holds('carol/phone', 'c1')).toMatchObject({ code: 403 })
  })

  test('while it rings is 1008, with the state', async () => {
    await at.requests('carol/phone', 'dave', 'c2')
    expect(await at.holds('carol/phone', 'c2')).toMatchObject({ code: 1008, status: 'RINGING' })
    expect(await at.holds('dave/phone', 'c2')).toMatchObject({ code: 1008 })
  })

  test('after the end is 1005, with the closing frame again', async () => {
    await at.hangs('bob/phone', 'c1')
    at.world.devices.forgetHeard()
    expect(await at.holds('alice/phone', 'c1')).toMatchObject({ code: 1005, status: 'COMPLETED' })
    expect(at.hears('alice/phone')).toEqual(['c1 call/hangup HANGUP'])
  })

  test('a device that was lost may hold with its token under a new session, and is bound again', async () => {
    await at.leaves('alice/phone')
    at.world.devices.connect('alice', 'alice/new')
    const again = { user: 'alice', device: 'alice/new', token: 'token of alice/phone' }
    expect(await at.world.calls.hold(again, { callId: 'c1', hold: true })).toMatchObject({ ok: true })
    expect(await at.call('c1')).toMatchObject({ held: ['alice'], origin: { device: 'alice/new' } })
    expect((await at.call('c1'))?.origin.lostAt).toBeUndefined()
  })

  test('a device that was lost learns under its new session what the other side has done meanwhile', async () => {
    await at.leaves('alice/phone')
    await at.holds('bob/phone', 'c1')
    at.world.devices.connect('alice', 'alice/new')
    const again = { user: 'alice', device: 'alice/new', token: 'token of alice/phone' }
    expect(await at.world.calls.hold(again, { callId: 'c1', hold: false })).toMatchObject({ ok: true })
    expect(at.hears('alice/new')).toEqual(['c1 call/hold on by bob'])
    expect((await at.call('c1'))?.origin).toMatchObject({ device: 'alice/new' })
  })

  test('a call on hold ends as any other', async () => {
    await at.holds('alice/phone', 'c1')
    await at.hangs('bob/phone', 'c1')
    expect(await at.is('c1')).toBe('COMPLETED HANGUP')
    expect(await at.line('alice')).toEqual([])
  })
})

describe('a consultation', () => {
  beforeEach(() => at.connects('alice/phone', 'bob/phone', 'c1'))

  test('begins while the only call is connected and on hold by who calls', async () => {
    expect(await at.requests('alice/phone', 'carol', 'c2')).toMatchObject({ code: 1006, activeCallId: 'c1' })
    await at.holds('bob/phone', 'c1')
    expect(await at.requests('alice/phone', 'carol', 'c2')).toMatchObject({ code: 1006 })
    await at.holds('alice/phone', 'c1')
    expect(await at.requests('alice/phone', 'carol', 'c2')).toMatchObject({ ok: true })
    expect(await at.line('alice')).toEqual(['c1', 'c2'])
    const ring = at.world.devices.heard.find(({ queue }) => queue === 'call/request')
    expect(ring?.body).not.toHaveProperty('waiting')
    expect(await at.requests('alice/phone', 'dave', 'c3')).toMatchObject({ code: 1006 })
  })

  test('to somebody who is busy is 1001 as ever, and who is called is busy for a third', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('carol/phone', 'dave/phone', 'c9')
    expect(await at.requests('alice/phone', 'carol', 'c2')).toMatchObject({ code: 1001 })
    expect(await at.requests('carol/phone', 'alice', 'c3')).toMatchObject({ code: 1001 })
    await at.hangs('carol/phone')
    expect(await at.requests('carol/phone', 'alice', 'c4')).toMatchObject({ code: 1001 })
    expect(await at.requests('carol/phone', 'bob', 'c5')).toMatchObject({ code: 1001 })
  })

  test('HOLD false swaps: the other call is put on hold in the same commit', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    expect(await at.holds('alice/phone', 'c1', false)).toMatchObject({ ok: true })
    expect(at.hears('bob/phone')).toEqual(['c1 call/hold off by alice'])
    expect(at.hears('carol/phone')).toEqual(['c2 call/hold on by alice'])
    expect(at.hears('alice/phone')).toEqual(['c2 call/hold on by alice'])
    expect([(await at.call('c1'))?.held, (await at.call('c2'))?.held]).toEqual([[], ['alice']])
  })

  test('is answered while the first call was taken up again: the caller holds that one', async () => {
    await at.holds('alice/phone', 'c1')
    await at.requests('alice/phone', 'carol', 'c2')
    await at.holds('alice/phone', 'c1', false)
    expect((await at.call('c1'))?.held).toEqual([])
    at.world.devices.forgetHeard()
    await at.accepts('carol/phone', 'c2')
    expect((await at.call('c1'))?.held).toEqual(['alice'])
    expect(at.hears('alice/phone')).toEqual(['c2 call/response ACCEPT', 'c1 call/hold on by alice'])
    expect(at.hears('bob/phone')).toEqual(['c1 call/hold on by alice'])
  })

  test('ends, and the first call is still on hold; the line is that of one call again', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    await at.hangs('carol/phone', 'c2')
    expect((await at.call('c1'))?.held).toEqual(['alice'])
    expect(await at.line('alice')).toEqual(['c1'])
    expect(await at.line('carol')).toEqual([])
  })

  test('HANGUP with an empty body means the call that is talked in, then the one on hold', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    await at.hangs('alice/phone')
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['CONNECTED', 'COMPLETED HANGUP'])
    await at.hangs('alice/phone')
    expect(await at.is('c1')).toBe('COMPLETED HANGUP')
    expect(await at.hangs('alice/phone')).toMatchObject({ ok: true })
  })

  test('HANGUP with an empty body means the call that the user is calling with before the one on hold', async () => {
    await at.holds('alice/phone', 'c1')
    await at.requests('alice/phone', 'carol', 'c2')
    await at.hangs('alice')
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['CONNECTED', 'CANCELLED CANCELLED'])
  })

  test('a device that is lost is lost to both calls, and back in both', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    at.world.devices.goesAway('alice/phone')
    await at.world.calls.lost('alice', 'alice/phone', 'token of alice/phone', [], true)
    expect([(await at.call('c1'))?.origin.lostAt, (await at.call('c2'))?.origin.lostAt]).toEqual([
      at.world.clock.now(),
      at.world.clock.now(),
    ])
    at.world.devices.comesBack('alice/phone')
    await at.world.calls.returned('alice', 'alice/phone', 'token of alice/phone')
    for (const callId of ['c1', 'c2']) expect((await at.call(callId))?.origin.lostAt).toBeUndefined()
    await at.leaves('alice/phone')
    await at.world.clock.advance(30_000)
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['COMPLETED PEER_LOST', 'COMPLETED PEER_LOST'])
  })

  test('an operator who shuts out the user ends both calls', async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    expect(await at.world.calls.occupies('alice', 'alice/phone')).toBe(true)
    await at.world.calls.shutOut('alice')
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['COMPLETED ADMIN', 'COMPLETED ADMIN'])
    expect(await at.world.calls.occupies('alice', 'alice/phone')).toBe(false)
  })

  test('a client cannot say what only the server says', async () => {
    const words = {
      waiting: true,
      transferredBy: 'x',
      transferredByUserName: 'x',
      replaces: 'c1',
      room: true,
      members: [],
    }
    await at.requests('carol/phone', 'dave', 'c2', { ...words, extra: 1 })
    expect(at.world.devices.heard[0]?.body).toEqual({
      callId: 'c2',
      type: 'VIDEO',
      callee: 'dave',
      callerUserName: 'Somebody',
      extra: 1,
      caller: 'carol',
      remainingMs: 30_000,
    })
    expect(await at.requests('carol/phone', 'dave', 'c2', { ...words, extra: 1 })).toMatchObject({ ok: true })
  })
})

describe('call waiting', () => {
  beforeEach(async () => {
    at = new Table(DEVICES, { callWaiting: true })
    await at.connects('alice/phone', 'bob/phone', 'c1')
  })

  test('off: a second caller hears 1001, also when the call is on hold', async () => {
    at = new Table(DEVICES)
    await at.connects('alice/phone', 'bob/phone', 'c1')
    await at.holds('bob/phone', 'c1')
    expect(await at.requests('carol/phone', 'bob', 'c2')).toMatchObject({ code: 1001, reason: 'BUSY' })
  })

  test('a second call is shown, and says that it waits', async () => {
    expect(await at.requests('carol/phone', 'bob', 'c2', { extra: 1 })).toMatchObject({ ok: true })
    const ring = at.world.devices.heard.find(({ queue, device }) => queue === 'call/request' && device === 'bob/phone')
    expect(ring?.body).toMatchObject({ callId: 'c2', caller: 'carol', waiting: true, extra: 1 })
    expect(await at.line('bob')).toEqual(['c1', 'c2'])
    expect((await at.call('c1'))?.held).toBeUndefined()
  })

  test('ACCEPT puts the first call on hold in the same commit', async () => {
    await at.requests('carol/phone', 'bob', 'c2')
    at.world.devices.forgetHeard()
    expect(await at.accepts('bob/phone', 'c2')).toMatchObject({ ok: true })
    expect(at.hears('carol/phone')).toEqual(['c2 call/response ACCEPT'])
    expect(at.hears('alice/phone')).toEqual(['c1 call/hold on by bob'])
    expect(at.hears('bob/phone')).toEqual(['c1 call/hold on by bob'])
    expect(at.hears('bob/laptop')).toEqual(['c2 call/down ACCEPT ANSWERED_ELSEWHERE'])
    expect((await at.call('c1'))?.held).toEqual(['bob'])
  })

  test('ACCEPT on another device: the first call is on hold on the one that has it', async () => {
    await at.requests('carol/phone', 'bob', 'c2')
    at.world.devices.forgetHeard()
    await at.accepts('bob/laptop', 'c2')
    expect(at.hears('bob/phone')).toEqual(['c2 call/down ACCEPT ANSWERED_ELSEWHERE', 'c1 call/hold on by bob'])
  })

  test.each([
    ['declined', (table: Table) => table.rejects('bob/phone', 'c2'), 'REJECTED DECLINED'],
    ['withdrawn', (table: Table) => table.hangs('carol/phone', 'c2'), 'CANCELLED CANCELLED'],
    ['missed', (table: Table) => table.world.clock.advance(30_000), 'MISSED NO_ANSWER'],
  ])('the first call goes on when the second is %s', async (_, ends, how) => {
    await at.requests('carol/phone', 'bob', 'c2')
    await ends(at)
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['CONNECTED', how])
    expect((await at.call('c1'))?.held).toBeUndefined()
    expect(await at.line('bob')).toEqual(['c1'])
  })

  test('a third caller hears 1001, and so does who calls somebody whose call still rings', async () => {
    await at.requests('carol/phone', 'bob', 'c2')
    expect(await at.requests('dave/phone', 'bob', 'c3')).toMatchObject({ code: 1001 })
    expect(await at.requests('dave/phone', 'carol', 'c4')).toMatchObject({ code: 1001 })
  })

  test('who is in the call with them cannot wait for them', async () => {
    await at.holds('alice/phone', 'c1')
    expect(await at.requests('alice/laptop', 'bob', 'c2')).toMatchObject({ code: 1001 })
  })

  test('HANGUP with an empty body means the call that is talked in, not the one that waits', async () => {
    await at.requests('carol/phone', 'bob', 'c2')
    await at.hangs('bob/phone')
    expect([await at.is('c1'), await at.is('c2')]).toEqual(['COMPLETED HANGUP', 'RINGING'])
    await at.accepts('bob/phone', 'c2')
    expect(await at.is('c2')).toBe('CONNECTED')
  })

  test('a device that comes while both ring or talk is shown the one that rings', async () => {
    await at.requests('carol/phone', 'bob', 'c2')
    at.world.devices.connect('bob', 'bob/tablet')
    await at.world.calls.appeared('bob', 'bob/tablet')
    expect(at.hears('bob/tablet')).toEqual(['c2 call/request VIDEO'])
  })

  test('the one who waits may be in a call on hold too: both first calls are on hold', async () => {
    await at.connects('carol/phone', 'dave/phone', 'c2')
    await at.holds('carol/phone', 'c2')
    await at.requests('carol/phone', 'bob', 'c3')
    await at.holds('carol/phone', 'c2', false)
    await at.accepts('bob/phone', 'c3')
    expect([(await at.call('c1'))?.held, (await at.call('c2'))?.held]).toEqual([['bob'], ['carol']])
  })

  test('both call each other while they talk to others: one call lives, one is glare', async () => {
    await at.connects('carol/phone', 'dave/phone', 'c2')
    await at.holds('bob/phone', 'c1')
    await at.holds('carol/phone', 'c2')
    expect(await at.requests('carol/phone', 'bob', 'c3')).toMatchObject({ ok: true })
    expect(await at.requests('bob/phone', 'carol', 'c4')).toMatchObject({
      code: 1001,
      reason: 'GLARE',
      activeCallId: 'c3',
    })
    expect(await at.requests('bob/phone', 'carol', 'c5', { glare: 'accept' })).toMatchObject({
      ok: true,
      data: { activeCallId: 'c3' },
    })
    expect(await at.is('c3')).toBe('CONNECTED')
  })
})
