/** A call after a change. */

import type { Call } from './types.ts'

export type FreshCall = { -readonly [Field in keyof Call]: Call[Field] }

/**
 * The same call but for what `changes` names. Field by field, in one order: all calls are then objects of one kind to the
 * engine that runs this, which makes them several times cheaper to copy and to read than a spread would.
 */
export function changed(call: Call, changes: Partial<Call>): FreshCall {
  return {
    callId: call.callId,
    type: call.type,
    caller: call.caller,
    callee: call.callee,
    request: changes.request ?? call.request,
    fingerprint: call.fingerprint,
    answer: changes.answer ?? call.answer,
    origin: changes.origin ?? call.origin,
    winner: changes.winner ?? call.winner,
    status: changes.status ?? call.status,
    reason: changes.reason ?? call.reason,
    rung: changes.rung ?? call.rung,
    declined: changes.declined ?? call.declined,
    kept: changes.kept ?? call.kept,
    createdAt: call.createdAt,
    ringingAt: changes.ringingAt ?? call.ringingAt,
    connectedAt: changes.connectedAt ?? call.connectedAt,
    endedAt: changes.endedAt ?? call.endedAt,
    ringUntil: call.ringUntil,
    held: changes.held ?? (call.held === undefined || 'held' in changes ? undefined : call.held),
    beside: call.beside,
    transfer: changes.transfer ?? (call.transfer === undefined || 'transfer' in changes ? undefined : call.transfer),
    replaces: call.replaces,
    transferredBy: call.transferredBy,
    aim: changes.aim ?? (call.aim === undefined || 'aim' in changes ? undefined : call.aim),
    members: changes.members ?? call.members,
    media: changes.media ?? call.media,
    aloneSince:
      changes.aloneSince ?? (call.aloneSince === undefined || 'aloneSince' in changes ? undefined : call.aloneSince),
    due: changes.due ?? call.due,
    version: changes.version ?? call.version,
  }
}
