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
  hold: '/app/call/hold',
  transfer: '/app/call/transfer',
  invite: '/app/call/invite',
  historyRead: '/app/call/history/read',
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
  hold: '/user/queue/call/hold',
  transfer: '/user/queue/call/transfer',
  room: '/user/queue/call/room',
  missed: '/user/queue/call/missed',
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
  keyReused: 422,
  tooMany: 429,
  internal: 500,
  unavailable: 503,
  busy: 1001,
  callIdTaken: 1002,
  unreachable: 1003,
  handledElsewhere: 1004,
  alreadyOver: 1005,
  callerInCall: 1006,
  notSupported: 1007,
  notNow: 1008,
  roomFull: 1009,
} as const

export type ServerCode = (typeof CODE)[keyof typeof CODE]

export type CallType = 'VIDEO' | 'AUDIO'

/** What a client can do beyond a call of two (`docs/calls.md`): it says so when it calls and when it answers. */
export type Feature = 'hold' | 'transfer' | 'room'

/** SEND `/app/call/request` */
export interface CallRequest {
  readonly callId: string
  readonly type: CallType
  readonly callee: string
  readonly callerUserName: string
  readonly calleeUserName?: string
  /** Seconds to ring, 5 to 120. */
  readonly timeout?: number
  readonly features?: readonly Feature[]
}

/** MESSAGE on `/user/queue/call/request`: the request as sent, and who sent it. */
export interface CallOffered extends CallRequest {
  readonly caller: string
  readonly remainingMs: number
  /** The user is in a call already, and may hold it to answer this one. */
  readonly waiting?: boolean
  /** Who has passed the caller on. */
  readonly transferredBy?: string
  readonly transferredByUserName?: string
  /** The user's call with who has passed the caller on: this one takes its place. */
  readonly replaces?: string
  /** It is a room, into which the caller invites. */
  readonly room?: boolean
  readonly members?: readonly RosterMember[]
}

/** SEND `/app/call/response`, and MESSAGE on `/user/queue/call/response`. */
export interface CallResponse {
  readonly callId: string
  readonly type: 'ACCEPT' | 'REJECT'
  readonly reason?: 'DECLINED' | 'BUSY'
  /** With ACCEPT. */
  readonly features?: readonly Feature[]
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

/** SEND `/app/call/hold` */
export interface CallHold {
  readonly callId: string
  readonly hold: boolean
}

/** MESSAGE on `/user/queue/call/hold`: who holds it, or does no more. */
export interface CallHeld extends CallHold {
  readonly by: string
  /** Grows with every change of the call: from several servers an earlier word may come after a later one. */
  readonly version?: number
}

/** SEND `/app/call/transfer` */
export interface CallTransfer {
  readonly callId: string
  readonly target: string
  readonly mode: 'BLIND' | 'ATTENDED'
  /** With ATTENDED: the own call with the target. */
  readonly withCallId?: string
}

/** MESSAGE on `/user/queue/call/transfer` */
export interface CallTransferred {
  readonly callId: string
  readonly newCallId: string
  readonly state: 'RINGING' | 'DONE' | 'FAILED'
  readonly target: string
  readonly transferredBy: string
  readonly mode: 'BLIND' | 'ATTENDED'
  readonly reason?: string
}

/** SEND `/app/call/invite` */
export interface CallInvite {
  readonly callId: string
  readonly invitees: readonly string[]
}

export interface RosterMember {
  readonly userId: string
  readonly name?: string
  readonly state: 'RINGING' | 'JOINED' | 'LEFT' | 'DECLINED' | 'MISSED' | 'BUSY'
  readonly invitedBy?: string
}

/** MESSAGE on `/user/queue/call/room`: everybody who is or was in it, each time anew. */
export interface CallRoster {
  readonly callId: string
  readonly type: CallType
  readonly media: { readonly kind: string }
  readonly members: readonly RosterMember[]
  /** Whose doing the change was. */
  readonly by?: string
  /** Grows with every change: from several servers an earlier roster may come after a later one. */
  readonly version?: number
}

export interface CandidatePayload {
  readonly candidate: string
  readonly sdpMid: string | null
  readonly sdpMLineIndex: number | null
  readonly usernameFragment?: string | null
}

/** `/app/rtc/signaling` and `/user/queue/rtc/signaling`; `to` says for whom of a room it is. */
export type Signal = { readonly callId: string; readonly to?: string } & (
  | { readonly type: 'OFFER' | 'ANSWER'; readonly payload: string }
  | { readonly type: 'ICE_CANDIDATE'; readonly payload: CandidatePayload }
)

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

/** The query of `GET /imserver/call/history`. */
export interface HistoryQuery {
  readonly only?: 'missed' | 'incoming' | 'outgoing'
  readonly type?: CallType
  /** By the end of the call, from here on and before this: ISO 8601, or milliseconds since the epoch. */
  readonly from?: string | number
  readonly before?: string | number
  /** 1 to 100; default 20. */
  readonly size?: number
  /** `next` of an earlier page: goes on where that has ended, whatever has been added since. */
  readonly cursor?: string
  /** By number instead, from 1 on; the answer then says `total`. */
  readonly page?: number
}

/** A call of the past as this user sees it. Times ISO 8601, UTC. */
export interface SeenRecord {
  readonly callId: string
  readonly type: CallType
  readonly direction: 'incoming' | 'outgoing'
  /** Nobody: forgotten at their wish. */
  readonly peer?: { readonly userId: string; readonly name?: string }
  readonly status: 'COMPLETED' | 'REJECTED' | 'MISSED' | 'CANCELLED'
  readonly reason: string
  /** What it was for this user. */
  readonly seenAs: 'answered' | 'missed' | 'declined' | 'cancelled' | 'busy' | 'unanswered'
  readonly createdAt: string
  readonly connectedAt?: string
  readonly endedAt: string
  /** Whole seconds. */
  readonly duration: number
  readonly transferredBy?: string
  /** Of a room. */
  readonly members?: readonly {
    readonly userId: string
    readonly name?: string
    readonly state: 'LEFT' | 'DECLINED' | 'MISSED' | 'BUSY'
    readonly joinedAt?: string
    readonly leftAt: string
  }[]
}

/** `data` of `GET /imserver/call/history`: the latest end first. */
export interface HistoryPage {
  readonly records: readonly SeenRecord[]
  readonly next?: string
  readonly total?: number
  readonly unreadMissed: number
}

/** SEND `/app/call/history/read`; nothing: all until now. */
export interface HistoryRead {
  readonly until?: string | number
}

/** MESSAGE on `/user/queue/call/missed`: the latest of them, or the one that has just been missed; none: they were read. */
export interface MissedCalls {
  readonly unread: number
  readonly calls: readonly SeenRecord[]
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
