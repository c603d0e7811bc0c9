/** Reading a call, and hearing that it has changed. */

import { expect, test } from '@jest/globals'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { type CallStore, Unavailable } from '../../src/ports.ts'
import { actor, engine, requestOf } from '../support/engine.ts'

test('a call is read as it is, live or over, until it is forgotten', async () => {
  const { calls, clock } = engine()
  await calls.start()
  expect(await calls.read('c1')).toEqual({ ok: true, data: undefined })
  await calls.request(actor('alice'), requestOf('bob', 'c1'))
  expect(await calls.read('c1')).toMatchObject({ data: { status: 'CALLING', caller: 'alice' } })
  await clock.advance(30_000)
  expect(await calls.read('c1')).toMatchObject({ data: { status: 'MISSED' } })
  await clock.advance(600_000)
  expect(await calls.read('c1')).toEqual({ ok: true, data: undefined })
})

test('that the store cannot be reached is told as 503', async () => {
  const store = new MemoryCallStore() as CallStore
  store.load = () => Promise.reject(new Unavailable('away'))
  expect(await engine({ store }).calls.read('c1')).toMatchObject({ ok: false, code: 503, callId: 'c1' })
})

test('who watches a call is told of each of its changes, and of no other call, until it is cancelled', async () => {
  const store = new MemoryCallStore()
  const { calls } = engine({ store })
  const seen: unknown[] = []
  const watch = () => void seen.push(store.load('c1')?.status)
  const cancels = [calls.watch('c1', watch), calls.watch('c1', watch)]
  await calls.request(actor('carol'), requestOf('dave', 'c2'))
  await calls.request(actor('alice'), requestOf('bob', 'c1'))
  expect(seen).toEqual(['CALLING', 'CALLING'])
  cancels[0]?.()
  cancels[0]?.()
  await calls.respond(actor('bob'), { callId: 'c1', type: 'ACCEPT', reason: 'DECLINED' })
  expect(seen).toEqual(['CALLING', 'CALLING', 'CONNECTED'])
  cancels[1]?.()
  await calls.hangup(actor('bob'), {})
  expect(seen).toHaveLength(3)
})

test('what another process has changed is told too; when that is not known, of every call', () => {
  const store = new MemoryCallStore() as CallStore
  let elsewhere: ((callId?: string) => void) | undefined
  store.watch = (changed) => {
    elsewhere = changed
  }
  const { calls } = engine({ store })
  const seen: string[] = []
  for (const callId of ['c1', 'c2']) calls.watch(callId, () => void seen.push(callId))
  elsewhere?.('c2')
  expect(seen).toEqual(['c2'])
  elsewhere?.()
  expect(seen).toEqual(['c2', 'c1', 'c2'])
})
