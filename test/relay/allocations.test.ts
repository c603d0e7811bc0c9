import { describe, expect, test } from '@jest/globals'
import { Allocation } from '../../src/adapters/node-turn/allocation.ts'
import { Allocations } from '../../src/adapters/node-turn/allocations.ts'
import { openUdp } from '../../src/adapters/node-turn/ports.ts'
import { TestClock } from '../support/clock.ts'
import { closing, onIPv6, relay } from './fixture.ts'
import { ATTR, attribute, CLASS, encode, METHOD, Reply, TurnClient, UDP } from './turn-client.ts'

describe('Binding', () => {
  test('tells a client its address without credentials, with a FINGERPRINT when it used one', async () => {
    const { client } = await relay()
    const alice = await client()
    const reply = await alice.ask({ method: METHOD.binding, fingerprint: true })
    expect(reply.class).toBe(CLASS.success)
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
    expect(reply.fingerprintIsRight).toBe(true)
    expect((await alice.ask({ method: METHOD.binding })).get(ATTR.fingerprint)).toBeUndefined()
  })

  onIPv6('over IPv6 tells the whole address (#16)', async () => {
    const { client } = await relay({ listenIps: ['::1'], publicIps: ['::1'], allowPeers: ['::1'] })
    const alice = await client()
    const reply = await alice.ask({ method: METHOD.binding })
    expect(reply.address(ATTR.xorMappedAddress)).toEqual({ address: '0:0:0:0:0:0:0:1', port: alice.local.port })
  })

  test('a message with a wrong FINGERPRINT, length or cookie is not answered', async () => {
    const { client } = await relay()
    const alice = await client()
    const good = encode({ method: METHOD.binding })
    const change = (at: number, octet: number) => {
      const bytes = Buffer.from(good)
      bytes[at] = octet
      return bytes
    }
    alice.sendRaw(Buffer.concat([change(3, 8), Buffer.from('8028000400000000', 'hex')]))
    alice.sendRaw(change(3, 4))
    alice.sendRaw(change(3, 1))
    alice.sendRaw(change(4, 0))
    alice.sendRaw(Buffer.concat([good, Buffer.alloc(4)]))
    alice.sendRaw(good.subarray(0, 19))
    // an attribute that says it is longer than the message
    alice.sendRaw(
      encode({ method: METHOD.binding, attributes: [attribute(ATTR.software, Buffer.alloc(4))] }).fill(9, 23, 24),
    )
    await alice.nothingCame()
  })
})

