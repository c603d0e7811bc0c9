/** Where a client may SEND and SUBSCRIBE, and what it is told when it may not; open topics and queues. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, type StompPeer, stompPeer } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer({ limits: { unacknowledged: 2, queueMessages: 5, queueBytes: 10_000, queues: 20 } })
})
afterAll(() => server.stop())

const peers: StompPeer[] = []
let users = 0

async function session(version = '1.2'): Promise<StompPeer> {
  const peer = await stompPeer(server.url, { token: `user ${++users}` })
  peers.push(peer)
  await peer.connect({ 'accept-version': version })
  await peer.subscribe('/user/queue/errors', 'errors')
  return peer
}

const on = (peer: StompPeer, id: string): string[] =>
  peer.frames
    .filter(({ command, headers }) => command === 'MESSAGE' && headers.subscription === id)
    .map(({ body }) => body)

const errors = (peer: StompPeer): { code: number; destination: string }[] =>
  on(peer, 'errors').map((body) => JSON.parse(body) as { code: number; destination: string })

describe('destinations that are not for clients', () => {
  test.each([
    [404, '/app/none'],
    [404, '/app/echo/'],
    [404, '/APP/echo'],
    [404, 'app/echo'],
    [404, '/'],
    [404, '/elsewhere'],
    [404, '/app/__proto__'],
    [403, '/topic/news'],
    [403, '/topic/none'],
    [403, '/user/queue/echo'],
    [403, '/user/bob/queue/echo'],
    [403, '/queue/echo-user1'],
    [403, '/topic/open.a/../../app/echo'],
    [403, '/topic//open.a'],
    [403, '/topic/open.a%2f..'],
  ])('SEND: %i for %s, and the connection stays', async (code, destination) => {
    const peer = await session()
    peer.send(frame('SEND', { destination, receipt: 'r' }))
    await peer.settled()
    expect(errors(peer)).toEqual([expect.objectContaining({ code, destination })])
    await peer.close()
  })

  test.each([
    [404, '/user/queue/none'],
    [404, '/topic/none'],
    [404, '/app/echo'],
    [404, '/'],
    [403, '/user/bob/queue/echo'],
    [403, '/user/*/queue/echo'],
    [403, '/queue/echo'],
    [403, '/queue/**'],
    [403, '/user/queue/../bob/queue/echo'],
    [403, '/user//queue/echo'],
    [403, '/user%2fqueue/echo'],
  ])('SUBSCRIBE: %i for %s, and the connection stays, UNSUBSCRIBE too', async (code, destination) => {
    const peer = await session()
    peer.send(frame('SUBSCRIBE', { destination, id: 's', receipt: 'r' }) + frame('UNSUBSCRIBE', { id: 's' }))
    await peer.settled()
    expect(errors(peer)).toEqual([expect.objectContaining({ code, destination })])
    expect(
      peer.frames.filter(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === 'r'),
    ).toEqual([])
    await peer.close()
  })
})

