/** A client that loses its connection and comes back, against a server played frame by frame. */

import { describe, expect, test } from '@jest/globals'
import { type Call, CallClient, CODE, HEARS, type IncomingCall } from '../../client/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { frame, ScriptedServer } from '../support/scripted-server.ts'

const OFFERED = {
  callId: 'c1',
  type: 'AUDIO',
  callee: 'alice',
  callerUserName: 'Bob',
  caller: 'bob',
  remainingMs: 60_000,
}

async function online() {
  const server = new ScriptedServer()
  const clock = new TestClock()
  server.greets({ 'resume-id': 'a-secret' })
  const client = new CallClient({
    url: 'http://test/imserver/ws',
    token: () => 'token',
    webSocketFactory: server.open,
    rtc: null,
    clock,
  })
  const rung: IncomingCall[] = []
  client.on('incoming', (call) => rung.push(call))
  await client.connect()
  return {
    server,
    clock,
    client,
    rung,
    tells: (destination: string, body: unknown, headers = {}) => server.socket.tells(destination, body, headers),
    sent: (destination: string) => server.socket.sent(destination),
    /** The connection breaks, and there is none for now. */
    async breaks() {
      server.unreachable = true
      server.socket.breaks(1006)
      await settled()
    },
    /** It is back; `resumed`: and the device the same. What was missed is replayed right behind CONNECTED. */
    async heals(resumed: boolean, ...missed: string[]) {
      server.unreachable = false
      server.greets({ 'resume-id': 'a-secret', ...(resumed ? { resumed: 'true' } : { resumed: 'false' }) }, ...missed)
      await clock.advance(2_000)
    },
  }
}

type World = Awaited<ReturnType<typeof online>>

const missed = (id: keyof typeof HEARS, body: unknown, seq: number, headers = {}) =>
  frame(
    'MESSAGE',
    { destination: HEARS[id], subscription: id, 'message-id': `m-${seq}`, seq: String(seq), ...headers },
    JSON.stringify(body),
  )

async function rings(world: World): Promise<IncomingCall> {
  await world.tells(HEARS.request, OFFERED, { seq: '1' })
  const [call] = world.rung
  if (!call) throw new Error('nothing rings')
  return call
}

async function answered(world: World): Promise<IncomingCall> {
  const call = await rings(world)
  await call.accept()
  return call
}

const placed = (world: World): Promise<Call> => world.client.call('bob', { type: 'AUDIO', name: 'Alice' })

async function talks(world: World): Promise<Call> {
  const call = await placed(world)
  await world.tells(HEARS.response, { callId: call.id, type: 'ACCEPT' }, { seq: '1' })
  return call
}

const fate = ({ state, endReason, endedBy }: Call) => [state, endReason, endedBy]

const receiptOf = ({ server }: World, destination: string) =>
  server.socket.sends(destination)[0]?.headers.receipt ?? 'none'

const connect = ({ server }: World) => server.socket.frames[0]?.headers

