/**
 * Every environment variable: its form, its default, one line for `.env.example`. What the values mean together
 * (which key, demo or not, which relay) is settled in config.ts.
 */

import { isIP } from 'node:net'
import { z } from 'zod'
import { parseDatabaseUrl } from './database-url.ts'
import { HOOK_TYPES } from './webhooks/messages.ts'

/** How one variable is read. */
interface Variable<T> {
  /** Text from the environment (trimmed, not empty) → value. */
  readonly form: z.ZodType<T, string>
  /** Used when the variable is unset or empty; undefined: config.ts decides from the others. */
  readonly fallback: string | undefined
  /** Shown in the message about a wrong value. */
  readonly example: string
  readonly explanation: string
  /** A wrong value is not repeated in messages. */
  readonly secret: boolean
}

type Fixed<T> = Variable<T> & { readonly fallback: string }
type Open<T> = Variable<T> & { readonly fallback: undefined }

function fixed<T>(form: z.ZodType<T, string>, fallback: string, explanation: string, example = fallback): Fixed<T> {
  return { form, fallback, example, explanation, secret: false }
}

function open<T>(form: z.ZodType<T, string>, example: string, explanation: string): Open<T> {
  return { form, fallback: undefined, example, explanation, secret: false }
}

function secret(example: string, explanation: string): Open<string>
function secret<T>(example: string, explanation: string, form: z.ZodType<T, string>): Open<T>
function secret(example: string, explanation: string, form: z.ZodType<unknown, string> = z.string()): Open<unknown> {
  return { form, fallback: undefined, example, explanation, secret: true }
}

/** One that has a default, and whose value may have a password in it. */
function fixedSecret<T>(form: z.ZodType<T, string>, fallback: string, explanation: string, example: string): Fixed<T> {
  return { form, fallback, example, explanation, secret: true }
}

function whole(from: number, to: number): z.ZodType<number, string> {
  const complaint = `must be a whole number from ${from} to ${to}`
  return z
    .string()
    .regex(/^\d{1,16}$/, complaint)
    .transform(Number)
    .refine((value) => value >= from && value <= to, complaint)
}

const flag: z.ZodType<boolean, string> = z
  .string()
  .toLowerCase()
  .refine((value) => value === 'true' || value === 'false', 'must be true or false')
  .transform((value) => value === 'true')

const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `must be one of ${values.join(', ')}`) as unknown as z.ZodType<T[number], string>

/** Comma-separated; blanks around the parts and empty parts do not count. */
function list<T extends string = string>(
  part: z.ZodType<T, string> = z.string() as unknown as z.ZodType<T, string>,
): z.ZodType<readonly T[], string> {
  return z
    .string()
    .transform((text) =>
      text
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one !== ''),
    )
    .pipe(z.array(part))
}

const host = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'must be an address or a host name, without a port')

/** A name that certificates and browsers know (RFC 1123 section 2.1). */
const domain = z
  .string()
  .regex(/^(?=.{1,253}$)[A-Za-z\d]([\w-]*[A-Za-z\d])?(\.[A-Za-z\d]([\w-]*[A-Za-z\d])?)*$/, 'must be a host name')
  .refine((text) => isIP(text) === 0, 'must be a host name, not an address')

const address = z.string().refine((text) => isIP(text) !== 0, 'must be an IPv4 or IPv6 address')

/** `10.0.0.0/8`, `fd00::/8`, or one address. */
const cidr = z.string().refine((text) => {
  const [ip = '', bits, more] = text.split('/')
  const family = isIP(ip)
  if (family === 0 || more !== undefined) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}, 'must be addresses or address ranges')

const url = z.string().refine((text) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  return parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.username === ''
}, 'must be an http or https address')

/** An origin as browsers send it (RFC 6454 section 6.2), `https://*.example.org` for every subdomain, or `*`. */
const origin = z.string().refine((text) => {
  if (text === '*') return true
  const plain = text.replace('://*.', '://')
  return URL.canParse(plain) && new URL(plain).origin === plain.toLowerCase()
}, 'must be origins: scheme://host or scheme://host:port, no path')