describe('open topics', () => {
  test('reach every subscriber, the sender too, with the headers and the very octets of the SEND', async () => {
    const [alice, bob, eve] = [await session(), await session('1.1'), await session()]
    await alice.subscribe('/topic/open.t1', 't')
    await bob.subscribe('/topic/open.t1', 't')
    await eve.subscribe('/topic/open.t2', 't')
    const body = Buffer.from([0, 1, 0xff, 10, 0])
    const head =
      'SEND\ndestination:/topic/open.t1\ncontent-type:image/x\nmine:a\\cb\npersistent:true\nreceipt:r\ncontent-length:5\n\n'
    alice.send(Buffer.concat([Buffer.from(head), body, Buffer.of(0)]))
    for (const peer of [alice, bob]) {
      const message = await peer.frame('MESSAGE')
      expect(message.octets).toEqual(body)
      expect(message.binary).toBe(true)
      expect(message.headers).toMatchObject({
        subscription: 't',
        destination: '/topic/open.t1',
        'content-type': 'image/x',
        'content-length': '5',
        mine: 'a\\cb',
        persistent: 'true',
      })
      expect(message.headers.receipt).toBeUndefined()
    }
    await eve.settled()
    expect(on(eve, 't')).toEqual([])
  })

  test.each([
    ['/topic/open.*.eu', ['a.eu', 'b.eu']],
    ['/topic/open.a.*', ['a.eu', 'a.us']],
    ['/topic/open.a.#', ['a', 'a.eu', 'a.us', 'a.us.ny']],
    ['/topic/open.a.>', ['a', 'a.eu', 'a.us', 'a.us.ny']],
    ['/topic/open.a.**', ['a', 'a.eu', 'a.us', 'a.us.ny']],
    ['/topic/open.*.*.ny', ['a.us.ny']],
    ['/topic/open.*a', []],
  ])(
    'may be subscribed to with wildcards: %s hears %j, each MESSAGE says where it was sent to',
    async (pattern, names) => {
      const [listener, sender] = [await session(), await session()]
      await listener.subscribe(pattern, 'w')
      for (const name of ['a', 'a.eu', 'a.us', 'b.eu', 'a.us.ny'])
        sender.send(frame('SEND', { destination: `/topic/open.${name}` }, name))
      await sender.settled()
      await listener.settled()
      expect(on(listener, 'w')).toEqual(names)
      const destinations = listener.frames.filter(({ command }) => command === 'MESSAGE').map((each) => each.headers)
      expect(destinations.map(({ destination }) => destination)).toEqual(names.map((name) => `/topic/open.${name}`))
      listener.send(frame('UNSUBSCRIBE', { id: 'w' }))
      await listener.settled()
      sender.send(frame('SEND', { destination: '/topic/open.a.eu' }, 'late'))
      await sender.settled()
      await listener.settled()
      expect(on(listener, 'w')).toEqual(names)
    },
  )

  test.each(['/topic/open.#.a', '/topic/open.>.a', '/topic/open.**.a', '/queue/open.*', '/queue/open.#'])(
    'wildcards that are not understood are refused: %s',
    async (destination) => {
      const peer = await session()
      peer.send(frame('SUBSCRIBE', { destination, id: 's', receipt: 'r' }))
      await peer.settled()
      expect(errors(peer)).toEqual([expect.objectContaining({ code: 403, destination })])
    },
  )

  test('wildcards hear nothing of what the server alone publishes', async () => {
    const own = await testServer({ open: ['/topic/*'] })
    const peer = await stompPeer(own.url, { token: 'alice' })
    await peer.connect()
    await peer.subscribe('/topic/#', 'w')
    expect(own.broker.publish('/topic/news', { body: 'official' })).toBe(0)
    peer.send(frame('SEND', { destination: '/topic/mine' }, 'mine'))
    expect((await peer.frame('MESSAGE')).body).toBe('mine')
    await peer.close()
    await own.stop()
  })
})

