/** Parties and their legs: who is who in a call, and who speaks for whom. */

import type { Actor, Call, CallTimers, Feature, Leg, Target } from '../types.ts'

/** Whether the call has ended: then nothing about it changes any more. */
export function isOver(call: Call): boolean {
  return call.endedAt !== undefined
}

export const isUnanswered = (call: Call): boolean => call.status === 'CALLING' || call.status === 'RINGING'

/** Of a room everybody who is or was asked into it. */
export const isParty = (call: Call, user: string): boolean =>
  call.members === undefined
    ? user === call.caller || user === call.callee
    : call.members.some((member) => member.user === user)

export const peerOf = (call: Call, user: string): string => (user === call.caller ? call.callee : call.caller)

export function legOf(call: Call, user: string): Leg | undefined {
  if (call.members !== undefined) return call.members.find((member) => member.user === user)?.leg
  return user === call.caller ? call.origin : call.winner
}

export const otherLeg = (call: Call, user: string): Leg | undefined =>
  user === call.caller ? call.winner : call.origin

/** When a leg that says nothing counts as lost; undefined while a device is bound and connected. */
export function silentUntil(leg: Leg, timers: CallTimers): number | undefined {
  if (leg.device === undefined) return leg.heardAt + timers.httpLegMs
  return leg.lostAt === undefined ? undefined : leg.lostAt + timers.graceMs
}

/** A device speaks for the party, and is there. */
export const isBound = (leg: Leg): leg is Leg & { readonly device: string } =>
  leg.device !== undefined && leg.lostAt === undefined

export const legFor = (actor: Actor, now: number, features?: readonly Feature[]): Leg => ({
  user: actor.user,
  device: actor.device,
  token: actor.token,
  heardAt: now,
  features,
})

/** The actor is the leg's own device, or the same token on a new session after that device was lost: it came back. */
export function speaksFor(leg: Leg | undefined, actor: Actor): boolean {
  if (!leg || leg.user !== actor.user) return false
  if (leg.device === actor.device) return true
  return leg.lostAt !== undefined && (leg.token === actor.token || leg.former?.includes(actor.token) === true)
}

export const targetOf = (leg: Leg, except?: string): Target =>
  leg.device === undefined ? { user: leg.user, except } : { user: leg.user, devices: [leg.device] }