/** RFC 7064 section 3.1 and RFC 7065 section 3.1. Browsers refuse `stun:` with a query. */
const stunUrl = z
  .string()
  .regex(/^stuns?:(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?$/, 'must be stun: or stuns: addresses, without "?"')
const turnUrl = z
  .string()
  .regex(/^turns?:(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(\?transport=(udp|tcp))?$/, 'must be turn: or turns: addresses')

/** Where an operator's own relay is; clients may name one of several regions. */
export interface Region {
  readonly name?: string
  readonly urls: readonly string[]
}

/** Groups separated by `;`, each a list of addresses, with `name=` before it where clients shall be able to name it. */
const regions: z.ZodType<readonly Region[], string> = z
  .string()
  .transform((text) =>
    text
      .split(';')
      .map((group) => group.trim())
      .filter((group) => group !== '')
      .map((group) => {
        const [, name, urls = ''] = /^(?:([\w-]{1,32})\s*=)?(.*)$/s.exec(group) ?? []
        return { ...(name !== undefined && { name }), urls }
      }),
  )
  .pipe(z.array(z.object({ name: z.string().exactOptional(), urls: list(turnUrl) })))
  .refine((all) => all.every(({ urls }) => urls.length > 0), 'must have turn: or turns: addresses in each region')
  .refine((all) => {
    const names = all.flatMap(({ name }) => name ?? [])
    return new Set(names).size === names.length
  }, 'must name each region once')

/** `redis://user:password@host:port/database`; all but the host may be left out. */
const redisUrl = z.string().refine((text) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  if (parsed === undefined || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '') return false
  return /^(\/\d{0,3})?$/.test(parsed.pathname) && parsed.search === '' && isDecodable(parsed)
}, 'must be redis:// or rediss:// addresses, without a query')

/** Told what is wrong without the text: it may hold a password. */
const databaseUrl = z.string().superRefine((text, { addIssue }) => {
  try {
    parseDatabaseUrl(text)
  } catch (error) {
    addIssue((error as Error).message)
  }
})

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(username + password) !== undefined
  } catch {
    return false
  }
}

const openPattern = z
  .string()
  .regex(/^\/(topic|queue)\/[^\s,]{1,200}$/, 'must be patterns that begin with /topic/ or /queue/')
  .refine((text) => text !== '/topic/user/status', '/topic/user/status is the server’s own')

const KIB = 1024
const MIB = 1024 * KIB
const DAY_MS = 24 * 60 * 60 * 1000

const bytes = (to = 64 * MIB) => whole(KIB, to)
const count = (to = 1_000_000) => whole(1, to)
const milliseconds = (from: number, to: number) => whole(from, to)

