/** RFC 8656, sections 9 to 12: permissions, indications, channels. Each title names the section. */

import { describe, expect, test } from '@jest/globals'
import { type Address, ATTR, attribute, CLASS, METHOD, type Peer, type TurnClient, xorAddress } from '../turn-client.ts'
import { outcome, rfc, type Target, target } from './target.ts'

const open = target()

interface Pair extends Target {
  readonly alice: TurnClient
  readonly relayed: Address
  readonly bob: Peer
}

/** A client with an allocation, and a peer that it has not permitted. */
async function pair(): Promise<Pair> {
  const relay = await open()
  const alice = await relay.client()
  return { ...relay, alice, relayed: await alice.relayed(), bob: await relay.peer() }
}

describe('RFC 8656, section 9: permissions', () => {
  test('without one nothing passes, either way', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const carol = await peer('127.0.0.2')
    await alice.permit(carol.local)
    bob.say(relayed, 'unwanted')
    alice.indicate(bob.local, 'unwanted')
    carol.say(relayed, 'wanted')
    expect((await alice.hears()).data.toString()).toBe('wanted')
    alice.indicate(carol.local, 'wanted')
    expect((await carol.next()).bytes.toString()).toBe('wanted')
    expect(bob.unread).toBe(0)
  })

  test('are for an address, whatever the port', async () => {
    const { alice, relayed, bob } = await pair()
    expect((await alice.permit({ address: '127.0.0.1', port: 9 })).class).toBe(CLASS.success)
    bob.say(relayed, 'from another port')
    expect((await alice.hears()).data.toString()).toBe('from another port')
  })

  test('belong to one allocation', async () => {
    const { alice, bob, client } = await pair()
    await alice.permit(bob.local)
    const other = await client()
    const relayed = await other.relayed()
    bob.say(relayed, 'not for you')
    await other.nothingCame()
  })
})

describe('RFC 8656, section 10.2: CreatePermission', () => {
  test('installs several at once, and its response is signed', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const carol = await peer('127.0.0.2')
    const reply = await alice.permit(bob.local, carol.local)
    expect(reply.class).toBe(CLASS.success)
    expect(reply.signedWith(alice.key)).toBe(true)
    for (const each of [bob, carol]) {
      each.say(relayed, 'hello')
      expect(await alice.hears()).toEqual({ from: each.local, data: Buffer.from('hello') })
    }
  })

  test('without a peer is 400', async () => {
    const { alice } = await pair()
    expect((await alice.permit()).code).toBe(400)
  })

  test('with a peer that is no address is 400', async () => {
    const { alice } = await pair()
    const attributes = [attribute(ATTR.xorPeerAddress, Buffer.from('0001', 'hex'))]
    const reply = await alice.request({ method: METHOD.createPermission, attributes })
    expect(reply.code).toBe(rfc(400, { coturn: 403 }))
  })

  test('without an allocation is 437', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    expect((await alice.permit({ address: '127.0.0.1', port: 1 })).code).toBe(rfc(437, { coturn: 400 }))
  })

  test('for a peer of another family is 443', async () => {
    const { alice } = await pair()
    expect((await alice.permit({ address: '2a00:1450:4001::1', port: 1 })).code).toBe(443)
  })

  test('for a peer that the operator denies is 403', async () => {
    const { alice } = await pair()
    expect((await alice.permit({ address: '10.1.2.3', port: 80 })).code).toBe(403)
  })

  test('of which one peer is denied installs none', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const carol = await peer('127.0.0.2')
    expect((await alice.permit(carol.local, { address: '10.1.2.3', port: 80 })).code).toBe(403)
    await alice.permit(bob.local)
    carol.say(relayed, 'no')
    bob.say(relayed, 'yes')
    expect((await alice.hears()).data.toString()).toBe('yes')
  })
})

