/** Calls of a client without media, against a server played frame by frame. */

import { describe, expect, test } from '@jest/globals'
import { type Call, CallClient, CODE, HEARS, type IncomingCall } from '../../client/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { ScriptedServer } from '../support/scripted-server.ts'

async function online() {
  const server = new ScriptedServer()
  const clock = new TestClock()
  const client = new CallClient({
    url: 'http://test/imserver/ws',
    token: () => 'token',
    userId: 'alice',
    webSocketFactory: server.open,
    rtc: null,
    clock,
  })
  const rung: IncomingCall[] = []
  client.on('incoming', (call) => rung.push(call))
  await client.connect()
  const tells = (destination: string, body: unknown, headers = {}) => server.socket.tells(destination, body, headers)
  return { server, clock, client, rung, tells }
}

const OFFERED = {
  callId: 'c1',
  type: 'AUDIO',
  callee: 'alice',
  callerUserName: 'Bob',
  caller: 'bob',
  remainingMs: 30_000,
}

async function incoming(offered: object = OFFERED) {
  const world = await online()
  await world.tells(HEARS.request, offered)
  const [call] = world.rung
  if (!call) throw new Error('nothing rings')
  return { ...world, call, sent: (destination: string) => world.server.socket.sent(destination) }
}

async function outgoing() {
  const world = await online()
  const call = await world.client.call('bob', { type: 'AUDIO', name: 'Alice' })
  return { ...world, call, sent: (destination: string) => world.server.socket.sent(destination) }
}

const fate = ({ state, endReason, endedBy }: Call) => [state, endReason, endedBy]

test('connects to the address as a WebSocket, with the user in the query', async () => {
  const { server, client } = await online()
  expect(server.socket.url).toBe('ws://test/imserver/ws?userId=alice')
  expect([client.state, client.userId, client.session]).toEqual(['online', 'alice', 's1'])
})

