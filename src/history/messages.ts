/** What clients ask of the history and are told of it: one schema gives the type, the check, and the place in the documents. */

import { z } from 'zod'
import { callId, userId } from '../calls/messages.ts'
import { readCursor } from './cursor.ts'

export const LARGEST_PAGE = 100
const PAGE = 20

/** By number nobody goes deeper: the database would count through everything before. A cursor goes on for ever. */
const DEEPEST = 10_000

const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/
const LONGEST_INSTANT = 40
const A_MOMENT = 'must be a time: ISO 8601 with its offset, or milliseconds since 1970'

/** A moment in milliseconds since the epoch; undefined: it is none. */
function momentOf(given: string | number): number | undefined {
  if (typeof given === 'number' || /^\d{1,15}$/.test(given)) {
    const ms = Number(given)
    return Number.isSafeInteger(ms) && ms >= 0 ? ms : undefined
  }
  // In the query of an address a plus that nobody has encoded is a blank
  const text = given.length > LONGEST_INSTANT ? '' : given.replace(/ (?=\d\d:\d\d$)/, '+')
  const ms = ISO.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

const moment = z
  .union([z.string(), z.number()], A_MOMENT)
  .refine((given) => momentOf(given) !== undefined, A_MOMENT)
  .transform((given) => momentOf(given) ?? 0)

const number = (from: number, to: number) => {
  const complaint = `must be a whole number from ${from} to ${to}`
  return z
    .string()
    .regex(/^\d{1,9}$/, complaint)
    .transform(Number)
    .refine((value) => value >= from && value <= to, complaint)
}

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `must be one of ${values.join(', ')}`)

const place = z.string().transform((text, { addIssue }) => {
  const cursor = readCursor(text)
  if (cursor) return cursor
  addIssue('must be `next` of an earlier answer')
  return z.NEVER
})

/** The query of `GET /imserver/call/history`: all of it texts. */
export const HistoryQuery = z
  .object({
    size: number(1, LARGEST_PAGE).exactOptional(),
    page: number(1, DEEPEST).exactOptional(),
    cursor: place.exactOptional(),
    only: oneOf(['missed', 'incoming', 'outgoing']).exactOptional(),
    type: oneOf(['VIDEO', 'AUDIO']).exactOptional(),
    from: moment.exactOptional(),
    before: moment.exactOptional(),
  })
  .transform(({ size = PAGE, ...rest }) => ({ ...rest, size }))
  .refine(({ cursor, page }) => cursor === undefined || page === undefined, {
    path: ['page'],
    error: 'cannot stand beside cursor',
  })
  .refine(({ page = 1, size }) => (page - 1) * size < DEEPEST, {
    path: ['page'],
    error: `must not lead further than ${DEEPEST} calls; go on with cursor`,
  })
export type HistoryQuery = z.output<typeof HistoryQuery>

/** The query of the export. */
export const ExportQuery = z.object({
  format: oneOf(['csv', 'jsonl']).default('jsonl'),
  from: moment.exactOptional(),
  before: moment.exactOptional(),
})
export type ExportQuery = z.output<typeof ExportQuery>

/** `/app/call/history/read`; an empty body means all. */
export const HistoryRead = z.looseObject(
  { until: moment.nullish().describe('Missed calls that ended until then are read: ISO 8601 or milliseconds. Now.') },
  { error: (issue) => (issue.code === 'invalid_type' ? 'body: must be a JSON object' : undefined) },
)
export type HistoryRead = z.output<typeof HistoryRead>

const time = z.iso.datetime().describe('ISO 8601, UTC.')

const Person = z.object({ userId, name: z.string().optional() })

/** One call as its reader sees it. */
export const SeenRecord = z.object({
  callId,
  type: z.enum(['VIDEO', 'AUDIO']),
  direction: z.enum(['incoming', 'outgoing']),
  peer: Person.optional().describe('The other party; of a room who has brought the user in. Absent: forgotten.'),
  status: z.enum(['COMPLETED', 'REJECTED', 'MISSED', 'CANCELLED']),
  reason: z.string().describe('Why it ended, of the whole call.'),
  seenAs: z
    .enum(['answered', 'missed', 'declined', 'cancelled', 'busy', 'unanswered'])
    .describe('What it was for this user.'),
  createdAt: time,
  connectedAt: time.optional(),
  endedAt: time,
  duration: z
    .int()
    .nonnegative()
    .describe('Whole seconds from connected to ended, of a member of a room from joined to left.'),
  transferredBy: userId.optional(),
  members: z
    .array(
      Person.extend({
        state: z.enum(['LEFT', 'DECLINED', 'MISSED', 'BUSY']),
        joinedAt: time.optional(),
        leftAt: time,
      }),
    )
    .optional()
    .describe('Of a room: everybody who was asked into it.'),
})
export type SeenRecord = z.output<typeof SeenRecord>

/** `data` of `GET /imserver/call/history`. */
export const HistoryPage = z.object({
  records: z.array(SeenRecord).describe('The latest end first.'),
  next: z.string().optional().describe('`cursor` of the next page; absent: there is none.'),
  total: z.int().nonnegative().optional().describe('With `page`: how many calls there are; 100000 for more than that.'),
  unreadMissed: z.int().nonnegative().describe('Missed calls since the user has last marked them as read; up to 1000.'),
})
export type HistoryPage = z.output<typeof HistoryPage>

/** `data` of `POST /imserver/call/history/read`. */
export const Unread = z.object({ unreadMissed: z.int().nonnegative() })
export type Unread = z.output<typeof Unread>

/** `/user/queue/call/missed` */
export const MissedCalls = z.object({
  unread: z.int().nonnegative().describe('How many missed calls the user has not seen yet; up to 1000.'),
  calls: z
    .array(SeenRecord)
    .describe('The latest 20 of them; the one that has just been missed; none: they were read.'),
})
export type MissedCalls = z.output<typeof MissedCalls>

/** `data` of the erasure. */
export const Erased = z.object({ calls: z.int().nonnegative().describe('In how many calls the user was.') })
export type Erased = z.output<typeof Erased>
