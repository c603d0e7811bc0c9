/**
 * SockJS to the letter: what sockjs-protocol 0.3.3 asks of a server, by its sections. An echo and a server that closes
 * at once stand behind it; STOMP does not come into it.
 */

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { RawHttp } from '../support/raw-http.ts'
import { type SockJsServer, sockJsServer } from '../support/sockjs-server.ts'

let echo: SockJsServer
let closing: SockJsServer
beforeAll(async () => {
  echo = await sockJsServer('echo', { responseBytes: 4096 })
  closing = await sockJsServer('close')
})
afterAll(() => Promise.all([echo.stop(), closing.stop()]))

const session = (server: SockJsServer = echo): string => `${server.url}/000/${randomUUID()}`

const ask = async (method: string, url: string, body?: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) })
  return { status: response.status, headers: response.headers, body: await response.text() }
}
const get = (url: string, headers?: Record<string, string>) => ask('GET', url, undefined, headers)
const post = (url: string, body = '', headers?: Record<string, string>) => ask('POST', url, body, headers)
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }

const NOT_KEPT = 'no-store, no-cache, no-transform, must-revalidate, max-age=0'

/** A request to fetch whose response is read chunk by chunk. */
async function stream(server: SockJsServer, request: string): Promise<RawHttp> {
  const raw = new RawHttp(server.port)
  raw.ask(`${request} HTTP/1.1`)
  expect(await raw.head()).toMatchObject({ status: 200, headers: { 'transfer-encoding': 'chunked' } })
  return raw
}
const pathOf = (url: string): string => new URL(url).pathname

describe('beside the sessions', () => {
  test.each(['', '/', '?a=b'])('the greeting is at %j', async (rest) => {
    const { status, headers, body } = await get(echo.url + rest)
    expect([status, body, headers.get('content-type')]).toEqual([
      200,
      'Welcome to SockJS!\n',
      'text/plain; charset=UTF-8',
    ])
    expect(headers.get('set-cookie')).toBeNull()
  })

  test.each([
    '/a',
    '/a.html',
    '//',
    '///',
    '/a/a',
    '/a/a/',
    '/iframe.htm',
    '/iframe',
    '/IFRAME.HTML',
    '/iframe-/.html',
  ])('nothing is at %j', async (rest) => {
    const raw = new RawHttp(echo.port)
    raw.ask(`GET ${pathOf(echo.url)}${rest} HTTP/1.1`)
    expect((await raw.head()).status).toBe(404)
    await raw.vanish()
  })

  test.each([
    '/iframe.html',
    '/iframe-a.html',
    '/iframe-.html',
    '/iframe-0.1.2abc-dirty.2144.html',
    '/iframe.html?t=1',
  ])('the page for iframes is at %j and is kept for a year', async (rest) => {
    const { status, headers, body } = await get(echo.url + rest)
    expect(status).toBe(200)
    expect(body).toMatch(/<script src="\/sockjs.js"><\/script>\s+<script>\s.*\s+SockJS\.bootstrap_iframe\(\);/)
    expect(headers.get('cache-control')).toBe('public, max-age=31536000')
    expect(Date.parse(headers.get('expires') ?? '')).toBeGreaterThan(Date.now())
    const again = await get(echo.url + rest, { 'If-None-Match': headers.get('etag') ?? '' })
    expect([again.status, again.body, again.headers.get('content-type')]).toEqual([304, '', null])
  })

  test('/info says what the server can do, with fresh entropy, and is never kept', async () => {
    const [first, second] = [await get(`${echo.url}/info`), await get(`${echo.url}/info`)]
    const facts = JSON.parse(first.body)
    expect(facts).toEqual({ websocket: true, cookie_needed: false, origins: ['*:*'], entropy: expect.any(Number) })
    expect(facts.entropy).not.toBe(JSON.parse(second.body).entropy)
    expect(first.headers.get('cache-control')).toBe(NOT_KEPT)
    expect(first.headers.get('content-type')).toBe('application/json; charset=UTF-8')
  })

  test.each([
    ['/info', 'OPTIONS, GET'],
    ['/abc/abc/xhr', 'OPTIONS, POST'],
    ['/abc/abc/xhr_send', 'OPTIONS, POST'],
    ['/abc/abc/xhr_streaming', 'OPTIONS, POST'],
  ])('a preflight of %s allows %s for a year', async (rest, methods) => {
    for (const origin of ['http://shop.test', 'null']) {
      const { status, headers, body } = await ask('OPTIONS', echo.url + rest, undefined, {
        Origin: origin,
        'Access-Control-Request-Headers': 'a, b',
      })
      expect([status, body]).toEqual([204, ''])
      expect(Object.fromEntries(headers)).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-allow-headers': 'a, b',
        'access-control-allow-methods': methods,
        'access-control-max-age': '31536000',
        'cache-control': 'public, max-age=31536000',
        vary: 'Origin',
      })
      expect(headers.get('expires')).not.toBeNull()
    }
  })

  test.each([
    ['GET', '/0/0/xhr', 'OPTIONS, POST'],
    ['GET', '/0/0/xhr_send', 'OPTIONS, POST'],
    ['POST', '/0/0/eventsource', 'GET'],
    ['POST', '/0/0/websocket', 'GET'],
    ['POST', '/websocket', 'GET'],
    ['DELETE', '/info', 'OPTIONS, GET'],
    ['POST', '', 'GET'],
  ])('%s %s is answered 405 and says what is allowed', async (method, rest, allowed) => {
    const { status, headers, body } = await ask(method, echo.url + rest)
    expect([status, headers.get('allow'), headers.get('content-type'), body]).toEqual([405, allowed, null, ''])
  })
})

