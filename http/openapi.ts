/**
 * The OpenAPI 3.1 document of the HTTP face, made from the endpoints and their schemas: `/docs` shows it, and
 * `npm run docs` prints it into docs/openapi.json.
 */

import type { z } from 'zod'
import { Revoked, RevokeRequest } from '../src/credentials/messages.ts'
import { CODES, type CodeName } from '../src/errors.ts'
import { Erased } from '../src/history/messages.ts'
import { NodeList, SessionList } from '../src/reports.ts'
import { HOOK_SUMMARIES, HOOK_TYPES, type HookType, hookBody } from '../src/webhooks/messages.ts'
import { ENDPOINTS, type Endpoint } from './endpoints.ts'
import { statusOf } from './envelope.ts'
import { type Json, jsonContent as json, jsonSchema } from './json-schema.ts'
import { ERASE_PATH, EXPORT_PATH, NODES_PATH, REVOKE_PATH, SESSIONS_PATH } from './routes/admin.ts'
import { DEMO_PATH, DemoToken, DemoTokenQuery } from './routes/demo.ts'
import { RTC_REFUSAL, RTC_TAG, rtcPaths } from './rtc/openapi.ts'

export { jsonSchema } from './json-schema.ts'

/** `demo`: whether `POST /demo/token` exists. */
export function openApi({ demo, version }: { readonly demo: boolean; readonly version: string }): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Carillon: HTTP API',
      version,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'calls', description: 'What a client can also do over STOMP.' },
      RTC_TAG,
      { name: 'operations', description: 'For those who run the server.' },
      { name: 'webhooks', description: 'What a back end is told at WEBHOOK_URL.' },
      ...(demo ? [{ name: 'demo', description: 'Only while no key is configured.' }] : []),
    ],
    security: [{ ide: [] }, { bearer: [] }],
    paths: {
      ...Object.fromEntries(ENDPOINTS.map((endpoint) => [endpoint.path, { [endpoint.method]: operation(endpoint) }])),
      ...rtcPaths(),
      ...(demo ? { [DEMO_PATH]: { post: demoOperation } } : {}),
      [REVOKE_PATH]: { post: revokeOperation },
      [NODES_PATH]: { get: nodesOperation },
      [SESSIONS_PATH.replace(':user', '{user}')]: { get: sessionsOperation },
      [ERASE_PATH.replace(':user', '{user}')]: { delete: eraseOperation },
      [EXPORT_PATH]: { get: exportOperation },
      ...OPERATIONS,
    },
    webhooks: Object.fromEntries(HOOK_TYPES.map((type) => [type, { post: webhook(type) }])),
    components: {
      securitySchemes: {
        ide: { type: 'apiKey', in: 'header', name: 'ide', description: 'The token (a JWT).' },
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        adminKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Admin-Key',
          description: 'ADMIN_KEY of the server; or as `Authorization: Bearer`.',
        },
      },
      parameters: {
        ...WEBHOOK_HEADERS,
        session: {
          name: 'X-Session-Id',
          in: 'header',
          required: false,
          description:
            'The device that is meant: `session` of its CONNECTED frame. Without it: the one live session that connected with this very token; else the user as a whole.',
          schema: { type: 'string' },
        },
      },
      headers: {
        RetryAfter: { description: 'Seconds after which it makes sense to ask again.', schema: { type: 'integer' } },
      },
      schemas: { Refusal: REFUSAL, RtcRefusal: RTC_REFUSAL },
    },
  }
}

const DESCRIPTION = [
  'Calls over plain HTTP: the same commands as over STOMP, carried out by the same engine.',
  'Every answer is an envelope `{code, msg, data}`. A code below 1000 equals the HTTP status; a code above is an outcome of the business and comes with status 200.',
].join('\n\n')

const REFUSAL = {
  type: 'object',
  required: ['code', 'msg', 'data'],
  properties: {
    code: { type: 'integer', enum: Object.values(CODES).map(({ code }) => code) },
    msg: { type: 'string', description: 'For a person; names the field when a field is wrong.' },
    data: { type: 'null' },
    callId: { type: 'string' },
    reason: { type: 'string', description: 'With 1001: `BUSY` or `GLARE`.' },
    activeCallId: { type: 'string', description: 'With `GLARE`: the call that lives.' },
    status: { type: 'string', description: 'With 1005: how the call has ended.' },
    retryAfter: { type: 'integer', description: 'Seconds, as in `Retry-After`.' },
  },
}

