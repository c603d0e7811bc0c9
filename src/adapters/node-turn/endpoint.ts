/**
 * Addresses in one spelling each, so that a Map can be keyed by them: dotted quads, and IPv6 as inet_ntop writes it
 * (the form in which sockets name their peers).
 */

import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import { Address, type NodeTurnAddress } from './node-turn.ts'

export type Family = 4 | 6

export interface Endpoint {
  readonly family: Family
  /** Canonical: see {@link canonical}. */
  readonly address: string
  readonly port: number
}

/** The one spelling of an address, without a zone; undefined when it is none. */
export function canonical(address: string): string | undefined {
  const bare = address.split('%', 1)[0] ?? ''
  // isIPv4 refuses leading zeros, so each IPv4 address has only one spelling as it is
  if (isIPv4(bare)) return bare
  return isIPv6(bare) ? new SocketAddress({ address: bare, family: 'ipv6' }).address : undefined
}

export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4)

/** Throws when the address is none. */
export function endpoint(address: string, port: number): Endpoint {
  const known = canonical(address)
  if (known === undefined) throw new RangeError(`${address} is not an IP address`)
  return { family: familyOf(known), address: known, port }
}

/** An endpoint for node-turn's encoder, which needs all eight groups of an IPv6 address written out (its own `::` is wrong). */
export function toNodeTurn({ family, address, port }: Endpoint): NodeTurnAddress {
  return new Address(family === 4 ? address : groups(address).join(':'), port)
}

/** What node-turn's decoder made of XOR-PEER-ADDRESS. */
export function fromNodeTurn(value: unknown): Endpoint {
  const { address, port } = value as NodeTurnAddress
  return endpoint(address, port)
}

/** The eight groups of an IPv6 address in hexadecimal (RFC 4291, section 2.2), its zone left out. */
export function groups(address: string): string[] {
  const [head = '', tail] = dotless(address.replace(/%.*$/, '')).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
}

/** `::ffff:1.2.3.4` → `::ffff:102:304` */
function dotless(address: string): string {
  const quad = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  if (!quad) return address
  const [a = 0, b = 0, c = 0, d = 0] = quad.slice(1).map(Number)
  return `${address.slice(0, quad.index)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}

/** The address in network order: 4 or 16 octets. */
export function octets({ family, address }: Endpoint): Buffer {
  if (family === 4) return Buffer.from(address.split('.').map(Number))
  const bytes = Buffer.alloc(16)
  groups(address).forEach((group, at) => void bytes.writeUInt16BE(Number.parseInt(group, 16), at * 2))
  return bytes
}
