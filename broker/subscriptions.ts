/**
 * Subscriptions, and who listens where. A publication is encoded once per version, whoever gets it;
 * to each subscriber only its own head is made. Knows nothing of which destinations exist, or who may use them.
 */

import { type HeaderLine, headerLine, headerLines, Tail, type Version } from './frame.ts'
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
  /** Counts the messages of this session: `message-id` is `<session>-<n>`. */
  nextMessage(): number
  /** Much waits for its peer already. */
  readonly behind: boolean
  /** A message was left out. */
  misses(): void
  /** Writes a MESSAGE. A session that reads too slowly is closed by this; never throws. */
  write(head: Buffer, tail: Tail): void
}

/** One SUBSCRIBE that is in effect. */
export class Subscription {
  /** Undefined for a STOMP 1.0 subscription that is known by its destination alone. */
  readonly id: string | undefined
  readonly destination: string
  readonly ack: AckMode
  readonly #subscriber: Subscriber
  /** The part of the head that never changes. */
  readonly #prefix: string
  /** Made with the first message: most subscriptions wait long for one. */
  #prefixOctets: Buffer | undefined

  constructor(subscriber: Subscriber, id: string | undefined, destination: string, ack: AckMode) {
    this.#subscriber = subscriber
    this.id = id
    this.destination = destination
    this.ack = ack
    const lines: HeaderLine[] = [['destination', destination]]
    if (id !== undefined) lines.unshift(['subscription', id])
    this.#prefix = `MESSAGE\n${headerLines(lines, subscriber.version)}message-id:${subscriber.id}-`
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
    const more = `${n}\n${ack}${redelivered ? 'redelivered:true\n' : ''}`
    // Octets are copied; a text would first have to be put together, and then turned into octets
    this.#prefixOctets ??= ownOctets(this.#prefix)
    const at = this.#prefixOctets.length
    const head = Buffer.allocUnsafe(at + (ack === '' ? more.length : Buffer.byteLength(more)))
    head.set(this.#prefixOctets)
    head.write(more, at)
    this.#subscriber.write(head, tailOf(message, version))
  }
}

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
  'ack',
  'redelivered',
  'content-length',
  'content-type',
])

/** A message carries what was encoded of it: one publication, one {@link Tail} per version, however many get it. */
const TAILS = Symbol('tails')

type Encoded = Message & { [TAILS]?: { readonly [V in Version]?: Tail } }

/** All of a MESSAGE that its subscribers of one version share. */
function tailOf(message: Encoded, version: Version): Tail {
  const known = message[TAILS]?.[version]
  if (known !== undefined) return known
  const tail = encodeTail(message, version)
  if (Object.isExtensible(message)) message[TAILS] = { ...message[TAILS], [version]: tail }
  return tail
}

function encodeTail({ body, contentType = 'application/json', headers }: Message, version: Version): Tail {
  let lines = contentType === '' ? '' : headerLine('content-type', contentType, version)
  for (const name in headers) if (!RESERVED.has(name)) lines += headerLine(name, headers[name] as string, version)
  return new Tail(lines, body)
}
