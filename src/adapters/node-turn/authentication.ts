/**
 * The long-term credential mechanism (RFC 8489, section 9.2.4) for names that carry their own expiry. No user is known
 * beforehand and nothing is looked up by a name: the password is computed from it.
 */

import { createHash } from 'node:crypto'
import type { Clock } from '../../../broker/clock.ts'
import { passwordOf, readName } from '../../turn/credentials.ts'
import type { Endpoint } from './endpoint.ts'
import type { Inbound } from './message.ts'
import type { Nonces } from './nonces.ts'
import type { RelayOptions } from './options.ts'

/** Who has signed a request. */
export interface Caller {
  readonly username: string
  readonly password: string
  /** The user within the name: the key of quotas. */
  readonly user: string
  /** Unix seconds. */
  readonly expiresAt: number
}

export type Authentication =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly code: 400 | 401 | 438 }

/** The clock of the machine that made the credentials may be ahead of ours. */
const SLACK_SECONDS = 300

export class Authenticator {
  readonly #options: Pick<RelayOptions, 'secrets' | 'realm' | 'maxCredentialSeconds'>
  readonly #nonces: Nonces
  readonly #clock: Clock

  constructor(
    options: Pick<RelayOptions, 'secrets' | 'realm' | 'maxCredentialSeconds'>,
    { nonces, clock }: { nonces: Nonces; clock: Clock },
  ) {
    this.#options = options
    this.#nonces = nonces
    this.#clock = clock
  }

  /** Whether an expired name may still be used depends on what is asked, so that is left to the caller of this. */
  authenticate(request: Inbound, client: Endpoint): Authentication {
    if (!request.signature) return { ok: false, code: 401 }
    const username = request.text('username')
    const realm = request.text('realm')
    const nonce = request.text('nonce')
    if (username === undefined || realm === undefined || nonce === undefined) return { ok: false, code: 400 }
    const caller = realm === this.#options.realm ? this.#signer(request.signature, username) : undefined
    if (!caller) return { ok: false, code: 401 }
    // only now: 438 tells somebody with the right key to try again at once
    if (!this.#nonces.fresh(nonce, client)) return { ok: false, code: 438 }
    return { ok: true, caller }
  }

  #signer(signature: NonNullable<Inbound['signature']>, username: string): Caller | undefined {
    const name = readName(username)
    const furthest = this.#clock.now() / 1000 + this.#options.maxCredentialSeconds + SLACK_SECONDS
    if (!name || name.expiresAt > furthest) return undefined
    for (const secret of this.#options.secrets) {
      const password = passwordOf(secret, username)
      // RFC 8489, section 9.2.2; the names are ASCII, so OpaqueString changes nothing
      const key = createHash('md5').update(`${username}:${this.#options.realm}:${password}`).digest()
      if (signature.madeWith(key)) return { username, password, ...name }
    }
    return undefined
  }
}