export const VARIABLES = {
  NODE_ENV: open(z.string(), 'production', 'With "production" the server refuses to start in demo mode.'),
  HOST: open(host, '0.0.0.0', 'Address to listen on: 0.0.0.0, in demo mode 127.0.0.1 and nothing else.'),
  PORT: fixed(whole(0, 65_535), '8080', 'TCP port of HTTP, WebSocket and SockJS; 0 takes any free one.'),
  TRUSTED_PROXIES: fixed(list(cidr), '', 'Reverse proxies whose X-Forwarded-For is believed.', '10.0.0.0/8'),
  ALLOWED_ORIGINS: fixed(
    list(origin),
    '',
    'Origins of other sites whose pages may use this server (HTTP and WebSocket); its own is always allowed; * for all.',
    'https://im.example.org,https://*.example.com',
  ),

  AUTH_JWT_SECRET: secret('a random text of 32 or more characters', 'Tokens are HS256, checked with this secret.'),
  AUTH_PUBLIC_KEY: secret(
    'file:/etc/carillon/issuer.pem',
    'Tokens are RS256, ES256 or EdDSA, checked with this public key: PEM (line ends may be written \\n), or the path of a PEM file.',
  ),
  AUTH_JWKS_URL: open(
    url,
    'https://id.example.org/.well-known/jwks.json',
    'Tokens are checked with the public keys at this address. At most one of the three; none of them: demo mode.',
  ),
  AUTH_ISSUER: fixed(list(), '', 'Accepted values of the claim iss; empty: not checked.', 'https://id.example.org'),
  AUTH_AUDIENCE: fixed(list(), '', 'Accepted values of the claim aud; empty: not checked.', 'im'),
  AUTH_USER_CLAIM: fixed(z.string().max(200, 'is too long'), 'sub', 'The claim that holds the user id.', 'user_id'),
  AUTH_ROLE_CLAIM: fixed(
    list(),
    'role,roles,scope',
    'Claims in which the roles of a token may stand: a text, a list, or words in a text; realm_access.roles: inside another claim.',
  ),
  AUTH_SERVICE_ROLE: fixed(
    z.string().regex(/^\S{1,200}$/, 'must be one word'),
    'service',
    'Tokens with this role are those of back ends: over /api/v1/rtc they may speak for any user.',
  ),

  TOKEN_WARNING_S: fixed(whole(0, 86_400), '60', 'Seconds before the end of its token at which a session is told.'),
  TOKEN_GRACE_S: fixed(whole(0, 3600), '10', 'Seconds after the end of its token for which a session may refresh it.'),
  TOKEN_CALL_GRACE_S: fixed(
    whole(0, 86_400),
    '600',
    'Seconds after the end of its token for which a session may finish its call.',
  ),
  REVOCATION_MEMORY_S: fixed(
    whole(60, 366 * 86_400),
    '604800',
    'Seconds for which a revocation is remembered: as long as the longest-lived token, or longer.',
  ),
  ADMIN_KEY: secret('a random text of 32 or more characters', 'Key of /imserver/admin/**; unset: nobody can.'),

  RING_TIMEOUT_MS: fixed(milliseconds(100, 600_000), '30000', 'How long a call rings when its request does not say.'),
  CALLER_GRACE_MS: fixed(
    milliseconds(0, 600_000),
    '10000',
    'How long a call goes on ringing when the caller’s device is lost.',
  ),
  CALL_GRACE_MS: fixed(
    milliseconds(0, 3_600_000),
    '30000',
    'How long an answered call waits for a device that is lost.',
  ),
  HTTP_LEG_TIMEOUT_MS: fixed(
    milliseconds(1000, DAY_MS),
    '120000',
    'How long an answered call waits for the next request of a party that uses HTTP only.',
  ),
  LONGEST_CALL_MS: fixed(milliseconds(1000, 7 * DAY_MS), '43200000', 'After this an answered call is ended.'),
  CALL_TOMBSTONE_MS: fixed(
    milliseconds(10_000, DAY_MS),
    '600000',
    'How long an ended call is remembered, so that repeats get the right answer.',
  ),

  LATE_SIGNAL_MS: fixed(
    milliseconds(0, 600_000),
    '10000',
    'How long after the end of a call its signalling is dropped without a word; then it is refused.',
  ),
  OFFLINE_CALLEE: fixed(
    oneOf(['wait', 'fail']),
    'wait',
    'A call to a user without any device waits for one until it times out, or is refused at once with 1003 (fail).',
  ),
  CALL_WAITING: fixed(
    flag,
    'false',
    'A user who is in a call is shown a second one, and may hold the first; otherwise the caller hears 1001.',
  ),

  GROUP_MESH_MAX: fixed(
    whole(2, 8),
    '4',
    'People in one call at most: each sends its media to every other, so the slowest uplink sets the bound.',
  ),

  TURN_ENABLED: open(flag, 'true', 'The bundled relay: true, unless TURN_URLS names another.'),
  TURN_SECRET: secret(
    'a random text of 16 or more characters',
    'Secret of the time-limited TURN credentials; coturn’s static-auth-secret. Needed with TURN_URLS; else made at each start.',
  ),
  TURN_SECRET_PREVIOUS: secret(
    'the TURN_SECRET of before',
    'While TURN_SECRET is being changed: the bundled relay still takes credentials made with this one; none are made with it.',
  ),
  TURN_TTL_S: fixed(whole(1, 7 * 86_400), '3600', 'Seconds for which TURN credentials are good.'),
  TURN_URLS: fixed(
    regions,
    '',
    'An external relay instead of the bundled one; several regions as eu=turn:…,turns:…;us=turn:…: a client may name one.',
    'turn:turn.example.org:3478?transport=udp,turns:turn.example.org:5349?transport=tcp',
  ),
  STUN_URLS: fixed(
    list(stunUrl),
    '',
    'STUN servers named to clients; empty: the relay, bundled or external.',
    'stun:stun.example.org:3478',
  ),
  TURN_PORT: fixed(whole(0, 65_535), '3478', 'UDP and TCP port of the bundled relay; 0 takes any free one.'),
  TURN_LISTEN_IP: open(
    list(address),
    '0.0.0.0,::',
    'Addresses the bundled relay listens on: 127.0.0.1 when HOST is, else all IPv4 and, where there is one to show, all IPv6.',
  ),
  TURN_PUBLIC_IP: open(
    list(address),
    '192.0.2.10,2001:db8::10',
    'Addresses at which clients reach the bundled relay, one IPv4, one IPv6, or both; unset: TURN_LISTEN_IP, or this machine’s first ones.',
  ),
  TURN_HOST: open(
    domain,
    'turn.example.org',
    'Name of the bundled relay that clients are told instead of its addresses; TLS takes it from the certificate if unset.',
  ),
  TURN_TLS_CERT: open(
    z.string(),
    '/etc/carillon/turn.crt',
    'PEM file with the certificate (and its chain) for TURN over TLS; loaded again when it changes. Unset: no TLS, in demo mode a self-made one.',
  ),
  TURN_TLS_KEY: open(z.string(), '/etc/carillon/turn.key', 'PEM file with the private key of TURN_TLS_CERT.'),
  TURN_TLS_PORT: open(
    whole(0, 65_535),
    '5349',
    'TCP port of the bundled relay for TLS: 5349, or any free one where TURN_PORT is 0.',
  ),
  TURN_WORKERS: fixed(
    whole(1, 64),
    '1',
    'Processes of the bundled relay. The second one takes the ports after TURN_PORT and TURN_TLS_PORT, and so on; the range for media and TURN_ALLOCATIONS are divided.',
  ),
  TURN_MIN_PORT: fixed(whole(1024, 65_535), '49152', 'First UDP port for relayed media.'),
  TURN_MAX_PORT: fixed(whole(1024, 65_535), '65535', 'Last UDP port for relayed media.'),
  TURN_ALLOW_PEERS: open(
    list(cidr),
    '10.1.0.0/16,fd00::/8',
    'Private address ranges that media may be relayed to; all are denied otherwise (demo mode allows 127.0.0.0/8).',
  ),
  TURN_DENY_PEERS: fixed(
    list(cidr),
    '',
    'Address ranges that media may not be relayed to, whatever TURN_ALLOW_PEERS says.',
    '198.51.100.0/24,2001:db8:1::/48',
  ),
  TURN_ALLOCATION_LIFETIME_S: fixed(whole(10, 3600), '600', 'Seconds an unrefreshed allocation of the relay lives.'),
  TURN_REALM: fixed(
    // It stands in every challenge, and none may be larger than twice the request that it answers
    z.string().regex(/^[\w.-]{1,8}$/, 'must be a name of at most 8 letters, digits, ".", "-" and "_"'),
    'carillon',
    'Realm of the bundled relay: at most 8 characters.',
  ),
  TURN_ALLOCATIONS_PER_USER: fixed(count(), '32', 'Allocations of a user on the bundled relay; each call needs a few.'),
  TURN_ALLOCATIONS: fixed(count(), '4096', 'Allocations on the bundled relay in all.'),
  TURN_BYTES_PER_SECOND: fixed(
    whole(0, 10_000_000_000),
    '1250000',
    'What one allocation may carry, both directions together; 0: no bound.',
  ),

  PRESENCE_SCOPE: fixed(
    oneOf(['all', 'watched']),
    'all',
    'Whose changes a session is told: of all users, or of those it asked for (watched).',
  ),
  PRESENCE_BATCH_MS: fixed(milliseconds(0, 60_000), '250', 'Changes of presence are collected for this long.'),
  PRESENCE_OFFLINE_DELAY_MS: fixed(
    milliseconds(0, 600_000),
    '5000',
    'A user without a session counts as online for this long.',
  ),

  REDIS_URL: secret(
    'redis://redis.example.org:6379',
    'Redis, through which several servers act as one; rediss:// for TLS; several addresses, separated by commas, for a Cluster or for Sentinels. Unset: one server on its own.',
    list(redisUrl),
  ),
  REDIS_MODE: fixed(
    oneOf(['single', 'sentinel', 'cluster']),
    'single',
    'What REDIS_URL names: one server (single), Sentinels that know the master (sentinel), members of a Redis Cluster (cluster).',
  ),
  REDIS_SENTINEL_NAME: open(
    z.string().regex(/^[\w.:-]{1,100}$/, 'must be the name of a master'),
    'mymaster',
    'The name under which the Sentinels know the master.',
  ),
  REDIS_PREFIX: fixed(
    z.string().regex(/^[\w.:/-]{1,64}$/, 'must be letters, digits and . : / _ -'),
    'carillon:',
    'What every key in Redis begins with; servers that act as one have the same.',
  ),
  NODE_NAME: open(
    z.string().regex(/^[\w.:-]{1,63}$/, 'must be a name'),
    'carillon-0',
    'What this server is called among the others; unset: the name of the machine.',
  ),
  WEBHOOK_URL: secret(
    'https://im.example.org/hooks/carillon',
    'Where calls and presence are told to a back end (docs/webhooks.md); unset: nowhere.',
    url,
  ),
  WEBHOOK_SECRET: secret(
    'a random text of 16 or more characters',
    'Webhooks are signed with it: who has it can make them up. Needed with WEBHOOK_URL.',
  ),
  WEBHOOK_EVENTS: fixed(
    list(oneOf(HOOK_TYPES)),
    HOOK_TYPES.join(','),
    'Which events the back end is told.',
    'call.ring,call.cancel,call.missed',
  ),

  DATABASE_URL: fixedSecret(
    databaseUrl,
    'sqlite:./data/carillon.db',
    'Where the history of calls is kept: sqlite:path, postgres://user:password@host/database (with ?pgbouncer=true behind a pooler that keeps no statements), or none. Several servers share PostgreSQL.',
    'postgres://carillon:password@db.example.org/carillon',
  ),
  HISTORY_DAYS: fixed(whole(0, 36_500), '365', 'For how many days calls are kept; 0: for ever.'),
  HISTORY_SPOOL_BYTES: fixed(
    whole(0, 2 ** 40),
    String(256 * MIB),
    'What may wait for the database while it is away: in Redis with REDIS_URL, else on disk. Some 400 octets a call.',
  ),
  DATA_DIR: fixed(
    z.string().regex(/^[^\0]{1,4096}$/, 'must be a folder'),
    './data',
    'Where calls wait for PostgreSQL while it is away, without REDIS_URL; with SQLite that is beside its file.',
  ),

  OPEN_DESTINATIONS: fixed(
    list(openPattern),
    '',
    'Destinations beside calls to which every user may SEND and SUBSCRIBE; * stands for any characters.',
    '/topic/news.*,/queue/jobs.*',
  ),
  HEARTBEAT_SEND_MS: fixed(
    milliseconds(0, 3_600_000),
    '1000',
    'How often the server can send STOMP heart-beats; a client that asks for fewer gets those. 0: never.',
  ),
  HEARTBEAT_WANT_MS: fixed(
    milliseconds(0, 3_600_000),
    '1000',
    'How often the server would like to get STOMP heart-beats; a client that offers fewer sends those. 0: never.',
  ),
  SOCKJS_WEBSOCKET: fixed(
    flag,
    'true',
    'Whether SockJS offers WebSocket; false where a proxy only pretends to carry it.',
  ),
  SOCKJS_COOKIE: fixed(
    flag,
    'false',
    'Whether SockJS sets a JSESSIONID cookie, for load balancers that keep a client on one server by it.',
  ),
  SOCKJS_RESPONSE_BYTES: fixed(
    whole(4096, 64 * MIB),
    '131072',
    'Octets after which a streaming response of SockJS ends and the client asks anew; browsers keep all of one.',
  ),

  RESUME_GRACE_S: fixed(
    whole(0, 3600),
    '30',
    'Seconds in which a client that has lost its connection may resume its session; 0: sessions end with their connection.',
  ),

  LIMIT_FRAME_BYTES: fixed(bytes(), '65536', 'Largest STOMP frame.'),
  LIMIT_FRAME_BYTES_BEFORE_LOGIN: fixed(bytes(), '16384', 'Largest STOMP frame before CONNECTED.'),
  LIMIT_HEADERS: fixed(count(1000), '64', 'Headers of a frame.'),
  LIMIT_HEADER_BYTES: fixed(whole(64, MIB), '8192', 'Longest header line.'),
  LIMIT_SUBSCRIPTIONS_PER_SESSION: fixed(count(100_000), '100', 'Subscriptions of a session.'),
  LIMIT_SESSIONS_PER_USER: fixed(count(100_000), '50', 'Sessions of a user.'),
  LIMIT_CONNECTIONS: fixed(count(), '20000', 'Connections in all.'),
  LIMIT_CONNECTIONS_PER_ADDRESS: fixed(
    whole(0, 1_000_000),
    '0',
    'Connections from one address; 0: no bound. Behind a proxy only together with TRUSTED_PROXIES.',
    '2000',
  ),
  LIMIT_CONNECT_TIMEOUT_MS: fixed(
    milliseconds(100, 600_000),
    '10000',
    'A connection that is not logged in by then is closed.',
  ),
  LIMIT_QUEUED_BYTES: fixed(bytes(), '262144', 'Received and not yet worked on, per session.'),
  LIMIT_BUFFERED_BYTES: fixed(
    bytes(1024 * MIB),
    '524288',
    'Waiting for a slow reader; beyond it the session is closed.',
  ),
  LIMIT_BUFFERED_MS: fixed(
    milliseconds(100, 600_000),
    '10000',
    'How long something may wait for a slow reader; then the session is closed.',
  ),
  LIMIT_RESUME_BYTES: fixed(
    whole(1024, 64 * MIB),
    '65536',
    'What was lately sent to a session, kept for a resume; never more than LIMIT_BUFFERED_BYTES.',
  ),
  LIMIT_RESUME_ALL_BYTES: fixed(bytes(64 * 1024 * MIB), '134217728', 'The same of all sessions together.'),
  LIMIT_AWAY_SESSIONS_PER_USER: fixed(count(100_000), '10', 'Sessions of a user that wait to be resumed.'),
  LIMIT_AWAY_SESSIONS: fixed(count(), '20000', 'Sessions that wait to be resumed, in all.'),
  LIMIT_TRANSACTIONS: fixed(count(10_000), '16', 'Open STOMP transactions of a session.'),
  LIMIT_TRANSACTION_FRAMES: fixed(count(100_000), '256', 'Frames held in the open transactions of a session.'),
  LIMIT_UNACKNOWLEDGED: fixed(count(), '1000', 'Messages of a session that wait for its ACK.'),
  LIMIT_QUEUE_MESSAGES: fixed(count(), '1000', 'Messages kept in an open queue while nobody listens.'),
  LIMIT_QUEUE_BYTES: fixed(bytes(1024 * MIB), '16777216', 'The same in bytes.'),
  LIMIT_ALL_QUEUES_BYTES: fixed(
    bytes(1024 * MIB),
    '268435456',
    'Bytes kept in all open queues together, unacknowledged ones among them.',
  ),
  LIMIT_QUEUES: fixed(count(), '1000', 'Open queues with messages or listeners.'),
  LIMIT_REDELIVERIES: fixed(
    whole(0, 1_000_000),
    '20',
    'How often a message of an open queue that got NACK is handed out again; then it is dropped.',
  ),
  LIMIT_SESSION_RATE: fixed(count(), '500', 'SENDs of a session to /app, per second.'),
  LIMIT_SESSION_BURST: fixed(count(), '2000', 'How many of them at once.'),
  LIMIT_USER_RATE: fixed(count(), '1000', 'The same of all sessions of a user together.'),
  LIMIT_USER_BURST: fixed(count(), '4000', 'How many of them at once.'),
  LIMIT_SUBSCRIBE_RATE: fixed(count(), '500', 'SUBSCRIBEs of a session, per second; what comes faster is read later.'),
  LIMIT_SUBSCRIBE_BURST: fixed(count(), '2000', 'How many of them at once.'),
  LIMIT_OPEN_RATE: fixed(
    count(),
    '50000',
    'SENDs of a session to open destinations, per second; what comes faster is read later.',
  ),
  LIMIT_OPEN_BURST: fixed(count(), '100000', 'How many of them at once.'),
  LIMIT_HTTP_BODY_BYTES: fixed(bytes(), '65536', 'Largest body of an HTTP request.'),
  LIMIT_HTTP_RATE: fixed(count(), '200', 'HTTP requests of a user, per second.'),
  LIMIT_HTTP_BURST: fixed(count(), '1000', 'How many of them at once.'),
  LIMIT_SERVICE_RATE: fixed(count(), '2000', 'HTTP requests of a back end (AUTH_SERVICE_ROLE), per second.'),
  LIMIT_SERVICE_BURST: fixed(count(), '10000', 'How many of them at once.'),
  LIMIT_FAILED_CONNECT_BURST: fixed(
    count(),
    '20',
    'Refused logins (CONNECT, or HTTP with a bad token) of one address that are answered at once; the next ones wait, longer each time.',
  ),
  LIMIT_FAILED_CONNECT_RATE: fixed(count(), '1', 'How many more of them each second.'),

  LOG_LEVEL: fixed(
    oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'How much is logged: trace, debug, info, warn, error, fatal, silent.',
  ),
} as const

