/**
 * Nobody uses the relay to reach inside: each range tried with real packets, beside a listener that would hear them and
 * that does hear them as soon as the operator opens the range.
 */

import { networkInterfaces } from 'node:os'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { RelaySettings } from '../../src/adapters/node-turn/options.ts'
import { ServerProcess } from '../support/process.ts'
import { closing, onIPv6, relay } from './fixture.ts'
import { type Address, ATTR, attribute, CLASS, Peer, TurnClient } from './turn-client.ts'

/** First, last, and one in between. */
const RANGES_4 = [
  ['this network, 0.0.0.0/8', ['0.0.0.0', '0.1.2.3', '0.255.255.255']],
  ['private, 10.0.0.0/8', ['10.0.0.0', '10.1.2.3', '10.255.255.255']],
  ['carriers’ NAT, 100.64.0.0/10', ['100.64.0.0', '100.100.100.200', '100.127.255.255']],
  ['loopback, 127.0.0.0/8', ['127.0.0.1', '127.1.2.3', '127.255.255.254']],
  ['link-local, 169.254.0.0/16', ['169.254.0.0', '169.254.169.254', '169.254.255.255']],
  ['private, 172.16.0.0/12', ['172.16.0.0', '172.17.0.1', '172.31.255.255']],
  ['protocol assignments, 192.0.0.0/24', ['192.0.0.0', '192.0.0.192', '192.0.0.255']],
  ['documentation, 192.0.2.0/24', ['192.0.2.0', '192.0.2.255']],
  ['6to4 relays, 192.88.99.0/24', ['192.88.99.0', '192.88.99.255']],
  ['private, 192.168.0.0/16', ['192.168.0.0', '192.168.1.1', '192.168.255.255']],
  ['benchmarks, 198.18.0.0/15', ['198.18.0.0', '198.19.255.255']],
  ['documentation, 198.51.100.0/24', ['198.51.100.0', '198.51.100.255']],
  ['documentation, 203.0.113.0/24', ['203.0.113.0', '203.0.113.255']],
  ['multicast, 224.0.0.0/4', ['224.0.0.1', '224.0.0.251', '239.255.255.250']],
  ['reserved and broadcast, 240.0.0.0/4', ['240.0.0.0', '255.255.255.255']],
  ['every address of this machine', addressesOf('IPv4')],
] as const

const RANGES_6 = [
  ['unspecified, and IPv4-compatible, ::/96', ['0:0:0:0:0:0:0:0', '0:0:0:0:0:0:7f00:1']],
  ['loopback, ::1', ['0:0:0:0:0:0:0:1']],
  ['IPv4-mapped, ::ffff:0:0/96', ['0:0:0:0:0:ffff:7f00:1', '0:0:0:0:0:ffff:a00:1', '0:0:0:0:0:ffff:808:808']],
  [
    'NAT64, 64:ff9b::/96 and 64:ff9b:1::/48',
    ['64:ff9b:0:0:0:0:7f00:1', '64:ff9b:0:0:0:0:808:808', '64:ff9b:1:0:0:0:0:1'],
  ],
  ['discard, 100::/64', ['100:0:0:0:0:0:0:1']],
  ['protocol assignments and Teredo, 2001::/23', ['2001:0:0:0:0:0:0:1', '2001:1ff:ffff:0:0:0:0:1']],
  ['documentation, 2001:db8::/32 and 3fff::/20', ['2001:db8:0:0:0:0:0:1', '3fff:0:0:0:0:0:0:1']],
  ['6to4, 2002::/16', ['2002:7f00:1:0:0:0:0:1', '2002:808:808:0:0:0:0:1']],
  ['segment routing, 5f00::/16', ['5f00:0:0:0:0:0:0:1']],
  ['private, fc00::/7', ['fc00:0:0:0:0:0:0:1', 'fdff:ffff:0:0:0:0:0:1']],
  ['link-local, fe80::/10', ['fe80:0:0:0:0:0:0:1', 'febf:ffff:0:0:0:0:0:1']],
  ['site-local, fec0::/10', ['fec0:0:0:0:0:0:0:1']],
  ['multicast, ff00::/8', ['ff02:0:0:0:0:0:0:1', 'ff05:0:0:0:0:0:0:2']],
  ['every address of this machine', addressesOf('IPv6').map(inFull)],
] as const

