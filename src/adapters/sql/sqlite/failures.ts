/** What SQLite's errors mean for us: https://www.sqlite.org/rescode.html */

import type { Failure } from './messages.ts'

/** The message says what to do. */
export class NewerTables extends Error {}

export class NothingChanged extends Error {}

const BUSY = 5
const LOCKED = 6
const READ_ONLY = 8
const CORRUPT = 11
const FULL = 13
const CANNOT_OPEN = 14
const TOO_BIG = 18
const CONSTRAINT = 19
const MISMATCH = 20
const RANGE = 25
const NOT_A_DATABASE = 26

const REFUSED: ReadonlySet<number> = new Set([TOO_BIG, CONSTRAINT, MISMATCH, RANGE])

const HINTS: ReadonlyMap<number, string> = new Map([
  [BUSY, 'another process has it locked'],
  [LOCKED, 'another connection has it locked'],
  [READ_ONLY, 'this account may not write it, or its folder'],
  [FULL, 'the disk is full'],
  [CANNOT_OPEN, 'this account must be able to write the file and its folder'],
])

const UNFIT = 'it is corrupt, or no SQLite file: put a backup in its place, or name another file in DATABASE_URL'

export function failureOf(error: unknown): Failure {
  if (error instanceof NewerTables) return { kind: 'unfit', reason: error.message }
  if (error instanceof NothingChanged) return { kind: 'overtaken', reason: 'somebody else was first' }
  const { message, code, errcode } = error as Error & { code?: string; errcode?: number }
  // not every error carries its number
  if (/file is not a database|malformed/.test(message)) return { kind: 'unfit', reason: `${message}: ${UNFIT}` }
  // the low octet is the code proper, the others refine it
  const sqlite = errcode === undefined ? undefined : errcode & 0xff
  if (sqlite === CORRUPT || sqlite === NOT_A_DATABASE) return { kind: 'unfit', reason: `${message}: ${UNFIT}` }
  if ((sqlite !== undefined && REFUSED.has(sqlite)) || code?.startsWith('ERR_INVALID_ARG')) {
    return { kind: 'refused', reason: message }
  }
  const hint = sqlite === undefined ? undefined : HINTS.get(sqlite)
  const known = sqlite === undefined ? '' : ` (SQLite ${errcode})`
  return { kind: 'unavailable', reason: `${message}${known}${hint === undefined ? '' : `: ${hint}`}` }
}
