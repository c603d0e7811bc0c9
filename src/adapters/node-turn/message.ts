/**
 * A STUN message from outside (RFC 8489, section 5), read strictly and without exceptions. node-turn's message stays the
 * model and its attributes still decode most values; what is read here instead is the walk over the attributes, for
 * node-turn throws at the first one it does not know, reads past the end, and honours what comes after
 * MESSAGE-INTEGRITY. It knows nothing of users: {@link Inbound.signature} is for authentication.ts to judge.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type Endpoint, fromNodeTurn } from './endpoint.ts'
import {
  Attribute,
  CONSTANTS,
  Data,
  type EncodableAttribute,
  Message,
  type NodeTurnMessage,
  type NodeTurnServer,
  type NodeTurnTransport,
} from './node-turn.ts'

const { ATTR, CLASS } = CONSTANTS
const HEADER = 20
/** Enough for 64 peers in one CreatePermission; the rest of the message is then not read at all. */
const MOST_ATTRIBUTES = 128
const FINGERPRINT_XOR = 0x5354554e

/** Attributes that node-turn lacks, or reads wrongly. */
export const REQUESTED_ADDRESS_FAMILY = 0x0017
export const ADDITIONAL_ADDRESS_FAMILY = 0x8000

/** What a known attribute's length must be; what is missing here is no request's or indication's business. */
const LENGTHS: ReadonlyMap<number, (length: number, value: Buffer) => boolean> = new Map([
  [ATTR.USERNAME, (length) => length <= 513],
  [ATTR.REALM, (length) => length <= 763],
  [ATTR.NONCE, (length) => length <= 763],
  [ATTR.CHANNEL_NUMBER, (length) => length === 4],
  [ATTR.LIFETIME, (length) => length === 4],
  [ATTR.XOR_PEER_ADDRESS, (length, value) => length === (value[1] === 1 ? 8 : value[1] === 2 ? 20 : -1)],
  [ATTR.DATA, () => true],
  [REQUESTED_ADDRESS_FAMILY, (length) => length === 4],
  [ADDITIONAL_ADDRESS_FAMILY, (length) => length === 4],
  [ATTR.EVEN_PORT, (length) => length === 1],
  [ATTR.REQUESTED_TRANSPORT, (length) => length === 4],
  [ATTR.RESERVATION_TOKEN, (length) => length === 8],
] as [number, (length: number, value: Buffer) => boolean][])

/** Known, but never to be looked at in what a client sends. */
const IGNORED: ReadonlySet<number | undefined> = new Set([
  ATTR.MAPPED_ADDRESS,
  ATTR.ERROR_CODE,
  ATTR.UNKNOWN_ATTRIBUTES,
  ATTR.XOR_RELAYED_ADDRESS,
  ATTR.XOR_MAPPED_ADDRESS,
])

/** Known, of fixed layout, and read by us. */
const OURS: ReadonlySet<number | undefined> = new Set([
  REQUESTED_ADDRESS_FAMILY,
  ADDITIONAL_ADDRESS_FAMILY,
  ATTR.EVEN_PORT,
  ATTR.RESERVATION_TOKEN,
])

export class Inbound extends Message {
  /** Octets of the datagram. */
  size = 0
  /** Comprehension-required attributes that we do not know (RFC 8489, section 6.3.1). */
  readonly unknown: number[] = []
  /** An attribute we know has a length or form that it must not have. */
  malformed = false
  /** Present when the message has a MESSAGE-INTEGRITY. */
  signature: Signature | undefined

  /** False for what is no STUN message at all, or one whose FINGERPRINT is wrong: nothing may be answered. */
  override read(bytes: Buffer): boolean {
    if (bytes.length < HEADER || bytes.readUInt32BE(4) !== CONSTANTS.MAGIC_COOKIE) return false
    const length = bytes.readUInt16BE(2)
    if (length % 4 !== 0 || HEADER + length !== bytes.length) return false
    const type = bytes.readUInt16BE(0)
    if (type > 0x3fff) return false
    // section 5: the class bits lie between the bits of the method
    this.class = ((type >> 7) & 2) | ((type >> 4) & 1)
    this.method = (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80)
    this.transactionID = bytes.toString('hex', 8, HEADER)
    this.size = bytes.length
    return this.#readAttributes(bytes)
  }