/** Of every request that comes with a token or a key. */
const ALWAYS = ['unauthorized', 'forbidden', 'tooMany', 'internal', 'unavailable'] as const

function operation(endpoint: Endpoint): Json {
  const { name, summary, description, query = {}, body, data, refusals } = endpoint
  return {
    operationId: name,
    tags: ['calls'],
    summary,
    ...(description !== undefined && { description }),
    parameters: [
      { $ref: '#/components/parameters/session' },
      ...Object.entries(query).map(([parameter, says]) => ({
        name: parameter,
        in: 'query',
        required: false,
        description: says,
        schema: { type: 'string' },
      })),
    ],
    ...(body && { requestBody: requestBody(body, endpoint) }),
    responses: responses(data, [
      ...new Set<CodeName>([...ALWAYS, 'badRequest', ...(body ? (['tooLarge'] as const) : []), ...refusals]),
    ]),
  }
}

function requestBody(
  schema: z.ZodType,
  { mayBeEmpty = false, example }: Pick<Endpoint, 'mayBeEmpty' | 'example'>,
): Json {
  const content = { schema: jsonSchema(schema), ...(example !== undefined && { example }) }
  return { required: !mayBeEmpty, content: { 'application/json': content } }
}

/** One response for each status; those that share status 200 are told apart by their code. */
function responses(data: z.ZodType | undefined, refusals: readonly CodeName[]): Json {
  const entries = refusals.map((name) => CODES[name])
  const outcomes = entries.filter(({ code }) => code >= 1000)
  const ok = {
    type: 'object',
    required: ['code', 'msg', 'data'],
    properties: {
      code: { const: 200 },
      msg: { const: 'ok' },
      data: data ? jsonSchema(data) : { type: 'null' },
    },
  }
  return {
    200: {
      description: ['Done (code 200).', ...outcomes.map(({ code, meaning }) => `Code ${code}: ${meaning}`)].join(
        '\n\n',
      ),
      content: json(outcomes.length > 0 ? { oneOf: [ok, only(outcomes.map(({ code }) => code))] } : ok),
    },
    ...Object.fromEntries(
      entries
        .filter(({ code }) => code < 1000)
        .sort((a, b) => a.code - b.code)
        .map(({ code, meaning, advice }) => [
          statusOf(code),
          {
            description: `${meaning} ${advice}`,
            ...((code === 429 || code === 503) && {
              headers: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } },
            }),
            content: json(only([code])),
          },
        ]),
    ),
  }
}

const only = (codes: readonly number[]): Json => ({
  allOf: [{ $ref: '#/components/schemas/Refusal' }, { properties: { code: { enum: codes } } }],
})

const demoOperation: Json = {
  operationId: 'demoToken',
  tags: ['demo'],
  summary: 'A token for any name, good for 12 hours',
  security: [],
  requestBody: requestBody(DemoTokenQuery, { example: { userId: 'alice' } }),
  responses: responses(DemoToken, ['badRequest', 'forbidden', 'tooLarge', 'internal', 'unavailable']),
}

const revokeOperation: Json = {
  operationId: 'revokeSessions',
  tags: ['operations'],
  summary: 'Take credentials away: cut the sessions that live on them, end their calls, refuse the tokens from now on',
  description:
    'At least one of the three. After `userId` tokens that were issued until now (or do not say when) are refused, everywhere, until the user brings a newer one. Only where the server has an ADMIN_KEY.',
  security: [{ adminKey: [] }],
  requestBody: requestBody(RevokeRequest, { example: { userId: 'alice' } }),
  responses: responses(Revoked, [...ALWAYS, 'badRequest', 'tooLarge']),
}

/** What a back end gets at WEBHOOK_URL. */
function webhook(type: HookType): Json {
  return {
    operationId: `on ${type}`,
    tags: ['webhooks'],
    summary: HOOK_SUMMARIES[type],
    security: [],
    parameters: Object.keys(WEBHOOK_HEADERS).map((name) => ({ $ref: `#/components/parameters/${name}` })),
    requestBody: { required: true, content: json(jsonSchema(hookBody(type))) },
    responses: {
      '2XX': { description: 'Taken.' },
      410: { description: 'Not wanted: it is not sent again.' },
      default: { description: 'Not taken: it is sent again later, for a day.' },
    },
  }
}

const webhookHeader = (name: string, description: string): Json => ({
  name,
  in: 'header',
  required: true,
  description,
  schema: { type: 'string' },
})

