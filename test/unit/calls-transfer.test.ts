/** Transfer, row by row (docs/calls.md): alice transfers bob to carol. */

import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Call } from '../../src/calls/types.ts'
import { Table } from '../support/table.ts'

const DEVICES = ['alice/phone', 'alice/laptop', 'bob/phone', 'bob/laptop', 'carol/phone', 'carol/laptop', 'dave/phone']
let at: Table

/** The id of the new call. */
async function transfers(who = 'alice/phone', target = 'carol', withCallId?: string, callId = 'c1'): Promise<string> {
  const outcome = await at.transfers(who, callId, target, withCallId)
  if (!outcome.ok) throw new Error(outcome.message)
  return (outcome.data as { newCallId: string }).newCallId
}

/** What a device heard, with the new call as `new`. */
const hears = (device: string, fresh: string) => at.hears(device).map((line) => line.replace(fresh, 'new'))

beforeEach(async () => {
  at = new Table(DEVICES)
  await at.connects('alice/phone', 'bob/phone', 'c1')
})

describe('BLIND', () => {
  test('rings the target with who transfers, and tells both who talk', async () => {
    const fresh = await transfers()
    expect(at.world.devices.heard.slice(0, 2).map(({ device, queue, body }) => [device, queue, body])).toEqual(
      ['alice/phone', 'bob/phone'].map((device) => [
        device,
        'call/transfer',
        { callId: 'c1', newCallId: fresh, state: 'RINGING', target: 'carol', transferredBy: 'alice', mode: 'BLIND' },
      ]),
    )
    expect(at.world.devices.heard.filter(({ queue }) => queue === 'call/request').map(({ body }) => body)).toEqual(
      [1, 2].map(() => ({
        callId: fresh,
        type: 'VIDEO',
        callee: 'carol',
        caller: 'bob',
        callerUserName: 'bob',
        features: ['hold', 'transfer', 'room'],
        transferredBy: 'alice',
        transferredByUserName: 'alice',
        remainingMs: 30_000,
      })),
    )
    expect(hears('bob/phone', fresh)).toEqual(['c1 call/transfer RINGING', 'new call/ringing'])
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['CONNECTED', 'RINGING'])
    expect([await at.line('alice'), await at.line('carol')]).toEqual([['c1'], [fresh]])
    expect(await at.line('bob')).toEqual(['c1', fresh].sort())
  })

  test('is done when the target answers: in one commit the new call is connected and the old one over', async () => {
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    expect(await at.accepts('carol/phone', fresh, ['hold'])).toMatchObject({ ok: true })
    expect(hears('bob/phone', fresh)).toEqual([
      'new call/response ACCEPT',
      'c1 call/transfer DONE',
      'c1 call/hangup TRANSFERRED',
    ])
    expect(hears('alice/phone', fresh)).toEqual(['c1 call/transfer DONE', 'c1 call/hangup TRANSFERRED'])
    expect(hears('carol/laptop', fresh)).toEqual(['new call/down ACCEPT ANSWERED_ELSEWHERE'])
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['COMPLETED TRANSFERRED', 'CONNECTED'])
    expect(await at.call(fresh)).toMatchObject({
      origin: { device: 'bob/phone', features: ['hold', 'transfer', 'room'] },
      winner: { device: 'carol/phone', features: ['hold'] },
      transferredBy: 'alice',
    })
    expect([await at.line('alice'), await at.line('bob'), await at.line('carol')]).toEqual([[], [fresh], [fresh]])
  })

  test('media are signalled between the two that are left, also what the caller said before the answer', async () => {
    const fresh = await transfers()
    const says = (user: string, device: string, text: string) =>
      at.world.calls.signal(
        { user, device, token: `token of ${device}` },
        { callId: fresh },
        { body: Buffer.from(`"${text}"`), contentType: 'application/json' },
      )
    expect(await says('bob', 'bob/phone', 'offer')).toMatchObject({ ok: true })
    at.world.devices.forgetHeard()
    await at.accepts('carol/phone', fresh)
    expect(at.world.devices.heard.filter(({ device }) => device === 'carol/phone').map(({ body }) => body)).toEqual([
      'offer',
    ])
    await says('carol', 'carol/phone', 'answer')
    expect(at.world.devices.heard.at(-1)).toMatchObject({ device: 'bob/phone', body: 'answer' })
  })

  test.each([
    ['declined', 'DECLINED', (fresh: string) => at.rejects('carol/phone', fresh)],
    ['missed', 'NO_ANSWER', () => at.world.clock.advance(30_000)],
    ['cancelled by who is transferred', 'CANCELLED', (fresh: string) => at.hangs('bob/phone', fresh)],
    ['ended by an operator', 'ADMIN', () => at.world.calls.shutOut('carol')],
    [
      'run out, which a later command finds',
      'NO_ANSWER',
      async (fresh: string) => {
        at.world.calls.stop()
        await at.world.clock.advance(30_000)
        await at.accepts('carol/phone', fresh)
      },
    ],
    [
      'run out, which another request finds',
      'NO_ANSWER',
      async () => {
        at.world.calls.stop()
        await at.world.clock.advance(30_000)
        await at.requests('dave/phone', 'carol', 'c5')
      },
    ],
    [
      'run out, which another transfer finds',
      'NO_ANSWER',
      async () => {
        await at.connects('dave/phone', 'erin/phone', 'c6')
        at.world.calls.stop()
        await at.world.clock.advance(30_000)
        expect(await at.transfers('dave/phone', 'c6', 'carol')).toMatchObject({ ok: true })
      },
    ],
  ])('the old call comes back in the same commit when the new one is %s', async (_, reason, ends) => {
    at.world.devices.connect('erin', 'erin/phone')
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    await ends(fresh)
    const failed = `c1 call/transfer FAILED ${reason}`
    expect(at.hears('alice/phone')).toEqual([failed])
    expect(hears('bob/phone', fresh).filter((line) => line.startsWith('c1'))).toEqual([failed])
    expect(await at.is('c1')).toBe('CONNECTED')
    expect((await at.call('c1'))?.transfer).toBeUndefined()
    expect([await at.line('alice'), await at.line('bob')]).toEqual([['c1'], ['c1']])
    expect(await at.is(fresh)).toMatch(/^(REJECTED|MISSED|CANCELLED)/)
  })

  test('a call that is on hold is still on hold when it comes back', async () => {
    await at.holds('alice/phone', 'c1')
    const fresh = await transfers()
    await at.rejects('carol/phone', fresh)
    expect((await at.call('c1'))?.held).toEqual(['alice'])
  })

  test('HANGUP by who transfers leaves the other one with the new call', async () => {
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    await at.hangs('alice/phone')
    expect(hears('bob/phone', fresh)).toEqual(['c1 call/hangup TRANSFERRED'])
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['COMPLETED TRANSFERRED', 'RINGING'])
    at.world.devices.forgetHeard()
    await at.accepts('carol/phone', fresh)
    expect(hears('bob/phone', fresh)).toEqual(['new call/response ACCEPT'])
    expect(at.hears('alice/phone')).toEqual([])
  })

  test('who was left with the new call hears how that ends, and nothing more of the old one', async () => {
    const fresh = await transfers()
    await at.hangs('alice/phone')
    at.world.devices.forgetHeard()
    await at.rejects('carol/phone', fresh)
    expect(hears('bob/phone', fresh)).toEqual(['new call/response REJECT DECLINED'])
    expect(at.hears('alice/phone')).toEqual([])
  })

  test('HANGUP by who is transferred ends both', async () => {
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    await at.hangs('bob/phone', 'c1')
    expect(at.hears('alice/phone')).toEqual(['c1 call/hangup HANGUP'])
    expect(hears('carol/phone', fresh)).toEqual(['new call/hangup CANCELLED'])
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['COMPLETED HANGUP', 'CANCELLED CANCELLED'])
  })

  test('when the old call is lost, the new one goes on', async () => {
    const fresh = await transfers()
    await at.leaves('alice/phone')
    at.world.calls.stop()
    await at.world.clock.advance(29_999)
    await at.accepts('carol/phone', fresh)
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['COMPLETED TRANSFERRED', 'CONNECTED'])
  })

  test('who is transferred and is lost in the middle: the new call ends, and the old one as any', async () => {
    const fresh = await transfers()
    await at.leaves('bob/phone')
    await at.world.clock.advance(10_000)
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['CONNECTED', 'CANCELLED CALLER_LOST'])
    expect(at.hears('alice/phone').at(-1)).toBe('c1 call/transfer FAILED CALLER_LOST')
    await at.world.clock.advance(20_000)
    expect(await at.is('c1')).toBe('COMPLETED PEER_LOST')
  })

  test('what becomes of a device is noted in the new call, though nobody has known of it who tells', async () => {
    const fresh = await transfers()
    const line = at.world.store.line.bind(at.world.store)
    at.world.store.line = (user) => (line(user) as readonly Call[]).filter(({ callId }) => callId === 'c1')
    await at.leaves('bob/phone')
    expect((await at.call(fresh))?.origin.lostAt).toBe(at.world.clock.now())
    await at.world.calls.returned('bob', 'bob/phone', 'token of bob/phone')
    expect((await at.call(fresh))?.origin.lostAt).toBeUndefined()
  })

  test('the same again is answered as the first one was, another one is 1008', async () => {
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    expect(await at.transfers('alice/phone', 'c1', 'carol')).toEqual({ ok: true, data: { newCallId: fresh } })
    expect(at.world.devices.heard).toEqual([])
    expect(await at.transfers('alice/phone', 'c1', 'dave')).toMatchObject({ code: 1008, status: 'CONNECTED' })
    expect(await at.transfers('bob/phone', 'c1', 'carol')).toMatchObject({ code: 1008 })
  })

  test('that is under way is told to who asks how the call is on hold, to nobody else, and not any more when it is over', async () => {
    const fresh = await transfers()
    at.world.devices.forgetHeard()
    await at.holds('bob/phone', 'c1', false)
    expect(at.world.devices.heard.map(({ device, queue, body }) => [device, queue, body])).toEqual([
      ['bob/phone', 'call/hold', expect.objectContaining({ by: 'alice', hold: false })],
      [
        'bob/phone',
        'call/transfer',
        { callId: 'c1', newCallId: fresh, state: 'RINGING', target: 'carol', transferredBy: 'alice', mode: 'BLIND' },
      ],
    ])
    await at.rejects('carol/phone', fresh)
    at.world.devices.forgetHeard()
    await at.holds('alice/phone', 'c1', false)
    expect(at.hears('alice/phone')).toEqual(['c1 call/hold off by bob'])
  })

  test('by the user over HTTP, and not by another device of theirs', async () => {
    expect(await at.transfers('alice/laptop', 'c1', 'carol')).toMatchObject({ code: 1004 })
    expect(await at.transfers('dave/phone', 'c1', 'carol')).toMatchObject({ code: 403 })
    const fresh = await transfers('alice')
    expect(hears('alice/phone', fresh)).toEqual(['c1 call/transfer RINGING'])
  })

  test('to oneself, or to who is in the call, is 400', async () => {
    expect(await at.transfers('alice/phone', 'c1', 'alice')).toMatchObject({ code: 400, callId: 'c1' })
    expect(await at.transfers('alice/phone', 'c1', 'bob')).toMatchObject({ code: 400 })
  })

  test('of somebody whose client cannot is 1007', async () => {
    await at.connects('carol/phone', 'dave/phone', 'c2', ['hold'])
    expect(await at.transfers('carol/phone', 'c2', 'erin')).toMatchObject({ code: 1007, callId: 'c2' })
  })

  test('to somebody who is busy is 1001, and nothing changes', async () => {
    await at.connects('carol/phone', 'dave/phone', 'c2')
    expect(await at.transfers('alice/phone', 'c1', 'carol')).toMatchObject({ code: 1001, reason: 'BUSY' })
    expect(await at.call('c1')).toMatchObject({ version: 3, status: 'CONNECTED' })
    expect(at.world.devices.heard).toEqual([])
  })

  test('of a call that is not connected is 1008, of one that is over 1005, of none 404', async () => {
    await at.requests('carol/phone', 'dave', 'c2')
    expect(await at.transfers('carol/phone', 'c2', 'erin')).toMatchObject({ code: 1008, status: 'RINGING' })
    await at.hangs('alice/phone')
    expect(await at.transfers('alice/phone', 'c1', 'erin')).toMatchObject({ code: 1005 })
    expect(await at.transfers('alice/phone', 'c9', 'erin')).toMatchObject({ code: 404 })
  })

  test('of somebody who is in a second call is 1008', async () => {
    await at.holds('bob/phone', 'c1')
    await at.requests('bob/phone', 'dave', 'c2')
    expect(await at.transfers('alice/phone', 'c1', 'carol')).toMatchObject({ code: 1008 })
  })

  test('to somebody without a device waits, or is 1003 where the operator wants that', async () => {
    const fresh = await transfers('alice/phone', 'erin')
    expect(await at.is(fresh)).toBe('CALLING')
    at.world.devices.connect('erin', 'erin/phone')
    await at.world.calls.appeared('erin', 'erin/phone')
    expect(hears('erin/phone', fresh)).toEqual(['new call/request VIDEO'])
    at = new Table(DEVICES, { offline: 'fail' })
    await at.connects('alice/phone', 'bob/phone', 'c1')
    expect(await at.transfers('alice/phone', 'c1', 'erin')).toMatchObject({ code: 1003 })
  })

  test('again after one has failed', async () => {
    const fresh = await transfers()
    await at.rejects('carol/phone', fresh)
    expect(await transfers('bob/phone', 'dave')).not.toBe(fresh)
    expect((await at.call('c1'))?.transfer).toMatchObject({ by: 'bob', target: 'dave' })
  })
})

