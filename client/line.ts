/** What one call and the client that it belongs to need of each other. */

import type { Clock } from './clock.ts'
import type { MediaSources } from './media-leg.ts'
import type { Letter } from './outbox.ts'
import type { Call, IncomingCall, Party } from './types.ts'
import type { CallTransferred, CallType, Feature, RosterMember } from './wire.ts'

/** What a call needs of the client it belongs to. */
export interface Line {
  readonly clock: Clock
  /** Nothing: signalling only. */
  readonly media: MediaSources | undefined
  /** Who we are. */
  readonly me: string
  /** What this client says that it can do. */
  readonly features: readonly Feature[]
  /** Now or never. */
  send(destination: string, body: unknown): Promise<void>
  /** Now, or when the server can be reached again; in order with {@link post}. */
  deliver(letter: Letter): Promise<void>
  /** The same, and nobody waits. */
  post(letter: Letter): void
  /** What waits to be sent for this call is of no use any more. */
  forget(callId: string): void
  /** The network may be gone: the media have stopped. */
  suspect(): void
  /** The other side has passed us on: a new call takes the place of this one when it is answered. */
  passedOn(call: Call, news: CallTransferred): void
  /** This one is talked in now: the server has put any other on hold. */
  foreground(call: Call): void
  /** Told once. */
  ended(call: IncomingCall): void
}

/** What a call is from its beginning. */
export interface CallFacts {
  readonly id: string
  readonly direction: 'outgoing' | 'incoming'
  readonly type: CallType
  readonly peer: Party
  /** How long it rings at most, as far as this side knows. */
  readonly ringMs: number
  /** The server cannot be reached as it begins. */
  readonly away?: boolean
  readonly waiting?: boolean
  readonly transferredBy?: Party | undefined
  /** Takes the place of this one: with its microphone and camera as they are there. */
  readonly replaces?: Call | undefined
  /** What the other side's client can do, as far as it is known. */
  readonly features?: readonly Feature[] | undefined
  /** It is a room that we are invited into. */
  readonly members?: readonly RosterMember[] | undefined
}
