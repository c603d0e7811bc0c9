/**
 * SockJS under stress: readers that stop, peers that go away, requests without end. The broker's bounds hold on every
 * transport, the clock is in the test's hand, and whatever ends leaves nothing behind.
 */

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, jest, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { TestClock } from '../support/clock.ts'
import { RawHttp } from '../support/raw-http.ts'
import { type PageTransport, SockJsPage } from '../support/sockjs-page.ts'
import { sockJsServer } from '../support/sockjs-server.ts'
import { frame } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

// Some of them move many megabytes, and wait for nothing but that
jest.setTimeout(20_000)

const CONNECT = { 'accept-version': '1.2', ide: 'alice' }
const SUBSCRIBE = frame('SUBSCRIBE', { destination: '/topic/news', id: 'n', receipt: 'subscribed' })

const post = (url: string, body = ''): Promise<Response> => fetch(url, { method: 'POST', body })
const text = async (response: Promise<Response>): Promise<string> => (await response).text()

/** A poll that the server holds: of two at once it refuses one, and by that answer the other is known to be there. */
async function held(url: string): Promise<() => Promise<string>> {
  const polls = [0, 1].map(async (which) => ({ which, body: await text(post(`${url}/xhr`)) }))
  const refused = await Promise.race(polls)
  expect(refused.body).toBe('c[2010,"Another connection still open"]\n')
  return async () => (await (polls[1 - refused.which] as (typeof polls)[number])).body
}

/** Lets the network work until it is so. */
async function until(so: () => boolean): Promise<void> {
  while (!so()) await turn()
}

describe('a reader that stops', () => {
  const BOUND = 300_000
  const BODY = 'x'.repeat(50_000)

  interface Stopped {
    /** Asks for more, where one has to; reads nothing. */
    asks(): void
    leaves(): void
  }

  /** Opens a session that listens, and returns when it does; from then on nothing is read. */
  type Opens = (server: TestServer) => Promise<Stopped>

  /** One socket on which requests to fetch are written, and never an answer read. */
  const asksOn =
    (how: string): Opens =>
    async (server) => {
      const path = `/imserver/ws/000/${randomUUID()}`
      const url = `http://127.0.0.1:${server.port}${path}`
      await post(`${url}/xhr`)
      await post(`${url}/xhr_send`, JSON.stringify([frame('CONNECT', CONNECT), SUBSCRIBE]))
      const raw = new RawHttp(server.port)
      await once(raw.socket, 'connect')
      raw.socket.pause()
      return {
        asks: () => raw.ask(`${how.replace('*', path)} HTTP/1.1`),
        leaves: () => raw.socket.destroy(),
      }
    }

  const socket: Opens = async (server) => {
    const ws = new WebSocket(`${server.url}/000/a/websocket`)
    ws.on('error', () => undefined)
    const subscribed = new Promise<void>((resolve) =>
      ws.on('message', (data: Buffer) => {
        if (data.toString() === 'o') ws.send(JSON.stringify([frame('CONNECT', CONNECT), SUBSCRIBE]))
        if (data.includes('RECEIPT')) resolve()
      }),
    )
    await subscribed
    ws.pause()
    return { asks() {}, leaves: () => ws.terminate() }
  }

  const ways: [string, Opens][] = [
    ['websocket', socket],
    ['xhr', asksOn('POST */xhr')],
    ['xhr_streaming', asksOn('POST */xhr_streaming')],
    ['eventsource', asksOn('GET */eventsource')],
    ['htmlfile', asksOn('GET */htmlfile?c=x')],
    ['jsonp', asksOn('GET */jsonp?c=x')],
  ]

  test.each(ways)('is closed at the bound of octets, and nothing of it stays: %s', async (_, opens) => {
    const clock = new TestClock()
    const server = await testServer({ clock, limits: { bufferedBytes: BOUND } })
    const peer = await opens(server)
    await until(() => server.broker.counts().subscriptions === 1)
    let most = 0
    while (server.broker.online('alice')) {
      peer.asks()
      server.broker.publish('/topic/news', { body: BODY })
      most = Math.max(most, server.broker.counts().buffered)
      await turn()
    }
    // The bound, and one frame, and the ERROR
    expect(most).toBeLessThan(BOUND + 2 * BODY.length)
    expect(server.news.join('\n')).toMatch(/expelled slow-reader: .*octets are waiting/)
    await clock.advance(5_000)
    await until(() => server.broker.counts().connections === 0)
    expect(server.broker.counts().buffered).toBe(0)
    peer.leaves()
    await server.stop()
  })

  test('is closed when what waits does not move for 10 s', async () => {
    const clock = new TestClock()
    const server = await testServer({ clock, limits: { bufferedBytes: BOUND } })
    const peer = await socket(server)
    await until(() => server.broker.counts().subscriptions === 1)
    // Until the machine's own buffers are full
    while (server.broker.counts().buffered < BODY.length * 2) {
      server.broker.publish('/topic/news', { body: BODY })
      for (let i = 0; i < 20; i++) await turn()
    }
    await clock.advance(11_000)
    expect(server.news.join('\n')).toMatch(/expelled slow-reader: .* for more than 10000 ms/)
    await clock.advance(5_000)
    await until(() => server.broker.counts().connections === 0)
    peer.leaves()
    await server.stop()
  })
})