describe('sessions', () => {
  test.each(['/a/a', '/_/_', '/1/1', '/abcdefgh_i-j%20/abcdefg_i-j%20', '/__proto__/__proto__'])(
    'any name will do: %s',
    async (names) => {
      expect((await post(`${echo.url}${names}/xhr`)).body).toBe('o\n')
    },
  )

  test.each(['//', '/a./a', '/a/a.', '/', '///'])('but not an empty one, nor dots: %j', async (names) => {
    for (const method of ['GET', 'POST']) {
      const raw = new RawHttp(echo.port)
      raw.ask(`${method} ${pathOf(echo.url)}${names}/xhr HTTP/1.1`)
      expect((await raw.head()).status).toBe(404)
      await raw.vanish()
    }
  })

  test('the name of the server is for load balancers, and counts for nothing', async () => {
    const id = randomUUID()
    await post(`${echo.url}/000/${id}/xhr`)
    await post(`${echo.url}/111/${id}/xhr_send`, '["a"]')
    expect((await post(`${echo.url}/999/${id}/xhr`)).body).toBe('a["a"]\n')
  })

  test('two requests may not fetch at once', async () => {
    const url = session()
    const first = await stream(echo, `POST ${pathOf(url)}/xhr_streaming`)
    expect([await first.chunk(), await first.chunk()]).toEqual([`${'h'.repeat(2048)}\n`, 'o\n'])
    const second = await stream(echo, `POST ${pathOf(url)}/xhr_streaming`)
    await second.chunk()
    expect([await second.chunk(), await second.chunk()]).toEqual(['c[2010,"Another connection still open"]\n', ''])
    await post(`${url}/xhr_send`, '["still there"]')
    expect(await first.chunk()).toBe('a["still there"]\n')
    await first.vanish()
  })

  test('a session whose request was cut off is over', async () => {
    const server = await sockJsServer('echo')
    const url = session(server)
    const first = await stream(server, `POST ${pathOf(url)}/xhr_streaming`)
    await first.chunk()
    await first.vanish()
    await server.ended(1)
    expect(server.ends).toEqual(['1002 Connection interrupted'])
    expect((await post(`${url}/xhr`)).body).toBe('c[1002,"Connection interrupted"]\n')
    await server.stop()
  })

  test('who asks after the end is told again and again, until it is forgotten', async () => {
    const url = session(closing)
    expect((await post(`${url}/xhr`)).body).toBe('o\n')
    for (let i = 0; i < 3; i++) expect((await post(`${url}/xhr`)).body).toBe('c[3000,"Go away!"]\n')
    expect((await post(`${url}/xhr_send`, '["too late"]')).status).toBe(204)
    await closing.clock.advance(7_000)
    expect((await post(`${url}/xhr_send`, '["too late"]')).status).toBe(404)
    expect((await post(`${url}/xhr`)).body).toBe('o\n')
  })

  test('the end of a session ends its response', async () => {
    const raw = await stream(closing, `POST ${pathOf(session(closing))}/xhr_streaming`)
    await raw.chunk()
    expect([await raw.chunk(), await raw.chunk(), await raw.chunk()]).toEqual(['o\n', 'c[3000,"Go away!"]\n', ''])
    await raw.vanish()
  })
})

