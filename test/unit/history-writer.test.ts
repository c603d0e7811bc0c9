/** How calls get into the history, whatever the database does. */

import { beforeEach, describe, expect, test } from '@jest/globals'
import type { CallRecord } from '../../src/history/types.ts'
import { Writer } from '../../src/history/writer.ts'
import { settled, TestClock } from '../support/clock.ts'
import { HistoryAtHand, missedCall, SpoolAtHand } from '../support/history.ts'

let clock: TestClock
let store: HistoryAtHand
let spool: SpoolAtHand
let told: string[]
let bugs: unknown[]
let lines: string[]
let writer: Writer

function begins(withSpool = true): void {
  const line = (_: object, text: string) => void lines.push(text)
  writer = new Writer({
    store,
    spool: withSpool ? spool : undefined,
    clock,
    written: (records: readonly CallRecord[]) => void told.push(...records.map(({ callId }) => callId)),
    log: { info: line, warn: line, error: line },
    report: (error) => void bugs.push(error),
  })
}

beforeEach(() => {
  clock = new TestClock()
  store = new HistoryAtHand()
  spool = new SpoolAtHand()
  told = []
  bugs = []
  lines = []
  begins()
})

const pushes = (...ids: string[]) => {
  for (const id of ids) writer.push(missedCall(id, clock.now()))
}
const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, n) => `call ${String(from + n).padStart(6, '0')}`)
const kept = () => [...store.calls.keys()]

describe('while the database answers', () => {
  test('calls that end together are written together, 20 ms after the first', async () => {
    pushes('a', 'b')
    await clock.advance(19)
    pushes('c')
    expect(kept()).toEqual([])
    await clock.advance(1)
    expect(kept()).toEqual(['a', 'b', 'c'])
    expect(store.batches).toEqual([3])
    expect(told).toEqual(['a', 'b', 'c'])
  })

  test('a hundred of them do not wait', async () => {
    pushes(...many(100))
    await settled()
    expect(store.batches).toEqual([100])
  })

  test('those that end while a batch is under way follow in the order of their ends', async () => {
    pushes(...many(100))
    pushes(...many(250, 100))
    await clock.advance(20)
    expect(kept()).toEqual(many(350))
    expect(spool.puts).toBe(0)
    expect(clock.waiting).toBe(0)
  })

  test('nobody waits longer than 45 ms outside the memory of the process, however the writes fall', async () => {
    store.slow = true
    pushes('a')
    await clock.advance(20)
    pushes('b')
    await clock.advance(20)
    expect(spool.records.map(({ callId }) => callId)).toEqual(['a', 'b'])
  })

  test('who asks at once has it flushed', async () => {
    pushes('a')
    expect(await writer.flushed(100)).toBe(true)
    expect(kept()).toEqual(['a'])
    expect(clock.waiting).toBe(0)
  })

  test('a call that the database refuses for good does not hold up the others', async () => {
    store.poison = 'b'
    pushes('a', 'b', 'c')
    await clock.advance(20)
    expect(kept()).toEqual(['a', 'c'])
    expect(writer.counts).toMatchObject({ written: 2, dropped: 1, waiting: 0 })
    expect(bugs).toHaveLength(1)
  })
})

describe('while the database is away', () => {
  test('calls wait in the spool, and are written in their order when it is back', async () => {
    store.away = true
    pushes('a')
    await clock.advance(20)
    pushes('b')
    await clock.advance(20)
    expect(spool.records.map(({ callId }) => callId)).toEqual(['a', 'b'])
    expect(writer.counts).toMatchObject({ written: 0, spooled: 2, waiting: 0, dropped: 0 })
    await clock.advance(1000)
    expect(writer.counts.ageMs).toBe(1040)
    store.away = false
    await clock.advance(5000)
    expect(kept()).toEqual(['a', 'b'])
    expect(spool.records).toEqual([])
    expect(writer.counts).toMatchObject({ written: 2, ageMs: 0 })
    expect(lines).toEqual([
      'the history cannot be written: calls wait for the database',
      'the history is written again',
    ])
    pushes('c')
    await clock.advance(20)
    expect(kept()).toEqual(['a', 'b', 'c'])
    expect(spool.puts).toBe(2)
  })

  test('it is asked again after growing pauses, and at once when it has answered somebody else', async () => {
    store.away = true
    pushes('a')
    await clock.advance(10_000)
    store.away = false
    expect(kept()).toEqual([])
    writer.wake()
    await settled()
    expect(kept()).toEqual(['a'])
  })

  test('who asks waits no longer than is said', async () => {
    store.slow = true
    pushes('a')
    const flushed = writer.flushed(500)
    await clock.advance(500)
    expect(await flushed).toBe(false)
  })

  test('a spool without room keeps them in memory, and they are written when there is somebody to write them', async () => {
    store.away = true
    spool.room = 1
    pushes('a')
    await clock.advance(20)
    pushes('b', 'c')
    await clock.advance(1000)
    expect(writer.counts).toMatchObject({ spooled: 1, waiting: 2 })
    store.away = false
    await clock.advance(10_000)
    expect(kept()).toEqual(['a', 'b', 'c'])
    expect(writer.counts).toMatchObject({ waiting: 0, dropped: 0 })
  })

  test('memory is bounded: what is too much is counted', async () => {
    begins(false)
    store.away = true
    pushes(...many(20_010))
    expect(writer.counts).toMatchObject({ waiting: 20_000, dropped: 10 })
    store.away = false
    await clock.advance(1000)
    expect(store.calls.size).toBe(20_000)
  })

  test('with the spool away as well they wait in memory', async () => {
    store.away = true
    spool.away = true
    pushes('a')
    await clock.advance(500)
    expect(writer.counts.waiting).toBe(1)
    store.away = false
    spool.away = false
    await clock.advance(10_000)
    expect(kept()).toEqual(['a'])
    expect(bugs).toEqual([])
  })
})

