/** Hold, transfer, call waiting and rooms in a client whose media are the application's, against a server played frame by frame. */

import { describe, expect, test } from '@jest/globals'
import { type Call, CallClient, CODE, type Feature, HEARS, type IncomingCall } from '../../client/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { ScriptedServer } from '../support/scripted-server.ts'

const ALL: readonly Feature[] = ['hold', 'transfer', 'room']

async function online(features: readonly Feature[] = ALL) {
  const server = new ScriptedServer()
  const clock = new TestClock()
  const client = new CallClient({
    url: 'http://test/imserver/ws',
    token: () => 'token',
    webSocketFactory: server.open,
    rtc: null,
    features,
    clock,
  })
  const rung: IncomingCall[] = []
  const begun: Call[] = []
  const switched: Call[] = []
  client.on('incoming', (call) => rung.push(call))
  client.on('outgoing', (call) => begun.push(call))
  client.on('switched', (call) => switched.push(call))
  await client.connect()
  return {
    server,
    clock,
    client,
    rung,
    begun,
    switched,
    tells: (destination: string, body: unknown, headers = {}) => server.socket.tells(destination, body, headers),
    sent: (destination: string) => server.socket.sent(destination),
    /** Lets the server refuse what is asked next. */
    async refuses(asks: () => Promise<unknown>, refusal: object) {
      server.receipts = false
      const asked = asks().then(
        () => 'done',
        (error) => error.code,
      )
      await settled()
      const receipt = server.socket.frames.at(-1)?.headers.receipt ?? ''
      await server.socket.tells(HEARS.errors, refusal, { 'receipt-id': receipt })
      server.receipts = true
      return asked
    },
  }
}

/** Alice (we) has called bob, who has answered with a client that can do these things. */
async function talks(theirs: readonly Feature[] | undefined = ALL, ours: readonly Feature[] = ALL) {
  const world = await online(ours)
  const call = await world.client.call('bob', { type: 'AUDIO', name: 'Alice' })
  await world.tells(HEARS.response, { callId: call.id, type: 'ACCEPT', features: theirs })
  expect(call.state).toBe('connected')
  return { ...world, call }
}

const OFFERED = {
  type: 'AUDIO',
  callee: 'alice',
  callerUserName: 'Carol',
  caller: 'carol',
  remainingMs: 30_000,
  features: ALL,
}

describe('what clients can do', () => {
  test('is said with a request and with an answer, and known of the other side', async () => {
    const { call, client, rung, tells, sent } = await talks()
    expect(sent('/app/call/request')).toMatchObject([{ features: ALL }])
    expect(call.can).toEqual({ hold: true, transfer: true, invite: true })
    await tells(HEARS.hangup, { callId: call.id })
    await tells(HEARS.request, { ...OFFERED, callId: 'c2', features: ['hold'] })
    await rung[0]?.accept()
    expect(sent('/app/call/response')).toEqual([{ callId: 'c2', type: 'ACCEPT', features: ALL }])
    expect(client.calls[0]?.can).toEqual({ hold: true, transfer: false, invite: false })
  })

  test('is not offered when either of the two cannot', async () => {
    const nothing = { hold: false, transfer: false, invite: false }
    expect((await talks(undefined, ['hold'])).call.can).toEqual({ ...nothing, hold: true })
    expect((await talks([])).call.can).toEqual(nothing)
    expect((await talks(ALL, [])).call.can).toEqual(nothing)
  })

  test('is not said by a client whose media are the application’s, unless it is told to', async () => {
    const { client, sent } = await online([])
    await client.call('bob')
    expect(sent('/app/call/request')).toEqual([expect.not.objectContaining({ features: expect.anything() })])
  })

  test('a server that does not know where such news are told is no error', async () => {
    const { client, tells } = await online()
    const errors: unknown[] = []
    client.on('error', (error) => errors.push(error))
    await tells(HEARS.errors, { code: 404, message: 'no such destination', destination: HEARS.room })
    expect(errors).toEqual([])
  })
})

