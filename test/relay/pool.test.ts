/** Several processes as one relay: what each gets, which of them a user is sent to, and what is told when one is lost. */

import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { type RelaySettings, relayOptions } from '../../src/adapters/node-turn/options.ts'
import { BundledRelay, type RelayPlan } from '../../src/adapters/node-turn/relay.ts'
import { shares } from '../../src/adapters/node-turn/shares.ts'
import { mint } from '../../src/turn/credentials.ts'
import { changes } from '../support/changes.ts'
import { TestClock } from '../support/clock.ts'
import { closing, SECRET } from './fixture.ts'
import { CLASS, Peer, TurnClient } from './turn-client.ts'

/** Processes start as slowly as the machine is busy. */
jest.setTimeout(60_000)

const SETTINGS: RelaySettings = {
  listenIps: ['127.0.0.1'],
  port: 0,
  publicIps: ['127.0.0.1'],
  secrets: [SECRET],
  allowPeers: ['127.0.0.0/8'],
}

describe('what each of several processes gets', () => {
  test('is everything when it is the only one', () => {
    expect(shares(SETTINGS, 1)).toEqual([SETTINGS])
  })

  test('is the next ports, and its part of the relayed ports and of the allocations', () => {
    const tls = { port: 5349, certificate: 'self-made' } as const
    const given = { ...SETTINGS, port: 3478, tls, minPort: 50_000, maxPort: 50_010, allocations: 100 }
    const parts = shares(given, 3).map(relayOptions)
    expect(parts.map(({ port, tls, minPort, maxPort }) => [port, tls?.port, minPort, maxPort])).toEqual([
      [3478, 5349, 50_000, 50_002],
      [3479, 5350, 50_003, 50_005],
      [3480, 5351, 50_006, 50_010],
    ])
    expect(parts.map(({ allocations }) => allocations)).toEqual([34, 34, 34])
  })

  test('is any free port where any will do', () => {
    const tls = { port: 0, certificate: 'self-made' } as const
    expect(shares({ ...SETTINGS, tls }, 2).map((part) => [part.port, part.tls?.port])).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  test('must be at least one relayed port', () => {
    expect(() => shares({ ...SETTINGS, minPort: 50_000, maxPort: 50_001 }, 3)).toThrow(RangeError)
  })
})

const relays: BundledRelay[] = []

afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()))
})

function pool(plan: Partial<RelayPlan> = {}, clock = new TestClock(Date.now())) {
  const { changed: onChange, until } = changes()
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const world = { clock, log, askEveryMs: 1e9, reportEveryMs: 20, onChange }
  const relay = new BundledRelay({ settings: SETTINGS, workers: 3, ...plan }, world)
  relays.push(relay)
  return { relay, clock, until }
}

const USERS = Array.from({ length: 60 }, (_, each) => `user-${each}`)

