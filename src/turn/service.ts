/**
 * Tells a user which STUN and TURN servers to use now. It knows the configuration and how the bundled relay is doing;
 * it never talks to a relay: credentials carry their own proof (see credentials.ts).
 */

import type { Clock, RelayHealth } from '../ports.ts'
import { mint } from './credentials.ts'
import type { IceServer, TurnCredentials } from './messages.ts'

/** A relay that runs beside this server. */
export interface LocalRelay extends RelayHealth {
  /** Where clients reach it (UDP), as far as that is known. */
  address(): { readonly host: string; readonly port: number } | undefined
}

export interface TurnServiceOptions {
  /** Shared with the relay: ours, or coturn's `static-auth-secret`. */
  readonly secret: string
  /** How long credentials are good, in whole seconds. */
  readonly ttlSeconds: number
  readonly clock: Clock
  /** An operator's own servers, as they are to be handed out, in order; when there are some, ours is not named. */
  readonly stun: readonly string[]
  readonly turn: readonly string[]
  /** The bundled relay (it answers STUN as well); absent when it is switched off. */
  readonly relay?: LocalRelay | undefined
}

export class TurnService {
  readonly #options: TurnServiceOptions

  constructor(options: TurnServiceOptions) {
    if (!Number.isInteger(options.ttlSeconds) || options.ttlSeconds < 1) {
      throw new RangeError('ttlSeconds must be a whole number of seconds, at least 1')
    }
    this.#options = options
  }

  /**
   * The `iceServers` of contract section 6: STUN first, then TURN. `expiresAt` is in unix seconds like the name itself.
   * The bundled relay is left out while it is not up, so that no client waits for a relay that is not there.
   */
  credentialsFor(user: string): TurnCredentials {
    const { secret, ttlSeconds, clock } = this.#options
    const expiresAt = Math.floor(clock.now() / 1000) + ttlSeconds
    const { username, credential } = mint(secret, user, expiresAt)
    const { stun, turn } = this.#urls()
    const iceServers: IceServer[] = [
      ...stun.map((url) => ({ url, urls: url, username: null, credential: null })),
      ...turn.map((url) => ({ url, urls: url, username, credential })),
    ]
    return { iceServers, ttl: ttlSeconds, expiresAt }
  }

  #urls(): { stun: readonly string[]; turn: readonly string[] } {
    const { stun, turn, relay } = this.#options
    const address = relay?.state() === 'up' ? relay.address() : undefined
    const authority = address && `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
    return {
      // `stun:…?transport=udp` would be a SyntaxError in browsers (RFC 7064 has no query); TURN has one (RFC 7065)
      stun: stun.length === 0 && authority !== undefined ? [`stun:${authority}`] : stun,
      turn: turn.length === 0 && authority !== undefined ? [`turn:${authority}?transport=udp`] : turn,
    }
  }
}
