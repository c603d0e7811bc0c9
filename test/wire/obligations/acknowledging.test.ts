/** STOMP 1.2 ACK, NACK, BEGIN, COMMIT, ABORT. The id of a title is that of the clause in docs/stomp.md. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, type ServerFrame, type StompPeer } from '../../support/stomp-peer.ts'
import { type TestServer, testServer } from '../../support/stomp-server.ts'
import { bodies, fatal, listener, messages, receipts, session } from '../../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer({ limits: { transactions: 2, transactionFrames: 3 } })
})
afterAll(() => server.stop())

let queues = 0

/** A queue with four messages, all of them given to one consumer in this ack mode. */
async function consumer(ack: string, version = '1.2'): Promise<{ peer: StompPeer; queue: string; got: ServerFrame[] }> {
  const queue = `/queue/open.${++queues}`
  const peer = await session(server, version)
  await peer.subscribe(queue, 'q', { ack })
  for (const body of ['1', '2', '3', '4']) peer.send(frame('SEND', { destination: queue }, body))
  await peer.settled()
  const got = [...messages(peer, 'q')]
  expect(got.map(({ body }) => body)).toEqual(['1', '2', '3', '4'])
  return { peer, queue, got }
}

/** What is left in a queue for the next one who listens, and whether it says so. */
async function left(queue: string): Promise<string[]> {
  const next = await session(server)
  await next.subscribe(queue, 'next')
  await next.settled()
  const all = messages(next).map(({ body, headers }) => `${body}${headers.redelivered === 'true' ? ' again' : ''}`)
  await next.close()
  return all
}

const ackOf = (message: ServerFrame | undefined): string => message?.headers.ack ?? ''

