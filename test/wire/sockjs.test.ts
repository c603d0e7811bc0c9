/** STOMP over SockJS by raw HTTP (sockjs-protocol 0.3.3): every transport, and what hostile or absent peers do. */

import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { frame, readServerFrame } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
let base = ''
beforeAll(async () => {
  server = await testServer({
    allowOrigin: (origin) => origin !== 'http://evil.test',
    limits: { bufferedBytes: 200_000 },
  })
  base = `http://127.0.0.1:${server.port}/imserver/ws`
})
afterAll(() => server.stop())

let sessions = 0
const fresh = (): string => `${base}/000/session-${++sessions}`

const post = (url: string, body?: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: 'POST', headers, ...(body === undefined ? {} : { body }) })

const messages = (...frames: string[]): string => JSON.stringify(frames)

/** The frames in SockJS's `a[…]` frames, however they were wrapped. */
function unpack(text: string): string[] {
  return [...text.matchAll(/a(\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])/g)].flatMap(
    ([, list]) => JSON.parse(list ?? '[]') as string[],
  )
}

const connectFrame = frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' })

describe('beside the transports', () => {
  test.each(['', '/', '?userId=alice'])('GET %j welcomes', async (path) => {
    const answer = await fetch(base + path)
    expect([answer.status, await answer.text()]).toEqual([200, 'Welcome to SockJS!\n'])
  })

  test('/info says what there is', async () => {
    const answer = await fetch(`${base}/info?userId=alice`, { headers: { Origin: 'http://shop.test' } })
    expect(await answer.json()).toMatchObject({ websocket: true, cookie_needed: false })
    expect(answer.headers.get('access-control-allow-origin')).toBe('http://shop.test')
  })

  test('the iframe page loads the client from this server', async () => {
    expect(await (await fetch(`${base}/iframe.html`)).text()).toContain('/sockjs.js')
  })

  test.each(['/info', '/000/a/xhr', '/iframe.html', ''])(
    'an origin that may not connect gets 403 for %j',
    async (path) => {
      const answer = await fetch(base + path, {
        method: path.endsWith('xhr') ? 'POST' : 'GET',
        headers: { Origin: 'http://evil.test' },
      })
      expect(answer.status).toBe(403)
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    },
  )

  test.each(['/nothing', '/000/a/nothing', '/000/constructor/xhr_send', '/a.b/c/xhr', `/000/${'x'.repeat(129)}/xhr`])(
    '404 for %j',
    async (path) => {
      expect((await post(base + path, '["x"]')).status).toBe(404)
    },
  )

  test.each(['__proto__', 'constructor', 'toString', '%00', 'ü'])('a session may be called %j', async (id) => {
    const url = `${base}/000/${id}`
    expect(await (await post(`${url}/xhr`)).text()).toBe('o\n')
    await post(`${url}/xhr_send`, messages(connectFrame))
    expect(unpack(await (await post(`${url}/xhr`)).text())[0]).toMatch(/^CONNECTED\n/)
  })

  test('paths beside ours are not taken', async () => {
    expect(await (await fetch(`http://127.0.0.1:${server.port}/imserver/wsx`)).text()).toBe('not here\n')
  })
})

