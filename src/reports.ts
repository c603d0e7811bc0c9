/** What operators are told of the servers and of who is connected to them: schemas, types, places in the document. */

import { z } from 'zod'

const moment = z.int().describe('Milliseconds since the Unix epoch.')

/** One of the processes that act as one server. */
export const NodeReport = z.object({
  id: z.string().describe('Made anew at each start.'),
  name: z.string().describe('NODE_NAME, or the name of its machine.'),
  version: z.string(),
  startedAt: moment,
  self: z.boolean().describe('It is the one that answers.'),
  sessions: z.int().nonnegative().describe('Connected STOMP sessions, a moment ago.'),
  away: z.int().nonnegative().describe('Sessions that have lost their connection and may resume.'),
  users: z.int().nonnegative(),
})
export type NodeReport = z.output<typeof NodeReport>

export const NodeList = z.object({ nodes: z.array(NodeReport) })

/** A session of a user, wherever it is. Nothing in it lets anybody in. */
export const SessionReport = z.object({
  sessionId: z.string().describe('`session` in CONNECTED; what `revoke` takes.'),
  node: z
    .string()
    .describe('Id of the server that holds it; `-`: that one has stopped, and its client may resume elsewhere.'),
  connectedAt: moment,
  rings: z.boolean().describe('It subscribes to `/user/queue/call/request`.'),
  away: z.boolean().describe('It has lost its connection and may resume.'),
})
export type SessionReport = z.output<typeof SessionReport>

export const SessionList = z.object({ sessions: z.array(SessionReport) })
