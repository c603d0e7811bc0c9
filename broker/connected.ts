/**
 * A session between CONNECTED and its end: what it holds (subscriptions, transactions, what is unacknowledged, what it
 * was lately sent), and what each frame does to it. It may outlive its connection. Every frame has an outcome, which is a value; session.ts turns it into RECEIPT, errors message
 * or ERROR. Knows nothing of sockets, heart-beats or the order in which frames are worked on.
 */

import { Unacknowledged } from './acknowledgements.ts'
import type { Clock } from './clock.ts'
import type { Peer } from './connection.ts'
import { broken, exceeded, internal, tooMany, type Violation } from './errors.ts'
import { type ClientFrame, costOf, type Outgoing, type Version } from './frame.ts'
import { type KeptFrame, Mailbox, type Mailboxes } from './mailbox.ts'
import type { Consumer, OpenQueues } from './open-destinations.ts'
import { TokenBucket, type TokenBuckets } from './rate.ts'
import { ERRORS_QUEUE, type Router } from './router.ts'
import { isAckMode, type Listeners, type Subscriber, Subscription } from './subscriptions.ts'
import { Transactions } from './transactions.ts'
import type {
  BrokerLimits,
  BrokerObserver,
  Handler,
  Limit,
  Message,
  Principal,
  Refused,
  Restriction,
  SessionView,
  SuspendedSession,
} from './types.ts'

/** What became of a frame. */
export type Outcome =
  | { readonly kind: 'done' }
  /** Told on the errors queue, each; the connection stays. */
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  /** Told in an ERROR; the connection ends. */
  | { readonly kind: 'violation'; readonly violation: Violation }
  /** The client says good-bye. */
  | { readonly kind: 'goodbye' }

export interface Refusal {
  readonly refused: Refused
  readonly destination: string
}

/** What all sessions share. */
export interface Surroundings {
  readonly clock: Clock
  readonly limits: BrokerLimits
  readonly observer: BrokerObserver
  readonly router: Router
  readonly listeners: Listeners
  readonly queues: OpenQueues
  readonly userRates: TokenBuckets
  /** Nothing: what was sent is not kept, for no session is resumed. */
  readonly mailboxes: Mailboxes | undefined
  /** To every subscriber of an open topic. */
  publishOpen(topic: string, message: Message): void
}

/** The way out of one session. */
export interface Line {
  /** Octets that wait for the peer. */
  readonly buffered: number
  /** Writes a frame; closes the session when the peer reads too slowly. */
  write(frame: string | Outgoing): void
  /** Ends the session at once. */
  disconnect(code: number, reason: string): void
  /** Says in an ERROR why the session is let in no longer, and ends it. */
  expel(refused: Refused): void
  /** Closes the connection, because the session goes on over another one; fulfilled when what had come over it is done. */
  leaveSession(): Promise<void>
}

/** Who has this part of what may wait waiting is behind, and gets only what must not be left out. */
const BEHIND = 4

const NONE: readonly string[] = []
const NOTHING = Buffer.alloc(0)

/** Of a session that comes from another process, until it has a connection here. */
const UNKNOWN_PEER: Peer = { transport: 'memory', address: '', query: {} }

const DONE: Outcome = { kind: 'done' }
const GOODBYE: Outcome = { kind: 'goodbye' }

/**
 * Headers of a SEND that do not go on to subscribers of an open destination: they concern the frame itself, or they are
 * credentials, which old clients put on every frame.
 */
const FRAME_HEADERS = new Set([
  'destination',
  'content-length',
  'content-type',
  'receipt',
  'receipt-id',
  'transaction',
  'resume-id',
  'last-seq',
  'ide',
  'authorization',
  'Authorization',
  'login',
  'passcode',
])

/** What is known of a session when it begins. */
export interface Beginning extends Pick<SessionView, 'id' | 'principal' | 'version' | 'peer' | 'comesBack'> {
  /** Nothing: it cannot be resumed. */
  readonly resumeId?: string | undefined
}