describe('what waits', () => {
  const HUGE = 'x'.repeat(16 * 1024 * 1024)

  /** Until the machine's own buffers have taken what they can. */
  async function moment(): Promise<void> {
    for (let i = 0; i < 50; i++) await turn()
  }

  test.each(['POST */xhr', 'POST */xhr_streaming', 'GET */eventsource', 'GET */htmlfile?c=x', 'GET */jsonp?c=x'])(
    'is counted between two requests, and in a response until the peer has taken it: %s',
    async (how) => {
      const server = await sockJsServer('echo')
      await post(`${server.url}/000/s/xhr`)
      const [connection] = server.connections
      connection?.send(HUGE)
      expect(connection?.buffered).toBe(HUGE.length)
      const raw = new RawHttp(server.port)
      await once(raw.socket, 'connect')
      raw.socket.pause()
      raw.ask(`${how.replace('*', `${new URL(server.url).pathname}/000/s`)} HTTP/1.1`)
      await moment()
      expect([connection?.buffered, server.drained]).toEqual([HUGE.length, 0])
      raw.discard()
      await until(() => connection?.buffered === 0)
      expect(server.drained).toBe(1)
      await raw.vanish()
      await server.stop()
    },
  )

  test('is counted on a WebSocket', async () => {
    const server = await sockJsServer('echo')
    const ws = new WebSocket(`${server.url.replace('http', 'ws')}/000/s/websocket`)
    await once(ws, 'message')
    ws.pause()
    const [connection] = server.connections
    connection?.send(HUGE)
    await moment()
    expect([connection?.buffered, server.drained]).toEqual([HUGE.length, 0])
    ws.resume()
    await until(() => connection?.buffered === 0)
    expect(server.drained).toBe(1)
    ws.terminate()
    await server.stop()
  })

  test('is gone with the session', async () => {
    const server = await sockJsServer('echo')
    const raw = new RawHttp(server.port)
    await once(raw.socket, 'connect')
    raw.socket.pause()
    raw.ask(`POST ${new URL(server.url).pathname}/000/s/xhr_streaming HTTP/1.1`)
    await until(() => server.connections.length === 1)
    const [connection] = server.connections
    connection?.send(HUGE)
    await moment()
    connection?.close(1008, 'reads too slowly')
    await moment()
    expect(server.ends).toEqual([])
    connection?.terminate()
    await server.ended(1)
    expect(server.ends).toEqual(['1008 reads too slowly'])
    await until(() => connection?.buffered === 0)
    expect(await text(post(`${server.url}/000/s/xhr`))).toBe('c[1008,"reads too slowly"]\n')
    await raw.vanish()
    await server.stop()
  })
})

