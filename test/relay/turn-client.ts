/**
 * A small STUN and TURN client over UDP, TCP and TLS, written from RFC 8489 and RFC 8656 alone, so that it shares no mistake with
 * the relay under test. Nothing in it waits for time to pass: whoever wants to see that something was *not* answered
 * sends a Binding request after it, for datagrams over loopback stay in order (a stream's octets always do).
 */

import { createHash, createHmac, randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { crc32 } from 'node:zlib'

export const METHOD = { binding: 1, allocate: 3, refresh: 4, send: 6, data: 7, createPermission: 8, channelBind: 9 }
export const CLASS = { request: 0, indication: 1, success: 2, error: 3 }
export const ATTR = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedAddressFamily: 0x0017,
  evenPort: 0x0018,
  requestedTransport: 0x0019,
  dontFragment: 0x001a,
  xorMappedAddress: 0x0020,
  reservationToken: 0x0022,
  priority: 0x0024,
  additionalAddressFamily: 0x8000,
  addressErrorCode: 0x8001,
  software: 0x8022,
  fingerprint: 0x8028,
}
const COOKIE = 0x2112a442

export type Attribute = readonly [type: number, value: Buffer]

export interface Address {
  readonly address: string
  readonly port: number
}

export interface Credential {
  readonly username: string
  readonly credential: string
}

export interface Draft {
  readonly method: number
  readonly class?: number
  readonly transaction?: Buffer
  readonly attributes?: readonly Attribute[]
  readonly key?: Buffer | undefined
  /** After MESSAGE-INTEGRITY. */
  readonly after?: readonly Attribute[]
  readonly fingerprint?: boolean
}

export function attribute(type: number, value: Buffer | string | number): Attribute {
  if (typeof value === 'string') return [type, Buffer.from(value)]
  if (typeof value !== 'number') return [type, value]
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(value)
  return [type, octets]
}

/** RFC 8489, section 5; MESSAGE-INTEGRITY 14.5; FINGERPRINT 14.7. */
export function encode(draft: Draft): Buffer {
  const { method, class: kind = CLASS.request, transaction = randomBytes(12) } = draft
  const header = Buffer.alloc(20)
  header.writeUInt16BE(
    (method & 0xf) | ((method & 0x70) << 1) | ((method & 0xf80) << 2) | ((kind & 1) << 4) | ((kind & 2) << 7),
  )
  header.writeUInt32BE(COOKIE, 4)
  transaction.copy(header, 8)
  let message: Buffer = header
  const add = ([type, value]: Attribute) => {
    const head = Buffer.alloc(4)
    head.writeUInt16BE(type)
    head.writeUInt16BE(value.length, 2)
    message = Buffer.concat([message, head, value, Buffer.alloc(-value.length & 3)])
  }
  const count = (more: number) => message.writeUInt16BE(message.length - 20 + more, 2)
  for (const each of draft.attributes ?? []) add(each)
  if (draft.key) {
    count(24)
    add([ATTR.messageIntegrity, createHmac('sha1', draft.key).update(message).digest()])
  }
  for (const each of draft.after ?? []) add(each)
  if (draft.fingerprint) {
    count(8)
    add(attribute(ATTR.fingerprint, (crc32(message) ^ 0x5354554e) >>> 0))
  }
  count(0)
  return message
}

export class Reply {
  readonly raw: Buffer
  readonly method: number
  readonly class: number
  readonly transaction: string
  readonly attributes: readonly Attribute[]

  constructor(raw: Buffer) {
    const type = raw.readUInt16BE(0)
    if (type > 0x3fff || raw.readUInt32BE(4) !== COOKIE || raw.readUInt16BE(2) !== raw.length - 20) {
      throw new Error(`not a STUN message: ${raw.toString('hex')}`)
    }
    this.raw = raw
    this.method = (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80)
    this.class = ((type >> 4) & 1) | ((type >> 7) & 2)
    this.transaction = raw.toString('hex', 8, 20)
    const attributes: Attribute[] = []
    for (let at = 20; at < raw.length; ) {
      const length = raw.readUInt16BE(at + 2)
      attributes.push([raw.readUInt16BE(at), raw.subarray(at + 4, at + 4 + length)])
      at += 4 + length + (-length & 3)
    }
    this.attributes = attributes
  }

  get(type: number): Buffer | undefined {
    return this.attributes.find(([each]) => each === type)?.[1]
  }