describe('on hold', () => {
  test('a call is put and taken back by us, and each is told once', async () => {
    const { call, sent } = await talks()
    const heard: unknown[] = []
    call.on('held', (held) => heard.push(held))
    await call.hold()
    await call.hold()
    await call.resume()
    expect(sent('/app/call/hold')).toEqual([
      { callId: call.id, hold: true },
      { callId: call.id, hold: false },
    ])
    expect(heard).toEqual([
      { byMe: true, byPeer: false },
      { byMe: false, byPeer: false },
    ])
  })

  test('both sides may have it', async () => {
    const { call, tells } = await talks()
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'bob' })
    await call.hold()
    expect(call.held).toEqual({ byMe: true, byPeer: true })
    await tells(HEARS.hold, { callId: call.id, hold: false, by: 'bob' })
    expect([call.held, call.can.invite]).toEqual([{ byMe: true, byPeer: false }, false])
  })

  test('what the server refuses is as it was before', async () => {
    const { call, refuses } = await talks()
    expect(await refuses(() => call.hold(), { code: CODE.notNow, message: 'not now' })).toBe(CODE.notNow)
    expect([call.held.byMe, call.state]).toEqual([false, 'connected'])
  })

  test('a call that the server says is over ends here', async () => {
    const { call, refuses } = await talks()
    const refusal = { code: CODE.alreadyOver, message: 'over', callId: call.id, status: 'COMPLETED' }
    expect(await refuses(() => call.hold(), refusal)).toBe(CODE.alreadyOver)
    expect(call.state).toBe('ended')
  })

  test('is not possible before it is answered', async () => {
    const { client } = await online()
    const call = await client.call('bob')
    await expect(call.hold()).rejects.toMatchObject({ code: 'wrong-state' })
  })

  test('while the server is away it is told when it is back, and once more to a server that has missed it', async () => {
    const { call, server, clock } = await talks()
    server.socket.breaks(1006)
    await settled()
    const holding = call.hold()
    expect(call.held.byMe).toBe(true)
    await clock.advance(500)
    await holding
    expect(server.socket.sent('/app/call/hold')).toEqual([
      { callId: call.id, hold: true },
      { callId: call.id, hold: true },
    ])
  })

  test('of what the same person has said the later word counts, whatever order it comes in', async () => {
    const { call, tells } = await talks()
    await tells(HEARS.hold, { callId: call.id, hold: false, by: 'bob', version: 7 })
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'bob', version: 6 })
    expect(call.held.byPeer).toBe(false)
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'bob', version: 8 })
    expect(call.held.byPeer).toBe(true)
  })

  test.each([
    ['has taken', true, false],
    ['has put', false, true],
  ])(
    'that the other side %s meanwhile is learnt by a device that is a new one to the server',
    async (_what, before, now) => {
      const { call, server, clock, tells } = await talks()
      await tells(HEARS.hold, { callId: call.id, hold: before, by: 'bob', version: 4 })
      server.socket.breaks(1006)
      await clock.advance(500)
      expect(server.socket.sent('/app/call/hold')).toEqual([{ callId: call.id, hold: false }])
      await server.socket.tells(HEARS.hold, { callId: call.id, hold: now, by: 'bob', version: 5 })
      expect(call.held).toEqual({ byMe: false, byPeer: now })
    },
  )

  test('is not asked about when the other side knows nothing of it', async () => {
    const { server, clock } = await talks([])
    server.socket.breaks(1006)
    await clock.advance(500)
    expect(server.socket.sent('/app/call/hold')).toEqual([])
  })

  test('is no end of the call at a server that knows nothing of it', async () => {
    const { call, server, clock } = await talks()
    server.socket.breaks(1006)
    await settled()
    server.receipts = false
    await clock.advance(500)
    const answers = async (code: number, message: string, destination: string) => {
      const receipt = server.socket.sends(destination).at(-1)?.headers.receipt ?? ''
      await server.socket.tells(
        HEARS.errors,
        { code, message, destination, callId: call.id },
        { 'receipt-id': receipt },
      )
    }
    await answers(CODE.forbidden, 'only the callee', '/app/call/ringing')
    server.socket.receipt(server.socket.sends('/app/call/request').at(-1)?.headers.receipt ?? '')
    await settled()
    await answers(CODE.notFound, 'no such destination', '/app/call/hold')
    expect([call.state, call.forgotten, call.reconnecting]).toEqual(['connected', false, false])
  })

  test('a second call is answered, the first rests, and one is changed for the other', async () => {
    const { call, rung, tells, sent } = await talks()
    await tells(HEARS.request, { ...OFFERED, callId: 'c2', waiting: true })
    const [second] = rung as [IncomingCall]
    expect(second.waiting).toBe(true)
    await second.accept()
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'alice' })
    expect([call.held.byMe, second.held.byMe]).toEqual([true, false])
    await call.resume()
    expect([call.held.byMe, second.held.byMe]).toEqual([false, true])
    expect(sent('/app/call/hold')).toEqual([{ callId: call.id, hold: false }])
  })
})

