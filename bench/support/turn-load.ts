/**
 * Media as a relay sees them: packets of one size on schedule, over many allocations. What arrives is counted where it
 * arrives; packets that are lost are no part of the cost.
 */

import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Address,
  ATTR,
  attribute,
  CLASS,
  encode,
  METHOD,
  Reply,
  TurnClient,
  xorAddress,
} from '../../test/relay/turn-client.ts'
import { costOf, type Meter } from './cpu.ts'
import type { MeasuredRelay } from './turn-relays.ts'

const CHANNEL = 0x4000
/** Nothing arrives any more when nothing has arrived for so long. */
const QUIET_MS = 100
/** RTP starts like this; what starts with 01 would look like ChannelData. */
const FIRST_OCTET = 0x80

/** A client with an allocation and a channel to somebody. */
export interface Leg {
  readonly client: TurnClient
  readonly relayed: Address
  /** Whom its channel leads to. */
  readonly peer: Address
  /** Binds the channel, which also renews it and the permission. */
  bind(): Promise<void>
}

/** Two ends between which packets go to and fro. */
export interface Pair {
  readonly legs: readonly Leg[]
  /** Sends a packet of the length that {@link prepared} has made. */
  readonly forth: Way
  readonly back: Way
  close(): void
}

/** One direction. */
export interface Way {
  prepared(octets: number): () => void
  /** Calls `arrived` for each packet of so many octets. */
  listen(octets: number, arrived: () => void): void
}

/** All there were so far: each is a stranger to the relay. */
let clients = 0

async function allocate(relay: MeasuredRelay): Promise<{ client: TurnClient; relayed: Address }> {
  const number = clients++
  const server = { address: '127.0.0.1', port: relay.port }
  // addresses of their own: a relay answers only so many of those it does not know at each
  const from = `127.1.${(number >> 8) & 0xff}.${number & 0xff}`
  const client = await TurnClient.open(server, relay.credential(number), 'udp', from)
  return { client, relayed: await client.relayed() }
}

function legTo(peer: Address, { client, relayed }: { client: TurnClient; relayed: Address }): Leg {
  return {
    client,
    relayed,
    peer,
    async bind() {
      const transaction = randomBytes(12)
      const attributes = [
        attribute(ATTR.channelNumber, CHANNEL * 0x10000),
        xorAddress(ATTR.xorPeerAddress, peer, transaction),
      ]
      client.sendRaw(encode(client.signed({ method: METHOD.channelBind, transaction, attributes })))
      // media of the round before may come late
      let answer = await client.next()
      while (!answer.bytes.subarray(8, 20).equals(transaction)) answer = await client.next()
      const reply = new Reply(answer.bytes)
      if (reply.class !== CLASS.success) throw new Error(`the relay refuses a channel with ${reply.code}`)
    },
  }
}

/** From the client of a leg into the relay. */
function outOf({ client, peer }: Leg, relay: MeasuredRelay): (octets: number) => () => void {
  return (octets) => {
    const data = Buffer.alloc(octets, FIRST_OCTET)
    const transaction = randomBytes(12)
    const attributes = [xorAddress(ATTR.xorPeerAddress, peer, transaction), attribute(ATTR.data, data)]
    const head = Buffer.from([CHANNEL >> 8, CHANNEL & 0xff, octets >> 8, octets & 0xff])
    const message = relay.takesChannelData
      ? Buffer.concat([head, data])
      : encode({ method: METHOD.send, class: CLASS.indication, transaction, attributes })
    return () => client.sendRaw(message)
  }
}

/** Out of the relay to the client of a leg, as ChannelData. */
function into({ client }: Leg): Way['listen'] {
  return (octets, arrived) =>
    client.tap((bytes) => bytes.length === octets + 4 && bytes[0] === CHANNEL >> 8 && arrived())
}

/** A client here, and a peer without a relay. */
export async function halfRelayed(relay: MeasuredRelay, count: number): Promise<Pair[]> {
  const pairs: Pair[] = []
  while (pairs.length < count) {
    const made = await allocate(relay)
    const peer: Socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(peer, 'listening')
    peer.connect(made.relayed.port, '127.0.0.1')
    await once(peer, 'connect')
    const leg = legTo({ address: '127.0.0.1', port: peer.address().port }, made)
    pairs.push({
      legs: [leg],
      forth: {
        prepared: outOf(leg, relay),
        listen: (octets, arrived) => {
          peer.removeAllListeners('message').on('message', (data) => data.length === octets && arrived())
        },
      },
      back: {
        prepared: (octets) => {
          const data = Buffer.alloc(octets, FIRST_OCTET)
          return () => peer.send(data)
        },
        listen: into(leg),
      },
      close: () => {
        leg.client.close()
        peer.close()
      },
    })
  }
  return pairs
}