describe('time', () => {
  const pages: PageTransport[] = ['xhr', 'xhr_streaming', 'eventsource', 'htmlfile', 'jsonp']

  test.each(['POST */xhr_streaming', 'GET */eventsource', 'GET */htmlfile?c=x'])(
    'an idle stream hears a heart-beat every 25 s: %s',
    async (how) => {
      const server = await sockJsServer('echo')
      const raw = new RawHttp(server.port)
      raw.ask(`${how.replace('*', `${new URL(server.url).pathname}/000/s`)} HTTP/1.1`)
      await raw.head()
      const prelude = await raw.chunk()
      expect([prelude.length > 0, await raw.chunk()]).toEqual([true, expect.stringContaining('o')])
      await server.clock.advance(76_000)
      for (let beats = 0; beats < 3; beats++) expect(await raw.chunk()).toMatch(/\bh\b/)
      await raw.vanish()
      await server.ended(1)
      await server.stop()
    },
  )

  test('an idle poll is answered by one, and the next may take 5 s', async () => {
    const server = await sockJsServer('echo')
    const url = `${server.url}/000/s`
    await post(`${url}/xhr`)
    for (let beats = 0; beats < 2; beats++) {
      const poll = await held(url)
      await server.clock.advance(25_000)
      expect(await poll()).toBe('h\n')
      await server.clock.advance(4_000)
    }
    await server.clock.advance(2_000)
    expect(server.ends).toEqual(['1006 not fetched from any more'])
    await server.stop()
  })

  test('an idle WebSocket hears one too', async () => {
    const server = await sockJsServer('echo')
    const ws = new WebSocket(`${server.url.replace('http', 'ws')}/000/a/websocket`)
    const heard: string[] = []
    ws.on('message', (data: Buffer) => heard.push(data.toString()))
    await until(() => heard.length === 1)
    await server.clock.advance(51_000)
    await until(() => heard.length === 3)
    expect(heard).toEqual(['o', 'h', 'h'])
    ws.terminate()
    await server.ended(1)
    await server.stop()
  })

  test('a thousand sessions that are never fetched from again leave nothing behind', async () => {
    const server = await sockJsServer('echo')
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    const opened = Array.from(
      { length: 1000 },
      (_, i) =>
        new Promise<void>((resolve, reject) => {
          request(`${server.url}/000/s${i}/xhr`, { method: 'POST', agent }, (response) =>
            response.resume().on('end', resolve),
          )
            .on('error', reject)
            .end()
        }),
    )
    await Promise.all(opened)
    expect(server.sockJs.counts()).toEqual({ http: 1000, ended: 0, sockets: 0 })
    // One timer for all of them
    expect(server.clock.waiting).toBe(1)
    for (const connection of server.connections.slice(0, 500)) connection.send('x'.repeat(1000))
    await server.clock.advance(6_000)
    expect(server.sockJs.counts()).toEqual({ http: 0, ended: 1000, sockets: 0 })
    expect(new Set(server.ends)).toEqual(new Set(['1006 not fetched from any more']))
    expect(server.connections.reduce((octets, { buffered }) => octets + buffered, 0)).toBe(0)
    await server.clock.advance(6_000)
    expect(server.sockJs.counts()).toEqual({ http: 0, ended: 0, sockets: 0 })
    expect(server.clock.waiting).toBe(0)
    agent.destroy()
    await server.stop()
  })

  test('not more than ten thousand ended sessions are remembered', async () => {
    const server = await sockJsServer('close')
    const { EndedSessions } = await import('../../broker/transports/sockjs/ended.ts')
    const { Sweep } = await import('../../broker/transports/sockjs/sweep.ts')
    const ended = new EndedSessions(server.clock, new Sweep(server.clock), 5000)
    for (let i = 0; i < 10_500; i++) ended.add(`s${i}`, `c[${i},""]`)
    expect(ended.size).toBe(10_000)
    expect([ended.frame('s499'), ended.frame('s500')]).toEqual([undefined, 'c[500,""]'])
    await server.clock.advance(6_000)
    expect([ended.size, server.clock.waiting]).toEqual([0, 0])
    await server.stop()
  })

  test.each(pages)(
    'STOMP beats over %s when nothing else is said, and misses a peer that promised to',
    async (transport) => {
      const clock = new TestClock()
      const server = await testServer({ clock, heartbeat: { sends: 1000, wants: 1000 } })
      const page = new SockJsPage(`http://127.0.0.1:${server.port}/imserver/ws`, transport)
      let beats = 0
      let ended = ''
      page.onmessage = ({ data }) => {
        if (data === '\n') beats++
      }
      page.onclose = ({ code, reason }) => {
        ended = `${code} ${reason}`
      }
      page.onopen = () => page.send(frame('CONNECT', { ...CONNECT, 'heart-beat': '2000,1000' }))
      await until(() => server.broker.online('alice'))
      await clock.advance(2000)
      await until(() => beats > 0)
      // It fetches, and says nothing
      await clock.advance(2500)
      expect(server.broker.online('alice')).toBe(false)
      await until(() => ended !== '')
      expect(ended).toMatch(/^1002 no sign of life for \d+ ms$/)
      await server.stop()
    },
  )

  test('a peer that promised nothing is asked to fetch again: who does so is there', async () => {
    const clock = new TestClock()
    const server = await testServer({ clock })
    const path = '/imserver/ws/000/s'
    const stream = async (): Promise<RawHttp> => {
      const raw = new RawHttp(server.port)
      raw.ask(`POST ${path}/xhr_streaming HTTP/1.1`)
      await raw.head()
      await raw.chunk()
      return raw
    }
    let raw = await stream()
    await post(`http://127.0.0.1:${server.port}${path}/xhr_send`, JSON.stringify([frame('CONNECT', CONNECT)]))
    await until(() => server.broker.online('alice'))
    for (let i = 0; i < 4; i++) {
      await clock.advance(31_000)
      while ((await raw.chunk()) !== '');
      await raw.vanish()
      expect(server.broker.online('alice')).toBe(true)
      raw = await stream()
    }
    await clock.advance(31_000)
    while ((await raw.chunk()) !== '');
    await clock.advance(7_000)
    expect(server.news.at(-1)).toBe('disconnected alice: 1006 not fetched from any more')
    await raw.vanish()
    await server.stop()
  })
})