describe('an outgoing call', () => {
  test('is requested with a new id, and rings, connects and talks as the server says', async () => {
    const { call, clock, tells, sent } = await outgoing()
    expect(sent('/app/call/request')).toEqual([
      { callId: call.id, type: 'AUDIO', callee: 'bob', callerUserName: 'Alice' },
    ])
    expect(call.id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    const states: string[] = []
    call.on('state', ({ state }) => states.push(state))
    await tells(HEARS.ringing, { callId: call.id }, { devices: '2' })
    expect(call.ringingDevices).toBe(2)
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    expect(states).toEqual(['ringing', 'connected'])
    await clock.advance(65_000)
    expect(call.elapsed).toBe(65_000)
    await tells(HEARS.hangup, { callId: call.id, reason: 'HANGUP' })
    await clock.advance(10_000)
    expect([...fate(call), call.elapsed]).toEqual(['ended', 'hung-up', 'peer', 65_000])
  })

  test.each([
    ['declined', HEARS.response, { type: 'REJECT', reason: 'DECLINED' }, 'declined'],
    ['answered busy by the last device', HEARS.response, { type: 'REJECT', reason: 'BUSY' }, 'busy'],
    ['not answered in time', HEARS.timeout, {}, 'no-answer'],
    ['ended because its caller was lost', HEARS.hangup, { reason: 'CALLER_LOST' }, 'cancelled'],
    ['ended because the server restarts', HEARS.hangup, { reason: 'ADMIN' }, 'cancelled'],
  ])('that is %s says so', async (_name, destination, body, reason) => {
    const { call, client, tells } = await outgoing()
    await tells(destination, { callId: call.id, ...body })
    expect([call.state, call.endReason]).toEqual(['ended', reason])
    expect(client.calls).toEqual([])
  })

  test.each([
    ['busy', { code: CODE.busy, message: 'busy', reason: 'BUSY' }, 'busy'],
    ['unreachable', { code: CODE.unreachable, message: 'nobody there' }, 'unreachable'],
  ])('to somebody %s is an outcome, not an error', async (_name, refusal, reason) => {
    const { server, client, tells } = await online()
    server.receipts = false
    const calling = client.call('bob')
    await settled()
    await tells(HEARS.errors, refusal, { 'receipt-id': 'r-2' })
    expect(fate(await calling)).toEqual(['ended', reason, 'server'])
  })

  test('that is refused otherwise fails with the code of the server', async () => {
    const { server, client, tells } = await online()
    server.receipts = false
    const refused = expect(client.call('bob')).rejects.toMatchObject({ code: CODE.callerInCall })
    await settled()
    await tells(HEARS.errors, { code: CODE.callerInCall, message: 'in a call' }, { 'receipt-id': 'r-2' })
    await refused
    expect(client.calls).toEqual([])
  })

  test('that the server does not answer is taken back, because it may have arrived', async () => {
    const { server, clock, client } = await online()
    server.receipts = false
    const late = expect(client.call('bob')).rejects.toMatchObject({ code: 'timeout' })
    // A connection on which nothing is answered is given up on the way, and the request is made again
    await clock.advance(11_000)
    await late
    expect(server.sockets).toHaveLength(2)
    const [{ callId }] = server.socket.sent('/app/call/request') as [{ callId: string }]
    expect(server.socket.sent('/app/call/hangup')).toEqual([{ callId }])
  })

  test('can be seen and taken back before the server has taken it', async () => {
    const { server, client } = await online()
    server.receipts = false
    const shown: Call[] = []
    client.on('outgoing', (call) => shown.push(call))
    void client.call('bob').catch(() => {})
    await settled()
    expect(shown.map(({ state }) => state)).toEqual(['calling'])
    shown[0]?.hangUp()
    expect(shown.map(fate)).toEqual([['ended', 'cancelled', 'me']])
    expect(server.socket.sent('/app/call/hangup')).toEqual([{ callId: shown[0]?.id }])
  })

  test('cannot be made without a connection', async () => {
    const { client } = await online()
    await client.disconnect()
    await expect(client.call('bob')).rejects.toMatchObject({ code: 'offline' })
  })

  test('ends by itself when not even the end of the ringing is heard', async () => {
    const { call, clock, sent } = await outgoing()
    await clock.advance(125_000)
    expect(fate(call)).toEqual(['ended', 'no-answer', 'server'])
    expect(sent('/app/call/hangup')).toEqual([{ callId: call.id }])
  })
})

describe('an incoming call', () => {
  test('tells who calls and how, once', async () => {
    const { call, rung, tells } = await incoming()
    expect([call.id, call.direction, call.type, call.peer, call.state]).toEqual([
      'c1',
      'incoming',
      'AUDIO',
      { userId: 'bob', name: 'Bob' },
      'ringing',
    ])
    await tells(HEARS.request, { ...OFFERED, remainingMs: 20_000 })
    expect(rung).toHaveLength(1)
  })

  test('is connected when the server has bound it to this device', async () => {
    const { call, server, sent } = await incoming()
    server.receipts = false
    const accepted = call.accept()
    await settled()
    expect(call.state).toBe('connecting')
    server.socket.receipt('r-2')
    await accepted
    expect(call.state).toBe('connected')
    expect(sent('/app/call/response')).toEqual([{ callId: 'c1', type: 'ACCEPT' }])
  })

  test('that another device was faster to answer is over here, and the answer fails', async () => {
    const { call, server, tells } = await incoming()
    server.receipts = false
    const refused = expect(call.accept()).rejects.toMatchObject({ code: CODE.handledElsewhere })
    await settled()
    await tells(HEARS.errors, { code: CODE.handledElsewhere, message: 'elsewhere' }, { 'receipt-id': 'r-2' })
    await refused
    expect(fate(call)).toEqual(['ended', 'answered-elsewhere', 'server'])
  })

  test('that is over before its answer has arrived ends once, for the first reason', async () => {
    const { call, server, tells } = await incoming()
    server.receipts = false
    const states: unknown[] = []
    call.on('state', ({ state, reason }) => states.push([state, reason]))
    const refused = expect(call.accept()).rejects.toMatchObject({ code: CODE.alreadyOver })
    await tells(HEARS.down, { callId: 'c1', reason: 'DECLINED_ELSEWHERE' })
    await tells(HEARS.errors, { code: CODE.alreadyOver, message: 'over' }, { 'receipt-id': 'r-2' })
    await refused
    expect(states).toEqual([
      ['connecting', undefined],
      ['ended', 'declined-elsewhere'],
    ])
  })

  test.each([
    ['answered on another device', HEARS.down, { reason: 'ANSWERED_ELSEWHERE' }, 'answered-elsewhere'],
    ['declined on another device', HEARS.down, { reason: 'DECLINED_ELSEWHERE' }, 'declined-elsewhere'],
    ['taken back by the caller', HEARS.hangup, { reason: 'CANCELLED' }, 'cancelled'],
    ['not answered in time', HEARS.timeout, {}, 'no-answer'],
  ])('that is %s says so', async (_name, destination, body, reason) => {
    const { call, tells } = await incoming()
    await tells(destination, { callId: 'c1', ...body })
    expect([call.state, call.endReason]).toEqual(['ended', reason])
    await expect(call.accept()).rejects.toMatchObject({ code: 'wrong-state' })
  })

  test('is declined for all devices, or called busy for this one alone', async () => {
    const first = await incoming()
    first.call.decline()
    expect(first.sent('/app/call/response')).toEqual([{ callId: 'c1', type: 'REJECT', reason: 'DECLINED' }])
    const second = await incoming()
    second.call.decline('BUSY')
    expect(second.sent('/app/call/response')).toEqual([{ callId: 'c1', type: 'REJECT', reason: 'BUSY' }])
  })

  test('is declined when one hangs up while it rings', async () => {
    const { call, sent } = await incoming()
    call.hangUp()
    expect(fate(call)).toEqual(['ended', 'declined', 'me'])
    expect(sent('/app/call/response')).toEqual([{ callId: 'c1', type: 'REJECT', reason: 'DECLINED' }])
    expect(sent('/app/call/hangup')).toEqual([])
  })

  test('stops ringing by its own clock when the server is not heard any more', async () => {
    const { call, clock } = await incoming()
    await clock.advance(35_000)
    expect(fate(call)).toEqual(['ended', 'no-answer', 'server'])
  })

  test('without a caller is an error and does not ring', async () => {
    const { client, rung, tells } = await online()
    const errors: unknown[] = []
    client.on('error', (error) => errors.push(error.code))
    await tells(HEARS.request, { callId: 'c1' })
    expect([rung, errors]).toEqual([[], ['bad-message']])
  })
})

describe('two who call each other', () => {
  const THEIRS = { ...OFFERED, callId: 'theirs' }
  const GLARE = { code: CODE.busy, message: 'glare', reason: 'GLARE', activeCallId: 'theirs' }

  test('are joined by the call that lives, which rings on neither side', async () => {
    const { server, client, rung, tells } = await online()
    server.receipts = false
    const calling = client.call('bob', { type: 'AUDIO' })
    await settled()
    await tells(HEARS.request, THEIRS)
    await tells(HEARS.errors, GLARE, { 'receipt-id': 'r-2' })
    server.socket.receipt('r-3')
    const call = await calling
    expect([call.id, call.direction, call.state, rung]).toEqual(['theirs', 'incoming', 'connected', []])
  })

  test('are joined also when the refusal comes before the ringing', async () => {
    const { server, client, tells } = await online()
    server.receipts = false
    const calling = client.call('bob', { type: 'AUDIO' })
    await settled()
    await tells(HEARS.errors, GLARE, { 'receipt-id': 'r-2' })
    await tells(HEARS.request, THEIRS)
    server.socket.receipt('r-3')
    expect((await calling).id).toBe('theirs')
  })

  test('are told busy when the other call never rings', async () => {
    const { server, clock, client, tells } = await online()
    server.receipts = false
    const calling = client.call('bob')
    await settled()
    await tells(HEARS.errors, GLARE, { 'receipt-id': 'r-2' })
    await clock.advance(3_000)
    expect(fate(await calling)).toEqual(['ended', 'busy', 'server'])
  })

  test('when it rings already, calling back is answering', async () => {
    const { client, call, sent } = await incoming()
    expect(await client.call('bob')).toBe(call)
    expect(call.state).toBe('connected')
    expect(sent('/app/call/request')).toEqual([])
  })

  test('a call of theirs that lives beside ours rings after all', async () => {
    const { server, client, rung, tells } = await online()
    server.receipts = false
    const refused = expect(client.call('bob')).rejects.toMatchObject({ code: 429 })
    await settled()
    await tells(HEARS.request, THEIRS)
    expect(rung).toEqual([])
    await tells(HEARS.errors, { code: 429, message: 'slower' }, { 'receipt-id': 'r-2' })
    await refused
    expect(rung.map(({ id }) => id)).toEqual(['theirs'])
  })
})

describe('in a call', () => {
  test('signals go both ways as the application gives them', async () => {
    const { call, tells, sent } = await outgoing()
    const heard: unknown[] = []
    call.on('signal', (signal) => heard.push(signal))
    call.signal('OFFER', 'sdp')
    expect(sent('/app/rtc/signaling')).toEqual([{ callId: call.id, type: 'OFFER', payload: 'sdp' }])
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.signaling, { callId: call.id, type: 'ANSWER', payload: 'sdp too' })
    expect(heard).toEqual([{ type: 'ANSWER', payload: 'sdp too' }])
  })

  test('a caller sends no more before the answer than the server keeps, and the rest in order afterwards', async () => {
    const { call, tells, sent } = await outgoing()
    for (let n = 0; n < 70; n++) call.signal('OFFER', String(n))
    expect(sent('/app/rtc/signaling')).toHaveLength(60)
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    const payloads = (sent('/app/rtc/signaling') as { payload: string }[]).map(({ payload }) => payload)
    expect(payloads).toEqual(Array.from({ length: 70 }, (_, n) => String(n)))
  })

  test.each([
    ['says that it is over', CODE.notFound, 'lost'],
    ['knows it on another device', CODE.handledElsewhere, 'answered-elsewhere'],
  ])('a server that %s ends it here', async (_name, code, reason) => {
    const { call, tells } = await outgoing()
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.errors, { code, message: 'x', callId: call.id, status: 'COMPLETED' })
    expect([call.state, call.endReason]).toEqual(['ended', reason])
  })

  const RESTARTS = { code: CODE.unavailable, message: 'the server restarts and forgets this call', retryAfter: 5 }
  const problemsOf = (call: Call) => {
    const problems: unknown[] = []
    call.on('problem', ({ code }) => problems.push(code))
    return problems
  }

  test.each([
    ['that is about to restart', RESTARTS],
    ['that has restarted and does not know it', { code: CODE.notFound, message: 'no such call' }],
  ])('a server %s leaves it alone, and the person is told once', async (_name, refusal) => {
    const { call, tells, sent } = await outgoing()
    const problems = problemsOf(call)
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.errors, { ...refusal, callId: call.id })
    await tells(HEARS.errors, { ...refusal, callId: call.id })
    expect([call.state, call.forgotten, problems]).toEqual(['connected', true, [refusal.code]])
    call.signal('ICE_CANDIDATE', { candidate: '', sdpMid: '0', sdpMLineIndex: 0 })
    call.signal('OFFER', 'to change something')
    expect([sent('/app/rtc/signaling'), problems]).toEqual([[], [refusal.code, refusal.code]])
  })

  test('goes on while the server restarts, and a hang-up afterwards is no error', async () => {
    const { call, clock, client, server, tells } = await outgoing()
    const errors: unknown[] = []
    client.on('error', (error) => errors.push(error))
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.errors, { ...RESTARTS, callId: call.id })
    server.unreachable = true
    server.socket.breaks(1012, 'server restarts')
    await clock.advance(3_000)
    expect([client.state, call.state]).toEqual(['reconnecting', 'connected'])
    server.unreachable = false
    await clock.advance(15_000)
    expect([client.state, call.state]).toEqual(['online', 'connected'])
    call.hangUp()
    await tells(HEARS.errors, { code: 404, message: 'no such call', callId: call.id, destination: '/app/call/hangup' })
    expect([fate(call), errors]).toEqual([['ended', 'hung-up', 'me'], []])
  })

  test('that was being joined when the server forgot it is lost', async () => {
    const { call, tells, server } = await incoming()
    server.receipts = false
    const accepted = expect(call.accept()).rejects.toMatchObject({ code: 404 })
    await settled()
    await tells(HEARS.errors, { code: 404, message: 'no such call', callId: call.id }, { 'receipt-id': 'r-2' })
    await accepted
    expect(fate(call)).toEqual(['ended', 'cancelled', 'peer'])
  })

  test('a passing 503 to something that was asked is a problem, and the call is not forgotten', async () => {
    const { call, tells } = await outgoing()
    const problems = problemsOf(call)
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.errors, { ...RESTARTS, callId: call.id, destination: '/app/rtc/signaling' })
    expect([call.state, call.forgotten, problems]).toEqual(['connected', false, [503]])
  })

  test('another refusal is a problem and not the end', async () => {
    const { call, tells } = await outgoing()
    const problems: unknown[] = []
    call.on('problem', ({ code }) => problems.push(code))
    await tells(HEARS.errors, { code: 429, message: 'slower', callId: call.id })
    expect([call.state, problems]).toEqual(['calling', [429]])
  })

  test('what was ended stays ended, whatever the server says', async () => {
    const { call, tells } = await outgoing()
    const states: string[] = []
    call.on('state', ({ state }) => states.push(state))
    call.hangUp()
    call.hangUp()
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await tells(HEARS.hangup, { callId: call.id })
    expect([states, ...fate(call)]).toEqual([['ended'], 'ended', 'cancelled', 'me'])
  })

  test('a hang-up while the server is away is told when it is back', async () => {
    const { call, server, clock, tells } = await outgoing()
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    server.socket.breaks(1006)
    await settled()
    expect(call.state).toBe('connected')
    call.hangUp()
    await clock.advance(500)
    expect(server.sockets).toHaveLength(2)
    expect(server.socket.sent('/app/call/hangup')).toEqual([{ callId: call.id }])
  })

  test('leaving hangs up first', async () => {
    const { call, client, server, tells } = await outgoing()
    await tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
    await client.disconnect()
    const last = server.socket.frames.slice(-2).map(({ command, headers }) => headers.destination ?? command)
    expect(last).toEqual(['/app/call/hangup', 'DISCONNECT'])
    expect(fate(call)).toEqual(['ended', 'hung-up', 'me'])
  })

  test('leaving is no answer to what rings', async () => {
    const { call, client, server } = await incoming()
    await client.disconnect()
    expect(server.socket.frames.slice(-1).map(({ command }) => command)).toEqual(['DISCONNECT'])
    expect(server.socket.sent('/app/call/response')).toEqual([])
    expect(fate(call)).toEqual(['ended', 'cancelled', 'me'])
  })
})

