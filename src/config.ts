/**
 * Environment → typed configuration, once, at the start. Knows how the variables depend on each other; their forms
 * and defaults are in variables.ts. Everything wrong is told in one message.
 */

import type { BrokerLimits, Rate, ResumeOptions } from '../broker/index.ts'
import { type AuthKey, readPublicKey } from './auth.ts'
import type { CallTimers } from './calls/types.ts'
import { type HistoryConfig, historyOf } from './history-config.ts'
import { type Machine, thisMachine } from './machine.ts'
import { type RedisConfig, redisOf } from './redis-config.ts'
import { isLoopback, type TurnConfig, turnOf } from './turn-config.ts'
import {
  type Complaint,
  type Notes,
  readVariables,
  type Settings,
  strangers,
  VARIABLES,
  type VariableName,
} from './variables.ts'
import type { HookType } from './webhooks/messages.ts'

export type { Machine } from './machine.ts'

export interface Config {
  /** No key is configured: a secret made for this run, 127.0.0.1 only, `POST /demo/token`. */
  readonly demo: boolean
  readonly http: {
    readonly host: string
    /** 0: any free port. */
    readonly port: number
    /** Addresses and ranges of reverse proxies. */
    readonly trustedProxies: readonly string[]
    /** As http/origin.ts reads them. */
    readonly allowedOrigins: readonly string[]
    readonly bodyBytes: number
    readonly userRate: Rate
    /** Of a back end. */
    readonly serviceRate: Rate
    /** Unset: what is guarded by it is switched off. */
    readonly adminKey?: string
  }
  /** Refused logins of one address, over all faces, that are answered at once. */
  readonly failedConnects: Rate
  readonly auth: {
    readonly key: AuthKey
    readonly issuers: readonly string[]
    readonly audiences: readonly string[]
    readonly userClaim: string
    readonly services: { readonly claims: readonly string[]; readonly role: string }
  }
  /** Tokens of connected sessions. */
  readonly tokens: {
    readonly warningMs: number
    readonly graceMs: number
    readonly callGraceMs: number
    readonly revocationMemoryMs: number
  }
  readonly calls: {
    readonly ringMs: number
    /** A callee without any device: the call waits for one, or is refused (1003). */
    readonly offline: 'wait' | 'fail'
    /** A user who is in a call is shown a second one. */
    readonly callWaiting: boolean
    /** People in one room at most. */
    readonly groupMeshMax: number
    readonly timers: CallTimers
  }
  readonly turn: TurnConfig
  readonly presence: { readonly scope: 'all' | 'watched'; readonly batchMs: number; readonly offlineMs: number }
  /** Undefined: nobody is told. */
  readonly webhooks?: { readonly url: string; readonly secret: string; readonly events: readonly HookType[] }
  /** Undefined: no history is kept. */
  readonly history?: HistoryConfig
  readonly broker: {
    readonly limits: BrokerLimits
    readonly heartbeat: { readonly sends: number; readonly wants: number }
    /** Patterns of OPEN_DESTINATIONS. */
    readonly open: readonly string[]
    readonly sockJs: { readonly webSocket: boolean; readonly cookie: boolean; readonly responseBytes: number }
    /** Undefined: sessions end with their connection. */
    readonly resume?: ResumeOptions | undefined
  }
  /** Through which several servers act as one; absent: one server on its own. */
  readonly redis?: RedisConfig
  /** What this server is called among the others. */
  readonly nodeName: string
  readonly log: { readonly level: Settings['LOG_LEVEL']; readonly production: boolean }
  /** For the operator: not wrong, but worth a look. Logged at the start. */
  readonly warnings: readonly string[]
}