describe('ACK', () => {
  test('ACK-1 in mode auto a message is acknowledged by being sent', async () => {
    const { peer, queue } = await consumer('auto')
    await peer.close()
    expect(await left(queue)).toEqual([])
  })

  test('ACK-2 mode client is cumulative: ACK of one is ACK of all before it', async () => {
    const { peer, queue, got } = await consumer('client')
    peer.send(frame('ACK', { id: ackOf(got[2]), receipt: 'r' }))
    await peer.frame('RECEIPT')
    await peer.close()
    expect(await left(queue)).toEqual(['4 again'])
  })

  test('ACK-2 it is cumulative on its subscription, and on no other', async () => {
    const { peer, queue, got } = await consumer('client')
    const other = `/queue/open.${++queues}`
    await peer.subscribe(other, 'other', { ack: 'client' })
    peer.send(frame('SEND', { destination: other }, 'x'))
    await peer.frame(({ headers }) => headers.subscription === 'other')
    peer.send(frame('SEND', { destination: queue }, '5'))
    const fifth = await peer.frame(({ body }) => body === '5')
    peer.send(frame('ACK', { id: ackOf(fifth) }))
    await peer.settled()
    await peer.close()
    expect([await left(queue), await left(other)]).toEqual([[], ['x again']])
    expect(got).toHaveLength(4)
  })

  test('ACK-3 mode client-individual is not: ACK of one is ACK of that one', async () => {
    const { peer, queue, got } = await consumer('client-individual')
    peer.send(frame('ACK', { id: ackOf(got[2]), receipt: 'r' }))
    await peer.frame('RECEIPT')
    await peer.close()
    expect(await left(queue)).toEqual(['1 again', '2 again', '4 again'])
  })

  test('ACK-4 what is not acknowledged when the connection is lost goes to the next, in order, marked', async () => {
    const { peer, queue } = await consumer('client')
    peer.ws.terminate()
    await peer.closed
    const next = await session(server)
    await next.subscribe(queue, 'q')
    for (const body of ['1', '2', '3', '4'])
      expect(await next.frame('MESSAGE')).toMatchObject({ body, headers: { redelivered: 'true' } })
    await next.close()
  })

  test('ACK-4 so does what is not acknowledged at DISCONNECT and UNSUBSCRIBE', async () => {
    const [a, b] = [await consumer('client'), await consumer('client-individual')]
    a.peer.send(frame('DISCONNECT', { receipt: 'bye' }))
    await a.peer.closed
    b.peer.send(frame('UNSUBSCRIBE', { id: 'q', receipt: 'r' }))
    await b.peer.frame('RECEIPT')
    const again = ['1 again', '2 again', '3 again', '4 again']
    expect([await left(a.queue), await left(b.queue)]).toEqual([again, again])
    await b.peer.close()
  })

  test.each<[string, string, Record<string, string>]>([
    ['ACK without id', '1.2', { 'message-id': 'x', subscription: 'echo' }],
    ['ACK of an unknown message', '1.2', { id: 'none-1' }],
    ['ACK of an unknown message', '1.2', { id: '' }],
    ['ACK without message-id', '1.1', { subscription: 'echo' }],
    ['ACK without subscription', '1.1', { 'message-id': 'x' }],
    ['ACK of an unknown message', '1.1', { 'message-id': 'x', subscription: 'echo' }],
    ['ACK without message-id', '1.0', {}],
    ['ACK of an unknown message', '1.0', { 'message-id': 'x' }],
  ])('ACK-5 it must name a message that was sent: %s in %s', async (message, version, headers) => {
    const peer = await listener(server, version)
    peer.send(frame('ACK', { ...headers, receipt: 'r' }))
    expect((await fatal(peer)).headers).toMatchObject({ message, 'receipt-id': 'r' })
  })

  test('ACK-5 a message of another session is unknown', async () => {
    const { got, peer } = await consumer('client')
    const thief = await session(server)
    thief.send(frame('ACK', { id: ackOf(got[0]) }))
    expect((await fatal(thief)).headers.message).toBe('ACK of an unknown message')
    await peer.close()
  })

  test('ACK-6 to acknowledge again what is settled is harmless', async () => {
    const { peer, got } = await consumer('client')
    for (const message of [got[3], got[3], got[0]]) peer.send(frame('ACK', { id: ackOf(message) }))
    peer.send(frame('UNSUBSCRIBE', { id: 'q' }) + frame('ACK', { id: ackOf(got[1]), receipt: 'r' }))
    await peer.frame('RECEIPT')
    await peer.close()
  })

  test.each([
    ['1.1', (id: string) => ({ 'message-id': id, subscription: 'q' })],
    ['1.0', (id: string) => ({ 'message-id': id })],
  ])('ACK-7 %s acknowledges by message-id', async (version, headersOf) => {
    const { peer, queue, got } = await consumer('client', version)
    peer.send(frame('ACK', headersOf(got[1]?.headers['message-id'] ?? '')))
    await peer.settled()
    await peer.close()
    expect(await left(queue)).toEqual(['3 again', '4 again'])
  })

  test('ACK-8 messages of topics may be acknowledged as well; nothing hangs on it', async () => {
    const peer = await session(server)
    await peer.subscribe('/topic/open.all', 's', { ack: 'client' })
    peer.send(frame('SEND', { destination: '/topic/open.all' }, 'x'))
    const message = await peer.frame('MESSAGE')
    peer.send(frame('ACK', { id: ackOf(message) }) + frame('NACK', { id: ackOf(message), receipt: 'r' }))
    await peer.frame('RECEIPT')
    await peer.close()
  })
})

