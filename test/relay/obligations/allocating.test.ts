/** RFC 8656, sections 7 and 8: making an allocation and keeping it. Each title names the section. */

import { describe, expect, test } from '@jest/globals'
import { ATTR, type Attribute, attribute, CLASS, encode, METHOD, Reply, UDP } from '../turn-client.ts'
import { coturn, rfc, target } from './target.ts'

const open = target()

const family = (number: number) => attribute(ATTR.requestedAddressFamily, number * 0x1000000)
const EVEN = attribute(ATTR.evenPort, Buffer.from([0]))
const token = (value: Buffer | string) => attribute(ATTR.reservationToken, Buffer.from(value))

describe('RFC 8656, section 7.2: Allocate', () => {
  test('gives a relayed address, a lifetime and the address the client was seen under', async () => {
    const { client } = await open()
    const alice = await client()
    const reply = await alice.allocate()
    expect(reply.class).toBe(CLASS.success)
    expect(reply.address(ATTR.xorRelayedAddress)?.address).toBe('127.0.0.1')
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
    expect(reply.lifetime).toBe(600)
  })

  test('gives every client a relayed address of its own', async () => {
    const { client } = await open()
    const ports = new Set<number>()
    for (let each = 0; each < 20; each++) ports.add((await (await client()).relayed()).port)
    expect(ports.size).toBe(20)
  })

  test('gives ports that do not follow from each other (section 21.1.3)', async () => {
    const { client } = await open()
    const ports: number[] = []
    for (let each = 0; each < 10; each++) ports.push((await (await client()).relayed()).port)
    const steps = new Set(ports.slice(1).map((port, at) => port - (ports[at] ?? 0)))
    expect(steps.size).toBeGreaterThan(5)
  })

  test.each([
    ['nothing is asked for', undefined, 600],
    ['less than the default is asked for', 60, 600],
    ['more than the default is asked for', 1200, 1200],
    ['more than the maximum is asked for', 86_400, 3600],
  ])('grants the lifetime when %s', async (_what, asked, granted) => {
    const { client } = await open()
    const reply = await (await client()).allocate(...(asked === undefined ? [] : [attribute(ATTR.lifetime, asked)]))
    expect(reply.lifetime).toBe(granted)
  })

  test('that is sent again is answered as the first time (same transaction)', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const message = encode(alice.signed({ method: METHOD.allocate, attributes: [UDP] }))
    alice.sendRaw(message)
    const first = new Reply((await alice.next()).bytes)
    alice.sendRaw(message)
    const second = new Reply((await alice.next()).bytes)
    expect(second.class).toBe(CLASS.success)
    expect(second.address(ATTR.xorRelayedAddress)).toEqual(first.address(ATTR.xorRelayedAddress))
  })

  test('on a 5-tuple that has an allocation is 437', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    expect((await alice.allocate()).code).toBe(437)
  })

  test.each<[string, Attribute[], number | undefined, number | undefined]>([
    ['no REQUESTED-TRANSPORT is 400', [], 400, 400],
    ['TCP as transport is 442', [attribute(ATTR.requestedTransport, 6 * 0x1000000)], 442, 400],
    ['a transport nobody knows is 442', [attribute(ATTR.requestedTransport, 99 * 0x1000000)], 442, 400],
    [
      'a REQUESTED-TRANSPORT of a wrong length is 400',
      [attribute(ATTR.requestedTransport, Buffer.from([17]))],
      400,
      400,
    ],
    ['a family nobody knows is 440', [UDP, family(9)], 440, 440],
    ['a token and an even port is 400', [UDP, token('12345678'), EVEN], 400, 400],
    ['a token and a family is 400', [UDP, token('12345678'), family(1)], 400, 400],
    ['a token that was never given is 508', [UDP, token('12345678')], 508, 404],
    ['an unknown attribute that must be understood is 420', [UDP, attribute(0x7abc, '')], 420, 420],
  ])('with %s', async (_what, attributes, demanded, coturns) => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const reply = await alice.request({ method: METHOD.allocate, attributes })
    expect(reply.code).toBe(rfc(demanded, { coturn: coturns }))
    expect(reply.signedWith(alice.key)).toBe(true)
  })

  test('DONT-FRAGMENT is honoured, or 420 when the bit cannot be set', async () => {
    const { client } = await open()
    const reply = await (await client()).allocate(attribute(ATTR.dontFragment, ''))
    expect(reply.code).toBe(rfc<number | undefined>(420, { coturn: undefined }))
  })

  test('ignores the reserved bits of REQUESTED-TRANSPORT (section 18.8)', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const attributes = [attribute(ATTR.requestedTransport, 17 * 0x1000000 + 0xffffff)]
    const reply = await alice.request({ method: METHOD.allocate, attributes })
    expect([reply.class, reply.code]).toEqual([CLASS.success, undefined])
  })

  test('asked for IPv4 by name gives it', async () => {
    const { client } = await open()
    const reply = await (await client()).allocate(family(1))
    expect(reply.address(ATTR.xorRelayedAddress)?.address).toBe('127.0.0.1')
  })

  test('asked for IPv6 on a relay that has none is 440', async () => {
    const { client } = await open()
    expect((await (await client()).allocate(family(2))).code).toBe(440)
  })

  test('asked for IPv6 besides, on a relay that has none, gives IPv4 and says why (ADDRESS-ERROR-CODE, section 18.12)', async () => {
    const { client } = await open()
    const reply = await (await client()).allocate(attribute(ATTR.additionalAddressFamily, 2 * 0x1000000))
    expect(reply.addresses(ATTR.xorRelayedAddress).map(({ address }) => address)).toEqual(['127.0.0.1'])
    const why = reply.get(ATTR.addressErrorCode)?.toString('hex', 0, 4)
    // IPv6, and 440
    expect(why).toBe(rfc<string | undefined>('02000428', { coturn: undefined }))
  })

  test('asked for an even port gives one', async () => {
    const { client } = await open()
    for (let each = 0; each < 8; each++) expect((await (await client()).relayed(EVEN)).port % 2).toBe(0)
  })

  test('a user who has all that one may have gets 486, signed, and others are not touched', async () => {
    const { client } = await open()
    for (let each = 0; each < 32; each++) await (await client('greedy')).relayed()
    const refused = await client('greedy')
    const reply = await refused.allocate()
    expect(reply.code).toBe(486)
    expect(reply.signedWith(refused.key)).toBe(true)
    expect((await (await client()).allocate()).class).toBe(CLASS.success)
  })
})