describe('a session by polling', () => {
  test('opens, connects, echoes, and is closed with a code', async () => {
    const url = fresh()
    expect(await (await post(`${url}/xhr?userId=alice`)).text()).toBe('o\n')
    expect((await post(`${url}/xhr_send`, messages(connectFrame))).status).toBe(204)
    const [connected = ''] = unpack(await (await post(`${url}/xhr`)).text())
    expect(readServerFrame(Buffer.from(connected), false)).toMatchObject({
      command: 'CONNECTED',
      headers: { 'user-name': 'alice' },
    })
    const poll = post(`${url}/xhr`)
    await post(
      `${url}/xhr_send`,
      messages(
        frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e' }),
        frame('SEND', { destination: '/app/echo' }, 'grüß\u2028'),
      ),
    )
    const [message = ''] = unpack(await (await poll).text())
    expect(readServerFrame(Buffer.from(message), false)).toMatchObject({ command: 'MESSAGE', body: 'grüß\u2028' })
    await post(`${url}/xhr_send`, messages('JUMP\n\n\0'))
    const last: string[] = []
    while (!last.at(-1)?.startsWith('c')) last.push(await (await post(`${url}/xhr`)).text())
    expect(unpack(last.join(''))[0]).toMatch(/^ERROR\nmessage:unknown command/)
    expect(last.at(-1)).toBe('c[1002,"unknown command"]\n')
  })

  test('a frame may be cut over several messages', async () => {
    const url = fresh()
    await post(`${url}/xhr`)
    await post(`${url}/xhr_send`, messages(...connectFrame))
    expect(unpack(await (await post(`${url}/xhr`)).text())[0]).toMatch(/^CONNECTED\n/)
  })

  test('a peer that does not fetch is closed when too much waits', async () => {
    const url = fresh()
    await post(`${url}/xhr`)
    await post(
      `${url}/xhr_send`,
      messages(connectFrame.replace('alice', 'absent'), frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' })),
    )
    await post(`${url}/xhr`)
    expect(server.broker.online('absent')).toBe(true)
    for (let i = 0; i < 5; i++) server.broker.publish('/topic/news', { body: 'x'.repeat(50_000) })
    expect(server.broker.online('absent')).toBe(false)
    expect(server.news.filter((line) => line.startsWith('expelled slow-reader'))).toHaveLength(1)
  })

  test('octets that are not text are replaced, and content-length counts what is sent', async () => {
    const url = fresh()
    await post(`${url}/xhr`)
    await post(`${url}/xhr_send`, messages(connectFrame, frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' })))
    await post(`${url}/xhr`)
    server.broker.publish('/topic/news', { body: Buffer.from([0x61, 0xff, 0x62]), contentType: 'image/x' })
    const [message = ''] = unpack(await (await post(`${url}/xhr`)).text())
    const { headers, body } = readServerFrame(Buffer.from(message), false) ?? {
      headers: {} as Record<string, string>,
      body: '',
    }
    expect(body).toBe('a\ufffdb')
    expect(headers['content-length']).toBe('5')
  })
})

describe('the other transports', () => {
  /** Sends over HTTP while a response streams, until the stream has what is wanted. */
  async function streamed(path: string, send: string, wanted: RegExp): Promise<string> {
    const url = fresh()
    const answer = await fetch(`${url}/${path}`, { method: path === 'xhr_streaming' ? 'POST' : 'GET' })
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    const utf8 = new TextDecoder()
    let text = ''
    let sent = false
    while (!wanted.test(text)) {
      const { value, done } = await reader.read()
      if (done) throw new Error(`ended with ${text}`)
      text += utf8.decode(value, { stream: true })
      if (!sent && text.length > 0) {
        sent = true
        const form = path.startsWith('jsonp') || path.startsWith('htmlfile')
        const body = messages(connectFrame)
        if (form)
          await post(`${url}/jsonp_send`, `d=${encodeURIComponent(body)}`, {
            'Content-Type': 'application/x-www-form-urlencoded',
          })
        else await post(`${url}/${send}`, body)
      }
    }
    await reader.cancel()
    return text
  }

  test.each([
    ['xhr_streaming', 'xhr_send'],
    ['eventsource', 'xhr_send'],
    ['htmlfile?c=callback', 'jsonp_send'],
  ])('%s carries CONNECTED', async (path, send) => {
    expect(await streamed(path, send, /CONNECTED\\+n/)).toContain('user-name:alice')
  })

  test('jsonp carries CONNECTED', async () => {
    const url = fresh()
    expect(await (await fetch(`${url}/jsonp?c=cb`)).text()).toBe('/**/cb("o");\r\n')
    const body = `d=${encodeURIComponent(messages(connectFrame))}`
    expect(
      await (await post(`${url}/jsonp_send`, body, { 'Content-Type': 'application/x-www-form-urlencoded' })).text(),
    ).toBe('ok')
    expect(await (await fetch(`${url}/jsonp?c=cb`)).text()).toMatch(/^\/\*\*\/cb\("a\[\\"CONNECTED/)
  })

  /** A WebSocket of SockJS: sends raw messages, and gives all that came until it closed. */
  async function webSocket(...data: (string | Buffer)[]): Promise<string[]> {
    const ws = new WebSocket(`${base.replace('http', 'ws')}/000/abc/websocket?userId=alice`)
    const received: string[] = []
    ws.on('message', (octets: Buffer) => {
      if (received.push(octets.toString()) === 1) for (const each of data) ws.send(each)
    })
    ws.on('error', () => undefined)
    await new Promise((resolve) => ws.on('close', resolve))
    return received
  }

  test('websocket carries a session', async () => {
    const received = await webSocket(messages(connectFrame, frame('DISCONNECT', { receipt: 'r' })))
    expect(received[0]).toBe('o')
    expect(unpack(received.join('')).map((each) => each.split('\n')[0])).toEqual(['CONNECTED', 'RECEIPT'])
    expect(received.at(-1)).toBe('c[1000,"DISCONNECT"]')
  })

  test('a session that ends in the midst of a request takes nothing with it', async () => {
    const received = await webSocket(messages('JUMP\n\n\0', connectFrame, connectFrame))
    expect(unpack(received.join(''))[0]).toMatch(/^ERROR/)
    expect(received.at(-1)).toMatch(/^c\[1002/)
  })

  test.each([
    ['numbers', '[1,2]', /^c\[1003/],
    ['objects', '[{"a":1},null]', /^c\[1003/],
    ['an object', '{"__proto__":null}', /^c\[1003/],
    ['no JSON', '[no', /^o$/],
    ['a binary message', Buffer.from('["x"]'), /^c\[1003/],
  ])('%s in the place of strings end the session', async (_, data, last) => {
    expect((await webSocket(data)).at(-1)).toMatch(last)
  })
})

describe('limits', () => {
  test('a body that says it is too large is refused at once', async () => {
    expect((await post(`${fresh()}/xhr_send`, 'x'.repeat(500_000))).status).toBe(413)
  })

  test('a body that does not say so, too', async () => {
    const url = fresh()
    await post(`${url}/xhr`)
    const status = await new Promise((resolve) => {
      const sending = request(
        `${url}/xhr_send`,
        { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' } },
        ({ statusCode }) => resolve(statusCode),
      )
      sending.on('error', () => resolve('cut'))
      for (let i = 0; i < 10; i++) sending.write('x'.repeat(50_000))
      sending.end()
    })
    expect([413, 'cut']).toContain(status)
  })

  test('messages for a session that is not there are refused', async () => {
    expect((await post(`${fresh()}/xhr_send`, '["x"]')).status).toBe(404)
  })

  test('beyond the bound of connections no session begins, and those that are there go on', async () => {
    const small = await testServer({ limits: { connections: 1 } })
    const url = (i: number): string => `http://127.0.0.1:${small.port}/imserver/ws/000/small-${process.pid}-${i}`
    await post(`${url(1)}/xhr`)
    const refused = await post(`${url(2)}/xhr`)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect((await post(`${url(1)}/xhr_send`, '[]')).status).toBe(204)
    expect((await fetch(`http://127.0.0.1:${small.port}/imserver/ws/info`)).status).toBe(503)
    await small.stop()
  })

  test('while the broker reads nothing more of a session, what it sends waits for its answer', async () => {
    const opens: (() => void)[] = []
    let done = 0
    const other = await testServer({
      limits: { queuedBytes: 10_000 },
      handlers: {
        '/app/slow': () =>
          new Promise((resolve) => {
            opens.push(() => resolve(undefined))
          }),
        '/app/count': () => {
          done++
          return undefined
        },
      },
    })
    const url = `http://127.0.0.1:${other.port}/imserver/ws/000/held-${process.pid}`
    await post(`${url}/xhr`)
    await post(`${url}/xhr_send`, messages(connectFrame))
    await post(`${url}/xhr`)
    const count = frame('SEND', { destination: '/app/count' }, 'x'.repeat(1000))
    const sends = [frame('SEND', { destination: '/app/slow' }), ...Array.from({ length: 20 }, () => count)]
    expect((await post(`${url}/xhr_send`, messages(...sends))).status).toBe(204)
    const statuses: number[] = []
    const held = Array.from({ length: 33 }, () =>
      post(`${url}/xhr_send`, messages(count)).then(({ status }) => statuses.push(status)),
    )
    // They are answered when the broker goes on; one of them is too many, and is told so at once
    await Promise.race(held)
    expect(statuses).toEqual([503])
    expect(done).toBe(0)
    for (const open of opens) open()
    await Promise.all(held)
    expect(statuses).toEqual([503, ...Array.from({ length: 32 }, () => 204)])
    expect(done).toBe(52)
    await other.stop()
  })
})
