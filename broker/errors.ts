/**
 * The broker's three fates of an error. Broken protocol: a {@link Violation}, which becomes an ERROR frame and the end
 * of the connection. A refusal: a value that is told on `/user/queue/errors`. Anything else is a bug: told as 500.
 */

import type { Expulsion, Refused } from './types.ts'

/** A frame that breaks STOMP, or a limit that the operator has set. */
export interface Violation {
  readonly cause: 'protocol' | 'limit' | 'slow-reader' | 'login-timeout'
  /** The `message` header of the ERROR: one line. */
  readonly message: string
  /** The body of the ERROR: what to do about it. */
  readonly explanation: string
  /** The receipt that the frame asked for: `receipt-id` of the ERROR. */
  readonly receipt?: string | undefined
}

export function broken(message: string, explanation: string, receipt?: string): Violation {
  return { cause: 'protocol', message, explanation, receipt }
}

export function exceeded(message: string, explanation: string, receipt?: string): Violation {
  return { cause: 'limit', message, explanation, receipt }
}

/**
 * WebSocket close codes (RFC 6455 section 7.4.1 and its registry) by cause.
 * 1012 asks clients to come back after a moment; 1008 and 1002 say that the same again will end the same.
 */
export const CLOSE_CODES: Readonly<Record<Expulsion, number>> = {
  protocol: 1002,
  limit: 1008,
  login: 1008,
  'login-timeout': 1008,
  credentials: 1008,
  'slow-reader': 1008,
  'heart-beat': 1002,
  shutdown: 1012,
  // Of the range for applications: whoever has this connection still open has the session no longer
  'resumed-elsewhere': 4001,
}

export const forbidden = (message: string): Refused => ({ code: 403, message })
export const notFound = (message: string): Refused => ({ code: 404, message })
export const internal = (): Refused => ({ code: 500, message: 'internal error; the server has logged the cause' })
/** `retryAfter` in whole seconds. */
export const tooMany = (message: string, retryAfter?: number): Refused =>
  retryAfter === undefined ? { code: 429, message } : { code: 429, message, retryAfter }