describe('NACK', () => {
  test('NACK-1 the message goes to the next consumer, marked as redelivered', async () => {
    const queue = `/queue/open.${++queues}`
    const [a, b] = [await session(server), await session(server)]
    await a.subscribe(queue, 'q', { ack: 'client-individual' })
    await b.subscribe(queue, 'q', { ack: 'client-individual' })
    a.send(frame('SEND', { destination: queue }, 'x'))
    a.send(frame('NACK', { id: ackOf(await a.frame('MESSAGE')), receipt: 'r' }))
    expect(await b.frame('MESSAGE')).toMatchObject({ body: 'x', headers: { redelivered: 'true' } })
    await a.frame('RECEIPT')
    await a.close()
    await b.close()
  })

  test('NACK-2 in mode client it is cumulative, like ACK', async () => {
    const { peer, got } = await consumer('client')
    peer.send(frame('NACK', { id: ackOf(got[1]) }))
    await peer.settled()
    expect(bodies(peer, 'q')).toEqual(['1', '2', '3', '4', '1', '2'])
    await peer.close()
  })

  test('NACK-3 1.1 knows it by message-id and subscription, 1.0 not at all', async () => {
    const { peer, got } = await consumer('client-individual', '1.1')
    peer.send(frame('NACK', { 'message-id': got[0]?.headers['message-id'] ?? '', subscription: 'q' }))
    await peer.settled()
    expect(bodies(peer, 'q')).toEqual(['1', '2', '3', '4', '1'])
    await peer.close()
    const old = await session(server, '1.0')
    old.send(frame('NACK', { 'message-id': 'x' }))
    expect((await fatal(old)).headers.message).toBe('unknown command')
  })

  test.each([
    ['NACK without id', {}],
    ['NACK of an unknown message', { id: 'none-1' }],
  ])('NACK-4 it must name a message that was sent: %s', async (message, headers) => {
    const peer = await session(server)
    peer.send(frame('NACK', { ...headers, receipt: 'r' } as Record<string, string>))
    expect((await fatal(peer)).headers).toMatchObject({ message, 'receipt-id': 'r' })
  })
})

