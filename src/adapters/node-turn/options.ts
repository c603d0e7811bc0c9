/** What the relay is told at its start, with its defaults. Plain data: it travels to the child process. */

import { canonical, familyOf } from './endpoint.ts'
import { parseCidr } from './peers.ts'

export interface RelayOptions {
  /** Where it listens and from where it relays; `0.0.0.0` or `::` for every address of the machine. */
  readonly listenIp: string
  /** 0: whichever is free. */
  readonly port: number
  /** The address that peers see and clients are told: differs from `listenIp` behind NAT. */
  readonly publicIp: string
  /** Relayed addresses have ports from this range, both ends included. */
  readonly minPort: number
  readonly maxPort: number
  /** Credentials made with any of these are accepted. */
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
  /** Per allocation. */
  readonly permissions: number
  readonly channels: number
  /** Per allocation, both directions together; 0: as much as there is. */
  readonly bytesPerSecond: number
  /** Answers to requests without valid credentials, per source address. */
  readonly challengesPerSecond: number
  /** CIDR blocks that may be relayed to although they are denied by default. */
  readonly allowPeers: readonly string[]
}

export type RelaySettings = Partial<RelayOptions> & Pick<RelayOptions, 'listenIp' | 'port' | 'publicIp' | 'secrets'>

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
  permissions: 64,
  channels: 64,
  bytesPerSecond: 1_250_000,
  challengesPerSecond: 20,
  allowPeers: [],
} satisfies Partial<RelayOptions>

/** The settings with the defaults for what they leave out. Throws a RangeError that names every wrong one. */
export function relayOptions(settings: RelaySettings): RelayOptions {
  const options: RelayOptions = { ...DEFAULTS, ...settings }
  const wrong = [...complaints(options)]
  if (wrong.length > 0) throw new RangeError(`relay: ${wrong.join('; ')}`)
  return options
}

function* complaints(options: RelayOptions): Generator<string> {
  const { listenIp, publicIp, minPort, maxPort } = options
  const listen = canonical(listenIp)
  const shown = canonical(publicIp)
  if (listen === undefined) yield 'listenIp must be an IP address'
  // 0.0.0.0 as a relayed address is of no use to anybody
  if (shown === undefined || shown === '0.0.0.0' || shown === '::') yield 'publicIp must be the address peers see'
  else if (listen !== undefined && familyOf(listen) !== familyOf(shown)) {
    yield 'listenIp and publicIp must both be IPv4 or both IPv6'
  }
  if (!whole(options.port, 0, 65_535)) yield 'port must be from 0 to 65535'
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
  for (const block of options.allowPeers) {
    if (!parseCidr(block)) yield `allowPeers: ${block} is not a CIDR block such as 10.0.0.0/8`
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
  'permissions',
  'channels',
  'challengesPerSecond',
] as const satisfies readonly (keyof RelayOptions)[]

const whole = (value: number, least: number, most: number) => Number.isInteger(value) && value >= least && value <= most
