import { describe, expect, test } from '@jest/globals'
import type { RelayHealth } from '../../src/ports.ts'
import { verify } from '../../src/turn/credentials.ts'
import { TurnCredentials } from '../../src/turn/messages.ts'
import { type LocalRelay, type RelayPlace, TurnService, type TurnServiceOptions } from '../../src/turn/service.ts'
import { TestClock } from '../support/clock.ts'

const NOW = Date.UTC(2026, 0, 1)
const EXPIRY = NOW / 1000 + 3600

const relay = (state: ReturnType<RelayHealth['state']>, place: Partial<RelayPlace> = {}): LocalRelay => ({
  state: () => state,
  placeFor: () => ({ hosts: ['192.0.2.7'], port: 3478, ...place }),
})

const urlsOf = ({ iceServers }: TurnCredentials) => iceServers.map(({ url }) => url)

const service = (options: Partial<TurnServiceOptions>) =>
  new TurnService({ secret: 's3cret', ttlSeconds: 3600, clock: new TestClock(NOW), stun: [], regions: [], ...options })

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
        {
          url: 'turn:192.0.2.7:3478?transport=tcp',
          urls: 'turn:192.0.2.7:3478?transport=tcp',
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

  test('names both families, an IPv6 address in brackets, and every way in the order to be tried', () => {
    const place = { hosts: ['192.0.2.7', '2001:db8::7'], tls: { host: 'turn.example.org', port: 5349 } }
    expect(urlsOf(service({ relay: relay('up', place) }).credentialsFor('alice'))).toEqual([
      'stun:192.0.2.7:3478',
      'stun:[2001:db8::7]:3478',
      'turn:192.0.2.7:3478?transport=udp',
      'turn:[2001:db8::7]:3478?transport=udp',
      'turn:192.0.2.7:3478?transport=tcp',
      'turn:[2001:db8::7]:3478?transport=tcp',
      'turns:turn.example.org:5349?transport=tcp',
    ])
  })

  test('asks the relay where this user is to go', () => {
    const placeFor = (user: string) => ({ hosts: [`${user}.example.org`], port: 1 })
    const asked = service({ relay: { state: () => 'up', placeFor } })
    expect(urlsOf(asked.credentialsFor('bob'))[0]).toBe('stun:bob.example.org:1')
  })

  test.each(['starting', 'down', 'off'] as const)('leaves the bundled relay out while it is %s', (state) => {
    expect(service({ relay: relay(state) }).credentialsFor('alice').iceServers).toEqual([])
  })

  test('names the operator’s own servers, in their order, instead of ours', () => {
    const urls = ['turn:turn.example.org:3478?transport=udp', 'turns:turn.example.org:5349?transport=tcp']
    const asked = service({ stun: ['stun:stun.example.org'], regions: [{ urls }], relay: relay('up') })
    expect(urlsOf(asked.credentialsFor('alice'))).toEqual(['stun:stun.example.org', ...urls])
  })

  test('names an external relay as STUN server as well, where it is reached over UDP', () => {
    const urls = [
      'turn:a:3478',
      'turn:a:3478?transport=udp',
      'turn:[::1]?transport=udp',
      'turn:b?transport=tcp',
      'turns:c',
    ]
    expect(urlsOf(service({ regions: [{ urls }] }).credentialsFor('alice'))).toEqual([
      'stun:a:3478',
      'stun:[::1]',
      ...urls,
    ])
  })

  test('is of the region that the client names, and of all when it names none that there is', () => {
    const regions = [{ name: 'eu', urls: ['turn:eu'] }, { name: 'us', urls: ['turn:us'] }, { urls: ['turn:x'] }]
    const asked = service({ regions })
    const all = ['stun:eu', 'stun:us', 'stun:x', 'turn:eu', 'turn:us', 'turn:x']
    expect(urlsOf(asked.credentialsFor('alice', 'us'))).toEqual(['stun:us', 'turn:us'])
    expect(urlsOf(asked.credentialsFor('alice', 'mars'))).toEqual(all)
    expect(urlsOf(asked.credentialsFor('alice'))).toEqual(all)
    expect([asked.regionNamed('us'), asked.regionNamed('mars'), asked.regionNamed(undefined)]).toEqual([
      'us',
      undefined,
      undefined,
    ])
  })

  test('names our relay beside an operator’s own STUN server', () => {
    const asked = service({ stun: ['stun:stun.example.org'], relay: relay('up') })
    expect(urlsOf(asked.credentialsFor('alice'))).toEqual([
      'stun:stun.example.org',
      'turn:192.0.2.7:3478?transport=udp',
      'turn:192.0.2.7:3478?transport=tcp',
    ])
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
