/**
 * The AsyncAPI 3.0 document of the STOMP face, made from the message schemas. Operations are named from the server's
 * side, as AsyncAPI has it: it receives what clients SEND, and sends what they SUBSCRIBE to.
 */

import { z } from 'zod'
import { jsonSchema } from '../http/openapi.ts'
import {
  CallHangup,
  CallHold,
  CallInvite,
  CallRequest,
  CallResponse,
  CallRinging,
  CallTransfer,
  callId,
  Roster,
  Signal,
  userId,
} from '../src/calls/messages.ts'
import type { EndReason } from '../src/calls/types.ts'
import { CredentialNotice, TokenRefresh } from '../src/credentials/messages.ts'
import { CODES } from '../src/errors.ts'
import { HistoryRead, MissedCalls } from '../src/history/messages.ts'
import { StatusQuery, StatusReport } from '../src/presence/messages.ts'
import { TurnCredentials, TurnQuery } from '../src/turn/messages.ts'

type Json = { readonly [key: string]: unknown }

interface Channel {
  /** In the document's maps. */
  readonly name: string
  readonly address: string
  readonly summary: string
  readonly schema: z.ZodType
  /** The MESSAGE's own headers, beside those of STOMP. */
  readonly headers?: Json
  /** Where the answer comes, on success. */
  readonly answer?: string
}

const HANGUP_REASONS = [
  'HANGUP',
  'CANCELLED',
  'CALLER_LOST',
  'PEER_LOST',
  'REPLACED',
  'TRANSFERRED',
  'MAX_DURATION',
  'ADMIN',
  // Told to a plain client that comes back when the call which it was in is over
  'NO_ANSWER',
  'DECLINED',
  'BUSY',
] as const satisfies readonly EndReason[]

/** What clients SEND. */
export const SENDS: readonly Channel[] = [
  { name: 'callRequest', address: '/app/call/request', summary: 'Call somebody.', schema: CallRequest },
  { name: 'callResponse', address: '/app/call/response', summary: 'Accept or reject a call.', schema: CallResponse },
  {
    name: 'callHangup',
    address: '/app/call/hangup',
    summary: 'Hang up, or withdraw a call that still rings. The body may be empty.',
    schema: CallHangup,
  },
  {
    name: 'callRinging',
    address: '/app/call/ringing',
    summary: 'This device now shows the call.',
    schema: CallRinging,
  },
  {
    name: 'callHold',
    address: '/app/call/hold',
    summary: 'Put a connected call on hold, or take it up again: then the other call of the user is put on hold.',
    schema: CallHold,
  },
  {
    name: 'callTransfer',
    address: '/app/call/transfer',
    summary:
      'Have the other party call through to somebody else. For calls whose other client has said `transfer` in `features`.',
    schema: CallTransfer,
    answer: 'onCallTransfer',
  },
  {
    name: 'callInvite',
    address: '/app/call/invite',
    summary: 'Ask more people into a call: it becomes a room. For clients that have said `room` in `features`.',
    schema: CallInvite,
    answer: 'onCallRoom',
  },
  {
    name: 'rtcSignaling',
    address: '/app/rtc/signaling',
    summary: 'WebRTC signalling for the other party, carried octet for octet.',
    schema: Signal,
  },
  {
    name: 'userStatus',
    address: '/app/user/status',
    summary: 'Who of these users is online?',
    schema: StatusQuery,
    answer: 'onUserStatus',
  },
  {
    name: 'turnCredentials',
    address: '/app/turn/get-turn-credentials',
    summary: 'Which STUN and TURN servers to use? The body may be empty.',
    schema: TurnQuery,
    answer: 'onTurnCredentials',
  },
  {
    name: 'tokenRefresh',
    address: '/app/auth/refresh',
    summary: 'A new token for this session, instead of the one that ends: of the same user, and not ending sooner.',
    schema: TokenRefresh,
    answer: 'onCredential',
  },
  {
    name: 'callHistoryRead',
    address: '/app/call/history/read',
    summary: 'The user has seen the missed calls. The body may be empty.',
    schema: HistoryRead,
  },
]