describe('Allocate', () => {
  test('challenges, then gives a relayed address, the client’s own address and a lifetime, signed', async () => {
    const { client, server } = await relay({ minPort: 21_000, maxPort: 21_999 })
    const alice = await client()
    const challenge = await alice.greet()
    expect(challenge.code).toBe(401)
    expect(alice.realm).toBe('carillon')
    const reply = await alice.allocate()
    expect(reply.class).toBe(CLASS.success)
    expect(reply.signedWith(alice.key)).toBe(true)
    expect(reply.lifetime).toBe(600)
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
    const relayed = reply.address(ATTR.xorRelayedAddress)
    expect(relayed?.address).toBe('127.0.0.1')
    expect(relayed?.port).toBeGreaterThanOrEqual(21_000)
    expect(relayed?.port).toBeLessThanOrEqual(21_999)
    expect(server.stats()).toMatchObject({ allocations: 1, allocationsMade: 1, refused: { 401: 1 } })
  })

  test.each([
    [undefined, 600],
    [0, 600],
    [60, 600],
    [1200, 1200],
    [86_400, 3600],
  ])('asked for %p seconds grants %d (#17)', async (asked, granted) => {
    const { client } = await relay()
    const alice = await client()
    const reply = await alice.allocate(...(asked === undefined ? [] : [attribute(ATTR.lifetime, asked)]))
    expect(reply.lifetime).toBe(granted)
  })

  test('is answered again as the first time when it is sent again, and makes no second allocation (#12)', async () => {
    const { client, server } = await relay()
    const alice = await client()
    await alice.greet()
    const draft = { method: METHOD.allocate, transaction: Buffer.alloc(12, 7), attributes: [UDP] }
    const first = await alice.request(draft)
    const second = await alice.request(draft)
    expect(second.class).toBe(CLASS.success)
    expect(second.address(ATTR.xorRelayedAddress)).toEqual(first.address(ATTR.xorRelayedAddress))
    expect(server.stats()).toMatchObject({ allocations: 1, allocationsMade: 1 })
  })

  test('sent twice at once makes one allocation (#12)', async () => {
    const { client, server } = await relay()
    const alice = await client()
    await alice.greet()
    const message = encode(alice.signed({ method: METHOD.allocate, attributes: [UDP] }))
    alice.sendRaw(message)
    alice.sendRaw(message)
    expect(new Reply((await alice.next()).bytes).class).toBe(CLASS.success)
    const bob = await client('bob')
    await bob.relayed()
    expect(server.stats()).toMatchObject({ allocations: 2, allocationsMade: 2, refused: { 401: 2 } })
  })

  test('on a 5-tuple that has an allocation is 437, even while that one is being made (#12)', async () => {
    const { client, server } = await relay()
    const alice = await client()
    const relayed = await alice.relayed()
    expect((await alice.allocate()).code).toBe(437)
    const bob = await client('bob')
    await bob.greet()
    const [one, two] = await Promise.all([bob.allocate(), bob.allocate()])
    expect([one.code, two.code].sort()).toEqual([437, undefined])
    const peerSaid = await alice.refresh()
    expect(peerSaid.lifetime).toBe(600)
    expect(relayed.port).toBeGreaterThan(0)
    expect(server.stats().allocations).toBe(2)
  })

  test.each([
    ['no REQUESTED-TRANSPORT', [], 400],
    ['TCP', [attribute(ATTR.requestedTransport, 6 * 0x1000000)], 442],
    ['a REQUESTED-TRANSPORT of a wrong length', [attribute(ATTR.requestedTransport, Buffer.from([17]))], 400],
    ['IPv6', [UDP, attribute(ATTR.requestedAddressFamily, 2 * 0x1000000)], 440],
    ['an unknown family', [UDP, attribute(ATTR.requestedAddressFamily, 9 * 0x1000000)], 440],
    ['DONT-FRAGMENT, which we cannot honour', [UDP, attribute(ATTR.dontFragment, Buffer.alloc(0))], 420],
    ['an unknown reservation', [UDP, attribute(ATTR.reservationToken, Buffer.alloc(8))], 508],
    [
      'a reservation and an even port',
      [UDP, attribute(ATTR.reservationToken, Buffer.alloc(8)), attribute(ATTR.evenPort, Buffer.from([0]))],
      400,
    ],
  ])('with %s is refused, signed (#13, #23)', async (_what, attributes, code) => {
    const { client, server } = await relay()
    const alice = await client()
    await alice.greet()
    const reply = await alice.request({ method: METHOD.allocate, attributes })
    expect(reply.code).toBe(code)
    expect(reply.signedWith(alice.key)).toBe(true)
    expect(server.stats().allocations).toBe(0)
  })

  test('for IPv4 by name is granted (#13)', async () => {
    const { client } = await relay()
    const alice = await client()
    expect((await alice.allocate(attribute(ATTR.requestedAddressFamily, 0x1000000))).class).toBe(CLASS.success)
  })

  test('for an even port gets one (#23)', async () => {
    const { client } = await relay()
    for (let round = 0; round < 8; round++) {
      const { port } = await (await client()).relayed(attribute(ATTR.evenPort, Buffer.from([0])))
      expect(port % 2).toBe(0)
    }
  })

  onIPv6('over IPv6 gives an IPv6 relayed address to whom asks for one (#16)', async () => {
    const { client, peer } = await relay({ listenIps: ['::1'], publicIps: ['::1'], allowPeers: ['::1'] })
    const alice = await client()
    expect((await alice.allocate()).code).toBe(440)
    const relayed = await alice.relayed(attribute(ATTR.requestedAddressFamily, 2 * 0x1000000))
    expect(relayed.address).toBe('0:0:0:0:0:0:0:1')
    const bob = await peer('::1')
    expect((await alice.permit(bob.local)).class).toBe(CLASS.success)
    alice.indicate(bob.local, 'over six')
    const { bytes, from } = await bob.next()
    expect(bytes.toString()).toBe('over six')
    expect(from.port).toBe(relayed.port)
    bob.say({ address: '::1', port: relayed.port }, 'and back')
    expect(await alice.hears()).toEqual({
      from: { address: '0:0:0:0:0:0:0:1', port: bob.local.port },
      data: Buffer.from('and back'),
    })
  })
})

