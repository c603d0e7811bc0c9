import { describe, expect, test } from '@jest/globals'
import { type Fixture, relay } from './fixture.ts'
import { type Address, ATTR, attribute, CLASS, METHOD, type Peer, type TurnClient } from './turn-client.ts'

/** A client with an allocation, and a peer that it has not permitted yet. */
async function pair(
  settings?: Parameters<typeof relay>[0],
): Promise<Fixture & { alice: TurnClient; relayed: Address; bob: Peer }> {
  const fixture = await relay(settings)
  const alice = await fixture.client()
  return { ...fixture, alice, relayed: await alice.relayed(), bob: await fixture.peer() }
}

describe('permissions', () => {
  test('without one nothing passes, either way', async () => {
    const { alice, relayed, bob, peer, server } = await pair()
    const carol = await peer('127.0.0.2')
    await alice.permit(carol.local)
    bob.say(relayed, 'unwanted')
    alice.indicate(bob.local, 'unwanted')
    carol.say(relayed, 'wanted')
    expect((await alice.hears()).data.toString()).toBe('wanted')
    alice.indicate(carol.local, 'wanted')
    expect((await carol.next()).bytes.toString()).toBe('wanted')
    expect(bob.unread).toBe(0)
    expect(server.stats()).toMatchObject({ packets: 2, bytes: 12, dropped: 2 })
  })

  test('are for an address, whatever the port, and carry packets both ways from the relayed address', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const reply = await alice.permit({ address: '127.0.0.1', port: 0 })
    expect(reply.class).toBe(CLASS.success)
    expect(reply.signedWith(alice.key)).toBe(true)
    for (const each of [bob, await peer()]) {
      alice.indicate(each.local, 'to you')
      expect(await each.next()).toEqual({ bytes: Buffer.from('to you'), from: relayed })
      each.say(relayed, 'to me')
      expect(await alice.hears()).toEqual({ from: each.local, data: Buffer.from('to me') })
    }
  })

  test('last 300 seconds unless renewed (RFC 8656, section 9)', async () => {
    const { alice, relayed, bob, peer, clock } = await pair()
    const carol = await peer('127.0.0.2')
    await alice.permit(bob.local, carol.local)
    await clock.advance(299_000)
    bob.say(relayed, 'still')
    expect((await alice.hears()).data.toString()).toBe('still')
    await alice.permit(carol.local)
    await clock.advance(1000)
    bob.say(relayed, 'no more')
    alice.indicate(bob.local, 'no more')
    carol.say(relayed, 'renewed')
    expect((await alice.hears()).data.toString()).toBe('renewed')
    await alice.nothingCame()
    expect(bob.unread).toBe(0)
  })

  test('are installed all together or, when one may not be, none of them (#7)', async () => {
    const { alice, relayed, bob, peer } = await pair()
    const carol = await peer('127.0.0.2')
    expect((await alice.permit(carol.local, { address: '10.1.2.3', port: 1 })).code).toBe(403)
    expect((await alice.permit()).code).toBe(400)
    await alice.permit(bob.local)
    carol.say(relayed, 'no')
    bob.say(relayed, 'yes')
    expect((await alice.hears()).data.toString()).toBe('yes')
  })

  test('for IPv6 are refused with 443 by an IPv4 allocation (#25)', async () => {
    const { alice } = await pair()
    expect((await alice.permit({ address: '2606:4700::1', port: 1 })).code).toBe(443)
    expect((await alice.bind(0x4000, { address: '2606:4700::1', port: 1 })).code).toBe(443)
  })

  test('are 64 at most at a time; lapsed ones make room (#11)', async () => {
    const { alice, clock } = await pair()
    const peers = (from: number, count: number) =>
      Array.from({ length: count }, (_, at) => ({ address: `127.1.0.${from + at}`, port: 1 }))
    expect((await alice.permit(...peers(0, 60))).class).toBe(CLASS.success)
    expect((await alice.permit(...peers(58, 7))).code).toBe(508)
    expect((await alice.permit(...peers(58, 6))).class).toBe(CLASS.success)
    expect((await alice.permit(...peers(0, 1))).class).toBe(CLASS.success)
    expect((await alice.bind(0x4000, peers(100, 1)[0] as Address)).code).toBe(508)
    await clock.advance(300_000)
    expect((await alice.permit(...peers(100, 64))).class).toBe(CLASS.success)
  })

  test('of which a message names more than there can be are refused, not answered in part', async () => {
    const { alice } = await pair()
    const peers = Array.from({ length: 100 }, (_, at) => ({ address: `127.1.0.${at}`, port: 1 }))
    expect((await alice.permit(...peers)).code).toBe(508)
  })
})

