/**
 * Tells a user which STUN and TURN servers to use now. It knows the configuration and how the bundled relay is doing;
 * it never talks to a relay: credentials carry their own proof (see credentials.ts).
 */

import type { Clock, RelayHealth, UserId } from '../ports.ts'
import { mint } from './credentials.ts'
import type { IceServer, TurnCredentials } from './messages.ts'

/** A relay that runs beside this server. */
export interface LocalRelay extends RelayHealth {
  /** Where this user finds it; nothing while it is not up. */
  placeFor(user: UserId): RelayPlace | undefined
}

export interface RelayPlace {
  /** Names or addresses, the first one first. */
  readonly hosts: readonly string[]
  /** UDP and TCP. */
  readonly port: number
  /** Where its certificate is to be believed. */
  readonly tls?: { readonly host: string; readonly port: number }
}

/** Where an operator's own relay is: `turn:` and `turns:` addresses in the order they are to be tried. */
export interface TurnRegion {
  /** What a client asks for it by. */
  readonly name?: string
  readonly urls: readonly string[]
}

export interface TurnServiceOptions {
  /** Shared with the relay: ours, or coturn's `static-auth-secret`. */
  readonly secret: string
  /** How long credentials are good, in whole seconds. */
  readonly ttlSeconds: number
  readonly clock: Clock
  /** An operator's own STUN servers; none: the relay itself answers STUN. */
  readonly stun: readonly string[]
  /** An operator's own relays; when there are some, ours is not named. */
  readonly regions: readonly TurnRegion[]
  /** The bundled relay; absent when it is switched off. */
  readonly relay?: LocalRelay | undefined
}

interface Servers {
  readonly stun: readonly string[]
  readonly turn: readonly string[]
}

export class TurnService {
  readonly #options: TurnServiceOptions

  constructor(options: TurnServiceOptions) {
    if (!Number.isInteger(options.ttlSeconds) || options.ttlSeconds < 1) {
      throw new RangeError('ttlSeconds must be a whole number of seconds, at least 1')
    }
    this.#options = options
  }

  /** How long credentials are good, in seconds. */
  get ttlSeconds(): number {
    return this.#options.ttlSeconds
  }

  /** The name itself where there is such a region. */
  regionNamed(name: string | undefined): string | undefined {
    return this.#options.regions.find((region) => name !== undefined && region.name === name)?.name
  }

  /**
   * The `iceServers` of contract section 6, in the order a browser should try them: STUN, then TURN over UDP, TCP, TLS.
   * `expiresAt` is in unix seconds like the name itself. The bundled relay is left out while it is not up, so that no
   * client waits for a relay that is not there. A `region` that has no name here means all of them: somebody who has
   * mistyped it is better off with a relay far away than with none.
   */
  credentialsFor(user: UserId, region?: string): TurnCredentials {
    const { secret, ttlSeconds, clock } = this.#options
    const expiresAt = Math.floor(clock.now() / 1000) + ttlSeconds
    const { username, credential } = mint(secret, user, expiresAt)
    const { stun, turn } = this.#servers(user, region)
    const iceServers: IceServer[] = [
      ...stun.map((url) => ({ url, urls: url, username: null, credential: null })),
      ...turn.map((url) => ({ url, urls: url, username, credential })),
    ]
    return { iceServers, ttl: ttlSeconds, expiresAt }
  }

  #servers(user: UserId, region: string | undefined): Servers {
    const { stun, regions, relay } = this.#options
    const place = regions.length === 0 && relay?.state() === 'up' ? relay.placeFor(user) : undefined
    const found = place ? serversAt(place) : serversIn(regions, region)
    return stun.length > 0 ? { ...found, stun } : found
  }
}

/** `stun:…?transport=udp` would be a SyntaxError in browsers (RFC 7064 has no query); TURN has one (RFC 7065). */
function serversAt({ hosts, port, tls }: RelayPlace): Servers {
  const authorities = hosts.map((host) => authority(host, port))
  return {
    stun: authorities.map((at) => `stun:${at}`),
    turn: [
      ...authorities.map((at) => `turn:${at}?transport=udp`),
      ...authorities.map((at) => `turn:${at}?transport=tcp`),
      ...(tls ? [`turns:${authority(tls.host, tls.port)}?transport=tcp`] : []),
    ],
  }
}

function serversIn(regions: readonly TurnRegion[], region: string | undefined): Servers {
  const named = regions.filter(({ name }) => name !== undefined && name === region)
  const turn = (named.length > 0 ? named : regions).flatMap(({ urls }) => urls)
  return { stun: [...new Set(turn.flatMap(stunOf))], turn }
}

/** A TURN server answers STUN over UDP on the same port (RFC 8656 section 1, RFC 8489). */
function stunOf(url: string): readonly string[] {
  const [, at] = /^turn:([^?]+)(?:\?transport=udp)?$/.exec(url) ?? []
  return at === undefined ? [] : [`stun:${at}`]
}

const authority = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`
