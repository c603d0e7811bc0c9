/** STOMP over WebSocket: the upgrade, slow and stopped peers. Frames and messages are in obligations/. */

import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, type StompPeer, stompPeer } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer({ allowOrigin: (origin) => origin !== 'http://evil.test' })
})
afterAll(() => server.stop())

/** The HTTP answer to an upgrade that is refused, as text. */
async function upgrade(path: string, port = server.port, headers: Record<string, string> = {}): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const lines = Object.entries({
    Host: 'test',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  })
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  return until(socket, '\r\n\r\n')
}

async function until(socket: Socket, end: string): Promise<string> {
  let text = ''
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1')
    if (text.includes(end)) break
  }
  socket.destroy()
  return text
}

describe('the upgrade', () => {
  test.each(['/imserver/ws', '/imserver/ws/', '/imserver/ws?userId=alice', '/imserver/ws/websocket'])(
    '%s is STOMP over WebSocket',
    async (path) => {
      const peer = await stompPeer(`ws://127.0.0.1:${server.port}${path}`, { token: 'alice' })
      await peer.connect()
      await peer.close()
    },
  )

  test('the query is what the authentication gets to see', async () => {
    const seen: unknown[] = []
    const other = await testServer({
      authenticate: async ({ peer, headers }) => {
        seen.push({ ...peer.query }, peer.transport, peer.address, headers.ide)
        return { principal: { user: 'alice', token: '' } }
      },
    })
    const peer = await stompPeer(`${other.url}?userId=al%20ice&userId=bob&__proto__=x`, { token: 'secret' })
    await peer.connect()
    await peer.close()
    await other.stop()
    expect(seen).toEqual([JSON.parse('{"userId":"al ice","__proto__":"x"}'), 'websocket', '127.0.0.1', 'secret'])
  })

  test.each([
    ['403', '/imserver/ws', { Origin: 'http://evil.test' }],
    ['403', '/imserver/ws/000/abc/websocket', { Origin: 'http://evil.test' }],
    ['404', '/elsewhere', {}],
    ['404', '/imserver/wsx', {}],
    ['404', '/imserver/ws/info', {}],
    ['426', '/imserver/ws', { 'Sec-WebSocket-Version': '12' }],
    ['400', '/imserver/ws', { 'Sec-WebSocket-Key': 'short' }],
  ])('%s for %s %j', async (status, path, headers) => {
    const answer = await upgrade(path, server.port, headers as Record<string, string>)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 (${status}|400) `))
    expect(answer.startsWith(`HTTP/1.1 ${status}`) || status === '426').toBe(true)
  })

  test('503 with Retry-After when there are as many connections as may be', async () => {
    const small = await testServer({ limits: { connections: 1 } })
    const peer = await stompPeer(small.url, { token: 'alice' })
    await peer.connect()
    const answer = await upgrade('/imserver/ws', small.port)
    expect(answer).toMatch(/^HTTP\/1.1 503 Service Unavailable\r\n/)
    expect(answer).toMatch(/\r\nRetry-After: \d+\r\n/)
    await peer.close()
    await (await stompPeer(small.url, { token: 'bob' })).connect()
    await small.stop()
  })

  test('unknown subprotocols are passed over', async () => {
    const answer = await upgrade('/imserver/ws', server.port, { 'Sec-WebSocket-Protocol': 'mqtt' })
    expect(answer).toMatch(/^HTTP\/1.1 101 /)
    expect(answer).not.toMatch(/Sec-WebSocket-Protocol/)
  })

  test('compression is not agreed to', async () => {
    const answer = await upgrade('/imserver/ws', server.port, { 'Sec-WebSocket-Extensions': 'permessage-deflate' })
    expect(answer).not.toMatch(/permessage-deflate/)
  })
})

test('frames that come in pieces are not mixed up with what others send meanwhile', async () => {
  const listener = await stompPeer(server.url, { token: 'carol' })
  await listener.connect()
  await listener.subscribe('/topic/open.pieces')
  const peers = [await stompPeer(server.url, { token: 'alice' }), await stompPeer(server.url, { token: 'bob' })]
  const texts = ['alice ', 'bob ..'].map((name) => name.repeat(50))
  const wholes = texts.map((text) => frame('SEND', { destination: '/topic/open.pieces' }, text))
  for (const peer of peers) await peer.connect()
  const size = 7
  for (let at = 0; at < wholes[0]!.length + size; at += size) {
    for (const [n, peer] of peers.entries()) {
      peer.send(wholes[n]!.slice(at, at + size))
      // It is there: somebody else's octets are what is read next
      await listener.settled()
    }
  }
  const heard = [await listener.frame('MESSAGE'), await listener.frame('MESSAGE')]
  expect(heard.map(({ body }) => body)).toEqual(texts)
  for (const peer of [listener, ...peers]) await peer.close()
})

describe('limits on a real socket', () => {
  test('frames before login are small', async () => {
    const peer = await stompPeer(server.url)
    peer.send(
      frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' }).replace(
        '\n\n',
        `\n${'a:b\n'.repeat(10)}x:${'y'.repeat(20_000)}\n\n`,
      ),
    )
    expect((await peer.frame('ERROR')).headers.message).toMatch(/^frame larger than 16384|^header longer/)
    expect((await peer.closed).code).toBe(1008)
  })

  test('while a handler works, no more is read than may wait, and nothing is lost', async () => {
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const bodies: number[] = []
    const slow = await testServer({
      limits: { queuedBytes: 65_536 },
      handlers: {
        '/app/slow': async (_, { body }) => {
          const number = Number.parseInt(body.toString('latin1'), 10)
          await gate
          bodies.push(number)
          return undefined
        },
      },
    })
    const peer = await stompPeer(slow.url, { token: 'alice' })
    await peer.connect()
    for (let i = 0; i < 1000; i++) peer.send(frame('SEND', { destination: '/app/slow' }, `${i} ${'x'.repeat(10_000)}`))
    const done = peer.settled()
    // 10 MB are more than the sockets' own buffers take: what is left stays with the peer
    await slowed(peer)
    open()
    await done
    expect(bodies).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    await slow.stop()
  })

  test('a reader that stands still is closed with a reason, and others go on', async () => {
    const small = await testServer({ limits: { bufferedBytes: 100_000 } })
    const [slow, fast] = [await stompPeer(small.url, { token: 'slow' }), await stompPeer(small.url, { token: 'fast' })]
    for (const peer of [slow, fast]) {
      await peer.connect()
      await peer.subscribe('/topic/news', 'n')
    }
    slow.ws.pause()
    const body = Buffer.alloc(50_000, 'x')
    const expelled = (): boolean => small.news.some((line) => line.startsWith('expelled slow-reader'))
    for (let count = 1; !expelled(); count++) {
      small.broker.publish('/topic/news', { body })
      await fast.frame('MESSAGE')
      if (count > 2000) throw new Error('nobody was closed')
    }
    expect(small.news.filter((line) => line.startsWith('expelled'))).toHaveLength(1)
    expect(small.broker.online('slow')).toBe(false)
    await fast.settled()
    slow.ws.resume()
    expect((await slow.closed).code).toBe(1008)
    await small.stop()
  })

  test('a stop closes sessions with 1012', async () => {
    const other = await testServer()
    const peer = await stompPeer(other.url, { token: 'alice' })
    await peer.connect()
    await other.broker.stop({ perStep: 1, stepMs: 1, deadlineMs: 1000 })
    expect((await peer.closed).code).toBe(1012)
    await other.stop()
  })
})

/** Fulfilled when the peer's own socket cannot get rid of its octets any more. */
async function slowed(peer: StompPeer): Promise<void> {
  let before = Number.POSITIVE_INFINITY
  for (let now = peer.ws.bufferedAmount; now < before; now = peer.ws.bufferedAmount) {
    before = now
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  expect(before).toBeGreaterThan(0)
}
