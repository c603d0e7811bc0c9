/**
 * The one table of codes: what a client can be told, over HTTP (`code`, `msg`) and on `/user/queue/errors`
 * (`code`, `message`), and what it should do about it. `docs/errors.md` shows the same table; a test keeps them equal.
 *
 * Codes below 1000 equal the HTTP status; codes above are business outcomes and travel with HTTP status 200.
 */

export interface CodeEntry {
  readonly code: number
  readonly meaning: string
  /** What the client should do. */
  readonly advice: string
}

export const CODES = {
  badRequest: {
    code: 400,
    meaning: 'The message is malformed; `message` names the field.',
    advice: 'Correct the field that is named. Sending the same again gives the same answer.',
  },
  unauthorized: {
    code: 401,
    meaning: 'No token, or one that is expired, revoked, forged, or meant for somebody else.',
    advice: 'Get a new token and connect (or ask) again; on a connection that stands SEND it to `/app/auth/refresh`.',
  },
  forbidden: {
    code: 403,
    meaning: 'Known who you are, and you may not: another call, queue or topic than your own.',
    advice: 'Do not repeat. Check the callId or destination.',
  },
  notFound: {
    code: 404,
    meaning: 'No such destination, path or call (a call is remembered for 10 minutes after its end).',
    advice: 'Treat the call as over; check the spelling of the destination.',
  },
  tooLarge: {
    code: 413,
    meaning: 'The body is larger than the configured limit.',
    advice: 'Send less. Files and pictures do not belong into signalling.',
  },
  keyReused: {
    code: 422,
    meaning: 'The `Idempotency-Key` was used already, with another body (only `/api/v1/rtc`).',
    advice: 'Make a new random key for every call; repeat a request with the very body that it had.',
  },
  tooMany: {
    code: 429,
    meaning: 'Faster, or more at a time, than the limits allow.',
    advice: 'Wait as long as the message (over HTTP: `Retry-After`) says, then go on slower.',
  },
  internal: {
    code: 500,
    meaning: 'A fault of the server; it has logged the cause.',
    advice: 'Try once more after a moment, then tell the operator the time.',
  },
  unavailable: {
    code: 503,
    meaning: 'The server is starting, stopping, or lacks something that it needs.',
    advice: 'Connect again after the pause in `Retry-After`; calls in progress go on from device to device.',
  },
  busy: {
    code: 1001,
    meaning:
      'The callee is busy. `reason` is `BUSY`, or `GLARE` when both call each other; then `activeCallId` names the call that lives.',
    advice: 'Show "busy". On GLARE answer the call named by `activeCallId`, which rings here.',
  },
  callIdTaken: {
    code: 1002,
    meaning: 'The callId is already used, by somebody else or by a call that has ended.',
    advice: 'Make a new random callId (a UUID) for every call.',
  },
  unreachable: {
    code: 1003,
    meaning: 'No device of the callee is connected (only where the operator chose to fail fast).',
    advice: 'Show "not available"; leave a message instead.',
  },
  handledElsewhere: {
    code: 1004,
    meaning: 'Another device of this user handles the call.',
    advice: 'Close the call window on this device.',
  },
  alreadyOver: {
    code: 1005,
    meaning: 'The call has already ended; `status` says how.',
    advice: 'Close the call window.',
  },
  callerInCall: {
    code: 1006,
    meaning: 'The caller is already in a call.',
    advice: 'Hang up first, or show the call in progress.',
  },
  notSupported: {
    code: 1007,
    meaning: 'The client of the other side has not said that it can do this (`features`).',
    advice: 'Do not offer it in this call.',
  },
  notNow: {
    code: 1008,
    meaning: 'The call is not in a state that allows this; `status` says which it is in.',
    advice: 'Wait until it is connected, or until the transfer under way is decided.',
  },
  roomFull: {
    code: 1009,
    meaning: 'So many people cannot be in one call.',
    advice: 'Invite fewer, or wait until somebody leaves.',
  },
} as const satisfies Record<string, CodeEntry>

export type CodeName = keyof typeof CODES

/** Facts beside code and message that the contract names. */
export interface RefusalFacts {
  readonly callId?: string
  readonly reason?: string
  readonly activeCallId?: string
  readonly status?: string
  /** Seconds after which it makes sense to ask again; HTTP shows it as `Retry-After`. */
  readonly retryAfter?: number
}

/** A refusal is a value: something the client is told, in the words of the table. A bug is an exception. */
export interface Refusal extends RefusalFacts {
  readonly ok: false
  readonly code: number
  /** For a person; names the field when a field is wrong: `callerUserName: must not be blank`. */
  readonly message: string
}

export interface Accepted<T> {
  readonly ok: true
  readonly data: T
}

export type Outcome<T = undefined> = Accepted<T> | Refusal

export const accepted: Accepted<undefined> = { ok: true, data: undefined }

export function refuse(name: CodeName, message: string, facts: RefusalFacts = {}): Refusal {
  return { ok: false, code: CODES[name].code, message, ...facts }
}
