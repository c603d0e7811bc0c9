/** The export of the history, seen from its reader, who may leave, and from the database, which may go away. */

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { afterEach, expect, test } from '@jest/globals'
import { NO_HISTORY } from '../../src/history/service.ts'
import type { CallRecord } from '../../src/history/types.ts'
import { Unavailable } from '../../src/ports.ts'
import { missedCall } from '../support/history.ts'
import { type Face, FakeServices, serveFace } from '../support/http-face.ts'

const ADMIN_KEY = 'a key for operators that has 32 characters'

let face: Face
let fake: FakeServices
afterEach(() => face.close())

/** A database of that many portions. Fulfilled, one for each export, when nobody reads it any more. */
async function serves(portions: number, fails?: Error): Promise<{ readonly ends: readonly Promise<void>[] }> {
  const ends: Promise<void>[] = []
  async function* all(end: () => void): AsyncGenerator<readonly CallRecord[]> {
    try {
      for (let n = 0; n < portions; n++) {
        // a database answers later
        await new Promise((resolve) => setImmediate(resolve))
        yield Array.from({ length: 10 }, (_, each) => missedCall(`${n}-${each}`, n))
      }
      if (fails) throw fails
    } finally {
      end()
    }
  }
  fake = new FakeServices()
  const begins = () => {
    let end: () => void = () => undefined
    ends.push(new Promise<void>((resolve) => (end = resolve)))
    return Promise.resolve({ ok: true, data: all(end) } as const)
  }
  fake.history = { ...NO_HISTORY, export: begins }
  face = await serveFace(fake, { adminKey: ADMIN_KEY })
  return { ends }
}

/** Fulfilled with the head of the answer. */
async function reads(format: string): Promise<IncomingMessage> {
  const asked = request(`${face.address}/imserver/admin/history/export?format=${format}`, {
    headers: { 'X-Admin-Key': ADMIN_KEY },
    agent: false,
  }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return response
}

test.each(['csv', 'jsonl'])(
  'a reader of %s who leaves is read for no longer, and makes room for others',
  async (format) => {
    const { ends } = await serves(Number.POSITIVE_INFINITY)
    for (let n = 0; n < 6; n++) {
      const response = await reads(format)
      expect(response.statusCode).toBe(200)
      await once(response, 'data')
      response.destroy()
      await ends[n]
    }
    expect(fake.logged).toEqual([])
  },
)

test('more than four at a time are told to wait; who has left is not counted', async () => {
  await serves(Number.POSITIVE_INFINITY)
  const readers = [await reads('jsonl'), await reads('csv'), await reads('jsonl'), await reads('jsonl')]
  const fifth = await reads('jsonl')
  expect([fifth.statusCode, fifth.headers['retry-after']]).toEqual([429, '10'])
  for (const reader of readers) reader.destroy()
  for (;;) {
    const next = await reads('jsonl')
    next.destroy()
    if (next.statusCode === 200) return
  }
})

test.each(['csv', 'jsonl'])('an export of %s that breaks off does not look like a whole one', async (format) => {
  await serves(1, new Unavailable('the database is away'))
  const response = await reads(format)
  response.resume()
  await expect(once(response, 'end')).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(fake.logged).toEqual([])
})
