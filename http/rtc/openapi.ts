/** The part of the OpenAPI document that is about the rtc-service: its endpoints, in its envelope. */

import type { z } from 'zod'
import { CODES, type CodeName } from '../../src/errors.ts'
import { statusOf } from '../envelope.ts'
import { type Json, jsonContent, jsonSchema } from '../json-schema.ts'
import { RTC_ENDPOINTS, type RtcEndpoint } from './endpoints.ts'
import { ALWAYS } from './envelope.ts'
import { DONE } from './words.ts'

export const RTC_TAG = {
  name: 'rtc-service',
  description:
    'The same calls for back ends, in the envelope `{code, message, data}`. `message` is in the language of `Accept-Language` (en, zh). Users are numbers or texts. With a token of the service role a request may speak for any user.',
}

/** What the refusals of these endpoints look like. */
export const RTC_REFUSAL: Json = {
  type: 'object',
  required: ['code', 'message', 'data'],
  properties: {
    code: { type: 'integer', enum: Object.values(CODES).map(({ code }) => code) },
    message: { type: 'string', description: 'In the language of `Content-Language`.' },
    data: {
      description: 'Of codes above 1000: what belongs to them, as `callId`, `status`, `reason`, `activeCallId`.',
      anyOf: [{ type: 'null' }, { type: 'object' }],
    },
  },
}

export const rtcPaths = (): Json =>
  Object.fromEntries(
    RTC_ENDPOINTS.map((endpoint) => [
      endpoint.path.replace(/:(\w+)/g, '{$1}'),
      { [endpoint.method]: operation(endpoint) },
    ]),
  )

function operation(endpoint: RtcEndpoint): Json {
  const { name, path, summary, description, query = {}, headers = {}, body, example } = endpoint
  return {
    operationId: name,
    tags: [RTC_TAG.name],
    summary,
    ...(description !== undefined && { description }),
    parameters: [
      ...[...path.matchAll(/:(\w+)/g)].map(([, part]) => parameter('path', part ?? '')),
      ...Object.entries(query).map(([one, says]) => parameter('query', one, says)),
      ...Object.entries(headers).map(([one, says]) => parameter('header', one, says)),
      parameter('header', 'Accept-Language', 'Of `message`: en, or zh.'),
      ...(body ? [{ $ref: '#/components/parameters/session' }] : []),
    ],
    ...(body && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: jsonSchema(body), ...(example !== undefined && { example }) } },
      },
    }),
    responses: responses(endpoint),
  }
}

const parameter = (where: 'path' | 'query' | 'header', name: string, description?: string): Json => ({
  name,
  in: where,
  required: where === 'path',
  ...(description !== undefined && { description }),
  schema: { type: 'string' },
})

/** One response for each status; those that share status 200 are told apart by their code. */
function responses({ body, data, done, tagged, refusals }: RtcEndpoint): Json {
  const names: readonly CodeName[] = [...ALWAYS, ...(body ? (['tooLarge'] as const) : []), ...refusals]
  const entries = [...new Set(names)].map((name) => CODES[name])
  const outcomes = entries.filter(({ code }) => code >= 1000)
  const ok = okOf(data, DONE[done])
  return {
    200: {
      description: ['Done (code 200).', ...outcomes.map(({ code, meaning }) => `Code ${code}: ${meaning}`)].join(
        '\n\n',
      ),
      ...(tagged === true && {
        headers: { ETag: { description: '`version`, as an entity tag.', schema: { type: 'string' } } },
      }),
      content: jsonContent(outcomes.length > 0 ? { oneOf: [ok, only(outcomes.map(({ code }) => code))] } : ok),
    },
    ...(tagged === true && { 304: { description: 'Nothing has changed since `If-None-Match`.' } }),
    ...Object.fromEntries(
      entries
        .filter(({ code }) => code < 1000)
        .map(({ code, meaning, advice }) => [
          statusOf(code),
          {
            description: `${meaning} ${advice}`,
            ...((code === 429 || code === 503) && {
              headers: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
            }),
            content: jsonContent(only([code])),
          },
        ]),
    ),
  }
}

const okOf = (data: z.ZodType | undefined, messages: { readonly en: string; readonly zh: string }): Json => ({
  type: 'object',
  required: ['code', 'message', 'data'],
  properties: {
    code: { const: 200 },
    message: { enum: [...new Set([messages.en, messages.zh])] },
    data: data ? jsonSchema(data) : { type: 'null' },
  },
})

const only = (codes: readonly number[]): Json => ({
  allOf: [{ $ref: '#/components/schemas/RtcRefusal' }, { properties: { code: { enum: codes } } }],
})