describe('the device', () => {
  test('promises to come back, and shows who it was and what it has heard last', async () => {
    const world = await online()
    expect(connect(world)).toMatchObject({ resume: 'true' })
    expect(connect(world)).not.toHaveProperty('resume-id')
    await world.tells(HEARS.hangup, { callId: 'x' }, { seq: '7' })
    await world.breaks()
    await world.heals(true)
    expect(connect(world)).toMatchObject({ resume: 'true', 'resume-id': 'a-secret', 'last-seq': '7' })
  })

  test('hears what was said meanwhile before it is online, in order, and nothing twice', async () => {
    const world = await online()
    const call = await placed(world)
    const heard: unknown[] = []
    call.on('signal', ({ payload }) => heard.push(payload))
    world.client.on('state', ({ state, resumed }) => heard.push([state, resumed]))
    const offer = (payload: string) => ({ callId: call.id, type: 'OFFER', payload })
    await world.tells(HEARS.signaling, offer('one'), { seq: '1' })
    await world.breaks()
    const replayed = [
      missed('signaling', offer('one'), 1),
      missed('signaling', offer('two'), 2),
      missed('signaling', offer('three'), 3),
    ]
    await world.heals(true, ...replayed)
    expect(heard).toEqual(['one', ['reconnecting', undefined], 'two', 'three', ['online', true]])
    await world.tells(HEARS.signaling, offer('three'), { seq: '3' })
    await world.tells(HEARS.signaling, offer('four'), { seq: '4' })
    expect(heard.at(-1)).toBe('four')
    expect(heard).toHaveLength(6)
  })

  test('counts anew when it is a new one', async () => {
    const world = await online()
    await world.tells(HEARS.hangup, { callId: 'x' }, { seq: '7' })
    const states: unknown[] = []
    world.client.on('state', ({ state, resumed }) => states.push([state, resumed]))
    await world.breaks()
    await world.heals(false)
    expect(states.at(-1)).toEqual(['online', false])
    await rings(world)
    await world.breaks()
    await world.heals(true)
    expect(connect(world)).toMatchObject({ 'last-seq': '1' })
  })

  test('that has left is not resumed', async () => {
    const world = await online()
    await world.client.disconnect()
    await world.client.connect()
    expect(connect(world)).not.toHaveProperty('resume-id')
  })

  test('hears what comes to a subscription that it does not know by its name', async () => {
    const world = await online()
    await world.breaks()
    await world.heals(true, missed('request', OFFERED, 1, { subscription: 'of-an-older-program' }))
    expect(world.rung.map(({ id }) => id)).toEqual(['c1'])
  })

  test('a debugger sees neither the secret nor the probes', async () => {
    const world = await online()
    const frames: unknown[] = []
    world.client.on('frame', (seen) => frames.push(seen))
    await rings(world)
    await world.clock.advance(4_000)
    expect(world.server.socket.frames.some(({ command }) => command === 'ABORT')).toBe(true)
    await world.breaks()
    await world.heals(true)
    expect(JSON.stringify(frames)).not.toMatch(/a-secret|probe/)
  })
})

describe('a dead connection', () => {
  const probes = ({ server }: World) => server.socket.frames.filter(({ command }) => command === 'ABORT').length

  test('is noticed within eight seconds during a call', async () => {
    const world = await online()
    const call = await rings(world)
    await world.clock.advance(12_000)
    expect([probes(world), world.client.state]).toEqual([3, 'online'])
    world.server.receipts = false
    await world.clock.advance(7_999)
    expect([world.client.state, call.reconnecting]).toEqual(['online', false])
    await world.clock.advance(1)
    expect([world.client.state, call.reconnecting]).toEqual(['reconnecting', true])
  })

  test('that swallows a hang-up is noticed as well, and the hang-up said again', async () => {
    const world = await online()
    const call = await talks(world)
    world.server.receipts = false
    call.hangUp()
    await world.clock.advance(8_000)
    expect(world.client.state).toBe('reconnecting')
    world.server.receipts = true
    await world.heals(true)
    expect(world.sent('/app/call/hangup')).toEqual([{ callId: call.id }])
    await world.clock.advance(60_000)
    expect(probes(world)).toBe(0)
  })

  test('is left to the heart-beats while nobody is in a call', async () => {
    const world = await online()
    await world.clock.advance(60_000)
    expect(probes(world)).toBe(0)
  })

  test('is not believed dead by a machine that has slept', async () => {
    const world = await online()
    await rings(world)
    world.server.receipts = false
    await world.clock.advance(4_000)
    world.clock.sleep(60_000)
    await world.clock.advance(0)
    expect([probes(world), world.client.state]).toEqual([2, 'online'])
  })

  test('during a call is replaced after short pauses, and an attempt has less time', async () => {
    const world = await online()
    await rings(world)
    const pauses: unknown[] = []
    world.client.on('state', ({ retryInMs }) => retryInMs !== undefined && pauses.push(retryInMs <= 2_000))
    await world.breaks()
    await world.clock.advance(20_000)
    expect(pauses.length).toBeGreaterThan(8)
    expect(pauses).not.toContain(false)
  })
})

