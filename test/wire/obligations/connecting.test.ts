/**
 * STOMP 1.2 "Connecting", "Protocol Negotiation", "Heart-beating", "Connection Lingering", and WebSocket below them.
 * The id of a title is that of the clause in docs/stomp.md.
 */

import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, stompPeer } from '../../support/stomp-peer.ts'
import { type TestServer, testServer } from '../../support/stomp-server.ts'
import { fatal, listener, session, stranger } from '../../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server.stop())

describe('Connecting, Protocol Negotiation', () => {
  test.each(['CONNECT', 'STOMP'])('CONNECT-1 a session begins with %s', async (command) => {
    const peer = await stranger(server)
    peer.send(frame(command, { 'accept-version': '1.2', host: 'test', ide: 'alice' }))
    expect((await peer.frame('CONNECTED')).headers.version).toBe('1.2')
    await peer.close()
  })

  test('CONNECT-2 who is refused gets one ERROR with code and message, and the end', async () => {
    const peer = await stranger(server)
    peer.send(
      frame('CONNECT', { 'accept-version': '1.2', ide: 'nobody' }) + frame('SEND', { destination: '/app/echo' }),
    )
    const { headers, body } = await peer.frame('ERROR')
    expect(headers).toMatchObject({ message: '401 ide: no valid token', 'content-type': 'application/json' })
    expect(JSON.parse(body)).toEqual({ code: 401, message: 'ide: no valid token' })
    expect((await peer.closed).code).toBe(1008)
    expect(peer.frames).toHaveLength(1)
  })

  test.each(['CONNECT', 'STOMP'])('CONNECT-3 a second %s is an ERROR and the end', async (command) => {
    const peer = await session(server)
    peer.send(frame(command, { 'accept-version': '1.2', ide: 'alice' }))
    expect((await fatal(peer)).headers.message).toBe('already connected')
  })

  test.each([
    ['SEND', { destination: '/app/echo' }],
    ['SUBSCRIBE', { destination: '/topic/news', id: 1 }],
    ['UNSUBSCRIBE', { id: 1 }],
    ['ACK', { id: 'x' }],
    ['NACK', { id: 'x' }],
    ['BEGIN', { transaction: 't' }],
    ['COMMIT', { transaction: 't' }],
    ['ABORT', { transaction: 't' }],
    ['DISCONNECT', {}],
  ])('CONNECT-4 %s before CONNECT is an ERROR and the end', async (command, headers) => {
    const peer = await stranger(server)
    peer.send(frame(command, { ...headers, receipt: 'r' }))
    expect((await fatal(peer)).headers).toMatchObject({ message: `${command} before CONNECT`, 'receipt-id': 'r' })
    expect(peer.frames).toHaveLength(1)
  })

  test('CONNECT-5 EOLs may come before CONNECT, and frames right behind it', async () => {
    const peer = await stranger(server)
    peer.send(
      `\n\r\n${frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' })}${frame('DISCONNECT', { receipt: 'r' })}`,
    )
    expect((await peer.closed).code).toBe(1000)
    expect(peer.frames.map(({ command }) => command)).toEqual(['CONNECTED', 'RECEIPT'])
  })

  test('CONNECTED-1 it has version, heart-beat, session, server and user-name', async () => {
    const peer = await stranger(server)
    const { headers, body } = await peer.connect({ ide: 'alice' })
    expect(headers).toMatchObject({ version: '1.2', 'heart-beat': '0,0', 'user-name': 'alice' })
    expect(headers.server).toMatch(/^[^\s/]+\/[^\s/]+$/)
    expect(headers.session).toMatch(/^[\w-]{16,}$/)
    expect(body).toBe('')
    await peer.close()
  })

  test('CONNECTED-1 no two sessions have the same id', async () => {
    const peers = await Promise.all([stranger(server), stranger(server), stranger(server)])
    const ids = await Promise.all(peers.map(async (peer) => (await peer.connect()).headers.session))
    expect(new Set(ids).size).toBe(3)
    await Promise.all(peers.map((peer) => peer.close()))
  })

  test.each([
    ['1.0,1.1,1.2', '1.2'],
    ['1.2,1.1,1.0', '1.2'],
    ['1.2', '1.2'],
    ['1.1,1.0', '1.1'],
    ['1.0', '1.0'],
    ['1.1,2.0', '1.1'],
    [' 1.1 , 1.0 ', '1.1'],
  ])('VERSION-1 of accept-version %s the highest that both speak is %s', async (accepted, version) => {
    const peer = await stranger(server)
    expect((await peer.connect({ 'accept-version': accepted })).headers.version).toBe(version)
    await peer.close()
  })

  test.each(['CONNECT', 'STOMP'])('VERSION-2 %s without accept-version means 1.0', async (command) => {
    const peer = await stranger(server)
    peer.send(frame(command, { ide: 'alice' }))
    expect((await peer.frame('CONNECTED')).headers.version).toBe('1.0')
    await peer.close()
  })

  test.each(['2.0', '1.3,0.9', '', '12', '1.2.0'])(
    'VERSION-3 nothing in common with %j is an ERROR that lists ours, and the end',
    async (accepted) => {
      const peer = await stranger(server)
      peer.send(frame('CONNECT', { 'accept-version': accepted, ide: 'alice' }))
      const { headers, body } = await fatal(peer)
      expect(headers).toMatchObject({ version: '1.0,1.1,1.2', message: 'no STOMP version in common' })
      expect(body).toContain('1.0 1.1 1.2')
    },
  )

  test('LINGER-1 clients may come and go quickly', async () => {
    const users = Array.from({ length: 60 }, (_, i) => `passer-by ${i}`)
    await Promise.all(
      users.map(async (user, i) => {
        const peer = await stompPeer(server.url, { token: user })
        await peer.connect()
        if (i % 2 === 0) peer.ws.terminate()
        else peer.send(frame('DISCONNECT'))
        await peer.closed
      }),
    )
    const peer = await session(server)
    await peer.settled()
    await peer.close()
  })
})

