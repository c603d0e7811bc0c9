/** The whole public face of the broker: STOMP over any text connection, and nothing about calls. */

export { type Cancel, type Clock, systemClock } from './clock.ts'
export type { Connection, ConnectionHandler, Peer } from './connection.ts'
export type { ClientCommand, ServerCommand, Version } from './frame.ts'
export type * from './types.ts'
