/**
 * Peers that break WebSocket (RFC 6455), or use it to wear the server out. Each is told why by the close code, and two
 * people who call each other meanwhile notice nothing.
 */

import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  closing,
  PING,
  PONG,
  RawWebSocket,
  TEXT,
  webSocketFrame,
} from '../support/raw-websocket.ts'
import { Siege } from '../support/siege.ts'
import { frame } from '../support/stomp-peer.ts'

let siege: Siege
beforeAll(async () => {
  siege = await Siege.begins()
})
afterEach(() => siege.calm())
afterAll(() => siege.ends())

/** A peer whose session is connected. */
async function member(): Promise<RawWebSocket> {
  const peer = await RawWebSocket.opens(siege.url)
  peer.send(TEXT, await siege.login('mallory'))
  await peer.hears('CONNECTED')
  return peer
}

describe('a frame that RFC 6455 forbids ends the connection with 1002', () => {
  const reserved = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]

  test.each<[string, Buffer[]]>([
    ['5.1: not masked', [webSocketFrame(TEXT, 'x', { masked: false })]],
    ['5.2: RSV1 without an extension, as compressed messages have it', [webSocketFrame(TEXT, 'x', { rsv: 4 })]],
    ['5.2: RSV2', [webSocketFrame(TEXT, 'x', { rsv: 2 })]],
    ['5.2: RSV3', [webSocketFrame(TEXT, 'x', { rsv: 1 })]],
    ...reserved.map((opcode): [string, Buffer[]] => [`5.2: opcode ${opcode}`, [webSocketFrame(opcode, 'x')]]),
    ['5.4: nothing to continue', [webSocketFrame(CONTINUATION, 'x')]],
    ['5.4: a message within a message', [webSocketFrame(TEXT, 'x', { fin: false }), webSocketFrame(BINARY, 'y')]],
    ['5.5: a control frame in fragments', [webSocketFrame(PING, 'x', { fin: false })]],
    ['5.5: a control frame of 126 octets', [webSocketFrame(PING, Buffer.alloc(126))]],
    ['5.5.1: a close of one octet', [webSocketFrame(CLOSE, 'x')]],
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535].map((code): [string, Buffer[]] => [
      `7.4: a close with ${code}`,
      [webSocketFrame(CLOSE, closing(code))],
    ]),
  ])('section %s', async (_, frames) => {
    const peer = await member()
    peer.write(Buffer.concat(frames))
    expect(await peer.closed).toBe(1002)
  })
})

describe('text that is not UTF-8 ends the connection with 1007 (RFC 6455 section 8.1)', () => {
  test.each<[string, Buffer[]]>([
    ['a lone octet', [webSocketFrame(TEXT, Buffer.of(0xff))]],
    ['an overlong NUL', [webSocketFrame(TEXT, Buffer.of(0xc0, 0x80))]],
    ['half of a surrogate pair', [webSocketFrame(TEXT, Buffer.of(0xed, 0xa0, 0x80))]],
    [
      'half a character in each of two messages’ worth of fragments',
      [
        webSocketFrame(TEXT, Buffer.of(0xf0, 0x9f), { fin: false }),
        webSocketFrame(CONTINUATION, Buffer.of(0x93), { fin: true }),
      ],
    ],
    ['the reason of a close', [webSocketFrame(CLOSE, closing(1000, Buffer.of(0xff)))]],
  ])('%s', async (_, frames) => {
    const peer = await member()
    peer.write(Buffer.concat(frames))
    expect(await peer.closed).toBe(1007)
  })

  test('but a character may be cut by fragments', async () => {
    const peer = await member()
    const octets = Buffer.from(frame('SEND', { destination: '/app/none', receipt: 'r' }, '\u{1f4de}'))
    const middle = octets.length - 3
    peer.send(TEXT, octets.subarray(0, middle), { fin: false })
    peer.send(CONTINUATION, octets.subarray(middle))
    peer.send(TEXT, frame('DISCONNECT', { receipt: 'bye' }))
    await peer.hears('RECEIPT\nreceipt-id:bye')
    peer.socket.end()
  })
})

describe('a message that is too long is refused when it is announced', () => {
  test.each<[string, bigint]>([
    ['5 MiB', 5n * 1024n * 1024n],
    ['2^53', 2n ** 53n],
    ['2^63', 2n ** 63n],
    ['2^64 - 1', 2n ** 64n - 1n],
  ])('%s octets: 1009', async (_, announces) => {
    const peer = await member()
    peer.send(BINARY, 'x', { announces })
    expect(await peer.closed).toBe(1009)
  })

  test('in fragments as well', async () => {
    const peer = await member()
    peer.send(BINARY, Buffer.alloc(3 * 1024 * 1024), { fin: false })
    peer.send(CONTINUATION, 'x', { fin: false, announces: 3n * 1024n * 1024n })
    expect(await peer.closed).toBe(1009)
  })
})

