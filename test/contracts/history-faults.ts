import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describe, expect, test } from '@jest/globals'
import { record } from '../support/call-records.ts'
import { historyAt } from '../support/sql-history.ts'

const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
const WRITER = fileURLToPath(new URL('../support/history-writer.ts', import.meta.url))

function writer(url: string, name: string, ...more: string[]): ChildProcess {
  return spawn(process.execPath, ['--import', TSX, WRITER, url, name, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** What a history promises when processes are killed, or share it. `open` gives the URL of an empty one. */
export function historyFaultsContract(name: string, open: () => string): void {
  describe(`history under faults: ${name}`, () => {
    test('a process that is killed while it writes loses no call that it was told is written', async () => {
      const url = open()
      const child = writer(url, 'killed')
      const ended = once(child, 'close')
      let written = 0
      for await (const line of createInterface({ input: child.stdout! })) {
        written = Number(line)
        if (written === 200) child.kill('SIGKILL')
      }
      expect((await ended)[1]).toBe('SIGKILL')
      const { history } = historyAt(url)
      const found = await history.count('alice', {})
      expect(found).toBeGreaterThanOrEqual(written)
      // what is written is whole batches
      expect(found % 10).toBe(0)
      await history.stop()
    })

    test('three processes that begin with an empty database at the same time make its tables once, and all write', async () => {
      const url = open()
      const children = ['a', 'b', 'c'].map((each) => writer(url, each, 'once'))
      const codes = await Promise.all(children.map(async (child) => (await once(child, 'close'))[0] as number))
      expect(codes).toEqual([0, 0, 0])
      const { history } = historyAt(url)
      expect(await history.count('alice', {})).toBe(30)
      await history.stop()
    })

    test('two who write at the same time hinder nobody, and each finds what the other has written', async () => {
      const url = open()
      const both = ['a', 'b'].map((each) => ({ each, ...historyAt(url) }))
      await Promise.all(
        both.flatMap(({ each, history }) =>
          Array.from({ length: 40 }, (_, n) => history.write([record(`${each}${n}`, n), record('shared', 1000)])),
        ),
      )
      for (const { history } of both) expect(await history.count('bob', {})).toBe(81)
      await Promise.all(both.map(({ history }) => history.stop()))
    })

    test('what is asked before it is open, or while it stops, is answered; afterwards it is away', async () => {
      const { history } = historyAt(open())
      const written = history.write([record('c', 1)])
      const found = history.find('another')
      await written
      // over another connection it may be answered first
      expect(await found).toBeUndefined()
      expect(await history.find('c')).toMatchObject({ callId: 'c' })
      const last = history.write([record('d', 2)])
      await history.stop()
      await last
      await expect(history.find('c')).rejects.toMatchObject({ name: 'Unavailable' })
      expect(history.state).toBe('down')
    })
  })
}
