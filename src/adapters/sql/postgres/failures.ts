/** What PostgreSQL's errors mean for us: https://www.postgresql.org/docs/current/errcodes-appendix.html */

import { Unavailable } from '../../../ports.ts'
import { Overtaken, Refused, Unfit } from '../database.ts'

/** Data exception, violated integrity, a limit of the program: these rows, and not the moment. */
const REFUSED = /^(22|23|54)/

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/^ECONNREFUSED$|^ENOENT$/, 'nothing listens there'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, 'its name is not known'],
  [/^28/, 'it refuses this user or password'],
  [/^3D000$/, 'make the database first: createdb'],
  [/^42501$/, 'this user lacks a right'],
  [/^53100$/, 'its disk is full'],
  [/^53300$/, 'it has no connection to spare'],
  [/^25006$/, 'it is read-only, as a standby is'],
]

/** The error to be rejected with. PostgreSQL's own messages hold no password. */
export function errorFor(name: string, error: unknown): Error {
  if (error instanceof Unavailable || error instanceof Overtaken || error instanceof Unfit) return error
  const { code, message } = error as Error & { code?: string }
  if (code !== undefined && REFUSED.test(code)) return new Refused(`${name}: ${message} (${code})`)
  // of a host with several addresses the message is empty
  const said = message || code || 'cannot be reached'
  const hint = HINTS.find(([pattern]) => code !== undefined && pattern.test(code))?.[1]
  const known = code === undefined || said.includes(code) ? '' : ` (${code})`
  return new Unavailable(`${name}: ${said}${known}${hint === undefined ? '' : `: ${hint}`}`)
}
