/** Send (RFC 8656, section 11.2): an indication, so whatever is wrong with it, there is no answer. */

import type { Holding } from '../holding.ts'
import type { Inbound } from '../message.ts'

export function send(indication: Inbound, holding: Holding): void {
  const [peer] = indication.peers
  const data = indication.payload
  if (peer && peer.port !== 0 && data) holding.of(peer.family)?.toPeer(peer, data)
}
