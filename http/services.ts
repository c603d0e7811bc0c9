/** What the HTTP face needs of the rest: it translates, and asks these. Shapes only; `main.ts` brings the real ones. */

import type { LoginGuard, Principal } from '../broker/index.ts'
import type {
  CallHangup,
  CallHold,
  CallInvite,
  CallRequest,
  CallResponse,
  CallTransfer,
  Signal,
} from '../src/calls/messages.ts'
import type { Actor, Call, CallId, Rejection, SignalFrame } from '../src/calls/types.ts'
import type { Revoked, RevokeRequest } from '../src/credentials/messages.ts'
import type { Outcome } from '../src/errors.ts'
import type { History } from '../src/history/service.ts'
import type { Awaitable, Cancel, Clock, RelayHealth, UserId } from '../src/ports.ts'
import type { UserStatus } from '../src/presence/messages.ts'
import type { NodeReport, SessionReport } from '../src/reports.ts'
import type { TurnCredentials } from '../src/turn/messages.ts'

export interface Calls {
  request(actor: Actor, message: CallRequest): Awaitable<Outcome<unknown>>
  respond(
    actor: Actor,
    message: Pick<CallResponse, 'callId' | 'type' | 'features'> & { readonly reason: Rejection },
  ): Awaitable<Outcome<unknown>>
  hangup(actor: Actor, message: CallHangup): Awaitable<Outcome<unknown>>
  invite(actor: Actor, message: CallInvite): Awaitable<Outcome<unknown>>
  hold(actor: Actor, message: CallHold): Awaitable<Outcome<unknown>>
  transfer(actor: Actor, message: CallTransfer): Awaitable<Outcome<unknown>>
  /** The frame is carried octet for octet. */
  signal(actor: Actor, message: Signal, frame: SignalFrame): Awaitable<Outcome<unknown>>
  /** While it is remembered; then `data` is undefined. */
  read(callId: CallId): Awaitable<Outcome<Call | undefined>>
  /** Told when it may have changed since it was read. */
  watch(callId: CallId, changed: () => void): Cancel
  /** Any authenticated request keeps a call leg without a device alive. */
  heard(user: UserId): Awaitable<void>
}

/** One live session of a user, with the fingerprint of its token. */
export interface LiveSession {
  readonly id: string
  readonly token: string
  /** Of tokens that it had before and that are still good: the token of a session is renewed in place. */
  readonly former?: readonly string[]
}

/** One HTTP request that was answered. `route` is a pattern, never an address with ids in it. */
export interface Served {
  readonly route: string
  readonly method: string
  readonly status: number
  readonly seconds: number
}

/** Who asks. */
export interface Identity extends Principal {
  /** A back end, which may speak for any user where that is possible. */
  readonly service?: boolean
}

export interface HttpServices {
  authenticate(token: string): Promise<Outcome<Identity>>
  /** Shared with the STOMP face: whoever guesses there waits here. */
  readonly logins: LoginGuard
  readonly calls: Calls
  readonly presence: { status(users: readonly UserId[]): readonly UserStatus[] | Promise<readonly UserStatus[]> }
  readonly turn: { credentialsFor(user: UserId, region?: string): TurnCredentials }
  readonly history: History
  readonly credentials: { revoke(request: RevokeRequest): Promise<Outcome<Revoked>> }
  /** Those that are connected, to whichever process. */
  sessions(user: UserId): Awaitable<readonly LiveSession[]>
  /** What operators are told. What cannot be known now is refused. */
  readonly admin: {
    nodes(): Awaitable<Outcome<readonly NodeReport[]>>
    sessions(user: UserId): Awaitable<Outcome<readonly SessionReport[]>>
  }
  /** Only in demo mode. `expiresAt` in milliseconds since the epoch. */
  readonly demo?: {
    mint(user: UserId, service?: boolean): Promise<{ readonly token: string; readonly expiresAt: number }>
  }
  readonly health: {
    state(): 'starting' | 'ready' | 'stopping'
    readonly relay: RelayHealth
    /** Of several processes that act as one: how this one reaches what they share. */
    shared?(): 'up' | 'down' | undefined
    /** The database of the history; undefined: there is none. */
    history?(): 'up' | 'down' | undefined
  }
  /** Aborted when the server stops: requests that wait for something are answered. */
  readonly stopping: AbortSignal
  readonly metrics: { readonly contentType: string; render(): Promise<string> }
  readonly observer: {
    /** A client was told this code. */
    refused(code: number): void
    /** A user has reached the bound of requests. */
    limited(): void
    served(request: Served): void
  }
  /** Of faults: facts first, then one plain sentence. */
  readonly log: { error(facts: object, message: string): void }
  readonly clock: Clock
}

export interface HttpOptions {
  /** As {@link originAllowed} reads them. */
  readonly allowedOrigins: readonly string[]
  /** Addresses and ranges whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
  /** Shown in the document of the API. */
  readonly version: string
  readonly bodyBytes: number
  readonly userRate: { readonly perSecond: number; readonly burst: number }
  /** Of a back end, where it speaks as one. */
  readonly serviceRate: { readonly perSecond: number; readonly burst: number }
  /** Guards what operators may do; unset: that is switched off. */
  readonly adminKey?: string
  readonly pages: Pages
}

/** Absolute paths of what browsers load; what is missing answers 404. */
export interface Pages {
  /** The softphone: index.html and what it names. */
  readonly web?: string
  /** The typed client, built: ES modules. */
  readonly client?: string
  /** ES modules of @stomp/stompjs. */
  readonly stompjs?: string
  /** sockjs.min.js itself. */
  readonly sockjs?: string
  /** The folder of swagger-ui-dist. */
  readonly swaggerUi?: string
}
