import { describe, expect, test } from '@jest/globals'
import type { ClientFrame } from '../../broker/frame.ts'
import { Transactions } from '../../broker/transactions.ts'

const send = (body: string): ClientFrame => ({
  command: 'SEND',
  headers: { destination: '/a' },
  body: Buffer.from(body),
})

describe('what transactions hold is bounded over all of them, and free again when they end', () => {
  test('frames', () => {
    const transactions = new Transactions({ transactions: 2, transactionFrames: 3, queuedBytes: 10_000 })
    for (let round = 0; round < 3; round++) {
      expect(transactions.begin('a')).toBeUndefined()
      expect(transactions.begin('b')).toBeUndefined()
      expect(transactions.hold('a', send('1'))).toBeUndefined()
      expect(transactions.hold('b', send('2'))).toBeUndefined()
      expect(transactions.hold('b', send('3'))).toBeUndefined()
      expect(transactions.hold('a', send('4'))).toMatchObject({
        cause: 'limit',
        message: 'more than 3 frames in transactions',
      })
      expect((transactions.end('b') as ClientFrame[]).map(({ body }) => body.toString())).toEqual(['2', '3'])
      transactions.end('a')
    }
  })

  test('octets', () => {
    const transactions = new Transactions({ transactions: 2, transactionFrames: 100, queuedBytes: 1000 })
    for (let round = 0; round < 3; round++) {
      transactions.begin('a')
      expect(transactions.hold('a', send('x'.repeat(600)))).toBeUndefined()
      expect(transactions.hold('a', send('x'.repeat(100)))).toMatchObject({
        cause: 'limit',
        message: 'more than 1000 octets in transactions',
      })
      transactions.end('a')
    }
  })

  test('octets, of which one frame may have more', () => {
    const transactions = new Transactions({ transactions: 1, transactionFrames: 100, queuedBytes: 1000 })
    transactions.begin('a')
    expect(transactions.hold('a', send('x'.repeat(5000)))).toBeUndefined()
    expect(transactions.hold('a', send(''))).toMatchObject({ cause: 'limit' })
  })

  test('transactions', () => {
    const transactions = new Transactions({ transactions: 2, transactionFrames: 1, queuedBytes: 1 })
    transactions.begin('a')
    transactions.begin('b')
    expect(transactions.begin('c')).toMatchObject({ cause: 'limit' })
    transactions.end('a')
    expect(transactions.begin('c')).toBeUndefined()
  })

  test('a body that is held lets go of the chunk that it came in', () => {
    const chunk = Buffer.alloc(65_536)
    const transactions = new Transactions({ transactions: 1, transactionFrames: 1, queuedBytes: 1000 })
    transactions.begin('a')
    transactions.hold('a', { command: 'SEND', headers: {}, body: chunk.subarray(0, 10) })
    const [held] = transactions.end('a') as ClientFrame[]
    expect(held?.body.buffer).not.toBe(chunk.buffer)
  })
})