const WEBHOOK_HEADERS = {
  webhookSignature: webhookHeader(
    'Carillon-Signature',
    '`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `<t>.<body>` with WEBHOOK_SECRET.',
  ),
  webhookEvent: webhookHeader('Carillon-Event', '`type` of the body.'),
  webhookDelivery: webhookHeader('Carillon-Delivery', '`id` of the body: the same at every attempt.'),
  webhookAttempt: webhookHeader('Carillon-Attempt', '1 at the first attempt.'),
}

const nodesOperation: Json = {
  operationId: 'nodes',
  tags: ['operations'],
  summary: 'The servers that act as one',
  description: 'A server on its own names itself alone. Only where the server has an ADMIN_KEY.',
  security: [{ adminKey: [] }],
  responses: responses(NodeList, ALWAYS),
}

const sessionsOperation: Json = {
  operationId: 'sessionsOfUser',
  tags: ['operations'],
  summary: 'The sessions of a user, to whichever server they are connected',
  description: 'The oldest first; none: the user is not connected. Only where the server has an ADMIN_KEY.',
  security: [{ adminKey: [] }],
  parameters: [{ name: 'user', in: 'path', required: true, schema: { type: 'string' } }],
  responses: responses(SessionList, ALWAYS),
}

const eraseOperation: Json = {
  operationId: 'eraseHistoryOfUser',
  tags: ['operations'],
  summary: 'Forget a user in the history of calls',
  description:
    'Their id and names are taken out of every call, which the other party keeps; calls that nobody is left in are deleted. Refused while something waits for the database. Only where the server has an ADMIN_KEY.',
  security: [{ adminKey: [] }],
  parameters: [{ name: 'user', in: 'path', required: true, schema: { type: 'string' } }],
  responses: responses(Erased, [...ALWAYS, 'badRequest', 'notFound']),
}

const exported = (name: string, description: string, schema: Json): Json => ({
  name,
  in: 'query',
  required: false,
  description,
  schema,
})

const exportOperation: Json = {
  operationId: 'exportHistory',
  tags: ['operations'],
  summary: 'The history of calls as a stream, the earliest end first',
  description:
    'It is whole when the connection has come to its end in order. In CSV a cell that a spreadsheet would take for a formula begins with an apostrophe. Only where the server has an ADMIN_KEY.',
  security: [{ adminKey: [] }],
  parameters: [
    exported('format', 'JSON lines, or CSV with a head.', { enum: ['jsonl', 'csv'], default: 'jsonl' }),
    exported('from', 'Calls that ended then or later: ISO 8601, or milliseconds since 1970.', { type: 'string' }),
    exported('before', 'Calls that ended before.', { type: 'string' }),
  ],
  responses: {
    ...responses(undefined, [...ALWAYS, 'badRequest', 'notFound']),
    200: {
      description: 'One call a line.',
      content: {
        'application/x-ndjson': { schema: { type: 'string' } },
        'text/csv': { schema: { type: 'string' } },
      },
    },
  },
}

const readiness = json({
  type: 'object',
  required: ['status', 'relay'],
  properties: {
    status: { enum: ['starting', 'ready', 'stopping'] },
    redis: {
      enum: ['up', 'down'],
      description: 'Of several servers that act as one: what they share. Down: no new traffic.',
    },
    history: {
      enum: ['up', 'down'],
      description: 'The database of the history, where there is one. Down: calls wait for it, and go on.',
    },
    relay: { enum: ['off', 'external', 'starting', 'up', 'down'], description: 'The relay that credentials name.' },
  },
})

const OPERATIONS: Json = {
  '/livez': {
    get: {
      operationId: 'livez',
      tags: ['operations'],
      summary: 'The process answers',
      security: [],
      responses: { 200: { description: 'It does.', content: json({ properties: { status: { const: 'live' } } }) } },
    },
  },
  '/readyz': {
    get: {
      operationId: 'readyz',
      tags: ['operations'],
      summary: 'The server takes traffic',
      security: [],
      responses: {
        200: { description: 'Send it traffic.', content: readiness },
        503: {
          description: 'It starts, stops, or cannot reach Redis: send it none; what it has stays.',
          content: readiness,
        },
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'metrics',
      tags: ['operations'],
      summary: 'Numbers for Prometheus',
      security: [],
      responses: { 200: { description: 'Text format.', content: { 'text/plain': { schema: { type: 'string' } } } } },
    },
  },
}