/** What clients SUBSCRIBE to. */
export const SUBSCRIPTIONS: readonly Channel[] = [
  {
    name: 'onCallRequest',
    address: '/user/queue/call/request',
    summary: 'Somebody calls: every device of the callee. The fields of the request as sent, and two more.',
    schema: CallRequest.extend({
      caller: userId.describe('From the token of the caller.'),
      remainingMs: z.int().nonnegative().describe('How long it goes on ringing.'),
      waiting: z
        .literal(true)
        .optional()
        .describe('The user is in a call, and is shown a second one (`CALL_WAITING`).'),
      transferredBy: userId.optional().describe('Who has transferred the caller.'),
      transferredByUserName: z.string().optional(),
      replaces: callId
        .optional()
        .describe('Your call with `transferredBy`: answer by yourself, this one takes its place.'),
      room: z.literal(true).optional().describe('Several are in this call; `caller` is who invites.'),
      media: Roster.shape.media.optional(),
      members: Roster.shape.members.optional(),
    }),
  },
  {
    name: 'onCallResponse',
    address: '/user/queue/call/response',
    summary: 'The callee has answered: the calling device.',
    schema: z.object({
      callId,
      type: z.enum(['ACCEPT', 'REJECT']),
      reason: z.enum(['DECLINED', 'BUSY']).optional(),
      activeCallId: callId.optional().describe('The call that was accepted instead (a request with `glare`).'),
      features: z
        .array(z.enum(['hold', 'transfer', 'room']))
        .optional()
        .describe('With ACCEPT: what the client that has answered says that it can do.'),
    }),
  },
  {
    name: 'onCallDown',
    address: '/user/queue/call/down',
    summary: 'Another device of this user has answered: those that rang.',
    schema: z.object({
      callId,
      type: z.enum(['ACCEPT', 'REJECT']).optional(),
      reason: z.enum(['ANSWERED_ELSEWHERE', 'DECLINED_ELSEWHERE']).optional(),
    }),
  },
  {
    name: 'onCallHangup',
    address: '/user/queue/call/hangup',
    summary: 'The call is over: the other party; while it rings, every device that rang.',
    schema: z.object({ callId, reason: z.enum(HANGUP_REASONS).optional() }),
  },
  {
    name: 'onCallTimeout',
    address: '/user/queue/call/timeout',
    summary: 'Nobody has answered: every device of the callee, and the calling device.',
    schema: z.object({ callId }),
  },
  {
    name: 'onCallRinging',
    address: '/user/queue/call/ringing',
    summary: 'A device of the callee shows the call: the calling device, once.',
    schema: z.object({ callId }),
    headers: { devices: { type: 'string', description: 'On how many devices it rings at this moment.' } },
  },
  {
    name: 'onCallHold',
    address: '/user/queue/call/hold',
    summary:
      'Somebody has put the call on hold, or has taken it up again: the others in it, and who did if it was not this device.',
    schema: z.object({
      callId,
      hold: z.boolean(),
      by: userId.describe('Who holds it.'),
      version: z.int().positive().describe('Grows with every change of the call: a lower one that comes later is old.'),
    }),
  },
  {
    name: 'onCallTransfer',
    address: '/user/queue/call/transfer',
    summary: 'How far a transfer is: both who are in the call. Media rest while it is RINGING.',
    schema: z.object({
      callId,
      newCallId: callId.describe(
        'The call that shall take the place of this one: between `target` and who is transferred.',
      ),
      state: z
        .enum(['RINGING', 'DONE', 'FAILED'])
        .describe('DONE: this call ends, the new one is answered. FAILED: this call goes on.'),
      target: userId,
      transferredBy: userId,
      mode: z.enum(['BLIND', 'ATTENDED']),
      reason: z.string().optional().describe('With FAILED: how the new call has ended.'),
    }),
  },
  {
    name: 'onCallRoom',
    address: '/user/queue/call/room',
    summary:
      'Who is in the room, after each change: every device that is in it. Who has joined offers to who was there.',
    schema: Roster,
  },
  {
    name: 'onRtcSignaling',
    address: '/user/queue/rtc/signaling',
    summary: 'WebRTC signalling of the other party, as it was sent.',
    schema: Signal,
    headers: {
      from: { type: 'string', description: 'The user who sent it.' },
      'peer-reattached': {
        type: 'string',
        const: 'true',
        description:
          'It is the first since the other side has lost its connection and is back: a moment for an ICE restart.',
      },
    },
  },
  {
    name: 'onCallMissed',
    address: '/user/queue/call/missed',
    summary:
      'Missed calls: on SUBSCRIBE those that the user has not seen, if there are any; then each when it is missed; and that they were seen on another device.',
    schema: MissedCalls,
  },
  {
    name: 'onUserStatus',
    address: '/topic/user/status',
    summary: 'The answer to a query, and every later change.',
    schema: StatusReport,
  },
  {
    name: 'onTurnCredentials',
    address: '/user/queue/turn/get-turn-credentials',
    summary:
      'STUN and TURN servers, with credentials for a limited time; a session that has asked once hears fresh ones when 80 % of that time is over.',
    schema: TurnCredentials,
  },
  {
    name: 'onCredential',
    address: '/user/queue/auth',
    summary:
      'What becomes of the session’s token: it ends soon, has ended (then refresh at once, or finish the call), was replaced.',
    schema: CredentialNotice,
  },
  {
    name: 'onError',
    address: '/user/queue/errors',
    summary: 'A frame of this session was refused; the connection stays open.',
    schema: z.object({
      code: z.union(Object.values(CODES).map(({ code }) => z.literal(code))),
      message: z.string().describe('For a person; names the field when a field is wrong.'),
      destination: z.string().optional().describe('Where the refused frame was sent.'),
      callId: callId.optional(),
      reason: z.string().optional(),
      activeCallId: callId.optional(),
      status: z.string().optional(),
      retryAfter: z.int().optional().describe('Seconds.'),
    }),
    headers: { 'receipt-id': { type: 'string', description: 'When the refused frame asked for a receipt.' } },
  },
]