describe('BEGIN, COMMIT, ABORT', () => {
  const begin = (transaction: string) => frame('BEGIN', { transaction })
  const inside = (transaction: string, body: string, destination = '/app/echo') =>
    frame('SEND', { destination, transaction }, body)

  test.each([
    ['BEGIN without transaction', frame('BEGIN', { receipt: 'r' })],
    ['COMMIT without transaction', frame('COMMIT', { receipt: 'r' })],
    ['ABORT without transaction', frame('ABORT', { receipt: 'r' })],
    ['BEGIN without transaction', frame('BEGIN', { receipt: 'r', transaction: '' })],
    ['unknown transaction', frame('COMMIT', { receipt: 'r', transaction: 't' })],
    ['unknown transaction', frame('ABORT', { receipt: 'r', transaction: 't' })],
    ['unknown transaction', frame('SEND', { receipt: 'r', transaction: 't', destination: '/app/echo' })],
    ['transaction begun twice', begin('t') + frame('BEGIN', { receipt: 'r', transaction: 't' })],
    [
      'unknown transaction',
      begin('t') + frame('COMMIT', { transaction: 't' }) + frame('COMMIT', { receipt: 'r', transaction: 't' }),
    ],
  ])('TRANSACTION-1 one names it, begins it once and ends it once: %s %j', async (message, octets) => {
    const peer = await session(server)
    peer.send(octets)
    expect((await fatal(peer)).headers).toMatchObject({ message, 'receipt-id': 'r' })
  })

  test('TRANSACTION-1 sessions do not know each other’s', async () => {
    const [a, b] = [await session(server), await session(server)]
    a.send(begin('t'))
    b.send(begin('t') + frame('ABORT', { transaction: 't', receipt: 'r' }))
    await b.frame('RECEIPT')
    a.send(frame('COMMIT', { transaction: 't', receipt: 'r' }))
    await a.frame('RECEIPT')
    await a.close()
    await b.close()
  })

  test('TRANSACTION-2 COMMIT does in order what was held; what is outside does not wait', async () => {
    const peer = await listener(server)
    peer.send(begin('t') + inside('t', '1') + frame('SEND', { destination: '/app/echo' }, '0') + inside('t', '2'))
    await peer.settled()
    expect(bodies(peer)).toEqual(['0'])
    peer.send(frame('COMMIT', { transaction: 't' }))
    await peer.settled()
    expect(bodies(peer)).toEqual(['0', '1', '2'])
    await peer.close()
  })

  test('TRANSACTION-3 ABORT drops it, and the id is free again', async () => {
    const peer = await listener(server)
    peer.send(begin('t') + inside('t', '1') + frame('ABORT', { transaction: 't' }))
    peer.send(begin('t') + inside('t', '2') + frame('COMMIT', { transaction: 't' }))
    await peer.settled()
    expect(bodies(peer)).toEqual(['2'])
    await peer.close()
  })

  test.each<[string, (peer: StompPeer) => void]>([
    ['DISCONNECT', (peer) => peer.send(frame('DISCONNECT'))],
    ['a lost connection', (peer) => peer.ws.terminate()],
    ['an ERROR', (peer) => peer.send('JUMP\n\n\0')],
  ])('TRANSACTION-4 %s aborts it', async (_, end) => {
    const [witness, peer] = [await listener(server), await session(server)]
    peer.send(begin('t') + inside('t', '1', '/topic/open.all'))
    await peer.settled()
    end(peer)
    await peer.closed
    await witness.settled()
    expect(bodies(witness)).toEqual([])
    await witness.close()
  })

  test('TRANSACTION-5 ACK and NACK within one count at COMMIT, and not after ABORT', async () => {
    const { peer, queue, got } = await consumer('client-individual')
    peer.send(
      begin('t') +
        frame('ACK', { id: ackOf(got[0]), transaction: 't' }) +
        frame('COMMIT', { transaction: 't' }) +
        begin('u') +
        frame('ACK', { id: ackOf(got[1]), transaction: 'u' }) +
        frame('NACK', { id: ackOf(got[2]), transaction: 'u' }) +
        frame('ABORT', { transaction: 'u' }),
    )
    await peer.settled()
    expect(bodies(peer, 'q')).toEqual(['1', '2', '3', '4'])
    await peer.close()
    expect(await left(queue)).toEqual(['2 again', '3 again', '4 again'])
  })

  test('TRANSACTION-6 a SEND that is refused is told at COMMIT, under its receipt; the others are done', async () => {
    const peer = await listener(server)
    peer.send(begin('t') + inside('t', '1') + inside('t', '', '/app/refuse') + inside('t', '2'))
    peer.send(frame('COMMIT', { transaction: 't', receipt: 'c' }))
    await peer.settled()
    expect(bodies(peer, 'echo')).toEqual(['1', '2'])
    expect(messages(peer, 'errors')[0]).toMatchObject({ headers: { 'receipt-id': 'c' } })
    expect(receipts(peer)).toEqual([])
    await peer.close()
  })

  test('TRANSACTION-6 what can never be sent is refused at once, under its own receipt', async () => {
    const peer = await listener(server)
    peer.send(
      begin('t') +
        frame('SEND', { destination: '/topic/closed', transaction: 't', receipt: 'w' }, 'x') +
        frame('COMMIT', { transaction: 't', receipt: 'c' }),
    )
    await peer.settled()
    expect(messages(peer, 'errors')[0]).toMatchObject({ headers: { 'receipt-id': 'w' } })
    expect(receipts(peer)).toEqual(['c'])
    await peer.close()
  })

  test.each<[string, (i: number) => string, RegExp]>([
    ['transactions', (i) => begin(String(i)), /^more than 2 transactions/],
    ['frames', (i) => (i === 0 ? begin('t') : inside('t', '')), /^more than 3 frames in transactions/],
    ['octets', (i) => (i < 2 ? begin(`t${i}`) : inside(`t${i % 2}`, 'x'.repeat(65_000))), /^more than/],
  ])('TRANSACTION-7 too many %s are an ERROR that names the limit', async (_, octets, message) => {
    const peer = await session(server)
    for (let i = 0; i < 10; i++) peer.send(octets(i))
    const error = await peer.frame('ERROR')
    expect(error.headers.message).toMatch(message)
    expect((await peer.closed).code).toBe(1008)
  })
})
