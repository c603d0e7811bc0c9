/** RFC 8656, sections 3.1 and 12.5; RFC 8489, section 6.2.2: clients that come over TCP and TLS. */

import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { ATTR, attribute, CLASS, encode, METHOD, Reply, type Transport, UDP, xorAddress } from '../turn-client.ts'
import { REALM, rfc, target } from './target.ts'

const open = target({ tls: true })

describe.each<Transport>(['tcp', 'tls'])('RFC 8656, section 3.1: a client over %s', (transport) => {
  const arrives = async () => {
    const relay = await open()
    return { ...relay, alice: await relay.client(undefined, { transport }) }
  }

  test('hears its own address as the server sees it (RFC 8489, section 14.2)', async () => {
    const { alice } = await arrives()
    const reply = await alice.ask({ method: METHOD.binding })
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
  })

  test('is asked for credentials, and gets a relayed address for them', async () => {
    const { alice } = await arrives()
    const challenge = await alice.greet()
    expect([challenge.code, challenge.get(ATTR.realm)?.toString()]).toEqual([401, REALM])
    const reply = await alice.allocate()
    expect([reply.class, reply.lifetime, reply.signedWith(alice.key)]).toEqual([CLASS.success, 600, true])
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
  })

  test('exchanges Send and Data indications with a peer, which hears UDP', async () => {
    const { alice, peer } = await arrives()
    const bob = await peer()
    const relayed = await alice.relayed()
    await alice.permit(bob.local)
    for (const data of ['x', 'four', 'x'.repeat(1200)]) {
      alice.indicate(bob.local, data)
      expect(await bob.next()).toEqual({ bytes: Buffer.from(data), from: relayed })
      bob.say(relayed, data)
      expect(await alice.hears()).toEqual({ from: bob.local, data: Buffer.from(data) })
    }
  })

  test('12.5: exchanges ChannelData that is padded to four octets, and the peer sees no padding', async () => {
    const { alice, peer } = await arrives()
    const bob = await peer()
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    for (const data of ['x', 'xx', 'xxx', 'xxxx', 'x'.repeat(1199)]) {
      alice.channelData(0x4000, data)
      expect((await bob.next()).bytes.toString()).toBe(data)
      bob.say(relayed, data)
      expect(await alice.hearsChannel()).toEqual({ channel: 0x4000, data: Buffer.from(data) })
    }
  })

  test('12.5: may send several messages in one piece, and one message in many', async () => {
    const { alice, peer } = await arrives()
    const bob = await peer()
    await alice.relayed()
    await alice.bind(0x4000, bob.local)
    const transaction = randomBytes(12)
    const indication = encode({
      method: METHOD.send,
      class: CLASS.indication,
      transaction,
      attributes: [xorAddress(ATTR.xorPeerAddress, bob.local, transaction), attribute(ATTR.data, 'three')],
    })
    const channelData = (data: string) => {
      const octets = Buffer.alloc(4 + data.length + (-data.length & 3))
      octets.writeUInt16BE(0x4000)
      octets.writeUInt16BE(data.length, 2)
      octets.write(data, 4)
      return octets
    }
    const stream = Buffer.concat([channelData('one'), channelData('two.5'), indication, channelData('four')])
    alice.sendRaw(stream)
    for (const octet of stream) alice.sendRaw(Buffer.from([octet]))
    for (const text of ['one', 'two.5', 'three', 'four', 'one', 'two.5', 'three', 'four']) {
      expect((await bob.next()).bytes.toString()).toBe(text)
    }
  })

  test('that says what makes no sense is cut off (RFC 8489, section 6.3: a stream cannot go on)', async () => {
    const { alice } = await arrives()
    alice.sendRaw(Buffer.concat([Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(40_000, 0xff)]))
    await alice.closed
  })

  test('that is gone leaves an allocation that no other connection has', async () => {
    const { alice, client } = await arrives()
    await alice.allocate()
    alice.close()
    const other = await client(undefined, { transport })
    await other.greet()
    expect((await other.refresh()).code).toBe(437)
  })

  test('and one over UDP are heard by each other', async () => {
    const { alice, client } = await arrives()
    const bob = await client()
    const [hers, his] = [await alice.relayed(), await bob.relayed()]
    await alice.bind(0x4000, his)
    await bob.permit(hers)
    alice.channelData(0x4000, 'from a stream')
    expect(await bob.hears()).toEqual({ from: hers, data: Buffer.from('from a stream') })
    bob.indicate(hers, 'from datagrams')
    expect(await alice.hearsChannel()).toEqual({ channel: 0x4000, data: Buffer.from('from datagrams') })
  })

  test('has no relayed TCP, which is RFC 6062 (RFC 8656, section 7.2: 442)', async () => {
    const { alice } = await arrives()
    await alice.greet()
    const attributes = [attribute(ATTR.requestedTransport, 6 * 0x1000000)]
    const reply = await alice.request({ method: METHOD.allocate, attributes })
    expect(reply.code).toBe(rfc<number | undefined>(442, { coturn: undefined }))
  })

  test('that sends its Allocate twice is answered twice in the same way', async () => {
    const { alice } = await arrives()
    await alice.greet()
    const message = encode(alice.signed({ method: METHOD.allocate, attributes: [UDP] }))
    alice.sendRaw(message)
    const first = new Reply((await alice.next()).bytes)
    alice.sendRaw(message)
    const second = new Reply((await alice.next()).bytes)
    expect(second.address(ATTR.xorRelayedAddress)).toEqual(first.address(ATTR.xorRelayedAddress))
  })
})
