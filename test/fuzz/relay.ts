/**
 * Packets of every make against the real relay over real sockets: right ones, spoilt ones, rightly signed ones that make
 * no sense, and ones that were sent before, from somebody with an allocation, from somebody with credentials, from
 * somebody without, over UDP and TCP, and from a peer. The clock is the test's.
 */

import { randomBytes } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { RelayServer } from '../../src/adapters/node-turn/server.ts'
import { mint } from '../../src/turn/credentials.ts'
import {
  type Address,
  ATTR,
  type Attribute,
  attribute,
  CLASS,
  type Credential,
  encode,
  METHOD,
  Peer,
  Reply,
  TurnClient,
  UDP,
  xorAddress,
} from '../relay/turn-client.ts'
import { TestClock } from '../support/clock.ts'
import { Random } from './random.ts'

const SENDERS = [
  'somebody with an allocation',
  'somebody with credentials',
  'somebody without',
  'somebody with an allocation, over TCP,',
  'somebody without credentials, over TCP,',
  'a peer',
] as const
const PEER = 5

/** Keys, nonces and transactions are made when it is sent, the rest follows from its seed. */
export interface Packet {
  readonly who: number
  readonly kind: number
  readonly spoils: number
  readonly seed: number
}

export function packet(random: Random): Packet {
  return {
    who: random.below(SENDERS.length),
    kind: random.below(KINDS.length),
    spoils: random.once(3) ? 0 : 1 + random.below(3),
    seed: random.bits(),
  }
}

export function shownPacket({ who, kind, spoils, seed }: Packet): string {
  return `${SENDERS[who]} sends ${KINDS[kind]?.name}, spoilt ${spoils} times by ${seed}`
}

const HERE: Address = { address: '127.0.0.1', port: 9 }
/** A machine may have no IPv6. */
const IPS = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  ? ['127.0.0.1', '::1']
  : ['127.0.0.1']
const SECRET = 'the secret of relay and broker'
/** A socket's buffer holds so many, and their answers. */
const SETTLE_EVERY = 20
const TALK_EVERY = 60
/** Goes by meanwhile, so that nonces go stale, and permissions, channels and allocations lapse among the packets. */
const SETTLE_MS = 60_000
/** Goes by while an unfinished message is waited for, until the relay has had enough of it. */
const PATIENCE_MS = 1000
/** More than any credential, permission, channel or allocation lives. */
const LONG_MS = 13 * 3600 * 1000
/** Closing goes through a turn or two of the event loop. */
const CLOSES_WITHIN_TURNS = 100

export class RelayScene {
  readonly #clock = new TestClock()
  readonly #faults: unknown[] = []
  readonly #server: RelayServer
  #address: Address = HERE
  #attackers: Attacker[] = []
  #peer: Peer | undefined
  #talkers: Talkers | undefined
  #played = 0
  /** Of this process, when nobody has arrived yet. */
  #sockets = 0

  private constructor() {
    const settings = {
      listenIps: IPS,
      publicIps: IPS,
      port: 0,
      secrets: [SECRET],
      allowPeers: ['127.0.0.0/8', '::1'],
      // each answer is to be judged, so none is left out
      challengesPerSecond: 10_000,
    }
    this.#server = new RelayServer(settings, this.#clock, { report: (fault) => this.#faults.push(fault) })
  }

  static async opens(): Promise<RelayScene> {
    const scene = new RelayScene()
    const { port } = await scene.#server.start()
    scene.#address = { address: '127.0.0.1', port }
    scene.#sockets = sockets()
    await scene.#arrive()
    return scene
  }

