/** What STOMP asks of a server, frame by frame, with raw frames over a real WebSocket. Titles name the section. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, type StompPeer, stompPeer } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer({ limits: { transactions: 2, transactionFrames: 3, subscriptionsPerSession: 5 } })
})
afterAll(() => server.stop())

let users = 0

async function session(version = '1.2'): Promise<StompPeer> {
  const peer = await stompPeer(server.url, { token: `user ${++users}` })
  await peer.connect({ 'accept-version': version })
  return peer
}

/** A session that listens to errors and to one of everything. */
async function listener(version = '1.2'): Promise<StompPeer> {
  const peer = await session(version)
  await peer.subscribe('/user/queue/errors', 'errors')
  await peer.subscribe('/user/queue/echo', 'echo')
  return peer
}

describe('CONNECT (1.2 "Connecting", "Protocol Negotiation")', () => {
  test.each([
    ['1.0,1.1,1.2', '1.2'],
    ['1.2', '1.2'],
    ['1.1,1.0', '1.1'],
    ['1.0', '1.0'],
    ['1.1,2.0', '1.1'],
    [' 1.1 , 1.0 ', '1.1'],
  ])('accept-version %s settles %s', async (accepted, version) => {
    const peer = await stompPeer(server.url, { token: 'alice' })
    expect((await peer.connect({ 'accept-version': accepted })).headers.version).toBe(version)
    await peer.close()
  })

  test('without accept-version it is 1.0', async () => {
    const peer = await stompPeer(server.url)
    peer.send(frame('CONNECT', { ide: 'alice' }))
    expect((await peer.frame('CONNECTED')).headers.version).toBe('1.0')
    await peer.close()
  })

  test('STOMP is CONNECT by another name', async () => {
    const peer = await stompPeer(server.url)
    peer.send(frame('STOMP', { 'accept-version': '1.2', ide: 'alice' }))
    expect((await peer.frame('CONNECTED')).headers.version).toBe('1.2')
    await peer.close()
  })

  test('no version in common is an ERROR that lists ours, and the end', async () => {
    const peer = await stompPeer(server.url)
    peer.send(frame('CONNECT', { 'accept-version': '2.0', ide: 'alice' }))
    const { headers, body } = await peer.frame('ERROR')
    expect(headers).toMatchObject({ version: '1.0,1.1,1.2', message: 'no STOMP version in common' })
    expect(body).toContain('1.0 1.1 1.2')
    expect((await peer.closed).code).toBe(1002)
  })

  test('who is refused gets one ERROR with code and message, and the end', async () => {
    const peer = await stompPeer(server.url)
    peer.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'nobody' }))
    const { headers, body } = await peer.frame('ERROR')
    expect(headers).toMatchObject({ message: '401 ide: no valid token', 'content-type': 'application/json' })
    expect(JSON.parse(body)).toEqual({ code: 401, message: 'ide: no valid token' })
    expect((await peer.closed).code).toBe(1008)
    expect(peer.frames).toHaveLength(1)
  })

  test('CONNECTED escapes nothing and breaks no line', async () => {
    const peer = await stompPeer(server.url)
    peer.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'a:b\\n' }))
    expect((await peer.frame('CONNECTED')).headers['user-name']).toBe('a:b\\n')
    await peer.close()
  })

  test.each(['CONNECT', 'STOMP'])('a second %s is an ERROR and the end', async (command) => {
    const peer = await session()
    peer.send(frame(command, { 'accept-version': '1.2' }))
    expect((await peer.frame('ERROR')).headers.message).toBe('already connected')
    await peer.closed
  })

  test.each([
    ['SEND', { destination: '/app/echo' }],
    ['DISCONNECT', {}],
    ['SUBSCRIBE', { destination: '/topic/news', id: 1 }],
  ])('%s before CONNECT is an ERROR and the end', async (command, headers) => {
    const peer = await stompPeer(server.url)
    peer.send(frame(command, { ...headers, receipt: 'r' }))
    expect((await peer.frame('ERROR')).headers).toMatchObject({
      message: `${command} before CONNECT`,
      'receipt-id': 'r',
    })
    await peer.closed
  })
})

