/**
 * To whom may be relayed. Anybody with credentials can make the relay send packets from inside the operator's network,
 * so everything that is not the open internet is denied unless the operator names it (RFC 8656, section 21.2).
 */

import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { type Family, familyOf, groups } from './endpoint.ts'

/** IANA special-purpose registries (RFC 6890 and successors), multicast, and transition prefixes that embed IPv4. */
export const DENIED_BY_DEFAULT: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // :: itself, ::1, and the deprecated IPv4-compatible addresses
  '::/96',
  '::ffff:0:0/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  '5f00::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]

/**
 * - `allowed`: relay to it
 * - `own`: an address of this relay: only what lives on a relayed port here may be reached, inside the process
 * - `denied`: 403
 */
export type PeerVerdict = 'allowed' | 'own' | 'denied'

export class PeerPolicy {
  readonly #allowed: Blocks
  readonly #denied: Blocks
  readonly #deniedByDefault = new Blocks(DENIED_BY_DEFAULT)
  readonly #relayed: ReadonlySet<string>
  readonly #own: ReadonlySet<string>

  /**
   * `relayed` are the addresses of all relayed addresses, `own` every address of this machine; all canonical. `deny`
   * wins over `allow`, and `allow` over what is denied by default. No rule is about what two parties who are relayed
   * here say to each other: that never leaves the process.
   */
  constructor({ allow, deny, relayed, own }: PeerRules) {
    this.#allowed = new Blocks(allow)
    this.#denied = new Blocks(deny)
    this.#relayed = new Set(relayed)
    this.#own = new Set(own)
  }

  /** `address` must be canonical. */
  verdict(address: string): PeerVerdict {
    // an address that leads to an IPv4 address is never better than that one
    const inside = embedded(address)
    return inside === undefined || this.#judge(inside) === 'allowed' ? this.#judge(address) : 'denied'
  }

  #judge(address: string): PeerVerdict {
    const own = this.#relayed.has(address)
    if (this.#denied.has(address)) return own ? 'own' : 'denied'
    if (this.#allowed.has(address)) return 'allowed'
    if (own) return 'own'
    return this.#own.has(address) || this.#deniedByDefault.has(address) ? 'denied' : 'allowed'
  }
}

export interface PeerRules {
  readonly allow: readonly string[]
  readonly deny: readonly string[]
  readonly relayed: Iterable<string>
  readonly own: Iterable<string>
}

/**
 * The IPv4 address within an IPv4-mapped one (RFC 4291, section 2.5.5.2), behind a NAT64 (RFC 6052, section 2.1: the
 * well-known prefix) or behind 6to4 (RFC 3056).
 */
function embedded(address: string): string | undefined {
  if (familyOf(address) === 4) return undefined
  const all = groups(address).map((group) => Number.parseInt(group, 16))
  const starts = (...wanted: number[]) => wanted.every((group, at) => all[at] === group)
  const at = starts(0, 0, 0, 0, 0, 0xffff) || starts(0x64, 0xff9b, 0, 0, 0, 0) ? 6 : starts(0x2002) ? 1 : undefined
  if (at === undefined) return undefined
  const [high = 0, low = 0] = all.slice(at, at + 2)
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
}

/** Blocks of both families, kept apart: in one BlockList a rule for ::ffff:0:0/96 matches every IPv4 address. */
class Blocks {
  readonly #lists: Readonly<Record<Family, BlockList>> = { 4: new BlockList(), 6: new BlockList() }

  constructor(blocks: readonly string[]) {
    for (const block of blocks) {
      const cidr = parseCidr(block)
      if (!cidr) throw new RangeError(`${block} is not a CIDR block`)
      this.#lists[cidr.family].addSubnet(cidr.address, cidr.prefix, cidr.family === 4 ? 'ipv4' : 'ipv6')
    }
  }

  has(address: string): boolean {
    const family = familyOf(address)
    return this.#lists[family].check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}

/** `10.0.0.0/8`, `fd00::/8`, or one address; undefined when it is neither. */
export function parseCidr(block: string): { family: Family; address: string; prefix: number } | undefined {
  const [, address = '', bits] = /^([0-9A-Fa-f.:]+)(?:\/([0-9]{1,3}))?$/.exec(block) ?? []
  if (!isIPv4(address) && !isIPv6(address)) return undefined
  const family = familyOf(address)
  const most = family === 4 ? 32 : 128
  const prefix = bits === undefined ? most : Number(bits)
  return prefix <= most ? { family, address, prefix } : undefined
}
