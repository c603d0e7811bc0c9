import { describe, expect, test } from '@jest/globals'
import type { RelayHealth } from '../../src/ports.ts'
import { verify } from '../../src/turn/credentials.ts'
import { TurnCredentials } from '../../src/turn/messages.ts'
import { TurnService, type TurnServiceOptions } from '../../src/turn/service.ts'
import { TestClock } from '../support/clock.ts'

const NOW = Date.UTC(2026, 0, 1)
const EXPIRY = NOW / 1000 + 3600

const relay = (state: ReturnType<RelayHealth['state']>, host = '192.0.2.7') => ({
  state: () => state,
  address: () => ({ host, port: 3478 }),
})

const service = (options: Partial<TurnServiceOptions>) =>
  new TurnService({ secret: 's3cret', ttlSeconds: 3600, clock: new TestClock(NOW), stun: [], turn: [], ...options })

describe('the answer to get-turn-credentials', () => {
  test('names the bundled relay as STUN without and as TURN with credentials, under both names browsers know', () => {
    const answer = service({ relay: relay('up') }).credentialsFor('alice b')
    const username = `${EXPIRY}:alice%20b`
    const [stun, turn] = answer.iceServers
    expect(answer).toEqual({
      iceServers: [
        { url: 'stun:192.0.2.7:3478', urls: 'stun:192.0.2.7:3478', username: null, credential: null },
        {
          url: 'turn:192.0.2.7:3478?transport=udp',
          urls: 'turn:192.0.2.7:3478?transport=udp',
          username,
          credential: expect.any(String),
        },
      ],
      ttl: 3600,
      expiresAt: EXPIRY,
    })
    expect(stun?.credential).toBeNull()
    expect(verify('s3cret', { username, credential: turn?.credential ?? '' })).toBe(true)
    expect(TurnCredentials.parse(answer)).toEqual(answer)
  })

  test('writes an IPv6 address in brackets', () => {
    const { iceServers } = service({ relay: relay('up', '2001:db8::7') }).credentialsFor('alice')
    expect(iceServers.map(({ url }) => url)).toEqual([
      'stun:[2001:db8::7]:3478',
      'turn:[2001:db8::7]:3478?transport=udp',
    ])
  })

  test.each(['starting', 'down', 'off'] as const)('leaves the bundled relay out while it is %s', (state) => {
    expect(service({ relay: relay(state) }).credentialsFor('alice').iceServers).toEqual([])
  })

  test('names the operator’s own servers, in their order, instead of ours', () => {
    const turn = ['turn:turn.example.org:3478?transport=udp', 'turns:turn.example.org:5349?transport=tcp']
    const { iceServers } = service({ stun: ['stun:stun.example.org'], turn, relay: relay('up') }).credentialsFor(
      'alice',
    )
    expect(iceServers.map(({ url }) => url)).toEqual(['stun:stun.example.org', ...turn])
  })

  test('names our relay beside an operator’s own STUN server', () => {
    const { iceServers } = service({ stun: ['stun:stun.example.org'], relay: relay('up') }).credentialsFor('alice')
    expect(iceServers.map(({ url }) => url)).toEqual(['stun:stun.example.org', 'turn:192.0.2.7:3478?transport=udp'])
  })

  test('is a new one as time goes on', async () => {
    const clock = new TestClock(NOW)
    const asked = service({ clock, relay: relay('up') })
    await clock.advance(1500)
    expect(asked.credentialsFor('alice').expiresAt).toBe(EXPIRY + 1)
  })

  test.each([0, -1, 1.5, Number.NaN])('a life of %d seconds is refused at the start', (ttlSeconds) => {
    expect(() => service({ ttlSeconds })).toThrow(RangeError)
  })
})