describe('unknown attributes (#13)', () => {
  test('that must be understood are refused with their list', async () => {
    const { client } = await relay()
    const alice = await client()
    await alice.greet()
    const reply = await alice.allocate(attribute(ATTR.priority, 1), attribute(0x7abc, ''))
    expect(reply.code).toBe(420)
    expect(reply.get(ATTR.unknownAttributes)?.toString('hex')).toBe('00247abc')
    const binding = await alice.ask({ method: METHOD.binding, attributes: [attribute(0x7abc, '')] })
    expect(binding.code).toBe(420)
  })

  test('that may be ignored are', async () => {
    const { client } = await relay()
    const alice = await client()
    expect((await alice.allocate(attribute(0x8abc, 'whatever'))).class).toBe(CLASS.success)
    const other = await client()
    const binding = await other.ask({ method: METHOD.binding, attributes: [attribute(0xc057, 1)] })
    expect(binding.class).toBe(CLASS.success)
  })
})

describe('Refresh', () => {
  test('keeps the allocation for as long as it says, every time (#3)', async () => {
    const { client, clock, server } = await relay()
    const alice = await client()
    await alice.allocate()
    for (const [asked, granted] of [
      [undefined, 600],
      [700, 700],
      [9999, 3600],
      [600, 600],
    ] as const) {
      const reply = await alice.refresh(asked)
      expect(reply.class).toBe(CLASS.success)
      expect(reply.lifetime).toBe(granted)
      expect(reply.signedWith(alice.key)).toBe(true)
      await clock.advance(500_000)
      expect(server.stats().allocations).toBe(1)
    }
    await clock.advance(100_000)
    expect(server.stats().allocations).toBe(0)
  })

  test('to 0 ends it: the port is free, nothing passes, and a new one can be made', async () => {
    const { client, server, peer } = await relay({ minPort: 21_100, maxPort: 21_100 })
    const alice = await client()
    const bob = await peer()
    const relayed = await alice.relayed()
    await alice.permit(bob.local)
    const reply = await alice.refresh(0)
    expect(reply.lifetime).toBe(0)
    expect(reply.signedWith(alice.key)).toBe(true)
    expect((await alice.refresh()).code).toBe(437)
    bob.say(relayed, 'too late')
    alice.indicate(bob.local, 'too late')
    await alice.nothingCame()
    expect(server.portsInUse).toBe(0)
    expect(await alice.relayed()).toEqual(relayed)
  })

  test('of another family is 443', async () => {
    const { client } = await relay()
    const alice = await client()
    await alice.allocate()
    const attributes = [attribute(ATTR.requestedAddressFamily, 2 * 0x1000000)]
    expect((await alice.request({ method: METHOD.refresh, attributes })).code).toBe(443)
  })
})

describe('what needs an allocation', () => {
  test.each([
    ['Refresh', METHOD.refresh],
    ['CreatePermission', METHOD.createPermission],
    ['ChannelBind', METHOD.channelBind],
  ])('%s without one is 437, but only to somebody with credentials (#28)', async (_name, method) => {
    const { client } = await relay()
    const alice = await client()
    const attributes = [attribute(ATTR.lifetime, 600)]
    expect((await alice.ask({ method, attributes })).code).toBe(401)
    await alice.greet()
    const reply = await alice.request({ method, attributes })
    expect(reply.code).toBe(437)
    expect(reply.signedWith(alice.key)).toBe(true)
  })

  test('credentials of another user are 441', async () => {
    const { client, address, credential } = await relay()
    const alice = await client('alice')
    await alice.allocate()
    const mallory = closing(await TurnClient.open(address, credential('mallory')))
    mallory.realm = alice.realm
    mallory.nonce = alice.nonce
    const draft = mallory.signed({ method: METHOD.refresh })
    expect((await alice.ask(draft)).code).toBe(441)
    expect((await alice.refresh()).class).toBe(CLASS.success)
  })

  test('responses, and methods nobody knows, are not answered (#24)', async () => {
    const { client } = await relay()
    const alice = await client()
    for (const method of Object.values(METHOD)) {
      alice.sendRaw(encode({ method, class: CLASS.success }))
      alice.sendRaw(encode({ method, class: CLASS.error }))
      alice.sendRaw(encode({ method, class: CLASS.indication }))
    }
    alice.sendRaw(encode({ method: 0x555 }))
    alice.sendRaw(encode({ method: METHOD.send }))
    await alice.nothingCame()
  })
})