describe('sending', () => {
  test.each([
    ['xhr', 'xhr_send', {}],
    ['jsonp?c=x', 'jsonp_send', {}],
    ['jsonp?c=x', 'jsonp_send', FORM],
  ])('what %s sends by %s %j must be a list of strings in JSON', async (fetching, sending, headers: object) => {
    const form = 'Content-Type' in headers
    const sends = (json: string) =>
      post(
        `${url}/${sending}`,
        form ? `d=${encodeURIComponent(json)}` : json,
        form ? FORM : { 'Content-Type': 'text/plain' },
      )
    const url = session()
    await ask(fetching === 'xhr' ? 'POST' : 'GET', `${url}/${fetching}`)
    expect(await sends('["x')).toMatchObject({ status: 500, body: 'Broken JSON encoding.\n' })
    for (const wrong of ['', '{}', '"a"', 'null', '7', '[1]', '["a",null]', '[["a"]]', '{"length":1,"0":"a"}'])
      expect(await sends(wrong)).toMatchObject({ status: 500, body: 'Payload expected.\n' })
    for (const right of ['[]', '["a%41b"]', '["c","d"]']) expect([200, 204]).toContain((await sends(right)).status)
    expect((await ask(fetching === 'xhr' ? 'POST' : 'GET', `${url}/${fetching}`)).body).toMatch(
      /a\[\\?"a%41b\\?",\\?"cd\\?"\]/,
    )
  })

  test.each(['text/plain', 'T', 'application/json', 'application/xml', '', 'text/xml; charset=utf-8'])(
    'XMLHttpRequests may call it %j',
    async (type) => {
      const url = session()
      await post(`${url}/xhr`)
      const { status, headers } = await post(`${url}/xhr_send`, '["a"]', { 'Content-Type': type })
      expect([status, headers.get('content-type')]).toEqual([204, 'text/plain; charset=UTF-8'])
      expect(headers.get('cache-control')).toBe(NOT_KEPT)
    },
  )

  test('nobody is there: 404', async () => {
    expect((await post(`${session()}/xhr_send`, '["x"]')).status).toBe(404)
    expect((await post(`${session()}/jsonp_send`, '["x"]')).status).toBe(404)
  })
})