describe('what is said while the server is away', () => {
  test('a hang-up ends the call at once, and is all that the server is told of it', async () => {
    const world = await online()
    const call = await talks(world)
    await world.breaks()
    call.signal('OFFER', 'an offer that nobody needs any more')
    call.hangUp()
    expect(fate(call)).toEqual(['ended', 'hung-up', 'me'])
    await world.heals(true)
    expect(world.sent('/app/call/hangup')).toEqual([{ callId: call.id }])
    expect(world.sent('/app/rtc/signaling')).toEqual([])
  })

  test('a hang-up that went into a dead connection is said again', async () => {
    const world = await online()
    const call = await talks(world)
    world.server.receipts = false
    call.hangUp()
    await world.breaks()
    world.server.receipts = true
    await world.heals(true)
    expect(world.sent('/app/call/hangup')).toEqual([{ callId: call.id }])
    await world.breaks()
    await world.heals(true)
    expect(world.sent('/app/call/hangup')).toEqual([])
  })

  test('signals are told in their order', async () => {
    const world = await online()
    const call = await talks(world)
    await world.breaks()
    call.signal('OFFER', 'one')
    call.signal('ANSWER', 'two')
    await world.heals(true)
    expect(world.sent('/app/rtc/signaling')).toMatchObject([{ payload: 'one' }, { payload: 'two' }])
  })

  test('an answer is given as soon as it can be', async () => {
    const world = await online()
    const call = await rings(world)
    await world.breaks()
    const accepted = call.accept()
    expect([call.state, call.reconnecting]).toEqual(['connecting', true])
    await world.heals(true)
    await accepted
    expect(world.sent('/app/call/response')).toEqual([{ callId: 'c1', type: 'ACCEPT' }])
    expect([call.state, call.reconnecting]).toEqual(['connected', false])
  })

  test('an answer to a call that another device has taken meanwhile fails, and says why', async () => {
    const world = await online()
    const call = await rings(world)
    await world.breaks()
    const accepted = expect(call.accept()).rejects.toMatchObject({ name: 'CallError' })
    await world.heals(true, missed('down', { callId: 'c1', reason: 'ANSWERED_ELSEWHERE' }, 2))
    await accepted
    expect(fate(call)).toEqual(['ended', 'answered-elsewhere', 'server'])
    expect(world.sent('/app/call/response')).toEqual([])
  })

  const BUSY_NOW = { code: CODE.unavailable, message: 'not just now', retryAfter: 3, destination: '/app/call/x' }

  test('a hang-up that the server cannot take just now is said again when it asks for it', async () => {
    const world = await online()
    const call = await talks(world)
    world.server.receipts = false
    call.hangUp()
    await world.tells(HEARS.errors, BUSY_NOW, { 'receipt-id': receiptOf(world, '/app/call/hangup') })
    await world.clock.advance(2_999)
    expect(world.sent('/app/call/hangup')).toHaveLength(1)
    world.server.receipts = true
    await world.clock.advance(30_000)
    expect(world.sent('/app/call/hangup')).toEqual([{ callId: call.id }, { callId: call.id }])
  })

  test('an answer that the server cannot take just now is given again', async () => {
    const world = await online()
    const call = await rings(world)
    world.server.receipts = false
    const accepted = call.accept()
    await settled()
    await world.tells(HEARS.errors, BUSY_NOW, { 'receipt-id': receiptOf(world, '/app/call/response') })
    expect(call.state).toBe('connecting')
    world.server.receipts = true
    await world.clock.advance(3_000)
    await accepted
    expect(call.state).toBe('connected')
  })

  test('a new call that the server cannot take just now fails', async () => {
    const world = await online()
    world.server.receipts = false
    const refused = expect(placed(world)).rejects.toMatchObject({ code: CODE.unavailable })
    await settled()
    await world.tells(HEARS.errors, BUSY_NOW, { 'receipt-id': receiptOf(world, '/app/call/request') })
    await refused
  })

  test('no more is kept than the server could want to hear', async () => {
    const world = await online()
    const call = await talks(world)
    await world.breaks()
    for (let n = 0; n < 300; n++) call.signal('OFFER', String(n))
    await world.heals(true)
    const payloads = (world.sent('/app/rtc/signaling') as { payload: string }[]).map(({ payload }) => Number(payload))
    expect(payloads).toEqual(Array.from({ length: 256 }, (_, n) => n + 44))
  })

  test('a new call fails at once', async () => {
    const world = await online()
    await world.breaks()
    await expect(placed(world)).rejects.toMatchObject({ code: 'offline' })
  })

  test('a request that was under way is made again, and the call goes on', async () => {
    const world = await online()
    world.server.receipts = false
    const calling = placed(world)
    await settled()
    const [request] = world.sent('/app/call/request')
    await world.breaks()
    world.server.receipts = true
    await world.heals(true)
    expect(world.sent('/app/call/request')).toEqual([request])
    expect((await calling).state).toBe('calling')
  })

  test('a refusal that was replayed answers a request, which is not made again', async () => {
    const world = await online()
    world.server.receipts = false
    const calling = placed(world)
    await settled()
    const receipt = receiptOf(world, '/app/call/request')
    await world.breaks()
    world.server.receipts = true
    const busy = { code: CODE.busy, message: 'busy', reason: 'BUSY' }
    await world.heals(true, missed('errors', busy, 1, { 'receipt-id': receipt }))
    expect(fate(await calling)).toEqual(['ended', 'busy', 'server'])
    expect(world.sent('/app/call/request')).toEqual([])
  })
})

