/**
 * Every endpoint of the rtc-service, as data: the app serves this list and the OpenAPI document prints it. To add one,
 * add an entry.
 */

import type { z } from 'zod'
import type { CodeName } from '../../src/errors.ts'
import type { Awaitable } from '../../src/ports.ts'
import { parseBody } from '../../src/validation.ts'
import type { Asked } from './asked.ts'
import { answer, hangUp, hold, initiate, invite, reject, transfer } from './calling.ts'
import { RTC_PATH, type RtcOutcome } from './envelope.ts'
import { history, LARGEST_PAGE, LONGEST_WAIT_S, lookAt, webRtcConfig } from './looking.ts'
import {
  Answer,
  Answered,
  Hangup,
  Held,
  HistoryPage,
  Hold,
  HungUp,
  Initiate,
  Initiated,
  Invite,
  Reject,
  ShownCall,
  Transfer,
  Transferring,
  WebRtcConfig,
} from './messages.ts'
import type { Done } from './words.ts'

export interface RtcEndpoint {
  readonly method: 'get' | 'post'
  /** As Express writes it: `:name` is a part of the path. */
  readonly path: string
  /** Name of the operation in generated clients. */
  readonly name: string
  readonly summary: string
  readonly description?: string
  /** Parameters in the query that may be there, each with what it says. */
  readonly query?: Readonly<Record<string, string>>
  /** The same in the head. */
  readonly headers?: Readonly<Record<string, string>>
  /** Nothing: the endpoint takes no body. */
  readonly body?: z.ZodType
  readonly example?: unknown
  /** `data` of the answer; nothing: null. */
  readonly data?: z.ZodType
  /** The answer has an ETag, and may be a 304. */
  readonly tagged?: boolean
  readonly done: Done
  /** Refusals beside those that every endpoint has. */
  readonly refusals: readonly CodeName[]
  run(asked: Asked): Awaitable<RtcOutcome>
}

/** The part of an endpoint that takes a message: its schema, and what is done with one that fits. */
function takes<S extends z.ZodType>(
  body: S,
  handle: (asked: Asked, message: z.output<S>) => Awaitable<RtcOutcome>,
): Pick<RtcEndpoint, 'body' | 'run'> {
  return {
    body,
    run(asked) {
      const message = parseBody(body, asked.body)
      return message.ok ? handle(asked, message.data) : message
    },
  }
}

const CALL_ID = 'call_01K9M3Z7Q8R2T4V6X8Z0A2C4E6'

const FOR_SERVICES = 'Of a service: for whom it speaks. Else the user of the token, who need not be named.'

export const RTC_ENDPOINTS: readonly RtcEndpoint[] = [
  {
    method: 'post',
    path: `${RTC_PATH}/call/initiate`,
    name: 'rtcInitiate',
    summary: 'Call somebody',
    description:
      'Rings every device of the callee. A busy callee: code 1001, and `data` has `status` REJECTED and `reason` BUSY (or CANCELLED, GLARE and `activeCallId`: both call each other).',
    headers: {
      'Idempotency-Key':
        '1 to 255 visible characters, random, new for each call. A repeat with the same key and body gets the first answer again and rings nobody; with another body it is refused (422). Remembered as long as the history keeps the call; without one, 10 minutes after its end.',
    },
    example: { callerId: 10001, calleeId: 10002, callType: 'VIDEO' },
    data: Initiated,
    done: 'initiated',
    refusals: ['keyReused', 'busy', 'unreachable', 'callerInCall'],
    ...takes(Initiate, initiate),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/answer`,
    name: 'rtcAnswer',
    summary: 'Answer a call',
    example: { callId: CALL_ID, userId: 10002 },
    data: Answered,
    done: 'answered',
    refusals: ['notFound', 'handledElsewhere', 'alreadyOver'],
    ...takes(Answer, answer),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/reject`,
    name: 'rtcReject',
    summary: 'Do not answer a call',
    description: 'Repeats are harmless.',
    example: { callId: CALL_ID, userId: 10002, reason: 'BUSY' },
    done: 'rejected',
    refusals: ['notFound', 'handledElsewhere'],
    ...takes(Reject, reject),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/hangup`,
    name: 'rtcHangUp',
    summary: 'End a call, or withdraw one that still rings',
    description: 'Repeats are harmless, and have the same answer.',
    example: { callId: CALL_ID, userId: 10001 },
    data: HungUp,
    done: 'hungUp',
    refusals: ['notFound'],
    ...takes(Hangup, hangUp),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/hold`,
    name: 'rtcHold',
    summary: 'Put a call on hold, or take it up again',
    example: { callId: CALL_ID, userId: 10001, hold: true },
    data: Held,
    done: 'held',
    refusals: ['notFound', 'handledElsewhere', 'alreadyOver', 'notNow'],
    ...takes(Hold, hold),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/transfer`,
    name: 'rtcTransfer',
    summary: 'Have the other party of a call call through to somebody else',
    description: 'The other client must have said `transfer` in `features`.',
    example: { callId: CALL_ID, userId: 10001, target: 10003, mode: 'BLIND' },
    data: Transferring,
    done: 'transferring',
    refusals: ['notFound', 'busy', 'unreachable', 'handledElsewhere', 'alreadyOver', 'notSupported', 'notNow'],
    ...takes(Transfer, transfer),
  },
  {
    method: 'post',
    path: `${RTC_PATH}/call/invite`,
    name: 'rtcInvite',
    summary: 'Add people to a call',
    description: 'The call becomes a room. All clients in it must have said `room` in `features`.',
    example: { callId: CALL_ID, userId: 10001, invitees: [10003, 10004] },
    done: 'invited',
    refusals: ['notFound', 'handledElsewhere', 'alreadyOver', 'notSupported', 'notNow', 'roomFull'],
    ...takes(Invite, invite),
  },
  {
    method: 'get',
    path: `${RTC_PATH}/call/history`,
    name: 'rtcHistory',
    summary: 'The calls of a user that are over, the latest end first',
    query: { userId: FOR_SERVICES, page: 'From 1.', size: `From 1 to ${LARGEST_PAGE}; 20 unless it is said.` },
    data: HistoryPage,
    done: 'success',
    refusals: ['notFound'],
    run: history,
  },
  {
    method: 'get',
    path: `${RTC_PATH}/config/webrtc`,
    name: 'rtcConfig',
    summary: 'What RTCPeerConnection is made with',
    description: 'Ask before each RTCPeerConnection: the credentials are good for a limited time.',
    query: { userId: FOR_SERVICES, region: 'Of several relays those in this region.' },
    data: WebRtcConfig,
    done: 'success',
    refusals: [],
    run: webRtcConfig,
  },
  {
    method: 'get',
    path: `${RTC_PATH}/call/:callId`,
    name: 'rtcCall',
    summary: 'A call as it is now, or as it is once it has changed',
    description: 'For those who are, or were, in the call, and for services.',
    query: {
      wait: `Seconds, up to ${LONGEST_WAIT_S}: the answer comes when the call changes, or when they are over. A call that is over is answered at once.`,
      since: '`version` of an earlier answer: with `wait`, the answer comes at once when there is another one by now.',
      userId: FOR_SERVICES,
    },
    headers: {
      'If-None-Match': 'The ETag of an earlier answer: 304 when nothing has changed; with `wait`, as `since`.',
    },
    data: ShownCall,
    tagged: true,
    done: 'success',
    refusals: ['notFound'],
    run: lookAt,
  },
]
