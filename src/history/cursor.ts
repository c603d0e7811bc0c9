/** Where the next page begins, as clients carry it: they take it for a word without a meaning. */

import type { Cursor } from './types.ts'

/** A callId has at most 100 characters, of at most 3 octets each in UTF-8. */
const LONGEST = 600

export function writeCursor({ endedAt, callId }: Cursor): string {
  return Buffer.from(JSON.stringify([endedAt, callId])).toString('base64url')
}

/** Undefined: this was not made here. A forged one names another place in the asker's own list, and nothing else. */
export function readCursor(text: string): Cursor | undefined {
  if (text.length > LONGEST || !/^[\w-]+$/.test(text)) return undefined
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(parsed) || parsed.length !== 2) return undefined
    const [endedAt, callId] = parsed as unknown[]
    if (!Number.isSafeInteger(endedAt) || typeof callId !== 'string' || callId.includes('\0')) return undefined
    return { endedAt: endedAt as number, callId }
  } catch {
    return undefined
  }
}