/** The start is not possible; the message names every wrong variable, what is wrong, and an example. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly complaints: readonly Complaint[]

  constructor(complaints: readonly Complaint[]) {
    super(`The configuration is wrong:\n${complaints.map((one) => `  ${lineOf(one)}`).join('\n')}`)
    this.complaints = complaints
  }
}

function lineOf({ name, wrong, example = VARIABLES[name].example }: Complaint): string {
  return `${name}: ${wrong} (for example ${name}=${example})`
}

type Env = Readonly<Record<string, string | undefined>>

/** Reads the whole configuration. Throws a {@link ConfigError} when anything is wrong. */
export function readConfig(env: Env, machine: Machine = thisMachine): Config {
  const { settings: read, complaints } = readVariables(env)
  const settings = withRoomForFrames(read, env)
  const warnings = strangers(env)
  const notes = {
    wrong: (name: VariableName, wrong: string, example?: string) =>
      void complaints.push({ name, wrong, ...(example !== undefined && { example }) }),
    warn: (text: string) => void warnings.push(text),
  }
  const malformed = new Set(complaints.map(({ name }) => name))
  const demo = !KEYS.some((name) => settings[name] !== undefined || malformed.has(name))
  const auth = authOf(settings, demo, machine, notes)
  const host = hostOf(settings, demo, notes)
  const turn = turnOf(settings, { demo, host }, machine, notes)
  const redis = redisOf(settings, demo, notes)
  const webhooks = webhooksOf(settings, malformed, notes)
  const history = historyOf(settings, notes)
  checkLimits(settings, malformed, notes)
  if (settings.ADMIN_KEY !== undefined && settings.ADMIN_KEY.length < ADMIN_KEY_CHARACTERS) {
    notes.wrong('ADMIN_KEY', `must have ${ADMIN_KEY_CHARACTERS} or more characters: whoever has it can cut anybody`)
  }
  if (complaints.length > 0) throw new ConfigError(complaints)

  return {
    demo,
    http: {
      host,
      port: settings.PORT,
      trustedProxies: settings.TRUSTED_PROXIES,
      allowedOrigins: settings.ALLOWED_ORIGINS,
      bodyBytes: settings.LIMIT_HTTP_BODY_BYTES,
      userRate: { perSecond: settings.LIMIT_HTTP_RATE, burst: settings.LIMIT_HTTP_BURST },
      serviceRate: { perSecond: settings.LIMIT_SERVICE_RATE, burst: settings.LIMIT_SERVICE_BURST },
      ...(settings.ADMIN_KEY !== undefined && { adminKey: settings.ADMIN_KEY }),
    },
    failedConnects: { perSecond: settings.LIMIT_FAILED_CONNECT_RATE, burst: settings.LIMIT_FAILED_CONNECT_BURST },
    auth,
    tokens: {
      warningMs: settings.TOKEN_WARNING_S * 1000,
      graceMs: settings.TOKEN_GRACE_S * 1000,
      callGraceMs: settings.TOKEN_CALL_GRACE_S * 1000,
      revocationMemoryMs: settings.REVOCATION_MEMORY_S * 1000,
    },
    calls: {
      ringMs: settings.RING_TIMEOUT_MS,
      offline: settings.OFFLINE_CALLEE,
      callWaiting: settings.CALL_WAITING,
      groupMeshMax: settings.GROUP_MESH_MAX,
      timers: {
        callerGraceMs: settings.CALLER_GRACE_MS,
        graceMs: settings.CALL_GRACE_MS,
        httpLegMs: settings.HTTP_LEG_TIMEOUT_MS,
        longestCallMs: settings.LONGEST_CALL_MS,
        tombstoneMs: settings.CALL_TOMBSTONE_MS,
        lateSignalMs: settings.LATE_SIGNAL_MS,
      },
    },
    turn,
    presence: {
      scope: settings.PRESENCE_SCOPE,
      batchMs: settings.PRESENCE_BATCH_MS,
      offlineMs: settings.PRESENCE_OFFLINE_DELAY_MS,
    },
    ...(webhooks && { webhooks }),
    ...(history && { history }),
    broker: {
      limits: limitsOf(settings),
      heartbeat: { sends: settings.HEARTBEAT_SEND_MS, wants: settings.HEARTBEAT_WANT_MS },
      open: settings.OPEN_DESTINATIONS,
      sockJs: {
        webSocket: settings.SOCKJS_WEBSOCKET,
        cookie: settings.SOCKJS_COOKIE,
        responseBytes: settings.SOCKJS_RESPONSE_BYTES,
      },
      ...(settings.RESUME_GRACE_S > 0 && { resume: resumeOf(settings) }),
    },
    ...(redis !== undefined && { redis }),
    nodeName: settings.NODE_NAME ?? machine.name(),
    log: { level: settings.LOG_LEVEL, production: settings.NODE_ENV === 'production' },
    warnings,
  }
}

const KEYS = ['AUTH_JWT_SECRET', 'AUTH_PUBLIC_KEY', 'AUTH_JWKS_URL'] as const

const ADMIN_KEY_CHARACTERS = 32

/** RFC 7518 section 3.2: a key of the size of the hash output or larger. */
const HS256_KEY_BYTES = 32

