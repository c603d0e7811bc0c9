/**
 * What can go wrong, as values with a `code`: a number is the server's (`docs/errors.md`), a word is the client's own.
 */

import type { ServerCode, ServerRefusal } from './wire.ts'

/** Faults that no server told us of. */
export type LocalCode =
  /** Not connected just now. */
  | 'offline'
  /** The connection broke before the server had answered. */
  | 'connection-lost'
  /** Connected, but no answer within the time. */
  | 'timeout'
  /** The token provider failed. */
  | 'no-token'
  /** Something that is not in the contract. */
  | 'bad-message'
  /** Camera and microphone: permission refused, none there, or in use by another program. */
  | 'media-refused'
  | 'media-missing'
  | 'media-in-use'
  /** The browsers found no way to each other, or did not understand each other. */
  | 'negotiation'
  /** Not possible in the state that the call is in. */
  | 'wrong-state'

export type ErrorCode = ServerCode | LocalCode | (number & {})

/** Every error of the client is one of these. */
export class CallError extends Error {
  readonly code: ErrorCode
  /** Further facts the server gave: `reason`, `activeCallId`, `status`, `destination`, … */
  readonly refusal: ServerRefusal | undefined

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; refusal?: ServerRefusal } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CallError'
    this.code = code
    this.refusal = options.refusal
  }

  static of(refusal: ServerRefusal): CallError {
    return new CallError(refusal.code, refusal.message, { refusal })
  }
}

/** The server does not take the token. The client has stopped trying; connect again with a better one. */
export class TokenRefusedError extends CallError {
  constructor(refusal: ServerRefusal) {
    super(refusal.code, refusal.message, { refusal })
    this.name = 'TokenRefusedError'
  }
}

export function asCallError(error: unknown, code: LocalCode): CallError {
  if (error instanceof CallError) return error
  return new CallError(code, error instanceof Error ? error.message : String(error), { cause: error })
}
