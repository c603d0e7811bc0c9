import { describe, expect, test } from '@jest/globals'
import { Connection } from '../../client/connection.ts'
import type { CallError } from '../../client/errors.ts'
import type { FrameSeen, StateChange } from '../../client/types.ts'
import { APP, HEARS } from '../../client/wire.ts'
import { settled, TestClock } from '../support/clock.ts'
import { frame, ScriptedServer } from '../support/scripted-server.ts'

function setUp(token: () => string | Promise<string> = () => 'a-token', renewToken?: () => Promise<string>) {
  const server = new ScriptedServer()
  const clock = new TestClock()
  const connection = new Connection({
    url: 'ws://test/imserver/ws',
    token,
    renewToken,
    openSocket: server.open,
    heartbeatMs: 10_000,
    clock,
    random: () => 1,
  })
  const states: StateChange[] = []
  connection.on('state', (change) => states.push(change))
  return { server, clock, connection, states, names: () => states.map(({ state }) => state) }
}

const refusal = () => frame('ERROR', { message: '401 expired' }, JSON.stringify({ code: 401, message: 'expired' }))

describe('connecting', () => {
  test('shows the token, listens to everything, to call requests last, and is online when the server has confirmed it', async () => {
    const { server, connection, names } = setUp()
    await connection.open()
    const [connect, ...subscribes] = server.socket.frames
    expect(connect).toMatchObject({ command: 'CONNECT', headers: { ide: 'a-token' } })
    expect(subscribes.map(({ headers }) => headers.destination)).toEqual(Object.values(HEARS))
    expect(subscribes.at(-1)?.headers).toMatchObject({ destination: HEARS.request, receipt: 'r-1' })
    expect(names()).toEqual(['connecting', 'online'])
    expect([connection.session, connection.user]).toEqual(['s1', 'alice'])
  })

  test('goes on with growing pauses while the server cannot be reached', async () => {
    const { server, clock, connection, states } = setUp()
    server.unreachable = true
    const opened = connection.open()
    await clock.advance(20_000)
    expect(states.map(({ retryInMs }) => retryInMs).filter(Boolean)).toEqual([500, 1000, 2000, 4000, 8000, 15000])
    server.unreachable = false
    await clock.advance(15_000)
    await opened
    expect(connection.state).toBe('online')
  })

  test('tries at once when it is told to hurry', async () => {
    const { server, connection } = setUp()
    server.unreachable = true
    void connection.open()
    await settled()
    server.unreachable = false
    connection.hurry()
    await settled()
    expect(connection.state).toBe('online')
  })

  test('gives a server that says nothing 10 seconds, then tries again', async () => {
    const { server, clock, connection, states } = setUp()
    const { greeting } = server
    server.greeting = undefined
    void connection.open()
    await clock.advance(10_000)
    expect(states.at(-1)).toMatchObject({ state: 'connecting', cause: { code: 'timeout' } })
    server.greeting = greeting
    await clock.advance(500)
    expect(connection.state).toBe('online')
  })

  test.each([
    [3, 3_500],
    [3_600, 15_500],
  ])('waits when the server asks for it (%d s), but not for ever', async (retryAfter, retryInMs) => {
    const { server, clock, connection, states } = setUp()
    const { greeting } = server
    const full = { code: 429, message: 'too many failed logins from this address', retryAfter }
    server.greeting = () => frame('ERROR', { message: `429 ${full.message}` }, JSON.stringify(full))
    void connection.open()
    await settled()
    server.socket.breaks(1008)
    await settled()
    expect(states.at(-1)).toMatchObject({ state: 'connecting', retryInMs })
    server.greeting = greeting
    await clock.advance(retryInMs)
    expect(connection.state).toBe('online')
  })

  test('tries again when the token provider fails', async () => {
    let failures = 1
    const { clock, connection, states } = setUp(async () => {
      if (failures-- > 0) throw new Error('issuer down')
      return 'a-token'
    })
    void connection.open()
    await settled()
    expect(states.at(-1)?.cause).toMatchObject({ code: 'no-token', message: 'issuer down' })
    await clock.advance(500)
    expect(connection.state).toBe('online')
  })
})

test('a token provider that never answers is asked again', async () => {
  let asked = 0
  const { clock, connection } = setUp(() => (++asked === 1 ? new Promise<string>(() => {}) : 'a-token'))
  void connection.open()
  await clock.advance(10_500)
  expect([connection.state, asked]).toEqual(['online', 2])
})

