/**
 * What an application sees: options, events, calls. The classes behind it are in client.ts and call.ts.
 */

import type { Clock } from './clock.ts'
import type { CallError } from './errors.ts'
import type { CallType, CandidatePayload, Feature, MissedCalls, SignalType, UserStatus } from './wire.ts'

/** `offline`: not trying. `connecting`: the first time. `reconnecting`: was online, tries again by itself. */
export type ConnectionState = 'offline' | 'connecting' | 'online' | 'reconnecting'

export interface StateChange {
  readonly state: ConnectionState
  /** Why it is not online. */
  readonly cause?: CallError
  /** Milliseconds until the next attempt. */
  readonly retryInMs?: number
  /** With `online`: this device goes on where it was, and has missed nothing. Otherwise it is a new one to the server. */
  readonly resumed?: boolean
}

/** A STOMP frame that went by, for debuggers. Tokens and credentials are masked. */
export interface FrameSeen {
  readonly at: number
  readonly direction: 'sent' | 'received'
  readonly command: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface ClientEvents {
  state: StateChange
  /** Statuses that were asked for or have changed. */
  presence: readonly UserStatus[]
  /** A call rings here. */
  incoming: IncomingCall
  /**
   * {@link CallClient.call} has made a call object, before it rings anywhere: an interface can show and cancel it. Also when
   * the other side of a call passes us on: {@link Call.transferredBy} says who, {@link Call.replaces} which call of ours it
   * takes the place of as soon as it is answered; until then that one rests.
   */
  outgoing: OutgoingCall
  /**
   * Who we were talking with has passed us on to somebody whom they had announced: the call is answered already, and takes
   * the place of {@link Call.replaces}, which ends in a moment.
   */
  switched: Call
  /** Calls that were missed, also while this device was away; without any: they were read, here or on another device. */
  missed: MissedCalls
  /** What belongs to no call and no promise. */
  error: CallError
  frame: FrameSeen
}

/** What is needed of a WebSocket: the browser's own, or `ws` in Node. */
export interface SocketLike {
  onopen: ((event: never) => unknown) | null
  onclose: ((event: never) => unknown) | null
  onerror: ((event: never) => unknown) | null
  onmessage: ((event: never) => unknown) | null
  readonly readyState: number
  readonly url: string
  binaryType?: unknown
  send(data: string): void
  close(): void
}

export interface ClientOptions {
  /** `http(s)://` or `ws(s)://`, or a path on the page's own host: `/imserver/ws`. */
  readonly url: string
  /** Asked before every connection attempt, so that a reconnect never uses a stale token. */
  readonly token: () => string | Promise<string>
  /**
   * Asked for a new token when the server says that the present one ends soon; it is replaced in place, and reconnects
   * use it. Without this the connection ends with its token, and {@link ClientOptions.token} is asked again.
   */
  readonly renewToken?: (() => Promise<string>) | undefined
  /** When given, the server checks that the token is this user's. */
  readonly userId?: string
  /** Default: `new WebSocket(url, protocols)`; Node 20 has none: give `(url, protocols) => new WebSocket(url, protocols)` of `ws`. */
  readonly webSocketFactory?: (url: string, protocols: string[]) => SocketLike
  /** Default: `RTCPeerConnection` where there is one. `null`: signalling only, see {@link Call.signal}. */
  readonly rtc?: ((configuration: RTCConfiguration) => RTCPeerConnection) | null
  /** Goes into every RTCPeerConnection beside the server's iceServers, for example `{ iceTransportPolicy: 'relay' }`. */
  readonly rtcConfiguration?: RTCConfiguration
  readonly getUserMedia?: (constraints: MediaStreamConstraints) => Promise<MediaStream>
  /** How the camera is asked for. */
  readonly video?: MediaTrackConstraints
  readonly audio?: MediaTrackConstraints
  /** Milliseconds; default 10 000. */
  readonly heartbeatMs?: number
  /**
   * Milliseconds for which the server keeps this device's calls when its connection breaks (RESUME_GRACE_S of the server);
   * default 30 000. A call that cannot be told of by then, and whose media do not flow, ends as `lost`.
   */
  readonly graceMs?: number
  /**
   * What this client says that it can do beyond a call of two. Default: all of it, and with `rtc: null` nothing, because then
   * the media are the application's.
   */
  readonly features?: readonly Feature[]
  /** For what is asked over HTTP; default: the global one. */
  readonly fetch?: typeof fetch
  readonly clock?: Clock
}

/**
 * `calling`: the request is on its way; `ringing`: a device of the callee rings; `connecting`: answered, media are being
 * joined; `connected`: one can talk; `ended`: for ever.
 */
export type CallState = 'calling' | 'ringing' | 'connecting' | 'connected' | 'ended'

export type EndReason =
  | 'declined'
  | 'busy'
  | 'no-answer'
  | 'unreachable'
  | 'cancelled'
  | 'answered-elsewhere'
  | 'declined-elsewhere'
  | 'hung-up'
  /** It has passed into another call: {@link CallEvents.transfer}. */
  | 'transferred'
  /** One side is gone: network, crash. */
  | 'lost'
  /** The server refused it, or no media path was found; see {@link Call.error}. */
  | 'failed'

export interface CallStateChange {
  readonly state: CallState
  readonly previous: CallState
  readonly reason?: EndReason
}

export interface CallEvents {
  state: CallStateChange
  /** A stream, a track, the microphone or a camera (of either side) has changed. */
  media: undefined
  /** The media path broke (true: it is being repaired) or is back (false). */
  interrupted: boolean
  /** The server cannot be reached (true: the client tries again by itself) or is back (false); media may go on meanwhile. */
  reconnecting: boolean
  /** Every signal of the other side; with `rtc: null` the application's to handle. */
  signal: { readonly type: SignalType; readonly payload: string | CandidatePayload; readonly from?: string }
  /** Something to tell the person; the call goes on. */
  problem: CallError
  /** Either side has put it on hold, or takes it back. */
  held: Held
  /** One side passes the other on: it rings there, is done, or has failed and the call goes on as it was. */
  transfer: TransferNews
  /** Somebody is invited into {@link Call.room}, joins, leaves, or is heard again. */
  room: undefined
}

export interface Party {
  readonly userId: string
  readonly name: string
}

export interface Held {
  readonly byMe: boolean
  readonly byPeer: boolean
}

/** What may be done with a call just now: what the other side's client cannot do is not to be offered. */
export interface CallAbilities {
  readonly hold: boolean
  readonly transfer: boolean
  readonly invite: boolean
}

export interface Transferring {
  /** The call that is to take its place. */
  readonly newCallId: string
  readonly target: string
  /** Who passes the other side on. */
  readonly by: string
  readonly byMe: boolean
  readonly mode: 'BLIND' | 'ATTENDED'
  /** Why it has failed: how the new call has ended. */
  readonly reason?: string
}

export interface TransferNews extends Transferring {
  readonly state: 'ringing' | 'done' | 'failed'
}

export type MemberState = 'ringing' | 'joined' | 'left' | 'declined' | 'missed' | 'busy'

export interface RoomMember extends Party {
  readonly state: MemberState
  /** It is this user. */
  readonly me: boolean
  readonly invitedBy: string | undefined
  /** What is heard and seen of them. */
  readonly stream: MediaStream | undefined
  /** A picture comes from them. */
  readonly video: boolean
  /** A media path to them stands. */
  readonly connected: boolean
  readonly interrupted: boolean
  /** They have put it on hold. */
  readonly held: boolean
  readonly peerConnection: RTCPeerConnection | undefined
}

export interface Room {
  /** Everybody who is or was in it, in the order of their coming. */
  readonly members: readonly RoomMember[]
}

/** How the media travel, from getStats. */
export interface MediaPath {
  readonly local: RTCIceCandidateType
  readonly remote: RTCIceCandidateType
  /** Either side goes through a relay. */
  readonly relayed: boolean
  readonly protocol: string
  readonly roundTripMs: number | undefined
}

export interface Call {
  readonly id: string
  readonly direction: 'outgoing' | 'incoming'
  readonly type: CallType
  /** The other side; of a room whoever it was begun with, or who has invited us. */
  readonly peer: Party
  readonly state: CallState
  readonly endReason: EndReason | undefined
  /** Who ended it. */
  readonly endedBy: 'me' | 'peer' | 'server' | undefined
  /** Why it failed. */
  readonly error: CallError | undefined
  /** On how many devices it began to ring, for the caller; older servers do not say. */
  readonly ringingDevices: number | undefined
  /** Milliseconds of talk: from `connected` to now, or to the end. */
  readonly elapsed: number
  readonly localStream: MediaStream | undefined
  readonly remoteStream: MediaStream | undefined
  /** A microphone is open (muted or not). */
  readonly hasMicrophone: boolean
  readonly muted: boolean
  /** Our camera is on. */
  readonly localVideo: boolean
  /** A picture comes from the other side. */
  readonly remoteVideo: boolean
  readonly interrupted: boolean
  /** The server cannot be reached just now; what is said and done meanwhile is told to it as soon as it can. */
  readonly reconnecting: boolean
  /**
   * The server has restarted and knows nothing of this call any more: it goes on from device to device, but cannot be
   * changed or repaired. The event `problem` tells when that happens.
   */
  readonly forgotten: boolean
  readonly held: Held
  readonly can: CallAbilities
  /** It rings while another call is going on: answering this one puts that one on hold. */
  readonly waiting: boolean
  /** A transfer that is under way: the call rests meanwhile. */
  readonly transferring: Transferring | undefined
  /** Who has passed the caller on to the callee. */
  readonly transferredBy: Party | undefined
  /** The call of ours whose place this one takes. */
  readonly replaces: Call | undefined
  /** Since somebody was invited into it. */
  readonly room: Room | undefined
  /** For getStats and the curious; of a room see {@link RoomMember.peerConnection}. */
  readonly peerConnection: RTCPeerConnection | undefined
  on<K extends keyof CallEvents>(kind: K, listener: (event: CallEvents[K]) => void): () => void
  /** Ends the call from this side in any state: cancels, declines, or hangs up. Never fails; done at once on this side. */
  hangUp(): void
  mute(on: boolean): void
  /** On: asks for the camera (also in a voice call) and fails with `media-…`. Off: lets go of it, its light goes out. */
  camera(on: boolean): Promise<void>
  /**
   * Nothing is sent any more, and nothing played, at once; fulfilled when the server has told the other side. Fails with
   * {@link CallError}; the call is then as it was.
   */
  hold(): Promise<void>
  /** Takes it back. Another call that is talked in is put on hold by that. */
  resume(): Promise<void>
  /**
   * Passes the other side on: to a user, who is rung; or to the other side of another call of ours, one of the two being on
   * hold (that one is asked nothing any more). Fulfilled when it is under way, the call then rests; the event `transfer` tells
   * what becomes of it. Fails with 1001 when the target is busy, 1007 when a client cannot do it.
   */
  transfer(to: string | Call): Promise<void>
  /** Rings these too: the call becomes a {@link Call.room}. Fails with 1009 when so many cannot be in one. */
  invite(users: readonly string[]): Promise<void>
  /** Sends signalling of one's own, in a room `to` one of its members; with an `rtc` factory the client does it by itself. */
  signal(type: 'OFFER' | 'ANSWER', payload: string, to?: string): void
  signal(type: 'ICE_CANDIDATE', payload: CandidatePayload, to?: string): void
  path(): Promise<MediaPath | undefined>
}

export type OutgoingCall = Call

export interface IncomingCall extends Call {
  /**
   * Answers on this device. `AUDIO` answers a video call without a camera. Fulfilled when the server has bound the call
   * to this device; fails with {@link CallError} when another device was faster (1004) or the call is over (1005).
   */
  accept(options?: { type?: CallType }): Promise<void>
  /** `DECLINED`: all devices stop ringing. `BUSY`: only this one does. */
  decline(reason?: 'DECLINED' | 'BUSY'): void
}