describe('Heart-beating', () => {
  let beating: TestServer
  beforeAll(async () => {
    beating = await testServer({ heartbeat: { sends: 40, wants: 40 } })
  })
  afterAll(() => beating.stop())

  test('BEAT-1 CONNECTED says what the server can do and would like', async () => {
    const peer = await stranger(beating)
    expect((await peer.connect({ 'heart-beat': '0,0' })).headers['heart-beat']).toBe('40,40')
    await peer.close()
  })

  test.each(['', '1', '1,2,3', 'a,b', '-1,0', '1.5,0', '0x10,0', '1;2'])(
    'BEAT-1 the header is two numbers: %j is an ERROR',
    async (offer) => {
      const peer = await stranger(beating)
      peer.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'alice', 'heart-beat': offer }))
      expect((await fatal(peer)).headers.message).toBe('heart-beat is malformed')
    },
  )

  test.each(['0,0', '99999999999999999999,99999999999999999999'])(
    'BEAT-1 %s is taken, and changes nothing for now',
    async (offer) => {
      const peer = await stranger(beating)
      await peer.connect({ 'heart-beat': offer })
      await peer.settled()
      await peer.close()
    },
  )

  test('BEAT-2 the server beats for a client that asks for it, with single EOLs', async () => {
    const peer = await stranger(beating)
    let octets = 0
    const threeBeats = new Promise<void>((resolve) => {
      peer.ws.on('message', (data: Buffer) => {
        if (data.equals(Buffer.from('\n')) && ++octets === 3) resolve()
      })
    })
    await peer.connect({ 'heart-beat': '0,1' })
    await threeBeats
    expect(peer.heartbeats).toBeGreaterThanOrEqual(3)
    await peer.close()
  })

  test('BEAT-3 a client that promised heart-beats and keeps silent is closed, without an ERROR', async () => {
    const peer = await stranger(beating)
    await peer.connect({ 'heart-beat': '1,0' })
    const { code, reason } = await peer.closed
    expect([code, reason]).toEqual([1002, expect.stringMatching(/^no sign of life for \d+ ms$/)])
    expect(peer.frames.map(({ command }) => command)).toEqual(['CONNECTED'])
  })

  test('BEAT-4 a client without the header promises none, and asks for none', async () => {
    const [quiet, beats] = [await stranger(beating), await stranger(beating)]
    await quiet.connect()
    // What the server would do to the one is done to the other
    await beats.connect({ 'heart-beat': '1,1' })
    await beats.closed
    await quiet.settled()
    expect(quiet.heartbeats).toBe(0)
    await quiet.close()
  })
})

