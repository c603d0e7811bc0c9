/**
 * Peers whose WebSocket is fine and whose STOMP is out to do harm, against the whole server. The offender gets a clear
 * answer, and two people who call each other meanwhile notice nothing.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { Siege } from '../support/siege.ts'
import { frame, type ServerFrame, type StompPeer, stompPeer } from '../support/stomp-peer.ts'

let siege: Siege
beforeAll(async () => {
  // What is slowed down would wait for a clock that stands still
  siege = await Siege.begins({ OPEN_DESTINATIONS: '/topic/open.*,/queue/open.*', LIMIT_SUBSCRIBE_BURST: '20000' })
})
afterEach(() => siege.calm())
afterAll(() => siege.ends())

/** A WebSocket without a session. */
function stranger(): Promise<StompPeer> {
  return stompPeer(`${siege.url.replace('http', 'ws')}/imserver/ws`)
}

/** A session that reads its errors. */
async function member(user = 'mallory', version = '1.2'): Promise<StompPeer> {
  const peer = await stranger()
  peer.send(await siege.login(user, { 'accept-version': version }))
  await peer.frame('CONNECTED')
  await peer.subscribe('/user/queue/errors', 'errors')
  return peer
}

/** What the ERROR says. */
async function toldOff(peer: StompPeer): Promise<string> {
  const { headers } = await peer.frame('ERROR')
  await peer.closed
  expect(peer.frames.at(-1)?.command).toBe('ERROR')
  return headers.message ?? ''
}

const json = ({ body }: ServerFrame): Record<string, unknown> => JSON.parse(body) as Record<string, unknown>
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__']

describe('header bombs', () => {
  test.each<[string, string, RegExp]>([
    ['too many', `${'a:b\n'.repeat(100)}`, /^more than 64 headers/],
    ['too long a one', `a:${'b'.repeat(8200)}\n`, /^header longer than 8192 octets/],
    ['too long a name', `${'b'.repeat(8200)}:a\n`, /^header longer than 8192 octets/],
    ['more than a frame may have', `${`a:${'b'.repeat(4000)}\n`.repeat(5)}`, /^frame larger than 16384 octets/],
    ['no end', `${'a'.repeat(20_000)}`, /^frame larger than 16384 octets/],
  ])('before login: %s', async (_, lines, message) => {
    const peer = await stranger()
    peer.send(`CONNECT\n${lines}\n\0`)
    expect(await toldOff(peer)).toMatch(message)
  })

  test.each<[string, string, RegExp]>([
    ['too many', `${'a:b\n'.repeat(100)}`, /^more than 64 headers/],
    ['too long a one', `a:${'b'.repeat(8200)}\n`, /^header longer than 8192 octets/],
    ['more than a frame may have', `${`a:${'b'.repeat(4000)}\n`.repeat(20)}`, /^frame larger than 65536 octets/],
    ['no end', `${'a'.repeat(70_000)}`, /^frame larger than 65536 octets/],
    ['all escapes', `a:${'\\c'.repeat(4090)}\n${'b:\\\\\n'.repeat(80)}`, /^more than 64 headers/],
  ])('after login: %s', async (_, lines, message) => {
    const peer = await member()
    peer.send(`SEND\ndestination:/app/none\n${lines}\n\0`)
    expect(await toldOff(peer)).toMatch(message)
  })
})

describe('more than may be', () => {
  test('of 10,000 SUBSCRIBEs the first hundred are taken; then it is said, and over', async () => {
    const peer = await member()
    for (let id = 0; id < 10_000; id++) peer.send(frame('SUBSCRIBE', { id, destination: '/topic/open.a' }))
    expect(await toldOff(peer)).toBe('more than 100 subscriptions')
  })

  test('10,000 SUBSCRIBEs that are refused are remembered up to the same bound', async () => {
    const peer = await member()
    for (let id = 0; id < 10_000; id++) peer.send(frame('SUBSCRIBE', { id, destination: `/user/u${id}/queue/errors` }))
    await peer.settled()
    expect(peer.frames.filter(({ command }) => command === 'MESSAGE')).toHaveLength(10_000)
    await peer.close()
  })

  test('the same subscription id, transaction id, or a second CONNECT is the end', async () => {
    for (const [text, message] of [
      [frame('SUBSCRIBE', { id: 'errors', destination: '/topic/open.a' }), 'subscription id used twice'],
      [frame('BEGIN', { transaction: 't' }).repeat(2), 'transaction begun twice'],
      [frame('CONNECT', { 'accept-version': '1.2', ide: 'x' }), 'already connected'],
    ] as const) {
      const peer = await member()
      peer.send(text)
      expect(await toldOff(peer)).toBe(message)
    }
  })
})