describe('RFC 8656, section 8.2: Refresh', () => {
  test.each([
    ['nothing is asked for', undefined, 600],
    ['less than the default is asked for', 60, 600],
    ['more than the default is asked for', 700, 700],
    ['more than the maximum is asked for', 86_400, 3600],
  ])('keeps the allocation and tells for how long when %s', async (_what, asked, granted) => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    const reply = await alice.refresh(asked)
    expect(reply.class).toBe(CLASS.success)
    expect(reply.lifetime).toBe(granted)
    expect(reply.signedWith(alice.key)).toBe(true)
  })

  test('to 0 ends it: the answer says so, and what comes afterwards is 437', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    const reply = await alice.refresh(0)
    expect([reply.lifetime, reply.signedWith(alice.key)]).toEqual([0, true])
    // coturn lets an ended allocation linger for a moment
    expect((await alice.refresh()).code).toBe(rfc<number | undefined>(437, { coturn: undefined }))
  })

  test('to 0 ends it: nothing is relayed any more', async () => {
    const { client, peer } = await open()
    const [alice, bob] = [await client(), await peer()]
    const relayed = await alice.relayed()
    await alice.permit(bob.local)
    await alice.refresh(0)
    bob.say(relayed, 'too late')
    if (coturn) expect((await alice.hears()).data.toString()).toBe('too late')
    else await alice.nothingCame()
  })

  test('to 0 ends it: another one can be made at once', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    await alice.refresh(0)
    expect((await alice.allocate()).code).toBe(rfc<number | undefined>(undefined, { coturn: 437 }))
  })

  test('without an allocation is 437', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    expect((await alice.refresh()).code).toBe(437)
  })

  test('for a family that the allocation does not have is 443', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    const attributes = [family(2)]
    expect((await alice.request({ method: METHOD.refresh, attributes })).code).toBe(443)
    expect((await alice.request({ method: METHOD.refresh, attributes: [family(1)] })).class).toBe(CLASS.success)
  })
})