/** What a connection that goes on with a session brings with it. */
export type Return = Pick<SessionView, 'principal' | 'peer' | 'comesBack'>

export class Connected implements SessionView, Subscriber {
  readonly id: string
  readonly resumeId: string | undefined
  /** Replaced when the credential is: see {@link Broker.renew}. */
  principal: Principal
  readonly version: Version
  peer: Peer
  comesBack: boolean
  connectedAt: number
  away = false

  readonly #all: Surroundings
  #line: Line
  readonly #mailbox: Mailbox | undefined
  /** By id; in STOMP 1.0 also by destination, see {@link keyOf}. */
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #byDestination = new Map<string, Subscription[]>()
  /** Of open queues. Most sessions never have any, as with what is refused. */
  #consumers: Map<Subscription, Consumer> | undefined
  /** Ids whose SUBSCRIBE was refused: their UNSUBSCRIBE is as harmless as that was. */
  #refusedIds: Set<string> | undefined
  #transactions: Transactions
  readonly #unacknowledged = new Unacknowledged()
  /** Of what is handled, of what goes to open destinations or nowhere, and of SUBSCRIBEs. */
  readonly #rate: TokenBucket
  readonly #userRate: TokenBucket
  readonly #openRate: TokenBucket
  readonly #subscribeRate: TokenBucket
  #messages = 0
  /** What is written reaches a peer. */
  #listening = true
  #over = false
  /** Subscriptions from before the last resume that the client has not made again: it may not know of them. */
  #inherited: Map<string, Subscription> | undefined
  /** Messages were left out since it was last told how things are. */
  #missed = false
  #restriction: Restriction | undefined
  /** Subscriptions that the restriction keeps messages from: no message finds them. */
  #silenced: Set<Subscription> | undefined
  /** The one that was told last, which is likely to be told next. */
  #lastTold: Subscription | undefined

  constructor(who: Beginning, surroundings: Surroundings, line: Line) {
    this.id = who.id
    this.resumeId = who.resumeId
    this.comesBack = who.comesBack
    this.principal = who.principal
    this.version = who.version
    this.peer = who.peer
    this.connectedAt = surroundings.clock.now()
    this.#all = surroundings
    this.#line = line
    this.#mailbox = surroundings.mailboxes && new Mailbox(surroundings.mailboxes)
    this.#transactions = new Transactions(surroundings.limits)
    this.#rate = new TokenBucket(surroundings.limits.sessionRate, this.connectedAt)
    this.#userRate = surroundings.userRates.hold(who.principal.user)
    this.#openRate = new TokenBucket(surroundings.limits.openRate, this.connectedAt)
    this.#subscribeRate = new TokenBucket(surroundings.limits.subscribeRate, this.connectedAt)
  }

  /** One that another process has held: it is to go away, and may then come back. */
  static restored(suspended: SuspendedSession, surroundings: Surroundings, line: Line): Connected {
    const session = new Connected({ ...suspended, peer: UNKNOWN_PEER }, surroundings, line)
    session.#listening = false
    session.connectedAt = suspended.connectedAt
    session.#messages = suspended.lastSeq
    session.#missed = suspended.missed
    const frames = suspended.frames.map((frame) => ({ ...frame, octets: Buffer.from(frame.octets) }))
    session.#mailbox?.restore({ ...suspended, frames })
    for (const { id, destination, ack } of suspended.subscriptions) {
      const route = surroundings.router.subscribe(destination)
      // The other process may have other destinations
      if (route.from === 'nowhere') continue
      const subscription = new Subscription(session, id, destination, ack)
      session.#keep(keyOf(id, destination), subscription)
      session.#listen(subscription, route.from)
    }
    return session
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size
  }

  listensTo(destination: string): boolean {
    return this.#listening && this.#byDestination.has(destination)
  }

