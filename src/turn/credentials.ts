/**
 * Time-limited TURN credentials, as coturn's `use-auth-secret` checks them ("A REST API for Access to TURN Services",
 * draft-uberti-behave-turn-rest-00): the name carries its own expiry, the password is a MAC of the name, so that a relay
 * can check both without knowing any user. This module knows the form; it knows no relay and no clock.
 */

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

export interface MintedCredential {
  /** `<unix seconds>:<user>` */
  readonly username: string
  /** base64(HMAC-SHA1(secret, username)): 28 characters. */
  readonly credential: string
}

/** What a well-formed name says. That says nothing yet about whether its password was right. */
export interface CredentialName {
  /** Unix seconds. */
  readonly expiresAt: number
  /** The user as encoded by {@link encodeUser}: the key of quotas. */
  readonly user: string
}

/** The most octets of an encoded user; what is longer is shown as its hash. */
const LONGEST_USER = 128

/** Everything else is percent-encoded: coturn answers 400 to blanks and quotes in a name. */
const BARE = /^[A-Za-z0-9._~@=+-]$/

/** Ten digits last until the year 2286, and stay far below what a number holds exactly. */
const NAME = /^([0-9]{1,10}):([A-Za-z0-9._~@=+%-]{1,128})$/

/**
 * A user id as it may stand in a name: octets (UTF-8) outside `[A-Za-z0-9._~@=+-]` percent-encoded, 128 at most.
 * A longer one becomes `%7E` + base64url(SHA-256(encoded)): always the same for the same user, and no other user's,
 * for `~` itself is never written as `%7E`.
 */
export function encodeUser(user: string): string {
  let encoded = ''
  for (const octet of Buffer.from(user, 'utf8')) {
    const character = String.fromCharCode(octet)
    encoded += BARE.test(character) ? character : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
  }
  if (encoded.length <= LONGEST_USER) return encoded
  return `%7E${createHash('sha256').update(encoded).digest('base64url')}`
}

/** The password that belongs to a name. */
export function passwordOf(secret: string, username: string): string {
  return createHmac('sha1', secret).update(username).digest('base64')
}

/** A name for the user and its password. `expiresAt` in unix seconds; fractions are cut off. */
export function mint(secret: string, user: string, expiresAt: number): MintedCredential {
  const username = `${Math.floor(expiresAt)}:${encodeUser(user)}`
  return { username, credential: passwordOf(secret, username) }
}

/** Reads a name; undefined when it is not of the form {@link mint} gives. */
export function readName(username: string): CredentialName | undefined {
  const [, expiresAt, user] = NAME.exec(username) ?? []
  return expiresAt === undefined || user === undefined ? undefined : { expiresAt: Number(expiresAt), user }
}

/** Whether the password belongs to the name under this secret; takes the same time for every wrong one. */
export function verify(secret: string, { username, credential }: MintedCredential): boolean {
  const expected = createHmac('sha1', secret).update(username).digest()
  const given = Buffer.from(credential, 'base64')
  // The length of what was given is no secret; the round trip refuses other spellings of the same octets.
  return given.length === expected.length && timingSafeEqual(given, expected) && given.toString('base64') === credential
}
