/**
 * The whole history as a stream, in CSV or JSON lines: as fast as its reader reads, and no longer than they do. What goes
 * wrong before the first line is an answer; later the connection is cut, so that half an export never looks like a whole one.
 */

import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { stringify } from 'csv-stringify'
import type { Request, Response } from 'express'
import { type Refusal, refuse } from '../src/errors.ts'
import { ExportQuery } from '../src/history/messages.ts'
import type { CallRecord } from '../src/history/types.ts'
import { Unavailable } from '../src/ports.ts'
import { parseQuery } from '../src/validation.ts'
import type { HttpServices } from './services.ts'

/** Each holds a place in the database. */
const MOST_AT_ONCE = 4

/** Milliseconds of each moment become ISO 8601; members JSON. */
const COLUMNS = [
  'callId',
  'type',
  'caller',
  'callerName',
  'callee',
  'calleeName',
  'status',
  'reason',
  'createdAt',
  'ringingAt',
  'connectedAt',
  'endedAt',
  'duration',
  'transferredBy',
  'members',
] as const

/** Of a request that may: what is answered instead of the stream; nothing, when the answer is given. */
export type Export = (request: Request, response: Response) => Promise<Refusal | undefined>

/** One for the whole app: it counts. */
export function historyExport({ history, log }: Pick<HttpServices, 'history' | 'log'>): Export {
  let running = 0

  return async (request, response) => {
    const parameters = new URLSearchParams(/\?(.*)/.exec(request.url)?.[1])
    const asked = parseQuery(ExportQuery, ['format', 'from', 'before'], (name) => parameters.get(name) ?? undefined)
    if (!asked.ok) return asked
    if (running >= MOST_AT_ONCE) {
      return refuse('tooMany', `${MOST_AT_ONCE} exports are under way; wait for one to end`, { retryAfter: 10 })
    }
    running++
    try {
      const { format, ...filter } = asked.data
      const portions = await history.export(filter)
      if (!portions.ok) return portions
      response.status(200).set({
        'Cache-Control': 'no-store',
        'Content-Type': format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
        'Content-Disposition': `attachment; filename="calls.${format}"`,
      })
      await (format === 'csv' ? asCsv(portions.data, response) : asLines(portions.data, response))
    } catch (error) {
      if (!(error instanceof Unavailable) && !isGone(error)) log.error({ err: error }, 'an export has met a bug')
      response.destroy()
    } finally {
      running--
    }
    return undefined
  }
}

async function asLines(portions: AsyncIterable<readonly CallRecord[]>, response: Response): Promise<void> {
  const texts = async function* () {
    for await (const portion of portions) yield portion.map((record) => `${JSON.stringify(told(record))}\n`).join('')
  }
  await pipeline(Readable.from(texts()), response)
  if (!response.closed) await once(response, 'close')
}

async function asCsv(portions: AsyncIterable<readonly CallRecord[]>, response: Response): Promise<void> {
  const rows = async function* () {
    for await (const portion of portions) yield* portion.map(rowOf)
  }
  // Some readers take any line break outside quotes for the end of a row
  const csv = stringify({ header: true, columns: [...COLUMNS], quoted_match: /[\r\n]/, record_delimiter: 'windows' })
  await pipeline(Readable.from(rows()), csv, response)
  if (!response.closed) await once(response, 'close')
}

function rowOf(record: CallRecord): Record<string, string> {
  const { members, ...rest } = told(record)
  const row: Record<string, string> = {}
  for (const [name, value] of Object.entries(rest)) row[name] = value === undefined ? '' : noFormula(String(value))
  return { ...row, ...(members && { members: JSON.stringify(members) }) }
}

/** A name is anybody's invention: a spreadsheet must not take it for a formula. Those in full width count in some. */
const noFormula = (text: string): string =>
  /^\s*[=+\-@\uFF0B\uFF0D\uFF1D\uFF20]|^[\t\r\n]/.test(text) ? `'${text}` : text

function told({ createdAt, ringingAt, connectedAt, endedAt, members, ...rest }: CallRecord) {
  return {
    ...rest,
    createdAt: iso(createdAt),
    ringingAt: iso(ringingAt),
    connectedAt: iso(connectedAt),
    endedAt: iso(endedAt),
    duration: connectedAt === undefined ? 0 : Math.max(0, Math.floor((endedAt - connectedAt) / 1000)),
    members: members?.map(({ joinedAt, leftAt, ...member }) => ({
      ...member,
      joinedAt: iso(joinedAt),
      leftAt: iso(leftAt),
    })),
  }
}

const iso = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString())

/** The reader has left. */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE' || code === 'ECONNRESET'
}
