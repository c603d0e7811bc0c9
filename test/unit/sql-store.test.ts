import { describe, expect, test } from '@jest/globals'
import { type Database, Refused } from '../../src/adapters/sql/database.ts'
import { SqlHistory } from '../../src/adapters/sql/store.ts'
import { Unavailable } from '../../src/ports.ts'
import { record } from '../support/call-records.ts'
import { settled, TestClock } from '../support/clock.ts'

/** A database that does what a test says. */
function scripted({ opens = true } = {}) {
  const clock = new TestClock()
  const lines: string[] = []
  const refused: string[] = []
  const say = (_: object, message: string) => void lines.push(message)
  const script = { opens, writes: true, refuses: new Set<unknown>(), opened: 0, written: [] as number[] }
  const database: Database = {
    name: 'a database',
    dialect: 'sqlite',
    async open() {
      script.opened++
      if (!script.opens) throw new Unavailable('cannot be opened')
    },
    async run() {
      return [{ rows: [], changed: 0 }]
    },
    async write(rows) {
      if (!script.writes) throw new Unavailable('the disk is full')
      if (rows.some(({ call }) => script.refuses.has(call[1]))) throw new Refused('too long')
      script.written.push(rows.length)
    },
    async close() {},
  }
  const history = new SqlHistory(database, {
    clock,
    log: { info: say, warn: say, error: say },
    onRefused: ({ callId }) => void refused.push(callId),
  })
  return { history, clock, script, lines, refused }
}

describe('a history whose database is away', () => {
  test('refuses at once, and looks for it after pauses that double up to five seconds', async () => {
    const { history, clock, script } = scripted({ opens: false })
    await history.ready
    await expect(history.write([record('c', 1)])).rejects.toThrow('cannot be opened')
    const pauses: number[] = []
    for (let opened = script.opened; pauses.length < 8; opened = script.opened) {
      const since = clock.now()
      while (script.opened === opened) await clock.advance(100)
      pauses.push(clock.now() - since)
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000])
    script.opens = true
    await clock.advance(5000)
    expect(history.state).toBe('up')
    await history.write([record('c', 1)])
  })

  test('is not asked again and again when it can be opened and takes nothing', async () => {
    const { history, clock, script } = scripted()
    await history.ready
    script.writes = false
    for (let n = 0; n < 1000; n++) {
      await history.write([record('c', 1)]).catch(() => undefined)
      await clock.advance(50)
    }
    expect(script.opened).toBeLessThan(20)
    script.writes = true
    await clock.advance(5000)
    await history.write([record('c', 1)])
    await history.stop()
    expect(clock.waiting).toBe(0)
  })
})

test('of a batch that is refused everything is written that is not to blame, each once', async () => {
  const { history, script, refused } = scripted()
  script.refuses = new Set(['c3', 'c60'])
  await history.write(Array.from({ length: 100 }, (_, n) => record(`c${n}`, n)))
  expect(refused).toEqual(['c3', 'c60'])
  expect(script.written.reduce((sum, each) => sum + each)).toBe(98)
})

test('a stop waits for what is being written', async () => {
  const { history, script } = scripted()
  await history.ready
  const written = history.write([record('c', 1)])
  await history.stop()
  expect(script.written).toEqual([1])
  await written
  await settled()
  await expect(history.write([record('d', 2)])).rejects.toMatchObject({ name: 'Unavailable' })
})