  #readAttributes(bytes: Buffer): boolean {
    let count = 0
    for (let at = HEADER; at < bytes.length; ) {
      const type = bytes.readUInt16BE(at)
      const length = bytes.readUInt16BE(at + 2)
      const next = at + 4 + length + (-length & 3)
      if (next > bytes.length || ++count > MOST_ATTRIBUTES) return false
      const value = bytes.subarray(at + 4, at + 4 + length)
      if (type === ATTR.FINGERPRINT) {
        this.useFingerprint = true
        return next === bytes.length && length === 4 && rightFingerprint(bytes.subarray(0, at), value)
      }
      // section 14.5: whatever follows MESSAGE-INTEGRITY, except FINGERPRINT, was not written by the user
      if (this.signature === undefined) {
        if (type === ATTR.MESSAGE_INTEGRITY) {
          if (length !== 20) return false
          this.signature = new Signature(bytes.subarray(0, at), value)
        } else this.#take(type, value, bytes.subarray(at, next))
      }
      at = next
    }
    return true
  }

  #take(type: number, value: Buffer, whole: Buffer): void {
    const fits = LENGTHS.get(type)
    if (fits === undefined) {
      if (type < 0x8000 && !IGNORED.has(type)) this.unknown.push(type)
      return
    }
    if (!fits(value.length, value)) {
      this.malformed = true
      return
    }
    if (OURS.has(type)) {
      this.attributes.push(new RawAttribute(type, value))
      return
    }
    const attribute = new Attribute(this)
    // a view of its own: Data changes the prototype of what it is given
    attribute.read(new Data(Buffer.from(whole.buffer, whole.byteOffset, whole.length)))
    this.attributes.push(attribute)
  }

  /** The first value of an attribute that node-turn does not read (see {@link OURS}). */
  octetsOf(type: number): Buffer | undefined {
    return this.attributes.find((attribute) => attribute.type === type)?.value as Buffer | undefined
  }

  text(name: 'username' | 'realm' | 'nonce'): string | undefined {
    return this.getAttribute(name) as string | undefined
  }

  number(name: 'lifetime' | 'channel-number' | 'requested-transport'): number | undefined {
    return this.getAttribute(name) as number | undefined
  }

  get payload(): Buffer | undefined {
    return this.getAttribute('data') as Buffer | undefined
  }

  /** The peers named, in order. Port 0 can be permitted, but not sent to. */
  get peers(): Endpoint[] {
    return this.getAttributes('xor-peer-address').map(fromNodeTurn)
  }

  get isRequest(): boolean {
    return this.class === CLASS.REQUEST
  }

  get isIndication(): boolean {
    return this.class === CLASS.INDICATION
  }
}

/** MESSAGE-INTEGRITY (RFC 8489, section 14.5) and what it covers. */
export class Signature {
  readonly #covered: Buffer
  readonly #mac: Buffer

  constructor(covered: Buffer, mac: Buffer) {
    this.#covered = covered
    this.#mac = mac
  }

  /** Whether it was made with this key. Takes the same time for every wrong one. */
  madeWith(key: Buffer): boolean {
    // the length in the header counts as if the message ended with MESSAGE-INTEGRITY
    const head = Buffer.from(this.#covered.subarray(0, 4))
    head.writeUInt16BE(this.#covered.length + 24 - HEADER, 2)
    const mac = createHmac('sha1', key).update(head).update(this.#covered.subarray(4)).digest()
    return timingSafeEqual(mac, this.#mac)
  }
}

function rightFingerprint(covered: Buffer, value: Buffer): boolean {
  return (crc32(covered) ^ FINGERPRINT_XOR) >>> 0 === value.readUInt32BE(0)
}

/** An attribute as it stands on the wire. */
export class RawAttribute implements EncodableAttribute {
  readonly type: number
  readonly value: Buffer
  readonly length: number
  readonly padding: number

  constructor(type: number, value: Buffer) {
    this.type = type
    this.value = value
    this.length = value.length
    this.padding = -value.length & 3
  }

  toBuffer(): Buffer {
    const bytes = Buffer.alloc(4 + this.length + this.padding)
    bytes.writeUInt16BE(this.type, 0)
    bytes.writeUInt16BE(this.length, 2)
    this.value.copy(bytes, 4)
    return bytes
  }
}

/** Adds an attribute that node-turn cannot write. */
export function addRaw(message: NodeTurnMessage, type: number, value: Buffer): void {
  const attribute = new RawAttribute(type, value)
  message.attributes.push(attribute)
  message.length += 4 + attribute.length + attribute.padding
}

/** The message in a datagram; undefined when there is none. */
export function readMessage(
  server: NodeTurnServer,
  transport: NodeTurnTransport,
  datagram: Buffer,
): Inbound | undefined {
  const message = new Inbound(server, transport)
  return message.read(datagram) ? message : undefined
}
