/** CreatePermission (RFC 8656, section 10.2). */

import type { Endpoint } from '../endpoint.ts'
import type { Answer, ErrorCode, Exchange } from '../exchange.ts'
import type { Holding } from '../holding.ts'
import type { PeerPolicy } from '../peers.ts'

/** All the peers that are named, or none of them. */
export function createPermission({ request }: Exchange, holding: Holding, policy: PeerPolicy): Answer {
  const { peers } = request
  const refusal = peers.length === 0 ? 400 : peers.map((peer) => refusalOf(peer, holding, policy)).find(Boolean)
  if (refusal !== undefined) return refusal
  // ports have no meaning here
  const all = holding.allocations.map((allocation) => {
    const { family } = allocation.relayed
    return { allocation, addresses: peers.filter((peer) => peer.family === family).map(({ address }) => address) }
  })
  if (!all.every(({ allocation, addresses }) => allocation.hasRoomFor(addresses))) return 508
  for (const { allocation, addresses } of all) allocation.permit(addresses)
  return 'success'
}

/** Why this peer may not be relayed to. */
export function refusalOf(peer: Endpoint, holding: Holding, policy: PeerPolicy): ErrorCode | undefined {
  if (!holding.of(peer.family)) return 443
  return policy.verdict(peer.address) === 'denied' ? 403 : undefined
}