describe('RFC 8656, section 11.2: Send', () => {
  test('goes out from the relayed address as it is', async () => {
    const { alice, relayed, bob } = await pair()
    await alice.permit(bob.local)
    for (const data of ['x', 'four', 'x'.repeat(1200)]) {
      alice.indicate(bob.local, data)
      expect(await bob.next()).toEqual({ bytes: Buffer.from(data), from: relayed })
    }
  })

  test('of no octets is a datagram of no octets', async () => {
    const { alice, bob } = await pair()
    await alice.permit(bob.local)
    alice.indicate(bob.local, '')
    alice.indicate(bob.local, 'next')
    expect((await bob.next()).bytes.toString()).toBe('')
  })

  test.each([
    ['without DATA', (peer: Address, id: Buffer) => [xorAddress(ATTR.xorPeerAddress, peer, id)]],
    ['without a peer', () => [attribute(ATTR.data, 'to whom?')]],
    [
      'with an attribute that must be understood and is not',
      (peer: Address, id: Buffer) => [
        xorAddress(ATTR.xorPeerAddress, peer, id),
        attribute(ATTR.data, 'unknown'),
        attribute(0x7abc, 'x'),
      ],
    ],
  ])('%s is silently discarded', async (_what, attributes) => {
    const { alice, bob } = await pair()
    await alice.permit(bob.local)
    const transaction = Buffer.alloc(12, 3)
    const draft = { method: METHOD.send, class: CLASS.indication, transaction }
    expect(await outcome(alice, { ...draft, attributes: attributes(bob.local, transaction) })).toBe('silence')
    alice.indicate(bob.local, 'understood')
    expect((await bob.next()).bytes.toString()).toBe('understood')
  })

  test('without an allocation is silently discarded', async () => {
    const { client, peer } = await open()
    const [alice, bob] = [await client(), await peer()]
    alice.indicate(bob.local, 'from nobody')
    await alice.nothingCame()
    expect(bob.unread).toBe(0)
  })
})

describe('RFC 8656, section 11.3: what a peer sends', () => {
  test.each([
    ['text', 'hello'],
    ['one octet', '@'],
    ['two octets that look like a channel', '@\0'],
    ['ChannelData', '@\0\0\x02hi'],
    ['a STUN request', '\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl'],
  ])('reaches the client in a Data indication that names the peer: %s', async (_what, text) => {
    const { alice, relayed, bob } = await pair()
    await alice.permit(bob.local)
    const data = Buffer.from(text, 'latin1')
    bob.say(relayed, data)
    expect(await alice.hears()).toEqual({ from: bob.local, data })
  })

  test('may be nothing at all', async () => {
    const { alice, relayed, bob } = await pair()
    await alice.permit(bob.local)
    bob.say(relayed, '')
    bob.say(relayed, 'next')
    expect((await alice.hears()).data.toString()).toBe('')
  })

  test('reaches two clients of this relay through each other’s relayed address', async () => {
    const { alice, relayed, client } = await pair()
    const carol = await client()
    const hers = await carol.relayed()
    await alice.permit(hers)
    await carol.permit(relayed)
    alice.indicate(hers, 'hello')
    expect(await carol.hears()).toEqual({ from: relayed, data: Buffer.from('hello') })
    carol.indicate(relayed, 'hello yourself')
    expect(await alice.hears()).toEqual({ from: hers, data: Buffer.from('hello yourself') })
  })
})