test('news of the network begins an attempt afresh that hangs, but not one that has just begun', async () => {
  const { server, clock, connection } = setUp()
  const { greeting } = server
  server.greeting = undefined
  void connection.open()
  await clock.advance(999)
  connection.hurry()
  await settled()
  expect(server.sockets).toHaveLength(1)
  await clock.advance(1)
  server.greeting = greeting
  connection.hurry()
  await settled()
  expect([connection.state, server.sockets.length]).toEqual(['online', 2])
})

test('news of the network makes a connection that stands give a sign of life', async () => {
  const { server, clock, connection } = setUp()
  await connection.open()
  connection.hurry()
  await clock.advance(10_000)
  expect(connection.state).toBe('online')
  server.receipts = false
  connection.hurry()
  await clock.advance(4_000)
  expect(connection.state).toBe('reconnecting')
})

describe('a refused token', () => {
  test('is replaced once; when the other one is refused too, it is an error of its own and nothing more is tried', async () => {
    let asked = 0
    const { server, clock, connection, names } = setUp(() => `token-${++asked}`)
    server.greeting = refusal
    server.sockets.length = 0
    const errors: CallError[] = []
    connection.on('error', (error) => errors.push(error))
    const opened = connection.open()
    const refused = expect(opened).rejects.toMatchObject({ name: 'TokenRefusedError', code: 401, message: 'expired' })
    await closesAfterError(server, 1)
    await closesAfterError(server, 2)
    await refused
    await clock.advance(60_000)
    expect(asked).toBe(2)
    expect(names()).toEqual(['connecting', 'connecting', 'offline'])
    expect(errors).toMatchObject([{ name: 'TokenRefusedError' }])
  })

  test('is not even shown again when the provider has no other', async () => {
    const { server, connection } = setUp()
    server.greeting = refusal
    const refused = expect(connection.open()).rejects.toMatchObject({ name: 'TokenRefusedError' })
    await closesAfterError(server, 1)
    await refused
    expect(server.sockets).toHaveLength(1)
  })

  test('that had only run out is replaced without a word to anybody', async () => {
    let asked = 0
    const { server, connection } = setUp(() => `token-${++asked}`)
    const { greeting } = server
    server.greeting = (connect) =>
      connect.headers.ide === 'token-1' ? refusal() : (greeting?.(connect) ?? 'unreachable')
    const opened = connection.open()
    await closesAfterError(server, 1)
    await opened
    expect(connection.state).toBe('online')
  })
})

/** A server closes after its ERROR. */
async function closesAfterError(server: ScriptedServer, attempt: number): Promise<void> {
  await settled()
  expect(server.sockets).toHaveLength(attempt)
  server.socket.breaks(1008)
  await settled()
}

describe('sending', () => {
  test('is done when the RECEIPT has come', async () => {
    const { server, connection } = setUp()
    await connection.open()
    server.receipts = false
    let done = false
    const sent = connection.send('/app/x', { a: 1 }).then(() => {
      done = true
    })
    await settled()
    expect(done).toBe(false)
    server.socket.receipt('r-2')
    await sent
    expect(server.socket.sent('/app/x')).toEqual([{ a: 1 }])
  })

  test('fails with the refusal that names its receipt', async () => {
    const { server, connection } = setUp()
    await connection.open()
    server.receipts = false
    const sent = connection.send('/app/x', {})
    const refused = expect(sent).rejects.toMatchObject({ code: 1001, refusal: { reason: 'BUSY' } })
    await server.socket.tells(HEARS.errors, { code: 1001, message: 'busy', reason: 'BUSY' }, { 'receipt-id': 'r-2' })
    await refused
  })

  test('fails after 10 seconds without an answer', async () => {
    const { server, clock, connection } = setUp()
    await connection.open()
    server.receipts = false
    const refused = expect(connection.send('/app/x', {})).rejects.toMatchObject({ code: 'timeout' })
    await clock.advance(10_000)
    await refused
  })

  test('fails at once when there is no connection', async () => {
    const { connection } = setUp()
    await expect(connection.send('/app/x', {})).rejects.toMatchObject({ code: 'offline' })
  })

  test('a refusal that nobody waits for is told', async () => {
    const { server, connection } = setUp()
    await connection.open()
    const refusals: unknown[] = []
    connection.on('refused', (refused) => refusals.push(refused))
    await server.socket.tells(HEARS.errors, { code: 404, message: 'no such call', callId: 'c' })
    expect(refusals).toEqual([{ code: 404, message: 'no such call', callId: 'c' }])
  })

  test('a message that is not JSON is an error and nothing worse', async () => {
    const { server, connection } = setUp()
    await connection.open()
    const errors: CallError[] = []
    connection.on('error', (error) => errors.push(error))
    await server.socket.tells(HEARS.hangup, '{')
    expect(errors).toMatchObject([{ code: 'bad-message' }])
  })
})

