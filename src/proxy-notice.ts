/**
 * Notices that a reverse proxy stands in front that the configuration does not know: then every limit per address counts
 * all clients as one, and one that guesses tokens shuts everybody out. Said once; it changes nothing.
 */

import { BlockList, isIP } from 'node:net'
import { peerAddress } from '../broker/index.ts'

/** Where proxies are that an operator has put there: this machine and private networks (RFC 1918, 4193, 6598). */
const NEAR = new BlockList()
for (const [network, bits] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  NEAR.addSubnet(network, bits, 'ipv4')
NEAR.addSubnet('fc00::', 7, 'ipv6')
NEAR.addAddress('::1', 'ipv6')

export interface Asked {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly socket: { readonly remoteAddress?: string | undefined }
}

/** To be shown every request; warns at the first one that a proxy near by has forwarded and nobody believes. */
export function proxyNotice(trustedProxies: readonly string[], warn: (text: string) => void): (request: Asked) => void {
  const addressOf = peerAddress([])
  const believed = peerAddress(trustedProxies)
  let said = false
  return ({ headers, socket }) => {
    const forwarded = headers['x-forwarded-for']
    if (said || forwarded === undefined) return
    const proxy = addressOf(socket.remoteAddress, undefined)
    if (believed(proxy, forwarded) !== proxy || isIP(proxy) === 0) return
    if (!NEAR.check(proxy, isIP(proxy) === 6 ? 'ipv6' : 'ipv4')) return
    said = true
    warn(
      `requests come through ${proxy} with X-Forwarded-For, which is not believed: if that is your reverse proxy, set TRUSTED_PROXIES, else all clients count as one address`,
    )
  }
}
