/**
 * The short way of the tokens that a shared secret is checked with (HS256, RFC 7518 section 3.2): jose computes every MAC
 * by WebCrypto, on another thread, which costs more than all else that a login does. Here the MAC is computed at once;
 * the claims are jose's to judge, and so is everything that is not as plain as tokens are.
 */

import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import { type JWTClaimVerificationOptions, type JWTPayload, UnsecuredJWT } from 'jose'

/** `{"alg":"none"}`, the head of a token whose claims alone are to be judged. */
const NO_ALGORITHM = Buffer.from('{"alg":"none"}').toString('base64url')

export type ReadPlain = (token: string, checks: JWTClaimVerificationOptions) => JWTPayload | undefined

/**
 * Reads tokens signed with this secret. Undefined: ask jose, which knows what is wrong, or unusual. Throws, as jose does,
 * what is wrong with the claims of a token that is well signed.
 */
export function hmacTokens(secret: string): ReadPlain {
  const key = createSecretKey(Buffer.from(secret))
  return (token, checks) => {
    const end = token.lastIndexOf('.')
    const middle = token.indexOf('.')
    if (middle < 0 || middle === end || !isPlain(token.slice(0, middle))) return undefined
    const expected = createHmac('sha256', key).update(token.slice(0, end)).digest('base64url')
    const signature = token.slice(end + 1)
    if (signature.length !== expected.length || !timingSafeEqual(Buffer.from(signature), Buffer.from(expected)))
      return undefined
    return UnsecuredJWT.decode(`${NO_ALGORITHM}${token.slice(middle, end)}.`, checks).payload
  }
}

/** The heads that were found to be plain: an issuer writes the same one in all its tokens. */
const plain = new Set<string>()
const MOST_PLAIN = 16

/** Whether the head names our algorithm, and nothing that would change what the rest means (RFC 7515 section 4.1.11). */
function isPlain(encoded: string): boolean {
  if (plain.has(encoded)) return true
  let head: unknown
  try {
    head = JSON.parse(Buffer.from(encoded, 'base64url').toString())
  } catch {
    return false
  }
  if (typeof head !== 'object' || head === null) return false
  const { alg, crit, b64 } = head as Record<string, unknown>
  if (alg !== 'HS256' || crit !== undefined || b64 !== undefined) return false
  if (plain.size < MOST_PLAIN) plain.add(encoded)
  return true
}