describe('requests without end', () => {
  async function connected(server: TestServer): Promise<string> {
    const url = `http://127.0.0.1:${server.port}/imserver/ws/000/${randomUUID()}`
    await post(`${url}/xhr`)
    await post(`${url}/xhr_send`, JSON.stringify([frame('CONNECT', CONNECT)]))
    expect(await text(post(`${url}/xhr`))).toMatch(/^a\["CONNECTED/)
    return url
  }

  test('a hundred thousand messages in one request are read in order', async () => {
    const server = await testServer()
    const url = await connected(server)
    const digits = '0123456789'.repeat(4980)
    const send = frame('SEND', { destination: '/topic/open.x' }, digits)
    const letters = [...frame('SUBSCRIBE', { destination: '/topic/open.x', id: 'e' }), ...send, ...send]
    while (letters.length < 100_000) letters.push('\n')
    expect((await post(`${url}/xhr_send`, JSON.stringify(letters))).status).toBe(204)
    const heard = await text(post(`${url}/xhr`))
    expect(heard.split(`\\n\\n${digits}\\u0000`)).toHaveLength(3)
    await server.stop()
  })

  test('requests side by side are all heard', async () => {
    const heard = new Set<string>()
    const server = await testServer({
      handlers: { '/app/note': (_, { body }) => void heard.add(body.toString()) as undefined },
    })
    const url = await connected(server)
    const sends = Array.from({ length: 50 }, (_, i) =>
      post(`${url}/xhr_send`, JSON.stringify([frame('SEND', { destination: '/app/note' }, `${i}`)])),
    )
    for (const sent of sends) expect((await sent).status).toBe(204)
    expect(heard.size).toBe(50)
    await server.stop()
  })

  test('all bodies on their way to a session have the bound of one', async () => {
    const server = await sockJsServer('echo')
    const path = new URL(server.url).pathname
    await post(`${server.url}/000/s/xhr`)
    const begin = (): RawHttp => {
      const raw = new RawHttp(server.port)
      raw.socket.write(
        `POST ${path}/000/s/xhr_send HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n["${'x'.repeat(250_000)}`,
      )
      return raw
    }
    const both = [begin(), begin()]
    const first = await Promise.race(both.map(async (raw) => ({ raw, head: await raw.head() })))
    expect(first.head).toMatchObject({ status: 413, headers: { connection: 'close' } })
    const other = both.find((raw) => raw !== first.raw) as RawHttp
    other.socket.write(`${'x'.repeat(300_000 - 250_004)}"]`)
    expect((await other.head()).status).toBe(204)
    await other.vanish()
    await first.raw.vanish()
    await server.stop()
  })

  test('a body in pieces of one octet is as good as any', async () => {
    const server = await sockJsServer('echo')
    await post(`${server.url}/000/s/xhr`)
    const body = JSON.stringify(['y'.repeat(30_000)])
    const raw = new RawHttp(server.port)
    raw.socket.write(
      `POST ${new URL(server.url).pathname}/000/s/xhr_send HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    raw.socket.write(`${[...body].map((octet) => `1\r\n${octet}\r\n`).join('')}0\r\n\r\n`)
    expect((await raw.head()).status).toBe(204)
    expect(await text(post(`${server.url}/000/s/xhr`))).toBe(`a${body}\n`)
    await raw.vanish()
    await server.stop()
  })

  test.each([
    ['says that it has 64 MiB', { 'Content-Length': 64 * 1024 * 1024 }],
    ['does not say how much it has', { 'Transfer-Encoding': 'chunked' }],
  ])('a body that %s is cut off at the bound', async (_, headers) => {
    const server = await sockJsServer('echo')
    await post(`${server.url}/000/s/xhr`)
    const sending = request(`${server.url}/000/s/xhr_send`, { method: 'POST', headers })
    let status: number | undefined
    sending.on('response', (response) => {
      status = response.statusCode
    })
    const over = new Promise((resolve) => sending.on('close', resolve))
    sending.on('error', () => undefined)
    const piece = 'x'.repeat(65_536)
    let sent = 0
    while (!sending.destroyed && status === undefined && sent < 64 * 1024 * 1024) {
      if (!sending.write(piece)) await Promise.race([once(sending, 'drain').catch(() => undefined), over])
      sent += piece.length
      await turn()
    }
    expect(sent).toBeLessThan(16 * 1024 * 1024)
    // The connection may break before the answer was read
    expect([413, undefined]).toContain(status)
    sending.destroy()
    expect((await post(`${server.url}/000/s/xhr_send`, '["x"]')).status).toBe(204)
    await server.stop()
  })

  test('lists in lists in lists are no strings, and stall nobody', async () => {
    const server = await testServer()
    const url = await connected(server)
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    expect((await post(`${url}/xhr_send`, deep)).status).toBe(500)
    expect((await post(`${url}/xhr_send`, '["\\n"]')).status).toBe(204)
    expect(server.broker.online('alice')).toBe(true)
    await server.stop()
  })

  test('a WebSocket is not read while the broker has too much of its session', async () => {
    let open = (): void => undefined
    let counted = 0
    const server = await testServer({
      limits: { queuedBytes: 50_000 },
      handlers: {
        '/app/slow': () =>
          new Promise((resolve) => {
            open = () => resolve(undefined)
          }),
        '/app/count': () => void counted++ as undefined,
      },
    })
    const ws = new WebSocket(`${server.url}/000/a/websocket`)
    await once(ws, 'message')
    ws.send(JSON.stringify([frame('CONNECT', CONNECT), frame('SEND', { destination: '/app/slow' })]))
    await once(ws, 'message')
    const message = JSON.stringify([frame('SEND', { destination: '/app/count' }, 'z'.repeat(10_000))])
    // More than the machine's own buffers hold
    let written = 0
    ws.on('error', () => undefined)
    while (ws.bufferedAmount < 1_000_000) {
      ws.send(message)
      written++
      await turn()
    }
    expect(counted).toBe(0)
    open()
    await until(() => counted === written || !server.broker.online('alice'))
    expect([counted, server.news.filter((line) => line.startsWith('expelled'))]).toEqual([written, []])
    ws.terminate()
    await server.stop()
  })
})
