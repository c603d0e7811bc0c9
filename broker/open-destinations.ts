/**
 * Open queues: what is sent to one reaches exactly one of its consumers, round robin over those that have room.
 * While none has, messages wait, in memory and up to a bound. What a consumer was given and has not acknowledged goes to
 * the next when the consumer is lost or says NACK, in order, marked `redelivered:true`. A message that gets NACK again and
 * again is dropped in the end: else it would go round for ever, ahead of all others.
 *
 * (Open topics need nothing of their own: they are listeners like others, see subscriptions.ts.)
 */

import { tooMany } from './errors.ts'
import type { Subscription } from './subscriptions.ts'
import type { Message, Refused } from './types.ts'

export interface QueueLimits {
  /** Messages and octets that wait in one queue. */
  readonly queueMessages: number
  readonly queueBytes: number
  /** Octets that wait in all queues together, or for an ACK. */
  readonly allQueuesBytes: number
  /** Queues that hold messages or consumers at a time. */
  readonly queues: number
  /** How often a message that got NACK is handed out again; then it is dropped. */
  readonly redeliveries: number
}

/** What is told of each MESSAGE that is written, and of each message that nobody will get any more. */
export interface QueueObserver {
  delivered(): void
  dropped(destination: string): void
}

/** A subscription to an open queue, and the session behind it. */
export interface Consumer {
  readonly subscription: Subscription
  /** Whether it can take one more: not too much unacknowledged, not too much unread. */
  hasRoom(): boolean
  nextMessage(): number
  /** Message `n` must be acknowledged; told before it is written. */
  mustAcknowledge(n: number, delivery: Delivery): void
}

/** A message on its way to a consumer that is to acknowledge it. */
export interface Delivery {
  readonly subscription: Subscription
  /** It was taken: nobody will ask for it again. */
  acknowledged(): void
  /** It was not taken: it waits again at its old place. Whoever says so lets the queue {@link OpenQueues.wake} afterwards. */
  returned(): void
  /**
   * NACK: it waits again at its old place, and the consumer that refused it is asked last; or it is dropped, when it may
   * not go back to the queue, or was refused too often. A lost connection is nobody's refusal, and never counts as one.
   */
  refused(again: boolean): void
}

/** What all queues keep together, waiting or unacknowledged. */
interface Store {
  bytes: number
}

interface Kept {
  readonly message: Message
  readonly bytes: number
  /** Place in the queue, for good. */
  readonly place: number
  readonly redelivered: boolean
  readonly nacks: number
}

export class OpenQueues {
  readonly #limits: QueueLimits
  readonly #observer: QueueObserver
  readonly #queues = new Map<string, OpenQueue>()
  readonly #store: Store = { bytes: 0 }

  constructor(limits: QueueLimits, observer: QueueObserver) {
    this.#limits = limits
    this.#observer = observer
  }

  get size(): number {
    return this.#queues.size
  }

  /** Octets that are kept, waiting or unacknowledged. */
  get bytes(): number {
    return this.#store.bytes
  }

  /** Takes a message in, or says why not. `bytes`: what it costs to keep. */
  send(destination: string, message: Message, bytes: number): Refused | undefined {
    const queue = this.#open(destination)
    if (queue === undefined) return this.#tooManyQueues(destination)
    const refused = queue.send(message, bytes)
    this.#closeIfIdle(destination, queue)
    return refused
  }

  /** Adds a consumer, or says why not. */
  consume(consumer: Consumer): Refused | undefined {
    const { destination } = consumer.subscription
    const queue = this.#open(destination)
    if (queue === undefined) return this.#tooManyQueues(destination)
    queue.add(consumer)
    return undefined
  }

  /** The consumer is gone. What it did not acknowledge must have been returned before. */
  leave(consumer: Consumer): void {
    const { destination } = consumer.subscription
    const queue = this.#queues.get(destination)
    if (queue === undefined) return
    queue.remove(consumer)
    queue.dispatch()
    this.#closeIfIdle(destination, queue)
  }

  /** The consumer may have room again. */
  wake(consumer: Consumer): void {
    const { destination } = consumer.subscription
    this.#queues.get(destination)?.dispatch()
  }

  #open(destination: string): OpenQueue | undefined {
    let queue = this.#queues.get(destination)
    if (queue === undefined && this.#queues.size < this.#limits.queues) {
      queue = new OpenQueue(destination, this.#limits, this.#store, this.#observer)
      this.#queues.set(destination, queue)
    }
    return queue
  }

  #closeIfIdle(destination: string, queue: OpenQueue): void {
    if (queue.idle) this.#queues.delete(destination)
  }

  #tooManyQueues(destination: string): Refused {
    return tooMany(`${destination}: ${this.#limits.queues} queues are in use; no further one can be opened`)
  }
}

