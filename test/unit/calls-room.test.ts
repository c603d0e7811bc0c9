/** The rows of docs/calls.md, "Rooms". */

import { beforeEach, describe, expect, test } from '@jest/globals'
import { actor } from '../support/engine.ts'
import { RoomTable } from '../support/room-table.ts'

const DEVICES = ['alice/1', 'alice/2', 'bob/1', 'bob/2', 'carol/1', 'carol/2', 'dave/1', 'erin/1']

let table: RoomTable

beforeEach(() => {
  table = new RoomTable(DEVICES).connects('alice/1', 'bob/1')
})

/** alice and bob, and carol who has answered on her first device. */
const threeAreIn = () => {
  table.invites('alice/1', 'carol')
  table.accepts('carol/1')
  table.forgets()
}

describe('INVITE in a call of two', () => {
  test('makes it a room of both, in which the invitee rings on every device', () => {
    const { callId } = { callId: 'c1' }
    expect(table.invites('bob/1', 'carol')).toMatchObject({ ok: true, data: { callId } })
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol RINGING')
    const members = [
      { userId: 'alice', name: 'Mx alice', state: 'JOINED' },
      { userId: 'bob', state: 'JOINED' },
      { userId: 'carol', state: 'RINGING', invitedBy: 'bob' },
    ]
    const [roster] = table.said('alice/1')
    expect(roster).toMatchObject({ queue: 'call/room' })
    expect(roster?.body).toEqual({
      callId,
      type: 'VIDEO',
      media: { kind: 'mesh' },
      members,
      by: 'bob',
      version: expect.any(Number),
    })
    expect(table.hears('bob/1')).toEqual(['call/room'])
    expect(table.said('carol/1').map(({ body }) => body)).toEqual([
      {
        callId,
        type: 'VIDEO',
        callee: 'carol',
        caller: 'bob',
        callerUserName: 'bob',
        remainingMs: 30_000,
        room: true,
        media: { kind: 'mesh' },
        members,
      },
    ])
    expect(table.hears('carol/2')).toEqual(['call/request VIDEO'])
    expect([table.hears('alice/2'), table.hears('bob/2')]).toEqual([[], []])
    expect(table.news).toEqual(['member.invited carol'])
  })

  test('shows the inviter by the name that the request gave them', () => {
    table = new RoomTable(DEVICES).connects('alice/1', 'bob/1', undefined, { calleeUserName: 'Bob B.' })
    table.invites('bob/1', 'carol')
    expect(table.said('carol/1')[0]?.body).toMatchObject({ caller: 'bob', callerUserName: 'Bob B.' })
    table.invites('alice/1', 'dave')
    expect(table.said('dave/1')[0]?.body).toMatchObject({ caller: 'alice', callerUserName: 'Mx alice' })
  })

  test('of somebody who is in another call shows them as BUSY and rings nobody', () => {
    table.busy.add('carol')
    expect(table.invites('alice/1', 'carol', 'dave')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol BUSY, dave RINGING')
    expect(table.hears('carol/1')).toEqual([])
    expect(table.news).toEqual(['member.invited carol', 'member.invited dave'])
  })

  test('without the feature on both sides is 1007', () => {
    for (const features of [
      [['room'], []],
      [[], ['room']],
      [[], []],
    ] as const) {
      table = new RoomTable(DEVICES).connects('alice/1', 'bob/1', features as never)
      expect(table.invites('alice/1', 'carol')).toMatchObject({ code: 1007, callId: 'c1' })
      expect(table.call?.members).toBeUndefined()
    }
  })

  test('is 1008 before the answer, on hold, and while it is being transferred', () => {
    const connected = table.call
    if (!connected) throw new Error('no call')
    table.call = { ...connected, held: ['bob'] }
    expect(table.invites('alice/1', 'carol')).toMatchObject({ code: 1008, status: 'CONNECTED' })
    table.call = { ...connected, transfer: { to: 'c2', target: 'carol', by: 'bob', mode: 'BLIND' } }
    expect(table.invites('alice/1', 'carol')).toMatchObject({ code: 1008 })
    table.call = { ...connected, status: 'RINGING', winner: undefined }
    expect(table.invites('alice/1', 'carol')).toMatchObject({ code: 1008, status: 'RINGING' })
  })

  test('by a stranger is 403, by another device of a party 1004, by the user over HTTP fine', () => {
    expect(table.invites('carol/1', 'dave')).toMatchObject({ code: 403 })
    expect(table.invites('alice/2', 'dave')).toMatchObject({ code: 1004 })
    expect(table.invites('alice', 'dave')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice JOINED, bob JOINED, dave RINGING')
  })

  test('of nobody but those who are in the call changes nothing', () => {
    expect(table.invites('alice/1', 'bob', 'alice')).toMatchObject({ ok: true })
    expect(table.call?.members).toBeUndefined()
    expect(table.hears('bob/1')).toEqual([])
  })

  test('of more people than a room may have is 1009, and nobody rings', () => {
    expect(table.invites('alice/1', 'carol', 'dave', 'erin')).toMatchObject({ code: 1009, callId: 'c1' })
    expect(table.call?.members).toBeUndefined()
    expect(table.hears('carol/1')).toEqual([])
  })

  test('names somebody twice, and they ring once', () => {
    expect(table.invites('alice/1', 'carol', 'carol', 'dave', 'dave')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/request VIDEO'])
  })
})

describe('INVITE in a room', () => {
  test('by any member rings one more; who rings or is in it is left as they are', () => {
    threeAreIn()
    expect(table.invites('carol/1', 'dave', 'bob')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol JOINED, dave RINGING')
    table.forgets()
    expect(table.invites('bob/1', 'dave')).toMatchObject({ ok: true })
    expect(table.hears('dave/1')).toEqual([])
    expect(table.invites('alice/1', 'erin')).toMatchObject({ code: 1009 })
  })

  test('by somebody who rings is 1008, by somebody who has left as well', () => {
    threeAreIn()
    table.invites('alice/1', 'dave')
    expect(table.invites('dave/1', 'erin')).toMatchObject({ code: 1008, status: 'RINGING' })
    table.hangsUp('carol/1')
    expect(table.invites('carol/1', 'erin')).toMatchObject({ code: 1008, status: 'LEFT' })
  })

  test('asks those again who have left, declined or missed it', () => {
    threeAreIn()
    table.hangsUp('carol/1')
    table.invites('alice/1', 'dave')
    table.rejects('dave/1')
    table.forgets()
    expect(table.invites('bob/1', 'carol', 'dave')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol RINGING, dave RINGING')
    expect(table.hears('carol/2')).toEqual(['call/request VIDEO'])
    table.accepts('carol/2')
    expect(table.call?.members?.[2]).toMatchObject({ state: 'JOINED', leg: { device: 'carol/2' }, invitedBy: 'bob' })
  })

  test('forgets nobody who was in it, however often they are asked again in vain', () => {
    threeAreIn()
    table.waits(10_000)
    table.hangsUp('carol/1')
    const left = table.now
    table.waits(5_000)
    table.invites('alice/1', 'carol')
    table.waits(30_000)
    expect(table.call?.members?.[2]).toMatchObject({ state: 'MISSED', joinedAt: left - 10_000, leftAt: left })
  })

  test('remembers so many people, and takes no more', () => {
    table = new RoomTable(DEVICES, 8).connects('alice/1', 'bob/1')
    for (let n = 0; n < 30; n++) {
      expect(table.invites('alice/1', `stranger ${n}`)).toMatchObject({ ok: true })
      table.hangsUp(`stranger ${n}`)
    }
    expect(table.invites('alice/1', 'carol')).toMatchObject({ code: 1009 })
    expect(table.invites('alice/1', 'stranger 3')).toMatchObject({ ok: true })
  })
})

describe('a RINGING member', () => {
  beforeEach(() => {
    table.invites('alice/1', 'carol')
    table.forgets()
  })

  test('rings on a device that comes later, with the time that is left', () => {
    table.waits(12_000)
    table.appears('carol/3')
    expect(table.said('carol/3')[0]?.body).toMatchObject({ caller: 'alice', remainingMs: 18_000, room: true })
    table.appears('carol/3')
    expect(table.hears('carol/3')).toEqual([])
  })

  test('joins with the device that accepts; others of theirs stop, and all who are in it hear the roster', () => {
    expect(table.accepts('carol/1')).toMatchObject({ ok: true })
    expect(table.hears('carol/2')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
    for (const device of ['alice/1', 'bob/1', 'carol/1']) {
      const said = table.said(device)
      expect(said.map(({ queue }) => queue)).toEqual(['call/room'])
      expect(said[0]?.body).toMatchObject({ by: 'carol', members: [{}, {}, { userId: 'carol', state: 'JOINED' }] })
    }
    expect(table.news).toEqual(['member.joined carol'])
  })

  test('cannot join with a client that knows no rooms: it is over there (1007), and rings on elsewhere', () => {
    expect(table.accepts('carol/1', [])).toMatchObject({ code: 1007 })
    expect(table.hears('carol/1')).toEqual(['call/hangup'])
    expect([table.hears('carol/2'), table.hears('alice/1'), table.roster]).toEqual([
      [],
      [],
      'alice JOINED, bob JOINED, carol RINGING',
    ])
    table.appears('carol/1')
    expect(table.hears('carol/1')).toEqual([])
    expect(table.accepts('carol/1', null)).toMatchObject({ code: 1007 })
    expect(table.accepts('carol/2')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/hangup'])
  })

  test.each(['rejects', 'hangsUp'] as const)('%s: has declined, on all of their devices', (how) => {
    expect(table[how]('carol/1')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol DECLINED')
    expect(table.hears('carol/2')).toEqual(['call/down REJECT DECLINED_ELSEWHERE'])
    expect([table.hears('carol/1'), table.hears('alice/1'), table.hears('bob/1')]).toEqual([
      [],
      ['call/room'],
      ['call/room'],
    ])
    expect(table.news).toEqual(['member.gone carol'])
  })

  test('says BUSY on one device: others ring on; on the last it is BUSY', () => {
    table.rejects('carol/1', 'BUSY')
    expect([table.roster, table.hears('alice/1')]).toEqual(['alice JOINED, bob JOINED, carol RINGING', []])
    table.appears('carol/1')
    expect(table.hears('carol/1')).toEqual([])
    table.rejects('carol/2', 'BUSY')
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol BUSY')
  })

  test('has missed it when their time is over, to the millisecond', () => {
    table.waits(29_999)
    expect(table.roster).toContain('carol RINGING')
    table.waits(1)
    expect(table.roster).toContain('carol MISSED')
    expect([table.hears('carol/1'), table.hears('carol/2')]).toEqual([['call/timeout'], ['call/timeout']])
    expect(table.hears('alice/1')).toEqual(['call/room'])
    expect(table.news).toEqual(['member.gone carol'])
  })

  test('who accepts at the deadline is too late, a millisecond before it in time', () => {
    table.now += 30_000
    expect(table.accepts('carol/1')).toMatchObject({ code: 1005, status: 'MISSED' })
    expect(table.roster).toContain('carol MISSED')
    expect(table.hears('carol/1')).toEqual(['call/timeout', 'call/timeout'])
    table.invites('alice/1', 'carol')
    table.now += 29_999
    expect(table.accepts('carol/1')).toMatchObject({ ok: true })
  })

  test('may not signal before they answer', () => {
    expect(table.signals('carol/1', 'alice')).toMatchObject({ code: 403 })
  })

  test('loses a device that rang: the others ring, and it is told nothing more', () => {
    table.loses('carol/1')
    table.accepts('carol/2')
    expect(table.hears('carol/1')).toEqual([])
    expect(table.roster).toContain('carol JOINED')
  })

  test('hears how it ends on a device that is away and may come back', () => {
    table.loses('carol/1', true)
    table.accepts('carol/2')
    expect(table.hears('carol/1')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
  })

  test('rings on when the inviter goes', () => {
    table.hangsUp('alice/1')
    expect(table.roster).toBe('alice LEFT, bob JOINED, carol RINGING')
    table.accepts('carol/1')
    expect(table.roster).toBe('alice LEFT, bob JOINED, carol JOINED')
    expect(table.status).toBe('CONNECTED')
  })
})

describe('a JOINED member', () => {
  beforeEach(threeAreIn)

  test('who hangs up has left, the others go on', () => {
    expect(table.hangsUp('alice/1')).toMatchObject({ ok: true })
    expect(table.roster).toBe('alice LEFT, bob JOINED, carol JOINED')
    expect([table.hears('alice/1'), table.hears('bob/1'), table.hears('carol/1')]).toEqual([
      [],
      ['call/room'],
      ['call/room'],
    ])
    expect(table.status).toBe('CONNECTED')
  })

  test('who hangs up over HTTP hears it on the device that was in the room', () => {
    table.hangsUp('carol')
    expect(table.hears('carol/1')).toEqual(['call/hangup HANGUP'])
    expect(table.roster).toContain('carol LEFT')
  })

  test('cannot be taken out by another device of theirs', () => {
    expect(table.hangsUp('carol/2')).toMatchObject({ code: 1004 })
    expect(table.rejects('carol/2')).toMatchObject({ code: 1004 })
    expect(table.accepts('carol/2')).toMatchObject({ code: 1004 })
    expect(table.roster).toContain('carol JOINED')
  })

  test('accepts again: the same answer, and the roster', () => {
    expect(table.accepts('carol/1')).toMatchObject({ ok: true })
    expect([table.hears('carol/1'), table.hears('alice/1')]).toEqual([['call/room'], []])
  })

  test('hangs up again: the same answer, and the closing frame', () => {
    table.hangsUp('carol/1')
    expect(table.hangsUp('carol/1')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/hangup HANGUP'])
    expect(table.accepts('carol/1')).toMatchObject({ code: 1005, status: 'LEFT' })
    expect(table.accepts('carol/2')).toMatchObject({ code: 1004 })
  })

  test('whose device is lost stays for the grace, and has left after it', () => {
    table.loses('bob/1')
    table.waits(29_999)
    expect(table.roster).toContain('bob JOINED')
    table.waits(1)
    expect(table.roster).toBe('alice JOINED, bob LEFT, carol JOINED')
    expect(table.hears('bob/1')).toEqual(['call/hangup PEER_LOST'])
    expect([table.hears('alice/1'), table.hears('carol/1')]).toEqual([['call/room'], ['call/room']])
  })

  test('whose device comes back is still in it, with what it can do; each of the others learns of it once', () => {
    table.loses('bob/1')
    table.waits(29_999)
    table.returns('bob/1')
    table.waits(60_000)
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol JOINED')
    expect(table.call?.members?.[1]?.leg?.features).toEqual(['room'])
    for (const to of ['alice', 'alice', 'carol', 'carol']) table.signals('bob/1', to)
    const again = { from: 'bob', 'peer-reattached': 'true' }
    expect(table.said('alice/1').map(({ headers }) => headers)).toEqual([again, { from: 'bob' }])
    expect(table.said('carol/1').map(({ headers }) => headers)).toEqual([again, { from: 'bob' }])
  })

  test('who comes back as a new session with the same token is the same device when it speaks', () => {
    table.loses('carol/1')
    const again = { user: 'carol', device: 'carol/new', token: 'token of carol/1' }
    expect(table.does({ verb: 'accept', actor: again, features: ['room'] })).toMatchObject({ ok: true })
    expect(table.hears('carol/new')).toEqual(['call/room'])
    expect(table.call?.members?.[2]?.leg).toMatchObject({ device: 'carol/new', features: ['room'] })
    expect(table.call?.members?.[2]?.leg?.lostAt).toBeUndefined()
  })

  test('invites from a device that had been lost: it is there again', () => {
    table.loses('bob/1')
    table.does({
      verb: 'invite',
      actor: { user: 'bob', device: 'bob/new', token: 'token of bob/1' },
      invitees: ['dave'],
      ringMs: 30_000,
      media: { kind: 'mesh' },
      most: 4,
    })
    table.waits(30_000)
    expect(table.roster).toBe('alice JOINED, bob JOINED, carol JOINED, dave MISSED')
  })

  test('left at the same moment as another: one is left, and nobody hears of an end yet', () => {
    table.hangsUp('alice/1')
    table.hangsUp('bob/1')
    expect([table.roster, table.status]).toEqual(['alice LEFT, bob LEFT, carol JOINED', 'CONNECTED'])
  })
})

describe('a room that empties', () => {
  test('ends when one was alone in it for 30 s', () => {
    table.invites('alice/1', 'carol')
    table.rejects('carol/1')
    table.hangsUp('bob/1')
    table.forgets()
    table.waits(29_999)
    expect(table.status).toBe('CONNECTED')
    table.waits(1)
    expect(table.status).toBe('COMPLETED HANGUP')
    expect(table.roster).toBe('alice LEFT, bob LEFT, carol DECLINED')
    expect(table.hears('alice/1')).toEqual(['call/hangup HANGUP'])
    expect(table.news).toEqual(['call.ended'])
  })

  test('ends for those that ring, too: they have missed it', () => {
    threeAreIn()
    table.hangsUp('alice/1')
    table.waits(1_000)
    table.does({
      verb: 'invite',
      actor: { user: 'bob', device: 'bob/1', token: 'token of bob/1' },
      invitees: ['dave'],
      ringMs: 60_000,
      media: { kind: 'mesh' },
      most: 4,
    })
    table.hangsUp('bob/1')
    table.forgets()
    table.waits(30_000)
    expect(table.status).toBe('COMPLETED HANGUP')
    expect([table.hears('carol/1'), table.hears('dave/1')]).toEqual([['call/hangup HANGUP'], ['call/hangup HANGUP']])
    expect(table.roster).toBe('alice LEFT, bob LEFT, carol LEFT, dave MISSED')
    expect(table.news).toEqual(['member.gone dave', 'call.ended'])
  })

  test('ends at once when the last one goes', () => {
    table.invites('alice/1', 'carol')
    table.hangsUp('alice/1')
    table.forgets()
    table.hangsUp('bob/1')
    expect([table.status, table.roster]).toEqual(['COMPLETED HANGUP', 'alice LEFT, bob LEFT, carol MISSED'])
    expect([table.hears('bob/1'), table.hears('carol/1'), table.hears('carol/2')]).toEqual([
      [],
      ['call/hangup HANGUP'],
      ['call/hangup HANGUP'],
    ])
  })

  test('goes on when somebody comes in time', () => {
    table.invites('alice/1', 'carol')
    table.hangsUp('bob/1')
    table.waits(25_000)
    table.accepts('carol/1')
    table.waits(60_000)
    expect([table.status, table.roster]).toEqual(['CONNECTED', 'alice JOINED, bob LEFT, carol JOINED'])
  })

  test('ends by the longest call for everybody', () => {
    threeAreIn()
    table.waits(12 * 3_600_000)
    expect(table.status).toBe('COMPLETED MAX_DURATION')
    for (const device of ['alice/1', 'bob/1', 'carol/1'])
      expect(table.hears(device)).toEqual(['call/hangup MAX_DURATION'])
  })

  test('is decided deadline by deadline when nobody has looked for long', () => {
    threeAreIn()
    table.loses('alice/1')
    table.loses('bob/1')
    table.loses('carol/1')
    table.waits(24 * 3_600_000)
    expect(table.call?.endedAt).toBe(table.now)
    expect(table.roster).toBe('alice LEFT, bob LEFT, carol LEFT')
    for (const device of ['alice/1', 'bob/1', 'carol/1'])
      expect(table.hears(device).at(-1)).toBe('call/hangup PEER_LOST')
  })

  test('answers who comes after the end', () => {
    threeAreIn()
    table.invites('alice/1', 'dave')
    table.rejects('dave/1')
    for (const device of ['alice/1', 'bob/1', 'carol/1']) table.hangsUp(device)
    table.forgets()
    expect(table.accepts('dave/1')).toMatchObject({ code: 1005 })
    expect(table.hears('dave/1')).toEqual(['call/down REJECT DECLINED_ELSEWHERE'])
    expect(table.hangsUp('carol/1')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/hangup HANGUP'])
    expect(table.accepts('carol/2')).toMatchObject({ code: 1004 })
    expect(table.invites('alice/1', 'erin')).toMatchObject({ code: 1005 })
    expect(table.hangsUp('erin/1')).toMatchObject({ code: 403 })
    expect(table.signals('alice/1', 'bob')).toMatchObject({ ok: true })
    table.now += 10_000
    expect(table.signals('alice/1', 'bob')).toMatchObject({ code: 404 })
  })
})

describe('signalling in a room', () => {
  beforeEach(threeAreIn)

  test('goes to the device of the member that it names, octets untouched', () => {
    table.signals('alice/1', 'carol', '{ "x" : 1}')
    expect(table.said('carol/1')).toEqual([
      { device: 'carol/1', queue: 'signal', body: { text: '{ "x" : 1}' }, headers: { from: 'alice' } },
    ])
    expect([table.hears('bob/1'), table.hears('carol/2')]).toEqual([[], []])
  })

  test('changes nothing in the call', () => {
    const before = table.call
    table.signals('alice/1', 'carol')
    expect(table.call).toBe(before)
  })

  test('without `to` is refused with three, and goes to the other one of two', () => {
    expect(table.signals('alice/1')).toMatchObject({ code: 400, message: expect.stringContaining('to: is required') })
    table.hangsUp('bob/1')
    table.forgets()
    expect(table.signals('alice/1')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['signal'])
    table.hangsUp('carol/1')
    expect(table.signals('alice/1')).toMatchObject({ ok: true })
  })

  test('to oneself, to a stranger and to somebody who rings is 400', () => {
    table.invites('alice/1', 'dave')
    for (const to of ['alice', 'mallory', 'dave'])
      expect(table.signals('alice/1', to)).toMatchObject({ code: 400, message: 'to: is not in this call' })
    expect(table.hears('dave/1')).toEqual(['call/request VIDEO'])
  })

  test('to somebody who has just left is dropped without a word for 10 s', () => {
    table.hangsUp('carol/1')
    table.now += 9_999
    expect(table.signals('alice/1', 'carol')).toMatchObject({ ok: true })
    table.now += 1
    expect(table.signals('alice/1', 'carol')).toMatchObject({ code: 400 })
  })

  test('by somebody who has left is dropped for 10 s, then 404; by a stranger 403; by another device 1004', () => {
    table.hangsUp('carol/1')
    expect(table.signals('carol/1', 'alice')).toMatchObject({ ok: true })
    expect(table.signals('mallory/1', 'alice')).toMatchObject({ code: 403 })
    expect(table.signals('bob/2', 'alice')).toMatchObject({ code: 1004 })
    table.now += 10_000
    expect(table.signals('carol/1', 'alice')).toMatchObject({ code: 404 })
    expect(table.hears('alice/1').filter((frame) => frame === 'signal')).toEqual([])
  })
})

describe('hold and transfer in a room', () => {
  beforeEach(threeAreIn)
  const holds = (who: string, hold: boolean) => table.does({ verb: 'hold', actor: actor(who), hold })

  test('who holds it is told to all others, and no longer holds it when they have left', () => {
    table.loses('alice/2')
    expect(holds('bob/1', true)).toMatchObject({ ok: true })
    const body = { callId: 'c1', hold: true, by: 'bob' }
    for (const device of ['alice/1', 'carol/1'])
      expect(table.said(device)).toEqual([
        { device, queue: 'call/hold', body: { ...body, version: expect.any(Number) } },
      ])
    expect(table.hears('bob/1')).toEqual([])
    expect(holds('bob/1', true)).toMatchObject({ ok: true })
    expect(table.hears('alice/1')).toEqual([])
    expect(table.call?.held).toEqual(['bob'])
    table.hangsUp('bob/1')
    expect(table.call?.held).toEqual([])
  })

  test('is for those who are in it, on their own device', () => {
    table.invites('alice/1', 'dave')
    expect(holds('dave/1', true)).toMatchObject({ code: 1008 })
    expect(holds('bob/2', true)).toMatchObject({ code: 1004 })
    expect(holds('mallory/1', true)).toMatchObject({ code: 403 })
  })

  test('there is no transfer', () => {
    const transfer = { verb: 'transfer', mode: 'BLIND', target: 'dave', newCallId: 'c2' } as const
    const command = { ...transfer, ringMs: 30_000, unreachable: false }
    expect(table.does({ ...command, actor: actor('alice/1') })).toMatchObject({ code: 1008, status: 'CONNECTED' })
  })
})

describe('a member over HTTP', () => {
  test('joins as a whole, hears what was said before its device came, and is bound to the first that speaks', () => {
    table.invites('alice/1', 'carol')
    table.forgets()
    expect(table.accepts('carol')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/room'])
    expect(table.hears('carol/2')).toEqual(['call/room'])
    table.signals('alice/1', 'carol', 'offer of alice')
    table.signals('bob/1', 'carol', 'offer of bob')
    expect(table.hears('carol/2')).toEqual(['signal', 'signal'])
    table.does({ verb: 'listen', user: 'carol', device: 'carol/3' })
    expect(table.said('carol/3').map(({ body, headers }) => [body.text, headers?.from])).toEqual([
      ['offer of alice', 'alice'],
      ['offer of bob', 'bob'],
    ])
    table.forgets()
    expect(table.signals('carol/2', 'alice', 'answer')).toMatchObject({ ok: true })
    expect(table.hears('carol/1')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
    expect(table.hears('carol/2')).toEqual([])
    expect(table.call?.members?.[2]?.leg).toMatchObject({ device: 'carol/2', features: ['room'] })
    expect(table.call?.kept).toEqual([])
    table.signals('bob/1', 'carol', 'again')
    expect([table.hears('carol/1'), table.hears('carol/2')]).toEqual([[], ['signal']])
  })

  test('who asks nothing any more has left', () => {
    table.invites('alice/1', 'carol')
    table.accepts('carol')
    table.waits(119_999)
    table.does({ verb: 'hear', user: 'carol' })
    table.waits(119_999)
    expect(table.roster).toContain('carol JOINED')
    table.waits(1)
    expect(table.roster).toContain('carol LEFT')
  })

  test('of the two who made the room hears what was kept for them before it was one', () => {
    table = new RoomTable(DEVICES).connects('alice/1', 'bob')
    table.signals('alice/1', undefined, 'offer')
    table.invites('alice/1', 'carol')
    table.forgets()
    table.does({ verb: 'listen', user: 'bob', device: 'bob/1' })
    expect(table.said('bob/1')).toMatchObject([{ body: { text: 'offer' }, headers: { from: 'alice' } }])
    table.signals('bob/1', 'alice', 'answer')
    expect(table.hears('bob/2')).toEqual(['call/down ACCEPT ANSWERED_ELSEWHERE'])
  })
})

describe('operators', () => {
  beforeEach(threeAreIn)

  test('who shut out one member take that one out of the room', () => {
    table.does({ verb: 'shutOut', user: 'carol', device: 'carol/2' })
    expect(table.roster).toContain('carol JOINED')
    table.does({ verb: 'shutOut', user: 'carol', device: 'carol/1' })
    expect(table.hears('carol/1')).toEqual(['call/hangup ADMIN'])
    expect([table.roster, table.status]).toEqual(['alice JOINED, bob JOINED, carol LEFT', 'CONNECTED'])
  })

  test('who shut out somebody that is asked in end the ringing', () => {
    table.invites('alice/1', 'dave')
    table.forgets()
    table.does({ verb: 'shutOut', user: 'dave' })
    expect(table.hears('dave/1')).toEqual(['call/hangup ADMIN'])
    expect(table.roster).toContain('dave MISSED')
  })

  test('who stop the only server: what rings ends, those who talk are told that they are on their own', () => {
    table.invites('alice/1', 'dave')
    table.forgets()
    table.does({ verb: 'shutDown' })
    expect(table.hears('dave/1')).toEqual(['call/hangup ADMIN'])
    expect(table.hears('alice/1')).toEqual(['call/room', 'errors'])
    expect(table.hears('carol/1')).toEqual(['call/room', 'errors'])
    expect(table.status).toBe('CONNECTED')
  })
})

describe('who was in a room and is lost', () => {
  beforeEach(threeAreIn)
  const recall = (device: string, token: string) =>
    table.does({ verb: 'recall', user: 'carol', device, token, present: [] })

  test('hears its end by the token of the device that was in it, whether the room goes on or not', () => {
    table.loses('carol/1')
    recall('carol/new', 'token of carol/1')
    expect(table.hears('carol/new')).toEqual([])
    table.waits(30_000)
    recall('carol/new', 'token of carol/1')
    expect(table.hears('carol/new')).toEqual(['call/hangup PEER_LOST'])
    recall('carol/2', 'token of carol/2')
    expect(table.hears('carol/2')).toEqual([])
    table.hangsUp('alice/1')
    table.hangsUp('bob/1')
    recall('carol/new', 'token of carol/1')
    expect(table.hears('carol/new')).toEqual(['call/hangup HANGUP'])
  })
})
