/** How a call ends, and when it ends by itself. */

import { changed } from '../changed.ts'
import type { Call, CallTimers, Effect, EndReason, EndStatus, Leg, Names } from '../types.ts'
import type { Change } from './decision.ts'
import { isUnanswered, otherLeg, silentUntil } from './legs.ts'
import { firstInRoom } from './room-times.ts'
import { hangUpRung, tell, tellLeg } from './words.ts'

export function end(
  call: Call,
  status: EndStatus,
  reason: EndReason,
  now: number,
  timers: CallTimers,
  effects: readonly Effect[],
): Change {
  const ended = changed(call, {
    status,
    reason,
    endedAt: now,
    due: now + timers.tombstoneMs,
    // A tombstone needs none of these, and a client must not be able to fill the memory with ended calls.
    request: {},
    rung: [],
    declined: [],
    kept: [],
  })
  return { call: ended, effects: [...effects, { kind: 'news', news: 'call.ended', call: ended, names: namesOf(call) }] }
}

/** What the request says the parties are called: an ended call has forgotten it. */
function namesOf({ request: { callerUserName, calleeUserName } }: Call): Names {
  return {
    ...(typeof callerUserName === 'string' && { callerUserName }),
    ...(typeof calleeUserName === 'string' && { calleeUserName }),
  }
}

interface Deadline {
  readonly at: number
  readonly passes: 'ring' | 'caller-lost' | 'longest-call' | 'peer-lost'
  /** With `peer-lost`: whose. */
  readonly leg?: Leg
}

/** What the earliest deadline that has passed makes of a live call of two. */
export function expire(call: Call, now: number, timers: CallTimers): Change | undefined {
  if (now < call.due) return undefined
  const first = earliest(deadlines(call, timers))
  return first.at <= now ? passed(first, call, now, timers) : undefined
}

/** All deadlines of a live call; with equal times the first listed wins. There is always one. */
function deadlines(call: Call, timers: CallTimers): readonly Deadline[] {
  if (isUnanswered(call)) {
    const ring: Deadline = { at: call.ringUntil, passes: 'ring' }
    const { lostAt } = call.origin
    return lostAt === undefined ? [ring] : [ring, { at: lostAt + timers.callerGraceMs, passes: 'caller-lost' }]
  }
  const longest: Deadline = {
    at: (call.connectedAt ?? call.createdAt) + timers.longestCallMs,
    passes: 'longest-call',
  }
  return [...lossOf(call.origin, timers), ...lossOf(call.winner, timers), longest]
}

function lossOf(leg: Leg | undefined, timers: CallTimers): readonly Deadline[] {
  const at = leg && silentUntil(leg, timers)
  return leg === undefined || at === undefined ? NONE : [{ at, passes: 'peer-lost', leg }]
}

const NONE: readonly Deadline[] = []

function earliest(all: readonly Deadline[]): Deadline {
  return all.reduce((first, other) => (other.at < first.at ? other : first))
}

function passed({ passes, leg }: Deadline, call: Call, now: number, timers: CallTimers): Change {
  const { callId } = call
  switch (passes) {
    case 'ring':
      return missed(call, now, timers)
    case 'caller-lost':
      return end(call, 'CANCELLED', 'CALLER_LOST', now, timers, [
        ...hangUpRung(call, 'CALLER_LOST'),
        // It may be back in a moment, and find this
        ...tellLeg(call.origin, 'call/hangup', { callId, reason: 'CALLER_LOST' }),
      ])
    case 'longest-call':
      return end(call, 'COMPLETED', 'MAX_DURATION', now, timers, [
        ...tellLeg(call.origin, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
        ...tellLeg(call.winner, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
      ])
    case 'peer-lost': {
      const body = { callId, reason: 'PEER_LOST' }
      return end(call, 'COMPLETED', 'PEER_LOST', now, timers, [
        ...tellLeg(leg && otherLeg(call, leg.user), 'call/hangup', body),
        // The user as a whole was silent, but devices may still show the call; a device that was lost may come back.
        ...tellLeg(leg, 'call/hangup', body),
      ])
    }
  }
}

/** Nobody has answered: every device of the callee hears that, and who calls. */
export function missed(call: Call, now: number, timers: CallTimers): Change {
  const { callId, callee } = call
  return end(call, 'MISSED', 'NO_ANSWER', now, timers, [
    tell({ user: callee }, 'call/timeout', { callId }),
    ...tellLeg(call.origin, 'call/timeout', { callId }),
  ])
}

/** The live call after these changes, with `due` at its earliest deadline. */
export function scheduled(call: Call, changes: Partial<Call>, timers: CallTimers): Call {
  const next = changed(call, changes)
  next.due = (next.members === undefined ? earliest(deadlines(next, timers)) : firstInRoom(next, timers)).at
  return next
}
