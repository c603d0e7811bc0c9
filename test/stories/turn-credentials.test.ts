/** TURN credentials over the real server: asked for on every face, told anew before they end. */

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, describe, expect, test } from '@jest/globals'
import { mint, passwordOf } from '../../src/turn/credentials.ts'
import { CLASS, TurnClient } from '../relay/turn-client.ts'
import { CERTIFICATES } from '../support/certificates.ts'
import { opens, SECRET, tokenFor, type World } from '../support/story.ts'

const ASK = '/app/turn/get-turn-credentials'
const HEARS = '/user/queue/turn/get-turn-credentials'
const PATH = '/imserver/turn/get-turn-credentials'

let world: World
afterEach(() => world.closes())

const RELAYS = {
  TURN_URLS: 'eu=turn:eu.example.org?transport=udp;us=turn:us.example.org?transport=udp',
  TURN_SECRET: 'shared with the relays',
}

interface Answer {
  readonly iceServers: readonly {
    readonly url: string
    readonly username: string | null
    readonly credential: string | null
  }[]
  readonly ttl: number
  readonly expiresAt: number
}

const urlsOf = (answer: unknown) => (answer as Answer).iceServers.map(({ url }) => url)

describe('a session that has asked once', () => {
  test('hears fresh credentials when 80 % of their life is over, as long as it is connected', async () => {
    world = await opens(RELAYS)
    const alice = await world.arrives('alice', 'phone', { token: await tokenFor('alice', { exp: null }) })
    const bob = await world.arrives('bob', 'phone', { token: await tokenFor('bob', { exp: null }) })
    await alice.says(ASK, '')
    const first = (await alice.hears(HEARS)).body as Answer
    await world.clock.advance(3600 * 800 - 100)
    await alice.forgets()
    await bob.forgets()
    await world.clock.advance(100)
    const second = (await alice.hears(HEARS)).body as Answer
    expect(second.expiresAt).toBe(first.expiresAt + 2880)
    expect(second.ttl).toBe(3600)
    expect(second.iceServers.at(-1)?.username).toBe(`${second.expiresAt}:alice`)
    await world.clock.advance(3600 * 800)
    expect(((await alice.hears(HEARS)).body as Answer).expiresAt).toBe(first.expiresAt + 5760)
    await bob.hearsNothing()
  })

  test('hears those of the region that it has named', async () => {
    world = await opens(RELAYS)
    const alice = await world.arrives('alice', 'phone', { token: await tokenFor('alice', { exp: null }) })
    await alice.says(ASK, { region: 'us' })
    expect(urlsOf((await alice.hears(HEARS)).body)).toEqual([
      'stun:us.example.org',
      'turn:us.example.org?transport=udp',
    ])
    await world.clock.advance(3600 * 800)
    expect(urlsOf((await alice.hears(HEARS)).body)).toHaveLength(2)
  })

  test('that does not listen at that time hears them when it does', async () => {
    world = await opens(RELAYS)
    const token = await tokenFor('alice', { exp: null })
    const alice = await world.arrives('alice', 'phone', { token, listens: ['/user/queue/errors'] })
    await alice.says(ASK, {})
    await world.clock.advance(3600 * 900)
    await alice.hearsNothing()
    await alice.subscribes(HEARS)
    await alice.hears(HEARS)
  })
})

test('a session whose token has expired at that time hears them when it has a new one', async () => {
  world = await opens({ ...RELAYS, TURN_TTL_S: '130' })
  const now = Math.ceil(world.clock.now() / 1000)
  const lasting = (seconds: number) => tokenFor('alice', { iat: now, exp: now + seconds })
  const listens = [HEARS, '/user/queue/auth', '/user/queue/errors']
  const alice = await world.arrives('alice', 'phone', { token: await lasting(100), listens })
  await alice.says(ASK, '')
  await alice.hears(HEARS)
  await world.clock.advance(108_000)
  await alice.hears('/user/queue/auth', { type: 'EXPIRING' })
  await alice.hears('/user/queue/auth', { type: 'EXPIRED' })
  await alice.hearsNothing()
  await alice.says('/app/auth/refresh', { token: await lasting(1000) })
  await alice.hears('/user/queue/auth', { type: 'REFRESHED' })
  await alice.hears(HEARS)
})

