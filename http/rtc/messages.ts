/** What the rtc-service is sent, and what it answers: one schema gives the type, the check, and the place in OpenAPI. */

import { z } from 'zod'
import { CallHold, CallInvite, CallRequest, CallResponse, CallTransfer, callId } from '../../src/calls/messages.ts'
import { RtcUserId, ShownId } from './ids.ts'
import { ShownTime } from './times.ts'

const message = <T extends z.core.$ZodLooseShape>(shape: T) =>
  z.looseObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'body: must be a JSON object' : undefined),
  })

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, {
    error: (issue) => (issue.input === undefined ? 'is required' : `must be one of ${values.join(', ')}`),
  })

const callType = oneOf(['AUDIO', 'VIDEO'])

const name = CallRequest.shape.callerUserName.nullish()

const someCall = callId.describe('As `call/initiate`, or whoever began the call, has named it.')

export const Initiate = message({
  callerId: RtcUserId.describe('The user of the token; of a service: anybody.'),
  calleeId: RtcUserId.describe('The user to ring.'),
  callType,
  callerName: name.describe('Shown on the devices that ring; without it the id is.'),
  calleeName: name,
  timeout: CallRequest.shape.timeout,
  features: CallRequest.shape.features,
})
export type Initiate = z.output<typeof Initiate>

export const Answer = message({ callId: someCall, userId: RtcUserId, features: CallResponse.shape.features })
export type Answer = z.output<typeof Answer>

export const Reject = message({
  callId: someCall,
  userId: RtcUserId,
  reason: oneOf(['BUSY', 'DECLINED', 'NO_ANSWER']).describe('With NO_ANSWER the call is a missed one.'),
})
export type Reject = z.output<typeof Reject>

export const Hangup = message({ callId: someCall, userId: RtcUserId })
export type Hangup = z.output<typeof Hangup>

export const Hold = message({ callId: someCall, userId: RtcUserId, hold: CallHold.shape.hold })
export type Hold = z.output<typeof Hold>

export const Transfer = message({
  callId: someCall,
  userId: RtcUserId,
  target: RtcUserId.describe('Who takes the call over.'),
  mode: CallTransfer.shape.mode,
  withCallId: CallTransfer.shape.withCallId,
}).refine(({ mode, withCallId }) => (mode === 'ATTENDED') === (withCallId != null), {
  path: ['withCallId'],
  error: 'is required with mode ATTENDED, and with it alone',
})
export type Transfer = z.output<typeof Transfer>

export const Invite = message({
  callId: someCall,
  userId: RtcUserId,
  invitees: z
    .array(RtcUserId, { error: ({ input }) => (input === undefined ? 'is required' : 'must be a list of users') })
    .min(1, 'must name somebody')
    .max(64, 'must have at most 64 entries'),
  names: CallInvite.shape.names,
})
export type Invite = z.output<typeof Invite>

export const Held = z.object({ callId: z.string(), hold: z.boolean() })

export const Transferring = z.object({
  callId: z.string(),
  newCallId: z.string().describe('The call that takes its place when it is answered.'),
})

export const Initiated = z.object({
  callId: z.string().describe('`call_` and 26 characters.'),
  callerId: ShownId,
  calleeId: ShownId,
  callType,
  status: z.literal('CALLING'),
  createdAt: ShownTime,
})

export const Answered = z.object({ callId: z.string(), status: z.literal('CONNECTED'), connectedAt: ShownTime })

export const HungUp = z.object({
  callId: z.string(),
  duration: z.int().describe('Whole seconds from the answer to the end; 0: nobody has answered.'),
  endedAt: ShownTime,
})

const CALL_STATUS = ['CALLING', 'RINGING', 'CONNECTED', 'COMPLETED', 'REJECTED', 'MISSED', 'CANCELLED'] as const

export const ShownMember = z.object({
  userId: ShownId,
  state: z.enum(['RINGING', 'JOINED', 'LEFT', 'DECLINED', 'MISSED', 'BUSY']),
  joinedAt: ShownTime.optional(),
  leftAt: ShownTime.optional(),
})

export type ShownMember = z.output<typeof ShownMember>

export const ShownCall = z.object({
  callId: z.string(),
  callerId: ShownId,
  calleeId: ShownId,
  callType,
  status: z.enum(CALL_STATUS),
  reason: z.string().optional().describe('Why it has ended.'),
  createdAt: ShownTime,
  ringingAt: ShownTime.optional(),
  connectedAt: ShownTime.optional(),
  endedAt: ShownTime.optional(),
  duration: z.int().describe('Whole seconds; 0 while it goes on, and when nobody has answered.'),
  heldBy: z.array(ShownId).optional().describe('Who has put it on hold.'),
  transferredBy: ShownId.optional().describe('It came about by a transfer of this user.'),
  members: z.array(ShownMember).optional().describe('Of a room: who is or was in it.'),
  version: z.string().describe('Another one whenever anything of this has changed: for `since`.'),
})
export type ShownCall = z.output<typeof ShownCall>

export const HistoryPage = z.object({
  total: z.int().describe('How many calls there are; 100000 for more than that.'),
  page: z.int(),
  size: z.int(),
  records: z.array(
    z.object({
      callId: z.string(),
      callerId: ShownId,
      callerName: z.string().describe('As the call was made; when nobody has said it, the id.'),
      calleeId: ShownId,
      calleeName: z.string(),
      callType,
      status: z.enum(['COMPLETED', 'REJECTED', 'MISSED', 'CANCELLED']),
      duration: z.int().describe('Whole seconds from the answer to the end.'),
      startTime: ShownTime.describe('When it was made, in UTC.'),
      endTime: ShownTime,
    }),
  ),
})
export type HistoryPage = z.output<typeof HistoryPage>

export const WebRtcConfig = z.object({
  iceServers: z.array(
    z.object({ urls: z.string(), username: z.string().optional(), credential: z.string().optional() }),
  ),
  sdpSemantics: z.literal('unified-plan'),
})
export type WebRtcConfig = z.output<typeof WebRtcConfig>