  /** Of an error response. */
  get code(): number | undefined {
    const value = this.get(ATTR.errorCode)
    return value && (value[2] ?? 0) * 100 + (value[3] ?? 0)
  }

  get lifetime(): number | undefined {
    return this.get(ATTR.lifetime)?.readUInt32BE()
  }

  address(type: number): Address | undefined {
    return this.addresses(type)[0]
  }

  addresses(type: number): Address[] {
    return this.attributes.filter(([each]) => each === type).map(([, value]) => readXorAddress(value, this.raw))
  }

  /** Whether MESSAGE-INTEGRITY is there and was made with the key. */
  signedWith(key: Buffer): boolean {
    let at = 20
    for (const [type, value] of this.attributes) {
      if (type === ATTR.messageIntegrity) {
        const covered = Buffer.from(this.raw.subarray(0, at))
        covered.writeUInt16BE(at + 4, 2)
        return createHmac('sha1', key).update(covered).digest().equals(value)
      }
      at += 4 + value.length + (-value.length & 3)
    }
    return false
  }

  get fingerprintIsRight(): boolean {
    const value = this.attributes.at(-1)
    return (
      value?.[0] === ATTR.fingerprint &&
      (crc32(this.raw.subarray(0, -8)) ^ 0x5354554e) >>> 0 === value[1].readUInt32BE()
    )
  }
}

/** RFC 8489, section 14.2. */
export function xorAddress(type: number, { address, port }: Address, transaction: Buffer): Attribute {
  const octets = address.includes(':') ? sixteen(address) : Buffer.from(address.split('.').map(Number))
  const value = Buffer.alloc(4 + octets.length)
  value[1] = octets.length === 4 ? 1 : 2
  value.writeUInt16BE(port ^ (COOKIE >>> 16), 2)
  const key = Buffer.alloc(16)
  key.writeUInt32BE(COOKIE)
  transaction.copy(key, 4)
  for (const [at, octet] of octets.entries()) value[4 + at] = octet ^ (key[at] ?? 0)
  return [type, value]
}

function readXorAddress(value: Buffer, message: Buffer): Address {
  const octets = [...value.subarray(4)].map((octet, at) => octet ^ (message[4 + at] ?? 0))
  const port = value.readUInt16BE(2) ^ (COOKIE >>> 16)
  if (octets.length === 4) return { address: octets.join('.'), port }
  const pairs = Array.from({ length: 8 }, (_, at) =>
    (((octets[at * 2] ?? 0) << 8) | (octets[at * 2 + 1] ?? 0)).toString(16),
  )
  return { address: pairs.join(':'), port }
}

function sixteen(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::')
  const words = (text: string) => (text === '' ? [] : text.split(':'))
  const missing = 8 - words(head).length - words(tail).length
  const all = [...words(head), ...Array<string>(address.includes('::') ? missing : 0).fill('0'), ...words(tail)]
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex')
}

/** What arrives can be waited for, one after the other. */
export class Inbox {
  readonly #arrived: { bytes: Buffer; from: Address }[] = []
  readonly #waiting: ((datagram: { bytes: Buffer; from: Address }) => void)[] = []
  #tap: ((bytes: Buffer) => void) | undefined

  /** Something has arrived. */
  protected put(bytes: Buffer, from: Address): void {
    if (this.#tap) {
      this.#tap(bytes)
      return
    }
    const waiting = this.#waiting.shift()
    if (waiting) waiting({ bytes, from })
    else this.#arrived.push({ bytes, from })
  }

  next(): Promise<{ bytes: Buffer; from: Address }> {
    const arrived = this.#arrived.shift()
    return arrived ? Promise.resolve(arrived) : new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** From now on everything goes there, and nothing waits; without one, as before. */
  tap(tap: ((bytes: Buffer) => void) | undefined): void {
    this.#tap = tap
  }

  /** What has arrived and nobody has waited for. */
  get unread(): number {
    return this.#arrived.length
  }
}

/** A socket whose datagrams can be waited for, one after the other. */
export class Datagrams extends Inbox {
  readonly socket: Socket

  protected constructor(socket: Socket) {
    super()
    this.socket = socket
    socket.on('message', (bytes, { address, port }) => this.put(bytes, { address, port }))
  }

  static async bound(ip: string): Promise<Socket> {
    const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4')
    socket.bind(0, ip)
    await once(socket, 'listening')
    return socket
  }

  get local(): Address {
    const { address, port } = this.socket.address()
    return { address, port }
  }

