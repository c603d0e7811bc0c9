import { describe, expect, test } from '@jest/globals'
import { negotiate, readOffer } from '../../broker/heartbeat.ts'
import { TestClock } from '../support/clock.ts'
import { memoryStompPeer } from '../support/stomp-memory.ts'
import { frame } from '../support/stomp-peer.ts'
import { testBroker } from '../support/stomp-server.ts'

const server = { sends: 10_000, wants: 10_000 }

describe('negotiation (STOMP 1.2, "Heart-beating")', () => {
  test.each([
    ['neither side wants any', '0,0', { sends: 0, expects: 0 }],
    ['a client without the header', undefined, { sends: 0, expects: 0 }],
    ['the slower side decides', '4000,20000', { sends: 20_000, expects: 10_000 }],
    ['the server decides when it is slower', '1,1', { sends: 10_000, expects: 10_000 }],
    ['only one direction', '0,15000', { sends: 15_000, expects: 0 }],
    ['a client that promises next to nothing', '99999999999999999999,0', { sends: 0, expects: 0 }],
    ['a client that wants next to nothing gets more', '0,99999999999999999999', { sends: 3_600_000, expects: 0 }],
    ['blanks beside the comma', '4000, 4000', { sends: 10_000, expects: 10_000 }],
  ])('%s', (_, header, intervals) => {
    expect(negotiate(server, readOffer(header) ?? { sends: -1, wants: -1 })).toEqual(intervals)
  })

  test('a server that offers none has none', () => {
    expect(negotiate({ sends: 0, wants: 0 }, { sends: 1000, wants: 1000 })).toEqual({ sends: 0, expects: 0 })
  })

  test.each(['', '1', '1,2,3', 'a,b', '-1,0', '1.5,0', '0x10,0'])('%j is malformed', (header) => {
    expect(readOffer(header)).toBeUndefined()
  })
})

async function session(offer?: string) {
  const clock = new TestClock()
  const { broker, news } = testBroker({ clock, heartbeat: server })
  const peer = memoryStompPeer(broker)
  const connected = await peer.connect('alice', offer === undefined ? {} : { 'heart-beat': offer })
  return { clock, broker, news, peer, connected }
}

describe('the server', () => {
  test('says in CONNECTED what it offers', async () => {
    const { connected } = await session('0,0')
    expect(connected.headers['heart-beat']).toBe('10000,10000')
  })

  test('refuses a malformed header', async () => {
    const { broker } = await session()
    const peer = memoryStompPeer(broker)
    await peer.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'bob', 'heart-beat': 'often' }))
    expect((await peer.frame('ERROR')).headers.message).toBe('heart-beat is malformed')
    expect(peer.over?.code).toBe(1002)
  })

  test('beats at least once an interval while it has nothing to say', async () => {
    const { clock, peer } = await session('0,10000')
    for (let beats = 1; beats <= 5; beats++) {
      await clock.advance(10_000)
      expect(peer.heartbeats).toBeGreaterThanOrEqual(beats)
    }
    expect(peer.heartbeats).toBeLessThanOrEqual(6)
  })

  test('does not beat while it has something to say', async () => {
    const { clock, peer } = await session('0,10000')
    for (let second = 0; second < 60; second += 5) {
      await clock.advance(5_000)
      await peer.send(frame('BEGIN', { transaction: second, receipt: second }), frame('ABORT', { transaction: second }))
    }
    expect(peer.heartbeats).toBe(0)
  })

  test('does not beat for a client that wants none', async () => {
    const { clock, peer } = await session('10000,0')
    await peer.send('\n')
    await clock.advance(15_000)
    expect(peer.heartbeats).toBe(0)
  })

  test('closes a silent peer within two intervals, without an ERROR', async () => {
    const { clock, news, peer } = await session('10000,0')
    await clock.advance(18_000)
    expect(peer.over).toBeUndefined()
    await clock.advance(2_000)
    expect(peer.over).toEqual({ code: 1002, reason: 'no sign of life for 19000 ms' })
    expect(peer.frames.map(({ command }) => command)).toEqual(['CONNECTED'])
    expect(news.filter((line) => line.startsWith('expelled'))).toEqual([
      'expelled heart-beat: no sign of life for 19000 ms',
    ])
  })

  test.each([
    ['an EOL', '\n'],
    ['CR LF', '\r\n'],
    ['any octets, of an unfinished frame too', 'S'],
  ])('takes %s as a sign of life', async (_, octets) => {
    const { clock, peer } = await session('10000,0')
    await clock.advance(15_000)
    await peer.send(octets)
    await clock.advance(15_000)
    expect(peer.over).toBeUndefined()
  })

  test('pings a peer that promised no heart-beats, and lets it go when two intervals bring no answer', async () => {
    const { clock, peer } = await session('0,0')
    await clock.advance(31_000)
    expect(peer.pings).toBe(1)
    peer.end.pong()
    await clock.advance(59_000)
    expect(peer.over).toBeUndefined()
    expect(peer.pings).toBe(2)
    await clock.advance(2_000)
    expect(peer.over?.code).toBe(1002)
  })

  test('keeps a peer that answers pings', async () => {
    const { clock, peer } = await session('0,0')
    peer.end.onPing = () => peer.end.pong()
    await clock.advance(600_000)
    expect(peer.over).toBeUndefined()
  })

  test('has one timer for all sessions, and none when there are none', async () => {
    const { clock, broker, peer } = await session('10000,10000')
    const others = Array.from({ length: 20 }, () => memoryStompPeer(broker))
    for (const [i, other] of others.entries()) await other.connect(`user ${i}`, { 'heart-beat': '10000,10000' })
    expect(clock.waiting).toBe(1)
    for (const other of [peer, ...others]) other.end.close()
    await clock.advance(0)
    expect(clock.waiting).toBe(0)
  })
})
