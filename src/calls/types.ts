/**
 * A call as data. Nothing here decides; see `transition.ts`.
 */

import type { DeviceId, UserId } from '../ports.ts'

export type CallId = string

export type CallType = 'VIDEO' | 'AUDIO'

export type LiveStatus = 'CALLING' | 'RINGING' | 'CONNECTED'
export type EndStatus = 'COMPLETED' | 'REJECTED' | 'MISSED' | 'CANCELLED'
export type CallStatus = LiveStatus | EndStatus

export type EndReason =
  | 'HANGUP'
  | 'PEER_LOST'
  | 'REPLACED'
  | 'TRANSFERRED'
  | 'MAX_DURATION'
  | 'ADMIN'
  | 'NODE_FAILURE'
  | 'DECLINED'
  | 'BUSY'
  | 'NO_ANSWER'
  | 'CANCELLED'
  | 'CALLER_LOST'
  | 'GLARE'

/** Why a callee does not take a call. NO_ANSWER: whoever watches over the phone has waited long enough. */
export type Rejection = 'DECLINED' | 'BUSY' | 'NO_ANSWER'

/** Who gives a command: a user on one device, or (without a device) the user as a whole, over HTTP. */
export interface Actor {
  readonly user: UserId
  readonly device?: DeviceId | undefined
  /** Over HTTP the user speaks, whichever device is meant. */
  readonly overHttp?: boolean
  /** Fingerprint of the token: the same token on a new session tells that a lost device came back. */
  readonly token: string
}

/** One party's end of a call: the device that is bound to it, or (no device yet) the user as a whole. */
export interface Leg {
  readonly user: UserId
  readonly device?: DeviceId | undefined
  readonly token: string
  /** Of a lost device: tokens that it had before, and that may still be the ones it comes back with. */
  readonly former?: readonly string[] | undefined
  /** When the bound device went away; it may come back within the grace. */
  readonly lostAt?: number | undefined
  /** It has come back into a call that goes on, and has said nothing since: the other side learns of it with what it says. */
  readonly reattached?: boolean | undefined
  /** A leg without a device: when the user last asked something over HTTP. */
  readonly heardAt: number
  /** What its client has said that it can do beyond a call of two; nothing: nothing. */
  readonly features?: readonly Feature[] | undefined
}

/** What clients say that they can do (docs/calls.md). */
export type Feature = 'hold' | 'transfer' | 'room'

/** A transfer that is under way: the call that shall replace this one. */
export interface Transfer {
  readonly to: CallId
  readonly target: UserId
  /** Who transfers. */
  readonly by: UserId
  readonly mode: 'BLIND' | 'ATTENDED'
}

export type MemberState = 'RINGING' | 'JOINED' | 'LEFT' | 'DECLINED' | 'MISSED' | 'BUSY'

/** Somebody in a room, with a leg of their own. */
export interface Member {
  readonly user: UserId
  readonly name?: string | undefined
  readonly state: MemberState
  readonly invitedBy?: UserId | undefined
  /** Since they have answered. */
  readonly leg?: Leg | undefined
  /** Devices that were shown the call and not yet told that it is over. */
  readonly rung: readonly DeviceId[]
  readonly declined: readonly DeviceId[]
  /** While it rings: until when. */
  readonly ringUntil?: number | undefined
  readonly invitedAt: number
  readonly joinedAt?: number | undefined
  /** Since they are neither RINGING nor JOINED. Who has been in it before and was asked again in vain: since then. */
  readonly leftAt?: number | undefined
  /** Their device has been away: who is to learn of it with what it says to them next. */
  readonly unaware?: readonly UserId[] | undefined
}

/** What carries the media of a room, as its clients are told. */
export interface RoomMediaFacts {
  readonly kind: string
}

/** A signalling frame, as it came. */
export interface SignalFrame {
  readonly body: Uint8Array
  readonly contentType: string
}

/** One that is kept until the other side has a device for it. */
export interface KeptSignal extends SignalFrame {
  readonly from: UserId
  /** In a room: for whom. */
  readonly to?: UserId | undefined
}

/** What the caller was answered: repeated when the request is. */
export interface FirstAnswer {
  readonly busy?: 'BUSY' | 'GLARE'
  /** With GLARE: the call that lives. Without `busy`: the request answered that call instead. */
  readonly activeCallId?: CallId
}