describe('channels', () => {
  test('that are cut short, unbound or out of range are dropped', async () => {
    const { alice, bob, client } = await pair()
    await alice.bind(0x4000, bob.local)
    for (const hex of [
      '40',
      '4000',
      '400000',
      '40000002ff',
      '40010001ff',
      '50000001ff',
      '7fff0001ff',
      'ffff0000',
      '',
    ]) {
      alice.sendRaw(Buffer.from(hex, 'hex'))
    }
    const stranger = await client('stranger')
    stranger.channelData(0x4000, 'from nobody')
    await stranger.nothingCame()
    alice.channelData(0x4000, 'whole')
    expect((await bob.next()).bytes.toString()).toBe('whole')
    await alice.nothingCame()
  })

  test.each([0x0000, 0x3fff, 0x5000, 0x7ffe, 0xffff])('cannot have the number 0x%s (#25)', async (number) => {
    const { alice, bob } = await pair()
    expect((await alice.bind(number, bob.local)).code).toBe(400)
  })

  test('have one peer each, and a peer has one channel', async () => {
    const { alice, bob, peer } = await pair()
    const carol = await peer()
    expect((await alice.bind(0x4000, bob.local)).class).toBe(CLASS.success)
    expect((await alice.bind(0x4000, carol.local)).code).toBe(400)
    expect((await alice.bind(0x4fff, bob.local)).code).toBe(400)
    expect((await alice.bind(0x4fff, carol.local)).class).toBe(CLASS.success)
  })

  test('need number and peer', async () => {
    const { alice } = await pair()
    const attributes = [attribute(ATTR.channelNumber, 0x40000000)]
    expect((await alice.request({ method: METHOD.channelBind, attributes })).code).toBe(400)
    expect((await alice.request({ method: METHOD.channelBind })).code).toBe(400)
    expect((await alice.bind(0x4000, { address: '127.0.0.1', port: 0 })).code).toBe(400)
  })

  test('live for 600 seconds, are renewed by binding again, and can then be bound to another peer (#25)', async () => {
    const { alice, relayed, bob, peer, clock } = await pair()
    const carol = await peer()
    await alice.bind(0x4000, bob.local)
    for (let round = 0; round < 3; round++) {
      await clock.advance(290_000)
      await alice.refresh()
      expect((await alice.bind(0x4000, bob.local)).class).toBe(CLASS.success)
      bob.say(relayed, 'bound')
      expect((await alice.hearsChannel()).channel).toBe(0x4000)
    }
    for (let each = 0; each < 2; each++) {
      await clock.advance(300_000)
      await alice.refresh()
    }
    await alice.permit(bob.local)
    bob.say(relayed, 'unbound')
    expect((await alice.hears()).data.toString()).toBe('unbound')
    alice.channelData(0x4000, 'unbound')
    expect((await alice.bind(0x4000, carol.local)).class).toBe(CLASS.success)
    alice.channelData(0x4000, 'to carol')
    expect((await carol.next()).bytes.toString()).toBe('to carol')
    expect(bob.unread).toBe(0)
  })

  test('give a permission, which does not outlast its 300 seconds', async () => {
    const { alice, relayed, bob, clock } = await pair()
    await alice.bind(0x4000, bob.local)
    await clock.advance(301_000)
    bob.say(relayed, 'no')
    alice.channelData(0x4000, 'no')
    await alice.permit(bob.local)
    bob.say(relayed, 'yes')
    expect(await alice.hearsChannel()).toEqual({ channel: 0x4000, data: Buffer.from('yes') })
  })

  test('are 64 at most (#11)', async () => {
    const { alice } = await pair({ channels: 2 })
    expect((await alice.bind(0x4000, { address: '127.0.0.1', port: 1 })).class).toBe(CLASS.success)
    expect((await alice.bind(0x4001, { address: '127.0.0.1', port: 2 })).class).toBe(CLASS.success)
    expect((await alice.bind(0x4002, { address: '127.0.0.1', port: 3 })).code).toBe(508)
    expect((await alice.bind(0x4001, { address: '127.0.0.1', port: 2 })).class).toBe(CLASS.success)
  })
})