  close(): void {
    this.socket.close()
  }
}

/** Somebody out there who knows nothing of TURN. */
export class Peer extends Datagrams {
  static async open(ip = '127.0.0.1'): Promise<Peer> {
    return new Peer(await Datagrams.bound(ip))
  }

  say(to: Address, data: Buffer | string): void {
    this.socket.send(data, to.port, to.address)
  }
}

export type Transport = 'udp' | 'tcp' | 'tls'

/** What runs between client and server. */
interface Wire {
  readonly local: Address
  /** ChannelData is padded in a stream. */
  send(bytes: Buffer): void
  close(): void
  /** Reads nothing any more: what arrives waits, here and then there. */
  pause(): void
  /** Told of each whole message. */
  listen(arrived: (bytes: Buffer) => void): void
  /** Resolves when the server has closed the connection; never over UDP. */
  readonly closed: Promise<void>
}

async function datagramWire(server: Address, from: string): Promise<Wire> {
  const socket = await Datagrams.bound(from)
  return {
    local: { address: socket.address().address, port: socket.address().port },
    send: (bytes) => socket.send(bytes, server.port, server.address),
    close: () => socket.close(),
    pause: () => undefined,
    // what somebody else on this machine sends is not from the server
    listen: (arrived) => socket.on('message', (bytes, { port }) => port === server.port && arrived(bytes)),
    closed: new Promise(() => undefined),
  }
}

/** RFC 8656, section 12.5. */
async function streamWire(server: Address, secure: boolean): Promise<Wire> {
  const { address: host, port } = server
  // a self-made certificate is nobody's to check; tests that do check one look at the certificate itself
  const socket = secure ? connectTls({ host, port, rejectUnauthorized: false }) : connectTcp({ host, port })
  socket.setNoDelay(true)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await once(socket, secure ? 'secureConnect' : 'connect')
  socket.on('error', () => undefined)
  return {
    local: { address: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    send: (bytes) => void socket.write(bytes),
    close: () => void socket.destroy(),
    pause: () => void socket.pause(),
    listen: (arrived) => {
      let rest: Buffer = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk])
        while (rest.length >= 4) {
          const length = rest.readUInt16BE(2)
          const channel = (rest[0] ?? 0) >= 0x40
          const whole = channel ? 4 + length + (-length & 3) : 20 + length
          if (rest.length < whole) return
          arrived(channel ? rest.subarray(0, 4 + length) : rest.subarray(0, whole))
          rest = rest.subarray(whole)
        }
      })
    },
    closed,
  }
}

export class TurnClient extends Inbox {
  readonly server: Address
  readonly transport: Transport
  readonly #wire: Wire
  readonly #credential: Credential | undefined
  realm = ''
  nonce = ''

  private constructor(wire: Wire, server: Address, transport: Transport, credential: Credential | undefined) {
    super()
    this.#wire = wire
    this.server = server
    this.transport = transport
    this.#credential = credential
    wire.listen((bytes) => this.put(bytes, server))
  }

  /** `from`: the address that it comes from, over UDP. */
  static async open(
    server: Address,
    credential?: Credential,
    transport: Transport = 'udp',
    from = server.address,
  ): Promise<TurnClient> {
    const wire = transport === 'udp' ? await datagramWire(server, from) : await streamWire(server, transport === 'tls')
    return new TurnClient(wire, server, transport, credential)
  }

  /** The client's own end. */
  get local(): Address {
    return this.#wire.local
  }

  /** Resolves when the server has closed the connection. */
  get closed(): Promise<void> {
    return this.#wire.closed
  }

  close(): void {
    this.#wire.close()
  }

  /** Over TCP and TLS: reads nothing any more. */
  pause(): void {
    this.#wire.pause()
  }

  /** RFC 8489, section 9.2.2. */
  get key(): Buffer {
    const { username, credential } = this.#credential ?? { username: '', credential: '' }
    return createHash('md5').update(`${username}:${this.realm}:${credential}`).digest()
  }

  sendRaw(bytes: Buffer): void {
    this.#wire.send(bytes)
  }

  /** Sends it as it is and waits for the next datagram. */
  async ask(draft: Draft): Promise<Reply> {
    this.sendRaw(encode(draft))
    return new Reply((await this.next()).bytes)
  }

