/**
 * Token → principal: JSON Web Tokens (RFC 7519), checked with one secret, one public key, or the keys at a JWKS
 * address. Knows nothing of connections or requests; says why a token is refused, and never repeats it.
 */

import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
  SignJWT,
} from 'jose'
import type { Clock, Principal } from '../broker/index.ts'
import { type Outcome, type Refusal, refuse } from './errors.ts'
import { hmacTokens, type ReadPlain } from './hmac-tokens.ts'
import { KeysUnreachable, keepLastGood } from './jwks.ts'

export type { Principal } from '../broker/index.ts'

/** Who a token speaks for. */
export interface Identity extends Principal {
  /** A back end, which may speak for any user (over `/api/v1/rtc` alone). */
  readonly service?: true
}

/** What tokens are checked with. The kind of key settles the algorithms: a token cannot choose (RFC 8725 section 3.1). */
export type AuthKey =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'public-key'; readonly key: KeyObject; readonly algorithms: readonly string[] }
  | { readonly kind: 'jwks'; readonly url: string }

export interface AuthenticatorOptions {
  readonly key: AuthKey
  /** Accepted `iss`; none: not checked. */
  readonly issuers: readonly string[]
  /** Accepted `aud`; none: not checked. */
  readonly audiences: readonly string[]
  /** The claim that holds the user. */
  readonly userClaim: string
  /** Whose tokens are those of back ends: claims in which roles may stand, and the role; absent: nobody's. */
  readonly services?: { readonly claims: readonly string[]; readonly role: string }
  readonly clock: Clock
  /** Told once when the JWKS address fails, and when it works again. */
  readonly warn?: (message: string) => void
  /** Of the JWKS address, in milliseconds. */
  readonly jwks?: { readonly timeoutMs?: number; readonly cooldownMs?: number; readonly maxAgeMs?: number }
}

export interface Authenticator {
  /**
   * The user of a token. Refused with 401 and a reason that helps an integrator; with 503 when the keys cannot be
   * fetched and none are known yet. Never throws.
   */
  authenticate(token: string): Promise<Outcome<Identity>>
}

/** The issuer's clock may be so many seconds ahead (`nbf`). What has expired has expired: nobody needs its last seconds. */
const TOLERANCE_S = 5
/** Octets; real tokens have one or two thousand. */
const LONGEST_TOKEN = 8192
const LONGEST_USER = 128
const JWKS_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
const DEMO_LIFETIME_S = 12 * 60 * 60

type Verify = (token: string, options: JWTVerifyOptions) => Promise<JWTVerifyResult>

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { verify, algorithms, readPlain } = verifierOf(options)

  async function authenticate(token: string): Promise<Outcome<Identity>> {
    if (token === '') return refuse('unauthorized', 'token: is missing')
    if (Buffer.byteLength(token) > LONGEST_TOKEN) return refuse('unauthorized', 'token: is longer than 8192 bytes')
    let claims: JWTPayload
    try {
      const checks = {
        ...(options.issuers.length > 0 && { issuer: [...options.issuers] }),
        ...(options.audiences.length > 0 && { audience: [...options.audiences] }),
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(options.clock.now()),
      }
      claims = readPlain?.(token, checks) ?? (await verify(token, { ...checks, algorithms: [...algorithms] })).payload
    } catch (error) {
      return refusalOf(error, algorithms)
    }
    if (claims.exp !== undefined && claims.exp * 1000 <= options.clock.now()) {
      return refuse('unauthorized', 'token: has expired')
    }
    const user = userOf(claims, options.userClaim)
    if (!user.ok) return user
    const expiresAt = claims.exp === undefined ? {} : { expiresAt: Math.floor(claims.exp * 1000) }
    const issuedAt = claims.iat === undefined ? {} : { issuedAt: Math.floor(claims.iat * 1000) }
    const service = isService(claims, options.services) ? ({ service: true } as const) : {}
    return { ok: true, data: { user: user.data, token: fingerprint(token), ...expiresAt, ...issuedAt, ...service } }
  }

  return { authenticate }
}

/**
 * Equal for equal tokens, useless for logging in: 132 bits of SHA-256 in base64url. Of what is signed alone: the same
 * signature can be written in several ways (base64url of unused bits, ECDSA), and a revoked token must not become
 * another one by that.
 */
export function fingerprint(token: string): string {
  const end = token.lastIndexOf('.')
  const signed = end < 0 ? token : token.slice(0, end)
  return hash('sha256', signed, 'base64url').slice(0, 22)
}

/**
 * Reads a public key (or certificate) in PEM and pins its algorithm: RSA → RS256, P-256 → ES256, P-384 → ES384,
 * Ed25519 → EdDSA. Throws an Error that says what is wrong with it.
 */
export function readPublicKey(pem: string): Extract<AuthKey, { kind: 'public-key' }> {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
    throw new Error('is a private key; the server needs the public one')
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    throw new Error('is not a public key in PEM')
  }
  return { kind: 'public-key', key, algorithms: algorithmsOf(key) }
}