describe('what a peer sends', () => {
  test.each([
    ['nothing at all', ''],
    ['one octet', '40'],
    ['two octets', '4000'],
    ['three octets', '400000'],
    ['the text r2r', Buffer.from('r2r').toString('hex')],
    ['ChannelData of its own channel', '400000026869'],
    ['ChannelData of another channel', '400100026869'],
    ['a STUN request', '000100002112a442000102030405060708090a0b'],
  ])('reaches the client as it is: %s (#1, #21)', async (_what, hex) => {
    const { alice, relayed, bob } = await pair()
    const data = Buffer.from(hex, 'hex')
    await alice.permit(bob.local)
    bob.say(relayed, data)
    expect(await alice.hears()).toEqual({ from: bob.local, data })
    await alice.bind(0x4000, bob.local)
    bob.say(relayed, data)
    expect(await alice.hearsChannel()).toEqual({ channel: 0x4000, data })
  })

  test('arrives in the order in which it was sent (#19)', async () => {
    const { alice, relayed, bob } = await pair()
    await alice.permit(bob.local)
    const heard: string[] = []
    for (let burst = 0; burst < 20; burst++) {
      for (let each = 0; each < 50; each++) bob.say(relayed, `${burst * 50 + each}`)
      for (let each = 0; each < 50; each++) heard.push((await alice.hears()).data.toString())
    }
    expect(heard).toEqual(Array.from({ length: 1000 }, (_, at) => `${at}`))
  })

  test('is not forwarded once the allocation has expired (#22)', async () => {
    const { alice, relayed, bob, clock, server } = await pair()
    await alice.bind(0x4000, bob.local)
    await clock.advance(290_000)
    await alice.permit(bob.local)
    await clock.advance(290_000)
    await alice.permit(bob.local)
    await clock.advance(20_000)
    expect(server.stats().allocations).toBe(0)
    bob.say(relayed, 'too late')
    alice.channelData(0x4000, 'too late')
    await alice.nothingCame()
    expect(server.stats().packets).toBe(0)
  })
})

describe('Send', () => {
  test('carries even nothing, and is dropped when it says what we do not understand or names no peer', async () => {
    const { alice, bob } = await pair()
    await alice.permit(bob.local)
    alice.indicate(bob.local, 'do not fragment', attribute(ATTR.dontFragment, ''))
    alice.indicate({ ...bob.local, port: 0 }, 'to no port')
    alice.indicate({ address: '127.9.9.9', port: 9 }, 'not permitted')
    alice.sendRaw(Buffer.from('001600002112a442000102030405060708090a0b', 'hex'))
    alice.indicate(bob.local, '')
    expect((await bob.next()).bytes).toHaveLength(0)
    await alice.nothingCame()
    expect(bob.unread).toBe(0)
  })
})

describe('two parties relayed here', () => {
  test('reach each other inside the process although the relay’s own address is not open to anything else (#7)', async () => {
    const { client, peer, server } = await relay({ allowPeers: [] })
    const [alice, bob] = [await client('alice'), await client('bob')]
    const [one, two] = [await alice.relayed(), await bob.relayed()]
    const service = await peer()
    expect((await alice.permit(two)).class).toBe(CLASS.success)
    expect((await bob.bind(0x4abc, one)).class).toBe(CLASS.success)
    alice.indicate(service.local, 'to something else on this machine')
    alice.indicate(two, 'hello')
    expect(await bob.hearsChannel()).toEqual({ channel: 0x4abc, data: Buffer.from('hello') })
    bob.channelData(0x4abc, 'hello yourself')
    expect(await alice.hears()).toEqual({ from: two, data: Buffer.from('hello yourself') })
    expect(service.unread).toBe(0)
    expect(server.stats()).toMatchObject({ packets: 2, dropped: 1 })
  })

  test('need a permission on both sides', async () => {
    const { client } = await relay({ allowPeers: [] })
    const [alice, bob] = [await client('alice'), await client('bob')]
    const [one, two] = [await alice.relayed(), await bob.relayed()]
    await alice.permit(two)
    alice.indicate(two, 'not yet')
    await alice.nothingCame()
    await bob.nothingCame()
    await bob.permit(one)
    alice.indicate(two, 'now')
    expect((await bob.hears()).data.toString()).toBe('now')
  })
})

describe('bandwidth', () => {
  test('beyond the bound of an allocation is dropped until time has passed (#11)', async () => {
    const { alice, relayed, bob, clock, server } = await pair({ bytesPerSecond: 1000 })
    await alice.bind(0x4000, bob.local)
    for (let each = 0; each < 5; each++) bob.say(relayed, Buffer.alloc(400, each))
    expect((await alice.hearsChannel()).data[0]).toBe(0)
    expect((await alice.hearsChannel()).data[0]).toBe(1)
    bob.say(relayed, Buffer.alloc(200, 9))
    expect((await alice.hearsChannel()).data[0]).toBe(9)
    alice.channelData(0x4000, 'x')
    await alice.nothingCame()
    expect(server.stats()).toMatchObject({ packets: 3, dropped: 4 })
    await clock.advance(400)
    bob.say(relayed, Buffer.alloc(400, 7))
    expect((await alice.hearsChannel()).data[0]).toBe(7)
  })
})
