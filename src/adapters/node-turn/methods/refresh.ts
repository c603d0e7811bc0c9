/** Refresh (RFC 8656, section 8.2). */

import type { Allocation } from '../allocation.ts'
import type { Answer, Exchange } from '../exchange.ts'
import { REQUESTED_ADDRESS_FAMILY } from '../message.ts'
import { grant, type Lifetimes } from './lifetime.ts'

export function refresh(exchange: Exchange, allocation: Allocation, lifetimes: Lifetimes): Answer {
  const { request } = exchange
  const family = request.octetsOf(REQUESTED_ADDRESS_FAMILY)?.[0]
  if (family !== undefined && family !== (allocation.relayed.family === 4 ? 1 : 2)) return 443

  const asked = request.number('lifetime')
  const seconds = asked === 0 ? 0 : grant(asked, lifetimes)
  if (seconds === 0) allocation.release()
  else allocation.refresh(seconds)
  exchange.add('lifetime', seconds)
  return 'success'
}