  async play(one: Packet): Promise<string[]> {
    const random = new Random(one.seed)
    const attacker = this.#attackers[one.who % this.#attackers.length] as Attacker
    let bytes = (KINDS[one.kind] as (typeof KINDS)[number]).make(random, attacker, this.#talkers?.overheard ?? [])
    for (let spoil = 0; spoil < one.spoils; spoil++) bytes = spoilt(bytes, random)
    if (one.who !== PEER) attacker.send(bytes)
    else this.#peer?.say(random.once(4) ? this.#address : attacker.relayed, bytes)
    this.#played++
    return this.#played % SETTLE_EVERY === 0 ? this.#settle() : []
  }

  /** Everybody is heard out and goes, every timer runs: what is wrong, or left. */
  async sweep(): Promise<string[]> {
    const wrong = await this.#settle()
    await this.#talkers?.talk()
    for (const attacker of this.#attackers) attacker.close()
    this.#peer?.close()
    this.#talkers?.close()
    await this.#clock.advance(LONG_MS)
    const { allocations } = this.#server.stats()
    if (allocations > 0) wrong.push(`${allocations} allocations are left`)
    if (this.#server.portsInUse > 0) wrong.push(`${this.#server.portsInUse} ports are left`)
    if (this.#clock.waiting > 0) wrong.push(`${this.#clock.waiting} timers are left`)
    wrong.push(...(await socketsLeft(this.#sockets)), ...this.#faults.splice(0).map(String))
    this.#played = 0
    await this.#arrive()
    return wrong
  }

  async #arrive(): Promise<void> {
    const now = this.#clock.now() / 1000
    const alice = mint(SECRET, 'alice', now + 7200)
    const nobody = mint('another secret', 'nobody', now + 7200)
    const come = (credential: Credential, transport: 'udp' | 'tcp', allocates = false) =>
      Attacker.arrives({ server: this.#address, credential, transport, allocates, signs: credential !== nobody })
    this.#attackers = [
      await come(alice, 'udp', true),
      await come(mint(SECRET, 'mallory', now + 7200), 'udp'),
      await come(nobody, 'udp'),
      await come(alice, 'tcp', true),
      await come(nobody, 'tcp'),
    ]
    this.#peer = await Peer.open()
    this.#talkers = await Talkers.arrive(this.#address, now)
  }

  async #settle(): Promise<string[]> {
    const wrong: string[] = []
    const wait = () => this.#clock.advance(PATIENCE_MS)
    for (const attacker of this.#attackers) wrong.push(...(await attacker.hearsOut(wait)))
    await this.#clock.advance(SETTLE_MS)
    if (this.#played % TALK_EVERY === 0) {
      await this.#talkers?.talk()
      for (const attacker of this.#attackers) await attacker.ready()
    }
    return [...wrong, ...this.#faults.splice(0).map(String)]
  }
}

const sockets = () => process.getActiveResourcesInfo().filter((name) => /^(UDPWRAP|TCPSocketWrap)$/.test(name)).length

/** What is wrong when there are more, once they have had time to close. */
async function socketsLeft(most: number): Promise<string[]> {
  for (let turn = 0; turn < CLOSES_WITHIN_TURNS && sockets() > most; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  return sockets() > most ? [`${sockets() - most} sockets are left`] : []
}

interface AttackerOptions {
  readonly server: Address
  readonly credential: Credential
  readonly transport: 'udp' | 'tcp'
  /** Whether it begins with an allocation. */
  readonly allocates: boolean
  /** Whether its credentials are good. */
  readonly signs: boolean
}

/** Somebody who sends, and whose answers are judged. */
class Attacker {
  readonly #options: AttackerOptions
  #client: TurnClient
  relayed = HERE
  /** Octets of what was sent, by transaction; the oldest first. */
  readonly #sent = new Map<string, number>()
  /** The last few. */
  readonly before: Buffer[] = []

  private constructor(options: AttackerOptions, client: TurnClient) {
    this.#options = options
    this.#client = client
  }

  static async arrives(options: AttackerOptions): Promise<Attacker> {
    const attacker = new Attacker(options, await connect(options))
    await attacker.ready()
    return attacker
  }

  get client(): TurnClient {
    return this.#client
  }

  close(): void {
    this.#client.close()
  }

  /** Has a fresh nonce and, if it is one who has one, an allocation; connects again when that is needed. */
  async ready(): Promise<void> {
    const asked = this.#client.signed({ method: METHOD.refresh })
    const known = await this.#answered(asked)
    if (!known) {
      this.#client = await connect(this.#options)
      return this.ready()
    }
    const nonce = known.get(ATTR.nonce)?.toString()
    if (nonce !== undefined) this.#client.nonce = nonce
    if (!this.#options.allocates || known.class === CLASS.success) return
    const made = await this.#answered(this.#client.signed({ method: METHOD.allocate, attributes: [UDP] }))
    this.relayed = made?.address(ATTR.xorRelayedAddress) ?? this.relayed
  }

  /** The next message; undefined when the relay has closed the connection. */
  #next(): Promise<Buffer | undefined> {
    const closed = this.#client.closed.then(() => undefined)
    return Promise.race([this.#client.next().then(({ bytes }) => bytes), closed])
  }

  /** The answer, whatever comes before it. */
  async #answered(draft: Parameters<typeof encode>[0]): Promise<Reply | undefined> {
    const transaction = randomBytes(12)
    this.#client.sendRaw(encode({ ...draft, transaction }))
    for (;;) {
      const bytes = await this.#next()
      if (!bytes) return undefined
      if (bytes.subarray(8, 20).equals(transaction)) return new Reply(bytes)
    }
  }

  send(bytes: Buffer): void {
    const transaction = transactionOf(bytes)
    this.#sent.set(transaction, Math.max(bytes.length, this.#sent.get(transaction) ?? 0))
    for (const [oldest] of this.#sent) {
      if (this.#sent.size <= 4 * SETTLE_EVERY) break
      this.#sent.delete(oldest)
    }
    this.before.push(bytes)
    if (this.before.length > SETTLE_EVERY) this.before.shift()
    this.#client.sendRaw(bytes)
  }

  /** What is wrong with the answers to what was sent. Over TCP something may be unfinished: `wait` lets time go by. */
  async hearsOut(wait: () => Promise<void>): Promise<string[]> {
    const mark = randomBytes(12)
    this.#client.sendRaw(encode({ method: METHOD.binding, transaction: mark }))
    const wrong: string[] = []
    let over = false
    const listens = async () => {
      for (;;) {
        const bytes = await this.#next()
        if (!bytes || bytes.subarray(8, 20).equals(mark)) return
        wrong.push(...this.#judged(bytes))
      }
    }
    const heard = listens().finally(() => {
      over = true
    })
    while (this.#options.transport === 'tcp' && !over) await wait()
    await heard
    if (this.#options.transport === 'tcp') await this.ready()
    return wrong
  }

  #judged(bytes: Buffer): string[] {
    if ((bytes[0] ?? 0) >> 6 === 1) {
      return this.#options.signs && bytes.readUInt16BE(2) === bytes.length - 4 ? [] : [`bad ChannelData: ${hex(bytes)}`]
    }
    const reply = new Reply(bytes)
    if (reply.class === CLASS.indication) {
      return this.#options.signs && reply.method === METHOD.data ? [] : [`an indication: ${hex(bytes)}`]
    }
    const asked = this.#sent.get(transactionOf(bytes))
    const signed = reply.get(ATTR.messageIntegrity) !== undefined
    // in a stream a piece that is missing is taken from what comes next, and nobody answers to an address that was forged
    if (this.#options.transport === 'udp') {
      if (asked === undefined) return [`an answer to nothing: ${hex(bytes)}`]
      if (!signed && bytes.length > 2 * asked) return [`${bytes.length} octets for ${asked}: ${hex(bytes)}`]
    }
    const served = reply.class === CLASS.success && reply.method !== METHOD.binding
    if (served && !(signed && this.#options.signs)) return [`served without credentials: ${hex(bytes)}`]
    return []
  }
}

async function connect({ server, credential, transport }: AttackerOptions): Promise<TurnClient> {
  const client = await TurnClient.open(server, credential, transport)
  await client.greet()
  return client
}

/** Two who have nothing to do with it: what they say to each other must arrive. */
class Talkers {
  readonly #carol: TurnClient
  readonly #dave: TurnClient
  readonly #hers: Address
  readonly #his: Address
  /** What somebody on the wire could send again. */
  readonly overheard: readonly Buffer[]
  #said = 0

  private constructor(carol: TurnClient, dave: TurnClient, [hers, his]: readonly [Address, Address]) {
    this.#carol = carol
    this.#dave = dave
    this.#hers = hers
    this.#his = his
    const transaction = randomBytes(12)
    const attributes = [attribute(ATTR.channelNumber, 0x40000000), xorAddress(ATTR.xorPeerAddress, his, transaction)]
    this.overheard = [
      encode(carol.signed({ method: METHOD.refresh, attributes: [attribute(ATTR.lifetime, 0)] })),
      encode(carol.signed({ method: METHOD.allocate, attributes: [UDP] })),
      encode(carol.signed({ method: METHOD.channelBind, transaction, attributes })),
    ]
  }

  static async arrive(server: Address, now: number): Promise<Talkers> {
    const [carol, dave] = [
      await TurnClient.open(server, mint(SECRET, 'carol', now + 3600)),
      await TurnClient.open(server, mint(SECRET, 'dave', now + 3600)),
    ]
    return new Talkers(carol, dave, [await carol.relayed(), await dave.relayed()])
  }

  /** Never fulfilled when something does not arrive: the run then hangs, and is ended with its place. */
  async talk(): Promise<void> {
    for (const each of [this.#carol, this.#dave]) {
      await until(each, { method: METHOD.refresh })
      const transaction = randomBytes(12)
      const peer = each === this.#carol ? this.#his : this.#hers
      const attributes = [attribute(ATTR.channelNumber, 0x40000000), xorAddress(ATTR.xorPeerAddress, peer, transaction)]
      await until(each, { method: METHOD.channelBind, transaction, attributes })
    }
    const text = `number ${++this.#said}`
    this.#carol.channelData(0x4000, text)
    await hears(this.#dave, text)
    this.#dave.channelData(0x4000, text)
    await hears(this.#carol, text)
  }

  close(): void {
    this.#carol.close()
    this.#dave.close()
  }
}

/** Asks until it is done: nonces go stale. */
async function until(client: TurnClient, draft: Parameters<typeof encode>[0]): Promise<void> {
  const { transaction = randomBytes(12) } = draft
  for (;;) {
    client.sendRaw(encode({ ...client.signed(draft), transaction }))
    let bytes: Buffer
    do ({ bytes } = await client.next())
    while (!bytes.subarray(8, 20).equals(transaction))
    const reply = new Reply(bytes)
    if (reply.class === CLASS.success) return
    if (reply.code !== 438) throw new Error(`a bystander is refused with ${reply.code}`)
    client.nonce = reply.get(ATTR.nonce)?.toString() ?? ''
  }
}

async function hears(client: TurnClient, text: string): Promise<void> {
  while (!(await client.next()).bytes.subarray(4).equals(Buffer.from(text)));
}

interface Kind {
  readonly name: string
  readonly make: (random: Random, attacker: Attacker, overheard: readonly Buffer[]) => Buffer
}

const TYPES = [...Object.values(ATTR), 0x0001, 0x001c, 0x8000, 0x8004, 0x7abc, 0xc001]
const METHODS = [...Object.values(METHOD), 0, 0x0c, 0xfff]
const PEERS = ['127.0.0.1', '127.0.0.2', '10.0.0.1', '0.0.0.0', '2a00:1450:4001::1', '::ffff:7f00:1', '::1']

/** What an Allocate can ask for. */
const WISHES: readonly Attribute[] = [
  attribute(ATTR.lifetime, 60),
  attribute(ATTR.lifetime, 0xffffffff),
  attribute(ATTR.evenPort, Buffer.from([0])),
  attribute(ATTR.evenPort, Buffer.from([0x80])),
  attribute(ATTR.reservationToken, Buffer.alloc(8, 7)),
  attribute(ATTR.requestedAddressFamily, 0x1000000),
  attribute(ATTR.requestedAddressFamily, 0x2000000),
  attribute(ATTR.additionalAddressFamily, 0x2000000),
]

const octets = (random: Random, most: number): Buffer => {
  const bytes = Buffer.alloc(random.below(most))
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.bits()
  return bytes
}

/** Of any type, with a value that fits some type or none. */
function anyAttribute(random: Random, transaction: Buffer): Attribute {
  const type = random.pick(TYPES)
  switch (random.below(4)) {
    case 0:
      return [type, octets(random, random.once(20) ? 800 : 24)]
    case 1:
      return xorAddress(type, { address: random.pick(PEERS), port: random.below(65_536) }, transaction)
    default:
      return attribute(type, random.pick([0, 1, 17 * 0x1000000, 0x40000000, 0x4fff0000, 600, 0xffffffff]))
  }
}

const anyMessage = (random: Random, transaction: Buffer) => ({
  method: random.pick(METHODS),
  class: random.below(4),
  transaction,
  attributes: Array.from({ length: random.below(random.once(10) ? 140 : 6) }, () => anyAttribute(random, transaction)),
  fingerprint: random.once(3),
})

const asks = (
  name: string,
  method: number,
  attributes: (random: Random, transaction: Buffer) => readonly Attribute[],
): Kind => ({
  name,
  make(random, { client }) {
    const transaction = randomBytes(12)
    const draft = { method, transaction, attributes: attributes(random, transaction), fingerprint: random.once(4) }
    return encode(client.signed(draft))
  },
})

const bare = (name: string, method: number): Kind => ({
  name,
  make: (random) => encode({ method, attributes: random.once(2) ? [UDP] : [], fingerprint: random.once(2) }),
})

const peers = (random: Random, transaction: Buffer, count: number): Attribute[] =>
  Array.from({ length: count }, () =>
    xorAddress(ATTR.xorPeerAddress, { address: random.pick(PEERS), port: random.below(65_536) }, transaction),
  )

const KINDS: readonly Kind[] = [
  bare('a Binding request', METHOD.binding),
  bare('a first Allocate', METHOD.allocate),
  asks('an Allocate', METHOD.allocate, (random, id) => [
    ...(random.once(10) ? [] : [UDP]),
    ...Array.from({ length: random.below(3) }, () => random.pick(WISHES)),
    ...(random.once(3) ? [anyAttribute(random, id)] : []),
  ]),
  asks('a Refresh', METHOD.refresh, (random) => [attribute(ATTR.lifetime, random.pick([0, 60, 600, 4e9]))]),
  asks('a CreatePermission', METHOD.createPermission, (random, id) => peers(random, id, random.below(70))),
  asks('a ChannelBind', METHOD.channelBind, (random, id) => [
    attribute(ATTR.channelNumber, (0x4000 + random.below(80)) * 0x10000),
    ...peers(random, id, 1),
  ]),
  {
    name: 'a Send',
    make(random) {
      const transaction = randomBytes(12)
      const attributes = [...peers(random, transaction, 1), attribute(ATTR.data, octets(random, 1300))]
      return encode({ method: METHOD.send, class: CLASS.indication, transaction, attributes })
    },
  },
  {
    name: 'ChannelData',
    make(random) {
      const data = octets(random, 1300)
      const head = Buffer.alloc(4)
      head.writeUInt16BE(0x4000 + random.below(80))
      head.writeUInt16BE(data.length, 2)
      return Buffer.concat([head, data])
    },
  },
  {
    name: 'a message of anything, signed',
    make: (random, { client }) => encode(client.signed(anyMessage(random, randomBytes(12)))),
  },
  { name: 'a message of anything', make: (random) => encode(anyMessage(random, randomBytes(12))) },
  { name: 'octets', make: (random) => octets(random, random.once(50) ? 3000 : 80) },
  {
    name: 'what it has sent before',
    make: (random, { before }) => before[random.below(before.length)] ?? octets(random, 9),
  },
  { name: 'what others have sent', make: (random, _attacker, overheard) => random.pick(overheard) },
]

/** One thing about it is made wrong. */
function spoilt(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes)
  const words = Math.floor(copy.length / 4)
  switch (random.below(7)) {
    case 0:
      return copy.subarray(0, random.below(copy.length + 1))
    case 1:
      return Buffer.concat([copy, Buffer.alloc(random.below(9), random.below(256))])
    case 2:
      // a length that lies: of the message, or of something within it
      if (words > 0) copy.writeUInt16BE(random.below(0x10000), random.below(words) * 4 + 2)
      return copy
    case 3:
      // the type of something
      if (words > 0)
        copy.writeUInt16BE(random.once(2) ? random.pick(TYPES) : random.below(0x10000), random.below(words) * 4)
      return copy
    case 4: {
      const from = random.below(copy.length)
      return Buffer.concat([copy, copy.subarray(from, from + random.below(64))])
    }
    case 5: {
      // a piece is gone
      const from = random.below(copy.length)
      return Buffer.concat([copy.subarray(0, from), copy.subarray(from + random.below(32))])
    }
    default:
      for (let flips = 1 + random.below(8); flips > 0 && copy.length > 0; flips--)
        copy[random.below(copy.length)] = random.bits()
      return copy
  }
}

const transactionOf = (bytes: Buffer) => bytes.toString('hex', 8, 20)
const hex = (bytes: Buffer) => bytes.toString('hex', 0, 200)