describe('what is asked for', () => {
  test.each([
    ['nothing', ''],
    ['an empty object', {}],
    ['a region that there is not', { region: 'mars' }],
    ['a region that is no text', { region: 5 }],
    ['nonsense', [1, 2]],
  ])('as %s is everything', async (_, body) => {
    world = await opens(RELAYS)
    const alice = await world.arrives('alice')
    await alice.says(ASK, body)
    expect(urlsOf((await alice.hears(HEARS)).body)).toHaveLength(4)
  })

  test.each([
    ['?region=eu', 2],
    ['?region=mars', 4],
    ['?region=eu&region=us', 2],
    ['?region', 4],
    ['?%', 4],
    ['', 4],
  ])('over HTTP as %s is %i servers', async (query, servers) => {
    world = await opens(RELAYS)
    const { status, body } = await world.asks('alice', PATH + query, undefined, { method: 'GET' })
    expect(status).toBe(200)
    expect(urlsOf(body.data)).toHaveLength(servers)
  })

  test('is the bundled relay, which carries with the credentials that were handed out', async () => {
    world = await opens({ TURN_ENABLED: 'true', TURN_PORT: '0', TURN_WORKERS: '2', TURN_SECRET: SECRET })
    const urls = async (user: string) => urlsOf((await world.asks(user, PATH, undefined, { method: 'GET' })).body.data)
    const ports = new Set<string>()
    for (let each = 0; each < 20; each++) {
      const [stun, udp, tcp, ...more] = await urls(`user-${each}`)
      const port = /^stun:127\.0\.0\.1:(\d+)$/.exec(stun ?? '')?.[1] ?? 'none'
      expect([udp, tcp, more]).toEqual([
        `turn:127.0.0.1:${port}?transport=udp`,
        `turn:127.0.0.1:${port}?transport=tcp`,
        [],
      ])
      ports.add(port)
    }
    expect(ports.size).toBe(2)
    const ready = await world.asks('alice', '/readyz', undefined, { method: 'GET' })
    expect(ready.body).toEqual({ status: 'ready', relay: 'up', relayWorkers: ['up', 'up'] })
  })

  test('is the bundled relay over TLS too, by the name in its certificate', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'carillon-tls-'))
    try {
      const [TURN_TLS_CERT, TURN_TLS_KEY] = [join(folder, 'turn.crt'), join(folder, 'turn.key')]
      writeFileSync(TURN_TLS_CERT, CERTIFICATES.name)
      writeFileSync(TURN_TLS_KEY, CERTIFICATES.key)
      world = await opens({ TURN_ENABLED: 'true', TURN_PORT: '0', TURN_TLS_CERT, TURN_TLS_KEY })
      const { body } = await world.asks('alice', PATH, undefined, { method: 'GET' })
      const [, port] = /^turns:turn\.example\.org:(\d+)\?transport=tcp$/.exec(urlsOf(body.data).at(-1) ?? '') ?? []
      const servername = 'turn.example.org'
      const socket = connect({ host: '127.0.0.1', port: Number(port), servername, ca: CERTIFICATES.name })
      await once(socket, 'secureConnect')
      expect(socket.authorized).toBe(true)
      socket.destroy()
      const metrics = await (await fetch(`${world.url}/metrics`)).text()
      expect(metrics).toMatch(/^carillon_relay_certificate_end_seconds\{worker="0"\} \d{10}$/m)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('is made with the present secret, while the relay takes those of the one before as well', async () => {
    const [TURN_SECRET, TURN_SECRET_PREVIOUS] = ['the secret of this year', 'the secret of last year']
    world = await opens({ TURN_ENABLED: 'true', TURN_PORT: '0', TURN_SECRET, TURN_SECRET_PREVIOUS })
    const { body } = await world.asks('alice', PATH, undefined, { method: 'GET' })
    const { url, username, credential } = (body.data as Answer).iceServers[1] ?? {}
    expect(passwordOf(TURN_SECRET, username ?? '')).toBe(credential)
    const port = Number(/:(\d+)\?/.exec(url ?? '')?.[1])
    const allocates = async (secret: string) => {
      const client = await TurnClient.open(
        { address: '127.0.0.1', port },
        mint(secret, 'alice', Date.now() / 1000 + 600),
      )
      const { class: outcome } = await client.allocate()
      client.close()
      return outcome
    }
    expect(await allocates(TURN_SECRET)).toBe(CLASS.success)
    expect(await allocates(TURN_SECRET_PREVIOUS)).toBe(CLASS.success)
    expect(await allocates('the secret of nobody')).toBe(CLASS.error)
  })
})