describe('while the database is slow', () => {
  test('what it has taken after all is not written twice', async () => {
    store.slow = true
    pushes('a')
    await clock.advance(40)
    expect(spool.records).toHaveLength(1)
    store.answers()
    await clock.advance(200)
    expect(spool.records).toEqual([])
    expect(store.batches).toEqual([1])
    expect(writer.counts).toMatchObject({ written: 1, spooled: 1 })
  })
})

describe('at the start', () => {
  test('what an earlier process has left is written before anything else', async () => {
    await spool.put([missedCall('old', clock.now())])
    writer.start()
    pushes('new')
    await clock.advance(20)
    expect(kept()).toEqual(['old', 'new'])
  })

  test('whom somebody has had forgotten meanwhile is taken out of what waited', async () => {
    const room = missedCall('room', 4_000, {
      caller: 'carol',
      callee: 'dave',
      transferredBy: 'alice',
      members: [
        { user: 'carol', name: 'Carol', state: 'LEFT', leftAt: 4_000 },
        { user: 'alice', name: 'Alice', state: 'LEFT', invitedBy: 'carol', leftAt: 4_000 },
        { user: 'erin', state: 'MISSED', invitedBy: 'alice', leftAt: 4_000 },
      ],
    })
    spool.records.push(missedCall('before', 1_000), room, missedCall('nobody', 2_000, { callee: 'alice' }))
    spool.records.push(missedCall('after', 9_000))
    store.erased.set('alice', 5_000)
    clock = new TestClock(60_000)
    begins()
    writer.start()
    await settled()
    expect(kept()).toEqual(['before', 'room', 'after'])
    const { callerName: _, ...unnamed } = missedCall('before', 1_000, { caller: '' })
    expect(store.calls.get('before')).toEqual(unnamed)
    const { transferredBy: _by, ...others } = room
    expect(store.calls.get('room')).toEqual({
      ...others,
      members: [
        { user: 'carol', name: 'Carol', state: 'LEFT', leftAt: 4_000 },
        { user: '', state: 'LEFT', invitedBy: 'carol', leftAt: 4_000 },
        { user: 'erin', state: 'MISSED', leftAt: 4_000 },
      ],
    })
    expect(store.calls.get('after')).toEqual(missedCall('after', 9_000))
    expect(spool.records).toEqual([])
    expect(told).toEqual(kept())
  })

  test('what is written at once asks nobody for that', async () => {
    pushes('a')
    await clock.advance(20)
    expect([kept(), store.looks]).toEqual([['a'], 0])
  })

  test('a spool that another process empties is waited for', async () => {
    await spool.put([missedCall('old', clock.now())])
    spool.taken = true
    writer.start()
    pushes('new')
    await clock.advance(1000)
    expect(kept()).toEqual([])
    spool.taken = false
    await clock.advance(5000)
    expect(kept()).toEqual(['old', 'new'])
  })
})

describe('a stop', () => {
  test('writes what waits', async () => {
    pushes(...many(1234))
    await writer.stop()
    expect(store.calls.size).toBe(1234)
    expect(clock.waiting).toBe(0)
  })

  test('leaves in the spool what the database does not take', async () => {
    store.away = true
    pushes('a', 'b')
    await writer.stop()
    expect(spool.records).toHaveLength(2)
    expect(lines).not.toContain('calls are lost for the history: nobody took them')
  })

  test('does not wait for a database that does not answer', async () => {
    store.slow = true
    pushes('a')
    const stopping = writer.stop()
    await clock.advance(2000)
    await stopping
    expect(spool.records).toHaveLength(1)
  })

  test('says what nobody took', async () => {
    store.away = true
    spool.away = true
    pushes('a')
    await writer.stop()
    expect(writer.counts.dropped).toBe(1)
    expect(lines).toContain('calls are lost for the history: nobody took them')
  })
})
