/** ChannelBind (RFC 8656, section 12.2). */

import type { Allocation } from '../allocation.ts'
import type { Answer, Exchange } from '../exchange.ts'
import { FIRST_CHANNEL, LAST_CHANNEL } from '../framing.ts'
import type { PeerPolicy } from '../peers.ts'
import { refusalOf } from './create-permission.ts'

export function channelBind({ request }: Exchange, allocation: Allocation, policy: PeerPolicy): Answer {
  const number = request.number('channel-number')
  const [peer] = request.peers
  if (number === undefined || number < FIRST_CHANNEL || number > LAST_CHANNEL) return 400
  if (!peer || peer.port === 0) return 400
  const refusal = refusalOf(peer, allocation, policy)
  if (refusal !== undefined) return refusal

  const outcome = allocation.bind(number, peer)
  if (outcome === 'bound') return 'success'
  return outcome === 'taken' ? 400 : 508
}