describe('presence', () => {
  test('is asked 200 at a time, kept, told, and asked again after a reconnect', async () => {
    const { server, clock, client, tells } = await online()
    const told: unknown[] = []
    client.on('presence', (changes) => told.push(...changes))
    const users = Array.from({ length: 250 }, (_, n) => `u${n}`)
    await client.watch(users)
    expect(server.socket.sent('/app/user/status').map((asked) => (asked as string[]).length)).toEqual([200, 50])
    await tells(HEARS.status, [{ userId: 'u1', status: 'ONLINE' }, { userId: 'u2', status: 'away' }, null])
    expect(told).toEqual([{ userId: 'u1', status: 'ONLINE' }])
    expect(client.presence.get('u1')).toBe('ONLINE')
    server.socket.breaks(1006)
    await clock.advance(500)
    expect(server.socket.sent('/app/user/status')).toHaveLength(2)
  })

  test('is not asked twice for the same people', async () => {
    const { server, client } = await online()
    await client.watch(['bob'])
    await client.watch(['bob', 'carol'])
    expect(server.socket.sent('/app/user/status')).toEqual([['bob'], ['carol']])
  })
})

describe('credentials for the relay', () => {
  const ANSWER = { iceServers: [{ url: 'turn:x', username: 'u', credential: 'c' }] }

  test('are asked afresh every time, but once for those who ask at the same time', async () => {
    const { server, client, tells } = await online()
    const both = Promise.all([client.turnCredentials(), client.turnCredentials()])
    await settled()
    await tells(HEARS.turn, ANSWER)
    expect(await both).toEqual([ANSWER, ANSWER])
    const again = client.turnCredentials()
    await settled()
    await tells(HEARS.turn, ANSWER)
    await again
    expect(server.socket.sent('/app/turn/get-turn-credentials')).toEqual([{}, {}])
  })

  test('that were told last serve while the server does not answer, as long as they are good', async () => {
    const { server, clock, client, tells } = await online()
    const pushed = { ...ANSWER, ttl: 60 }
    await tells(HEARS.turn, { ...ANSWER, ttl: 60, iceServers: [] })
    await tells(HEARS.turn, pushed)
    const unanswered = client.turnCredentials()
    await clock.advance(5_000)
    expect(await unanswered).toEqual(pushed)
    server.socket.breaks(1006)
    expect(await client.turnCredentials()).toEqual(pushed)
    await clock.advance(55_000)
    const late = expect(client.turnCredentials()).rejects.toBeInstanceOf(Error)
    await clock.advance(5_000)
    await late
  })

  test('fail after 5 seconds without an answer', async () => {
    const { clock, client } = await online()
    const late = expect(client.turnCredentials()).rejects.toMatchObject({ code: 'timeout' })
    await clock.advance(5_000)
    await late
  })
})
