/** Refresh (RFC 8656, section 8.2). */

import type { Answer, Exchange } from '../exchange.ts'
import type { Holding } from '../holding.ts'
import { REQUESTED_ADDRESS_FAMILY } from '../message.ts'
import { grant, type Lifetimes } from './lifetime.ts'

/** Of one family when the request names it, else of all that the client has. */
export function refresh(exchange: Exchange, holding: Holding, lifetimes: Lifetimes): Answer {
  const { request } = exchange
  const family = request.octetsOf(REQUESTED_ADDRESS_FAMILY)?.[0]
  const meant = holding.allocations.filter(
    ({ relayed }) => family === undefined || family === (relayed.family === 4 ? 1 : 2),
  )
  if (meant.length === 0) return 443

  const asked = request.number('lifetime')
  const seconds = asked === 0 ? 0 : grant(asked, lifetimes)
  for (const allocation of meant) {
    if (seconds === 0) allocation.release()
    else allocation.refresh(seconds)
  }
  exchange.add('lifetime', seconds)
  return 'success'
}
