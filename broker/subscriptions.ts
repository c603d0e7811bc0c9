/**
 * Subscriptions, and who listens where. A publication is encoded once per version, whoever gets it;
 * to each subscriber only its own head is made. Knows nothing of which destinations exist, or who may use them.
 */

import {
  digitsOf,
  type HeaderLine,
  headerLine,
  headerLines,
  type Memory,
  type Outgoing,
  Tail,
  type Version,
  writeNumber,
} from './frame.ts'
import type { Message } from './types.ts'
import { hasWildcard, Wildcards } from './wildcards.ts'

/** How a subscriber acknowledges (STOMP 1.2, "SUBSCRIBE ack Header"). */
export type AckMode = 'auto' | 'client' | 'client-individual'

export function isAckMode(text: string): text is AckMode {
  return text === 'auto' || text === 'client' || text === 'client-individual'
}

/** The session behind a subscription, as far as delivery goes. */
export interface Subscriber {
  readonly id: string
  readonly version: Version
  /** Counts the messages of this session: `message-id` is `<session>-<n>`, and `seq` is n. */
  nextMessage(): number
  /** Much waits for its peer already, or the peer is away. */
  readonly behind: boolean
  /** A message was left out. */
  misses(): void
  /**
   * Writes the MESSAGE with the number that was counted last, and keeps it for a resume unless it is one that may be left
   * out. A session that reads too slowly is closed by this; never throws.
   */
  write(frame: Outgoing, seq: number, mayBeLeftOut: boolean): void
}

/** One SUBSCRIBE that is in effect. */
export class Subscription {
  /** Undefined for a STOMP 1.0 subscription that is known by its destination alone. */
  readonly id: string | undefined
  readonly destination: string
  readonly ack: AckMode
  readonly #subscriber: Subscriber
  /** The part of the head that never changes. Made with the first message: most subscriptions wait long for one. */
  #prefix: Buffer | undefined
  /** Header lines of the last message that was encoded here: those of the next are likely to be the same. */
  #usual = NO_LINES

  constructor(subscriber: Subscriber, id: string | undefined, destination: string, ack: AckMode) {
    this.#subscriber = subscriber
    this.id = id
    this.destination = destination
    this.ack = ack
  }

