/**
 * The messages of a call as clients send them (contract, sections 3 and 4): one schema gives the type, the check,
 * and the place in AsyncAPI and OpenAPI.
 */

import { z } from 'zod'
import type { Feature } from './types.ts'

const LONGEST_NAME = 256

/** Text that databases and logs can hold: no NUL. */
const text = (longest: number) =>
  z
    .string({ error: (issue) => (issue.input === undefined ? 'is required' : 'must be a string') })
    .max(longest, `must have at most ${longest} characters`)
    .refine((value) => !value.includes('\0'), 'must not contain NUL')

/** A request is written anew for the devices that it rings; far deeper ones would end in a stack overflow. */
const DEEPEST = 32

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1))
}

const notBlank = (longest: number) => text(longest).refine((value) => value.trim() !== '', 'must not be blank')

export const callId = text(100)
  .min(1, 'must not be empty')
  .describe('Made by the client, unique for ever: a random UUID.')

export const userId = notBlank(128)

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, {
    error: (issue) => (issue.input === undefined ? 'is required' : `must be one of ${values.join(', ')}`),
  })

/** Clients in Java write `null` for what is absent. */
const orElse = <T extends z.ZodType, D>(schema: T, fallback: D) =>
  schema.nullish().transform((value) => (value ?? fallback) as Exclude<z.output<T>, null | undefined> | D)

const message = <T extends z.core.$ZodLooseShape>(shape: T) =>
  z.looseObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'body: must be a JSON object' : undefined),
  })

const features = z
  .array(z.string('must be texts'), 'must be a list of texts')
  .max(16, 'must have at most 16 entries')
  .nullish()
  .describe('What this client can do beyond a call of two: hold, transfer, room.')

/** Those of them that this server knows, each once; undefined: nothing was said. */
export function featuresOf(said: readonly string[] | null | undefined): readonly Feature[] | undefined {
  return said == null ? undefined : FEATURES.filter((feature) => said.includes(feature))
}

const FEATURES: readonly Feature[] = ['hold', 'transfer', 'room']

/** `/app/call/request`. Unknown fields are carried to the callee as they are. */
export const CallRequest = message({
  callId,
  type: orElse(oneOf(['VIDEO', 'AUDIO']), 'VIDEO' as const),
  callee: userId.describe('The user to ring.'),
  callerUserName: notBlank(LONGEST_NAME).describe('Shown on the devices that ring.'),
  calleeUserName: notBlank(LONGEST_NAME).nullish(),
  timeout: z
    .int('must be a whole number of seconds from 5 to 120')
    .min(5, 'must be at least 5 seconds')
    .max(120, 'must be at most 120 seconds')
    .nullish()
    .describe('Seconds to ring; the server has a default (30).'),
  glare: oneOf(['accept'])
    .nullish()
    .describe('When the callee is calling the caller just now: answer that call instead.'),
  features,
}).refine((request) => isShallow(request, DEEPEST), `body: must not be nested deeper than ${DEEPEST} levels`)
export type CallRequest = z.output<typeof CallRequest>

/** `/app/call/response` */
export const CallResponse = message({
  callId,
  type: oneOf(['ACCEPT', 'REJECT']),
  reason: orElse(oneOf(['DECLINED', 'BUSY']), 'DECLINED' as const).describe(
    'With REJECT. BUSY ends the ringing on this device only.',
  ),
  features,
})
export type CallResponse = z.output<typeof CallResponse>

/** `/app/call/hangup`; an empty body means the user's current call. */
export const CallHangup = message({ callId: callId.nullish() })
export type CallHangup = z.output<typeof CallHangup>

/** `/app/call/ringing` */
export const CallRinging = message({ callId })
export type CallRinging = z.output<typeof CallRinging>

/** `/app/call/hold` */
export const CallHold = message({
  callId,
  hold: z.boolean({ error: (issue) => (issue.input === undefined ? 'is required' : 'must be true or false') }),
})
export type CallHold = z.output<typeof CallHold>

/** `/app/call/transfer` */
export const CallTransfer = message({
  callId,
  target: userId.describe('Who takes the call over.'),
  mode: orElse(oneOf(['BLIND', 'ATTENDED']), 'BLIND' as const),
  withCallId: callId.nullish().describe('With ATTENDED: your call with the target.'),
}).refine(({ mode, withCallId }) => (mode === 'ATTENDED') === (withCallId != null), {
  path: ['withCallId'],
  error: 'is required with mode ATTENDED, and with it alone',
})
export type CallTransfer = z.output<typeof CallTransfer>

/** `/app/call/invite` */
export const CallInvite = message({
  callId,
  invitees: z
    .array(userId, { error: ({ input }) => (input === undefined ? 'is required' : 'must be a list of users') })
    .min(1, 'must name somebody')
    .max(64, 'must have at most 64 entries'),
  names: z
    .record(userId, notBlank(LONGEST_NAME), 'must be an object of names by user')
    .refine((names) => Object.keys(names).length <= 65, 'must have at most 65 entries')
    .nullish()
    .describe('What those who are invited, and the one who invites, are called: shown to everybody in the call.'),
})
export type CallInvite = z.output<typeof CallInvite>

const Sdp = text(Number.MAX_SAFE_INTEGER).min(1, 'must not be empty').describe('SDP')

const IceCandidate = z.looseObject(
  {
    candidate: z.string('must be a string').describe('Empty: the end of the candidates.'),
    sdpMid: z.string('must be a string').nullish(),
    sdpMLineIndex: z.int('must be a whole number').nonnegative('must not be negative').nullish(),
  },
  {
    error: (issue) =>
      issue.input === undefined ? 'is required' : 'must be an object {candidate, sdpMid, sdpMLineIndex}',
  },
)

/** Clients that know no rooms may have a field of this name that means nothing here. */
const to = userId
  .nullish()
  .catch(undefined)
  .describe('In a room: the user whom it is for. Required while more than two are in it.')

/** `/app/rtc/signaling`. Only checked, never rewritten: the other side gets the very bytes. */
export const Signal = z.discriminatedUnion(
  'type',
  [
    message({ callId, type: z.literal('OFFER'), payload: Sdp, to }),
    message({ callId, type: z.literal('ANSWER'), payload: Sdp, to }),
    message({ callId, type: z.literal('ICE_CANDIDATE'), payload: IceCandidate, to }),
  ],
  {
    error: (issue) =>
      issue.code === 'invalid_union' ? 'must be one of OFFER, ANSWER, ICE_CANDIDATE' : 'body: must be a JSON object',
  },
)
export type Signal = z.output<typeof Signal>

/** MESSAGE on `/user/queue/call/room`, and part of what an invitation says. */
export const Roster = z.object({
  callId,
  type: z.enum(['VIDEO', 'AUDIO']),
  media: z.object({ kind: z.string() }).describe('What carries the media. `mesh`: everybody offers to everybody.'),
  members: z.array(
    z.object({
      userId,
      name: z.string().optional(),
      state: z.enum(['RINGING', 'JOINED', 'LEFT', 'DECLINED', 'MISSED', 'BUSY']),
      invitedBy: userId.optional(),
    }),
  ),
  by: userId.optional().describe('Whose doing the change is.'),
  version: z.int().describe('Grows with every change; an earlier one may come later.'),
})
