import { afterAll, beforeAll } from '@jest/globals'
import { historyStoreContract } from '../contracts/history-store.ts'
import { type Postgres, startPostgres } from '../support/postgres.ts'
import { historyAt } from '../support/sql-history.ts'

let postgres: Postgres

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(() => postgres.stop())

historyStoreContract('PostgreSQL', async () => historyAt(postgres.newDatabase()).history)