type Broken = [section: string, octets: string | Buffer, message: string | RegExp]

describe('what breaks STOMP is an ERROR with receipt-id, flushed, and the end', () => {
  const r = { receipt: 'r' }
  const destination = '/user/queue/other'
  test.each<Broken>([
    ['1.2 SEND: no destination', frame('SEND', r, 'x'), 'SEND without destination'],
    ['1.2 SEND: empty destination', frame('SEND', { ...r, destination: '' }), 'SEND without destination'],
    ['1.2 SUBSCRIBE: no destination', frame('SUBSCRIBE', { ...r, id: 1 }), 'SUBSCRIBE without destination'],
    ['1.2 SUBSCRIBE: no id', frame('SUBSCRIBE', { ...r, destination }), 'SUBSCRIBE without id'],
    ['1.2 SUBSCRIBE: an id again', frame('SUBSCRIBE', { ...r, destination, id: 'echo' }), 'subscription id used twice'],
    ['1.2 SUBSCRIBE: unknown ack', frame('SUBSCRIBE', { ...r, destination, id: 1, ack: 'often' }), 'unknown ack mode'],
    ['1.2 UNSUBSCRIBE: no id', frame('UNSUBSCRIBE', { ...r, destination }), 'UNSUBSCRIBE without id'],
    ['1.2 UNSUBSCRIBE: unknown id', frame('UNSUBSCRIBE', { ...r, id: 'none' }), 'unknown subscription'],
    ['1.2 ACK: no id', frame('ACK', { ...r, 'message-id': 'x' }), 'ACK without id'],
    ['1.2 NACK: no id', frame('NACK', r), 'NACK without id'],
    ['1.2 ACK: an id that was never sent', frame('ACK', { ...r, id: 'none-1' }), 'ACK of an unknown message'],
    ['1.2 NACK: an id that was never sent', frame('NACK', { ...r, id: 'none-1' }), 'NACK of an unknown message'],
    ['1.2 BEGIN: no transaction', frame('BEGIN', r), 'BEGIN without transaction'],
    ['1.2 COMMIT: no transaction', frame('COMMIT', r), 'COMMIT without transaction'],
    ['1.2 ABORT: no transaction', frame('ABORT', r), 'ABORT without transaction'],
    ['1.2 COMMIT: unknown transaction', frame('COMMIT', { ...r, transaction: 't' }), 'unknown transaction'],
    ['1.2 ABORT: unknown transaction', frame('ABORT', { ...r, transaction: 't' }), 'unknown transaction'],
    [
      '1.2 SEND: unknown transaction',
      frame('SEND', { ...r, destination: '/app/echo', transaction: 't' }),
      'unknown transaction',
    ],
    [
      '1.2 Body: of SUBSCRIBE',
      frame('SUBSCRIBE', { ...r, destination, id: 1 }, 'body'),
      'SUBSCRIBE must not have a body',
    ],
    ['1.2 Body: of DISCONNECT', frame('DISCONNECT', r, 'body'), 'DISCONNECT must not have a body'],
    [
      '1.2 Value Encoding: undefined escape',
      'SEND\ndestination:/app/echo\na:\\t\nreceipt:r\n\n\0',
      /^undefined escape/,
    ],
    [
      '1.2 Header content-length: it lies',
      'SEND\ndestination:/app/echo\nreceipt:r\ncontent-length:1\n\nabc\0',
      /^content-length of SEND is wrong/,
    ],
    ['1.2 Augmented BNF: no colon', 'SEND\ndestination:/app/echo\nreceipt:r\nabc\n\n\0', /^header without a colon/],
    ['1.2 Augmented BNF: unknown command', 'JUMP\nreceipt:r\n\n\0', 'unknown command'],
    ['1.2 Augmented BNF: a frame of the server', 'MESSAGE\nreceipt:r\n\n\0', 'unknown command'],
    [
      '1.2 Size Limits: a frame',
      frame('SEND', { ...r, destination: '/app/echo' }, 'x'.repeat(65_536)),
      /^frame larger than 65536/,
    ],
    [
      '1.2 Size Limits: a frame in one large message',
      frame('SEND', { ...r, destination: '/app/echo' }, 'x'.repeat(300_000)),
      /^frame larger than 65536/,
    ],
    ['1.2 Size Limits: headers', `SEND\nreceipt:r\n${'a:b\n'.repeat(70)}\n\0`, 'more than 64 headers'],
    ['1.2 Size Limits: a header', `SEND\nreceipt:r\na:${'b'.repeat(9000)}\n\n\0`, 'header longer than 8192 octets'],
  ])('%s', async (_, octets, message) => {
    const peer = await listener()
    peer.send(octets)
    peer.send(frame('SEND', { destination: '/app/echo' }, 'too late'))
    const error = await peer.frame('ERROR')
    expect(error.headers.message).toMatch(message)
    expect(error.headers['receipt-id']).toBe('r')
    expect(error.body.length).toBeGreaterThan(10)
    expect([1002, 1008]).toContain((await peer.closed).code)
    expect(peer.frames.at(-1)?.command).toBe('ERROR')
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE')).toEqual([])
  })

  test('body and headers swapped, as old clients do, are explained', async () => {
    const peer = await session()
    peer.send('SEND\ncontent-length:15\n\n[object Object]\0')
    expect((await peer.frame('ERROR')).body).toContain('swapped')
  })

  test.each<[string, string, string]>([
    ['1.1 UNSUBSCRIBE: no id', frame('UNSUBSCRIBE', { destination: '/user/queue/echo' }), 'UNSUBSCRIBE without id'],
    ['1.1 ACK: no message-id', frame('ACK', { subscription: 'echo' }), 'ACK without message-id'],
    ['1.1 ACK: no subscription', frame('ACK', { 'message-id': 'x' }), 'ACK without subscription'],
    ['1.1 Value Encoding: no \\r', 'SEND\ndestination:/app/echo\na:\\r\n\n\0', 'undefined escape in a header of SEND'],
  ])('%s', async (_, octets, message) => {
    const peer = await listener('1.1')
    peer.send(octets)
    expect((await peer.frame('ERROR')).headers.message).toBe(message)
    await peer.closed
  })

  test('1.0 has no NACK', async () => {
    const peer = await listener('1.0')
    peer.send(frame('NACK', { 'message-id': 'x' }))
    expect((await peer.frame('ERROR')).headers.message).toBe('unknown command')
    await peer.closed
  })

  test.each<[string, (i: number) => string, RegExp]>([
    ['subscriptions', (i) => frame('SUBSCRIBE', { destination: '/topic/news', id: i }), /^more than 5 subscriptions/],
    ['transactions', (i) => frame('BEGIN', { transaction: i }), /^more than 2 transactions/],
    [
      'frames in transactions',
      (i) =>
        i === 0 ? frame('BEGIN', { transaction: 't' }) : frame('SEND', { destination: '/app/echo', transaction: 't' }),
      /^more than 3 frames in transactions/,
    ],
    [
      'octets in transactions',
      (i) =>
        i === 0
          ? frame('BEGIN', { transaction: 't' })
          : frame('SEND', { destination: '/app/echo', transaction: 't' }, 'x'.repeat(60_000)),
      /^more than /,
    ],
  ])('1.2 Size Limits: %s', async (_, octets, message) => {
    const peer = await session()
    for (let i = 0; i < 10; i++) peer.send(octets(i))
    expect((await peer.frame('ERROR')).headers.message).toMatch(message)
    expect((await peer.closed).code).toBe(1008)
  })
})

