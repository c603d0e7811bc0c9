/**
 * Fetching an issuer's keys (JWKS, RFC 7517 section 5) so that an issuer that is away for a while locks nobody out:
 * the last good set stands in. Knows nothing of tokens; jose asks when its cache is too old or a key is missing.
 */

import type { FetchImplementation } from 'jose'
import type { Clock } from '../broker/index.ts'

/** The keys cannot be fetched, and none have been before. */
export class KeysUnreachable extends Error {
  override readonly name = 'KeysUnreachable'
}

/** After a failure with nothing to stand in, so long no new attempt is made: every login would wait for it. */
const PAUSE_MS = 2000
const LARGEST_SET = 256 * 1024

/** `warn` is told when fetching begins to fail and when it works again, not at every attempt. */
export function keepLastGood(options: { clock: Clock; warn: (message: string) => void }): FetchImplementation {
  let good: string | undefined
  let failedAt: number | undefined

  return async (url, request) => {
    if (good === undefined && failedAt !== undefined && options.clock.now() < failedAt + PAUSE_MS) {
      throw new KeysUnreachable('the issuer’s keys could not be fetched a moment ago')
    }
    try {
      const fresh = await fetchSet(url, request)
      if (failedAt !== undefined) options.warn('the keys at AUTH_JWKS_URL can be fetched again')
      failedAt = undefined
      good = fresh
    } catch (error) {
      if (failedAt === undefined) options.warn(complaint(error, good !== undefined))
      failedAt = options.clock.now()
      if (good === undefined) throw new KeysUnreachable('the issuer’s keys cannot be fetched', { cause: error })
    }
    return new Response(good, { headers: { 'content-type': 'application/json' } })
  }
}

function complaint(error: unknown, standIn: boolean): string {
  const why = error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : 'unknown'
  const then = standIn ? 'the last good keys are used' : 'nobody can log in until they are there'
  return `the keys at AUTH_JWKS_URL cannot be fetched (${why}); ${then}`
}

/** The text of a set with at least one key. */
async function fetchSet(url: string, request: Parameters<FetchImplementation>[1]): Promise<string> {
  const response = await fetch(url, request)
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`HTTP status ${response.status}`)
  }
  const text = await bounded(response)
  const set: unknown = JSON.parse(text)
  if (!isKeySet(set)) throw new Error('the answer is not a JSON Web Key Set with keys in it')
  return text
}

async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    // leaving the loop cancels the body
    if (size > LARGEST_SET) throw new Error('the answer is larger than 256 KiB')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function isKeySet(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('keys' in value) || !Array.isArray(value.keys)) return false
  return value.keys.length > 0 && value.keys.every((key) => typeof key === 'object' && key !== null)
}