describe('fetching', () => {
  test.each([
    [
      'xhr_streaming',
      'POST',
      'application/javascript; charset=UTF-8',
      `${'h'.repeat(2048)}\n`,
      (f: string) => `${f}\n`,
    ],
    ['eventsource', 'GET', 'text/event-stream', '\r\n', (f: string) => `data: ${f}\r\n\r\n`],
    [
      'htmlfile?c=%63all',
      'GET',
      'text/html; charset=UTF-8',
      /^<!doctype html>\s[\s\S]*var c = parent\.call;[\s\S]*<\/script> *\r\n\r\n$/,
      (f: string) => `<script>\np(${JSON.stringify(f)});\n</script>\r\n`,
    ],
  ])('%s streams until it has carried enough', async (path, method, type, prelude, wrapped) => {
    const url = session()
    const raw = new RawHttp(echo.port)
    raw.ask(`${method} ${pathOf(url)}/${path} HTTP/1.1`)
    expect((await raw.head()).headers).toMatchObject({ 'content-type': type, 'cache-control': NOT_KEPT })
    const first = await raw.chunk()
    if (typeof prelude === 'string') expect(first).toBe(prelude)
    else {
      expect(first).toMatch(prelude)
      expect(first.length).toBeGreaterThan(1024)
    }
    expect(await raw.chunk()).toBe(wrapped('o'))
    const message = JSON.stringify([`  \0\n\r${'x'.repeat(2100)}`])
    for (let i = 0; i < 2; i++) {
      await post(`${url}/xhr_send`, message)
      expect(await raw.chunk()).toBe(wrapped(`a${message}`))
    }
    expect(await raw.chunk()).toBe('')
    await raw.vanish()
  })

  test('jsonp carries one frame', async () => {
    const url = session()
    const { body, headers } = await get(`${url}/jsonp?callback=%63all`)
    expect(body).toBe('/**/call("o");\r\n')
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'application/javascript; charset=UTF-8',
      'cache-control': NOT_KEPT,
      'x-content-type-options': 'nosniff',
    })
    expect((await post(`${url}/jsonp_send`, 'd=%5B%22x%22%5D', FORM)).body).toBe('ok')
    expect((await get(`${url}/jsonp?c=call`)).body).toBe('/**/call("a[\\"x\\"]");\r\n')
  })

  test.each(['jsonp', 'htmlfile'])('%s takes the name of a function and nothing else', async (transport) => {
    expect(await get(`${session()}/${transport}`)).toMatchObject({
      status: 500,
      body: '"callback" parameter required\n',
    })
    for (const name of ['%20', '*', 'abc(', 'abc%28', '', 'x'.repeat(65), '%3Cscript%3E'])
      expect(await get(`${session()}/${transport}?c=${name}`)).toMatchObject({
        status: 500,
        body: 'invalid "callback" parameter\n',
      })
  })

  test('a message cannot end the script that htmlfile carries it in', async () => {
    const url = session()
    const raw = await stream(echo, `GET ${pathOf(url)}/htmlfile?c=page`)
    await raw.chunk()
    await raw.chunk()
    await post(`${url}/xhr_send`, '["</script><script>alert(1)</script>"]')
    const script = await raw.chunk()
    expect(script.match(/</g)).toHaveLength(2)
    expect(JSON.parse(/p\((.*)\);/.exec(script)?.[1] ?? '')).toBe('a["</script><script>alert(1)</script>"]')
    await raw.vanish()
  })

  test('eventsource carries text that looks like an escape', async () => {
    const url = session()
    const raw = await stream(echo, `GET ${pathOf(url)}/eventsource`)
    await raw.chunk()
    await raw.chunk()
    await post(`${url}/xhr_send`, '["100%41 %"]')
    expect(decodeURI(await raw.chunk())).toBe('data: a["100%41 %"]\r\n\r\n')
    await raw.vanish()
  })

  test('characters that browsers change are escaped, and understood when they are', async () => {
    const url = session()
    await post(`${url}/xhr`)
    const ranges = [
      [0x00, 0x1f],
      [0x200c, 0x200f],
      [0x2028, 0x202f],
      [0x2060, 0x206f],
      [0xfff0, 0xffff],
    ] as const
    const codes = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
    const fragile = String.fromCharCode(...codes)
    const escaped = codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('')
    await post(`${url}/xhr_send`, `["${escaped}"]`)
    const { body } = await post(`${url}/xhr`)
    expect(JSON.parse(body.slice(1))).toEqual([fragile])
    expect(body).toMatch(/^[\x20-\x7e]+\n$/)
  })

  test.each([
    ['1.0', { Connection: 'keep-alive' }],
    ['1.1', {}],
  ])('HTTP/%s: a greeting has a length and the connection stays, a stream has none', async (version, headers) => {
    const raw = new RawHttp(closing.port)
    for (let i = 0; i < 2; i++) {
      raw.ask(`GET ${pathOf(closing.url)} HTTP/${version}`, headers)
      const head = await raw.head()
      expect(head.headers).toMatchObject({ 'content-length': '19' })
      expect(head.headers['transfer-encoding']).toBeUndefined()
      expect((await raw.octets(19)).toString()).toBe('Welcome to SockJS!\n')
    }
    raw.ask(`POST ${pathOf(session(closing))}/xhr_streaming HTTP/${version}`, headers)
    const { headers: given } = await raw.head()
    expect(given['content-length']).toBeUndefined()
    expect(given['transfer-encoding']).toBe(version === '1.0' ? undefined : 'chunked')
    if (version === '1.0') expect(await raw.end()).toBe(`${'h'.repeat(2048)}\no\nc[3000,"Go away!"]\n`)
    await raw.vanish()
  })
})

