/** Frames in any order and of any make: nothing is thrown past its session, and nothing is left behind. */

import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { settled, TestClock } from '../support/clock.ts'
import { memoryStompPeer } from '../support/stomp-memory.ts'
import { testBroker } from '../support/stomp-server.ts'

const commands = [
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
  'CONNECT',
  'JUMP',
]
const destinations = [
  '/app/echo',
  '/app/refuse',
  '/app/none',
  '/user/queue/echo',
  '/user/queue/errors',
  '/user/bob/queue/echo',
  '/topic/news',
  '/topic/open.a',
  '/queue/open.a',
  '/queue/open.b',
  '/topic/../x',
]
const header = fc.oneof(
  fc.constantFrom(...destinations).map((destination) => `destination:${destination}`),
  fc.constantFrom('a', 'b', '__proto__', 'constructor', '').map((id) => `id:${id}`),
  fc.nat(9).map((n) => `id:SESSION-${n}`),
  fc.constantFrom('auto', 'client', 'client-individual', 'other').map((ack) => `ack:${ack}`),
  fc.constantFrom('t', 'u').map((transaction) => `transaction:${transaction}`),
  fc.nat(3).map((receipt) => `receipt:${receipt}`),
  fc.constantFrom(
    'content-length:0',
    'content-length:2',
    'content-length:-1',
    'x:\\c\\n',
    'y:\\t',
    '__proto__:z',
    'no colon',
    '',
  ),
)
const oneFrame = fc
  .tuple(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('SEND', 'SUBSCRIBE') },
      { weight: 4, arbitrary: fc.constantFrom(...commands) },
    ),
    // What most frames need, so that many of them are whole
    fc.constantFrom(...destinations),
    fc.constantFrom('a', 'b', 'c'),
    fc.array(header, { maxLength: 3 }),
    fc.string({ maxLength: 5 }),
  )
  .map(([command, destination, id, headers, body]) => {
    const lines = [`destination:${destination}`, `id:${id}`, ...headers].map((line) => `${line}\n`)
    return `${command}\n${lines.join('')}\n${command === 'SEND' ? body.replaceAll('\0', '') : ''}\0`
  })

test('random conversations of three sessions leave a broker that works, and nothing when they are over', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(2), oneFrame), { maxLength: 40 }),
      fc.constantFrom('1.0', '1.1', '1.2'),
      async (conversation, version) => {
        const clock = new TestClock()
        const { broker, news } = testBroker({ clock, limits: { unacknowledged: 2, queueMessages: 4 } })
        const peers = [memoryStompPeer(broker), memoryStompPeer(broker), memoryStompPeer(broker)]
        const ids: string[] = []
        for (const peer of peers)
          ids.push((await peer.connect('alice', { 'accept-version': version })).headers.session ?? '')
        for (const [who, text] of conversation) peers[who]?.end.send(text.replaceAll('SESSION', ids[who] ?? ''))
        await settled()
        expect(news.filter((line) => line.startsWith('failed'))).toEqual([])
        // Every session that was not ended still answers
        for (const peer of peers.filter(({ over }) => over === undefined)) {
          const frames = peer.frames.length
          await peer.send('BEGIN\ntransaction:last\nreceipt:last\n\n\0')
          expect(peer.frames.length).toBeGreaterThan(frames)
        }
        for (const peer of peers) peer.end.close()
        await settled()
        expect(broker.counts()).toEqual({
          connections: 0,
          sessions: 0,
          users: 0,
          subscriptions: 0,
          buffered: 0,
          away: 0,
          kept: 0,
        })
        expect(broker.publish('/topic/news', { body: '' })).toBe(0)
      },
    ),
    { numRuns: 300 },
  )
})

test('random octets after CONNECT end their own session at most', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), async (pieces) => {
      const { broker, news } = testBroker({ clock: new TestClock() })
      const [noisy, calm] = [memoryStompPeer(broker), memoryStompPeer(broker)]
      await noisy.connect('noisy')
      await calm.connect('calm')
      await noisy.send(...pieces.map((piece) => Buffer.from(piece)))
      await calm.send('BEGIN\ntransaction:t\nreceipt:r\n\n\0')
      expect(calm.frames.at(-1)?.command).toBe('RECEIPT')
      expect(news.filter((line) => line.startsWith('failed'))).toEqual([])
    }),
    { numRuns: 200 },
  )
})