describe('RFC 8656, section 12.2: ChannelBind', () => {
  test('binds, installs the permission, and its response is signed', async () => {
    const { alice, relayed, bob } = await pair()
    const reply = await alice.bind(0x4000, bob.local)
    expect(reply.class).toBe(CLASS.success)
    expect(reply.signedWith(alice.key)).toBe(true)
    bob.say(relayed, 'permitted')
    expect((await alice.hearsChannel()).data.toString()).toBe('permitted')
  })

  test('again with the same peer renews', async () => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    expect((await alice.bind(0x4000, bob.local)).class).toBe(CLASS.success)
  })

  test.each([
    [0x3fff, 400, 400],
    [0x0000, 400, 400],
    [0x4fff, undefined, undefined],
    [0x5000, 400, undefined],
    [0x7ffe, 400, undefined],
    [0xffff, 400, 400],
  ])('has numbers from 0x4000 to 0x4FFF: %d', async (number, demanded, coturns) => {
    const { alice, bob } = await pair()
    expect((await alice.bind(number, bob.local)).code).toBe(rfc(demanded, { coturn: coturns }))
  })

  test('of a channel that another peer has is 400', async () => {
    const { alice, bob, peer } = await pair()
    await alice.bind(0x4000, bob.local)
    expect((await alice.bind(0x4000, (await peer()).local)).code).toBe(400)
  })

  test('of a peer that has another channel is 400', async () => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    expect((await alice.bind(0x4001, bob.local)).code).toBe(400)
  })

  test.each([
    ['a number', [xorAddress(ATTR.xorPeerAddress, { address: '127.0.0.1', port: 9 }, Buffer.alloc(12, 1))]],
    ['a peer', [attribute(ATTR.channelNumber, 0x40000000)]],
  ])('without %s is 400', async (_what, attributes) => {
    const { alice } = await pair()
    const draft = { method: METHOD.channelBind, transaction: Buffer.alloc(12, 1), attributes }
    expect((await alice.request(draft)).code).toBe(400)
  })

  test('ignores the reserved bits of CHANNEL-NUMBER (section 18.1)', async () => {
    const { alice, bob } = await pair()
    const transaction = Buffer.alloc(12, 2)
    const attributes = [
      attribute(ATTR.channelNumber, 0x4000ffff),
      xorAddress(ATTR.xorPeerAddress, bob.local, transaction),
    ]
    expect((await alice.request({ method: METHOD.channelBind, transaction, attributes })).class).toBe(CLASS.success)
  })

  test('without an allocation is 437', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    expect((await alice.bind(0x4000, { address: '127.0.0.1', port: 1 })).code).toBe(rfc(437, { coturn: 400 }))
  })

  test('for a peer of another family is 443, for one that is denied 403', async () => {
    const { alice } = await pair()
    expect((await alice.bind(0x4000, { address: '2a00:1450:4001::1', port: 1 })).code).toBe(443)
    expect((await alice.bind(0x4000, { address: '10.1.2.3', port: 1 })).code).toBe(403)
  })
})

describe('RFC 8656, sections 12.4 to 12.7: ChannelData', () => {
  test('carries data both ways', async () => {
    const { alice, relayed, bob } = await pair()
    await alice.bind(0x4abc, bob.local)
    for (const data of ['x', 'four', 'sixteen octets..', 'x'.repeat(1200)]) {
      alice.channelData(0x4abc, data)
      expect(await bob.next()).toEqual({ bytes: Buffer.from(data), from: relayed })
      bob.say(relayed, data)
      expect(await alice.hearsChannel()).toEqual({ channel: 0x4abc, data: Buffer.from(data) })
    }
  })

  test('12.4: of no octets is a datagram of no octets', async () => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    alice.channelData(0x4000, '')
    alice.channelData(0x4000, 'next')
    expect((await bob.next()).bytes.toString()).toBe('')
  })

  test('12.5: may be padded over UDP, and the padding is not passed on', async () => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    alice.sendRaw(Buffer.from('4000000161000000', 'hex'))
    expect((await bob.next()).bytes.toString()).toBe('a')
  })

  test.each([
    ['is shorter than it says', '40000008aabb'],
    ['has half a header', '4000'],
    ['is for a channel that is not bound', '4001000161000000'],
    ['has a reserved number', '50000001ff000000'],
  ])('12.6: is silently discarded when it %s', async (_what, hex) => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    expect(await outcome(alice, Buffer.from(hex, 'hex'))).toBe('silence')
    alice.channelData(0x4000, 'whole')
    expect((await bob.next()).bytes.toString()).toBe('whole')
  })

  test('12.6: without an allocation is silently discarded', async () => {
    const { client } = await open()
    const alice = await client()
    expect(await outcome(alice, Buffer.from('4000000161000000', 'hex'))).toBe('silence')
  })

  test('12.7: a permitted peer without a channel is heard in a Data indication', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const carol = await peer()
    await alice.bind(0x4000, bob.local)
    carol.say(relayed, 'the same address, another port')
    expect((await alice.hears()).from).toEqual(carol.local)
  })

  test('11.2: a peer with a channel may be sent to by Send all the same', async () => {
    const { alice, bob } = await pair()
    await alice.bind(0x4000, bob.local)
    alice.indicate(bob.local, 'an indication')
    expect((await bob.next()).bytes.toString()).toBe('an indication')
  })
})