describe('heart-beat', () => {
  test.each(['-1,1', '1.5,1', '0x10,1', '1', '1,2,3', 'a,b', ',', '', '1e3,1', '∞,1', '1 000,1', '１,１'])(
    '%j is refused in words',
    async (header) => {
      const peer = await stranger()
      peer.send(await siege.login('mallory', { 'heart-beat': header }))
      expect(await toldOff(peer)).toBe('heart-beat is malformed')
    },
  )

  test.each(['0,0', '999999999999999999999,1', '1,999999999999999999999', `${'9'.repeat(400)},${'9'.repeat(400)}`])(
    '%s is taken, and nothing comes of it but patience',
    async (header) => {
      const peer = await stranger()
      peer.send(await siege.login('mallory', { 'heart-beat': header }))
      await peer.frame('CONNECTED')
      await peer.settled()
      await peer.close()
    },
  )
})

describe('names that mean something in JavaScript', () => {
  test.each(NAMES)('%s is a header, a subscription, a transaction, a receipt and a topic like others', async (name) => {
    const peer = await member()
    await peer.subscribe(`/topic/open.${name}`, name)
    peer.send(frame('BEGIN', { transaction: name }))
    peer.send(frame('SEND', { destination: `/topic/open.${name}`, transaction: name, [name]: name, 'x-y': 'z' }, 'b'))
    peer.send(`COMMIT\ntransaction:${name}\nreceipt:${name}\n\n\0`)
    const message = await peer.frame('MESSAGE')
    expect(message.headers.subscription).toBe(name)
    expect(message.octets.toString()).toBe('b')
    expect(Object.entries(message.headers)).toEqual(expect.arrayContaining([[name, name]]))
    expect((await peer.frame('RECEIPT')).headers['receipt-id']).toBe(name)
    peer.send(frame('UNSUBSCRIBE', { id: name }))
    await peer.settled()
    await peer.close()
  })

  test.each(NAMES)('%s is a user and a callId like others', async (name) => {
    const [caller, callee] = [await member(name), await member(`${name}2`)]
    await callee.subscribe('/user/queue/call/request')
    await caller.subscribe('/topic/user/status')
    const request = { callId: name, callee: `${name}2`, callerUserName: name, [name]: 1 }
    caller.send(frame('SEND', { destination: '/app/call/request' }, JSON.stringify(request)))
    const rung = await callee.frame(({ headers }) => headers.subscription === '/user/queue/call/request')
    expect(json(rung)).toMatchObject({ callId: name, caller: name })
    caller.send(frame('SEND', { destination: '/app/user/status' }, JSON.stringify([name, `${name}3`])))
    const told = await caller.frame(({ headers }) => headers.subscription === '/topic/user/status')
    expect(JSON.parse(told.body)).toEqual([
      { userId: name, status: 'ONLINE' },
      { userId: `${name}3`, status: 'OFFLINE' },
    ])
    caller.send(frame('SEND', { destination: '/app/call/hangup' }, JSON.stringify({ callId: name })))
    await caller.settled()
    await Promise.all([caller.close(), callee.close()])
  })

  test('a body that has __proto__ as a field changes nobody', async () => {
    const peer = await member()
    const body = '{"__proto__":{"callId":"a","callee":"bob","callerUserName":"m"},"constructor":{"prototype":{"x":1}}}'
    peer.send(frame('SEND', { destination: '/app/call/request' }, body))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({ code: 400, message: expect.stringMatching(/^callId: /) })
    expect(({} as { x?: number; callId?: string }).callId ?? ({} as { x?: number }).x).toBeUndefined()
    await peer.close()
  })
})

describe('destinations that are not the sender’s', () => {
  const tricks = [
    '/topic/user/status',
    '/user/queue/call/request',
    '/user/bob/queue/call/request',
    '/queue/call/request-userbob',
    '/app/../topic/open.a',
    '/topic/open.a/../../user/status',
    '/topic/open.%2e%2e%2fx',
    '/topic//open.a',
    '/queue/open.a/./b',
    '/topic/open.a\\cx'.replace('\\c', '\\\\'),
  ]

  test.each(tricks)('SEND to %s is refused with 403, and nobody hears it', async (destination) => {
    const [peer, other] = [await member(), await member('eve')]
    await other.subscribe('/topic/user/status')
    await other.subscribe('/user/queue/call/request')
    peer.send(frame('SEND', { destination, receipt: 'r' }, '{"callId":"fake"}'))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({ code: 403 })
    await other.settled()
    expect(other.frames.filter(({ body }) => body.includes('fake'))).toEqual([])
    await Promise.all([peer.close(), other.close()])
  })

  test.each([
    '/user/bob/queue/call/request',
    '/user/bob/queue/errors',
    '/queue/call/request',
    '/user/queue/../bob/queue/errors',
    '/user//queue/errors',
    '/user%2fqueue/errors',
  ])('SUBSCRIBE to %s is refused with 403, and hears nothing', async (destination) => {
    const peer = await member()
    peer.send(frame('SUBSCRIBE', { id: 'spy', destination }))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({ code: 403 })
    await siege.callGoesThrough()
    await peer.settled()
    expect(peer.frames.filter(({ headers }) => headers.subscription === 'spy')).toEqual([])
    await peer.close()
  })

  test.each([
    '/app/call/request/',
    '/app/call/request ',
    ' /app/call/request',
    '/APP/call/request',
    '/app/call/rеquest',
    '/app/call/request\u200b',
    '/app/call/request?x=1',
    '/app/call/request#x',
    '/app/call',
    '/',
    `/app/${'x'.repeat(8000)}`,
  ])('%j looks like a destination and is none: 404', async (destination) => {
    const peer = await member()
    peer.send(frame('SEND', { destination }, '{}'))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({ code: 404 })
    await peer.close()
  })

  test('a NUL in a destination ends the frame, and so the connection', async () => {
    const peer = await member()
    peer.send('SEND\ndestination:/topic/open.a\0/x\n\n\0')
    expect(await toldOff(peer)).toBe('frame without a blank line')
  })
})