function authOf(settings: Settings, demo: boolean, machine: Machine, notes: Notes): Config['auth'] {
  const given = KEYS.filter((name) => settings[name] !== undefined)
  for (const name of given.slice(1)) notes.wrong(name, `cannot stand beside ${given[0]}: set one of the two`)
  if (demo && settings.NODE_ENV === 'production') {
    notes.wrong(
      'AUTH_JWT_SECRET',
      'no key is configured, and with NODE_ENV=production there is no demo mode: set AUTH_JWT_SECRET, AUTH_PUBLIC_KEY or AUTH_JWKS_URL',
    )
  }
  const key = keyOf(settings, machine, notes)
  const services = { claims: settings.AUTH_ROLE_CLAIM, role: settings.AUTH_SERVICE_ROLE }
  if (demo) {
    if (settings.AUTH_ISSUER.length + settings.AUTH_AUDIENCE.length > 0 || settings.AUTH_USER_CLAIM !== 'sub') {
      notes.warn('AUTH_ISSUER, AUTH_AUDIENCE and AUTH_USER_CLAIM have no effect in demo mode, without a key')
    }
    return { key, issuers: [], audiences: [], userClaim: 'sub', services: { ...services, claims: ['role'] } }
  }
  return {
    key,
    issuers: settings.AUTH_ISSUER,
    audiences: settings.AUTH_AUDIENCE,
    userClaim: settings.AUTH_USER_CLAIM,
    services,
  }
}

function keyOf(settings: Settings, machine: Machine, notes: Notes): AuthKey {
  const { AUTH_JWT_SECRET: secret, AUTH_PUBLIC_KEY: pem, AUTH_JWKS_URL: url } = settings
  if (pem !== undefined) {
    try {
      return readPublicKey(pemOf(pem, machine))
    } catch (error) {
      notes.wrong('AUTH_PUBLIC_KEY', (error as Error).message)
    }
  }
  if (url !== undefined) {
    if (url.startsWith('http:') && !isLoopback(new URL(url).hostname)) {
      notes.warn('AUTH_JWKS_URL is fetched without TLS: whoever is on the way can put in keys of his own')
    }
    return { kind: 'jwks', url }
  }
  if (secret !== undefined && Buffer.byteLength(secret) < HS256_KEY_BYTES) {
    notes.warn(
      `AUTH_JWT_SECRET has less than ${HS256_KEY_BYTES} bytes (RFC 7518 section 3.2): it can be guessed offline`,
    )
  }
  return { kind: 'secret', secret: secret ?? machine.secret() }
}

