/** STOMP 1.2 RECEIPT, DISCONNECT and ERROR. The id of a title is that of the clause in docs/stomp.md. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame } from '../../support/stomp-peer.ts'
import { type TestServer, testServer } from '../../support/stomp-server.ts'
import { bodies, fatal, listener, messages, receipts, session } from '../../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server.stop())

const ECHO = { destination: '/app/echo' }

describe('RECEIPT', () => {
  test('RECEIPT-1 every frame that asks is confirmed when its work is done, in order', async () => {
    const peer = await listener(server)
    const queue = { destination: '/queue/open.receipts' }
    peer.send(frame('SUBSCRIBE', { ...queue, id: 'q', ack: 'client' }) + frame('SEND', queue) + frame('SEND', queue))
    const [first, second] = [await peer.frame('MESSAGE'), await peer.frame('MESSAGE')]
    const frames: [string, Record<string, string>][] = [
      ['SUBSCRIBE', { destination: '/topic/news', id: 'n' }],
      ['SEND', ECHO],
      ['ACK', { id: first.headers.ack ?? '' }],
      ['BEGIN', { transaction: 't' }],
      ['SEND', { ...ECHO, transaction: 't' }],
      ['ACK', { id: second.headers.ack ?? '', transaction: 't' }],
      ['COMMIT', { transaction: 't' }],
      ['BEGIN', { transaction: 'u' }],
      ['ABORT', { transaction: 'u' }],
      ['NACK', { id: second.headers.ack ?? '' }],
      ['UNSUBSCRIBE', { id: 'n' }],
      ['DISCONNECT', {}],
    ]
    peer.send(frames.map(([command, headers], i) => frame(command, { ...headers, receipt: `${i}` })).join(''))
    expect((await peer.closed).code).toBe(1000)
    expect(receipts(peer)).toEqual(frames.map((_, i) => `${i}`))
  })

  test('RECEIPT-1 it comes after what the frame has caused', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', { ...ECHO, receipt: 'r' }, 'x'))
    await peer.frame('RECEIPT')
    expect(bodies(peer, 'echo')).toEqual(['x'])
    await peer.close()
  })

  test('RECEIPT-2 receipt-id is the receipt of the frame, escapes and all', async () => {
    const peer = await session(server)
    peer.send('BEGIN\ntransaction:t\nreceipt: a\\cb\\nc\\\\d\\re \n\n\0')
    expect((await peer.frame('RECEIPT')).headers['receipt-id']).toBe(' a\\cb\\nc\\\\d\\re ')
    await peer.close()
  })

  test.each(['/app/refuse', '/app/throw', '/app/reject', '/app/none', '/topic/closed'])(
    'RECEIPT-3 a SEND to %s that fails has none, and those after it have theirs',
    async (destination) => {
      const peer = await listener(server)
      peer.send(frame('SEND', { destination, receipt: 'failed' }) + frame('SEND', { ...ECHO, receipt: 'done' }))
      await peer.frame('RECEIPT')
      expect(receipts(peer)).toEqual(['done'])
      expect(messages(peer, 'errors')[0]?.headers['receipt-id']).toBe('failed')
      await peer.close()
    },
  )

  test('RECEIPT-3 nor has a frame that breaks STOMP', async () => {
    const peer = await session(server)
    peer.send(frame('BEGIN', { transaction: 't', receipt: '1' }) + frame('BEGIN', { transaction: 't', receipt: '2' }))
    await fatal(peer)
    expect(receipts(peer)).toEqual(['1'])
  })

  test('RECEIPT-4 who does not ask gets none', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', ECHO) + frame('BEGIN', { transaction: 't' }) + frame('COMMIT', { transaction: 't' }))
    await peer.settled()
    expect(receipts(peer)).toEqual([])
    await peer.close()
  })
})

describe('DISCONNECT', () => {
  test('DISCONNECT-1 the frames before it are worked on, then its RECEIPT comes, then the end', async () => {
    const peer = await listener(server)
    for (let i = 0; i < 100; i++) peer.send(frame('SEND', ECHO, String(i)))
    peer.send(frame('DISCONNECT', { receipt: 'bye' }))
    expect((await peer.closed).code).toBe(1000)
    expect(bodies(peer, 'echo')).toHaveLength(100)
    expect(peer.frames.at(-1)).toMatchObject({ command: 'RECEIPT', headers: { 'receipt-id': 'bye' } })
  })

  test('DISCONNECT-2 frames after it are not looked at', async () => {
    const peer = await listener(server)
    peer.send(`${frame('DISCONNECT', { receipt: 'bye' })}${frame('SEND', ECHO, 'late')}JUMP\n\n\0`)
    expect((await peer.closed).code).toBe(1000)
    expect(peer.frames.at(-1)?.command).toBe('RECEIPT')
    expect(bodies(peer)).toEqual([])
  })

  test('DISCONNECT-3 without a receipt it is the end just as well', async () => {
    const peer = await session(server)
    peer.send(frame('DISCONNECT'))
    expect((await peer.closed).code).toBe(1000)
  })

  test('DISCONNECT-4 nothing is lost of a large answer that is still on its way', async () => {
    const peer = await listener(server)
    const body = 'x'.repeat(60_000)
    peer.send(frame('SEND', ECHO, body).repeat(3) + frame('DISCONNECT', { receipt: 'bye' }))
    await peer.closed
    expect(messages(peer, 'echo').map(({ octets }) => octets.length)).toEqual([60_000, 60_000, 60_000])
    expect(receipts(peer)).toEqual(['bye'])
  })
})

describe('ERROR', () => {
  test('ERROR-1 the connection is closed after it, and it has left before', async () => {
    const peer = await listener(server)
    peer.send(`${frame('SEND', ECHO, 'x'.repeat(60_000)).repeat(3)}JUMP\n\n\0${frame('SEND', ECHO, 'late')}`)
    expect((await fatal(peer)).headers.message).toBe('unknown command')
    expect(messages(peer, 'echo').map(({ octets }) => octets.length)).toEqual([60_000, 60_000, 60_000])
  })

  test('ERROR-2 it has message, content-type and content-length, and a body that explains', async () => {
    const peer = await session(server)
    peer.send('JUMP\n\n\0')
    const { headers, body } = await fatal(peer)
    expect(headers.message).toBe('unknown command')
    expect(body).toContain('"JUMP" is not a command')
  })

  test('ERROR-3 it has the receipt-id of the frame that it is about, wherever that stood', async () => {
    for (const octets of [
      'SEND\nreceipt:a\\cb\ndestination:/app/echo\nx:\\t\n\n\0',
      'SEND\ndestination:/app/echo\nx:\\t\nreceipt:a\\cb\n\n\0',
      'JUMP\nreceipt:a\\cb\n\n\0',
      'SUBSCRIBE\nid:1\nreceipt:a\\cb\n\n\0',
    ]) {
      const peer = await session(server)
      peer.send(octets)
      expect((await fatal(peer)).headers['receipt-id']).toBe('a\\cb')
    }
  })

  test('ERROR-3 without a receipt it has none', async () => {
    const peer = await session(server)
    peer.send('JUMP\n\n\0')
    expect((await fatal(peer)).headers).not.toHaveProperty('receipt-id')
  })

  test('ERROR-4 it is no business of other sessions', async () => {
    const [peer, other] = [await session(server), await listener(server)]
    peer.send('JUMP\n\n\0')
    await fatal(peer)
    other.send(frame('SEND', ECHO, 'x'))
    await other.settled()
    expect(bodies(other, 'echo')).toEqual(['x'])
    await other.close()
  })

  test('ERROR-5 what the client sent is told back on one line, without control characters', async () => {
    const peer = await session(server)
    peer.send('SEND\ndestination:/app/echo\nab\tc\u0007d\n\n\0')
    const { body, headers } = await fatal(peer)
    expect(body).toContain('"ab?c?d"')
    expect(headers.message).not.toMatch(/\p{Cc}/u)
  })
})
