/** TURN over TCP and TLS between client and relay (RFC 8656, sections 3.1 and 12.5). */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, test } from '@jest/globals'
import { Client } from '../../src/adapters/node-turn/client.ts'
import { StreamReader } from '../../src/adapters/node-turn/stream.ts'
import { closing, type Fixture, relay } from './fixture.ts'
import { type Address, ATTR, CLASS, encode, METHOD, Reply, type Transport, TurnClient, UDP } from './turn-client.ts'

const STREAMS = ['tcp', 'tls'] as const
const TLS = { tls: { port: 0, certificate: 'self-made' } } as const

const binding = encode({ method: METHOD.binding })
const channelData = Buffer.from('4000000568656c6c6f000000', 'hex')

function readerOf(most = 100_000): { read: (chunk: Buffer) => boolean; messages: string[]; reader: StreamReader } {
  const reader = new StreamReader()
  const messages: string[] = []
  const take = (message: Buffer) => messages.push(message.toString('hex')) > 0
  return { read: (chunk) => reader.read(chunk, { fits: (size) => size <= most, take }), messages, reader }
}

/** A connection that speaks no TURN by itself. */
async function raw({ address, port }: Address): Promise<{ socket: Socket; closed: Promise<void> }> {
  const socket = connect({ host: address, port })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  closing({ close: () => void socket.destroy() })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return { socket, closed }
}

/** Whatever has happened on other connections until now has been seen by the relay when this resolves. */
async function caughtUp({ client }: Fixture): Promise<void> {
  const witness = await client('witness', 'tcp')
  await witness.nothingCame()
}

describe('messages out of a stream', () => {
  test('are found whatever pieces they come in', () => {
    const stream = Buffer.concat([binding, channelData, Buffer.from('40010000', 'hex'), binding])
    const expected = [binding, channelData, Buffer.from('40010000', 'hex'), binding].map((each) => each.toString('hex'))
    for (let size = 1; size <= stream.length; size++) {
      const { read, messages, reader } = readerOf()
      for (let at = 0; at < stream.length; at += size) expect(read(stream.subarray(at, at + size))).toBe(true)
      expect(messages).toEqual(expected)
      expect(reader.midway).toBe(false)
    }
  })

  test.each([
    ['a first octet that nothing begins with', '50000000'],
    ['a length of a STUN message that is no multiple of four', '00010003'],
    ['another cookie', '0001000021120000'],
    ['a TLS handshake', '160301020001000100'],
  ])('end with %s', (_what, hex) => {
    const octets = Buffer.from(hex, 'hex')
    expect(readerOf().read(octets)).toBe(false)
    const { read } = readerOf()
    expect([...octets].every((octet) => read(Buffer.from([octet])))).toBe(false)
  })

  test('that are too large are refused at their header', () => {
    const large = Buffer.from('00010fff', 'hex').fill(0xfc, 3)
    expect(readerOf(4096).read(large)).toBe(false)
    const { read } = readerOf(4096)
    expect([...large].map((octet) => read(Buffer.from([octet])))).toEqual([true, true, true, false])
  })
})