class OpenQueue {
  readonly #name: string
  readonly #limits: QueueLimits
  readonly #store: Store
  /** Messages that came back, by place. All of them are older than every fresh one. */
  #returned: Kept[] = []
  /** Messages that nobody was given yet, from `#first` on. */
  #fresh: Kept[] = []
  #first = 0
  #bytes = 0
  #places = 0
  /** In turn: who was given a message goes to the end. */
  #consumers: Consumer[] = []
  #dispatching = false
  readonly #observer: QueueObserver

  constructor(name: string, limits: QueueLimits, store: Store, observer: QueueObserver) {
    this.#name = name
    this.#limits = limits
    this.#store = store
    this.#observer = observer
  }

  /** Nothing would be lost with it. */
  get idle(): boolean {
    return this.#consumers.length === 0 && this.#waiting === 0
  }

  get #waiting(): number {
    return this.#returned.length + this.#fresh.length - this.#first
  }

  send(message: Message, bytes: number): Refused | undefined {
    const { queueMessages, queueBytes, allQueuesBytes } = this.#limits
    // What is taken without ACK is not kept at all
    if (this.#store.bytes + bytes > allQueuesBytes && !this.#consumers.some((each) => isAuto(each) && each.hasRoom()))
      return tooMany(`${this.#name}: all queues together are full with ${this.#store.bytes} octets`)
    // One message fits, however large a frame may be here
    const full = this.#waiting >= queueMessages || (this.#waiting > 0 && this.#bytes + bytes > queueBytes)
    if (full && !this.#consumers.some((consumer) => consumer.hasRoom()))
      return tooMany(`${this.#name}: is full with ${this.#waiting} messages, ${this.#bytes} octets; nobody takes them`)
    this.#fresh.push({ message, bytes, place: this.#places++, redelivered: false, nacks: 0 })
    this.#bytes += bytes
    this.#store.bytes += bytes
    this.dispatch()
    return undefined
  }

  add(consumer: Consumer): void {
    this.#consumers.push(consumer)
    this.dispatch()
  }

  remove(consumer: Consumer): void {
    this.#consumers = this.#consumers.filter((other) => other !== consumer)
  }

  /**
   * Hands out what waits, as far as there is room. Called again from within (a consumer may be lost by a write),
   * it leaves the work to the first call.
   */
  dispatch(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    for (let consumer = this.#next(); consumer !== undefined; consumer = this.#next()) {
      const kept = this.#take() as Kept
      this.#give(consumer, kept)
    }
    this.#dispatching = false
  }

  #next(): Consumer | undefined {
    if (this.#waiting === 0) return undefined
    const turn = this.#consumers.findIndex((consumer) => consumer.hasRoom())
    if (turn < 0) return undefined
    const consumer = this.#consumers[turn] as Consumer
    this.#turnPasses(consumer)
    return consumer
  }

  /** The consumer is the last to be asked from now on. */
  #turnPasses(consumer: Consumer): void {
    const turn = this.#consumers.indexOf(consumer)
    if (turn < 0) return
    this.#consumers.splice(turn, 1)
    this.#consumers.push(consumer)
  }

  #take(): Kept | undefined {
    const kept = this.#returned.shift() ?? this.#fresh[this.#first++]
    if (this.#first > 32 && this.#first * 2 > this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#first)
      this.#first = 0
    }
    if (kept !== undefined) this.#bytes -= kept.bytes
    return kept
  }

  #give(consumer: Consumer, kept: Kept): void {
    const { subscription } = consumer
    const n = consumer.nextMessage()
    if (isAuto(consumer)) this.#gone(kept)
    else
      consumer.mustAcknowledge(n, {
        subscription,
        acknowledged: () => this.#gone(kept),
        returned: () => this.#takeBack(kept),
        refused: (again) => this.#refused(consumer, kept, again),
      })
    this.#observer.delivered()
    subscription.deliverNumbered(kept.message, n, kept.redelivered)
  }

  #refused(consumer: Consumer, kept: Kept, again: boolean): void {
    this.#turnPasses(consumer)
    if (again && kept.nacks < this.#limits.redeliveries) this.#takeBack({ ...kept, nacks: kept.nacks + 1 })
    else {
      this.#gone(kept)
      this.#observer.dropped(this.#name)
    }
  }

  /** It is nobody's message any more. */
  #gone({ bytes }: Kept): void {
    this.#store.bytes -= bytes
  }

  #takeBack(kept: Kept): void {
    const place = this.#returned.findIndex((other) => other.place > kept.place)
    this.#returned.splice(place < 0 ? this.#returned.length : place, 0, { ...kept, redelivered: true })
    this.#bytes += kept.bytes
  }
}

function isAuto({ subscription }: Consumer): boolean {
  return subscription.ack === 'auto'
}