describe('receipts (1.2 RECEIPT)', () => {
  test('every frame is confirmed when its work is done', async () => {
    const peer = await listener()
    const frames: [string, Record<string, string>][] = [
      ['SUBSCRIBE', { destination: '/topic/news', id: 'n' }],
      ['SEND', { destination: '/app/echo' }],
      ['BEGIN', { transaction: 't' }],
      ['SEND', { destination: '/app/echo', transaction: 't' }],
      ['COMMIT', { transaction: 't' }],
      ['BEGIN', { transaction: 'u' }],
      ['ABORT', { transaction: 'u' }],
      ['UNSUBSCRIBE', { id: 'n' }],
      ['DISCONNECT', {}],
    ]
    peer.send(frames.map(([command, headers], i) => frame(command, { ...headers, receipt: `${i}` })).join(''))
    expect((await peer.closed).code).toBe(1000)
    const receipts = peer.frames.filter(
      ({ command, headers }) => command === 'RECEIPT' && /^\d$/.test(headers['receipt-id'] ?? ''),
    )
    expect(receipts.map(({ headers }) => headers['receipt-id'])).toEqual(frames.map((_, i) => `${i}`))
  })

  test('receipt ids are escaped like all headers', async () => {
    const peer = await session()
    peer.send('BEGIN\ntransaction:t\nreceipt:a\\cb\\nc\\\\d\\re\n\n\0')
    expect((await peer.frame('RECEIPT')).headers['receipt-id']).toBe('a\\cb\\nc\\\\d\\re')
    await peer.close()
  })

  test('a failed frame has none, on the errors queue neither', async () => {
    const peer = await listener()
    peer.send(frame('SEND', { destination: '/app/refuse', receipt: 'r' }))
    await peer.settled()
    expect(
      peer.frames.filter(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === 'r'),
    ).toEqual([])
    expect(peer.frames.at(-2)?.headers['receipt-id']).toBe('r')
    await peer.close()
  })

  test('DISCONNECT without a receipt ends the connection, after the frames before it', async () => {
    const peer = await listener()
    peer.send(
      frame('SEND', { destination: '/app/echo' }, 'x') +
        frame('DISCONNECT') +
        frame('SEND', { destination: '/app/echo' }, 'y'),
    )
    expect((await peer.closed).code).toBe(1000)
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => body)).toEqual(['x'])
  })
})