describe('many small pieces', () => {
  const pieces = (first: string, rest: string, count: number): Buffer =>
    Buffer.concat([
      webSocketFrame(TEXT, first, { fin: false }),
      ...Array<Buffer>(count).fill(webSocketFrame(CONTINUATION, rest, { fin: false })),
    ])

  test('a message of 20,000 fragments of one octet is refused with 1008', async () => {
    const peer = await member()
    peer.write(pieces('\n', '\n', 20_000))
    expect(await peer.closed).toBe(1008)
  })

  test('a message of empty fragments without an end is refused with 1008', async () => {
    const peer = await member()
    peer.write(pieces('', '', 20_000))
    expect(await peer.closed).toBe(1008)
  })

  test('a frame may come in 20,000 messages of one octet', async () => {
    const peer = await member()
    const octets = Buffer.from(frame('BEGIN', { transaction: 'x'.repeat(8000), receipt: 'begun' }))
    const body = Buffer.from(frame('SEND', { destination: '/app/none', receipt: 'r' }, 'x'.repeat(12_000)))
    for (const octet of Buffer.concat([octets, body])) peer.write(webSocketFrame(BINARY, Buffer.of(octet)))
    await peer.hears('RECEIPT\nreceipt-id:begun')
    peer.send(TEXT, frame('DISCONNECT', { receipt: 'bye' }))
    await peer.hears('RECEIPT\nreceipt-id:bye')
    peer.socket.end()
  })

  test('20,000 empty messages and 20,000 heart-beats are nothing', async () => {
    const peer = await member()
    peer.write(Buffer.concat(Array<Buffer>(20_000).fill(webSocketFrame(BINARY))))
    peer.write(Buffer.concat(Array<Buffer>(20_000).fill(webSocketFrame(TEXT, '\n'))))
    peer.send(TEXT, frame('DISCONNECT', { receipt: 'bye' }))
    await peer.hears('RECEIPT\nreceipt-id:bye')
    peer.socket.end()
  })
})

describe('floods of control frames', () => {
  test('pings of a peer that reads are answered', async () => {
    const peer = await member()
    for (let n = 0; n < 2000; n++) peer.send(PING, String(n))
    peer.send(TEXT, frame('DISCONNECT', { receipt: 'bye' }))
    await peer.hears('RECEIPT\nreceipt-id:bye')
    const pongs = peer.frames.filter(({ opcode }) => opcode === PONG).map(({ payload }) => Number(payload))
    // RFC 6455 section 5.5.3: of pings that wait for an answer the last one alone may get it
    expect(pongs.at(-1)).toBe(1999)
    expect(pongs).toEqual([...pongs].sort((a, b) => a - b))
    peer.socket.end()
  })

  test('pings of a peer that does not read are not answered without bound', async () => {
    const peer = await member()
    peer.socket.pause()
    const pings = Buffer.concat(Array<Buffer>(8000).fill(webSocketFrame(PING, Buffer.alloc(125))))
    // 40 MB, of which the network takes some on both ways
    for (let round = 0; round < 40; round++) {
      peer.write(pings)
      await peer.taken()
    }
    expect(await siege.number('buffered_bytes')).toBeLessThan(1_000_000)
    await siege.callGoesThrough()
    peer.socket.destroy()
  })

  test('pongs that nobody asked for are nothing', async () => {
    const peer = await member()
    peer.write(Buffer.concat(Array<Buffer>(20_000).fill(webSocketFrame(PONG, 'x'))))
    peer.send(TEXT, frame('DISCONNECT', { receipt: 'bye' }))
    await peer.hears('RECEIPT\nreceipt-id:bye')
    peer.socket.end()
  })
})

test('nothing is sent behind the close frame (RFC 6455 section 5.5.1)', async () => {
  const peer = await member()
  peer.write(
    Buffer.concat([
      webSocketFrame(TEXT, frame('BEGIN', { transaction: 't', receipt: 'r' })),
      webSocketFrame(CLOSE, closing(1000)),
    ]),
  )
  expect(await peer.closed).toBe(1000)
  expect(peer.frames.map(({ opcode }) => opcode).indexOf(CLOSE)).toBe(peer.frames.length - 1)
})

test('what comes behind a close frame is not read', async () => {
  const peer = await member()
  peer.write(
    Buffer.concat([webSocketFrame(CLOSE, closing(1000)), webSocketFrame(TEXT, 'garbage\n\n\0'), Buffer.alloc(9)]),
  )
  expect(await peer.closed).toBe(1000)
  expect(peer.frames.filter(({ opcode }) => opcode === TEXT)).toHaveLength(1)
})

test.each(['permessage-deflate', 'permessage-deflate; server_max_window_bits=8; client_max_window_bits', 'x-webkit'])(
  'the extension %s is not agreed to, so that nothing can be a compression bomb',
  async (extension) => {
    const socket = connect(Number(new URL(siege.url).port), '127.0.0.1')
    socket.write(
      `GET /imserver/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n` +
        `Sec-WebSocket-Extensions: ${extension}\r\n\r\n`,
    )
    const [head] = (await once(socket, 'data')) as [Buffer]
    expect(head.toString()).toMatch(/^HTTP\/1.1 101 /)
    expect(head.toString()).not.toMatch(/extensions/i)
    socket.destroy()
  },
)

describe('a peer that takes its time', () => {
  test('over CONNECT, an octet at a time, is told in an ERROR when the time is over', async () => {
    const peer = await RawWebSocket.opens(siege.url)
    for (const octet of Buffer.from('CONNECT\naccept-version:1.2\n')) {
      peer.send(BINARY, Buffer.of(octet))
      await siege.world.clock.advance(300)
    }
    await siege.callGoesThrough()
    await siege.world.clock.advance(10_000)
    expect(await peer.hears('ERROR')).toContain('message:no session within 10000 ms')
    await siege.world.clock.advance(5_000)
    expect(await peer.closed).toBe(1008)
  })

  test('over the first octet is no better off', async () => {
    const peer = await RawWebSocket.opens(siege.url)
    peer.send(PING)
    await siege.world.clock.advance(10_000)
    await peer.hears('ERROR')
    // It does not answer the close either
    await siege.world.clock.advance(5_000)
    expect(await peer.closed).toBe(1008)
  })
})
