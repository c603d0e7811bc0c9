/** Relayed addresses of both families (RFC 8656, sections 7.2, 8.2 and 18.6 to 18.12), and reserved ports. */

import { createSocket } from 'node:dgram'
import { describe, expect, test } from '@jest/globals'
import { closing, onIPv6, relay } from './fixture.ts'
import { type Address, ATTR, attribute, CLASS, METHOD, type Reply, TurnClient } from './turn-client.ts'

const BOTH = { listenIps: ['127.0.0.1', '::1'], publicIps: ['127.0.0.1', '::1'], allowPeers: ['127.0.0.0/8', '::1'] }
const FOUR = attribute(ATTR.requestedAddressFamily, 0x1000000)
const SIX = attribute(ATTR.requestedAddressFamily, 2 * 0x1000000)
const AND_SIX = attribute(ATTR.additionalAddressFamily, 2 * 0x1000000)
const PAIR = attribute(ATTR.evenPort, Buffer.from([0x80]))
const LOOPBACK_6 = '0:0:0:0:0:0:0:1'

const relayedOf = (reply: Reply) => reply.addresses(ATTR.xorRelayedAddress).map(({ address }) => address)

describe('a relay with addresses of both families', () => {
  onIPv6('hears clients on both, over UDP, TCP and TLS, on the same ports', async () => {
    const { address, tlsAddress, credential } = await relay({ ...BOTH, tls: { port: 0, certificate: 'self-made' } })
    for (const ip of BOTH.listenIps) {
      for (const transport of ['udp', 'tcp', 'tls'] as const) {
        const { port } = transport === 'tls' ? tlsAddress : address
        const alice = closing(await TurnClient.open({ address: ip, port }, credential('alice'), transport))
        expect((await alice.allocate()).class).toBe(CLASS.success)
        expect((await alice.refresh(0)).lifetime).toBe(0)
      }
    }
  })

  onIPv6('gives the family that is asked for, and IPv4 when none is, whatever the client comes over', async () => {
    const { address, credential } = await relay(BOTH)
    for (const ip of BOTH.listenIps) {
      const client = async () =>
        closing(await TurnClient.open({ address: ip, port: address.port }, credential('alice')))
      expect(relayedOf(await (await client()).allocate())).toEqual(['127.0.0.1'])
      expect(relayedOf(await (await client()).allocate(FOUR))).toEqual(['127.0.0.1'])
      expect(relayedOf(await (await client()).allocate(SIX))).toEqual([LOOPBACK_6])
    }
  })

  onIPv6('keeps a client over IPv4 and one over IPv6 apart that have the same port', async () => {
    const { address, credential, server } = await relay(BOTH)
    const alice = closing(await TurnClient.open({ address: '127.0.0.1', port: address.port }, credential('alice')))
    const socket = closing(createSocket('udp6'))
    await new Promise<void>((resolve) => socket.bind(alice.local.port, '::1', resolve))
    await alice.allocate()
    expect(server.stats().allocations).toBe(1)
    const reply = new Promise<Buffer>((resolve) => socket.once('message', resolve))
    socket.send(Buffer.from('000100002112a442000102030405060708090a0b', 'hex'), address.port, '::1')
    expect((await reply).readUInt16BE(0)).toBe(0x0101)
    expect((await alice.refresh()).lifetime).toBe(600)
  })

  onIPv6('relays from an IPv6 address to IPv6 peers, also for a client over IPv4', async () => {
    const { client, peer } = await relay(BOTH)
    const [alice, bob] = [await client(), await peer('::1')]
    const [relayed] = (await alice.allocate(SIX)).addresses(ATTR.xorRelayedAddress) as [Address]
    await alice.bind(0x4000, { address: LOOPBACK_6, port: bob.local.port })
    alice.channelData(0x4000, 'hello')
    expect(await bob.next()).toEqual({ bytes: Buffer.from('hello'), from: { address: '::1', port: relayed.port } })
    bob.say({ address: '::1', port: relayed.port }, 'hello yourself')
    expect((await alice.hearsChannel()).data.toString()).toBe('hello yourself')
    expect((await alice.permit({ address: '127.0.0.1', port: 1 })).code).toBe(443)
  })
})