  subscribesTo(destination: string): boolean {
    return this.#byDestination.has(destination)
  }

  nextMessage(): number {
    return ++this.#messages
  }

  write(frame: Outgoing, seq: number, mayBeLeftOut: boolean): void {
    if (mayBeLeftOut) this.#mailbox?.pass(seq)
    else this.#mailbox?.keep(seq, frame)
    if (this.#listening) this.#line.write(frame)
  }

  disconnect(code: number, reason: string): void {
    this.#line.disconnect(code, reason)
  }

  expel(refused: Refused): void {
    this.#line.expel(refused)
  }

  /** Subscriptions that may hear nothing are taken out of the indexes, so that delivery need not ask. */
  restrict(restriction: Restriction | undefined): void {
    this.#restriction = restriction
    for (const subscription of this.#subscriptions.values()) {
      const silent = restriction !== undefined && !restriction.hears(subscription.destination)
      if (silent !== (this.#silenced?.has(subscription) ?? false)) this.#silence(subscription, silent)
    }
    this.#wakeQueues()
  }

  get behind(): boolean {
    return !this.#listening || this.#line.buffered > this.#all.limits.bufferedBytes / BEHIND
  }

  misses(): void {
    this.#missed = true
  }

  /** A message on the first subscription to the destination. False when there is none, or when it was left out. */
  tell(destination: string, message: Message): boolean {
    const last = this.#lastTold
    const subscription = last?.destination === destination ? last : this.#byDestination.get(destination)?.[0]
    if (subscription === undefined) return false
    this.#lastTold = subscription
    if (!subscription.deliver(message)) return false
    if (this.#listening) this.#all.observer.frameOut?.('MESSAGE', 1)
    return true
  }

  /** Says on the errors queue what was refused. Whoever has not subscribed to it does not want to know. */
  tellRefusal({ refused, destination }: Refusal, receipt: string | undefined): void {
    const { code, message, ...facts } = refused
    this.#all.observer.refused?.(code)
    const body = JSON.stringify({ code, message, destination, ...facts })
    this.tell(ERRORS_QUEUE, receipt === undefined ? { body } : { body, headers: { 'receipt-id': receipt } })
  }

  /** Does what a frame asks. Never throws. */
  perform(frame: ClientFrame): Outcome | Promise<Outcome> {
    switch (frame.command) {
      case 'SEND':
      case 'ACK':
      case 'NACK':
        return this.#transact(frame)
      case 'SUBSCRIBE':
        // It makes the server look for what waits for the subscriber: a loop of them must not be free
        return this.#paced('subscribe', this.#subscribeRate, NOTHING, () => this.#subscribe(frame))
      case 'UNSUBSCRIBE':
        return this.#unsubscribe(frame)
      case 'BEGIN':
        return this.#begin(frame)
      case 'COMMIT':
        return this.#commit(frame)
      case 'ABORT':
        return this.#abort(frame)
      case 'DISCONNECT':
        return GOODBYE
      case 'CONNECT':
      case 'STOMP':
        return violation(
          broken('already connected', `A session begins with one ${frame.command}; there was one before.`),
        )
    }
  }

  /** Room was made on the line. */
  drained(): void {
    this.#wakeQueues()
    this.catchUp()
  }

  /** A peer that has missed something, and reads on, may be told how things are. */
  catchUp(): void {
    if (!this.#missed || this.behind) return
    this.#missed = false
    this.#all.observer.caughtUp?.(this)
  }

  /**
   * The connection is lost. What is written from now on is kept for a resume; what was not acknowledged goes to others.
   * What had come over the connection may still be worked on.
   */
  cut(): void {
    this.#listening = false
    for (const subscription of this.#consumers?.keys() ?? []) this.#consumeNoMore(subscription)
  }

  /** Everything that had come over the lost connection is done; its transactions are lost with it. `line`: for the time being. */
  goAway(line: Line): void {
    this.away = true
    this.#line = line
    this.#transactions = new Transactions(this.#all.limits)
  }

  /** Ends the connection for another one that goes on with this session; fulfilled when the session is away. */
  leaveConnection(): Promise<void> {
    return this.#line.leaveSession()
  }

  /** Whether nothing is lost of what was written after this message. */
  canResumeAfter(seq: number): boolean {
    return this.#mailbox?.covers(seq) === true
  }

  /** It is connected again. What it has missed is for the caller to write, before it {@link listenAgain}s. */
  comeBack({ principal, peer, comesBack }: Return, line: Line): void {
    this.away = false
    this.principal = principal
    this.peer = peer
    this.comesBack = comesBack
    this.#line = line
    this.#inherited = new Map(this.#subscriptions)
  }

  /** Messages after this one, which has come through, in order. Changes of which only the last counts may be missing. */
  missedAfter(seq: number): readonly KeptFrame[] {
    const frames = this.#mailbox?.after(seq) ?? []
    if (frames.length < this.#messages - seq) this.#missed = true
    this.#mailbox?.forget(seq)
    return frames
  }

  /** Messages reach the peer from now on. */
  listenAgain(): void {
    this.#listening = true
    for (const subscription of this.#subscriptions.values()) {
      if (this.#all.router.subscribe(subscription.destination).from === 'open-queue') this.#consume(subscription)
    }
  }

  /** What another process needs to go on with it. */
  suspended(): Omit<SuspendedSession, 'luggage'> {
    const { id, principal, version, connectedAt, comesBack } = this
    const keptAfter = this.#mailbox?.keptAfter ?? this.#messages
    return {
      id,
      resumeId: this.resumeId ?? '',
      principal,
      version,
      connectedAt,
      comesBack,
      subscriptions: [...this.#subscriptions.values()].map((one) => ({
        id: one.id,
        destination: one.destination,
        ack: one.ack,
      })),
      lastSeq: this.#messages,
      keptAfter,
      frames: this.#mailbox?.after(keptAfter) ?? [],
      missed: this.#missed,
    }
  }

  /** Nothing reaches this session any more: it leaves all destinations, and what it had not acknowledged goes to others. */
  stopListening(): void {
    this.#listening = false
    this.#over = true
    this.#mailbox?.forget(this.#messages)
    for (const subscription of this.#subscriptions.values()) this.#leave(subscription)
    this.#subscriptions.clear()
    this.#byDestination.clear()
    this.#inherited = undefined
    this.#silenced?.clear()
    this.#lastTold = undefined
  }

  /** The session is over, and nothing that it has sent is left to be done. */
  end(): void {
    this.#all.userRates.letGo(this.principal.user)
  }

  /** SEND, ACK, NACK: at once, or held by the transaction that they name. */
  #transact(frame: ClientFrame): Outcome | Promise<Outcome> {
    const fault = frame.command === 'SEND' ? destinationFault(frame) : this.#acknowledgeFault(frame)
    if (fault) return violation(fault)
    const { transaction, destination = '' } = frame.headers
    if (transaction === undefined) return this.#apply(frame)
    const refused = frame.command === 'SEND' ? this.#restriction?.refusal('SEND', destination) : undefined
    if (refused !== undefined) return outcome(destination, refused)
    // What can never be sent is refused now, under its own receipt, and not when the rest has been committed
    const route = frame.command === 'SEND' ? this.#all.router.send(destination) : undefined
    if (route?.to === 'nowhere') return outcome(destination, route.refused)
    const held = this.#transactions.hold(transaction, frame)
    return held ? violation(held) : DONE
  }

  #apply(frame: ClientFrame): Outcome | Promise<Outcome> {
    return frame.command === 'SEND' ? this.#send(frame) : this.#acknowledge(frame)
  }

  // SEND

  #send({ headers, body }: ClientFrame): Outcome | Promise<Outcome> {
    const destination = headers.destination as string
    if (this.#restriction !== undefined) {
      const refused = this.#restriction.refusal('SEND', destination)
      if (refused !== undefined) return outcome(destination, refused)
    }
    const route = this.#all.router.send(destination)
    switch (route.to) {
      case 'handler':
        return this.#handle(route.handler, destination, headers, body)
      case 'open-topic':
        return this.#paced('open', this.#openRate, body, (octets) => {
          this.#all.publishOpen(destination, forwarded(headers, octets))
          return DONE
        })
      case 'open-queue':
        return this.#paced('open', this.#openRate, body, (octets) => {
          const message = forwarded(headers, Buffer.from(octets))
          return outcome(destination, this.#all.queues.send(destination, message, costOf(headers, octets)))
        })
      case 'nowhere':
        return this.#paced('open', this.#openRate, NOTHING, () => outcome(destination, route.refused))
    }
  }

  /**
   * Does the work on a body when there is a token. Until then nothing else of this session is read: a flood is slowed
   * down, and loses nothing.
   */
  #paced(
    limit: Limit,
    bucket: TokenBucket,
    body: Buffer,
    work: (body: Buffer) => Outcome | Promise<Outcome>,
  ): Outcome | Promise<Outcome> {
    const { clock, observer } = this.#all
    const now = clock.now()
    const wait = bucket.wait(now)
    // Who is gone floods nobody any more, and must not stay online for what is left of it
    if (wait === 0 || !this.#listening) {
      bucket.take(now)
      return work(body)
    }
    observer.limited?.(limit)
    // The octets are good for now only
    const kept = Buffer.from(body)
    return new Promise<void>((go) => clock.after(wait, go)).then(() => {
      bucket.take(clock.now())
      return work(kept)
    })
  }

