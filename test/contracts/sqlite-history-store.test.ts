import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from '@jest/globals'
import { historyAt } from '../support/sql-history.ts'
import { historyStoreContract } from './history-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'carillon-history-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

historyStoreContract('SQLite in memory', async () => historyAt('sqlite::memory:').history)

let files = 0
historyStoreContract('SQLite in a file', async () => historyAt(`sqlite:${folder}/new/${files++}.db`).history)
