/**
 * Peers that break HTTP/1.1 (RFC 9112), or use it to wear the server out: octets over plain sockets, against the whole
 * server. Each gets an answer that says why, and two people who call each other meanwhile notice nothing.
 */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { Siege } from '../support/siege.ts'
import { tokenFor } from '../support/story.ts'

let siege: Siege
beforeAll(async () => {
  // Real time: Node itself looks after requests whose head does not come
  siege = await Siege.begins({ LIMIT_CONNECT_TIMEOUT_MS: '100' })
})
afterEach(() => siege.calm())
afterAll(() => siege.ends())

function opened(): Socket {
  const socket = connect(Number(new URL(siege.url).port), '127.0.0.1')
  socket.on('error', () => undefined)
  return socket
}

/** Everything that comes back until the server closes. */
async function answer(octets: string | Buffer): Promise<string> {
  const socket = opened()
  socket.write(octets)
  let text = ''
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1')
  })
  await once(socket, 'close')
  return text
}

const post = (lines: readonly string[], body = ''): string =>
  `POST /imserver/call/hangup HTTP/1.1\r\n${['Host: 127.0.0.1', ...lines].join('\r\n')}\r\n\r\n${body}`

const UPGRADE = [
  'GET /imserver/ws HTTP/1.1',
  'Host: 127.0.0.1',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
]

describe('a head that may mean two things is refused with 400 (RFC 9112 section 6.3)', () => {
  test.each<[string, string[], string]>([
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3'], '{}x'],
    ['two lengths in one', ['Content-Length: 2, 3'], '{}x'],
    ['a length and chunks', ['Content-Length: 2', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['a negative length', ['Content-Length: -1'], ''],
    ['a length in hex', ['Content-Length: 0x2'], '{}'],
    ['a length with a sign', ['Content-Length: +2'], '{}'],
    ['a length beyond 2^64', ['Content-Length: 99999999999999999999'], '{}'],
    ['an encoding that nobody knows', ['Transfer-Encoding: xchunked'], '0\r\n\r\n'],
    ['chunks that are not the last encoding', ['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'],
    ['a blank before the colon', ['Transfer-Encoding : chunked'], '0\r\n\r\n'],
    ['a folded line', ['Transfer-Encoding:', ' chunked'], '0\r\n\r\n'],
    ['a NUL in a header', ['X: a\0b'], ''],
    ['a chunk whose length is no number', ['Transfer-Encoding: chunked'], 'xyz\r\n{}\r\n0\r\n\r\n'],
    ['a chunk whose length is negative', ['Transfer-Encoding: chunked'], '-1\r\n{}\r\n0\r\n\r\n'],
  ])('%s', async (_, lines, body) => {
    const ide = `ide: ${await tokenFor('mallory')}`
    expect(await answer(post([ide, 'Connection: close', ...lines], body))).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('no Host', async () => {
    expect(await answer('POST /imserver/call/hangup HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('a length as large as a file is refused before anything of it has come', async () => {
    const ide = `ide: ${await tokenFor('mallory')}`
    const text = await answer(post([ide, 'Connection: close', 'Content-Length: 99999999999'], '{'))
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })

  test('a body that is fine leaves the connection open for the next one', async () => {
    const ide = `ide: ${await tokenFor('mallory')}`
    const good = post([ide, 'Content-Length: 2'], '{}')
    const text = await answer(`${good}${good}${post([ide, 'Connection: close', 'Content-Length: 2'], '{}')}`)
    expect(text.match(/HTTP\/1\.1 200 /g)).toHaveLength(3)
  })

  test('chunks without an end are refused when they are too much', async () => {
    const ide = `ide: ${await tokenFor('mallory')}`
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`
    const text = await answer(post([ide, 'Connection: close', 'Transfer-Encoding: chunked'], chunk.repeat(4)))
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })
})

describe('a head that is too much', () => {
  test.each<[string, string]>([
    ['a long header', `${UPGRADE.join('\r\n')}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['many headers', `${UPGRADE.join('\r\n')}\r\n${'X-Header: value\r\n'.repeat(4000)}\r\n`],
    ['a long address', `GET /imserver/ws?userId=${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['no end', `GET /${'x'.repeat(100_000)}`],
  ])('%s: 431', async (_, octets) => {
    expect(await answer(octets)).toMatch(/^HTTP\/1\.1 431 /)
  })
})

describe('addresses that lead nowhere', () => {
  test.each([
    '/imserver/ws/../../etc/passwd',
    '/imserver/ws/%2e%2e/x',
    '//imserver/ws',
    '/imserver/ws%00',
    '/imserver/ws/000/__proto__/websocket/x',
    '/imserver/ws;x',
    'http://elsewhere/imserver/wsx',
    '*',
  ])('an upgrade of %s is 404', async (path) => {
    const lines = [...UPGRADE.slice(1), 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    expect(await answer(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 404 /)
  })

  test.each(['h2c', 'tls/1.0', 'websocket2', 'WebSocket, h2c'])('an upgrade to %s is refused', async (protocol) => {
    const lines = [...UPGRADE, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Connection: close']
    const text = await answer(`${lines.join('\r\n').replace('Upgrade: websocket', `Upgrade: ${protocol}`)}\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 4\d\d /)
  })

  test.each([
    'SELECT * FROM calls\r\n\r\n',
    '\x16\x03\x01\x02\0\x01\0',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\0'.repeat(100),
  ])('%j is not HTTP: 400', async (octets) => {
    expect(await answer(octets)).toMatch(/^HTTP\/1\.1 400 |^$/)
  })
})

describe('many who never finish', () => {
  test('500 upgrades that stop in the middle of their head are let go in time, and hold up nobody', async () => {
    const sockets = Array.from({ length: 500 }, opened)
    const ends = sockets.map((socket) => once(socket, 'close'))
    for (const socket of sockets) {
      socket.resume()
      socket.write(`${UPGRADE.join('\r\n')}\r\nX-Slow: `)
    }
    await siege.callGoesThrough()
    await Promise.all(ends)
    expect(await siege.number('connections')).toBe(2)
  }, 30_000)

  test('500 connections that open and leave are nothing', async () => {
    const sockets = Array.from({ length: 500 }, opened)
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    await siege.callGoesThrough()
    for (const socket of sockets) socket.destroy()
  })

  test('500 upgrades that are not followed by a word are told so when the time is over', async () => {
    const lines = [...UPGRADE, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    const sockets = Array.from({ length: 500 }, opened)
    const ends = sockets.map((socket) => once(socket, 'close'))
    const upgraded = sockets.map((socket) => once(socket, 'data'))
    for (const socket of sockets) socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    await Promise.all(upgraded)
    expect(await siege.number('connections')).toBe(502)
    await siege.callGoesThrough()
    const said = sockets.map((socket) => once(socket, 'data'))
    await siege.world.clock.advance(100)
    for (const [data] of (await Promise.all(said)) as [Buffer][]) expect(data.toString()).toContain('ERROR\nmessage:')
    // None of them answers the close
    await siege.world.clock.advance(5000)
    await Promise.all(ends)
  }, 30_000)
})

test('JSON that is nested 30,000 deep, over HTTP, is 400 in few words', async () => {
  const token = await tokenFor('mallory')
  const bomb = `{"callId":"c","callee":"eve","callerUserName":"m","x":${'['.repeat(30_000)}${']'.repeat(30_000)}}`
  const { status, body } = await siege.world.asks('mallory', '/imserver/call/request', bomb, { token })
  expect({ status, code: body.code }).toEqual({ status: 400, code: 400 })
  expect(String(body.msg).length).toBeLessThan(200)
})