  /** The attributes of an authenticated request, the method's own before them. */
  signed(draft: Draft): Draft {
    return {
      ...draft,
      attributes: [
        ...(draft.attributes ?? []),
        attribute(ATTR.username, this.#credential?.username ?? ''),
        attribute(ATTR.realm, this.realm),
        attribute(ATTR.nonce, this.nonce),
      ],
      key: this.key,
    }
  }

  /** An authenticated request. */
  request(draft: Draft): Promise<Reply> {
    return this.ask(this.signed(draft))
  }

  /** Learns realm and nonce. */
  async greet(): Promise<Reply> {
    const reply = await this.ask({ method: METHOD.allocate, attributes: [UDP] })
    this.realm = reply.get(ATTR.realm)?.toString() ?? ''
    this.nonce = reply.get(ATTR.nonce)?.toString() ?? ''
    return reply
  }

  /** The whole exchange: challenge, then the request. */
  async allocate(...attributes: Attribute[]): Promise<Reply> {
    if (this.nonce === '') await this.greet()
    return this.request({ method: METHOD.allocate, attributes: [UDP, ...attributes] })
  }

  /** Allocates and gives the relayed address; throws when that is refused. */
  async relayed(...attributes: Attribute[]): Promise<Address> {
    const reply = await this.allocate(...attributes)
    const address = reply.address(ATTR.xorRelayedAddress)
    if (!address) throw new Error(`no allocation: ${reply.code}`)
    return address
  }

  refresh(lifetime?: number): Promise<Reply> {
    return this.request({
      method: METHOD.refresh,
      attributes: lifetime === undefined ? [] : [attribute(ATTR.lifetime, lifetime)],
    })
  }

  permit(...peers: Address[]): Promise<Reply> {
    const transaction = randomBytes(12)
    const attributes = peers.map((peer) => xorAddress(ATTR.xorPeerAddress, peer, transaction))
    return this.request({ method: METHOD.createPermission, transaction, attributes })
  }

  bind(channel: number, peer: Address): Promise<Reply> {
    const transaction = randomBytes(12)
    return this.request({
      method: METHOD.channelBind,
      transaction,
      attributes: [
        attribute(ATTR.channelNumber, channel * 0x10000),
        xorAddress(ATTR.xorPeerAddress, peer, transaction),
      ],
    })
  }

  /** A Send indication. */
  indicate(peer: Address, data: Buffer | string, ...more: Attribute[]): void {
    const transaction = randomBytes(12)
    const attributes = [
      xorAddress(ATTR.xorPeerAddress, peer, transaction),
      attribute(ATTR.data, Buffer.from(data)),
      ...more,
    ]
    this.sendRaw(encode({ method: METHOD.send, class: CLASS.indication, transaction, attributes }))
  }

  /** ChannelData (RFC 8656, section 12.4). */
  channelData(channel: number, data: Buffer | string): void {
    const head = Buffer.alloc(4)
    head.writeUInt16BE(channel)
    head.writeUInt16BE(Buffer.byteLength(data), 2)
    const padding = this.transport === 'udp' ? 0 : -Buffer.byteLength(data) & 3
    this.sendRaw(Buffer.concat([head, Buffer.from(data), Buffer.alloc(padding)]))
  }

  /** The next datagram as the Data indication that it must be. */
  async hears(): Promise<{ from: Address; data: Buffer }> {
    const reply = new Reply((await this.next()).bytes)
    const from = reply.address(ATTR.xorPeerAddress)
    const data = reply.get(ATTR.data)
    if (reply.method !== METHOD.data || reply.class !== CLASS.indication || !from || !data) {
      throw new Error(`not a Data indication: ${reply.raw.toString('hex')}`)
    }
    return { from, data }
  }

  /** The next datagram as the ChannelData that it must be. */
  async hearsChannel(): Promise<{ channel: number; data: Buffer }> {
    const { bytes } = await this.next()
    const data = bytes.subarray(4)
    if (bytes.readUInt16BE(2) !== data.length) throw new Error(`not ChannelData: ${bytes.toString('hex')}`)
    return { channel: bytes.readUInt16BE(0), data }
  }

  /** Everything sent before this has been dealt with, and none of it was answered. */
  async nothingCame(): Promise<void> {
    const transaction = randomBytes(12)
    const reply = await this.ask({ method: METHOD.binding, transaction })
    if (reply.transaction !== transaction.toString('hex')) {
      throw new Error(`something came: ${reply.raw.toString('hex')}`)
    }
  }
}

/** REQUESTED-TRANSPORT: UDP. */
export const UDP = attribute(ATTR.requestedTransport, 17 * 0x1000000)