describe('ports and bounds', () => {
  test('a port comes back after Refresh to 0, after expiry and after a client that vanished (#6)', async () => {
    const { client, clock, server } = await relay({ minPort: 21_110, maxPort: 21_113 })
    for (let round = 0; round < 12; round++) {
      const alice = await client()
      await alice.relayed()
      await alice.refresh(0)
    }
    for (let round = 0; round < 3; round++) {
      for (let each = 0; each < 4; each++) await (await client()).relayed()
      expect(server.portsInUse).toBe(4)
      expect((await (await client()).allocate()).code).toBe(508)
      await clock.advance(600_000)
      expect(server.portsInUse).toBe(0)
    }
  })

  test('a port that another program holds is passed over (#20)', async () => {
    const { client } = await relay({ minPort: 21_120, maxPort: 21_121 })
    closing(await openUdp('127.0.0.1', 21_120))
    expect((await (await client()).relayed()).port).toBe(21_121)
    expect((await (await client()).allocate()).code).toBe(508)
  })

  test('a user has 32 allocations at most, whatever credentials they came with; another user is not touched (#11)', async () => {
    const { client, address, credential, server } = await relay()
    for (let each = 0; each < 32; each++) {
      const alice = closing(await TurnClient.open(address, credential('alice', 100 + each)))
      expect((await alice.allocate()).class).toBe(CLASS.success)
    }
    const alice = await client('alice')
    const refused = await alice.allocate()
    expect(refused.code).toBe(486)
    expect(refused.signedWith(alice.key)).toBe(true)
    expect((await (await client('bob')).allocate()).class).toBe(CLASS.success)
    expect(server.stats().allocations).toBe(33)
  })

  test('an allocation that ends gives its place back to the user (#11)', async () => {
    const { client } = await relay({ allocationsPerUser: 1 })
    const first = await client()
    await first.allocate()
    const second = await client()
    expect((await second.allocate()).code).toBe(486)
    await first.refresh(0)
    expect((await second.allocate()).class).toBe(CLASS.success)
  })

  test('there are no more in all than the relay is told, also while they are being made (#11)', async () => {
    const { client } = await relay({ allocations: 2 })
    const clients = await Promise.all(['a', 'b', 'c', 'd'].map((user) => client(user)))
    for (const each of clients) await each.greet()
    const codes = (await Promise.all(clients.map((each) => each.allocate()))).map(({ code }) => code)
    expect(codes.filter((code) => code === undefined)).toHaveLength(2)
    expect(codes.filter((code) => code === 508)).toHaveLength(2)
  })

  test('places are counted from the moment they are taken (#11)', () => {
    const allocations = new Allocations({ perUser: 2, most: 3 })
    expect(allocations.enter('alice')).toBe('entered')
    expect(allocations.enter('alice', 2)).toBe('quota')
    expect(allocations.enter('alice')).toBe('entered')
    expect(allocations.enter('alice')).toBe('quota')
    expect(allocations.enter('bob', 2)).toBe('full')
    expect(allocations.enter('bob')).toBe('entered')
    expect(allocations.enter('carol')).toBe('full')
    allocations.leave('alice')
    expect(allocations.enter('carol')).toBe('entered')
  })

  test('trouble of one relay socket ends its allocation and nothing else (#10)', async () => {
    const clock = new TestClock()
    const socket = await openUdp('127.0.0.1', 0)
    let released = 0
    const allocation = new Allocation(
      {
        client: { send: () => true, sendChannelData: () => true },
        socket,
        relayed: { family: 4, address: '127.0.0.1', port: 9 },
        bounds: { permissions: 1, channels: 1, bytesPerSecond: 0 },
        clock,
        traffic: { packets: 0, bytes: 0, dropped: 0 },
        route: () => 'network',
        report: () => undefined,
        released: () => void released++,
      },
      600,
    )
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.emit('error', new Error('ENOBUFS'))
    await closed
    allocation.release()
    expect(released).toBe(1)
    expect(clock.waiting).toBe(0)
  })

  test('stop() ends every allocation and closes every socket in the middle of a call (#9)', async () => {
    const { client, peer, server } = await relay()
    const alice = await client()
    const bob = await peer()
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    for (let each = 0; each < 20; each++) {
      bob.say(relayed, 'media')
      alice.channelData(0x4000, 'media')
    }
    await server.stop()
    expect(server.stats().allocations).toBe(0)
    expect(server.portsInUse).toBe(0)
  })
})
