/** Answers of the rtc-service: `{code, message, data}` and nothing beside them, in the language that the client likes. */

import type { RequestHandler, Response } from 'express'
import type { Accepted, CODES, Refusal } from '../../src/errors.ts'
import { type Wording, wordedBy } from '../envelope.ts'
import { DONE, type Done, LANGUAGE_TAGS, languageOf, refusedIn } from './words.ts'

/** A refusal may have data, as a busy callee's has: what became of the call. */
export type RtcOutcome = Accepted<unknown> | (Refusal & { readonly data?: object })

/** What stands in the `message` of an answer that is no refusal. */
export function markDone(response: Response, done: Done): void {
  response.locals.done = done
}

const inEnvelope: Wording = (response, outcome: RtcOutcome) => {
  const language = languageOf(response.req.get('accept-language'))
  response.set('Content-Language', LANGUAGE_TAGS[language])
  if (outcome.ok) {
    const done = (response.locals.done ?? 'success') as Done
    return { code: 200, message: DONE[done][language], data: outcome.data ?? null }
  }
  return { code: outcome.code, message: refusedIn(language, outcome), data: outcome.data ?? factsOf(outcome) }
}

/** Outcomes of the business have their facts; how long to wait says a header. */
function factsOf({ ok: _, code, message: _message, retryAfter: _retryAfter, ...facts }: Refusal): object | null {
  return code > 1000 && Object.keys(facts).length > 0 ? facts : null
}

/** All answers behind this are worded so, whoever gives them. */
export const rtcWording: RequestHandler = (_request, response, next) => {
  response.vary('Accept-Language')
  wordedBy(response, inEnvelope)
  next()
}

/** Where the rtc-service is. */
export const RTC_PATH = '/api/v1/rtc'

/** Refusals that any request may meet. */
export const ALWAYS = [
  'badRequest',
  'unauthorized',
  'forbidden',
  'tooMany',
  'internal',
  'unavailable',
] as const satisfies readonly (keyof typeof CODES)[]