describe('a dual allocation', () => {
  onIPv6('has an address of each family, and carries packets of both, each with their own permissions', async () => {
    const { client, peer, server } = await relay(BOTH)
    const alice = await client()
    const reply = await alice.allocate(AND_SIX)
    expect(relayedOf(reply)).toEqual(['127.0.0.1', LOOPBACK_6])
    expect(reply.get(ATTR.addressErrorCode)).toBeUndefined()
    const [four, six] = [await peer(), await peer('::1')]
    const six6 = { address: LOOPBACK_6, port: six.local.port }
    expect((await alice.permit(four.local, six6)).class).toBe(CLASS.success)
    alice.indicate(four.local, 'to four')
    alice.indicate(six6, 'to six')
    expect((await four.next()).bytes.toString()).toBe('to four')
    expect((await six.next()).bytes.toString()).toBe('to six')
    expect((await alice.bind(0x4000, four.local)).class).toBe(CLASS.success)
    expect((await alice.bind(0x4000, six6)).code).toBe(400)
    expect((await alice.bind(0x4001, six6)).class).toBe(CLASS.success)
    alice.channelData(0x4001, 'to six')
    expect((await six.next()).bytes.toString()).toBe('to six')
    expect(server.stats()).toMatchObject({ allocations: 2, allocationsBy: { udp: 2 } })
  })

  onIPv6('is refreshed and ended for one family or for both', async () => {
    const { client, peer, server, clock } = await relay(BOTH)
    const alice = await client()
    await alice.allocate(AND_SIX)
    const refresh = (family: typeof SIX, lifetime: number) =>
      alice.request({ method: METHOD.refresh, attributes: [attribute(ATTR.lifetime, lifetime), family] })
    expect((await refresh(SIX, 0)).lifetime).toBe(0)
    expect(server.stats().allocations).toBe(1)
    expect((await refresh(SIX, 600)).code).toBe(443)
    expect((await alice.permit({ address: LOOPBACK_6, port: 1 })).code).toBe(443)
    const bob = await peer()
    expect((await alice.bind(0x4000, bob.local)).class).toBe(CLASS.success)
    expect((await alice.refresh(0)).lifetime).toBe(0)
    expect((await alice.refresh()).code).toBe(437)
    expect(server.portsInUse).toBe(0)

    await alice.allocate(AND_SIX)
    expect((await refresh(FOUR, 1200)).lifetime).toBe(1200)
    await clock.advance(600_000)
    expect(server.stats().allocations).toBe(1)
    await clock.advance(600_000)
    expect(server.stats().allocations).toBe(0)
  })

  test('on a relay with one family has that one, and the answer says why, also when it is asked again', async () => {
    const { client } = await relay()
    const alice = await client()
    await alice.greet()
    const draft = {
      method: METHOD.allocate,
      transaction: Buffer.alloc(12, 1),
      attributes: [attribute(0x19, 0x11000000), AND_SIX],
    }
    for (let time = 0; time < 2; time++) {
      const reply = await alice.request(draft)
      expect(relayedOf(reply)).toEqual(['127.0.0.1'])
      expect(reply.get(ATTR.addressErrorCode)).toEqual(Buffer.from([2, 0, 4, 40]))
      expect(reply.signedWith(alice.key)).toBe(true)
    }
  })

  onIPv6('for which there is one place left has one address', async () => {
    const { client } = await relay({ ...BOTH, allocations: 1 })
    const reply = await (await client()).allocate(AND_SIX)
    expect(relayedOf(reply)).toEqual(['127.0.0.1'])
    expect(reply.get(ATTR.addressErrorCode)).toEqual(Buffer.from([2, 0, 5, 8]))
  })

  onIPv6('for which there is no place left is refused', async () => {
    const { client } = await relay({ ...BOTH, allocationsPerUser: 1 })
    await (await client()).allocate()
    expect((await (await client()).allocate(AND_SIX)).code).toBe(486)
  })

  test.each([
    ['beside REQUESTED-ADDRESS-FAMILY', [FOUR, AND_SIX]],
    ['of IPv4', [attribute(ATTR.additionalAddressFamily, 0x1000000)]],
    ['with the next port', [AND_SIX, PAIR]],
    ['with a reservation', [AND_SIX, attribute(ATTR.reservationToken, Buffer.alloc(8))]],
  ])('asked for %s is 400', async (_what, attributes) => {
    const { client } = await relay()
    expect((await (await client()).allocate(...attributes)).code).toBe(400)
  })
})

describe('an even port and the next one', () => {
  const RANGE = { minPort: 21_200, maxPort: 21_203 }

  test('is kept for the token that comes along, whatever the client comes over, and for half a minute', async () => {
    const { client, server, clock } = await relay(RANGE)
    const alice = await client()
    const reply = await alice.allocate(PAIR)
    const { port } = reply.address(ATTR.xorRelayedAddress) ?? { port: 1 }
    expect(port % 2).toBe(0)
    const token = reply.get(ATTR.reservationToken) ?? Buffer.alloc(0)
    expect(token).toHaveLength(8)
    expect(server.portsInUse).toBe(2)
    const mallory = await client('mallory')
    expect((await mallory.allocate(attribute(ATTR.reservationToken, token))).code).toBe(508)
    const second = await client('alice', 'tcp')
    const next = await second.allocate(attribute(ATTR.reservationToken, token))
    expect(next.address(ATTR.xorRelayedAddress)?.port).toBe(port + 1)
    await clock.advance(30_000)
    expect((await second.refresh()).lifetime).toBe(600)

    const other = await client()
    const lapsing = (await other.allocate(PAIR)).get(ATTR.reservationToken) ?? Buffer.alloc(0)
    expect(server.portsInUse).toBe(4)
    await clock.advance(30_000)
    expect(server.portsInUse).toBe(3)
    const late = await client()
    expect((await late.allocate(attribute(ATTR.reservationToken, lapsing))).code).toBe(508)
    expect((await late.allocate()).class).toBe(CLASS.success)
  })

  test('takes two of the user’s places, and gives both back', async () => {
    const { client, clock, server } = await relay({ ...RANGE, allocationsPerUser: 2 })
    const alice = await client()
    await alice.allocate(PAIR)
    expect((await (await client()).allocate()).code).toBe(486)
    await alice.refresh(0)
    const second = await client()
    expect((await second.allocate(PAIR)).code).toBe(486)
    await clock.advance(30_000)
    expect((await second.allocate(PAIR)).class).toBe(CLASS.success)
    await server.stop()
    expect(server.portsInUse).toBe(0)
    expect(clock.waiting).toBe(0)
  })

  test('is refused with 508 where there are no two together, and leaves nothing behind', async () => {
    const { client, server } = await relay({ minPort: 21_211, maxPort: 21_212 })
    const alice = await client()
    expect((await alice.allocate(PAIR)).code).toBe(508)
    expect(server.portsInUse).toBe(0)
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })
})
