/**
 * What a back end is told (`POST WEBHOOK_URL`): one schema per event gives its type, its place in OpenAPI, and the check
 * of the examples in docs/webhooks.md. Times are milliseconds since the epoch.
 */

import { z } from 'zod'
import type { EndReason } from '../calls/types.ts'

const instant = (says: string) => z.int().describe(says)

/** In every event of a call. */
const call = {
  callId: z.string(),
  type: z.enum(['VIDEO', 'AUDIO']),
  caller: z.string().describe('User id.'),
  callee: z.string().describe('User id.'),
  callerUserName: z.string().optional().describe('As the request said.'),
  calleeUserName: z.string().optional().describe('As the request said.'),
  createdAt: instant('When the call was requested.'),
}

/** In an event of a room that concerns one member: `callee` is the member, `caller` who has invited them. */
const ofRoom = {
  room: z.literal(true).optional().describe('The callee is asked into a call of several.'),
  invitedAt: instant('When that was.').optional(),
}

const CallRing = z.object({
  ...call,
  ...ofRoom,
  ringUntil: instant('When it stops ringing by itself.'),
  remainingMs: z.int().nonnegative().describe('The same, counted from the moment this was sent.'),
  devices: z
    .array(z.string())
    .describe(
      'Sessions of the callee that are connected and ring, as this is sent. Empty: nothing rings; wake a phone.',
    ),
  away: z
    .array(z.string())
    .describe('Sessions that have lost their connection a moment ago: they hear of the call if they come back.'),
})

const CallAnswered = z.object({
  ...call,
  ...ofRoom,
  connectedAt: instant('When it was answered.'),
  device: z.string().optional().describe('The session that has answered; absent when that was done over HTTP.'),
})

const CANCELS = ['CANCELLED', 'CALLER_LOST', 'ADMIN'] as const satisfies readonly EndReason[]

const CallCancel = z.object({
  ...call,
  ...ofRoom,
  reason: z.enum([...CANCELS, 'DECLINED']).describe('DECLINED: of a room, by the member.'),
  endedAt: instant('When it was taken back.'),
})

const CallMissed = z.object({
  ...call,
  ...ofRoom,
  reason: z.enum(['NO_ANSWER', 'BUSY', ...CANCELS]),
  ringingAt: instant('When the first device rang; absent when none did.').optional(),
  endedAt: instant('When it stopped ringing, or was found busy.'),
})

const END_REASONS = [
  'HANGUP',
  'PEER_LOST',
  'REPLACED',
  'TRANSFERRED',
  'MAX_DURATION',
  'ADMIN',
  'NODE_FAILURE',
  'DECLINED',
  'BUSY',
  'NO_ANSWER',
  'CANCELLED',
  'CALLER_LOST',
  'GLARE',
] as const satisfies readonly EndReason[]

const CallEnded = z.object({
  ...call,
  status: z.enum(['COMPLETED', 'REJECTED', 'MISSED', 'CANCELLED']),
  reason: z.enum(END_REASONS),
  ringingAt: instant('When the first device rang; absent when none did.').optional(),
  connectedAt: instant('When it was answered; absent when it was not.').optional(),
  endedAt: instant('When it was over.'),
  members: z
    .array(
      z.object({
        userId: z.string(),
        name: z.string().optional(),
        state: z.enum(['LEFT', 'DECLINED', 'MISSED', 'BUSY']),
        joinedAt: instant('When they first joined; absent when they did not.').optional(),
        leftAt: instant('When they left, or stopped being asked.').optional(),
      }),
    )
    .optional()
    .describe('Of a room: everybody who was asked into it.'),
  durationS: z.int().nonnegative().describe('Whole seconds from the answer to the end; 0 without an answer.'),
})

const UserStatus = z.object({ userId: z.string() })

/** `data` of each event, by its `type`. */
export const HOOKS = {
  'call.ring': CallRing,
  'call.answered': CallAnswered,
  'call.cancel': CallCancel,
  'call.missed': CallMissed,
  'call.ended': CallEnded,
  'user.online': UserStatus,
  'user.offline': UserStatus,
} as const

export type HookType = keyof typeof HOOKS

export const HOOK_TYPES = Object.keys(HOOKS) as [HookType, ...HookType[]]

/** One sentence per event, for the documents. */
export const HOOK_SUMMARIES: Readonly<Record<HookType, string>> = {
  'call.ring': 'A call rings, or waits for a device of the callee to ring on: the moment to wake a phone.',
  'call.answered': 'The callee has answered.',
  'call.cancel': 'A call was taken back before it was answered: take the notification off the phone.',
  'call.missed': 'A call that the callee will see as missed.',
  'call.ended': 'A call is over: the last event of every call.',
  'user.online': 'The first session of a user is connected.',
  'user.offline': 'The last session of a user has gone, and has not come back in time.',
}

/** The body of a request. */
export const hookBody = (type: HookType) =>
  z.object({
    id: z.string().describe('The same at every attempt: whoever knows it already drops the repeat.'),
    type: z.literal(type),
    at: instant('When it happened.'),
    data: HOOKS[type],
  })