/** What the parties are called, as the request said. */
export interface Names {
  readonly callerUserName?: string
  readonly calleeUserName?: string
}

export interface Call {
  readonly callId: CallId
  readonly type: CallType
  readonly caller: UserId
  readonly callee: UserId
  /** The request's fields as they came: what rings is this, with `caller` and `remainingMs` added. Empty once the call is over. */
  readonly request: Readonly<Record<string, unknown>>
  /** Tells a repeat of the request from another one with the same callId. */
  readonly fingerprint: string
  readonly answer: FirstAnswer
  readonly origin: Leg
  readonly winner?: Leg | undefined
  readonly status: CallStatus
  readonly reason?: EndReason | undefined
  /** Devices of the callee that were shown the call and not yet told that it is over. */
  readonly rung: readonly DeviceId[]
  /** Devices of the callee that said BUSY for themselves: they are not rung again. */
  readonly declined: readonly DeviceId[]
  readonly kept: readonly KeptSignal[]
  readonly createdAt: number
  readonly ringingAt?: number | undefined
  readonly connectedAt?: number | undefined
  readonly endedAt?: number | undefined
  /** When the ringing ends. */
  readonly ringUntil: number
  /** Who has put it on hold. */
  readonly held?: readonly UserId[] | undefined
  /** Live calls that this one may share a line with. */
  readonly beside?: readonly CallId[] | undefined
  /** It is being transferred: media rest until that is decided. */
  readonly transfer?: Transfer | undefined
  /** Once answered, it takes the place of these; who has arranged that. */
  readonly replaces?: readonly CallId[] | undefined
  readonly transferredBy?: UserId | undefined
  /** It is shown on this device of the callee alone. */
  readonly aim?: DeviceId | undefined
  /** It is a room: who is or was in it, in the order of their coming. */
  readonly members?: readonly Member[] | undefined
  /** Of a room: what carries its media. */
  readonly media?: RoomMediaFacts | undefined
  /** Of a room: since when at most one is in it. */
  readonly aloneSince?: number | undefined
  /** When a timer must next look at this call, the earliest of all that apply. */
  readonly due: number
  readonly version: number
}

/** Everything that happens to a call. */
export type CallCommand =
  | {
      readonly verb: 'request'
      readonly actor: Actor
      readonly callId: CallId
      readonly type: CallType
      readonly callee: UserId
      readonly ringMs: number
      readonly acceptGlare: boolean
      /** The callee has no device, and the operator wants such requests refused. */
      readonly unreachable: boolean
      readonly request: Readonly<Record<string, unknown>>
      readonly fingerprint: string
      /** What the caller's client has said that it can do. */
      readonly features?: readonly Feature[] | undefined
      /** The deployment shows a second call to a user who is in one. */
      readonly waiting?: boolean
    }
  | { readonly verb: 'ringing'; readonly actor: Actor }
  | { readonly verb: 'accept'; readonly actor: Actor; readonly features?: readonly Feature[] | undefined }
  | { readonly verb: 'reject'; readonly actor: Actor; readonly reason: Rejection }
  | { readonly verb: 'hangup'; readonly actor: Actor }
  | {
      readonly verb: 'signal'
      readonly actor: Actor
      readonly signal: SignalFrame
      /** In a room: for whom. */
      readonly to?: UserId | undefined
    }
  | { readonly verb: 'hold'; readonly actor: Actor; readonly hold: boolean }
  | {
      readonly verb: 'transfer'
      readonly actor: Actor
      readonly target: UserId
      readonly mode: 'BLIND' | 'ATTENDED'
      /** With ATTENDED: the actor's call with the target. */
      readonly withCallId?: CallId | undefined
      /** The id of the call that shall replace this one. */
      readonly newCallId: CallId
      readonly ringMs: number
      /** The target has no device, and the operator wants such calls refused. */
      readonly unreachable: boolean
    }
  | {
      readonly verb: 'invite'
      readonly actor: Actor
      readonly invitees: readonly UserId[]
      readonly ringMs: number
      /** What the room's media are carried by, and for how many that does. */
      readonly media: RoomMediaFacts
      readonly most: number
      /** What the inviter calls the invitees, and themself. */
      readonly names?: ReadonlyMap<UserId, string> | undefined
    }
  /** Devices of the callee can show the call: they subscribe to `call/request`. */
  | { readonly verb: 'appear'; readonly user: UserId; readonly devices: readonly DeviceId[] }
  /** A device can hear signalling from now on. */
  | { readonly verb: 'listen'; readonly user: UserId; readonly device: DeviceId }
  /** The device is gone. Tokens are renewed while a call goes on: `token` is the last one, `former` those before it. */
  | {
      readonly verb: 'lose'
      readonly user: UserId
      readonly device: DeviceId
      readonly token?: string | undefined
      readonly former?: readonly string[] | undefined
      /** It may resume: what it is told meanwhile waits for it, so it is to hear how a call ends that rings there. */
      readonly away?: boolean | undefined
    }
  /** A device that was away is connected again. */
  | { readonly verb: 'return'; readonly user: UserId; readonly device: DeviceId; readonly token: string }
  /** A device can hear how calls end; so can `present`, who need not be told what they have heard. */
  | {
      readonly verb: 'recall'
      readonly user: UserId
      readonly device: DeviceId
      readonly token: string
      readonly present: readonly DeviceId[]
    }
  /** An operator has shut out the user, or this device alone. */
  | { readonly verb: 'shutOut'; readonly user: UserId; readonly device?: DeviceId | undefined }
  /** The user asked something over HTTP. */
  | { readonly verb: 'hear'; readonly user: UserId }
  /** The process that knows of this call ends, and what it knows with it. */
  | { readonly verb: 'shutDown' }
  /** A deadline may have passed. */
  | { readonly verb: 'tick' }