describe.each(STREAMS)('over %s', (transport) => {
  test('Binding tells the client’s address', async () => {
    const { client } = await relay(TLS)
    const alice = await client('alice', transport)
    const reply = await alice.ask({ method: METHOD.binding })
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
  })

  test('an allocation relays both ways, through channels and without, data of any length', async () => {
    const { client, peer, server } = await relay(TLS)
    const alice = await client('alice', transport)
    const bob = await peer()
    const reply = await alice.allocate()
    expect(reply.signedWith(alice.key)).toBe(true)
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
    const relayed = reply.address(ATTR.xorRelayedAddress) ?? bob.local
    expect(server.stats()).toMatchObject({ allocations: 1, allocationsBy: { udp: 0, tcp: 0, tls: 0, [transport]: 1 } })
    await alice.permit(bob.local)
    bob.say(relayed, 'odd')
    expect(await alice.hears()).toEqual({ from: bob.local, data: Buffer.from('odd') })
    alice.indicate(bob.local, 'odd too')
    expect((await bob.next()).bytes.toString()).toBe('odd too')
    await alice.bind(0x4000, bob.local)
    for (const length of [0, 1, 2, 3, 4, 5, 160, 1200, 30_001]) {
      const data = Buffer.alloc(length, length)
      alice.channelData(0x4000, data)
      expect(await bob.next()).toEqual({ bytes: data, from: relayed })
      bob.say(relayed, data)
      expect(await alice.hearsChannel()).toEqual({ channel: 0x4000, data })
    }
    expect(server.stats()).toMatchObject({ packets: 20, dropped: 0 })
  })

  test('the end of the connection is the end of the allocation', async () => {
    const fixture = await relay(TLS)
    const alice = await fixture.client('alice', transport)
    await alice.relayed()
    alice.close()
    while (fixture.server.portsInUse > 0) await caughtUp(fixture)
    expect(fixture.server.stats()).toMatchObject({ allocations: 0, allocationsBy: { udp: 0, tcp: 0, tls: 0 } })
  })

  test('a connection closed while its port is being bound leaves nothing behind', async () => {
    const fixture = await relay(TLS)
    for (let round = 0; round < 10; round++) {
      const alice = await fixture.client('alice', transport)
      await alice.greet()
      alice.sendRaw(encode(alice.signed({ method: METHOD.allocate, attributes: [UDP] })))
      alice.close()
    }
    await caughtUp(fixture)
    while (fixture.server.portsInUse > 0) await caughtUp(fixture)
    expect(fixture.server.stats().allocations).toBe(0)
    expect((await (await fixture.client('alice', transport)).allocate()).class).toBe(CLASS.success)
  })

  test('after Refresh to 0 the connection can allocate again', async () => {
    const { client } = await relay(TLS)
    const alice = await client('alice', transport)
    await alice.allocate()
    expect((await alice.refresh(0)).lifetime).toBe(0)
    alice.channelData(0x4000, 'too late')
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })

  test.each([
    ['a request of HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: turn.example.org\r\n\r\n')],
    ['what is no message', Buffer.from('ffffffff', 'hex')],
    ['a message with a wrong FINGERPRINT', encode({ method: METHOD.binding, fingerprint: true }).fill(0, 24)],
    [
      'a message larger than any request',
      encode({ method: METHOD.binding, attributes: [[0x8022, Buffer.alloc(5000)]] }),
    ],
  ])('%s ends the connection', async (_what, octets) => {
    const { client } = await relay(TLS)
    const mallory = await client('mallory', transport)
    mallory.sendRaw(octets)
    await mallory.closed
  })

  test('somebody without an allocation may stay for a minute', async () => {
    const { client, clock } = await relay(TLS)
    const idle = await client('idle', transport)
    const alice = await client('alice', transport)
    await alice.allocate()
    await clock.advance(50_000)
    await idle.nothingCame()
    await clock.advance(10_000)
    await idle.closed
    await alice.nothingCame()
    // its allocation lapses, and a minute later it is nobody either
    await clock.advance(600_000)
    await alice.closed
  })

  test('a message that is not finished for long ends the connection, whatever it holds', async () => {
    const { client, clock } = await relay(TLS)
    const alice = await client('alice', transport)
    await alice.allocate()
    alice.sendRaw(binding.subarray(0, 10))
    await clock.advance(10_000)
    alice.sendRaw(binding.subarray(10))
    expect((await alice.next()).bytes).toHaveLength(32)
    alice.sendRaw(binding.subarray(0, 10))
    const other = await client('witness', transport)
    await other.nothingCame()
    await clock.advance(20_000)
    await alice.closed
  })

  test('whoever does not read loses what comes, then the connection', async () => {
    const { client, peer, server, clock } = await relay({ ...TLS, bytesPerSecond: 0 })
    const [alice, bob] = [await client('alice', transport), await peer()]
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    alice.pause()
    const witness = await client('witness')
    while (server.stats().dropped === 0) {
      bob.say(relayed, Buffer.alloc(60_000))
      await witness.nothingCame()
    }
    await clock.advance(10_000)
    await witness.nothingCame()
    await clock.advance(10_000)
    while (server.portsInUse > 0) await witness.nothingCame()
  })

  test('two parties reach each other inside the process, one over UDP', async () => {
    const { client } = await relay({ ...TLS, allowPeers: [] })
    const [alice, bob] = [await client('alice', transport), await client('bob')]
    const [one, two] = [await alice.relayed(), await bob.relayed()]
    await alice.bind(0x4000, two)
    await bob.bind(0x4000, one)
    alice.channelData(0x4000, 'hello')
    expect((await bob.hearsChannel()).data.toString()).toBe('hello')
    bob.channelData(0x4000, 'hello yourself')
    expect((await alice.hearsChannel()).data.toString()).toBe('hello yourself')
  })
})