/** The whole document. */
export function asyncApi(version: string): Json {
  const all = [...SENDS, ...SUBSCRIPTIONS]
  return {
    asyncapi: '3.0.0',
    info: { title: 'Carillon: STOMP API', version, description: DESCRIPTION, license: { name: 'MIT' } },
    defaultContentType: 'application/json',
    servers: {
      websocket: {
        host: 'localhost:8080',
        pathname: '/imserver/ws',
        protocol: 'ws',
        description:
          'STOMP 1.0, 1.1 and 1.2 over WebSocket (subprotocols v12.stomp, v11.stomp, v10.stomp, or none); SockJS on the same path.',
        security: [{ $ref: '#/components/securitySchemes/ide' }],
      },
    },
    channels: Object.fromEntries(all.map((channel) => [channel.name, channelOf(channel)])),
    operations: Object.fromEntries([
      ...SENDS.map((channel) => [`receive_${channel.name}`, operationOf(channel, 'receive')]),
      ...SUBSCRIPTIONS.map((channel) => [`send_${channel.name}`, operationOf(channel, 'send')]),
    ]),
    components: {
      messages: Object.fromEntries(all.map((channel) => [channel.name, messageOf(channel)])),
      channelBindings: { connection: CONNECTION },
      securitySchemes: {
        ide: {
          type: 'httpApiKey',
          in: 'header',
          name: 'ide',
          description:
            'A JWT, in the header `ide` of the CONNECT frame; or there as `Authorization: Bearer`, or as `passcode`.',
        },
      },
    },
  }
}

const DESCRIPTION =
  'Calls over STOMP. A refused SEND is told on /user/queue/errors and never closes the connection; ERROR frames are for frames that break STOMP itself, a refused CONNECT, a token that has expired or was revoked, and exceeded limits. Every MESSAGE has the header seq, its number in the session; a client that has lost its connection resumes the session with resume-id (of CONNECTED) and last-seq in CONNECT, and CONNECTED says resumed:true or false (docs/protocol.md).'

/** The binding of stomp has no fields; that of ws describes the handshake. */
const CONNECTION: Json = {
  stomp: {},
  ws: {
    method: 'GET',
    query: {
      type: 'object',
      properties: {
        userId: { type: 'string', description: 'When given, it must be the user of the token.' },
      },
    },
    headers: {
      type: 'object',
      properties: {
        'Sec-WebSocket-Protocol': { type: 'string', enum: ['v12.stomp', 'v11.stomp', 'v10.stomp'] },
      },
    },
    bindingVersion: '0.1.0',
  },
}

function channelOf({ name, address, summary }: Channel): Json {
  return {
    address,
    summary,
    messages: { [name]: { $ref: `#/components/messages/${name}` } },
    bindings: { $ref: '#/components/channelBindings/connection' },
  }
}

function operationOf({ name, summary, answer }: Channel, action: 'send' | 'receive'): Json {
  return {
    action,
    summary,
    channel: { $ref: `#/channels/${name}` },
    messages: [{ $ref: `#/channels/${name}/messages/${name}` }],
    ...(answer !== undefined && {
      reply: {
        channel: { $ref: `#/channels/${answer}` },
        messages: [{ $ref: `#/channels/${answer}/messages/${answer}` }],
      },
    }),
  }
}

function messageOf({ name, summary, schema, headers }: Channel): Json {
  return {
    name,
    summary,
    contentType: 'application/json',
    ...(headers && { headers: { type: 'object', properties: headers } }),
    payload: jsonSchema(schema),
  }
}