  #handle(
    handler: Handler,
    destination: string,
    headers: ClientFrame['headers'],
    body: Buffer,
  ): Outcome | Promise<Outcome> {
    const tooFast = this.#tooFast()
    if (tooFast) return outcome(destination, tooFast)
    try {
      const answer = handler(this, { destination, headers, body })
      if (!(answer instanceof Promise)) return outcome(destination, answer)
      return answer.then(
        (refused) => outcome(destination, refused),
        (error: unknown) => this.#failed(error, destination),
      )
    } catch (error) {
      return this.#failed(error, destination)
    }
  }

  #failed(error: unknown, destination: string): Outcome {
    this.#all.observer.failed?.(error, `SEND ${destination}`)
    return outcome(destination, internal())
  }

  /** One token of the session and one of its user, or none of either. */
  #tooFast(): Refused | undefined {
    const now = this.#all.clock.now()
    const own = this.#rate.wait(now)
    const all = this.#userRate.wait(now)
    if (own > 0 || all > 0) return this.#limited(own >= all ? 'session' : 'user', Math.max(own, all))
    this.#rate.take(now)
    this.#userRate.take(now)
    return undefined
  }

  #limited(limit: 'session' | 'user', waitMs: number): Refused {
    const { observer, limits } = this.#all
    observer.limited?.(limit)
    const { perSecond } = limit === 'session' ? limits.sessionRate : limits.userRate
    const seconds = Math.ceil(waitMs / 1000)
    return tooMany(
      `more than ${perSecond} messages a second of this ${limit}; wait ${seconds} s, then send slower`,
      seconds,
    )
  }

  // SUBSCRIBE, UNSUBSCRIBE

  #subscribe(frame: ClientFrame): Outcome | Promise<Outcome> {
    const { id, ack = 'auto', destination = '' } = frame.headers
    if (!isAckMode(ack)) return violation(broken('unknown ack mode', 'ack is one of auto, client, client-individual.'))
    const key = keyOf(id, destination)
    const replaced = this.#inheritedFor(key, destination)
    const fault = destinationFault(frame) ?? this.#subscribeFault(id, destination, replaced)
    if (fault) return violation(fault)
    const forbidden = this.#restriction?.refusal('SUBSCRIBE', destination)
    if (forbidden !== undefined) return this.#refuseSubscription(key, destination, forbidden)
    const route = this.#all.router.subscribe(destination)
    if (route.from === 'nowhere') return this.#refuseSubscription(key, destination, route.refused)
    // A peer that is gone for good hears nothing: nobody is to think that it does
    if (this.#over) return DONE

    for (const old of replaced) this.#drop(old, this.#subscriptions.get(old) as Subscription)
    const subscription = new Subscription(this, id, destination, ack)
    this.#keep(key, subscription)
    const refused = this.#listen(subscription, route.from)
    if (refused) {
      this.#drop(key, subscription)
      return this.#refuseSubscription(key, destination, refused)
    }
    return this.#listening ? this.#tellSubscribed(destination) : DONE
  }

  #listen(subscription: Subscription, from: 'user' | 'topic' | 'open-queue'): Refused | undefined {
    if (from === 'open-queue') return this.#listening ? this.#consume(subscription) : undefined
    if (from === 'user' || this.#all.listeners.add(subscription)) return undefined
    return tooMany(`${subscription.destination}: too many different wildcards are in use; name the topic`)
  }

  /**
   * Keys of the inherited subscriptions whose place a SUBSCRIBE takes: many clients subscribe anew after each CONNECTED,
   * and no message is to come twice.
   */
  #inheritedFor(key: string, destination: string): readonly string[] {
    const inherited = this.#inherited
    if (inherited === undefined || inherited.size === 0) return NONE
    const same = inherited.get(key)
    const keys = same === undefined ? [] : [key]
    if (same?.destination === destination) return keys
    for (const [other, subscription] of inherited)
      if (other !== key && subscription.destination === destination) return [...keys, other]
    return keys
  }

  #subscribeFault(id: string | undefined, destination: string, replaced: readonly string[]): Violation | undefined {
    if (id === '' || (id === undefined && this.version !== '1.0'))
      return broken('SUBSCRIBE without id', 'The header id is required: UNSUBSCRIBE and every MESSAGE name it.')
    const key = keyOf(id, destination)
    if (this.#subscriptions.has(key) && !replaced.includes(key))
      return broken('subscription id used twice', 'A subscription of this session has this id; UNSUBSCRIBE it first.')
    const { subscriptionsPerSession: most } = this.#all.limits
    if (this.#subscriptions.size - replaced.length >= most)
      return exceeded(`more than ${most} subscriptions`, `A session may have ${most} subscriptions here.`)
    return undefined
  }

  #refuseSubscription(key: string, destination: string, refused: Refused): Outcome {
    this.#refusedIds ??= new Set()
    if (this.#refusedIds.size < this.#all.limits.subscriptionsPerSession) this.#refusedIds.add(key)
    return outcome(destination, refused)
  }

  #tellSubscribed(destination: string): Outcome | Promise<Outcome> {
    const { observer } = this.#all
    const failed = (error: unknown): Outcome => {
      observer.failed?.(error, `SUBSCRIBE ${destination}`)
      return outcome(destination, internal())
    }
    try {
      const told = observer.subscribed?.(this, destination)
      return told instanceof Promise ? told.then(() => DONE, failed) : DONE
    } catch (error) {
      return failed(error)
    }
  }

  #unsubscribe({ headers }: ClientFrame): Outcome {
    const { id, destination } = headers
    if (id === undefined && (this.version !== '1.0' || destination === undefined))
      return violation(broken('UNSUBSCRIBE without id', 'The header id names the subscription that ends.'))
    const key = keyOf(id, destination ?? '')
    const subscription = this.#subscriptions.get(key)
    if (subscription === undefined) {
      if (this.#refusedIds?.delete(key) || !this.#listening) return DONE
      return violation(broken('unknown subscription', 'UNSUBSCRIBE must name a subscription of this session.'))
    }
    this.#drop(key, subscription)
    return DONE
  }

  #keep(key: string, subscription: Subscription): void {
    this.#refusedIds?.delete(key)
    this.#subscriptions.set(key, subscription)
    this.#index(subscription)
  }

  #drop(key: string, subscription: Subscription): void {
    this.#subscriptions.delete(key)
    this.#inherited?.delete(key)
    this.#silenced?.delete(subscription)
    this.#unindex(subscription)
    this.#leave(subscription)
  }

  #silence(subscription: Subscription, silent: boolean): void {
    const { destination } = subscription
    if (silent) {
      this.#silenced ??= new Set()
      this.#silenced.add(subscription)
      this.#unindex(subscription)
      this.#all.listeners.remove(subscription)
    } else {
      this.#silenced?.delete(subscription)
      this.#index(subscription)
      if (this.#all.router.subscribe(destination).from === 'topic') this.#all.listeners.add(subscription)
    }
  }

  #index(subscription: Subscription): void {
    const { destination } = subscription
    const others = this.#byDestination.get(destination)
    this.#byDestination.set(destination, others === undefined ? [subscription] : [...others, subscription])
  }

  #unindex(subscription: Subscription): void {
    if (this.#lastTold === subscription) this.#lastTold = undefined
    const { destination } = subscription
    const rest = (this.#byDestination.get(destination) ?? []).filter((other) => other !== subscription)
    if (rest.length > 0) this.#byDestination.set(destination, rest)
    else this.#byDestination.delete(destination)
  }

  #leave(subscription: Subscription): void {
    this.#all.listeners.remove(subscription)
    this.#consumeNoMore(subscription)
  }

  #consumeNoMore(subscription: Subscription): void {
    const consumer = this.#consumers?.get(subscription)
    if (consumer === undefined) return
    this.#consumers?.delete(subscription)
    for (const delivery of this.#unacknowledged.abandon(subscription)) delivery.returned()
    this.#all.queues.leave(consumer)
  }

  // Open queues, ACK, NACK

  #consume(subscription: Subscription): Refused | undefined {
    const { bufferedBytes, unacknowledged } = this.#all.limits
    const consumer: Consumer = {
      subscription,
      hasRoom: () =>
        this.#consumers?.has(subscription) === true &&
        !this.#silenced?.has(subscription) &&
        this.#line.buffered <= bufferedBytes / 2 &&
        (subscription.ack === 'auto' || this.#unacknowledged.size < unacknowledged),
      nextMessage: () => this.nextMessage(),
      mustAcknowledge: (n, delivery) => this.#unacknowledged.add(n, delivery),
    }
    this.#consumers ??= new Map()
    this.#consumers.set(subscription, consumer)
    return this.#all.queues.consume(consumer)
  }

  #wakeQueues(): void {
    for (const consumer of this.#consumers?.values() ?? []) this.#all.queues.wake(consumer)
  }

  #acknowledgeFault({ command, headers }: ClientFrame): Violation | undefined {
    if (command === 'NACK' && this.version === '1.0') return broken('unknown command', 'STOMP 1.0 has no NACK.')
    const name = this.version === '1.2' ? 'id' : 'message-id'
    if (headers[name] === undefined)
      return broken(
        `${command} without ${name}`,
        `STOMP ${this.version} needs the header ${name}: it names the message.`,
      )
    if (this.version === '1.1' && headers.subscription === undefined)
      return broken(`${command} without subscription`, 'STOMP 1.1 needs the header subscription beside message-id.')
    return undefined
  }

  /**
   * Strict towards ids that this session was never sent (RabbitMQ: ERROR and the end of the connection, too), and
   * harmless where RabbitMQ is not: what is settled already, was sent in mode auto, or lost its subscription meanwhile,
   * may be acknowledged again. Clients that acknowledge each message in mode `client` do so all the time.
   */
  #acknowledge({ command, headers }: ClientFrame): Outcome {
    const written = headers[this.version === '1.2' ? 'id' : 'message-id'] as string
    const n = this.#numberOf(written)
    if (n === undefined)
      return violation(broken(`${command} of an unknown message`, 'This session was not sent a message with this id.'))
    const named = this.#unacknowledged.get(n)
    if (this.version === '1.1' && named !== undefined && named.subscription.id !== headers.subscription)
      return violation(broken(`${command} of another subscription`, 'The message came on another subscription.'))
    const settled = this.#unacknowledged.settle(n)
    // `requeue:false`, as clients of RabbitMQ know it: nobody else shall get it either
    const again = headers.requeue !== 'false'
    for (const delivery of settled) {
      if (command === 'ACK') delivery.acknowledged()
      else delivery.refused(again)
    }
    if (settled.length > 0) this.#wakeQueues()
    return DONE
  }

  /** `<session>-<n>` of a message that was sent. */
  #numberOf(messageId: string): number | undefined {
    const prefix = `${this.id}-`
    const digits = messageId.startsWith(prefix) ? messageId.slice(prefix.length) : ''
    const n = /^[1-9]\d{0,15}$/.test(digits) ? Number(digits) : 0
    return n >= 1 && n <= this.#messages ? n : undefined
  }

  // BEGIN, COMMIT, ABORT

  #begin(frame: ClientFrame): Outcome {
    const id = frame.headers.transaction
    const fault = !id ? transactionMissing(frame) : this.#transactions.begin(id)
    return fault ? violation(fault) : DONE
  }

  #abort(frame: ClientFrame): Outcome {
    const id = frame.headers.transaction
    const ended = !id ? transactionMissing(frame) : this.#transactions.end(id)
    return 'explanation' in ended ? violation(ended) : DONE
  }

  async #commit(frame: ClientFrame): Promise<Outcome> {
    const id = frame.headers.transaction
    const frames = !id ? transactionMissing(frame) : this.#transactions.end(id)
    if ('explanation' in frames) return violation(frames)
    const refusals: Refusal[] = []
    for (const held of frames) {
      const result = await this.#apply(held)
      if (result.kind === 'violation') return result
      if (result.kind === 'refused') refusals.push(...result.refusals)
    }
    return refusals.length > 0 ? { kind: 'refused', refusals } : DONE
  }
}

