/** The history as a whole, without a server: what it keeps of the news, what it shows, what it forgets. */

import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Call } from '../../src/calls/types.ts'
import { HistoryQuery } from '../../src/history/messages.ts'
import { recordOf } from '../../src/history/record.ts'
import { HistoryService } from '../../src/history/service.ts'
import { settled } from '../support/clock.ts'
import { actor, engine, requestOf } from '../support/engine.ts'
import { HistoryAtHand, missedCall, SpoolAtHand } from '../support/history.ts'

let world: ReturnType<typeof engine>
let store: HistoryAtHand
let spool: SpoolAtHand
let history: HistoryService
let leads: boolean

function begins(days = 0): void {
  const { clock, events, devices, bugs } = world
  const line = () => undefined
  history = new HistoryService({
    store,
    spool,
    clock,
    events,
    devices,
    days,
    leads: () => leads,
    log: { info: line, warn: line, error: line },
    report: (error) => bugs.push(error),
  })
}

beforeEach(() => {
  world = engine()
  store = new HistoryAtHand()
  spool = new SpoolAtHand()
  leads = true
  begins()
})

async function miss(callId: string): Promise<void> {
  await world.calls.request(actor('alice/phone'), requestOf('bob', callId))
  await world.calls.hangup(actor('alice/phone'), { callId })
}

describe('what is kept', () => {
  test('is one row of each call, with the names that its request said, though it is told twice', async () => {
    const { calls, clock, events, devices } = world
    devices.connect('alice', 'alice/phone')
    devices.connect('bob', 'bob/phone')
    await calls.request(actor('alice/phone'), requestOf('bob', 'c', { calleeUserName: 'Bob', type: 'AUDIO' }))
    const told: Call[] = []
    events.on('call.ended', ({ call }) => void told.push(call))
    await clock.advance(1000)
    await calls.respond(actor('bob/phone'), { callId: 'c', type: 'ACCEPT', reason: 'DECLINED' })
    await clock.advance(2000)
    await calls.hangup(actor('bob/phone'), { callId: 'c' })
    for (const call of [...told]) events.emit('call.ended', { call, names: { callerUserName: 'Another' } })
    await clock.advance(100)
    const at = clock.now() - 3100
    expect([...store.calls.values()]).toEqual([
      {
        callId: 'c',
        type: 'AUDIO',
        caller: 'alice',
        callee: 'bob',
        callerName: 'Somebody',
        calleeName: 'Bob',
        status: 'COMPLETED',
        reason: 'HANGUP',
        createdAt: at,
        ringingAt: at,
        connectedAt: at + 1000,
        endedAt: at + 3000,
      },
    ])
  })

  test('is nothing of a call that the database refuses: nobody is told that they have missed it', async () => {
    const { clock, devices } = world
    devices.connect('bob', 'bob/phone')
    store.refuses = { callId: 'refused', told: (record) => history.refused(record) }
    await miss('refused')
    await miss('kept')
    await clock.advance(20)
    const missed = devices.heard.filter(({ queue }) => queue === 'call/missed')
    expect(missed.map(({ body }) => body.calls)).toMatchObject([[{ callId: 'kept' }]])
    expect(history.counts).toMatchObject({ written: 1, dropped: 1 })
  })

  test('of a room is what it was for each member', async () => {
    const { calls, store: live } = world
    await calls.request(actor('alice/phone'), requestOf('bob', 'c'))
    const call = (await live.load('c')) as Call
    const member = { rung: [], declined: [], invitedAt: 1 }
    const ended: Call = {
      ...call,
      status: 'COMPLETED',
      reason: 'HANGUP',
      connectedAt: 10,
      createdAt: 1,
      endedAt: 50,
      members: [
        { ...member, user: 'alice', state: 'JOINED', joinedAt: 10 },
        { ...member, user: 'bob', name: 'Bob', state: 'LEFT', joinedAt: 10, leftAt: 40 },
        { ...member, user: 'carol', state: 'RINGING', invitedBy: 'bob' },
        { ...member, user: 'dave', state: 'BUSY', invitedBy: 'bob', leftAt: 20 },
      ],
    }
    expect(recordOf(ended)?.members).toEqual([
      { user: 'alice', state: 'LEFT', joinedAt: 10, leftAt: 50 },
      { user: 'bob', name: 'Bob', state: 'LEFT', joinedAt: 10, leftAt: 40 },
      { user: 'carol', state: 'MISSED', invitedBy: 'bob', leftAt: 50 },
      { user: 'dave', state: 'BUSY', invitedBy: 'bob', leftAt: 20 },
    ])
    expect(recordOf(call)).toBeUndefined()
    await store.write([recordOf(ended) as NonNullable<ReturnType<typeof recordOf>>])
    const page = await history.page('carol', HistoryQuery.parse({}))
    expect(page).toMatchObject({
      data: {
        records: [
          { seenAs: 'missed', peer: { userId: 'bob', name: 'Bob' }, members: [{ userId: 'alice' }, {}, {}, {}] },
        ],
      },
    })
  })

  test('of calls that go on when the process stops is how far they got', async () => {
    const { calls, clock, store: live } = world
    await calls.request(actor('alice'), requestOf('bob', 'c'))
    await calls.respond(actor('bob'), { callId: 'c', type: 'ACCEPT', reason: 'DECLINED' })
    await clock.advance(5000)
    await history.stop([(await live.load('c')) as Call])
    expect(store.calls.get('c')).toMatchObject({
      status: 'COMPLETED',
      reason: 'NODE_FAILURE',
      callerName: 'Somebody',
      endedAt: clock.now(),
    })
    expect(world.bugs).toEqual([])
  })
})