describe('text that is none', () => {
  test('invalid UTF-8 in a head is an ERROR', async () => {
    const peer = await member()
    peer.send(
      Buffer.concat([Buffer.from('SEND\ndestination:/topic/open.'), Buffer.of(0xff, 0xfe), Buffer.from('\n\n\0')]),
    )
    expect(await toldOff(peer)).toBe('headers of SEND are not UTF-8')
  })

  test('invalid UTF-8 in a message of the application is refused with 400', async () => {
    const peer = await member()
    const body = Buffer.concat([Buffer.from('{"callId":"'), Buffer.of(0xc3, 0x28), Buffer.from('"}')])
    peer.send(Buffer.concat([Buffer.from('SEND\ndestination:/app/call/hangup\n\n'), body, Buffer.of(0)]))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({
      code: 400,
      message: expect.stringMatching(/^body: is not JSON in UTF-8/),
    })
    await peer.close()
  })

  test('lone surrogates are carried on as they were written, or refused, and break nothing', async () => {
    const [caller, callee] = [await member('mallory'), await member('eve')]
    await callee.subscribe('/user/queue/call/request')
    const body = '{"callId":"\\ud800","callee":"eve","callerUserName":"\\udfff\\ud800","x":"\\ud83d"}'
    caller.send(frame('SEND', { destination: '/app/call/request', receipt: 'r' }, body))
    await caller.frame('RECEIPT')
    const rung = await callee.frame(({ headers }) => headers.subscription === '/user/queue/call/request')
    expect(json(rung)).toMatchObject({ callId: '\ud800', callerUserName: '\udfff\ud800' })
    caller.send(frame('SEND', { destination: '/app/call/hangup' }, '{"callId":"\\ud800"}'))
    await caller.settled()
    await Promise.all([caller.close(), callee.close()])
  })
})

describe('JSON bombs', () => {
  test.each<[string, string, string]>([
    ['nesting', '/app/call/request', '['.repeat(60_000)],
    ['nesting that ends', '/app/call/request', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
    [
      'nesting in a field that is carried on',
      '/app/call/request',
      `{"callId":"c","callee":"eve","callerUserName":"m","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
    ],
    ['a long array', '/app/user/status', `[${'1,'.repeat(30_000)}1]`],
    ['a long array of users', '/app/user/status', JSON.stringify(Array<string>(201).fill('u'))],
    ['huge numbers', '/app/call/request', `{"callId":"c","callee":"eve","callerUserName":"m","timeout":1e400}`],
    ['a number of 60,000 digits', '/app/call/request', `{"callId":${'9'.repeat(60_000)}}`],
    ['an id of 60,000 letters', '/app/call/hangup', `{"callId":"${'x'.repeat(60_000)}"}`],
    ['a user of 60,000 letters', '/app/user/status', `["${'x'.repeat(60_000)}"]`],
    ['no JSON', '/app/rtc/signaling', 'x'.repeat(60_000)],
    ['a number where an object belongs', '/app/call/response', '1'],
    ['a NUL', '/app/call/request', '{"callId":"a\\u0000b","callee":"eve","callerUserName":"m"}'],
  ])('%s is refused with 400 and few words', async (_, destination, body) => {
    const peer = await member()
    peer.send(frame('SEND', { destination }, body))
    const message = await peer.frame('MESSAGE')
    expect(json(message)).toMatchObject({ code: 400 })
    expect(message.body.length).toBeLessThan(2000)
    await peer.close()
  })

  test('of a field that comes twice the last one counts, as everywhere in JavaScript', async () => {
    const peer = await member()
    peer.send(frame('SEND', { destination: '/app/call/hangup' }, '{"callId":"","callId":"none"}'))
    expect(json(await peer.frame('MESSAGE'))).toMatchObject({ code: 404, callId: 'none' })
    await peer.close()
  })
})

test('tokens that are no tokens are refused in words', async () => {
  const long = 'x'.repeat(8000)
  for (const ide of ['', '.', '..', 'a.b.c', `${'e30'}.${'e30'}.`, 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.', long]) {
    const peer = await stranger()
    peer.send(frame('CONNECT', { 'accept-version': '1.2', ide }))
    expect(await toldOff(peer)).toMatch(/^401 /)
    // Refused logins of one address are answered later each time
    await siege.world.clock.advance(10_000)
  }
})

test('a message in binary frames is a message', async () => {
  const peer = await member()
  peer.ws.send(Buffer.from(frame('SEND', { destination: '/app/call/hangup', receipt: 'r' })), { binary: true })
  expect((await peer.frame('RECEIPT')).headers['receipt-id']).toBe('r')
  await peer.close()
})
