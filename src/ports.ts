/**
 * What the domain asks of the world. Adapters answer these ports; `main.ts` joins the two.
 */

import type { Call, CallId, Effect, Target } from './calls/types.ts'
import type { Awaitable } from './steps.ts'

export type { Cancel, Clock } from '../broker/index.ts'
export type { Awaitable } from './steps.ts'

/** Who somebody is: the user of the token. */
export type UserId = string

/** One session of a user (`session` in CONNECTED). What a session resumes keeps its id. */
export type DeviceId = string

/** One process of several that act as one server. */
export type NodeId = string

/** Something to be sent: encoded once, however many devices get it. */
export interface Message {
  /** Forwarded octet for octet. */
  readonly body: Uint8Array | string
  /** `application/json` unless it says otherwise. */
  readonly contentType?: string
  /** Further STOMP headers of the MESSAGE. */
  readonly headers?: Readonly<Record<string, string>>
  /** Makes it a message that a device which reads too slowly may do without; told in its stead. */
  readonly missed?: (device: DeviceId) => void
}

/**
 * The devices that this process holds, and the way to them. A device that has lost its connection a moment ago is
 * away: it may resume its session, and what it is told meanwhile waits for it.
 */
export interface Devices {
  /** The user's connected devices that subscribe to this user destination (`/user/queue/…`), the oldest session first. */
  listening(user: UserId, destination: string): readonly DeviceId[]
  /** The same with those that are away. */
  reachable(user: UserId, destination: string): readonly DeviceId[]
  /**
   * Queues a message for one device. Messages of one caller arrive in the order of the calls.
   * False when the device is gone or does not subscribe to the destination: nothing was sent.
   */
  tell(device: DeviceId, destination: string, message: Message): boolean
  /** All devices of the user that are connected (not away), the oldest session first. */
  connected(user: UserId): readonly DeviceId[]
  /** Whether this process holds the device, connected or away. */
  holds(device: DeviceId): boolean
}

/** A device wherever it is connected. */
export interface KnownDevice {
  readonly id: DeviceId
  readonly node: NodeId
  /** Fingerprint of its token, and of those before it that are still good. */
  readonly token: string
  readonly former: readonly string[]
  /** It subscribes to where calls ring. */
  readonly rings: boolean
  /** It has lost its connection and may resume. */
  readonly away: boolean
  /** Milliseconds since the epoch. */
  readonly connectedAt: number
}

/** Who is connected where. With one process the broker knows; with several, a registry that they share. */
export interface Directory {
  /** Every device of the user, also those that are away, the oldest session first. Rejected with {@link Unavailable}. */
  devices(user: UserId): Awaitable<readonly KnownDevice[]>
}

/**
 * The way to devices that other processes hold. There is none with one process. Both calls return at once; what they
 * send arrives in the order of the calls at each receiver, and waits or is lost while the way is cut.
 */
export interface Routes {
  /**
   * Brings the message to those of the target's devices that this process does not hold. `about`: the call that it
   * speaks of; where it arrives it does not overtake what is being committed there about that call.
   */
  tell(to: Target, destination: string, message: Message, about?: CallId): void
  /** Has every other process that holds devices of the user ring this call on them. */
  ring(user: UserId, callId: CallId): void
}

/** Who is online on any of several processes. What they find comes back by the presence service. */
export interface SharedPresence {
  /** This process counts the user as online from now on. */
  entered(user: UserId): void
  /** It does no longer. */
  left(user: UserId): void
  /** Changes of this user are to be heard of (scope `watched`). */
  watch(user: UserId): void
  unwatch(user: UserId): void
  /** Whether each of these users is online, on any process. Rejected with {@link Unavailable}. */
  online(users: readonly UserId[]): Promise<readonly boolean[]>
}

/** A user has come or gone. Of two changes of one user that with the higher `at` is right. */
export interface SharedChange {
  readonly user: UserId
  readonly online: boolean
  readonly at: number
}

