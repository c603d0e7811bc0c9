/**
 * The wire contract as a client sees it: destinations, bodies, codes. Types and names only; nothing here acts.
 * Kept equal to the server's own table of codes and schemas by `test/unit/client-wire.test.ts`.
 */

/** Where a client sends (contract, sections 3 to 6). */
export const APP = {
  request: '/app/call/request',
  response: '/app/call/response',
  hangup: '/app/call/hangup',
  ringing: '/app/call/ringing',
  signaling: '/app/rtc/signaling',
  status: '/app/user/status',
  turn: '/app/turn/get-turn-credentials',
  refresh: '/app/auth/refresh',
} as const

/** Where a client listens. */
export const HEARS = {
  errors: '/user/queue/errors',
  auth: '/user/queue/auth',
  response: '/user/queue/call/response',
  down: '/user/queue/call/down',
  hangup: '/user/queue/call/hangup',
  timeout: '/user/queue/call/timeout',
  ringing: '/user/queue/call/ringing',
  signaling: '/user/queue/rtc/signaling',
  turn: '/user/queue/turn/get-turn-credentials',
  status: '/topic/user/status',
  request: '/user/queue/call/request',
} as const

export type Heard = (typeof HEARS)[keyof typeof HEARS]

/** Codes of the server: below 1000 as in HTTP, above business outcomes (`docs/errors.md`). */
export const CODE = {
  badRequest: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  tooLarge: 413,
  tooMany: 429,
  internal: 500,
  unavailable: 503,
  busy: 1001,
  callIdTaken: 1002,
  unreachable: 1003,
  handledElsewhere: 1004,
  alreadyOver: 1005,
  callerInCall: 1006,
} as const

export type ServerCode = (typeof CODE)[keyof typeof CODE]

export type CallType = 'VIDEO' | 'AUDIO'

/** SEND `/app/call/request` */
export interface CallRequest {
  readonly callId: string
  readonly type: CallType
  readonly callee: string
  readonly callerUserName: string
  readonly calleeUserName?: string
  /** Seconds to ring, 5 to 120. */
  readonly timeout?: number
}

/** MESSAGE on `/user/queue/call/request`: the request as sent, and who sent it. */
export interface CallOffered extends CallRequest {
  readonly caller: string
  readonly remainingMs: number
}

/** SEND `/app/call/response`, and MESSAGE on `/user/queue/call/response`. */
export interface CallResponse {
  readonly callId: string
  readonly type: 'ACCEPT' | 'REJECT'
  readonly reason?: 'DECLINED' | 'BUSY'
}

/** SEND `/app/call/hangup`; without callId the user's current call. */
export interface CallHangup {
  readonly callId?: string
}

/** MESSAGE on `/user/queue/call/hangup` */
export interface CallHungUp {
  readonly callId: string
  readonly reason?:
    | 'HANGUP'
    | 'PEER_LOST'
    | 'REPLACED'
    | 'TRANSFERRED'
    | 'MAX_DURATION'
    | 'ADMIN'
    | 'NODE_FAILURE'
    | 'CANCELLED'
    | 'CALLER_LOST'
    | 'GLARE'
}

/** MESSAGE on `/user/queue/call/down` */
export interface CallDown {
  readonly callId: string
  readonly type?: string
  readonly reason?: 'ANSWERED_ELSEWHERE' | 'DECLINED_ELSEWHERE'
}

/** MESSAGE on `/user/queue/call/timeout` and `/user/queue/call/ringing`; the latter with a header `devices`. */
export interface CallNamed {
  readonly callId: string
}

export interface CandidatePayload {
  readonly candidate: string
  readonly sdpMid: string | null
  readonly sdpMLineIndex: number | null
  readonly usernameFragment?: string | null
}

/** `/app/rtc/signaling` and `/user/queue/rtc/signaling` */
export type Signal =
  | { readonly callId: string; readonly type: 'OFFER' | 'ANSWER'; readonly payload: string }
  | { readonly callId: string; readonly type: 'ICE_CANDIDATE'; readonly payload: CandidatePayload }

export type SignalType = Signal['type']

export interface UserStatus {
  readonly userId: string
  readonly status: 'ONLINE' | 'OFFLINE'
}

/** MESSAGE on `/user/queue/turn/get-turn-credentials` */
export interface TurnCredentials {
  readonly iceServers: readonly {
    readonly url: string
    readonly urls?: string | readonly string[]
    readonly username: string | null
    readonly credential: string | null
  }[]
  /** Seconds. */
  readonly ttl?: number
  /** Unix time in seconds. */
  readonly expiresAt?: number
}

/** SEND `/app/auth/refresh` */
export interface TokenRefresh {
  readonly token: string
}

/** MESSAGE on `/user/queue/auth`; times in milliseconds, `expiresAt` since the Unix epoch. */
export type CredentialNotice =
  | { readonly type: 'EXPIRING'; readonly expiresAt: number; readonly remainingMs: number }
  | { readonly type: 'EXPIRED'; readonly expiresAt: number }
  | { readonly type: 'REFRESHED'; readonly expiresAt?: number }

/** MESSAGE on `/user/queue/errors`, and the body of a refused CONNECT's ERROR frame. */
export interface ServerRefusal {
  readonly code: number
  readonly message: string
  readonly callId?: string
  readonly destination?: string
  readonly reason?: string
  readonly activeCallId?: string
  readonly status?: string
  /** Seconds. */
  readonly retryAfter?: number
}
