/** ChannelBind (RFC 8656, section 12.2). */

import type { Answer, Exchange } from '../exchange.ts'
import { FIRST_CHANNEL, LAST_CHANNEL } from '../framing.ts'
import type { Holding } from '../holding.ts'
import type { PeerPolicy } from '../peers.ts'
import { refusalOf } from './create-permission.ts'

export function channelBind({ request }: Exchange, holding: Holding, policy: PeerPolicy): Answer {
  const number = request.number('channel-number')
  const [peer] = request.peers
  if (number === undefined || number < FIRST_CHANNEL || number > LAST_CHANNEL) return 400
  if (!peer || peer.port === 0) return 400
  const allocation = holding.of(peer.family)
  const refusal = refusalOf(peer, holding, policy)
  if (!allocation || refusal !== undefined) return refusal ?? 443
  if (holding.uses(number, allocation)) return 400

  const outcome = allocation.bind(number, peer)
  if (outcome === 'bound') return 'success'
  return outcome === 'taken' ? 400 : 508
}