describe('while the database is away', () => {
  test('asking is refused, with a time to ask again', async () => {
    store.away = true
    const answers = [
      await history.page('bob', HistoryQuery.parse({})),
      await history.ofUser('bob', {}, { size: 1 }),
      await history.read('bob', {}),
      await history.export({}),
    ]
    for (const answer of answers) expect(answer).toMatchObject({ ok: false, code: 503, retryAfter: 5 })
  })

  test('nobody is forgotten before what waits is written', async () => {
    store.away = true
    await miss('c')
    await world.clock.advance(100)
    expect(spool.records).toHaveLength(1)
    const refused = history.erase('bob')
    await world.clock.advance(5_000)
    expect(await refused).toMatchObject({ ok: false, code: 503 })
    store.away = false
    const erased = history.erase('bob')
    await world.clock.advance(5_000)
    expect(await erased).toEqual({ ok: true, data: { calls: 1 } })
    expect([...store.calls.values()]).toMatchObject([{ caller: 'alice', callee: '' }])
    expect(spool.records).toEqual([])
  })
})

describe('whoever was forgotten', () => {
  test('is so in what other processes write a moment later, and may go on calling', async () => {
    const { clock } = world
    await miss('before')
    const until = clock.now()
    expect(await history.erase('alice')).toEqual({ ok: true, data: { calls: 1 } })
    await store.write([missedCall('elsewhere', until)])
    await clock.advance(100)
    await miss('after')
    await clock.advance(900)
    expect(store.calls.get('elsewhere')).toMatchObject({ caller: '' })
    expect(store.calls.get('after')).toMatchObject({ caller: 'alice' })
  })
})

describe('who cannot wait for one call', () => {
  test('has it when the database says so in time, else nothing', async () => {
    await store.write([missedCall('a', 1)])
    expect(await history.recall('a', 250)).toMatchObject({ callId: 'a' })
    store.away = true
    expect(await history.recall('a', 250)).toBeUndefined()
    store.find = () => new Promise(() => undefined)
    const late = history.recall('a', 250)
    await world.clock.advance(250)
    expect(await late).toBeUndefined()
    expect(world.clock.waiting).toBe(0)
  })
})

describe('marking as read', () => {
  test('never reaches into the future: what is missed later is unread', async () => {
    await history.read('bob', { until: world.clock.now() + 1e9 })
    await world.clock.advance(1)
    await miss('c')
    expect(await history.page('bob', HistoryQuery.parse({}))).toMatchObject({ data: { unreadMissed: 1 } })
  })
})

describe('calls that are too old', () => {
  const days = (n: number) => n * 86_400_000

  test('are deleted every hour, in portions', async () => {
    begins(30)
    const { clock } = world
    await store.write(Array.from({ length: 2500 }, (_, n) => missedCall(`${n}`, clock.now() - days(31))))
    await store.write([missedCall('young', clock.now() - days(29))])
    await history.start()
    await clock.advance(59_000)
    expect(store.calls.size).toBe(2501)
    await clock.advance(2_000)
    expect([...store.calls.keys()]).toEqual(['young'])
    expect(history.counts.forgotten).toBe(2500)
    await clock.advance(days(2))
    expect(store.calls.size).toBe(0)
    await history.stop()
    expect(clock.waiting).toBe(0)
  })

  test('are left to another process that leads, and stay while the database is away', async () => {
    begins(30)
    const { clock, bugs } = world
    await store.write([missedCall('old', clock.now() - days(31))])
    leads = false
    await history.start()
    await clock.advance(3 * 3_600_000)
    expect(store.calls.size).toBe(1)
    leads = true
    store.away = true
    await clock.advance(2 * 3_600_000)
    store.away = false
    await clock.advance(2 * 3_600_000)
    expect(store.calls.size).toBe(0)
    expect(bugs).toEqual([])
    await history.stop()
  })

  test('stay for ever with 0 days', async () => {
    await store.write([missedCall('old', 1)])
    await history.start()
    await settled()
    expect(world.clock.waiting).toBe(0)
  })
})
