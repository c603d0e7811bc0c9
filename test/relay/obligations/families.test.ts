/** RFC 8656, section 7.2: relayed addresses of IPv4 and IPv6, and ports that are reserved. */

import { describe, expect } from '@jest/globals'
import { onIPv6 } from '../fixture.ts'
import { ATTR, type Attribute, attribute, CLASS, METHOD, UDP } from '../turn-client.ts'
import { coturn, rfc, target } from './target.ts'

const open = target({ ips: ['127.0.0.1', '::1'] })

const V6_LOOPBACK = '0:0:0:0:0:0:0:1'
const wants = (number: number) => attribute(ATTR.requestedAddressFamily, number * 0x1000000)
const also = (number: number) => attribute(ATTR.additionalAddressFamily, number * 0x1000000)
const EVEN = attribute(ATTR.evenPort, Buffer.from([0]))
const EVEN_AND_NEXT = attribute(ATTR.evenPort, Buffer.from([0x80]))

describe.each(['127.0.0.1', '::1'])('RFC 8656, section 7.2: a client at %s', (ip) => {
  const arrives = async () => {
    const relay = await open()
    return { ...relay, alice: await relay.client(undefined, { ip }) }
  }

  onIPv6('that names no family gets IPv4', async () => {
    const { alice } = await arrives()
    expect((await alice.relayed()).address).toBe('127.0.0.1')
  })

  onIPv6('that asks for IPv6 gets it, and exchanges data with a peer there', async () => {
    const { alice, peer } = await arrives()
    const relayed = await alice.relayed(wants(2))
    expect(relayed.address).toBe(V6_LOOPBACK)
    const bob = await peer('::1')
    const hisAddress = { address: V6_LOOPBACK, port: bob.local.port }
    expect((await alice.permit(hisAddress)).class).toBe(CLASS.success)
    alice.indicate(hisAddress, 'over six')
    const { bytes, from } = await bob.next()
    expect([bytes.toString(), from.port]).toEqual(['over six', relayed.port])
    bob.say({ address: '::1', port: relayed.port }, 'and back')
    expect(await alice.hears()).toEqual({ from: hisAddress, data: Buffer.from('and back') })
  })

  onIPv6('that asks for IPv6 alone may have no IPv4 peer: 443', async () => {
    const { alice } = await arrives()
    await alice.relayed(wants(2))
    expect((await alice.permit({ address: '127.0.0.1', port: 9 })).code).toBe(443)
    expect((await alice.bind(0x4000, { address: '127.0.0.1', port: 9 })).code).toBe(443)
  })

  onIPv6('that asks for IPv6 besides gets both, and peers of both', async () => {
    const { alice, peer } = await arrives()
    const reply = await alice.allocate(also(2))
    const relayed = reply.addresses(ATTR.xorRelayedAddress)
    // coturn knows the attribute by a number from before the RFC
    expect(relayed.map(({ address }) => address).sort()).toEqual(
      rfc([V6_LOOPBACK, '127.0.0.1'], { coturn: ['127.0.0.1'] }),
    )
    if (coturn) return
    const [bob, carol] = [await peer(), await peer('::1')]
    const hers = { address: V6_LOOPBACK, port: carol.local.port }
    expect((await alice.permit(bob.local, hers)).class).toBe(CLASS.success)
    alice.indicate(bob.local, 'four')
    alice.indicate(hers, 'six')
    expect([(await bob.next()).bytes.toString(), (await carol.next()).bytes.toString()]).toEqual(['four', 'six'])
    for (const { address, port } of relayed) {
      if (address === V6_LOOPBACK) carol.say({ address: '::1', port }, 'from six')
      else bob.say({ address, port }, 'from four')
    }
    const heard = [(await alice.hears()).data.toString(), (await alice.hears()).data.toString()]
    expect(heard.sort()).toEqual(['from four', 'from six'])
  })
})

describe('amplification over IPv6', () => {
  onIPv6('the answer to a Binding request is as small as can be: a header and an address of 16 octets', async () => {
    const { client } = await open()
    const alice = await client(undefined, { ip: '::1' })
    const { raw } = await alice.ask({ method: METHOD.binding })
    // more than twice the smallest request there is, which has 20 octets: nothing smaller is an answer
    expect(raw.length <= 44).toBe(rfc(true, { coturn: false }))
  })
})

describe('RFC 8656, section 8.2: Refresh of one of two families', () => {
  onIPv6('to 0 ends that one, and the other goes on', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate(also(2))
    const attributes = [attribute(ATTR.lifetime, 0), wants(2)]
    const reply = await alice.request({ method: METHOD.refresh, attributes })
    expect(reply.code).toBe(rfc<number | undefined>(undefined, { coturn: 443 }))
    expect((await alice.permit({ address: '127.0.0.1', port: 9 })).class).toBe(CLASS.success)
    expect((await alice.permit({ address: V6_LOOPBACK, port: 9 })).code).toBe(443)
  })
})

describe('RFC 8656, section 7.2: what may not be asked for together', () => {
  onIPv6.each<[string, Attribute[], number | undefined]>([
    ['a family and an additional one', [wants(1), also(2)], undefined],
    ['IPv4 as the additional one', [also(1)], undefined],
    ['an additional family and a reserved port', [also(2), EVEN_AND_NEXT], undefined],
    ['an additional family and a token', [also(2), attribute(ATTR.reservationToken, Buffer.alloc(8, 1))], 404],
  ])('%s is 400', async (_what, attributes, coturns) => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const { code } = await alice.request({ method: METHOD.allocate, attributes: [UDP, ...attributes] })
    expect(code).toBe(rfc<number | undefined>(400, { coturn: coturns }))
  })
})

describe('RFC 8656, section 7.2: EVEN-PORT and RESERVATION-TOKEN', () => {
  onIPv6('without the R bit there is an even port and no token', async () => {
    const { client } = await open()
    const reply = await (await client()).allocate(EVEN)
    expect((reply.address(ATTR.xorRelayedAddress)?.port ?? 1) % 2).toBe(0)
    expect(reply.get(ATTR.reservationToken)).toBeUndefined()
  })

  onIPv6('with the R bit the next port is kept, and whoever of the user has the token gets it, once', async () => {
    const { client } = await open()
    const name = 'who-reserves'
    const reply = await (await client(name)).allocate(EVEN_AND_NEXT)
    const { port } = reply.address(ATTR.xorRelayedAddress) ?? { port: 1 }
    const token = reply.get(ATTR.reservationToken) ?? Buffer.alloc(0)
    expect([port % 2, token.length]).toEqual([0, 8])
    const second = await client(name)
    expect((await second.relayed([ATTR.reservationToken, token])).port).toBe(port + 1)
    const third = await client(name)
    expect((await third.allocate([ATTR.reservationToken, token])).code).toBe(rfc(508, { coturn: 404 }))
  })
})