export type VariableName = keyof typeof VARIABLES

/** The value of each variable, defaults filled in. */
export type Settings = {
  readonly [K in VariableName]: (typeof VARIABLES)[K] extends Fixed<infer T>
    ? T
    : (typeof VARIABLES)[K] extends Open<infer T>
      ? T | undefined
      : never
}

/** One complaint about one variable, for a person. */
export interface Complaint {
  readonly name: VariableName
  readonly wrong: string
  /** Instead of the variable's own example. */
  readonly example?: string
}

/** Where the parts of the configuration say what they do not like. */
export interface Notes {
  /** The start is not possible. */
  wrong(name: VariableName, wrong: string, example?: string): void
  /** Worth a look, but no reason not to start. */
  warn(text: string): void
}

/**
 * Reads every variable on its own; empty text counts as unset. Never throws: a malformed variable is complained of,
 * and takes its default, so that the others can still be looked at together.
 */
export function readVariables(env: Readonly<Record<string, string | undefined>>): {
  settings: Settings
  complaints: Complaint[]
} {
  const settings: Record<string, unknown> = {}
  const complaints: Complaint[] = []
  for (const name of Object.keys(VARIABLES) as VariableName[]) {
    const variable: Variable<unknown> = VARIABLES[name]
    const given = env[name]?.trim()
    if (variable.fallback !== undefined) settings[name] = variable.form.parse(variable.fallback)
    if (given === undefined || given === '') continue
    const read = variable.form.safeParse(given)
    if (read.success) settings[name] = read.data
    else complaints.push({ name, wrong: wrongness(variable, given, read.error) })
  }
  return { settings: settings as Settings, complaints }
}