/** The `/user/queue/…` on which devices hear of calls (contract, section 3; docs/calls.md). */
export type CallQueue =
  | 'call/request'
  | 'call/response'
  | 'call/down'
  | 'call/hangup'
  | 'call/timeout'
  | 'call/ringing'
  | 'call/hold'
  | 'call/transfer'
  | 'call/room'

/** These devices of a user, or every one of theirs but one. A message for several is encoded once. */
export type Target =
  | { readonly user: UserId; readonly devices: readonly DeviceId[] }
  | { readonly user: UserId; readonly except?: DeviceId | undefined }

/** What is done once the decision is committed. */
export type Effect =
  | {
      readonly kind: 'tell'
      readonly to: Target
      readonly queue: CallQueue | 'errors'
      readonly body: Readonly<Record<string, unknown>>
      /** Facts beside the body, as STOMP headers. */
      readonly headers?: Readonly<Record<string, string>>
    }
  /** Show the call to the callee's devices: each that listens then `appear`s. */
  | {
      readonly kind: 'ring'
      readonly call: Call
      /** Who is rung, unless it is the callee. */
      readonly user?: UserId
    }
  | {
      readonly kind: 'relay'
      readonly to: Target
      readonly from: UserId
      readonly signal: SignalFrame
      /** It is the first since the sender's device has come back. */
      readonly reattached?: boolean
    }
  | {
      readonly kind: 'news'
      readonly news: 'call.requested' | 'call.ringing' | 'call.connected' | 'call.ended'
      readonly call: Call
      /** With `call.ended`: what the ended call no longer has. */
      readonly names?: Names
    }
  /** News of one member of a room, who is found in the call. */
  | {
      readonly kind: 'member'
      readonly news: MemberNews
      readonly call: Call
      readonly user: UserId
      readonly at: number
      /** With `member.gone`: why. */
      readonly reason?: EndReason
    }

/** Asked into the room (or found busy), in it, not asked any more without having answered. */
export type MemberNews = 'member.invited' | 'member.joined' | 'member.gone'

/** Durations in milliseconds. */
export interface CallTimers {
  /** The caller's device is lost while it rings. */
  readonly callerGraceMs: number
  /** A bound device is lost while connected. */
  readonly graceMs: number
  /** A leg without a device asks nothing over HTTP. */
  readonly httpLegMs: number
  readonly longestCallMs: number
  /** How long an ended call is remembered. */
  readonly tombstoneMs: number
  /** How long after the end signalling is dropped without a word. */
  readonly lateSignalMs: number
}
