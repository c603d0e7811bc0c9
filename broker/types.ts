/**
 * What the broker promises its users, and what it asks of them. No calls, no tokens, no telephones in here.
 */

import type { Cancel, Clock } from './clock.ts'
import type { Connection, Peer } from './connection.ts'
import type { ClientCommand, ServerCommand, Version } from './frame.ts'

/** Who a session belongs to. */
export interface Principal {
  readonly user: string
  /** A fingerprint of the credential: equal for equal tokens, useless for logging in. */
  readonly token: string
  /** Milliseconds since the epoch after which the credential is no longer good. */
  readonly expiresAt?: number | undefined
  /** Milliseconds since the epoch at which the credential was made, as far as it says so. */
  readonly issuedAt?: number | undefined
}

/** A CONNECT that asks to be let in. */
export interface ConnectAttempt {
  /** First of each repeated header; null prototype. */
  readonly headers: Readonly<Record<string, string>>
  readonly peer: Peer
}

/** A refusal is told to the client; its further fields travel in the body of the errors message. */
export interface Refused {
  readonly code: number
  readonly message: string
  readonly [fact: string]: unknown
}

export type Admission = { readonly principal: Principal } | { readonly refused: Refused }

/** What a session may still do and hear while it is restricted (see {@link Broker.restrict}). */
export interface Restriction {
  /** Asked before a SEND or a SUBSCRIBE is routed, inside transactions too. Nothing: it goes its usual way. */
  refusal(verb: 'SEND' | 'SUBSCRIBE', destination: string): Refused | undefined
  /** Whether messages of this destination still reach it. Asked once for each subscription. */
  hears(destination: string): boolean
}

/** Makes those wait who log in with bad credentials, by their address; every face asks the same one. */
export interface LoginGuard {
  /** Asked before a credential is looked at: the refusal (429), when too many answers of this address wait already. */
  turnedAway(address: string): Refused | undefined
  /**
   * A credential was refused. Calls `tell` with what the client is to be told, at once or after a pause of at most 5 s;
   * `retryAfter` (seconds) is added when it had to wait. The result takes it back: nobody is there to be told.
   */
  refused(address: string, refusal: Refused, tell: (refusal: Refused) => void): Cancel
  /** Addresses (IPv6: networks) that are remembered now. */
  readonly addresses: number
}

/** A connected session, as handlers see it. */
export interface SessionView {
  /** `session` in CONNECTED; unique for ever. */
  readonly id: string
  /** The one that counts now: see {@link Broker.renew}. */
  readonly principal: Principal
  readonly version: Version
  /** Of its present connection, or, while it is away, of the last one. */
  readonly peer: Peer
  readonly connectedAt: number
  /** It has lost its connection and may resume: see {@link ResumeOptions}. */
  readonly away: boolean
  /** Its CONNECT said `resume:true`: when it loses its connection, it will be back. */
  readonly comesBack: boolean
  /** Whether it is connected, and has at least one subscription to this destination that messages reach. */
  listensTo(destination: string): boolean
}

/** Something to be sent to subscribers. The same object may be told to many: it is encoded once. */
export interface Message {
  /** Octets are forwarded untouched; a string is encoded in UTF-8. */
  readonly body: Uint8Array | string
  /** `application/json` unless it says otherwise; empty: the MESSAGE has none. */
  readonly contentType?: string | undefined
  /** Further headers of the MESSAGE; escaped as the session's version asks. Never destination, subscription, message-id, seq, ack, content-length. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /**
   * Makes it a message that a reader who is behind may do without: told in its stead, with the id of the session. When
   * that session has caught up, {@link BrokerObserver.caughtUp} says so. Without it a message is never left out.
   */
  readonly missed?: ((sessionId: string) => void) | undefined
}

/** A SEND as a handler sees it. */
export interface Sent {
  readonly destination: string
  readonly headers: Readonly<Record<string, string>>
  /** Octets as they came; not to be changed, and good until the handler returns: who works on them later takes a copy. */
  readonly body: Buffer
}