describe('transactions (1.2 BEGIN, COMMIT, ABORT)', () => {
  const inside = (transaction: string, body: string, destination = '/app/echo') =>
    frame('SEND', { destination, transaction }, body)

  test('COMMIT applies in order what was held', async () => {
    const peer = await listener()
    peer.send(
      frame('BEGIN', { transaction: 't' }) +
        inside('t', '1') +
        frame('SEND', { destination: '/app/echo' }, '0') +
        inside('t', '2'),
    )
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => body)).toEqual(['0'])
    peer.send(frame('COMMIT', { transaction: 't' }))
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => body)).toEqual(['0', '1', '2'])
    await peer.close()
  })

  test('ABORT drops it, and the id is free again', async () => {
    const peer = await listener()
    peer.send(frame('BEGIN', { transaction: 't' }) + inside('t', '1') + frame('ABORT', { transaction: 't' }))
    peer.send(frame('BEGIN', { transaction: 't' }) + inside('t', '2') + frame('COMMIT', { transaction: 't' }))
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => body)).toEqual(['2'])
    await peer.close()
  })

  test('it is lost with the connection', async () => {
    const other = await session()
    await other.subscribe('/topic/open.t', 'o')
    const peer = await session()
    peer.send(frame('BEGIN', { transaction: 't' }) + inside('t', '1', '/topic/open.t'))
    await peer.settled()
    await peer.close()
    await other.settled()
    expect(other.frames.filter(({ command }) => command === 'MESSAGE')).toEqual([])
    await other.close()
  })

  test('the same id twice is an ERROR', async () => {
    const peer = await session()
    peer.send(frame('BEGIN', { transaction: 't' }) + frame('BEGIN', { transaction: 't' }))
    expect((await peer.frame('ERROR')).headers.message).toBe('transaction begun twice')
    await peer.closed
  })

  test('a SEND that is refused is told at COMMIT, under the receipt of COMMIT; the others are done', async () => {
    const peer = await listener()
    peer.send(
      frame('BEGIN', { transaction: 't' }) + inside('t', '1') + inside('t', '', '/app/refuse') + inside('t', '2'),
    )
    await peer.settled()
    peer.send(frame('COMMIT', { transaction: 't', receipt: 'r' }))
    await peer.settled()
    expect(peer.frames.filter(({ headers }) => headers.subscription === 'echo').map(({ body }) => body)).toEqual([
      '1',
      '2',
    ])
    expect((await peer.frame(({ headers }) => headers.subscription === 'errors')).headers['receipt-id']).toBe('r')
    expect(
      peer.frames.filter(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === 'r'),
    ).toEqual([])
    await peer.close()
  })
})