describe('WebSocket', () => {
  async function open(server: SockJsServer, id: string = randomUUID()) {
    const received: string[] = []
    const ws = new WebSocket(`${server.url.replace('http', 'ws')}/000/${id}/websocket`)
    let wake = (): void => undefined
    ws.on('message', (data: Buffer) => {
      received.push(data.toString())
      wake()
    })
    const closed = new Promise<string>((resolve) =>
      ws.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`)),
    )
    const hears = async (count: number): Promise<string[]> => {
      while (received.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      return received
    }
    await hears(1)
    return { ws, closed, hears }
  }

  test('carries frames; empty messages and lists are nothing; a single string will do', async () => {
    const { ws, hears } = await open(echo)
    for (const text of ['', '[]', '["a"]']) ws.send(text)
    expect(await hears(2)).toEqual(['o', 'a["a"]'])
    ws.send('"b"')
    expect((await hears(3)).at(-1)).toBe('a["b"]')
    ws.terminate()
  })

  test('two may have the same session name', async () => {
    const [first, second] = [await open(echo, 'same'), await open(echo, 'same')]
    first.ws.send('["1"]')
    second.ws.send('["2"]')
    expect([await first.hears(2), await second.hears(2)]).toEqual([
      ['o', 'a["1"]'],
      ['o', 'a["2"]'],
    ])
    first.ws.terminate()
    second.ws.terminate()
  })

  test('the end is told in a frame, then the WebSocket closes', async () => {
    const { hears, closed } = await open(closing)
    expect(await hears(2)).toEqual(['o', 'c[3000,"Go away!"]'])
    expect(await closed).toBe('3000 Go away!')
  })

  test('broken JSON ends it without a frame', async () => {
    const { ws, hears, closed } = await open(echo)
    ws.send('["a')
    expect(await closed).toBe('1007 Broken JSON encoding.')
    expect(await hears(1)).toEqual(['o'])
  })

  test.each([
    ['text that is not UTF-8', (ws: WebSocket) => ws.send(Buffer.of(0x22, 0xff, 0x22), { binary: false }), '1007 '],
    ['a message that is too long', (ws: WebSocket) => ws.send(`["${'x'.repeat(400_000)}"]`), '1009 '],
    [
      'a message in very many fragments',
      (ws: WebSocket) => {
        for (let i = 0; i < 20_000; i++) ws.send('', { fin: false })
      },
      '1008 ',
    ],
  ])('%s ends it', async (_, sends, end) => {
    const { ws, closed } = await open(echo)
    ws.on('error', () => undefined)
    sends(ws)
    expect(await closed).toBe(end)
  })

  test.each([
    [{}, 'Can "Upgrade" only to "WebSocket".\n'],
    [{ Upgrade: 'WebSocket', Connection: 'close' }, '"Connection" must be "Upgrade".\n'],
  ])('a plain request with %j is answered 400', async (headers, why) => {
    for (const path of ['/0/0/websocket', '/websocket']) {
      const raw = new RawHttp(echo.port)
      raw.ask(`GET ${pathOf(echo.url)}${path} HTTP/1.1`, headers as Record<string, string>)
      const head = await raw.head()
      expect(head.status).toBe(400)
      expect((await raw.octets(Number(head.headers['content-length']))).toString()).toBe(why)
      await raw.vanish()
    }
  })

  test('no compression is offered, and a strange Connection header is understood', async () => {
    const raw = new RawHttp(echo.port)
    raw.ask(`GET ${pathOf(session())}/websocket HTTP/1.1`, {
      Connection: 'keep-alive, Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'x3JJHMbDL1EzLkh9GBhXDw==',
      'Sec-WebSocket-Extensions': 'permessage-deflate',
    })
    const { status, headers } = await raw.head()
    expect([status, headers['sec-websocket-accept']]).toEqual([101, 'HSmrc0sMlYUkAGmm5OPpG2HaGWk='])
    expect(headers['sec-websocket-extensions']).toBeUndefined()
    await raw.vanish()
  })
})

describe('the WebSockets of 2010 (draft-hixie-thewebsocketprotocol-76)', () => {
  const KEYS = { 'Sec-WebSocket-Key1': '4 @1  46546xW%0l 1 5', 'Sec-WebSocket-Key2': '12998 5 Y3 1  .P00' }

  async function shakeHands(keys: Record<string, string> = KEYS): Promise<RawHttp> {
    const raw = new RawHttp(echo.port)
    raw.ask(`GET ${pathOf(echo.url)}/000/old/websocket HTTP/1.1`, {
      Host: 'h.test',
      Connection: 'Upgrade',
      Upgrade: 'WebSocket',
      Origin: 'http://o.test',
      ...keys,
    })
    return raw
  }

  test('shake hands before the last octets of the request have come, then carry frames', async () => {
    const raw = await shakeHands()
    expect(await raw.head()).toEqual({
      status: 101,
      headers: {
        connection: 'Upgrade',
        upgrade: 'WebSocket',
        'sec-websocket-origin': 'http://o.test',
        'sec-websocket-location': 'ws://h.test/a/000/old/websocket',
      },
    })
    raw.socket.write('aaaaaaaa')
    expect((await raw.octets(16)).toString('hex')).toBe('ca3400d8a50847972cd5715ababf437b')
    expect((await raw.octets(3)).toString('latin1')).toBe('\0o\xff')
    // A frame in pieces
    raw.socket.write(Buffer.from('\0["a', 'latin1'))
    raw.socket.write(Buffer.from('b"]\xff', 'latin1'))
    expect((await raw.octets(9)).toString('latin1')).toBe('\0a["ab"]\xff')
    raw.socket.write(Buffer.of(0xff, 0x00))
    expect((await raw.octets(2)).toString('hex')).toBe('ff00')
    expect(await raw.end()).toBe('')
  })

  test.each([
    ['a frame of another kind', Buffer.from('\x80\x03abc', 'latin1')],
    ['a frame that is too long', Buffer.concat([Buffer.of(0), Buffer.alloc(400_001, 'x')])],
    ['a frame that is not UTF-8', Buffer.of(0, 0xc3, 0x28, 0xff)],
    ['broken JSON', Buffer.from('\0["a\xff', 'latin1')],
  ])('%s ends it', async (_, octets) => {
    const raw = await shakeHands()
    await raw.head()
    raw.socket.write('aaaaaaaa')
    await raw.octets(19)
    raw.socket.write(octets)
    expect((await raw.octets(2)).toString('hex')).toBe('ff00')
    await raw.end()
  })

  test('keys that are none are refused, and a handshake that does not end is cut off', async () => {
    const wrong = await shakeHands({ ...KEYS, 'Sec-WebSocket-Key2': 'nospaces1' })
    expect((await wrong.head()).status).toBe(400)
    await wrong.end()
    const raw = await shakeHands()
    await raw.head()
    raw.socket.write('aaa')
    await echo.clock.advance(10_000)
    expect(await raw.end()).toBe('')
  })
})

describe('what an operator may choose', () => {
  test('no WebSocket', async () => {
    const server = await sockJsServer('echo', { webSocket: false })
    expect(JSON.parse((await get(`${server.url}/info`)).body)).toMatchObject({ websocket: false })
    expect((await get(`${server.url}/0/0/websocket`)).status).toBe(404)
    await server.stop()
  })

  test('a cookie by which load balancers keep a client on one server', async () => {
    const server = await sockJsServer('echo', { cookie: true })
    const info = await get(`${server.url}/info`)
    expect([JSON.parse(info.body).cookie_needed, info.headers.get('set-cookie')]).toEqual([true, null])
    for (const [given, set] of [
      ['', 'dummy'],
      ['a=b; JSESSIONID=abc-1; c=d', 'abc-1'],
      ['JSESSIONID=a"b', 'dummy'],
    ])
      expect((await post(`${session(server)}/xhr`, '', { Cookie: given ?? '' })).headers.get('set-cookie')).toBe(
        `JSESSIONID=${set}; path=/`,
      )
    await server.stop()
  })
})
