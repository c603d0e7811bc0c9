/** CreatePermission (RFC 8656, section 10.2). */

import type { Allocation } from '../allocation.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Answer, ErrorCode, Exchange } from '../exchange.ts'
import type { PeerPolicy } from '../peers.ts'

/** All the peers that are named, or none of them. */
export function createPermission({ request }: Exchange, allocation: Allocation, policy: PeerPolicy): Answer {
  const { peers } = request
  const refusal = peers.length === 0 ? 400 : peers.map((peer) => refusalOf(peer, allocation, policy)).find(Boolean)
  if (refusal !== undefined) return refusal
  // ports have no meaning here
  return allocation.permit(peers.map(({ address }) => address)) ? 'success' : 508
}

/** Why this peer may not be relayed to. */
export function refusalOf(peer: Endpoint, allocation: Allocation, policy: PeerPolicy): ErrorCode | undefined {
  if (peer.family !== allocation.relayed.family) return 443
  return policy.verdict(peer.address) === 'denied' ? 403 : undefined
}