describe('a call', () => {
  test('says that it is reconnecting, and goes on untouched when the device is the same', async () => {
    const world = await online()
    const call = await talks(world)
    const told: unknown[] = []
    call.on('reconnecting', (on) => told.push(on))
    await world.breaks()
    await world.clock.advance(20_000)
    await world.heals(true)
    expect(told).toEqual([true, false])
    expect([call.state, call.reconnecting]).toEqual(['connected', false])
    expect(world.server.socket.frames.filter(({ headers }) => headers.destination?.startsWith('/app/call'))).toEqual([])
  })

  test('ends when the server said so meanwhile', async () => {
    const world = await online()
    const call = await talks(world)
    await world.breaks()
    await world.heals(true, missed('hangup', { callId: call.id, reason: 'HANGUP' }, 2))
    expect(fate(call)).toEqual(['ended', 'hung-up', 'peer'])
  })

  test('that rings for somebody goes on ringing, and an answer that came meanwhile connects it', async () => {
    const world = await online()
    const call = await placed(world)
    await world.tells(HEARS.ringing, { callId: call.id }, { seq: '1' })
    await world.breaks()
    expect([call.state, call.reconnecting]).toEqual(['ringing', true])
    await world.heals(true, missed('response', { callId: call.id, type: 'ACCEPT' }, 2))
    expect([call.state, call.reconnecting]).toEqual(['connected', false])
  })

  test.each([
    ['that rings there', placed],
    ['without media of ours', talks],
  ])('%s is lost when the grace is over, and the server is told when it is back', async (_name, begins) => {
    const world = await online()
    const call = await begins(world)
    await world.breaks()
    await world.clock.advance(29_999)
    expect(call.state).not.toBe('ended')
    await world.clock.advance(1)
    expect(fate(call)).toEqual(['ended', 'lost', 'server'])
    expect(call.error).toMatchObject({ code: 'connection-lost' })
    world.server.unreachable = false
    await world.clock.advance(15_000)
    expect(world.sent('/app/call/hangup')).toEqual([{ callId: call.id }])
  })
})

test('a call that rings here is not declined by having been away, and rings again if it still does', async () => {
  const world = await online()
  const call = await rings(world)
  await world.breaks()
  await world.clock.advance(30_000)
  expect(fate(call)).toEqual(['ended', 'lost', 'server'])
  world.server.unreachable = false
  await world.clock.advance(15_000)
  expect(world.server.socket.frames.filter(({ headers }) => headers.destination?.startsWith('/app/call'))).toEqual([])
  await world.tells(HEARS.request, { ...OFFERED, remainingMs: 15_000 })
  expect(world.rung).toHaveLength(2)
})

