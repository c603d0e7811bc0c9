/**
 * Every endpoint of the API, as data: the app serves this list and the OpenAPI document prints it, so that the two
 * cannot disagree. To add one, add an entry.
 */

import { z } from 'zod'
import {
  CallHangup,
  CallHold,
  CallInvite,
  CallRequest,
  CallResponse,
  CallTransfer,
  callId,
  Roster,
  Signal,
} from '../src/calls/messages.ts'
import type { Actor, SignalFrame } from '../src/calls/types.ts'
import type { CodeName, Outcome } from '../src/errors.ts'
import { HistoryPage, HistoryQuery, HistoryRead, Unread } from '../src/history/messages.ts'
import type { Awaitable } from '../src/ports.ts'
import { StatusQuery, StatusReport } from '../src/presence/messages.ts'
import { TurnCredentials } from '../src/turn/messages.ts'
import { parseBody, parseQuery } from '../src/validation.ts'
import type { HttpServices } from './services.ts'

type Answer = Awaitable<Outcome<unknown>>

/** A request whose sender is known. */
export interface Asked {
  readonly actor: Actor
  /** The body as it came. */
  readonly frame: SignalFrame
  /** The first value of a parameter in the query of the address. */
  query(name: string): string | undefined
}

export interface Endpoint {
  readonly method: 'get' | 'post'
  readonly path: string
  /** Name of the operation in generated clients. */
  readonly name: string
  readonly summary: string
  readonly description?: string
  /** Parameters in the query that may be there, each with what it says. */
  readonly query?: Readonly<Record<string, string>>
  /** Nothing: the endpoint takes no body. */
  readonly body?: z.ZodType
  readonly mayBeEmpty?: boolean
  readonly example?: unknown
  /** `data` of the answer; nothing: null. */
  readonly data?: z.ZodType
  /** Refusals beside those that every endpoint has. */
  readonly refusals: readonly CodeName[]
  run(services: HttpServices, asked: Asked): Answer
}

/** The part of an endpoint that takes a message: its schema, and what is done with one that fits. */
function takes<S extends z.ZodType>(
  body: S,
  handle: (services: HttpServices, message: z.output<S>, asked: Asked) => Answer,
): Pick<Endpoint, 'body' | 'run'> {
  return {
    body,
    run(services, asked) {
      const message = parseBody(body, asked.frame.body)
      return message.ok ? handle(services, message.data, asked) : message
    },
  }
}

const CALL_ID = '6f1c1f0e-7f5e-4a43-9c57-0c7a9d5e2b11'

const HISTORY_PARAMETERS = {
  size: 'Calls of a page, 1 to 100; 20.',
  cursor: '`next` of the page before.',
  page: 'The page by its number, from 1; at most 10,000 calls deep.',
  only: '`missed`, `incoming` or `outgoing`.',
  type: '`VIDEO` or `AUDIO`.',
  from: 'Calls that ended then or later: ISO 8601 with its offset, or milliseconds since 1970.',
  before: 'Calls that ended before.',
}