describe('a transfer', () => {
  const news = (call: Call, state: string, more = {}) => ({
    callId: call.id,
    newCallId: 'c3',
    state,
    target: 'carol',
    transferredBy: 'alice',
    mode: 'BLIND',
    ...more,
  })

  test('is asked for, rests the call, and ends it when it is done', async () => {
    const { call, begun, tells, sent } = await talks()
    const told: unknown[] = []
    call.on('transfer', ({ state }) => told.push(state))
    await call.transfer('carol')
    expect(sent('/app/call/transfer')).toEqual([{ callId: call.id, target: 'carol', mode: 'BLIND' }])
    await tells(HEARS.transfer, news(call, 'RINGING'))
    expect([call.transferring?.byMe, call.can.transfer, begun.length]).toEqual([true, false, 1])
    await tells(HEARS.transfer, news(call, 'DONE'))
    await tells(HEARS.hangup, { callId: call.id, reason: 'TRANSFERRED' })
    expect([call.state, call.endReason, call.endedBy, told]).toEqual([
      'ended',
      'transferred',
      'me',
      ['ringing', 'done'],
    ])
  })

  test('that nobody answers leaves the call as it was', async () => {
    const { call, tells } = await talks()
    await tells(HEARS.transfer, news(call, 'RINGING'))
    const failed = new Promise((tell) => call.on('transfer', tell))
    await tells(HEARS.transfer, news(call, 'FAILED', { reason: 'DECLINED' }))
    expect(await failed).toMatchObject({ state: 'failed', reason: 'DECLINED', target: 'carol' })
    expect([call.state, call.transferring, call.can.transfer]).toEqual(['connected', undefined, true])
  })

  test.each([
    ['goes on', true],
    ['has failed', false],
  ])('%s while this device is away without a bridge, and it learns of that', async (_what, goesOn) => {
    const { call, server, clock, tells } = await talks()
    const told: unknown[] = []
    call.on('transfer', ({ state }) => told.push(state))
    await tells(HEARS.transfer, news(call, 'RINGING'))
    server.socket.breaks(1006)
    await settled()
    server.receipts = (destination) => destination !== '/app/call/hold'
    await clock.advance(500)
    const [asked] = server.socket.sends('/app/call/hold')
    if (goesOn) await server.socket.tells(HEARS.transfer, news(call, 'RINGING'))
    expect(call.transferring).toBeDefined()
    server.socket.receipt(asked?.headers.receipt ?? '')
    await settled()
    expect([call.state, call.transferring?.newCallId]).toEqual(['connected', goesOn ? 'c3' : undefined])
    expect(told).toEqual(['ringing', goesOn ? 'ringing' : 'failed'])
  })

  test('to somebody whom we have asked first names the call with them', async () => {
    const { call, client, tells, sent } = await talks()
    await call.hold()
    const second = await client.call('carol', { type: 'AUDIO' })
    await tells(HEARS.response, { callId: second.id, type: 'ACCEPT', features: ALL })
    await call.transfer(second)
    expect(sent('/app/call/transfer')).toEqual([
      { callId: call.id, target: 'carol', mode: 'ATTENDED', withCallId: second.id },
    ])
  })

  test('that is refused changes nothing', async () => {
    const { call, refuses } = await talks()
    const refusal = { code: CODE.busy, message: 'busy', reason: 'BUSY', callId: call.id }
    expect(await refuses(() => call.transfer('carol'), refusal)).toBe(CODE.busy)
    expect([call.state, call.transferring]).toEqual(['connected', undefined])
  })

  describe('by the other side', () => {
    const byBob = { transferredBy: 'bob' }

    test('begins a new call, which takes the place of the old one when it is answered', async () => {
      const { call, begun, tells } = await talks()
      await tells(HEARS.transfer, news(call, 'RINGING', byBob))
      await tells(HEARS.transfer, news(call, 'RINGING', byBob))
      expect(begun).toHaveLength(2)
      const [, fresh] = begun as [Call, Call]
      expect(fresh).toMatchObject({
        id: 'c3',
        direction: 'outgoing',
        type: 'AUDIO',
        peer: { userId: 'carol' },
        transferredBy: { userId: 'bob' },
        replaces: call,
      })
      await tells(HEARS.ringing, { callId: 'c3' })
      await tells(HEARS.response, { callId: 'c3', type: 'ACCEPT', features: ALL })
      await tells(HEARS.transfer, news(call, 'DONE', byBob))
      await tells(HEARS.hangup, { callId: call.id, reason: 'TRANSFERRED' })
      expect([call.endReason, call.endedBy, fresh.state]).toEqual(['transferred', 'peer', 'connected'])
    })

    test('ends with the old call when that is hung up here', async () => {
      const { call, begun, tells, sent } = await talks()
      await tells(HEARS.transfer, news(call, 'RINGING', byBob))
      call.hangUp()
      expect(begun[1]).toMatchObject({ state: 'ended', endReason: 'cancelled', endedBy: 'me' })
      expect(sent('/app/call/hangup')).toEqual([{ callId: call.id }])
    })
  })

  test('to us by somebody we talk with is answered by itself, and nothing rings', async () => {
    const { call, rung, switched, tells, sent } = await talks()
    const offered = { ...OFFERED, callId: 'c3', transferredBy: 'bob', transferredByUserName: 'Bob', replaces: call.id }
    await tells(HEARS.request, offered)
    expect(rung).toEqual([])
    expect(switched).toMatchObject([{ id: 'c3', state: 'connected', replaces: call, transferredBy: { name: 'Bob' } }])
    expect(sent('/app/call/response')).toMatchObject([{ callId: 'c3', type: 'ACCEPT' }])
  })

  test.each([
    ['a call that is not here', { replaces: 'another', transferredBy: 'bob' }],
    ['a call with somebody else', { transferredBy: 'mallory' }],
  ])('that says it replaces %s rings as any', async (_name, facts) => {
    const { call, rung, switched, tells } = await talks()
    await tells(HEARS.request, { ...OFFERED, callId: 'c3', replaces: call.id, ...facts })
    expect([rung.map(({ id, state }) => [id, state]), switched]).toEqual([[['c3', 'ringing']], []])
  })
})