  /** The same subscription, as if it named this destination: what a wildcard hears says where it was sent to. */
  at(destination: string): Subscription {
    return new Subscription(this.#subscriber, this.id, destination, this.ack)
  }

  /** Writes one MESSAGE. False when it was left out, as it may be (see {@link Message.missed}). */
  deliver(message: Message): boolean {
    if (message.missed !== undefined && this.#subscriber.behind) {
      this.#subscriber.misses()
      message.missed(this.#subscriber.id)
      return false
    }
    this.deliverNumbered(message, this.#subscriber.nextMessage(), false)
    return true
  }

  /** The same for whoever must know the number of the message in the session beforehand, and must not lose it. */
  deliverNumbered(message: Message, n: number, redelivered: boolean): void {
    const { id, version } = this.#subscriber
    // In modes other than auto "the MESSAGE frame MUST contain an ack header" (STOMP 1.2, MESSAGE)
    const ack = this.ack === 'auto' ? '' : `ack:${id}-${n}\n`
    const more = redelivered ? `${ack}redelivered:true\n` : ack
    // Octets are copied; a text would first have to be put together, and then turned into octets
    this.#prefix ??= ownOctets(this.#head())
    const delivery = new Delivery(this.#prefix, n, more, this.#tailOf(message, version))
    this.#subscriber.write(delivery, n, message.missed !== undefined)
  }

  /** As far as it is the same for every message. */
  #head(): string {
    const { id, version } = this.#subscriber
    const lines: HeaderLine[] = [['destination', this.destination]]
    if (this.id !== undefined) lines.unshift(['subscription', this.id])
    return `MESSAGE\n${headerLines(lines, version)}message-id:${id}-`
  }

  /** One publication is one {@link Tail} per version, however many get it: they do so one after the other. */
  #tailOf(message: Message, version: Version): Tail {
    const last = lastEncoded[version]
    if (last.message !== message) {
      if (!this.#usual.fits(message)) this.#usual = new TailLines(message, version)
      last.message = message
      last.tail = new Tail(this.#usual.octets, message.body)
    }
    return last.tail
  }
}

/** One MESSAGE for one subscriber. */
class Delivery implements Outgoing {
  readonly length: number
  readonly #prefix: Buffer
  readonly #number: number
  readonly #digits: number
  readonly #more: string
  readonly #tail: Tail
  memory: Memory | undefined = undefined
  memoryAt = 0

  /** `prefix` ends within message-id, before the number; `more`: lines behind it. */
  constructor(prefix: Buffer, number: number, more: string, tail: Tail) {
    this.#prefix = prefix
    this.#number = number
    this.#digits = digitsOf(number)
    this.#more = more
    this.#tail = tail
    this.length = prefix.length + 2 * this.#digits + SEQ.length + 1 + Buffer.byteLength(more) + tail.length
  }

  get isText(): boolean {
    return this.#tail.isText
  }

  writeTo(octets: Buffer, from: number): void {
    octets.set(this.#prefix, from)
    let at = writeNumber(octets, from + this.#prefix.length, this.#number, this.#digits)
    octets.set(SEQ, at)
    at = writeNumber(octets, at + SEQ.length, this.#number, this.#digits)
    octets[at++] = LF
    if (this.#more !== '') at += octets.write(this.#more, at)
    this.#tail.writeTo(octets, at)
  }

  get text(): string {
    return `${this.#prefix.toString()}${this.#number}\nseq:${this.#number}\n${this.#more}${this.#tail.text}`
  }
}

const LF = 0x0a
/** Between the number in `message-id` and the same number by itself, which a client names when it resumes. */
const SEQ = Buffer.from('\nseq:')

/** Destination → subscriptions of any session. */
export class Listeners {
  readonly #byDestination = new Map<string, Set<Subscription>>()
  readonly #wildcards = new Wildcards<Subscription>()

  /** False when it has wildcards, and there are too many of these. */
  add(subscription: Subscription): boolean {
    const { destination } = subscription
    if (hasWildcard(destination)) return this.#wildcards.add(destination, subscription)
    const listeners = this.#byDestination.get(subscription.destination)
    if (listeners) listeners.add(subscription)
    else this.#byDestination.set(subscription.destination, new Set([subscription]))
    return true
  }

  remove(subscription: Subscription): void {
    const listeners = this.#byDestination.get(subscription.destination)
    if (listeners?.delete(subscription) && listeners.size === 0) this.#byDestination.delete(subscription.destination)
    if (listeners === undefined) this.#wildcards.remove(subscription.destination, subscription)
  }

  /** To every subscription of the destination; how many. */
  publish(destination: string, message: Message): number {
    const listeners = this.#byDestination.get(destination)
    if (listeners === undefined) return 0
    let count = 0
    for (const subscription of listeners) if (subscription.deliver(message)) count++
    return count
  }

  /** The same for a topic that is open to all: wildcards hear it, too. */
  publishOpen(destination: string, message: Message): number {
    const wild = this.#wildcards.listening(destination)
    for (const subscription of wild) subscription.at(destination).deliver(message)
    return wild.length + this.publish(destination, message)
  }
}

/** Not from Node's pool: what lives long would keep a whole slab of it alive. */
function ownOctets(text: string): Buffer {
  const octets = Buffer.allocUnsafeSlow(Buffer.byteLength(text))
  octets.write(text)
  return octets
}

/** Headers of a MESSAGE that the broker alone writes. */
const RESERVED = new Set([
  'destination',
  'subscription',
  'message-id',
  'seq',
  'ack',
  'redelivered',
  'content-length',
  'content-type',
])

/** The header lines of a message that its subscribers of one version share, to `content-length:`. */
class TailLines {
  readonly octets: Buffer
  readonly #contentType: string | undefined
  readonly #headers: Message['headers']

  constructor({ contentType, headers }: Pick<Message, 'contentType' | 'headers'>, version: Version) {
    this.#contentType = contentType
    this.#headers = headers
    const type = contentType ?? 'application/json'
    let lines = type === '' ? '' : headerLine('content-type', type, version)
    for (const name in headers) if (!RESERVED.has(name)) lines += headerLine(name, headers[name] as string, version)
    this.octets = ownOctets(`${lines}content-length:`)
  }

  /** Whether this message has the same. */
  fits({ contentType, headers }: Message): boolean {
    return contentType === this.#contentType && isSame(headers, this.#headers)
  }
}

const NO_LINES = new TailLines({ contentType: '' }, '1.2')

type Texts = Readonly<Record<string, string>>

function isSame(one: Texts | undefined, other: Texts | undefined): boolean {
  if (one === other) return true
  if (one === undefined || other === undefined) return false
  for (const name in one) if (one[name] !== other[name]) return false
  for (const name in other) if (one[name] === undefined) return false
  return true
}

/** The last message that was encoded, in each version. */
const lastEncoded: { [V in Version]: { message: Message | undefined; tail: Tail } } = {
  '1.0': nothingEncoded(),
  '1.1': nothingEncoded(),
  '1.2': nothingEncoded(),
}

function nothingEncoded() {
  return { message: undefined, tail: new Tail(NO_LINES.octets, '') }
}
