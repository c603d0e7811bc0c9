/** Send (RFC 8656, section 11.2): an indication, so whatever is wrong with it, there is no answer. */

import type { Allocation } from '../allocation.ts'
import type { Inbound } from '../message.ts'

export function send(indication: Inbound, allocation: Allocation): void {
  const [peer] = indication.peers
  const data = indication.payload
  if (peer && peer.port !== 0 && data) allocation.toPeer(peer, data)
}