describe('a broken connection', () => {
  test('fails what waits, asks for a token afresh, and comes back by itself', async () => {
    let asked = 0
    const { server, clock, connection, names } = setUp(() => `token-${++asked}`)
    await connection.open()
    server.receipts = false
    const refused = expect(connection.send('/app/x', {})).rejects.toMatchObject({ code: 'connection-lost' })
    server.socket.breaks(1006)
    await settled()
    await refused
    expect(names().at(-1)).toBe('reconnecting')
    await clock.advance(500)
    expect(names().at(-1)).toBe('online')
    expect(server.socket.frames[0]?.headers.ide).toBe('token-2')
  })

  test('posts what came meanwhile, in its order, as soon as it is back', async () => {
    const { server, clock, connection } = setUp()
    await connection.open()
    server.socket.breaks(1006)
    await settled()
    connection.post({ destination: '/app/y', body: 1 })
    connection.post({ destination: '/app/y', body: 2 })
    await clock.advance(500)
    expect(server.sockets).toHaveLength(2)
    expect(server.socket.sent('/app/y')).toEqual([1, 2])
  })

  test('late words of the old connection are not heard any more', async () => {
    const { server, clock, connection } = setUp()
    await connection.open()
    const heard: unknown[] = []
    connection.on('message', (message) => heard.push(message))
    const old = server.socket
    old.breaks(1006)
    await clock.advance(500)
    await old.tells(HEARS.hangup, { callId: 'c' })
    expect(heard).toEqual([])
  })
})

describe('a token that ends', () => {
  const EXPIRING = { type: 'EXPIRING', expiresAt: 60_000, remainingMs: 60_000 }
  const EXPIRED = { type: 'EXPIRED', expiresAt: 60_000 }

  async function online(renewToken?: () => Promise<string>) {
    let asked = 0
    const all = setUp(() => `token-${++asked}`, renewToken)
    const errors: CallError[] = []
    all.connection.on('error', (error) => errors.push(error))
    await all.connection.open()
    const reconnects = async () => {
      all.server.socket.breaks(1006)
      await all.clock.advance(500)
      return all.server.socket.frames[0]?.headers.ide
    }
    return { ...all, errors, reconnects, refreshes: () => all.server.socket.sent(APP.refresh) }
  }

  test('is replaced in place, and the new one is used for reconnects', async () => {
    const { server, refreshes, reconnects, errors } = await online(async () => 'renewed')
    await server.socket.tells(HEARS.auth, EXPIRING)
    expect(refreshes()).toEqual([{ token: 'renewed' }])
    await server.socket.tells(HEARS.auth, { type: 'REFRESHED', expiresAt: 120_000 })
    expect(refreshes()).toHaveLength(1)
    expect([await reconnects(), await reconnects(), errors]).toEqual(['renewed', 'renewed', []])
  })

  test('is left to the server where there is nothing to renew it with', async () => {
    const { server, refreshes, reconnects } = await online()
    await server.socket.tells(HEARS.auth, EXPIRING)
    expect(refreshes()).toEqual([])
    expect(await reconnects()).toBe('token-2')
  })

  test('is tried again after 5 s when no new one can be had, told once, and at once when it has expired', async () => {
    let failures = 3
    const renewToken = async () => {
      if (failures-- > 0) throw new Error('issuer down')
      return 'renewed'
    }
    const { server, clock, refreshes, errors } = await online(renewToken)
    await server.socket.tells(HEARS.auth, EXPIRING)
    await clock.advance(5_000)
    expect([failures, errors.length]).toEqual([1, 1])
    expect(errors[0]).toMatchObject({ code: 'no-token', message: 'issuer down' })
    await server.socket.tells(HEARS.auth, EXPIRED)
    expect(failures).toBe(0)
    await clock.advance(5_000)
    expect(refreshes()).toEqual([{ token: 'renewed' }])
  })

  test('is fetched once, however often the server says so', async () => {
    let asked = 0
    const { server } = await online(() => {
      asked++
      return new Promise(() => {})
    })
    await server.socket.tells(HEARS.auth, EXPIRING)
    await server.socket.tells(HEARS.auth, EXPIRED)
    expect(asked).toBe(1)
  })

  test('is not replaced by one that the server refuses', async () => {
    const { server, errors, reconnects } = await online(async () => 'bad')
    server.receipts = false
    await server.socket.tells(HEARS.auth, EXPIRING)
    const { receipt = '' } = server.socket.sends(APP.refresh)[0]?.headers ?? {}
    await server.socket.tells(HEARS.errors, { code: 401, message: 'token: is forged' }, { 'receipt-id': receipt })
    expect(errors).toMatchObject([{ code: 401 }])
    server.receipts = true
    expect(await reconnects()).toBe('token-2')
  })

  test('is not replaced on a connection that has broken meanwhile', async () => {
    let give: (token: string) => void = () => {}
    const renewToken = () =>
      new Promise<string>((fulfil) => {
        give = fulfil
      })
    const { server, clock, refreshes, reconnects, errors } = await online(renewToken)
    await server.socket.tells(HEARS.auth, EXPIRING)
    expect(await reconnects()).toBe('token-2')
    give('late')
    await clock.advance(20_000)
    expect([refreshes(), errors]).toEqual([[], []])
  })

  test('is asked for anew when the server refuses the renewed one at a reconnect', async () => {
    const { server, clock } = await online(async () => 'renewed')
    await server.socket.tells(HEARS.auth, EXPIRING)
    const { greeting } = server
    server.greeting = (connect) =>
      connect.headers.ide === 'renewed' ? refusal() : (greeting?.(connect) ?? 'unreachable')
    server.socket.breaks(1006)
    await clock.advance(500)
    await closesAfterError(server, 2)
    expect(server.socket.frames[0]?.headers.ide).toBe('token-2')
  })

  test('that was revoked is asked for anew, although it had been renewed', async () => {
    const { server, connection } = await online(async () => 'renewed')
    await server.socket.tells(HEARS.auth, EXPIRING)
    server.socket.says(frame('ERROR', { message: '401 session: was revoked' }, '{"code":401,"message":"revoked"}'))
    await closesAfterError(server, 1)
    expect(server.socket.frames[0]?.headers.ide).toBe('token-2')
    expect(connection.state).toBe('online')
  })

  test('is nothing that a debugger sees', async () => {
    const { server, connection } = await online(async () => 'renewed')
    const frames: FrameSeen[] = []
    connection.on('frame', (seen) => frames.push(seen))
    await server.socket.tells(HEARS.auth, EXPIRING)
    expect(frames.find(({ headers }) => headers.destination === APP.refresh)?.body).toBe('{"token":"•••"}')
  })
})