/** The relay says that it is elsewhere, so that this machine's own addresses are inside for it like any other's. */
const ELSEWHERE: Partial<RelaySettings> = { listenIps: ['0.0.0.0'], publicIps: ['198.41.0.4'], allowPeers: [] }
const ELSEWHERE_6: Partial<RelaySettings> = { listenIps: ['::'], publicIps: ['2606:4700::1'], allowPeers: [] }

/** Hears everything that is sent to this machine, whatever the address. */
async function listener(
  ip: '0.0.0.0' | '::',
): Promise<{ port: number; heard: () => number; next: () => Promise<Buffer> }> {
  const peer = closing(await Peer.open(ip))
  return {
    port: peer.local.port,
    heard: () => peer.unread,
    next: async () => (await peer.next()).bytes,
  }
}

const IPV6 = attribute(ATTR.requestedAddressFamily, 2 * 0x1000000)

async function allocated(settings: Partial<RelaySettings>, family?: 6): Promise<TurnClient> {
  const { address, credential } = await relay(settings)
  const here = { ...address, address: family ? '::1' : '127.0.0.1' }
  const alice = closing(await TurnClient.open(here, credential('alice')))
  await alice.relayed(...(family ? [IPV6] : []))
  return alice
}

/** Every way in which a client can name a peer: what must be refused is, and then it sends all the same. */
async function expectDenied(alice: TurnClient, peer: Address): Promise<void> {
  const permit = await alice.permit(peer)
  const bind = await alice.bind(0x4000, peer)
  expect([peer.address, permit.code, bind.code]).toEqual([peer.address, 403, 403])
  expect([permit.signedWith(alice.key), bind.signedWith(alice.key)]).toEqual([true, true])
  alice.indicate(peer, 'by Send')
  alice.channelData(0x4000, 'by channel')
  await alice.nothingCame()
}

describe('peers that the relay denies unless it is told otherwise', () => {
  test.each(RANGES_4)('%s: 403, and nothing is sent', async (_range, addresses) => {
    const inside = await listener('0.0.0.0')
    const alice = await allocated(ELSEWHERE)
    for (const address of addresses) await expectDenied(alice, { address, port: inside.port })
    expect(addresses.length).toBeGreaterThan(0)
    expect(inside.heard()).toBe(0)
  })

  test.each([...new Set(['127.0.0.1', '127.1.2.3', '127.255.255.254', '0.0.0.0', ...addressesOf('IPv4')])])(
    'what is sent to %s does arrive once the operator opens it: the listener above is not deaf',
    async (address) => {
      const inside = await listener('0.0.0.0')
      const alice = await allocated({ ...ELSEWHERE, allowPeers: [`${address}/32`] })
      expect((await alice.permit({ address, port: inside.port })).class).toBe(CLASS.success)
      alice.indicate({ address, port: inside.port }, 'hello inside')
      expect((await inside.next()).toString()).toBe('hello inside')
    },
  )

  onIPv6('each range of IPv6: 403, and nothing is sent', async () => {
    const inside = await listener('::')
    const alice = await allocated(ELSEWHERE_6, 6)
    for (const [, addresses] of RANGES_6) {
      for (const address of addresses) await expectDenied(alice, { address, port: inside.port })
    }
    expect(inside.heard()).toBe(0)
  })

  onIPv6('what is sent to ::1 does arrive once the operator opens it', async () => {
    const inside = await listener('::')
    const alice = await allocated({ ...ELSEWHERE_6, allowPeers: ['::1'] }, 6)
    const peer = { address: '0:0:0:0:0:0:0:1', port: inside.port }
    expect((await alice.permit(peer)).class).toBe(CLASS.success)
    alice.indicate(peer, 'hello inside')
    expect((await inside.next()).toString()).toBe('hello inside')
  })

  test('an IPv6 peer of an IPv4 relayed address is 443, so an IPv4-mapped one is no way around', async () => {
    const inside = await listener('0.0.0.0')
    const alice = await allocated(ELSEWHERE)
    for (const address of ['0:0:0:0:0:ffff:7f00:1', '0:0:0:0:0:0:0:1', '64:ff9b:0:0:0:0:7f00:1']) {
      expect((await alice.permit({ address, port: inside.port })).code).toBe(443)
      alice.indicate({ address, port: inside.port }, 'around')
    }
    await alice.nothingCame()
    expect(inside.heard()).toBe(0)
  })
})

