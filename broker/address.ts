/**
 * Addresses of peers: which one a request comes from when proxies stand between, and which addresses count as one
 * when something is limited per address. Knows nothing of what is limited.
 */

import { BlockList, isIP } from 'node:net'

/**
 * The address a request comes from. `remote`: of its socket; `forwardedFor`: its X-Forwarded-For (several of them
 * joined by commas, as Node does). Never throws; an empty text when there is none.
 */
export type PeerAddress = (remote: string | undefined, forwardedFor: string | readonly string[] | undefined) => string

/**
 * Believes X-Forwarded-For as far as `trusted` proxies (addresses and CIDR ranges) have written it: each proxy adds the
 * address that it was asked from at the right end, so the first one from the right that is no trusted proxy's is the
 * peer's, and what stands left of it is anybody's invention.
 */
export function peerAddress(trusted: readonly string[]): PeerAddress {
  const proxies = blockList(trusted)
  const isProxy = (address: string) => proxies.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return (remote, forwardedFor) => {
    let address = plain(remote ?? '') ?? ''
    if (trusted.length === 0 || forwardedFor === undefined || address === '') return address
    const hops = String(forwardedFor).split(',')
    while (hops.length > 0 && isProxy(address)) {
      const before = plain(hops.pop() as string)
      // A proxy that names nobody (`unknown`): then it is the last one that is known
      if (before === undefined) break
      address = before
    }
    return address
  }
}

/**
 * What counts as one peer: an IPv4 address however it is written, and of IPv6 the /64 that a single host has to choose
 * from (RFC 4291 section 2.5.1).
 */
export function networkOf(address: string): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (v4 !== undefined || !address.includes(':')) return v4 ?? address
  const [head = '', tail] = (address.split('%')[0] as string).toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length
    while (groups.length + rest < 8) groups.push('0')
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

/** How many there are of each address, up to a bound; 0: nobody counts. */
export class Addresses {
  readonly #most: number
  readonly #counts = new Map<string, number>()

  constructor(most: number) {
    this.#most = most
  }

  roomFor(address: string): boolean {
    return this.#most === 0 || (this.#counts.get(networkOf(address)) ?? 0) < this.#most
  }

  add(address: string): void {
    if (this.#most === 0) return
    const network = networkOf(address)
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1)
  }

  remove(address: string): void {
    if (this.#most === 0) return
    const network = networkOf(address)
    const left = (this.#counts.get(network) ?? 0) - 1
    if (left > 0) this.#counts.set(network, left)
    else this.#counts.delete(network)
  }
}

/** Some proxies write `192.0.2.1:4711`, `[2001:db8::1]:4711` or `"[2001:db8::1]"`: the port is not the peer's name. */
function plain(written: string): string | undefined {
  const text = written.trim().replace(/^"(.*)"$/, '$1')
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(text)?.[1] ?? text
  const address = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare
  return isIP(address) === 0 ? undefined : address
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}