/** A variable cannot hold line ends everywhere: `\n` stands for them, or the variable names a file. */
function pemOf(text: string, machine: Machine): string {
  if (text.includes('-----BEGIN')) return text.replaceAll('\\r', '').replaceAll('\\n', '\n')
  const path = text.replace(/^file:(\/\/(?=\/))?/, '')
  try {
    return machine.readFile(path)
  } catch (error) {
    throw new Error(`is neither a key in PEM nor a file that can be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function hostOf(settings: Settings, demo: boolean, notes: Notes): string {
  if (!demo) return settings.HOST ?? '0.0.0.0'
  if (settings.HOST !== undefined && settings.HOST !== '127.0.0.1' && settings.HOST !== 'localhost') {
    notes.wrong(
      'HOST',
      'in demo mode (no AUTH_… key is set) anybody gets a token, so the server listens on 127.0.0.1 only: leave HOST out, or configure a key',
      '127.0.0.1',
    )
  }
  return '127.0.0.1'
}

const WEBHOOK_SECRET_CHARACTERS = 16

function webhooksOf(settings: Settings, malformed: ReadonlySet<VariableName>, notes: Notes): Config['webhooks'] {
  const { WEBHOOK_URL: url, WEBHOOK_SECRET: secret, WEBHOOK_EVENTS: events } = settings
  if (url === undefined) {
    if (secret !== undefined && !malformed.has('WEBHOOK_URL'))
      notes.warn('WEBHOOK_SECRET has no effect without WEBHOOK_URL')
    return undefined
  }
  if (secret === undefined || secret.length < WEBHOOK_SECRET_CHARACTERS) {
    notes.wrong('WEBHOOK_SECRET', `must have ${WEBHOOK_SECRET_CHARACTERS} or more characters with WEBHOOK_URL`)
    return undefined
  }
  if (url.startsWith('http:') && !isLoopback(new URL(url).hostname)) {
    notes.warn('WEBHOOK_URL is reached without TLS: whoever is on the way can read who calls whom')
  }
  return { url, secret, events }
}

/** Who raises the largest frame alone means that the queues it goes through hold one as well. */
function withRoomForFrames(settings: Settings, env: Env): Settings {
  const raised = { ...settings }
  for (const name of ['LIMIT_QUEUED_BYTES', 'LIMIT_BUFFERED_BYTES', 'LIMIT_QUEUE_BYTES'] as const) {
    if (!env[name]?.trim()) raised[name] = Math.max(settings[name], settings.LIMIT_FRAME_BYTES)
  }
  return raised
}

/** Bounds that must fit into others. A malformed variable gets no second complaint. */
function checkLimits(settings: Settings, malformed: ReadonlySet<VariableName>, notes: Notes): void {
  const fits = [
    ['LIMIT_FRAME_BYTES_BEFORE_LOGIN', 'LIMIT_FRAME_BYTES'],
    ['LIMIT_FRAME_BYTES', 'LIMIT_QUEUED_BYTES'],
    ['LIMIT_FRAME_BYTES', 'LIMIT_BUFFERED_BYTES'],
    ['LIMIT_FRAME_BYTES', 'LIMIT_QUEUE_BYTES'],
    ['LIMIT_SESSION_RATE', 'LIMIT_SESSION_BURST'],
    ['LIMIT_USER_RATE', 'LIMIT_USER_BURST'],
    ['LIMIT_SUBSCRIBE_RATE', 'LIMIT_SUBSCRIBE_BURST'],
    ['LIMIT_OPEN_RATE', 'LIMIT_OPEN_BURST'],
    ['LIMIT_HTTP_RATE', 'LIMIT_HTTP_BURST'],
    ['LIMIT_SERVICE_RATE', 'LIMIT_SERVICE_BURST'],
    ['TURN_MIN_PORT', 'TURN_MAX_PORT'],
  ] as const
  for (const [small, large] of fits) {
    if (malformed.has(small) || malformed.has(large)) continue
    if (settings[small] > settings[large]) {
      notes.wrong(large, `must not be less than ${small}`, String(settings[small]))
    }
  }
}

function resumeOf(settings: Settings): ResumeOptions {
  return {
    graceMs: settings.RESUME_GRACE_S * 1000,
    sessionBytes: settings.LIMIT_RESUME_BYTES,
    allBytes: settings.LIMIT_RESUME_ALL_BYTES,
    awayPerUser: settings.LIMIT_AWAY_SESSIONS_PER_USER,
    away: settings.LIMIT_AWAY_SESSIONS,
  }
}

function limitsOf(settings: Settings): BrokerLimits {
  return {
    frameBytes: settings.LIMIT_FRAME_BYTES,
    frameBytesBeforeLogin: settings.LIMIT_FRAME_BYTES_BEFORE_LOGIN,
    headers: settings.LIMIT_HEADERS,
    headerBytes: settings.LIMIT_HEADER_BYTES,
    subscriptionsPerSession: settings.LIMIT_SUBSCRIPTIONS_PER_SESSION,
    sessionsPerUser: settings.LIMIT_SESSIONS_PER_USER,
    connections: settings.LIMIT_CONNECTIONS,
    connectionsPerAddress: settings.LIMIT_CONNECTIONS_PER_ADDRESS,
    connectTimeoutMs: settings.LIMIT_CONNECT_TIMEOUT_MS,
    queuedBytes: settings.LIMIT_QUEUED_BYTES,
    bufferedBytes: settings.LIMIT_BUFFERED_BYTES,
    bufferedMs: settings.LIMIT_BUFFERED_MS,
    transactions: settings.LIMIT_TRANSACTIONS,
    transactionFrames: settings.LIMIT_TRANSACTION_FRAMES,
    unacknowledged: settings.LIMIT_UNACKNOWLEDGED,
    queueMessages: settings.LIMIT_QUEUE_MESSAGES,
    queueBytes: settings.LIMIT_QUEUE_BYTES,
    allQueuesBytes: settings.LIMIT_ALL_QUEUES_BYTES,
    queues: settings.LIMIT_QUEUES,
    redeliveries: settings.LIMIT_REDELIVERIES,
    sessionRate: { perSecond: settings.LIMIT_SESSION_RATE, burst: settings.LIMIT_SESSION_BURST },
    userRate: { perSecond: settings.LIMIT_USER_RATE, burst: settings.LIMIT_USER_BURST },
    subscribeRate: { perSecond: settings.LIMIT_SUBSCRIBE_RATE, burst: settings.LIMIT_SUBSCRIBE_BURST },
    openRate: { perSecond: settings.LIMIT_OPEN_RATE, burst: settings.LIMIT_OPEN_BURST },
  }
}
