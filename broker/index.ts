/** The whole public face of the broker: STOMP over any text connection, and nothing about calls. */

export { networkOf, type PeerAddress, peerAddress } from './address.ts'
export { createBroker } from './broker.ts'
export { type Cancel, type Clock, systemClock } from './clock.ts'
export type { Connection, ConnectionHandler, Peer } from './connection.ts'
export type { ClientCommand, ServerCommand, Version } from './frame.ts'
export { createLoginGuard, type LoginGuardOptions } from './login-guard.ts'
export { TokenBucket } from './rate.ts'
export { type StompEndpoint, type StompEndpointOptions, serveStomp } from './transports/serve.ts'
export type * from './types.ts'