describe('WebSocket (RFC 6455)', () => {
  test.each([
    [['v10.stomp', 'v12.stomp', 'v11.stomp'], 'v12.stomp'],
    [['v11.stomp', 'v10.stomp'], 'v11.stomp'],
    [['v10.stomp', 'mqtt'], 'v10.stomp'],
    [[], ''],
  ])('SOCKET-1 of the subprotocols %j it picks %j', async (protocols, picked) => {
    const peer = await stompPeer(server.url, { protocols, token: 'alice' })
    expect(peer.ws.protocol).toBe(picked)
    await peer.connect()
    await peer.close()
  })

  test('SOCKET-2 pings are answered with their payload (section 5.5.3)', async () => {
    const peer = await stranger(server)
    const pong = once(peer.ws, 'pong')
    peer.ws.ping('are you there')
    expect(String((await pong)[0])).toBe('are you there')
    await peer.close()
  })

  test.each([
    ['a lone octet', Buffer.from([0xff])],
    ['a surrogate', Buffer.from('SEND\ndestination:/app/echo\n\n\xed\xa0\x80\0', 'latin1')],
    ['an overlong slash', Buffer.from('SEND\ndestination:\xc0\xaf\n\n\0', 'latin1')],
    ['a character that is cut off', Buffer.from('SEND\ndestination:/app/echo\n\n\xf0\x9f\x94\0', 'latin1')],
  ])(
    'SOCKET-3 a text message that is not UTF-8 (%s) ends the connection with 1007 (section 8.1)',
    async (_, octets) => {
      const peer = await session(server)
      peer.ws.send(octets, { binary: false })
      expect((await peer.closed).code).toBe(1007)
    },
  )

  test('SOCKET-4 text and binary messages are the same to the server; it sends text where it can', async () => {
    const peer = await listener(server)
    peer.send(Buffer.from(frame('SEND', { destination: '/app/echo' }, 'grüß')))
    expect(await peer.frame('MESSAGE')).toMatchObject({ body: 'grüß', binary: false })
    const noText = Buffer.from([0xff, 0xfe, 0, 10, 0x80])
    peer.send(Buffer.concat([Buffer.from('SEND\ndestination:/app/echo\ncontent-length:5\n\n'), noText, Buffer.of(0)]))
    expect(await peer.frame('MESSAGE')).toMatchObject({ octets: noText, binary: true })
    await peer.close()
  })

  test('SOCKET-5 a message beyond all bounds ends the connection with 1009 (section 7.4.1)', async () => {
    const peer = await session(server)
    peer.send(Buffer.alloc(5_000_000, 'x'))
    expect((await peer.closed).code).toBe(1009)
  })

  test('SOCKET-6 a frame may come in WebSocket fragments, empty ones among them', async () => {
    const peer = await listener(server)
    const text = frame('SEND', { destination: '/app/echo' }, 'in pieces')
    for (const piece of text) {
      peer.ws.send(piece, { fin: false })
      peer.ws.send('', { fin: false })
    }
    peer.ws.send('', { fin: true })
    expect((await peer.frame('MESSAGE')).body).toBe('in pieces')
    await peer.close()
  })
})