describe('what the operator says', () => {
  test('a denied block is denied though it is open to everybody else, and though it is allowed', async () => {
    const alice = await allocated({ ...ELSEWHERE, allowPeers: ['127.0.0.0/8'], denyPeers: ['1.1.1.0/24', '127.0.0.2'] })
    await expectDenied(alice, { address: '1.1.1.1', port: 53 })
    await expectDenied(alice, { address: '127.0.0.2', port: 53 })
    expect((await alice.permit({ address: '1.1.2.1', port: 53 })).class).toBe(CLASS.success)
    expect((await alice.permit({ address: '127.0.0.3', port: 53 })).class).toBe(CLASS.success)
  })

  onIPv6('a denied IPv4 block is denied in its IPv6 spellings, whatever else is allowed', async () => {
    const settings = { ...ELSEWHERE_6, allowPeers: ['::/0', '0.0.0.0/0'], denyPeers: ['10.0.0.0/8'] }
    const alice = await allocated(settings, 6)
    await expectDenied(alice, { address: '0:0:0:0:0:ffff:a01:203', port: 53 })
    await expectDenied(alice, { address: '64:ff9b:0:0:0:0:a01:203', port: 53 })
    await expectDenied(alice, { address: '2002:a01:203:0:0:0:0:1', port: 53 })
  })
})

describe('TURN_ALLOW_PEERS and TURN_DENY_PEERS', () => {
  const running: ServerProcess[] = []

  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.ends()))
  })

  test('reach the relay’s process as they are written', async () => {
    const server = new ServerProcess({
      TURN_ALLOW_PEERS: '127.0.0.0/8, 10.1.0.0/16',
      TURN_DENY_PEERS: '127.0.0.2,10.1.2.0/24,1.1.1.1',
    })
    running.push(server)
    const alice = await clientOf(await server.url())
    await alice.relayed()
    const bob = closing(await Peer.open('127.0.0.3'))
    expect((await alice.permit(bob.local)).class).toBe(CLASS.success)
    alice.indicate(bob.local, 'allowed')
    expect((await bob.next()).bytes.toString()).toBe('allowed')
    for (const address of ['127.0.0.2', '10.1.2.3', '10.2.0.1', '1.1.1.1', '192.168.1.1', '169.254.169.254']) {
      await expectDenied(alice, { address, port: 53 })
    }
    expect((await alice.permit({ address: '10.1.3.3', port: 53 })).class).toBe(CLASS.success)
    expect((await alice.permit({ address: '1.1.1.2', port: 53 })).class).toBe(CLASS.success)
  })
})

/** A client with the credentials and the address that the server tells. */
async function clientOf(url: string): Promise<TurnClient> {
  const answer = await fetch(`${url}/demo/token`, { method: 'POST', body: '{"userId":"alice"}' })
  const { data } = (await answer.json()) as { data: { token: string } }
  const turn = await fetch(`${url}/imserver/turn/get-turn-credentials`, { headers: { ide: data.token } })
  const { iceServers } = ((await turn.json()) as { data: { iceServers: IceServer[] } }).data
  const { url: at = '', username = '', credential = '' } = iceServers.find((one) => /^turn:.*udp$/.test(one.url)) ?? {}
  const [, address = '', port] = /^turn:([\d.]+):(\d+)/.exec(at) ?? []
  return closing(await TurnClient.open({ address, port: Number(port) }, { username, credential }))
}

interface IceServer {
  readonly url: string
  readonly username: string
  readonly credential: string
}

function addressesOf(family: 'IPv4' | 'IPv6'): string[] {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter((each) => each.family === family)
    .map(({ address }) => address)
}

/** All eight groups, as this client writes addresses. */
function inFull(address: string): string {
  const [head = '', tail = ''] = address.split('::').map((half) => half.split(':').filter(Boolean).join(':'))
  const [before, behind] = [head, tail].map((half) => half.split(':').filter(Boolean)) as [string[], string[]]
  const zeros = address.includes('::') ? 8 - before.length - behind.length : 0
  return [...before, ...Array<string>(zeros).fill('0'), ...behind].join(':')
}
