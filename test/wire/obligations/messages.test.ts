/**
 * STOMP 1.2 SEND, SUBSCRIBE, UNSUBSCRIBE and MESSAGE. What becomes of a message on open topics and queues beyond that is
 * in stomp-destinations.test.ts. The id of a title is that of the clause in docs/stomp.md.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame } from '../../support/stomp-peer.ts'
import { type TestServer, testServer } from '../../support/stomp-server.ts'
import { bodies, fatal, listener, messages, receipts, session } from '../../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer({ limits: { subscriptionsPerSession: 5 } })
})
afterAll(() => server.stop())

const TOPIC = { destination: '/topic/open.all' }

describe('SEND', () => {
  test.each([
    ['no destination', frame('SEND', { receipt: 'r' }, 'x')],
    ['an empty destination', frame('SEND', { receipt: 'r', destination: '' }, 'x')],
  ])('SEND-1 destination is required: %s is an ERROR', async (_, octets) => {
    const peer = await session(server)
    peer.send(octets)
    expect((await fatal(peer)).headers).toMatchObject({ message: 'SEND without destination', 'receipt-id': 'r' })
  })

  test('SEND-1 body and headers swapped, as old clients do, are explained', async () => {
    const peer = await session(server)
    peer.send('SEND\ncontent-length:15\n\n[object Object]\0')
    expect((await fatal(peer)).body).toContain('swapped')
  })

  test.each([
    [404, '/app/none'],
    [403, '/topic/news'],
    [403, '/user/bob/queue/echo'],
    [403, '/queue/closed'],
    [404, '/temp-queue/reply'],
    [404, '/exchange/amq.topic/x'],
    [404, 'anywhere'],
  ])('SEND-2 what may not be sent has no RECEIPT; %i for %s is told on the errors queue', async (code, destination) => {
    const peer = await listener(server)
    peer.send(frame('SEND', { destination, receipt: 'r' }, 'x'))
    const told = await peer.frame(({ headers }) => headers.subscription === 'errors')
    expect(told.headers['receipt-id']).toBe('r')
    expect(JSON.parse(told.body)).toMatchObject({ code, destination })
    await peer.settled()
    expect(receipts(peer)).toEqual([])
    await peer.close()
  })

  test('SEND-3 headers of the user go on to those who subscribe, whatever their names', async () => {
    const [alice, bob] = [await session(server), await listener(server)]
    const mine = {
      persistent: 'true',
      priority: '9',
      expires: '0',
      'reply-to': '/temp-queue/answers',
      'correlation-id': '17',
      selector: "a = 'b'",
      'amqp-message-id': 'm',
      ['__proto__']: 'x',
      constructor: 'y',
      toString: 'z',
      ünï: '🔔',
    }
    alice.send(frame('SEND', { ...TOPIC, ...mine, receipt: 'r', transaction2: 't' }, 'x'))
    const { headers } = await bob.frame('MESSAGE')
    for (const [name, value] of Object.entries(mine)) expect([name, headers[name]]).toEqual([name, value])
    expect(headers).not.toHaveProperty('receipt')
    await alice.close()
    await bob.close()
  })

  test('SEND-4 the body goes on octet for octet', async () => {
    const peer = await listener(server)
    const octets = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256))
    peer.send(
      Buffer.concat([Buffer.from(`SEND\ndestination:/topic/open.all\ncontent-length:1024\n\n`), octets, Buffer.of(0)]),
    )
    expect((await peer.frame('MESSAGE')).octets).toEqual(octets)
    await peer.close()
  })

  test('SEND-5 messages of a sender arrive in the order in which they were sent', async () => {
    const [alice, bob] = [await session(server), await listener(server)]
    const order = Array.from({ length: 2000 }, (_, i) => String(i))
    for (const body of order) alice.send(frame('SEND', TOPIC, body))
    await alice.settled()
    await bob.settled()
    expect(bodies(bob, 'all')).toEqual(order)
    await alice.close()
    await bob.close()
  })

  test('SEND-5 a SEND does not overtake the SUBSCRIBE before it', async () => {
    const peer = await session(server)
    for (let i = 0; i < 500; i++) {
      peer.send(frame('SUBSCRIBE', { ...TOPIC, id: `s${i}` }))
      peer.send(frame('SEND', TOPIC, String(i)))
      peer.send(frame('UNSUBSCRIBE', { id: `s${i}` }))
    }
    await peer.settled()
    expect(messages(peer).map(({ headers, body }) => `${headers.subscription} ${body}`)).toEqual(
      Array.from({ length: 500 }, (_, i) => `s${i} ${i}`),
    )
    await peer.close()
  })
})

describe('SUBSCRIBE', () => {
  const r = { receipt: 'r' }
  test.each([
    ['SUBSCRIBE without destination', { id: 's' }],
    ['SUBSCRIBE without destination', { id: 's', destination: '' }],
    ['SUBSCRIBE without id', TOPIC],
    ['SUBSCRIBE without id', { ...TOPIC, id: '' }],
  ])('SUBSCRIBE-1 destination and id are required: %s %j', async (message, headers) => {
    const [peer, other] = [await session(server), await listener(server)]
    peer.send(frame('SUBSCRIBE', { ...headers, ...r } as Record<string, string>))
    expect((await fatal(peer)).headers).toMatchObject({ message, 'receipt-id': 'r' })
    await other.settled()
    await other.close()
  })

  test('SUBSCRIBE-1 1.1 requires an id, too', async () => {
    const peer = await session(server, '1.1')
    peer.send(frame('SUBSCRIBE', TOPIC))
    expect((await fatal(peer)).headers.message).toBe('SUBSCRIBE without id')
  })

  test('SUBSCRIBE-2 1.0 does not: MESSAGE then has no subscription, and UNSUBSCRIBE names the destination', async () => {
    const peer = await session(server, '1.0')
    peer.send(frame('SUBSCRIBE', TOPIC) + frame('SEND', TOPIC, 'x'))
    const message = await peer.frame('MESSAGE')
    expect([message.body, message.headers.subscription]).toEqual(['x', undefined])
    peer.send(frame('UNSUBSCRIBE', TOPIC) + frame('SEND', TOPIC, 'y'))
    await peer.settled()
    expect(bodies(peer)).toEqual(['x'])
    await peer.close()
  })

  test.each([
    [404, '/topic/none'],
    [403, '/queue/**'],
    [403, '/queue/echo-user1'],
    [403, '/user/bob/queue/echo'],
    [404, '/temp-queue/answers'],
  ])('SUBSCRIBE-3 where one may not listen there is no RECEIPT; %i for %s is told', async (code, destination) => {
    const peer = await listener(server)
    peer.send(frame('SUBSCRIBE', { destination, id: 's', ...r }) + frame('UNSUBSCRIBE', { id: 's' }))
    const told = await peer.frame(({ headers }) => headers.subscription === 'errors')
    expect(JSON.parse(told.body)).toMatchObject({ code, destination })
    await peer.settled()
    expect(receipts(peer)).toEqual([])
    await peer.close()
  })

  test('SUBSCRIBE-4 an id is used once in a session, however often elsewhere', async () => {
    const [peer, other] = [await listener(server), await listener(server)]
    peer.send(frame('SUBSCRIBE', { destination: '/topic/open.other', id: 'echo', ...r }))
    expect((await fatal(peer)).headers).toMatchObject({ message: 'subscription id used twice', 'receipt-id': 'r' })
    await other.settled()
    await other.close()
  })

  test('SUBSCRIBE-4 after UNSUBSCRIBE the id is free again', async () => {
    const peer = await listener(server)
    peer.send(frame('UNSUBSCRIBE', { id: 'all' }))
    await peer.subscribe('/topic/open.other', 'all')
    peer.send(frame('SEND', TOPIC, 'x') + frame('SEND', { destination: '/topic/open.other' }, 'y'))
    await peer.settled()
    expect(bodies(peer)).toEqual(['y'])
    await peer.close()
  })

  test('SUBSCRIBE-5 an ack mode that does not exist is an ERROR', async () => {
    const peer = await session(server)
    peer.send(frame('SUBSCRIBE', { ...TOPIC, id: 's', ack: 'often', ...r }))
    expect((await fatal(peer)).headers).toMatchObject({ message: 'unknown ack mode', 'receipt-id': 'r' })
  })

  test('SUBSCRIBE-6 headers that other brokers know are let pass', async () => {
    const peer = await session(server)
    const theirs = {
      durable: 'true',
      'auto-delete': 'false',
      exclusive: 'false',
      'x-queue-name': 'mine',
      'x-message-ttl': '1000',
      'prefetch-count': '10',
      'activemq.subscriptionName': 'me',
      'activemq.prefetchSize': '1',
      selector: "mine = 'a'",
      'no-local': 'true',
      persistent: 'true',
    }
    peer.send(frame('SUBSCRIBE', { ...TOPIC, id: 's', ...theirs, ...r }) + frame('SEND', TOPIC, 'x'))
    await peer.frame('RECEIPT')
    expect((await peer.frame('MESSAGE')).body).toBe('x')
    peer.send(frame('UNSUBSCRIBE', { id: 's', durable: 'true', receipt: 'u' }))
    await peer.frame('RECEIPT')
    await peer.close()
  })

  test('SUBSCRIBE-7 each subscription of a destination gets its own MESSAGE', async () => {
    const peer = await session(server)
    for (const id of ['a', 'b']) await peer.subscribe('/topic/open.all', id)
    peer.send(frame('SEND', TOPIC, 'x'))
    await peer.settled()
    expect(messages(peer).map(({ headers }) => headers.subscription)).toEqual(['a', 'b'])
    await peer.close()
  })

  test('SUBSCRIBE-8 too many are an ERROR that names the limit', async () => {
    const peer = await session(server)
    for (let i = 0; i < 6; i++) peer.send(frame('SUBSCRIBE', { ...TOPIC, id: i }))
    expect((await fatal(peer)).headers.message).toBe('more than 5 subscriptions')
  })
})

describe('UNSUBSCRIBE', () => {
  test.each([
    ['UNSUBSCRIBE without id', '1.2', TOPIC],
    ['UNSUBSCRIBE without id', '1.1', TOPIC],
    ['UNSUBSCRIBE without id', '1.0', {}],
    ['unknown subscription', '1.2', { id: 'none' }],
    ['unknown subscription', '1.0', { destination: '/topic/open.none' }],
  ])('UNSUBSCRIBE-1 it must name a subscription: %s in %s', async (message, version, headers) => {
    const peer = await session(server, version)
    peer.send(frame('UNSUBSCRIBE', { ...headers, receipt: 'r' } as Record<string, string>))
    expect((await fatal(peer)).headers).toMatchObject({ message, 'receipt-id': 'r' })
  })

  test('UNSUBSCRIBE-2 nothing more comes on that subscription, and on others it does', async () => {
    const peer = await listener(server)
    peer.send(frame('UNSUBSCRIBE', { id: 'echo' }) + frame('SEND', { destination: '/app/echo' }, 'x'))
    peer.send(frame('SEND', TOPIC, 'y'))
    await peer.settled()
    expect(bodies(peer)).toEqual(['y'])
    await peer.close()
  })
})

describe('MESSAGE', () => {
  test('MESSAGE-1 it has destination, message-id and subscription', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', TOPIC, 'x') + frame('SEND', { destination: '/app/echo' }, 'y'))
    await peer.settled()
    for (const { headers } of messages(peer))
      expect(headers).toMatchObject({
        'message-id': expect.any(String),
        subscription: expect.stringMatching(/all|echo/),
      })
    await peer.close()
  })

  test('MESSAGE-2 no two messages have the same message-id, on several sessions and subscriptions neither', async () => {
    const peers = [await listener(server), await listener(server), await listener(server)]
    for (const peer of peers) await peer.subscribe('/topic/open.all', 'again')
    for (const peer of peers) for (let i = 0; i < 20; i++) peer.send(frame('SEND', TOPIC, String(i)))
    for (const peer of peers) await peer.settled()
    for (const peer of peers) await peer.settled()
    const ids = peers.flatMap((peer) => messages(peer).map(({ headers }) => headers['message-id']))
    expect(ids).toHaveLength(3 * 2 * 60)
    expect(new Set(ids).size).toBe(ids.length)
    for (const peer of peers) await peer.close()
  })

  test.each(['/topic/open.all', '/topic/open.a\\cb\\nc', '/topic/open.ünï', '/queue/open.m1'])(
    'MESSAGE-3 destination is what the SEND said: %s',
    async (destination) => {
      const peer = await session(server)
      await peer.subscribe(destination, 's')
      peer.send(frame('SEND', { destination }, 'x'))
      expect((await peer.frame('MESSAGE')).headers.destination).toBe(destination)
      await peer.close()
    },
  )

  test.each(['/topic/open.all', '/queue/open.m2'])(
    'MESSAGE-4 of %s it has ack in the modes client and client-individual, and not in auto',
    async (destination) => {
      for (const ack of ['client', 'client-individual', 'auto']) {
        const peer = await session(server)
        await peer.subscribe(destination, 's', { ack })
        peer.send(frame('SEND', { destination }, 'x'))
        const { headers } = await peer.frame('MESSAGE')
        expect([ack, headers.ack !== undefined]).toEqual([ack, ack !== 'auto'])
        if (headers.ack !== undefined) peer.send(frame('ACK', { id: headers.ack }))
        await peer.settled()
        await peer.close()
      }
    },
  )

  test('MESSAGE-5 a sender cannot write headers that are the broker’s', async () => {
    const peer = await listener(server)
    const forged = { subscription: 'x', 'message-id': 'x', ack: 'x', redelivered: 'x', 'receipt-id': 'x' }
    peer.send(frame('SEND', { ...TOPIC, ...forged }, 'abc'))
    const { headers } = await peer.frame('MESSAGE')
    expect(headers).toMatchObject({ subscription: 'all', destination: '/topic/open.all', 'content-length': '3' })
    expect(headers['message-id']).not.toBe('x')
    for (const name of ['ack', 'redelivered', 'receipt-id']) expect(headers).not.toHaveProperty(name)
    await peer.close()
  })

  test('MESSAGE-5 credentials that a client puts on every frame go to nobody', async () => {
    const peer = await listener(server)
    const secrets = { ide: 'tok', Authorization: 'Bearer tok', authorization: 'Bearer tok', login: 'l', passcode: 'p' }
    peer.send(frame('SEND', { ...TOPIC, ...secrets, mine: '1' }, 'x'))
    const { headers } = await peer.frame('MESSAGE')
    expect(Object.keys(headers).filter((name) => name in secrets)).toEqual([])
    expect(headers.mine).toBe('1')
    await peer.close()
  })

  test('MESSAGE-6 sessions of all versions hear each other', async () => {
    const peers = await Promise.all(['1.0', '1.1', '1.2'].map((version) => listener(server, version)))
    for (const [i, peer] of peers.entries()) peer.send(frame('SEND', TOPIC, String(i)))
    for (const peer of peers) await peer.settled()
    for (const peer of peers) await peer.settled()
    for (const peer of peers) {
      expect([...bodies(peer, 'all')].sort((a, b) => Number(a) - Number(b))).toEqual(['0', '1', '2'])
      await peer.close()
    }
  })

  test('MESSAGE-7 one who does not read keeps nobody else waiting', async () => {
    const own = await testServer({ limits: { bufferedBytes: 200_000 } })
    const [stalled, reader, sender] = [await session(own), await session(own), await session(own)]
    await stalled.subscribe('/topic/open.all', 's')
    await reader.subscribe('/topic/open.all', 's')
    stalled.ws.pause()
    const large = 'x'.repeat(60_000)
    for (let i = 0; i < 200; i++) {
      sender.send(frame('SEND', TOPIC, large))
      await reader.frame('MESSAGE')
    }
    expect(own.news).toContainEqual(expect.stringMatching(/^expelled slow-reader/))
    expect(messages(reader)).toHaveLength(200)
    stalled.ws.terminate()
    await own.stop()
  })
})