describe('a room', () => {
  const member = (userId: string, state: string) => ({ userId, state })
  const roster = (callId: string, ...members: object[]) => ({ callId, type: 'AUDIO', media: { kind: 'mesh' }, members })
  const states = (call: Call) => call.room?.members.map(({ userId, state }) => `${userId} ${state}`)

  test('is made by inviting, and shows who rings, joins and leaves', async () => {
    const { call, tells, sent } = await talks()
    await call.invite(['carol', 'dave'])
    expect(sent('/app/call/invite')).toEqual([{ callId: call.id, invitees: ['carol', 'dave'] }])
    const both = [member('alice', 'JOINED'), member('bob', 'JOINED')]
    await tells(HEARS.room, roster(call.id, ...both, member('carol', 'RINGING'), member('dave', 'BUSY')))
    expect(states(call)).toEqual(['alice joined', 'bob joined', 'carol ringing', 'dave busy'])
    expect([call.can, call.room?.members.find(({ me }) => me)?.userId]).toEqual([
      { hold: true, transfer: false, invite: true },
      'alice',
    ])
    await tells(HEARS.room, roster(call.id, ...both, member('carol', 'JOINED'), member('dave', 'BUSY')))
    await tells(
      HEARS.room,
      roster(call.id, member('alice', 'JOINED'), member('bob', 'LEFT'), member('carol', 'JOINED')),
    )
    expect(states(call)).toEqual(['alice joined', 'bob left', 'carol joined'])
    expect(call.state).toBe('connected')
  })

  test('that was earlier, but comes later, changes nothing', async () => {
    const { call, tells } = await talks()
    const both = [member('alice', 'JOINED'), member('bob', 'JOINED')]
    await tells(HEARS.room, { ...roster(call.id, ...both, member('carol', 'JOINED')), version: 7 })
    await tells(HEARS.room, { ...roster(call.id, ...both, member('carol', 'RINGING')), version: 6 })
    expect(states(call)).toEqual(['alice joined', 'bob joined', 'carol joined'])
    await tells(HEARS.room, { ...roster(call.id, ...both, member('carol', 'LEFT')), version: 7 })
    expect(states(call)).toEqual(['alice joined', 'bob joined', 'carol left'])
  })

  test('signals in it say for whom and from whom they are', async () => {
    const { call, tells, sent } = await talks()
    await tells(
      HEARS.room,
      roster(call.id, member('alice', 'JOINED'), member('bob', 'JOINED'), member('carol', 'JOINED')),
    )
    const heard: unknown[] = []
    call.on('signal', (signal) => heard.push(signal))
    call.signal('OFFER', 'sdp', 'carol')
    await tells(HEARS.signaling, { callId: call.id, type: 'ANSWER', payload: 'theirs' }, { from: 'carol' })
    expect(sent('/app/rtc/signaling')).toEqual([{ callId: call.id, type: 'OFFER', payload: 'sdp', to: 'carol' }])
    expect(heard).toEqual([{ type: 'ANSWER', payload: 'theirs', from: 'carol' }])
  })

  test('we are invited into rings, and is joined by answering', async () => {
    const { rung, tells, sent } = await online()
    const members = [member('carol', 'JOINED'), member('bob', 'JOINED'), member('alice', 'RINGING')]
    await tells(HEARS.request, { ...OFFERED, callId: 'r1', room: true, members })
    const [call] = rung as [IncomingCall]
    expect(states(call)).toEqual(['carol joined', 'bob joined', 'alice ringing'])
    await call.accept()
    await tells(HEARS.room, roster('r1', ...members.slice(0, 2), member('alice', 'JOINED')))
    expect([call.state, call.can.invite, sent('/app/call/response')]).toEqual([
      'connected',
      true,
      [{ callId: 'r1', type: 'ACCEPT', features: ALL }],
    ])
  })

  test('that is full says so', async () => {
    const { call, refuses } = await talks()
    const asked = refuses(() => call.invite(['carol']), { code: CODE.roomFull, message: 'full', callId: call.id })
    expect(await asked).toBe(CODE.roomFull)
  })

  test('who has left holds it no more', async () => {
    const { call, tells } = await talks()
    await tells(
      HEARS.room,
      roster(call.id, member('alice', 'JOINED'), member('bob', 'JOINED'), member('carol', 'JOINED')),
    )
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'carol' })
    expect(call.room?.members.filter(({ held }) => held).map(({ userId }) => userId)).toEqual(['carol'])
    await tells(
      HEARS.room,
      roster(call.id, member('alice', 'JOINED'), member('bob', 'JOINED'), member('carol', 'LEFT')),
    )
    expect(call.held.byPeer).toBe(false)
  })

  test('after an interruption that the server did not bridge it is asked about without changing it', async () => {
    const { call, server, clock, tells } = await talks()
    await tells(
      HEARS.room,
      roster(call.id, member('alice', 'JOINED'), member('bob', 'JOINED'), member('carol', 'JOINED')),
    )
    server.socket.breaks(1006)
    await clock.advance(500)
    expect(server.socket.sent('/app/call/response')).toEqual([{ callId: call.id, type: 'ACCEPT', features: ALL }])
    expect([server.socket.sent('/app/call/hold'), server.socket.sent('/app/call/request')]).toEqual([
      [{ callId: call.id, hold: false }],
      [],
    ])
  })
})