function algorithmsOf(key: KeyObject): readonly string[] {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa') {
    // RFC 7518 section 3.3
    if ((details?.modulusLength ?? 0) < 2048) throw new Error('is an RSA key of less than 2048 bits')
    return ['RS256']
  }
  if (type === 'ec') {
    if (details?.namedCurve === 'prime256v1') return ['ES256']
    if (details?.namedCurve === 'secp384r1') return ['ES384']
    throw new Error('is an EC key on another curve than P-256 or P-384')
  }
  // the second name is the newer one for the same algorithm (RFC 9864)
  if (type === 'ed25519') return ['EdDSA', 'Ed25519']
  throw new Error('is a key of another kind than RSA, P-256, P-384 or Ed25519')
}

/** A token for the demo: HS256, good for 12 hours. `expiresAt` in milliseconds since the epoch. */
export async function mintDemoToken(
  secret: string,
  user: string,
  now: number,
  role?: string,
): Promise<{ token: string; expiresAt: number }> {
  const issuedAt = Math.floor(now / 1000)
  const token = await new SignJWT(role === undefined ? {} : { role })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(user)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + DEMO_LIFETIME_S)
    .setJti(crypto.randomUUID())
    .sign(new TextEncoder().encode(secret))
  return { token, expiresAt: (issuedAt + DEMO_LIFETIME_S) * 1000 }
}

function verifierOf({ key, clock, warn, jwks = {} }: AuthenticatorOptions): {
  verify: Verify
  algorithms: readonly string[]
  readPlain?: ReadPlain
} {
  switch (key.kind) {
    case 'secret': {
      // Imported once: jose would do it again for every token, which costs more than the check itself
      const hmac = { name: 'HMAC', hash: 'SHA-256' }
      const secret = crypto.subtle.importKey('raw', new TextEncoder().encode(key.secret), hmac, false, ['verify'])
      return {
        verify: async (token, checks) => jwtVerify(token, await secret, checks),
        algorithms: ['HS256'],
        readPlain: hmacTokens(key.secret),
      }
    }
    case 'public-key':
      return { verify: (token, checks) => jwtVerify(token, key.key, checks), algorithms: key.algorithms }
    case 'jwks': {
      const keys = createRemoteJWKSet(new URL(key.url), {
        timeoutDuration: jwks.timeoutMs ?? 5000,
        cooldownDuration: jwks.cooldownMs ?? 3_000,
        cacheMaxAge: jwks.maxAgeMs ?? 600_000,
        [customFetch]: keepLastGood({ clock, warn: warn ?? (() => {}) }),
      })
      return { verify: (token, checks) => jwtVerify(token, keys, checks), algorithms: JWKS_ALGORITHMS }
    }
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for; with them, lone surrogates
const UNFIT = /[\u0000-\u001f\u007f-\u009f\p{Cs}]/u

/** Many issuers keep their users as numbers; those name the user by their decimal digits. */
function userOf(claims: JWTPayload, claim: string): Outcome<string> {
  const value: unknown = Object.hasOwn(claims, claim) ? claims[claim] : undefined
  const user = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value
  if (user === undefined) return refuse('unauthorized', `token: has no claim "${claim}", which must name the user`)
  if (typeof user !== 'string' || user.trim() === '' || user.length > LONGEST_USER || UNFIT.test(user)) {
    return refuse('unauthorized', `token: claim "${claim}" must be a user id of 1 to ${LONGEST_USER} plain characters`)
  }
  return { ok: true, data: user }
}

/**
 * Roles are one text, a list of them, or words in a text (`scope`, RFC 8693 section 4.2). A claim may lie inside others:
 * `realm_access.roles`; one that has this very name counts first.
 */
function isService(claims: JWTPayload, services: AuthenticatorOptions['services']): boolean {
  return services?.claims.some((name) => rolesIn(claimOf(claims, name)).includes(services.role)) === true
}

const rolesIn = (value: unknown): readonly unknown[] =>
  typeof value === 'string' ? value.split(/\s+/) : Array.isArray(value) ? value : []

function claimOf(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const key of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

const CLAIMS: Readonly<Record<string, string>> = {
  iss: 'token: claim iss is not an accepted issuer',
  aud: 'token: claim aud does not name this service',
  nbf: 'token: is not valid yet (nbf); compare the clocks',
}

function refusalOf(error: unknown, algorithms: readonly string[]): Refusal {
  if (error instanceof errors.JWTExpired) {
    const exp = typeof error.payload.exp === 'number' ? new Date(error.payload.exp * 1000) : undefined
    const when = exp === undefined || Number.isNaN(exp.getTime()) ? '' : ` (${exp.toISOString()})`
    return refuse('unauthorized', `token: has expired${when}`)
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refuse('unauthorized', CLAIMS[error.claim] ?? 'token: has a claim of the wrong form')
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return refuse('unauthorized', `token: alg must be ${algorithms.join(' or ')}`)
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return refuse('unauthorized', 'token: the signature is not from the configured key')
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return refuse('unauthorized', 'token: no single key of the issuer fits it (kid, alg)')
  }
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) {
    return refuse('unauthorized', 'token: is not a signed JSON Web Token')
  }
  if (error instanceof KeysUnreachable) {
    return refuse('unavailable', 'the keys that tokens are checked with cannot be fetched now', { retryAfter: 5 })
  }
  // jose throws TypeErrors for keys that do not fit the header, JOSENotSupported for unknown crit: the token's fault
  return refuse('unauthorized', 'token: cannot be checked')
}