/** Two clients of this relay, as when both must be relayed. */
export async function bothRelayed(relay: MeasuredRelay, count: number): Promise<Pair[]> {
  const pairs: Pair[] = []
  while (pairs.length < count) {
    const [a, b] = [await allocate(relay), await allocate(relay)]
    const [one, two] = [legTo(b.relayed, a), legTo(a.relayed, b)]
    pairs.push({
      legs: [one, two],
      forth: { prepared: outOf(one, relay), listen: into(two) },
      back: { prepared: outOf(two, relay), listen: into(one) },
      close: () => {
        one.client.close()
        two.client.close()
      },
    })
  }
  return pairs
}

/** The same ends around a forwarder that knows no TURN. */
export async function forwarded(port: number, count: number): Promise<Pair[]> {
  const pairs: Pair[] = []
  while (pairs.length < count) {
    const [client, peer] = [await boundSocket(), await boundSocket()]
    const hello = Buffer.alloc(2)
    hello.writeUInt16BE(peer.address().port)
    client.send(hello, port, '127.0.0.1')
    const [answer] = (await once(client, 'message')) as [Buffer]
    const relayed = answer.readUInt16BE(0)
    pairs.push({
      legs: [],
      forth: between(client, port, 4, peer),
      back: between(peer, relayed, 0, client),
      close: () => {
        client.close()
        peer.close()
      },
    })
  }
  return pairs
}

/** Packets that leave with so many octets before them. */
function between(from: Socket, port: number, head: number, to: Socket): Way {
  return {
    prepared: (octets) => {
      const data = Buffer.alloc(octets + head, FIRST_OCTET)
      return () => from.send(data, port, '127.0.0.1')
    },
    listen: (octets, arrived) => {
      to.removeAllListeners('message').on('message', (data) => data.length === octets && arrived())
    },
  }
}

async function boundSocket(): Promise<Socket> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

export interface FloodOptions {
  readonly octets: number
  /** Packets per second over all pairs, both directions together. */
  readonly rate: number
  readonly seconds: number
  /** Only towards the clients. */
  readonly backOnly?: boolean
}

export interface Flood {
  readonly microsPerPacket: number
  /** Of what was sent, 0 to 1. */
  readonly lost: number
  readonly perSecond: number
  /** Share of a core that the relay used, 0 to 1. */
  readonly busy: number
}

/** Packets on schedule through all pairs, and what the relay has spent on those that arrived. */
export async function flood(relay: Meter, pairs: readonly Pair[], options: FloodOptions): Promise<Flood> {
  const { octets, rate, seconds, backOnly = false } = options
  for (const { legs } of pairs) for (const leg of legs) await leg.bind()
  let arrived = 0
  const count = () => arrived++
  for (const { forth, back } of pairs) for (const way of [forth, back]) way.listen(octets, count)
  const sends = pairs.flatMap(({ forth, back }) =>
    (backOnly ? [back] : [forth, back]).map((way) => way.prepared(octets)),
  )
  const { sent, elapsed, cpuMicros } = await costOf(relay, async () => {
    const began = performance.now()
    const total = Math.round(rate * seconds)
    let made = 0
    while (made < total) {
      // what is due by now; a tick that comes late sends more
      const due = Math.min(total, Math.ceil(((performance.now() - began) * rate) / 1000))
      for (; made < due; made++) sends[made % sends.length]?.()
      await delay(1)
    }
    const elapsed = performance.now() - began
    for (let before = -1; before !== arrived && arrived < total; ) {
      before = arrived
      await delay(QUIET_MS)
    }
    return { sent: made, elapsed }
  })
  for (const { legs } of pairs) for (const { client } of legs) client.tap(undefined)
  return {
    microsPerPacket: cpuMicros / arrived,
    lost: 1 - arrived / sent,
    perSecond: (1000 * arrived) / elapsed,
    busy: cpuMicros / (1000 * elapsed),
  }
}

/** Resident memory of the relay per allocation, in octets: over so many of them, each with a channel. */
export async function memoryPerAllocation(relay: MeasuredRelay, count: number): Promise<number> {
  // the first ones pay for what is there once
  const first = await halfRelayed(relay, 50)
  for (const { legs } of first) for (const leg of legs) await leg.bind()
  const before = (await relay.usage()).rss
  const pairs = await halfRelayed(relay, count)
  for (const { legs } of pairs) for (const leg of legs) await leg.bind()
  const after = (await relay.usage()).rss
  for (const { legs } of [...first, ...pairs]) for (const { client } of legs) await client.refresh(0)
  for (const pair of [...first, ...pairs]) pair.close()
  return (after - before) / count
}