function violation(fault: Violation): Outcome {
  return { kind: 'violation', violation: fault }
}

function outcome(destination: string, refused: Refused | undefined): Outcome {
  return refused === undefined ? DONE : { kind: 'refused', refusals: [{ refused, destination }] }
}

/** Subscriptions are known by id; in STOMP 1.0 one without id is known by its destination. */
function keyOf(id: string | undefined, destination: string): string {
  return id === undefined ? `destination:${destination}` : `id:${id}`
}

function destinationFault({ command, body, headers }: ClientFrame): Violation | undefined {
  if (headers.destination) return undefined
  const swapped = command === 'SEND' && body.length > 0 && !('content-type' in headers)
  const hint = swapped
    ? ' Of send(destination, headers, body) the headers come second: are body and headers swapped?'
    : ''
  return broken(`${command} without destination`, `The header destination is required.${hint}`)
}

function transactionMissing({ command }: ClientFrame): Violation {
  return broken(`${command} without transaction`, 'The header transaction names the transaction.')
}

/** What subscribers of an open destination get: the octets and the client's own headers. */
function forwarded(headers: ClientFrame['headers'], body: Buffer): Message {
  const own: Record<string, string> = Object.create(null)
  for (const name in headers) if (!FRAME_HEADERS.has(name)) own[name] = headers[name] as string
  return { body, contentType: headers['content-type'] ?? '', headers: own }
}
