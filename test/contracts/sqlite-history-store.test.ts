import { chmodSync, copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { DatabaseSync } from '@photostructure/sqlite'
import { systemClock } from '../../broker/clock.ts'
import { migrationsFor } from '../../src/adapters/sql/migrations/index.ts'
import { rowOf } from '../../src/adapters/sql/rows.ts'
import { sqlWriter } from '../../src/adapters/sql/sql-writer.ts'
import { sqliteDatabase } from '../../src/adapters/sql/sqlite/sqlite.ts'
import { CALL_COLUMNS, MEMBER_COLUMNS } from '../../src/adapters/sql/tables.ts'
import type { HistoryFilter } from '../../src/history/types.ts'
import { AT, member, missed, record, room } from '../support/call-records.ts'
import { TestClock } from '../support/clock.ts'
import { historyAt } from '../support/sql-history.ts'
import { historyFaultsContract } from './history-faults.ts'
import { historyStoreContract } from './history-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'carillon-history-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const newFile = () => join(folder, 'new', `${files++}.db`)
const newUrl = () => `sqlite:${newFile()}`

historyStoreContract('SQLite in memory', async () => historyAt('sqlite::memory:').history)
historyStoreContract('SQLite in a file', async () => historyAt(newUrl()).history)
historyFaultsContract('SQLite in a file', newUrl)

describe('a SQLite file that cannot be used', () => {
  test('is waited for while another process has it locked', async () => {
    const file = join(folder, 'locked.db')
    const first = historyAt(`sqlite:${file}`)
    await first.history.write([record('c', 1)])
    const other = new DatabaseSync(file)
    other.exec('begin immediate')
    await expect(first.history.write([record('d', 2)])).rejects.toMatchObject({
      name: 'Unavailable',
      message: expect.stringMatching(/locked\.db: .*another process has it locked/),
    })
    // who reads needs no lock
    other.exec('rollback')
    other.close()
    await first.becomes('up')
    await first.history.write([record('d', 2)])
    expect(await first.history.count('alice', {})).toBe(2)
    await first.history.stop()
  })

  test('is refused when it is no SQLite file, with what to do', async () => {
    const file = join(folder, 'text.db')
    writeFileSync(file, 'this is a text of more than a few octets, and no database at all\n'.repeat(100))
    const { history, lines } = historyAt(`sqlite:${file}`)
    await expect(history.ready).rejects.toMatchObject({
      name: 'Unfit',
      message: expect.stringMatching(/text\.db: .*put a backup in its place, or name another file in DATABASE_URL/),
    })
    await expect(history.find('c')).rejects.toMatchObject({ name: 'Unavailable' })
    expect(lines.join()).toContain('call history cannot be reached')
    await history.stop()
  })

  test('is refused when it is of a newer version, and is left as it is', async () => {
    const file = join(folder, 'newer.db')
    const first = historyAt(`sqlite:${file}`)
    await first.history.write([record('c', 1)])
    await first.history.stop()
    const db = new DatabaseSync(file)
    db.exec('insert into carillon_schema (version) values (1000)')
    db.close()
    const { history } = historyAt(`sqlite:${file}`)
    await expect(history.ready).rejects.toMatchObject({
      name: 'Unfit',
      message: expect.stringMatching(/newer Carillon \(version 1000; this one knows \d+\): run that version/),
    })
    await history.stop()
  })

  test('is looked for again, after growing pauses, and is up when it can be made', async () => {
    const clock = new TestClock()
    const path = join(folder, 'blocked')
    writeFileSync(path, 'a file where a folder should be')
    const { history, becomes } = historyAt(`sqlite:${path}/calls.db`, { clock })
    await history.ready
    expect(history.state).toBe('down')
    await expect(history.write([record('c', 1)])).rejects.toMatchObject({
      name: 'Unavailable',
      message: expect.stringMatching(/EEXIST|ENOTDIR/),
    })
    rmSync(path)
    const up = becomes('up')
    await clock.advance(100)
    await up
    await history.write([record('c', 1)])
    await history.stop()
  })

  test('says so while it is broken in the middle, and goes on with what was saved', async () => {
    const file = join(folder, 'broken.db')
    const first = historyAt(`sqlite:${file}`)
    await first.history.write(Array.from({ length: 2000 }, (_, n) => record(`c${n}`, n)))
    await first.history.stop()
    copyFileSync(file, `${file}.saved`)
    writeFileSync(file, Buffer.alloc(1_000_000, 0xff), { flag: 'r+' })
    const { history } = historyAt(`sqlite:${file}`)
    await expect(history.ready).rejects.toMatchObject({ name: 'Unfit' })
    await history.stop()
    copyFileSync(`${file}.saved`, file)
    const again = historyAt(`sqlite:${file}`)
    expect(await again.history.count('alice', {})).toBe(2000)
    await again.history.stop()
  })
})

describe('a record that SQLite refuses', () => {
  test('is told of, with why', async () => {
    const { history, refused, lines } = historyAt('sqlite::memory:')
    await history.write([record('bad', Number.NaN)])
    expect(refused).toMatchObject([{ callId: 'bad' }])
    expect(lines.join()).toMatch(/bad.*NOT NULL constraint failed: calls\.ended_at/)
    expect(history.state).toBe('up')
    await history.stop()
  })
})

test('a new file, and those beside it, are for this account alone; the mode of one that is there stays', async () => {
  const file = join(folder, 'mode.db')
  const modes = () => ['', '-wal', '-shm'].map((end) => statSync(file + end).mode & 0o777)
  const first = historyAt(`sqlite:${file}`)
  await first.history.write([record('c', 1)])
  expect(modes()).toEqual([0o600, 0o600, 0o600])
  await first.history.stop()
  chmodSync(file, 0o640)
  const { history } = historyAt(`sqlite:${file}`)
  await history.write([record('d', 2)])
  expect(modes()).toEqual([0o640, 0o640, 0o640])
  await history.stop()
})

test('a file from before the lists had an index of their own is taken over, with all its calls', async () => {
  const file = join(folder, 'old.db')
  const before = sqliteDatabase(file, systemClock)
  await before.open(migrationsFor(sqlWriter('sqlite'), 'sqlite').slice(0, 2))
  await before.close()
  const all = [
    record('b', 1),
    record('a', 1),
    missed('m', 1, { caller: 'carol' }),
    room('r', 2, member('carol', { state: 'MISSED', joinedAt: undefined })),
  ]
  const db = new DatabaseSync(file)
  const into = (table: string, columns: readonly string[]) =>
    db.prepare(`insert into ${table} (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`)
  const [calls, members] = [into('calls', CALL_COLUMNS), into('call_members', MEMBER_COLUMNS)]
  for (const row of all.map(rowOf)) {
    calls.run(...row.call)
    for (const each of row.members) members.run(...each)
  }
  db.close()
  const { history } = historyAt(`sqlite:${file}`)
  await history.write([record('c', 1), record('d', 3)])
  const list = async (user: string, filter: HistoryFilter = {}) =>
    (await history.page(user, filter, { size: 10 })).map(({ callId }) => callId)
  expect([await list('alice'), await list('carol')]).toEqual([
    ['d', 'r', 'c', 'b', 'a'],
    ['r', 'm'],
  ])
  expect([await list('bob', { only: 'missed' }), await history.unread('carol')]).toEqual([['m'], 1])
  expect(await history.find('a')).toMatchObject({ caller: 'alice' })
  expect(await history.erase('carol')).toBe(2)
  await history.stop()
})

test('a clean stop leaves one file: its log is in it', async () => {
  const file = join(folder, 'closed.db')
  const { history } = historyAt(`sqlite:${file}`)
  await history.write([record('c', 1)])
  await history.stop()
  const db = new DatabaseSync(file, { readOnly: true })
  expect(db.prepare('select ended_at from calls').all()).toEqual([{ ended_at: AT + 1000 }])
  expect(db.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
  db.close()
})