/**
 * Does what a SEND asks. Nothing returned: done (then the RECEIPT goes out). A refusal goes to the session's
 * `/user/queue/errors` (with `destination`, and `receipt-id` as header). A throw is a bug: the client is told 500, the log the cause.
 * One SEND of a session is handled at a time, in order.
 */
export type Handler = (session: SessionView, sent: Sent) => Promise<Refused | undefined> | Refused | undefined

export interface BrokerLimits {
  /** Octets of one frame, head and body. */
  readonly frameBytes: number
  /** The same until the session is connected. */
  readonly frameBytesBeforeLogin: number
  readonly headers: number
  /** Octets of one header line. */
  readonly headerBytes: number
  readonly subscriptionsPerSession: number
  readonly sessionsPerUser: number
  /** All connections, logged in or not. */
  readonly connections: number
  /** The same of one address (IPv6: of one network); 0: as many as in all. */
  readonly connectionsPerAddress: number
  readonly connectTimeoutMs: number
  /**
   * Octets received and not yet worked on, per session; beyond it reading pauses (or, where it cannot, the session ends).
   * The frames of open transactions have the same bound again.
   */
  readonly queuedBytes: number
  /**
   * Octets waiting for a slow reader when a further frame is written; beyond it that session is closed, others are
   * untouched. So a session costs at most this and one frame.
   */
  readonly bufferedBytes: number
  /** Milliseconds that octets may wait for a slow reader; then that session is closed. */
  readonly bufferedMs: number
  /** Transactions open at a time, and frames held in all of them, per session. */
  readonly transactions: number
  readonly transactionFrames: number
  /**
   * Messages of open queues sent to a session in the ack modes `client` and `client-individual` and not yet
   * acknowledged; with that many it gets no more until it acknowledges some.
   */
  readonly unacknowledged: number
  /** Messages and octets kept by one open queue while nobody listens. */
  readonly queueMessages: number
  readonly queueBytes: number
  /** Octets kept in all open queues together, and what waits for an ACK with them. */
  readonly allQueuesBytes: number
  /** Open queues that hold messages or listeners at a time. */
  readonly queues: number
  /** How often a message of an open queue that got NACK is handed out again; then it is dropped. */
  readonly redeliveries: number
  /** SENDs to handlers: a token bucket per session and one per user. */
  readonly sessionRate: Rate
  readonly userRate: Rate
  /** Of a session: SENDs to open destinations and to such as do not exist; SUBSCRIBEs. Beyond it they are worked on later. */
  readonly openRate: Rate
  readonly subscribeRate: Rate
}

export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

export interface Destinations {
  /** SEND: exact destinations, each with its handler. */
  readonly handlers: Readonly<Record<string, Handler>>
  /** SUBSCRIBE: the `/user/queue/…` destinations that exist. */
  readonly user: readonly string[]
  /** SUBSCRIBE only: topics that the server alone publishes to. */
  readonly topics: readonly string[]
  /** SEND and SUBSCRIBE by anybody: patterns such as `/topic/news.*` and `/queue/jobs.*` (`*` stands for any characters). */
  readonly open: readonly string[]
}

