/** Outcomes as HTTP answers (contract, section 2): `{code, msg, data}`, and the status that belongs to the code. */

import type { Response } from 'express'
import { CODES, type Outcome, type Refusal } from '../src/errors.ts'

/** What the envelope is on the wire; a refusal's facts (`reason`, `callId`, …) stand beside it. */
export interface Envelope {
  readonly code: number
  readonly msg: string
  readonly data: unknown
  readonly [fact: string]: unknown
}

/** How a face words its answers. It may set headers that belong to them. */
export type Wording = (response: Response, outcome: Outcome<unknown>) => object

/** Whoever answers this request, guards and faults too, words it so. */
export function wordedBy(response: Response, wording: Wording): void {
  response.locals.wording = wording
}

function bodyOf(response: Response, outcome: Outcome<unknown>): object {
  const wording = response.locals.wording as Wording | undefined
  return wording === undefined ? envelopeOf(outcome) : wording(response, outcome)
}

export function envelopeOf(outcome: Outcome<unknown>): Envelope {
  if (outcome.ok) return { code: 200, msg: 'ok', data: outcome.data ?? null }
  const { ok: _, code, message, ...facts } = outcome
  return { code, msg: message, data: null, ...facts }
}

/** Codes of HTTP are its status; an outcome of the business is told with status 200. */
export const statusOf = (code: number): number => (code < 1000 ? code : 200)

export function send(response: Response, outcome: Outcome<unknown>): void {
  // credentials and presence are nobody else's, and old a moment later
  response.set('Cache-Control', 'no-store')
  if (!outcome.ok) explainInHeaders(response, outcome)
  response.status(outcome.ok ? 200 : statusOf(outcome.code)).json(bodyOf(response, outcome))
}

function explainInHeaders(response: Response, refusal: Refusal): void {
  if (refusal.retryAfter !== undefined) response.set('Retry-After', String(refusal.retryAfter))
  // RFC 9110 section 11.6.1, RFC 6750 section 3
  if (refusal.code === CODES.unauthorized.code) response.set('WWW-Authenticate', 'Bearer realm="carillon"')
}
