/**
 * The port a transport answers: one peer to which octets go, and from which octets come.
 * The broker sees nothing else of ws or SockJS.
 */

import type { Outgoing } from './frame.ts'

/** What is known of a peer before it has sent a frame. */
export interface Peer {
  readonly transport: 'websocket' | 'sockjs' | 'memory'
  /** The address that the limits for failed logins count. */
  readonly address: string
  /** Query parameters of the address it connected to; of a repeated one the first. */
  readonly query: Readonly<Record<string, string>>
}

export interface Connection {
  readonly peer: Peer
  /** Octets written here and not yet taken by the network (for polling transports: not yet fetched by the peer). */
  readonly buffered: number
  /**
   * Writes one whole frame, or a heart-beat. It may leave a little later, together with others of the same turn of the
   * event loop. Never throws; after the end it does nothing.
   */
  send(frame: string | Outgoing): void
  /** Sends what is waiting, then closes (and reads again, if it was paused) with a WebSocket close code (RFC 6455 section 7.4) and a reason for people. */
  close(code: number, reason: string): void
  /** Ends at once, without waiting for anything. */
  terminate(): void
  /** Stops reading, so that the peer's TCP window closes; false where the transport cannot. */
  pause(): boolean
  resume(): void
  /** Asks for a sign of life below STOMP (WebSocket ping); `alive` answers. False where the transport cannot. */
  ping(): boolean
  /** Set by whoever accepts the connection, before the first event. */
  handler: ConnectionHandler
}

export interface ConnectionHandler {
  /** Octets from the peer, of any cut. Good until this returns: the next ones may come in the same memory. */
  data(octets: Buffer): void
  /** The peer has answered a ping. */
  alive(): void
  /** What was written could not leave at once: it waits for the peer. Told again as long as that is so. */
  stalled(): void
  /** What was waiting has been taken by the network. Told where the transport knows of it. */
  drained(): void
  /** Called once, whoever ended it. */
  closed(code: number, reason: string): void
}

/** Hears nothing: the handler of a connection that nobody has accepted yet, or that was turned away. */
export const NOBODY: ConnectionHandler = { data() {}, alive() {}, stalled() {}, drained() {}, closed() {} }
