import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from '@jest/globals'
import { relay } from './fixture.ts'
import {
  ATTR,
  type Attribute,
  attribute,
  CLASS,
  encode,
  METHOD,
  type TurnClient,
  UDP,
  xorAddress,
} from './turn-client.ts'

/** mulberry32: the same packets in every run. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function mutate(bytes: Buffer, below: (limit: number) => number): Buffer {
  const copy = Buffer.from(bytes)
  switch (below(6)) {
    case 0:
      return copy.subarray(0, below(copy.length + 1))
    case 1:
      return Buffer.concat([copy, Buffer.alloc(below(9), below(256))])
    case 2:
      // a length that lies: of the message, or of something within it
      if (copy.length >= 4) copy.writeUInt16BE(below(0x10000), below(copy.length / 4) * 4 + 2)
      return copy
    case 3:
      // the type of something
      if (copy.length >= 4) copy.writeUInt16BE(below(0x10000), below(copy.length / 4) * 4)
      return copy
    case 4: {
      const from = below(copy.length)
      return Buffer.concat([copy, copy.subarray(from, from + below(64))])
    }
    default:
      for (let flips = 1 + below(8); flips > 0 && copy.length > 0; flips--) copy[below(copy.length)] = below(256)
      return copy
  }
}

/** One of each that a client can send, as it should be. */
function samples(alice: TurnClient): Buffer[] {
  const transaction = randomBytes(12)
  const peer = xorAddress(ATTR.xorPeerAddress, { address: '127.0.0.1', port: 9 }, transaction)
  const six = xorAddress(ATTR.xorPeerAddress, { address: '2001:db8::1', port: 9 }, transaction)
  const every: Attribute[] = Object.values(ATTR).map((type) => attribute(type, Buffer.alloc(type % 24, type)))
  const requests = [
    { method: METHOD.allocate, attributes: [UDP, attribute(ATTR.evenPort, Buffer.from([0]))] },
    { method: METHOD.refresh, attributes: [attribute(ATTR.lifetime, 600)] },
    { method: METHOD.createPermission, attributes: [peer, six] },
    { method: METHOD.channelBind, attributes: [attribute(ATTR.channelNumber, 0x40000000), peer] },
  ]
  return [
    ...requests.map((draft) => encode(alice.signed({ ...draft, transaction }))),
    ...requests.map((draft) => encode({ ...alice.signed({ ...draft, transaction }), fingerprint: true })),
    encode({ method: METHOD.binding, fingerprint: true }),
    encode({
      method: METHOD.send,
      class: CLASS.indication,
      transaction,
      attributes: [peer, attribute(ATTR.data, 'data')],
    }),
    ...[CLASS.request, CLASS.indication, CLASS.success, CLASS.error].map((kind) =>
      encode({ method: METHOD.allocate, class: kind, attributes: every }),
    ),
    Buffer.from('40000004aaaaaaaa', 'hex'),
    randomBytes(40),
  ]
}

describe('hostile traffic', () => {
  test('6,000 mutated packets from a client cause no fault, and the relay goes on', async () => {
    const { client, server, clock } = await relay({ challengesPerSecond: 5 })
    const alice = await client()
    await alice.allocate()
    const mallory = await client('mallory')
    mallory.realm = alice.realm
    mallory.nonce = alice.nonce
    const below = random(20_26)
    const valid = [...samples(alice), ...samples(mallory)]
    for (let round = 0; round < 60; round++) {
      for (let each = 0; each < 100; each++) {
        const bytes = mutate(valid[below(valid.length)] ?? Buffer.alloc(0), below)
        if (below(2) === 0) mallory.sendRaw(bytes)
        else alice.sendRaw(bytes)
      }
      // so that no socket's buffer runs over
      for (const each of [alice, mallory]) {
        const mark = randomBytes(12)
        each.sendRaw(encode({ method: METHOD.binding, transaction: mark }))
        while (!(await each.next()).bytes.subarray(8, 20).equals(mark));
      }
      await clock.advance(1000)
    }
    expect(server.stats().allocations).toBeLessThanOrEqual(2)
    const bob = await client('bob')
    expect((await bob.allocate()).class).toBe(CLASS.success)
  })

  test('datagrams of any size and content from a peer cause no fault', async () => {
    const { client, peer } = await relay()
    const [alice, bob] = [await client(), await peer()]
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    const below = random(7)
    for (let round = 0; round < 1000; round++) {
      const data = Buffer.from(Array.from({ length: below(40) }, () => below(256)))
      bob.say(relayed, data)
      expect((await alice.hearsChannel()).data.equals(data)).toBe(true)
    }
    const large = Buffer.alloc(60_000, 1)
    bob.say(relayed, large)
    expect((await alice.hearsChannel()).data.equals(large)).toBe(true)
  })

  test('a message of thousands of attributes is not even read to its end', async () => {
    const { client } = await relay()
    const alice = await client()
    const attributes = Array.from({ length: 10_000 }, () => attribute(0x7abc, ''))
    alice.sendRaw(encode({ method: METHOD.binding, attributes }))
    await alice.nothingCame()
  })

  test('a flood of first requests leaves nothing behind (#8)', async () => {
    const { client, server, clock } = await relay()
    const alice = await client()
    for (let burst = 0; burst < 20; burst++) {
      for (let each = 0; each < 100; each++) alice.sendRaw(encode({ method: METHOD.allocate, attributes: [UDP] }))
      for (let each = 0; each < 100; each++) await alice.next()
    }
    expect(server.stats()).toMatchObject({ allocations: 0, refused: { 401: 2000 } })
    expect(clock.waiting).toBe(0)
  })

  test('octets of any kind in the place of a TLS handshake cause no fault, and hold no connection for long', async () => {
    const { client, clock, tlsAddress } = await relay({ tls: { port: 0, certificate: 'self-made' } })
    const hello = await clientHello()
    const below = random(8446)
    for (let round = 0; round < 300; round++) {
      const bytes = below(10) === 0 ? hello : mutate(hello, below)
      const socket = connect({ host: tlsAddress.address, port: tlsAddress.port })
      socket.on('error', () => undefined)
      let closed = false
      socket.once('close', () => {
        closed = true
      })
      await once(socket, 'connect')
      socket.resume().write(bytes)
      // some say no more, some are gone in the middle
      if (below(4) === 0) socket.destroy()
      while (!closed) await clock.advance(1000)
    }
    const bob = await client('bob', 'tls')
    expect((await bob.allocate()).class).toBe(CLASS.success)
  })
})

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false })
  client.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return hello
}