describe('closing', () => {
  test('says DISCONNECT, waits for its RECEIPT and stays away', async () => {
    const { server, clock, connection, names } = setUp()
    await connection.open()
    await connection.close()
    expect(server.socket.frames.at(-1)?.command).toBe('DISCONNECT')
    await clock.advance(60_000)
    expect(names()).toEqual(['connecting', 'online', 'offline'])
    expect(server.sockets).toHaveLength(1)
  })

  test('does not wait for a dead server', async () => {
    const { server, clock, connection } = setUp()
    await connection.open()
    server.receipts = false
    const closed = connection.close()
    await clock.advance(2_000)
    await closed
    expect(server.socket.readyState).toBe(3)
  })

  test('ends an attempt that is under way', async () => {
    const { server, connection } = setUp()
    server.greeting = undefined
    const refused = expect(connection.open()).rejects.toMatchObject({ code: 'offline' })
    await settled()
    await connection.close()
    await refused
    expect(connection.state).toBe('offline')
  })
})

test('a debugger sees every frame, but neither the token nor a TURN password', async () => {
  const { server, connection } = setUp()
  const frames: FrameSeen[] = []
  connection.on('frame', (seen) => frames.push(seen))
  await connection.open()
  await server.socket.tells(HEARS.turn, '{"iceServers":[{"credential" : "se\\"cret"}]}')
  await connection.send('/app/x', { a: 1 })
  expect(frames.map(({ direction, command }) => `${direction} ${command}`)).toEqual([
    'sent CONNECT',
    'received CONNECTED',
    ...Object.values(HEARS).map(() => 'sent SUBSCRIBE'),
    'received RECEIPT',
    'received MESSAGE',
    'sent SEND',
    'received RECEIPT',
  ])
  expect(frames[0]?.headers.ide).toBe('•••')
  expect(frames.find(({ command }) => command === 'MESSAGE')?.body).toBe('{"iceServers":[{"credential" : "•••"}]}')
  expect(JSON.stringify(frames)).not.toMatch(/a-token|cret/)
})