/** A user who has come or gone not long ago, and how many milliseconds ago: another process may have heard nothing then. */
export type LateChange = readonly [user: UserId, agoMs: number]

/** Something that the answer depends on cannot be reached: refused with 503, nothing was changed as far as is known. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

/** One call as it shall be, and the version that it must still have in the store (0: not there yet). */
export interface CallWrite {
  readonly call: Call
  readonly expected: number
}

/**
 * Where calls live. A call that has not ended takes the line of each of its holders (`holdersOf`); the store derives the
 * lines from the calls, so that they cannot disagree. One in memory answers at once, one across the network by promises.
 */
export interface CallStore {
  /** A copy nobody else changes; `version` is what {@link commit} compares. */
  load(callId: CallId): Awaitable<Call | undefined>
  /** The same, where the store knows the call without asking anybody; undefined: ask with {@link load}. */
  atHand?(callId: CallId): Call | undefined
  /** The live calls that have taken this user's line: none or one, rarely two; in no order. */
  line(user: UserId): Awaitable<readonly Call[]>
  /** The call that left it last, be it over or a room that goes on without them, while it is remembered; a store may not know. */
  lately?(user: UserId): Awaitable<Call | undefined>
  /**
   * All writes or none: false when a call has another version than expected, or when a live call would take a line that
   * it has not taken yet and that another live call has, which is not in its `beside` (one that ends in the same commit,
   * or no longer has the user among its holders, lets go of the line). Each call is stored with version
   * `expected + 1`. A store that outlives this process keeps `effects` with them until {@link told}, so that
   * another one can do what this one has left undone. Rejected with {@link Unavailable} when it is not known whether
   * the writes took place.
   */
  commit(writes: readonly CallWrite[], effects?: readonly Effect[]): Awaitable<boolean>
  /** What was committed with these writes has taken effect. Waits for nobody, and never throws. */
  told?(writes: readonly CallWrite[]): void
  /** Ended calls are forgotten with this; false when the version has changed meanwhile. */
  forget(callId: CallId, expected: number): Awaitable<boolean>
  /**
   * Calls whose `due` is not later than `now`, the earliest first. A store of several processes leaves out, for a moment,
   * what it has just told one of them.
   */
  due(now: number, atMost: number): Awaitable<readonly CallId[]>
  /** Calls that have not ended, in no order. */
  live(): Awaitable<readonly CallId[]>
  /**
   * Whether the calls outlive this process, so that it, or another one, takes them up again. If not, the devices are
   * told when it stops.
   */
  readonly outlives: boolean
  /** Of a store of several processes: told of each call that another one has changed; nothing: any may have. */
  watch?(changed: (callId?: CallId) => void): void
  /** The earliest `due` of all calls. */
  nextDue(): Awaitable<number | undefined>
}

/** `external`: an operator's own relay, not watched by us. */
export type RelayState = 'off' | 'external' | 'starting' | 'up' | 'down'

/** How the relay that credentials name is doing. */
export interface RelayHealth {
  /** Of several processes: `up` while any of them is. */
  state(): RelayState
  /** The processes of the bundled relay, in their order; absent where there is none. */
  workers?(): readonly RelayWorkerReport[]
}

/** One process of the bundled relay, as it is now or was a second ago. Totals start again at zero when it does. */
export interface RelayWorkerReport {
  readonly state: 'starting' | 'up' | 'down' | 'off'
  /** How often it had to be started again. */
  readonly restarts: number
  /** Now. */
  readonly allocations: number
  /** The same, by what the clients come over. */
  readonly allocationsBy: { readonly udp: number; readonly tcp: number; readonly tls: number }
  readonly allocationsMade: number
  /** Relayed, both directions. */
  readonly packets: number
  readonly bytes: number
  /** Packets that were not relayed. */
  readonly dropped: number
  /** Error responses by STUN code. */
  readonly refused: Readonly<Record<string, number>>
  /** Of the certificate for TLS: when it ends, in milliseconds since the epoch. */
  readonly certificateEnds?: number
}
