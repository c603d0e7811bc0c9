import { expect, test } from '@jest/globals'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { actor, engine, requestOf } from '../support/engine.ts'
import { callStoreContract } from './call-store.ts'

callStoreContract('memory', async () => new MemoryCallStore())

test('the memory store forgets the oldest ended calls rather than grow without a bound', async () => {
  const { calls, store } = engine({ store: new MemoryCallStore({ mostEnded: 3 }) })
  for (let n = 0; n < 10; n++) {
    await calls.request(actor('alice/phone'), requestOf('bob', `c${n}`))
    await calls.hangup(actor('alice/phone'), {})
  }
  const left = await Promise.all(Array.from({ length: 10 }, (_, n) => store.load(`c${n}`)))
  expect(left.map((call) => call !== undefined)).toEqual([...Array(7).fill(false), ...Array(3).fill(true)])
})