/** A connection without a network: what it says is heard, and its end is seen, at once. */
class Line extends Client {
  readonly heard: Buffer[] = []

  constructor() {
    super('tcp', { family: 4, address: '127.0.0.1', port: 1 }, { family: 4, address: '127.0.0.1', port: 2 })
  }

  override send(message: Buffer): boolean {
    return this.heard.push(message) > 0
  }

  override sendChannelData(): boolean {
    return false
  }

  override keep(): void {}
  override forget(): void {}
}

describe('a connection that is closed', () => {
  test('while a port is being bound for it leaves neither port nor place behind', async () => {
    const { server, client } = await relay({ allocations: 1 })
    const alice = await client()
    const line = new Line()
    server.message(line, encode({ method: METHOD.allocate, attributes: [UDP] }))
    const [answer] = line.heard as [Buffer]
    const challenge = new Reply(answer)
    alice.realm = challenge.get(ATTR.realm)?.toString() ?? ''
    alice.nonce = challenge.get(ATTR.nonce)?.toString() ?? ''
    server.message(line, encode(alice.signed({ method: METHOD.allocate, attributes: [UDP] })))
    expect(line.heard).toHaveLength(1)
    server.gone(line)
    while (server.portsInUse > 0) await alice.nothingCame()
    expect(server.stats()).toMatchObject({ allocations: 0, allocationsMade: 0 })
    alice.nonce = ''
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })
})

describe('connections', () => {
  test.each(STREAMS)(
    'over %s are so many from one address at most, and one that ends makes room',
    async (transport) => {
      const { address, tlsAddress, client } = await relay({ ...TLS, connectionsPerAddress: 2 })
      const one = await client('one', transport)
      await one.nothingCame()
      await (await client('two', transport)).nothingCame()
      await (await raw(transport === 'tls' ? tlsAddress : address)).closed
      one.close()
      await expect(untilWelcome(address)).resolves.toBe(true)
    },
  )

  test('are so many in all at most', async () => {
    const { address, client } = await relay({ connections: 1 })
    await (await client('one', 'tcp')).nothingCame()
    await (await raw(address)).closed
  })

  test('that do not come to an end with their handshake are ended', async () => {
    const { tlsAddress, clock } = await relay(TLS)
    const silent = await raw(tlsAddress)
    silent.socket.write(Buffer.from('160301', 'hex'))
    while (clock.waiting < 2) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(10_000)
    await silent.closed
  })

  test('that speak no TLS to the port for it are ended', async () => {
    const { tlsAddress, client } = await relay(TLS)
    const mistaken = await raw(tlsAddress)
    mistaken.socket.write(binding)
    await mistaken.closed
    await (await client('alice', 'tls')).nothingCame()
  })

  test('are ended by stop(), also in the middle of a handshake', async () => {
    const { server, client, tlsAddress } = await relay(TLS)
    const all = await Promise.all((['tcp', 'tls'] as Transport[]).map((transport) => client('alice', transport)))
    const halfway = await raw(tlsAddress)
    for (const each of all) await each.relayed()
    await server.stop()
    await Promise.all([...all.map(({ closed }) => closed), halfway.closed])
    expect(server.portsInUse).toBe(0)
  })
})

/** A connection that was refused is closed by the relay, so another one is tried. */
async function untilWelcome(address: Address): Promise<boolean> {
  for (;;) {
    const client = closing(await TurnClient.open(address, undefined, 'tcp'))
    const welcome = await Promise.race([client.nothingCame().then(() => true), client.closed.then(() => false)])
    if (welcome) return true
  }
}
