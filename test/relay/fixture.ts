/** A relay in this process, on a clock that a test holds in its hand, with clients and peers around it. */

import { networkInterfaces } from 'node:os'
import { afterEach, expect, test } from '@jest/globals'
import type { RelaySettings } from '../../src/adapters/node-turn/options.ts'
import { type RelayNews, RelayServer } from '../../src/adapters/node-turn/server.ts'
import { mint } from '../../src/turn/credentials.ts'
import { TestClock } from '../support/clock.ts'
import { type Address, type Credential, Peer, type Transport, TurnClient } from './turn-client.ts'

export const SECRET = 'a secret of the relay'

const open: (() => void | Promise<void>)[] = []

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

export interface Fixture {
  readonly server: RelayServer
  readonly clock: TestClock
  /** UDP and TCP. */
  readonly address: Address
  /** Where it was told to listen for TLS. */
  readonly tlsAddress: Address
  /** Credentials that are good for `seconds` from now. */
  credential(user: string, seconds?: number): Credential
  client(user?: string, transport?: Transport): Promise<TurnClient>
  peer(ip?: string): Promise<Peer>
}

/** Loopback is allowed, faults fail the test unless it takes the reports itself, and no test is about the bound on challenges unless it says so. */
export async function relay(settings: Partial<RelaySettings> = {}, news: Partial<RelayNews> = {}): Promise<Fixture> {
  const clock = new TestClock()
  const faults: unknown[] = []
  const server = new RelayServer(
    {
      listenIps: ['127.0.0.1'],
      port: 0,
      publicIps: ['127.0.0.1'],
      secrets: [SECRET],
      allowPeers: ['127.0.0.0/8'],
      challengesPerSecond: 10_000,
      ...settings,
    },
    clock,
    { report: (fault) => faults.push(fault), ...news },
  )
  const { port, tlsPort } = await server.start()
  const ip = settings.listenIps?.[0] ?? '127.0.0.1'
  const address = { address: ip, port }
  const tlsAddress = { address: ip, port: tlsPort ?? 0 }
  open.push(async () => {
    await server.stop()
    expect(faults).toEqual([])
  })
  const credential = (user: string, seconds = 3600) => mint(SECRET, user, clock.now() / 1000 + seconds)
  return {
    server,
    clock,
    address,
    tlsAddress,
    credential,
    client: async (user = 'alice', transport = 'udp') =>
      closing(await TurnClient.open(transport === 'tls' ? tlsAddress : address, credential(user), transport)),
    peer: async (ip = '127.0.0.1') => closing(await Peer.open(ip)),
  }
}

/** Closes it after the test. */
export function closing<T extends { close(): void }>(thing: T): T {
  open.push(() => thing.close())
  return thing
}

/** A machine may have no IPv6 at all. */
export const onIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  ? test
  : test.skip