function wrongness(variable: Variable<unknown>, given: string, error: z.ZodError): string {
  const wrong = error.issues[0]?.message ?? 'is wrong'
  return variable.secret ? wrong : `${wrong}, not ${JSON.stringify(given.slice(0, 60))}`
}

const PREFIX =
  /^(ADMIN|REDIS|NODE_NAME|REVOCATION|TOKEN|AUTH|TURN|STUN|PRESENCE|WEBHOOKS?|LIMIT|HEARTBEAT|RING|CALLER|ALLOWED|OPEN_DEST|DATABASE|HISTORY)_?/

/** Warnings about variables that look like ours and are not: most often a slip of the pen. */
export function strangers(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = Object.keys(VARIABLES)
  return Object.keys(env)
    .filter((name) => PREFIX.test(name) && !Object.hasOwn(VARIABLES, name) && env[name] !== '')
    .sort()
    .map((name) => {
      const [nearest] = known
        .map((candidate) => ({ candidate, far: distance(name, candidate) }))
        .sort((a, b) => a.far - b.far)
      const hint = nearest && nearest.far <= 3 ? `; do you mean ${nearest.candidate}?` : ''
      return `${name} is not a variable of this server and is ignored${hint}`
    })
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1)
      line.push(Math.min(replaced, above[column]! + 1, line[column - 1]! + 1))
    }
    above = line
  }
  return above[b.length]!
}