/** Told what happens, in order; must not throw. `void` results are not awaited. */
export interface BrokerObserver {
  connected?(session: SessionView): void
  /** The session has ended for good: once per session that was connected, away or not. `reason` is for people and logs. */
  disconnected?(session: SessionView, reason: string): void
  /** The connection is lost, or this process stops; the session may come back. Told after everything that it had sent was handled. */
  away?(session: SessionView, reason: string): void
  /**
   * A session that was away is connected again: told after what it had missed was sent to it. `before`: its principal
   * until now. One that another process has held comes back without having gone away here.
   */
  returned?(session: SessionView, before: Principal): void
  /** A CONNECT has named a session that could not be had any more, and got a new one. */
  notResumed?(): void
  /** Another process has the session from now on: it has not ended, and this process knows nothing of it any more. */
  released?(session: SessionView): void
  /** After the subscription is in effect and before its RECEIPT, which waits for the promise. */
  subscribed?(session: SessionView, destination: string): Promise<void> | void
  /** A session that has missed messages reads on: it may be told how things are now. */
  caughtUp?(session: SessionView): void
  refused?(code: number): void
  frameIn?(command: ClientCommand): void
  /** `count` frames of the kind were written. */
  frameOut?(command: ServerCommand, count: number): void
  /** Somebody has met a bound of rates or numbers: was refused, or is served later. */
  limited?(limit: Limit): void
  /** A connection was closed against its will: a broken frame, a limit, a slow reader, a missing heart-beat. */
  expelled?(cause: Expulsion, detail: string): void
  /** A message of this open queue was given up: every consumer that got it said NACK, or one `requeue:false`. */
  dropped?(destination: string): void
  /** A handler or observer threw. */
  failed?(error: unknown, where: string): void
}

export type Limit =
  | 'session'
  | 'user'
  | 'open'
  | 'subscribe'
  | 'sessions-per-user'
  | 'connections'
  | 'connections-per-address'

export type Expulsion =
  | 'protocol'
  | 'limit'
  | 'slow-reader'
  | 'heart-beat'
  | 'login'
  | 'login-timeout'
  | 'credentials'
  | 'shutdown'
  | 'resumed-elsewhere'

/**
 * Sessions that outlive their connection. One that is lost without DISCONNECT is away for a while: its subscriptions stay
 * in force, and what is told to it is kept. A CONNECT that names it (`resume-id`) and the last message that has come
 * through (`last-seq`) is that session again.
 */
export interface ResumeOptions {
  /** How long a session may be away. */
  readonly graceMs: number
  /** Octets of messages that are kept of one session, connected or away, and of all together. */
  readonly sessionBytes: number
  readonly allBytes: number
  /** Sessions of one user that are away at a time, and of all; beyond it the one that has been away longest ends. */
  readonly awayPerUser: number
  readonly away: number
  /**
   * A CONNECT names a session that this process does not hold: another one may. Whoever gives it away holds it no longer;
   * it belongs to this process then, even if the CONNECT that asked for it is gone meanwhile. What it is rejected with
   * counts as not found.
   */
  readonly fetch?: ((claim: ResumeClaim) => Promise<SuspendedSession | undefined>) | undefined
  /** What else is known of a session, as JSON can say it: it travels with the session to another process, */
  readonly packs?: ((session: SessionView) => unknown) | undefined
  /** and is unpacked there, before the session is told to have `returned`. */
  readonly unpacks?: ((session: SessionView, luggage: unknown) => void) | undefined
}

/** What a CONNECT says of the session that it goes on with. Nothing of it is proven but the user. */
export interface ResumeClaim {
  /** As it came. */
  readonly resumeId: string
  /** The part of it that names the session. */
  readonly sessionId: string
  readonly user: string
  readonly version: Version
  /** Number of the last message that has come through; undefined: it does not say. */
  readonly lastSeq: number | undefined
}

/** A session without a process: plain data. Only `octets` and what `packs` made are not of JSON's own kinds. */
export interface SuspendedSession {
  readonly id: string
  /** Secret. */
  readonly resumeId: string
  readonly principal: Principal
  readonly version: Version
  readonly connectedAt: number
  readonly comesBack: boolean
  readonly subscriptions: readonly {
    readonly id: string | undefined
    readonly destination: string
    readonly ack: 'auto' | 'client' | 'client-individual'
  }[]
  /** Number of the last message that was written. */
  readonly lastSeq: number
  /** Every message after this number is in `frames`, or was one that may be left out. */
  readonly keptAfter: number
  readonly frames: readonly { readonly seq: number; readonly isText: boolean; readonly octets: Uint8Array }[]
  /** Messages were left out since it was last told how things are. */
  readonly missed: boolean
  readonly luggage: unknown
}