describe('calls of the past', () => {
  const MISSED = { callId: 'm1', type: 'AUDIO', direction: 'incoming', seenAs: 'missed', peer: { userId: 'carol' } }

  async function asks(answer: () => Response | Promise<Response>) {
    const asked: [string, unknown][] = []
    const client = new CallClient({
      url: 'wss://host/imserver/ws?x=1',
      token: () => 'token',
      rtc: null,
      fetch: async (url, options) => {
        asked.push([String(url), options?.headers])
        return answer()
      },
    })
    return { client, asked }
  }

  test('are asked for over HTTP, with the token, a page at a time', async () => {
    const data = { records: [MISSED], next: 'n', unreadMissed: 1 }
    const { client, asked } = await asks(() => Response.json({ code: 200, msg: 'ok', data }))
    expect(await client.history({ only: 'missed', size: 5, cursor: 'c d' })).toEqual(data)
    expect(asked).toEqual([['https://host/imserver/call/history?only=missed&size=5&cursor=c+d', { ide: 'token' }]])
  })

  test.each([
    ['refuses', () => Response.json({ code: 400, msg: 'size: must be …' }, { status: 400 }), 400],
    ['is behind a proxy that cannot reach it', () => new Response('<html>', { status: 502 }), 502],
    ['cannot be reached', () => Promise.reject(new TypeError('fetch failed')), 'offline'],
    ['answers something else', () => Response.json({ code: 200, data: null }), 'bad-message'],
  ])('of a server that %s fail with its code', async (_name, answer, code) => {
    const { client } = await asks(answer)
    await expect(client.history()).rejects.toMatchObject({ name: 'CallError', code })
  })

  test('that were missed are told, and marked as read on the connection', async () => {
    const { client, tells, sent } = await online()
    const told: unknown[] = []
    client.on('missed', (missed) => told.push(missed))
    await tells(HEARS.missed, { unread: 1, calls: [MISSED] })
    await tells(HEARS.missed, { unread: 'many' })
    await client.markMissedRead()
    expect([told, sent('/app/call/history/read')]).toEqual([[{ unread: 1, calls: [MISSED] }], [{}]])
  })
})
