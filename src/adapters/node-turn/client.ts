/**
 * A client as the relay sees it: a 5-tuple (RFC 8656, section 2.2), that is where it is, which of our addresses it
 * talks to and over what, and what it holds here. Sockets and connections are udp.ts's and connection.ts's business.
 */

import type { Endpoint } from './endpoint.ts'
import type { Holding } from './holding.ts'

export type ClientTransport = 'udp' | 'tcp' | 'tls'

export abstract class Client {
  readonly transport: ClientTransport
  /** Where it is, as its packets say: what XOR-MAPPED-ADDRESS tells it. */
  readonly remote: Endpoint
  /** Our address that it talks to. */
  readonly local: Endpoint
  /** Its allocations, also while the first one is being made. */
  holding: Holding | undefined

  protected constructor(transport: ClientTransport, remote: Endpoint, local: Endpoint) {
    this.transport = transport
    this.remote = remote
    this.local = local
  }

  /** Sends a STUN message. False when it was dropped, because the client does not keep up or is gone. */
  abstract send(message: Buffer): boolean

  /** Sends a peer's data through a channel. False as above. */
  abstract sendChannelData(channel: number, data: Buffer): boolean

  /** From now on whatever comes from there finds this very object, and with it what it holds. */
  abstract keep(): void

  /** The opposite of {@link keep}: it holds nothing any more. */
  abstract forget(): void
}