describe('several processes', () => {
  test('share the users: each stays where it is, and those of one that is lost are spread over the others until it is back', async () => {
    const { relay, clock, until } = pool()
    await relay.start()
    expect(relay.state()).toBe('up')
    const before = USERS.map((user) => relay.placeFor(user)?.port)
    const all = [...new Set(before)]
    expect(all).toHaveLength(3)
    expect(USERS.map((user) => relay.placeFor(user)?.port)).toEqual(before)

    process.kill(relay.pids[0] ?? 0, 'SIGKILL')
    await until(() => relay.workers()[0]?.state === 'down')
    expect(relay.state()).toBe('up')
    expect(relay.workers().map(({ state }) => state)).toEqual(['down', 'up', 'up'])
    const meanwhile = USERS.map((user) => relay.placeFor(user)?.port)
    const [lost, ...others] = all.filter((port) => !meanwhile.includes(port))
    expect(others).toEqual([])
    expect(meanwhile.filter((port, each) => before[each] !== lost && port !== before[each])).toEqual([])
    expect(new Set(meanwhile.filter((_, each) => before[each] === lost)).size).toBe(2)

    await clock.advance(1000)
    await until(() => relay.workers()[0]?.state === 'up')
    const after = USERS.map((user) => relay.placeFor(user)?.port)
    expect(after.map((port, each) => port === before[each])).toEqual(before.map((port) => port !== lost))
    expect(relay.workers().map(({ restarts }) => restarts)).toEqual([1, 0, 0])
  })

  test('are all that they are said to be: each answers with the credentials of its users, and counts for itself', async () => {
    const { relay, until } = pool()
    await relay.start()
    const served = new Map(USERS.map((user) => [relay.placeFor(user)?.port, user]))
    for (const [port, user] of served) {
      const credential = mint(SECRET, user, Date.now() / 1000 + 600)
      const client = closing(await TurnClient.open({ address: '127.0.0.1', port: port ?? 1 }, credential))
      expect((await client.allocate()).class).toBe(CLASS.success)
    }
    await until(() => relay.workers().every(({ allocations }) => allocations === 1))
    expect(relay.workers().map(({ allocationsMade }) => allocationsMade)).toEqual([1, 1, 1])
  })

  test('let two parties who are on different ones talk, and nobody reach anything else of this machine', async () => {
    const settings = { ...SETTINGS, allowPeers: [], minPort: 21_000, maxPort: 21_399 }
    const { relay } = pool({ settings, workers: 2 })
    await relay.start()
    const on = async (user: string) => {
      const credential = mint(SECRET, user, Date.now() / 1000 + 600)
      const port = relay.placeFor(user)?.port ?? 1
      return { port, client: closing(await TurnClient.open({ address: '127.0.0.1', port }, credential)) }
    }
    const alice = await on('user-0')
    const other = USERS.find((user) => relay.placeFor(user)?.port !== alice.port) ?? ''
    const bob = await on(other)
    const [here, there] = [await alice.client.relayed(), await bob.client.relayed()]
    await alice.client.permit(there)
    await bob.client.permit(here)
    alice.client.indicate(there, 'hello')
    expect(await bob.client.hears()).toEqual({ from: here, data: Buffer.from('hello') })
    bob.client.indicate(here, 'good day')
    expect(await alice.client.hears()).toEqual({ from: there, data: Buffer.from('good day') })

    const local = closing(await Peer.open())
    expect(local.local.port < 21_000 || local.local.port > 21_399).toBe(true)
    await alice.client.permit(local.local)
    alice.client.indicate(local.local, 'not for you')
    alice.client.indicate(there, 'after it')
    expect((await bob.client.hears()).data.toString()).toBe('after it')
    closing(await Peer.open()).say(local.local, 'the first that came')
    expect((await local.next()).bytes.toString()).toBe('the first that came')
  })

  test('are down when all are, and off after stop()', async () => {
    const { relay, until } = pool({ workers: 2 })
    expect(relay.state()).toBe('starting')
    expect(relay.placeFor('alice')).toBeUndefined()
    await relay.start()
    for (const pid of relay.pids) process.kill(pid ?? 0, 'SIGKILL')
    await until(() => relay.state() === 'down')
    expect(relay.placeFor('alice')).toBeUndefined()
    await relay.stop()
    expect(relay.state()).toBe('off')
    expect(relay.pids).toEqual([undefined, undefined])
  })
})

describe('what clients are told', () => {
  test('is the public addresses, or the name in their stead', async () => {
    const { relay } = pool({ workers: 1 })
    await relay.start()
    expect(relay.placeFor('alice')).toEqual({ hosts: ['127.0.0.1'], port: expect.any(Number) })
    const named = pool({ workers: 1, host: 'turn.example.org' }).relay
    await named.start()
    expect(named.placeFor('alice')?.hosts).toEqual(['turn.example.org'])
  })

  test('is TLS as well, where its certificate is for a name and has not ended', async () => {
    const settings: RelaySettings = { ...SETTINGS, tls: { port: 0, certificate: 'self-made' } }
    const named = pool({ settings, workers: 1, tlsHost: 'turn.example.org' })
    const unnamed = pool({ settings, workers: 1 })
    const inHundredYears = new TestClock(Date.now() + 100 * 366 * 86_400_000)
    const ended = pool({ settings, workers: 1, tlsHost: 'turn.example.org' }, inHundredYears)
    await Promise.all([named, unnamed, ended].map(({ relay }) => relay.start()))
    const place = named.relay.placeFor('alice')
    expect(place?.tls).toEqual({ host: 'turn.example.org', port: expect.any(Number) })
    expect(place?.tls?.port).not.toBe(place?.port)
    expect(unnamed.relay.placeFor('alice')).not.toHaveProperty('tls')
    expect(ended.relay.placeFor('alice')).not.toHaveProperty('tls')
    expect(ended.relay.state()).toBe('up')
  })
})