export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'post',
    path: '/imserver/call/request',
    name: 'requestCall',
    summary: 'Call somebody',
    description:
      'Rings every device of the callee (`/user/queue/call/request`). Further fields of the body are carried to them.',
    example: { callId: CALL_ID, type: 'VIDEO', callee: 'bob', callerUserName: 'Alice' },
    refusals: ['busy', 'callIdTaken', 'unreachable', 'callerInCall'],
    ...takes(CallRequest, ({ calls }, message, { actor }) => calls.request(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/call/response',
    name: 'answerCall',
    summary: 'Accept or reject a call',
    example: { callId: CALL_ID, type: 'ACCEPT' },
    refusals: ['forbidden', 'notFound', 'handledElsewhere', 'alreadyOver'],
    ...takes(CallResponse, ({ calls }, message, { actor }) => calls.respond(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/call/hangup',
    name: 'hangUp',
    summary: 'Hang up, or withdraw a call that still rings',
    description: 'Without a callId: the user’s current call. Repeats are harmless.',
    mayBeEmpty: true,
    example: { callId: CALL_ID },
    refusals: ['forbidden', 'notFound', 'handledElsewhere'],
    ...takes(CallHangup, ({ calls }, message, { actor }) => calls.hangup(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/call/hold',
    name: 'hold',
    summary: 'Put a call on hold, or take it up again',
    description:
      'Both sides hear of it (`/user/queue/call/hold`). Of two calls the other one is put on hold by taking this one up.',
    example: { callId: CALL_ID, hold: true },
    refusals: ['forbidden', 'notFound', 'handledElsewhere', 'alreadyOver', 'notNow'],
    ...takes(CallHold, ({ calls }, message, { actor }) => calls.hold(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/call/transfer',
    name: 'transfer',
    summary: 'Have the other party of a call call through to somebody else',
    description:
      'A new call between the two rings, and takes the place of this one when it is answered (`/user/queue/call/transfer`). ATTENDED: you are in a call with the target already. The other client must have said `transfer` in `features`.',
    example: { callId: CALL_ID, target: 'carol', mode: 'BLIND' },
    data: z.object({ newCallId: callId }),
    refusals: [
      'forbidden',
      'notFound',
      'busy',
      'unreachable',
      'handledElsewhere',
      'alreadyOver',
      'notSupported',
      'notNow',
    ],
    ...takes(CallTransfer, ({ calls }, message, { actor }) => calls.transfer(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/call/invite',
    name: 'inviteIntoCall',
    summary: 'Ask more people into a call',
    description:
      'The call becomes a room, in which everybody rings and answers for themselves (`/user/queue/call/room`). Both clients must have said `room` in `features`.',
    example: { callId: CALL_ID, invitees: ['carol', 'dave'], names: { carol: 'Carol', dave: 'Dave' } },
    data: Roster.pick({ callId: true, members: true }),
    refusals: ['forbidden', 'notFound', 'handledElsewhere', 'alreadyOver', 'notSupported', 'notNow', 'roomFull'],
    ...takes(CallInvite, ({ calls }, message, { actor }) => calls.invite(actor, message)),
  },
  {
    method: 'post',
    path: '/imserver/rtc/signaling',
    name: 'signal',
    summary: 'Send WebRTC signalling to the other party of a call, or to a member of a room',
    description: 'The body reaches the device that the other party is in the call with, octet for octet.',
    example: { callId: CALL_ID, type: 'ICE_CANDIDATE', payload: { candidate: '', sdpMid: '0', sdpMLineIndex: 0 } },
    refusals: ['forbidden', 'notFound'],
    ...takes(Signal, ({ calls }, message, { actor, frame }) => calls.signal(actor, message, frame)),
  },
  {
    method: 'post',
    path: '/imserver/user/status',
    name: 'userStatus',
    summary: 'Who of these users is online',
    example: ['alice', 'bob'],
    data: StatusReport,
    refusals: [],
    ...takes(StatusQuery, async ({ presence }, users) => ({ ok: true, data: await presence.status(users) })),
  },
  {
    method: 'get',
    path: '/imserver/call/history',
    name: 'callHistory',
    summary: 'The own calls, the latest end first',
    description: 'Go on with `next` as `cursor`, or count pages with `page`. `total` is there with `page`.',
    query: HISTORY_PARAMETERS,
    data: HistoryPage,
    refusals: ['notFound'],
    async run({ history }, { actor, query }) {
      const asked = parseQuery(HistoryQuery, Object.keys(HISTORY_PARAMETERS), query)
      return asked.ok ? history.page(actor.user, asked.data) : asked
    },
  },
  {
    method: 'post',
    path: '/imserver/call/history/read',
    name: 'readMissedCalls',
    summary: 'Mark missed calls as read',
    description: 'Up to `until`; without it all. The other devices of the user hear it on `/user/queue/call/missed`.',
    mayBeEmpty: true,
    example: { until: '2026-01-01T12:00:00.000Z' },
    data: Unread,
    refusals: ['notFound'],
    ...takes(HistoryRead, ({ history }, message, { actor }) => history.read(actor.user, message, actor.device)),
  },
  {
    method: 'get',
    path: '/imserver/turn/get-turn-credentials',
    name: 'turnCredentials',
    summary: 'STUN and TURN servers, with credentials for a limited time',
    description: 'Ask before each RTCPeerConnection and before an ICE restart.',
    query: { region: 'Of several relays those in this region; without it, or where there is none of that name, all.' },
    data: TurnCredentials,
    refusals: [],
    run: ({ turn }, { actor, query }) => ({ ok: true, data: turn.credentialsFor(actor.user, query('region')) }),
  },
]