describe('a server to which the device is a new one', () => {
  const saysOfCalls = ({ server }: World) =>
    server.socket.frames
      .filter(({ headers }) => headers.destination?.startsWith('/app/call'))
      .map(({ headers, body }) => [headers.destination?.slice('/app/call/'.length), JSON.parse(body)])

  test.each([
    ['rings here', rings, [['ringing', { callId: 'c1' }]]],
    ['was answered here', answered, [['response', { callId: 'c1', type: 'ACCEPT' }]]],
  ])('is asked about a call that %s', async (_name, begins, words) => {
    const world = await online()
    const call = await begins(world)
    const { state } = call
    await world.breaks()
    await world.heals(false)
    expect(saysOfCalls(world)).toEqual(words)
    expect([call.state, call.reconnecting]).toEqual([state, false])
  })

  test('is given the request again for a call that rings there', async () => {
    const world = await online()
    const call = await placed(world)
    const [request] = world.sent('/app/call/request')
    await world.breaks()
    await world.heals(false)
    expect(saysOfCalls(world)).toEqual([['request', request]])
    expect([call.state, call.reconnecting]).toEqual(['calling', false])
  })

  test('is given the request for a call that was answered there only when it knows the call', async () => {
    const world = await online()
    const call = await talks(world)
    const [request] = world.sent('/app/call/request')
    await world.breaks()
    world.server.receipts = false
    await world.heals(false)
    expect(saysOfCalls(world)).toEqual([['ringing', { callId: call.id }]])
    const receipt = receiptOf(world, '/app/call/ringing')
    world.server.receipts = true
    const lives = { code: CODE.forbidden, message: 'only the callee', callId: call.id }
    await world.tells(HEARS.errors, lives, { 'receipt-id': receipt })
    expect(saysOfCalls(world).at(-1)).toEqual(['request', request])
    expect([call.state, call.reconnecting]).toEqual(['connected', false])
  })

  test.each([
    ['does not know it', { code: CODE.notFound, message: 'no such call' }, ['ended', 'lost', 'server']],
    ['knows that it is over', { code: CODE.alreadyOver, message: 'over' }, ['ended', 'lost', 'server']],
    ['knows it elsewhere', { code: CODE.handledElsewhere, message: 'x' }, ['ended', 'answered-elsewhere', 'server']],
  ])('and that %s ends it here', async (_name, refusal, end) => {
    const world = await online()
    const call = await rings(world)
    await world.breaks()
    world.server.receipts = false
    await world.heals(false)
    const receipt = receiptOf(world, '/app/call/ringing')
    await world.tells(HEARS.errors, { ...refusal, callId: 'c1' }, { 'receipt-id': receipt })
    expect(fate(call)).toEqual(end)
  })

  test('and that does not know two who talk leaves them alone', async () => {
    const world = await online()
    const call = await answered(world)
    await world.breaks()
    world.server.receipts = false
    await world.heals(false)
    const receipt = receiptOf(world, '/app/call/response')
    const unknown = { code: CODE.notFound, message: 'no such call', callId: 'c1' }
    await world.tells(HEARS.errors, unknown, { 'receipt-id': receipt })
    expect([call.state, call.forgotten, call.reconnecting]).toEqual(['connected', true, false])
  })

  test('is asked again when it cannot say just now', async () => {
    const world = await online()
    const call = await rings(world)
    await world.breaks()
    world.server.receipts = false
    await world.heals(false)
    const away = { code: CODE.unavailable, message: 'no store', callId: 'c1', destination: '/app/call/ringing' }
    await world.tells(HEARS.errors, away, { 'receipt-id': receiptOf(world, '/app/call/ringing') })
    expect(call.reconnecting).toBe(true)
    world.server.receipts = true
    await world.clock.advance(2_000)
    expect(saysOfCalls(world)).toHaveLength(2)
    expect([call.state, call.reconnecting]).toEqual(['ringing', false])
  })

  test('is asked again when the connection breaks before it has answered', async () => {
    const world = await online()
    const call = await rings(world)
    await world.breaks()
    world.server.receipts = false
    await world.heals(false)
    await world.breaks()
    expect(call.reconnecting).toBe(true)
    world.server.receipts = true
    await world.heals(true)
    expect(saysOfCalls(world)).toEqual([['ringing', { callId: 'c1' }]])
    expect([call.state, call.reconnecting]).toEqual(['ringing', false])
  })
})