describe('open queues', () => {
  const send = (destination: string, ...bodies: (string | number)[]) =>
    bodies.map((body) => frame('SEND', { destination }, String(body))).join('')

  test('give each message to one consumer, in turn', async () => {
    const [a, b, sender] = [await session(), await session(), await session()]
    await a.subscribe('/queue/open.q1', 'q')
    await b.subscribe('/queue/open.q1', 'q')
    sender.send(send('/queue/open.q1', 1, 2, 3, 4))
    await sender.settled()
    await a.settled()
    await b.settled()
    expect([on(a, 'q'), on(b, 'q')]).toEqual([
      ['1', '3'],
      ['2', '4'],
    ])
  })

  test('keep messages while nobody listens, up to the bound', async () => {
    const sender = await session()
    sender.send(send('/queue/open.q2', 1, 2, 3, 4, 5, 6))
    await sender.settled()
    expect(errors(sender)).toEqual([expect.objectContaining({ code: 429, destination: '/queue/open.q2' })])
    const consumer = await session()
    await consumer.subscribe('/queue/open.q2', 'q')
    await consumer.settled()
    expect(on(consumer, 'q')).toEqual(['1', '2', '3', '4', '5'])
  })

  test('keep no more octets than may be', async () => {
    const sender = await session()
    sender.send(send('/queue/open.q3', 'x'.repeat(6000), 'y'.repeat(6000)))
    await sender.settled()
    expect(errors(sender)).toEqual([expect.objectContaining({ code: 429 })])
    const consumer = await session()
    await consumer.subscribe('/queue/open.q3', 'q')
    await consumer.settled()
    expect(on(consumer, 'q')).toEqual(['x'.repeat(6000)])
  })

  test('give no consumer more than it may leave unacknowledged', async () => {
    const [a, sender] = [await session(), await session()]
    await a.subscribe('/queue/open.q4', 'q', { ack: 'client-individual' })
    sender.send(send('/queue/open.q4', 1, 2, 3, 4))
    await sender.settled()
    await a.settled()
    expect(on(a, 'q')).toEqual(['1', '2'])
    const second = a.frames.find(({ body }) => body === '2')
    a.send(frame('ACK', { id: second?.headers.ack ?? '' }))
    await a.settled()
    expect(on(a, 'q')).toEqual(['1', '2', '3'])
  })

  test('messages of a lost consumer go to the next, in order, marked as redelivered', async () => {
    const [a, b, sender] = [await session(), await session(), await session()]
    await a.subscribe('/queue/open.q6', 'q', { ack: 'client-individual' })
    sender.send(send('/queue/open.q6', 1, 2, 3))
    await sender.settled()
    await a.settled()
    expect(on(a, 'q')).toEqual(['1', '2'])
    await a.close()
    await b.subscribe('/queue/open.q6', 'q')
    await b.settled()
    const messages = b.frames.filter(({ command }) => command === 'MESSAGE')
    expect(messages.map(({ body, headers }) => [body, headers.redelivered])).toEqual([
      ['1', 'true'],
      ['2', 'true'],
      ['3', undefined],
    ])
  })

  test('a message that gets NACK for ever is dropped after so many redeliveries, and the next one comes', async () => {
    const [a, sender] = [await session(), await session()]
    await a.subscribe('/queue/open.nacks', 'q', { ack: 'client-individual' })
    sender.send(send('/queue/open.nacks', 'bad'))
    for (let round = 0; round < 4; round++) {
      const { headers, body } = await a.frame('MESSAGE')
      expect([body, headers.redelivered]).toEqual(['bad', round === 0 ? undefined : 'true'])
      a.send(frame('NACK', { id: headers.ack ?? '' }))
    }
    sender.send(send('/queue/open.nacks', 'good'))
    expect((await a.frame('MESSAGE')).body).toBe('good')
    expect(server.news).toContain('dropped /queue/open.nacks')
  })

  test('NACK with requeue:false drops it at once', async () => {
    const [a, sender] = [await session(), await session()]
    await a.subscribe('/queue/open.once', 'q', { ack: 'client' })
    sender.send(send('/queue/open.once', 'bad', 'good'))
    const { headers } = await a.frame('MESSAGE')
    a.send(frame('NACK', { id: headers.ack ?? '', requeue: 'false' }))
    await a.settled()
    expect(on(a, 'q')).toEqual(['bad', 'good'])
  })

  test('after NACK the one who said it is asked last', async () => {
    const [a, b, sender] = [await session(), await session(), await session()]
    await a.subscribe('/queue/open.last', 'q', { ack: 'client-individual' })
    await b.subscribe('/queue/open.last', 'q', { ack: 'client-individual' })
    sender.send(send('/queue/open.last', 1, 2))
    const first = await a.frame('MESSAGE')
    await b.frame('MESSAGE')
    a.send(frame('NACK', { id: first.headers.ack ?? '' }))
    expect((await b.frame('MESSAGE')).body).toBe('1')
  })

  test('no more of them than may be', async () => {
    const sender = await session()
    for (let i = 0; i < 20; i++) sender.send(send(`/queue/open.many-${i}`, i))
    await sender.settled()
    expect(errors(sender)[0]).toMatchObject({ code: 429 })
    sender.send(frame('SUBSCRIBE', { destination: '/queue/open.another', id: 'q' }))
    await sender.settled()
    expect(errors(sender).at(-1)).toMatchObject({ code: 429, destination: '/queue/open.another' })
  })
})
