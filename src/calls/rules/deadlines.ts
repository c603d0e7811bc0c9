/** How a call ends, and when it ends by itself. */

import type { Call, CallTimers, Effect, EndReason, EndStatus, Leg } from '../types.ts'
import type { Change } from './decision.ts'
import { isUnanswered, otherLeg } from './legs.ts'
import { hangUpRung, tell, tellLeg } from './words.ts'

export function end(
  call: Call,
  status: EndStatus,
  reason: EndReason,
  now: number,
  timers: CallTimers,
  effects: readonly Effect[],
): Change {
  const ended: Call = {
    ...call,
    status,
    reason,
    endedAt: now,
    due: now + timers.tombstoneMs,
    // A tombstone needs none of these, and a client must not be able to fill the memory with ended calls.
    request: {},
    rung: [],
    declined: [],
    kept: [],
  }
  return { call: ended, effects: [...effects, { kind: 'news', news: 'call.ended', call: ended }] }
}

interface Deadline {
  readonly at: number
  readonly ends: (now: number) => Change
}

/** What the earliest deadline that has passed makes of a live call. */
export function expire(call: Call, now: number, timers: CallTimers): Change | undefined {
  if (now < call.due) return undefined
  const passed = deadlines(call, timers)
    .filter((deadline) => deadline.at <= now)
    .sort((a, b) => a.at - b.at)[0]
  return passed?.ends(now)
}

/** All deadlines of a live call; with equal times the first listed wins. */
function deadlines(call: Call, timers: CallTimers): readonly Deadline[] {
  const { callId } = call
  if (isUnanswered(call)) {
    const ring: Deadline = {
      at: call.ringUntil,
      ends: (now) =>
        end(call, 'MISSED', 'NO_ANSWER', now, timers, [
          tell({ user: call.callee }, 'call/timeout', { callId }),
          ...tellLeg(call.origin, 'call/timeout', { callId }),
        ]),
    }
    if (call.origin.lostAt === undefined) return [ring]
    const callerLost: Deadline = {
      at: call.origin.lostAt + timers.callerGraceMs,
      ends: (now) => end(call, 'CANCELLED', 'CALLER_LOST', now, timers, hangUpRung(call, 'CALLER_LOST')),
    }
    return [ring, callerLost]
  }
  const longest: Deadline = {
    at: (call.connectedAt ?? call.createdAt) + timers.longestCallMs,
    ends: (now) =>
      end(call, 'COMPLETED', 'MAX_DURATION', now, timers, [
        ...tellLeg(call.origin, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
        ...tellLeg(call.winner, 'call/hangup', { callId, reason: 'MAX_DURATION' }),
      ]),
  }
  const lost = [call.origin, call.winner].flatMap((leg): Deadline[] => {
    const at = leg && silentUntil(leg, timers)
    if (!leg || at === undefined) return []
    const body = { callId, reason: 'PEER_LOST' }
    return [
      {
        at,
        ends: (now) =>
          end(call, 'COMPLETED', 'PEER_LOST', now, timers, [
            ...tellLeg(otherLeg(call, leg.user), 'call/hangup', body),
            // The user as a whole was silent, but devices may still show the call.
            ...(leg.device === undefined ? tellLeg(leg, 'call/hangup', body) : []),
          ]),
      },
    ]
  })
  return [...lost, longest]
}

/** When a leg that says nothing counts as lost; undefined while a device is bound and connected. */
function silentUntil(leg: Leg, timers: CallTimers): number | undefined {
  if (leg.device === undefined) return leg.heardAt + timers.httpLegMs
  return leg.lostAt === undefined ? undefined : leg.lostAt + timers.graceMs
}

/** Sets `due` to the earliest deadline of a live call. */
export function scheduled(call: Call, timers: CallTimers): Call {
  return { ...call, due: Math.min(...deadlines(call, timers).map((deadline) => deadline.at)) }
}
