/** What a decision is made of. */

import { accepted, type Outcome, type Refusal } from '../../errors.ts'
import type { Call, CallCommand, CallId, Effect } from '../types.ts'

/** The calls that a command may touch. */
export interface Situation {
  readonly callId: CallId
  /** The call that has the command's callId. */
  readonly call?: Call | undefined
  /** With a request, a hold or a transfer: the live calls in the line of who asks. */
  readonly mine?: readonly Call[]
  /** With a request those in the callee's line, with a transfer in the target's. */
  readonly theirs?: readonly Call[]
  /** With a transfer: those in the line of the other party. */
  readonly peers?: readonly Call[]
  /** The calls that these are bound up with ({@link linksOf}), as far as they are known. */
  readonly linked?: readonly Call[]
  /** With an invitation: those of the invitees who are in another live call. */
  readonly taken?: readonly string[] | undefined
}

export interface Decision {
  /** What the one who gave the command is answered. A refusal may still write: a busy callee leaves a record. */
  readonly outcome: Outcome<unknown>
  /** The command's own call as it shall be; it keeps the version it was loaded with (0: new). */
  readonly write?: Call | undefined
  /** Done in order, after the commit. */
  readonly effects: readonly Effect[]
  /** What becomes of other calls. All of it is committed together with `write`, or none. */
  readonly others?: readonly Change[]
  /** The call is past its tombstone. */
  readonly forget?: boolean
}

/** A call as it shall be, and what is done about it after the commit. */
export interface Change {
  readonly call: Call
  readonly effects: readonly Effect[]
}

export type RequestCommand = Extract<CallCommand, { verb: 'request' }>

export type InviteCommand = Extract<CallCommand, { verb: 'invite' }>

export const unchanged: Decision = { outcome: accepted, effects: [] }

export const refused = (outcome: Refusal): Decision => ({ outcome, effects: [] })

/** A change of the command's own call. */
export const written = ({ call, effects }: Change): Rebound => ({ write: call, effects })

/** What may be missing of a decision until its outcome is known. */
export type Rebound = Pick<Decision, 'write' | 'effects'>
