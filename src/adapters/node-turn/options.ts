/** What the relay is told at its start, with its defaults. Plain data: it travels to the child process. */

import { canonical, familyOf } from './endpoint.ts'
import { parseCidr } from './peers.ts'

/** `self-made`: one for the public addresses, made at each start, that no client trusts unless it is told to. */
export type TlsCertificate = { readonly certFile: string; readonly keyFile: string } | 'self-made'

export interface TlsOptions {
  /** 0: whichever is free. */
  readonly port: number
  readonly certificate: TlsCertificate
}

export interface RelayOptions {
  /**
   * Where it listens; `0.0.0.0` or `::` for every address of the machine of that family (`::` takes no IPv4 in). It
   * relays from the first one of each family.
   */
  readonly listenIps: readonly string[]
  /** UDP and TCP, the same number for both; 0: whichever is free. */
  readonly port: number
  /** For TURN over TLS; without it there is none. */
  readonly tls?: TlsOptions | undefined
  /**
   * The addresses that peers see and clients are told, one per family at most: they differ from `listenIps` behind
   * NAT. There are relayed addresses of these families and no other.
   */
  readonly publicIps: readonly string[]
  /** Relayed addresses have ports from this range, both ends included. */
  readonly minPort: number
  readonly maxPort: number
  /**
   * The relayed ports of all processes of this relay together, when there are several: those that are not ours are
   * reached by the public address, as anybody outside would.
   */
  readonly sharedPorts?: { readonly min: number; readonly max: number } | undefined
  /** Credentials made with any of these are accepted; the present one comes first. */
  readonly secrets: readonly string[]
  readonly realm: string
  /** Names whose expiry lies further ahead than this (and five minutes for clocks that disagree) are refused. */
  readonly maxCredentialSeconds: number
  /** How long an existing allocation may go on after its credentials have expired. */
  readonly graceSeconds: number
  /** How long an allocation lives when the client asks for less or for nothing, and at most (RFC 8656, section 7.2). */
  readonly allocationSeconds: number
  readonly maxAllocationSeconds: number
  readonly nonceSeconds: number
  readonly allocationsPerUser: number
  /** In all. */
  readonly allocations: number
  /** Over TCP and TLS: in all, and from one address (IPv6: from one /64). */
  readonly connections: number
  readonly connectionsPerAddress: number
  /** Per allocation. */
  readonly permissions: number
  readonly channels: number
  /** Per allocation, both directions together; 0: as much as there is. */
  readonly bytesPerSecond: number
  /** Answers to requests without valid credentials, per source address. */
  readonly challengesPerSecond: number
  /** CIDR blocks that may be relayed to although they are denied by default. */
  readonly allowPeers: readonly string[]
  /** CIDR blocks that may not be relayed to, whatever `allowPeers` says. */
  readonly denyPeers: readonly string[]
}

export type RelaySettings = Partial<RelayOptions> & Pick<RelayOptions, 'listenIps' | 'port' | 'publicIps' | 'secrets'>

const DEFAULTS = {
  minPort: 49_152,
  maxPort: 65_535,
  realm: 'carillon',
  maxCredentialSeconds: 3600,
  graceSeconds: 12 * 3600,
  allocationSeconds: 600,
  maxAllocationSeconds: 3600,
  nonceSeconds: 3600,
  allocationsPerUser: 32,
  allocations: 4096,
  connections: 8192,
  connectionsPerAddress: 256,
  permissions: 64,
  channels: 64,
  bytesPerSecond: 1_250_000,
  challengesPerSecond: 20,
  allowPeers: [],
  denyPeers: [],
} satisfies Partial<RelayOptions>

/** The settings with the defaults for what they leave out. Throws a RangeError that names every wrong one. */
export function relayOptions(settings: RelaySettings): RelayOptions {
  const options: RelayOptions = { ...DEFAULTS, ...settings }
  const wrong = [...complaints(options)]
  if (wrong.length > 0) throw new RangeError(`relay: ${wrong.join('; ')}`)
  return options
}

function* complaints(options: RelayOptions): Generator<string> {
  const { minPort, maxPort, tls } = options
  yield* addressComplaints(options)
  if (!whole(options.port, 0, 65_535)) yield 'port must be from 0 to 65535'
  if (tls && !whole(tls.port, 0, 65_535)) yield 'tls.port must be from 0 to 65535'
  if (tls && tls.port !== 0 && tls.port === options.port) yield 'tls.port must not be port'
  if (!whole(minPort, 1, 65_535) || !whole(maxPort, minPort, 65_535)) {
    yield 'minPort to maxPort must be a range of ports'
  }
  if (options.secrets.length === 0 || options.secrets.some((secret) => secret === '')) yield 'secrets must not be empty'
  if (options.realm === '' || Buffer.byteLength(options.realm) > 127) yield 'realm must have 1 to 127 octets'
  for (const name of POSITIVE) {
    if (!whole(options[name], 1, 1e9)) yield `${name} must be a whole number, at least 1`
  }
  if (!whole(options.bytesPerSecond, 0, 1e12)) yield 'bytesPerSecond must be a whole number, 0 for no bound'
  if (options.maxAllocationSeconds < options.allocationSeconds) {
    yield 'maxAllocationSeconds must not be less than allocationSeconds'
  }
  for (const name of ['allowPeers', 'denyPeers'] as const) {
    for (const block of options[name]) {
      if (!parseCidr(block)) yield `${name}: ${block} is not a CIDR block such as 10.0.0.0/8`
    }
  }
}

function* addressComplaints({ listenIps, publicIps }: RelayOptions): Generator<string> {
  const listening = listenIps.map(canonical)
  const shown = publicIps.map(canonical)
  if (listening.length === 0 || listening.includes(undefined)) yield 'listenIps must be IP addresses, at least one'
  // 0.0.0.0 as a relayed address is of no use to anybody
  if (shown.length === 0 || shown.some((ip) => ip === undefined || ip === '0.0.0.0' || ip === '::')) {
    yield 'publicIps must be the addresses peers see, at least one'
    return
  }
  const families = shown.map((ip) => familyOf(ip ?? ''))
  if (new Set(families).size < families.length) yield 'publicIps must not have two addresses of one family'
  const heard = new Set(listening.map((ip) => familyOf(ip ?? '')))
  if (families.some((family) => !heard.has(family))) {
    yield 'each of publicIps needs one of listenIps of the same family, both IPv4 or both IPv6'
  }
}

const POSITIVE = [
  'maxCredentialSeconds',
  'graceSeconds',
  'allocationSeconds',
  'maxAllocationSeconds',
  'nonceSeconds',
  'allocationsPerUser',
  'allocations',
  'connections',
  'connectionsPerAddress',
  'permissions',
  'channels',
  'challengesPerSecond',
] as const satisfies readonly (keyof RelayOptions)[]

const whole = (value: number, least: number, most: number) => Number.isInteger(value) && value >= least && value <= most
