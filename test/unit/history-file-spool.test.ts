/** Calls that wait for the database on disk, whatever happens to the process. */

import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { FileSpool } from '../../src/adapters/files/spool.ts'
import { settled, TestClock } from '../support/clock.ts'
import { missedCall } from '../support/history.ts'

/** No process has it: the largest there is on Linux is 4,194,304. */
const NOBODY = 99_999_999

let clock: TestClock
let folder: string
let lines: [object, string][]
const open: FileSpool[] = []

beforeEach(() => {
  clock = new TestClock(Date.now())
  folder = join(mkdtempSync(join(tmpdir(), 'carillon-spool-')), 'data')
  lines = []
})

afterEach(async () => {
  for (const spool of open.splice(0)) await spool.stop()
})

function spoolOf(more: { host?: string; pid?: number; mostBytes?: number; folder?: string } = {}): FileSpool {
  const line = (facts: object, text: string) => void lines.push([facts, text])
  const spool = new FileSpool({ folder, mostBytes: 1e9, clock, log: { info: line, warn: line }, host: 'here', ...more })
  open.push(spool)
  return spool
}

const calls = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => missedCall(`call ${from + n}`, from + n, { calleeName: 'Bob „🙂“\n' }))
const files = () => readdirSync(folder)

/** Everything in it, as the writer takes it. */
async function drained(spool: FileSpool, atMost = 500): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const batch = await spool.peek(atMost)
    if (batch.length === 0) return found
    found.push(...batch.map(({ callId }) => callId))
    await spool.done()
  }
}

describe('a spool', () => {
  test('makes no file until there is something in it, and leaves none when that is written', async () => {
    const spool = spoolOf()
    await spool.start()
    expect(existsSync(folder)).toBe(false)
    expect(await spool.peek(10)).toEqual([])
    await spool.put(calls(0, 3))
    expect(files()).toEqual([expect.stringMatching(/^spool\.here\.\d+\.[\w-]+\.jsonl$/)])
    expect(statSync(join(folder, files()[0] ?? '')).mode & 0o077).toBe(0)
    expect(await drained(spool)).toHaveLength(3)
    await spool.stop()
    expect(files()).toEqual([])
  })

  test('gives records back as they were, in their order, in portions', async () => {
    const spool = spoolOf()
    await spool.put(calls(0, 700))
    await spool.put(calls(700, 1500))
    expect(spool.size().records).toBe(1500)
    expect(await spool.peek(2)).toEqual(calls(0, 2))
    expect(await spool.peek(2)).toEqual(calls(0, 2))
    await spool.done()
    expect(await spool.peek(1)).toEqual(calls(2, 3))
    await spool.put(calls(1500, 1501))
    expect(await drained(spool)).toEqual(calls(2, 1501).map(({ callId }) => callId))
    expect(spool.size()).toEqual({ records: 0, bytes: 0 })
  })

  test('has a bound, and room again when something was written', async () => {
    const spool = spoolOf({ mostBytes: 1000 })
    expect(await spool.put(calls(0, 3))).toBe(true)
    expect(await spool.put(calls(3, 6))).toBe(false)
    expect(spool.size().records).toBe(3)
    await drained(spool)
    expect(await spool.put(calls(3, 6))).toBe(true)
  })

  test('is written anew when most of it is done with', async () => {
    const spool = spoolOf()
    const large = Array.from({ length: 60 }, (_, n) => missedCall(`call ${n}`, n, { callerName: 'x'.repeat(200_000) }))
    for (const record of large) await spool.put([record])
    for (let n = 0; n < 50; n++) {
      await spool.peek(1)
      await spool.done()
    }
    const { bytes } = spool.size()
    expect(statSync(join(folder, files()[0] ?? '')).size).toBeLessThan(bytes + 8 * 1024 * 1024)
    expect(await drained(spool)).toEqual(large.slice(50).map(({ callId }) => callId))
  })

  test('where nothing can be written says so once, and has no room', async () => {
    writeFileSync(join(folder, '..', 'file'), '')
    const spool = spoolOf({ folder: join(folder, '..', 'file', 'data') })
    await spool.start()
    expect(await spool.put(calls(0, 1))).toBe(false)
    expect(await spool.put(calls(0, 1))).toBe(false)
    expect(lines.map(([, text]) => text)).toEqual(['calls that wait for the database cannot be kept on disk'])
  })
})

describe('what a process has left that is gone', () => {
  test('is taken over by the next one, but for a line that it could not finish', async () => {
    await spoolOf({ pid: NOBODY }).put(calls(0, 600))
    const [left = ''] = files()
    appendFileSync(join(folder, left), '{"callId":"torn","ended')
    const next = spoolOf()
    await next.start()
    expect(next.size().records).toBe(600)
    expect(next.torn).toBe(1)
    expect(lines).toEqual([
      [{ file: left, calls: 600, torn: 1 }, 'calls that a process before has left are written into the history'],
    ])
    expect(files()).toHaveLength(1)
    expect(await drained(next)).toEqual(calls(0, 600).map(({ callId }) => callId))
  })

  test('is taken over once, by whoever of several is first', async () => {
    await spoolOf({ pid: NOBODY }).put(calls(0, 10))
    const [one, two] = [spoolOf({ pid: process.pid }), spoolOf({ pid: process.ppid })]
    await Promise.all([one.start(), two.start()])
    expect([...(await drained(one)), ...(await drained(two))].sort()).toEqual(calls(0, 10).map(({ callId }) => callId))
  })

  test('may have lines in it that are none: they are left out', async () => {
    await spoolOf({ pid: NOBODY }).put(calls(0, 1))
    appendFileSync(join(folder, files()[0] ?? ''), 'null\n\0\0\0\n[]\n{"callId":1}\n')
    const next = spoolOf()
    await next.start()
    await next.put(calls(1, 2))
    expect(await drained(next)).toEqual(['call 0', 'call 1'])
    expect(next.size()).toEqual({ records: 0, bytes: 0 })
  })

  test('is left alone while that process runs, or has touched it lately', async () => {
    await spoolOf({ pid: process.ppid }).put(calls(0, 1))
    await spoolOf({ host: 'there', pid: NOBODY }).put(calls(1, 2))
    const here = spoolOf()
    await here.start()
    expect(here.size().records).toBe(0)
    expect(files()).toHaveLength(2)
  })

  test('on another host is taken over when nobody has touched it for a minute', async () => {
    await spoolOf({ host: 'there', pid: NOBODY }).put(calls(0, 1))
    const [left = ''] = files()
    const old = new Date(clock.now() - 61_000)
    utimesSync(join(folder, left), old, old)
    const here = spoolOf()
    await here.start()
    expect(await drained(here)).toEqual(['call 0'])
  })
})

test('who owns a file says every ten seconds that it is there', async () => {
  const spool = spoolOf()
  await spool.put(calls(0, 1))
  const path = join(folder, files()[0] ?? '')
  clock.sleep(3_600_000)
  await clock.advance(10_000)
  await spool.peek(1)
  await settled()
  expect(clock.now() - statSync(path).mtimeMs).toBeLessThan(20_000)
  expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(1)
})