describe('ATTENDED', () => {
  beforeEach(async () => {
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
  })

  test('rings the target on the device that it talks on, with the call that it replaces', async () => {
    const fresh = await transfers('alice/phone', 'carol', 'c2')
    const rings = at.world.devices.heard.filter(({ queue }) => queue === 'call/request')
    expect(rings).toMatchObject([
      { device: 'carol/phone', body: { callId: fresh, caller: 'bob', transferredBy: 'alice', replaces: 'c2' } },
    ])
    expect(at.world.devices.heard[0]?.body).toMatchObject({ state: 'RINGING', mode: 'ATTENDED', target: 'carol' })
    expect(await at.line('carol')).toEqual(['c2', fresh].sort())
    expect(await at.line('alice')).toEqual(['c1', 'c2'])
  })

  test('is done when the target answers: both old calls are over', async () => {
    const fresh = await transfers('alice/phone', 'carol', 'c2')
    at.world.devices.forgetHeard()
    await at.accepts('carol/phone', fresh)
    expect(hears('bob/phone', fresh)).toEqual([
      'new call/response ACCEPT',
      'c1 call/transfer DONE',
      'c1 call/hangup TRANSFERRED',
    ])
    expect(at.hears('carol/phone')).toEqual(['c2 call/hangup TRANSFERRED'])
    expect(at.hears('alice/phone')).toEqual([
      'c1 call/transfer DONE',
      'c1 call/hangup TRANSFERRED',
      'c2 call/hangup TRANSFERRED',
    ])
    for (const callId of ['c1', 'c2']) expect(await at.is(callId)).toBe('COMPLETED TRANSFERRED')
    expect([await at.line('alice'), await at.line('bob'), await at.line('carol')]).toEqual([[], [fresh], [fresh]])
  })

  test('the call with the target goes on as it was when it is not answered', async () => {
    const fresh = await transfers('alice/phone', 'carol', 'c2')
    await at.world.clock.advance(30_000)
    expect([await at.is('c1'), await at.is('c2'), await at.is(fresh)]).toEqual([
      'CONNECTED',
      'CONNECTED',
      'MISSED NO_ANSWER',
    ])
    expect(await at.line('carol')).toEqual(['c2'])
  })

  test('the call with the target may end before it is answered', async () => {
    const fresh = await transfers('alice/phone', 'carol', 'c2')
    await at.hangs('alice/phone', 'c2')
    expect(await at.is('c2')).toBe('COMPLETED HANGUP')
    await at.accepts('carol/phone', fresh)
    expect([await at.is('c1'), await at.is(fresh)]).toEqual(['COMPLETED TRANSFERRED', 'CONNECTED'])
  })

  test('rings a device of the target that comes when the one that it talked on is gone', async () => {
    const fresh = await transfers('alice/phone', 'carol', 'c2')
    await at.leaves('carol/phone')
    at.world.devices.connect('carol', 'carol/reloaded')
    await at.world.calls.appeared('carol', 'carol/reloaded')
    expect(hears('carol/reloaded', fresh)).toEqual(['new call/request VIDEO'])
  })

  test.each([
    ['another call of the two', 'c1'],
    ['no call', 'c7'],
    ['a call with somebody else', 'c3'],
  ])('with %s is 400', async (_, withCallId) => {
    await at.connects('dave/phone', 'erin/phone', 'c3')
    expect(await at.transfers('alice/phone', 'c1', 'carol', withCallId)).toMatchObject({ code: 400 })
  })

  test('to a target whose client cannot is 1007', async () => {
    await at.hangs('alice/phone', 'c2')
    await at.connects('alice/phone', 'carol/phone', 'c3', ['hold'])
    expect(await at.transfers('alice/phone', 'c1', 'carol', 'c3')).toMatchObject({ code: 1007 })
  })

  test('while the call with the target still rings is 1008', async () => {
    await at.hangs('alice/phone', 'c2')
    await at.requests('alice/phone', 'carol', 'c3')
    expect(await at.transfers('alice/phone', 'c1', 'carol', 'c3')).toMatchObject({ code: 1008 })
  })

  test('to a target who is in yet another call is 1001', async () => {
    at = new Table(DEVICES, { callWaiting: true })
    await at.connects('alice/phone', 'bob/phone', 'c1')
    await at.holds('alice/phone', 'c1')
    await at.connects('alice/phone', 'carol/phone', 'c2')
    await at.requests('dave/phone', 'carol', 'c3')
    expect(await at.transfers('alice/phone', 'c1', 'carol', 'c2')).toMatchObject({ code: 1001 })
  })

  test('of two who transfer each other away at the same time one does', async () => {
    await transfers('alice/phone', 'carol', 'c2')
    expect(await at.transfers('carol/phone', 'c2', 'dave')).toMatchObject({ code: 1008 })
  })
})
