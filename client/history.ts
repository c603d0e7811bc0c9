/** The calls of the past, asked for over HTTP beside the connection. Knows the envelope of the answers, and no live calls. */

import { asCallError, CallError } from './errors.ts'
import { CODE, type HistoryPage, type HistoryQuery } from './wire.ts'

export interface HistoryOptions {
  /** Where `/imserver` is, without a slash at the end. */
  readonly base: string
  readonly token: () => Promise<string>
  readonly fetch: typeof fetch
}

/** A page that does not come is not waited for longer. */
const PATIENCE_MS = 15_000

/** One page. Fails with the server's refusal, or with `offline` when it cannot be reached. */
export async function askHistory(options: HistoryOptions, query: HistoryQuery): Promise<HistoryPage> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
  const { status, code, msg, data } = await ask(options, `/call/history?${search}`)
  if (code !== 200 || !isPage(data)) {
    const refusal = { code: code ?? status, message: msg ?? `the server answered ${status}` }
    throw code === 200 ? new CallError('bad-message', 'a page of calls without calls') : CallError.of(refusal)
  }
  return data
}

interface Answer {
  readonly status: number
  readonly code?: number
  readonly msg?: string
  readonly data?: unknown
}

async function ask({ base, token, fetch }: HistoryOptions, path: string): Promise<Answer> {
  const ide = await token().catch((error: unknown) => {
    throw asCallError(error, 'no-token')
  })
  try {
    const answer = await fetch(base + path, { headers: { ide }, signal: AbortSignal.timeout(PATIENCE_MS) })
    // Behind a proxy an error may be a page of HTML
    const body = (await answer.json().catch(() => ({}))) as Omit<Answer, 'status'> | null
    return { code: answer.ok ? CODE.internal : answer.status, ...body, status: answer.status }
  } catch (error) {
    throw new CallError('offline', 'the server could not be asked for calls of the past', { cause: error })
  }
}

const isPage = (data: unknown): data is HistoryPage =>
  typeof data === 'object' && data !== null && Array.isArray((data as { records?: unknown }).records)

/** `/imserver` of the address that one connects to, `…/imserver/ws`. */
export function httpBase(socketUrl: string): string {
  const url = new URL(socketUrl)
  url.protocol = url.protocol.replace(/^ws/, 'http')
  return url.origin + url.pathname.replace(/\/ws\/?(websocket)?$/, '')
}