export interface BrokerOptions {
  readonly clock: Clock
  /** `server` in CONNECTED: `name/version` (STOMP 1.2, CONNECTED frame). */
  readonly server: string
  readonly authenticate: (attempt: ConnectAttempt) => Promise<Admission>
  /** Nothing: refused logins are answered at once, and never counted. */
  readonly logins?: LoginGuard | undefined
  readonly destinations: Destinations
  readonly limits: BrokerLimits
  /** What the server can do and would like, in milliseconds (STOMP 1.2, heart-beating). 0 turns a direction off. */
  readonly heartbeat: { readonly sends: number; readonly wants: number }
  readonly observer: BrokerObserver
  /** Nothing: a session ends with its connection. */
  readonly resume?: ResumeOptions | undefined
}

export interface BrokerCounts {
  readonly connections: number
  readonly sessions: number
  /** Sessions that are away; none of the other numbers counts them. */
  readonly away: number
  /** Octets of memory that hold messages for sessions which may resume. */
  readonly kept: number
  readonly users: number
  readonly subscriptions: number
  /** Octets waiting for readers, all sessions together. */
  readonly buffered: number
}

export interface Broker {
  /** False while it stops, or has as many connections as it may: what a transport should know before it lets a peer in. */
  readonly accepting: boolean
  /** Whether this address may have one more connection. */
  roomFor(address: string): boolean
  /** Takes over a fresh connection of any transport. */
  accept(connection: Connection): void
  /** A session that this process holds, connected or away. */
  session(id: string): SessionView | undefined
  /** Connected sessions of a user, the oldest first. */
  sessions(user: string): readonly SessionView[]
  /** The same with those that are away. */
  held(user: string): readonly SessionView[]
  /** Every connected session. Do not hold on to it: sessions come and go. */
  everySession(): Iterable<SessionView>
  /** The same with those that are away. */
  everyHeld(): Iterable<SessionView>
  /** Whether the user has a connected session. */
  online(user: string): boolean
  /** Ids of the user's sessions that subscribe to the destination, the oldest session first. */
  listening(user: string, destination: string): readonly string[]
  /** The same with those that are away: what they are told is kept for them. */
  reachable(user: string, destination: string): readonly string[]
  /** Whether this process holds the session, connected or away. */
  holds(sessionId: string): boolean
  /**
   * One session, connected or away, on its (first) subscription to the destination. False when there is none, or it was
   * left out: nothing was sent.
   */
  tell(sessionId: string, destination: string, message: Message): boolean
  /** Every subscriber of a topic; how many. */
  publish(topic: string, message: Message): number
  counts(): BrokerCounts
  /** Cuts one session with a close code and a reason. */
  disconnect(sessionId: string, code: number, reason: string): void
  /**
   * Cuts one session whose credential is no longer good: an ERROR that says why, as for a refused CONNECT, then the end
   * of the connection. False when there is no such session.
   */
  expel(sessionId: string, refused: Refused): boolean
  /** Replaces the principal of a session by another one of the same user. False when there is no such session. */
  renew(sessionId: string, principal: Principal): boolean
  /** Holds a session to what it may still do; without a restriction everything is as it was. False: no such session. */
  restrict(sessionId: string, restriction: Restriction | undefined): boolean
  /**
   * No new connections from now on; those that exist are closed with 1012 (RFC 6455 registry: service restart),
   * `perStep` at a time with `stepMs` between; fulfilled when the last one is gone or `deadlineMs` is over (what is left is terminated).
   */
  stop(options: { perStep: number; stepMs: number; deadlineMs: number }): Promise<void>
  /**
   * Lets go of a session for another process, if the claim is good: its connection is closed (see `resumed-elsewhere`),
   * what had come over it is handled first, and the observer is told that it was `released`. Undefined: it is not held
   * here, or the claim is not good; a session of which too much is lost for this claim has ended then.
   */
  release(claim: ResumeClaim): Promise<SuspendedSession | undefined>
  /** Lets go of every session that is away. For a process that stops, after {@link stop}: whoever takes them may hand them on. */
  releaseAll(): readonly SuspendedSession[]
}