describe('MESSAGE (1.2 MESSAGE)', () => {
  test('has subscription, message-id, destination, and content-length; ids are unique', async () => {
    const peer = await listener()
    for (const body of ['', 'ü', 'a\nb']) peer.send(frame('SEND', { destination: '/app/echo' }, body))
    await peer.settled()
    const messages = peer.frames.filter(({ command }) => command === 'MESSAGE')
    expect(messages.map(({ body }) => body)).toEqual(['', 'ü', 'a\nb'])
    expect(messages.map(({ headers }) => headers['content-length'])).toEqual(['0', '2', '3'])
    expect(new Set(messages.map(({ headers }) => headers['message-id'])).size).toBe(3)
    await peer.close()
  })

  test('after UNSUBSCRIBE nothing more comes on that subscription', async () => {
    const peer = await listener()
    peer.send(frame('UNSUBSCRIBE', { id: 'echo' }) + frame('SEND', { destination: '/app/echo' }))
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE')).toEqual([])
    await peer.close()
  })

  test('each subscription of a topic gets its own', async () => {
    const peer = await session()
    await peer.subscribe('/topic/news', 'a')
    await peer.subscribe('/topic/news', 'b')
    expect(server.broker.publish('/topic/news', { body: '[]' })).toBe(2)
    await peer.settled()
    const messages = peer.frames.filter(({ command }) => command === 'MESSAGE')
    expect(messages.map(({ headers }) => headers.subscription)).toEqual(['a', 'b'])
    expect(messages[0]?.headers['content-type']).toBe('application/json')
    await peer.close()
  })

  test.each([
    ['1.0', { plain: 'a:b\\c' }],
    ['1.1', { plain: 'a\\cb\\\\c', lf: 'a\\nb', 'na\\cme': 'x', cr: 'a\rb' }],
    ['1.2', { plain: 'a\\cb\\\\c', lf: 'a\\nb', 'na\\cme': 'x', cr: 'a\\rb' }],
  ])('headers are escaped as %s can; what 1.0 cannot say is left out', async (version, headers) => {
    const peer = await session(version)
    await peer.subscribe('/topic/news', 'n')
    server.broker.publish('/topic/news', {
      body: '',
      headers: { plain: 'a:b\\c', lf: 'a\nb', 'na:me': 'x', cr: 'a\rb' },
    })
    const message = await peer.frame('MESSAGE')
    const known = ['subscription', 'message-id', 'destination', 'content-type', 'content-length']
    expect(Object.fromEntries(Object.entries(message.headers).filter(([name]) => !known.includes(name)))).toMatchObject(
      headers,
    )
    await peer.close()
  })

  test('a publisher cannot write headers that are the broker’s', async () => {
    const peer = await session()
    await peer.subscribe('/topic/news', 'n')
    server.broker.publish('/topic/news', {
      body: 'abc',
      headers: { subscription: 'x', 'content-length': '1', ack: 'x', destination: 'x' },
    })
    const { headers, body } = await peer.frame('MESSAGE')
    expect(headers).toMatchObject({ subscription: 'n', destination: '/topic/news', 'content-length': '3' })
    expect(headers.ack).toBeUndefined()
    expect(body).toBe('abc')
    await peer.close()
  })
})

describe('STOMP 1.0', () => {
  test('SUBSCRIBE needs no id; MESSAGE then has no subscription, and UNSUBSCRIBE names the destination', async () => {
    const peer = await session('1.0')
    peer.send(
      frame('SUBSCRIBE', { destination: '/user/queue/echo' }) + frame('SEND', { destination: '/app/echo' }, 'x'),
    )
    const message = await peer.frame('MESSAGE')
    expect(message.body).toBe('x')
    expect(message.headers.subscription).toBeUndefined()
    peer.send(
      frame('UNSUBSCRIBE', { destination: '/user/queue/echo' }) + frame('SEND', { destination: '/app/echo' }, 'y'),
    )
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE')).toHaveLength(1)
    await peer.close()
  })
})
