/** Commands for a call of two that lives. */

import { accepted, refuse } from '../../errors.ts'
import type { Actor, Call, CallCommand, CallTimers, Effect, Feature, Leg, Rejection, SignalFrame } from '../types.ts'
import { bind, cameBack, returned, withLeg } from './binding.ts'
import { end, missed, scheduled } from './deadlines.ts'
import {
  type Change,
  type Decision,
  type InviteCommand,
  type Rebound,
  type RequestCommand,
  refused,
  type Situation,
  unchanged,
  written,
} from './decision.ts'
import { hold } from './hold.ts'
import { keep } from './kept-signals.ts'
import { isBound, isOver, isParty, isUnanswered, legFor, legOf, otherLeg, speaksFor, targetOf } from './legs.ts'
import { transfer } from './transfer.ts'
import {
  answeredElsewhere,
  declinedElsewhere,
  elsewhere,
  elsewhereQuietly,
  farewell,
  forgotten,
  hangUpRung,
  notAParty,
  onlyTheCallee,
  relay,
  relayAgain,
  tell,
  tellLeg,
} from './words.ts'

export function whileLive(
  call: Call,
  command: Exclude<CallCommand, RequestCommand | InviteCommand>,
  situation: Situation,
  now: number,
  timers: CallTimers,
): Decision {
  if ('actor' in command && !isParty(call, command.actor.user)) return refused(notAParty(call))
  switch (command.verb) {
    case 'appear':
      return command.user === call.callee && isUnanswered(call) ? appear(call, command.devices, now, timers) : unchanged
    case 'listen':
      return listen(call, command.user, command.device)
    case 'lose':
      return {
        ...lose(call, command, now, timers),
        others: alsoOf(situation, (other) => lose(other, command, now, timers)),
      }
    case 'return': {
      const { user, device, token } = command
      const back = (one: Call): Rebound => returned(one, user, device, token, now, timers)
      return { outcome: accepted, ...back(call), others: alsoOf(situation, back) }
    }
    case 'recall':
      return unchanged
    case 'shutOut':
      return shutOut(call, command.user, command.device, now, timers)
    case 'shutDown':
      return shutDown(call, now, timers)
    case 'hear':
      return hear(call, command.user, now, timers)
    case 'tick':
      return unchanged
    case 'ringing':
      return ringing(call, command.actor, now, timers)
    case 'accept':
      return accept(call, command.actor, command.features, now, timers)
    case 'reject':
      return reject(call, command.actor, command.reason, now, timers)
    case 'hangup':
      return hangUp(call, command.actor, now, timers)
    case 'signal':
      return signal(call, command.actor, command.signal, now, timers)
    case 'hold':
      return hold(call, command.actor, command.hold, situation, now, timers)
    case 'transfer':
      return transfer(call, command, situation, now, timers)
  }
}

/**
 * The same of the call that shall replace this one: it was begun with the leg of who is transferred as it was then, and
 * may be known to nobody yet who tells what becomes of devices.
 */
function alsoOf({ linked = NO_CALLS, call }: Situation, command: (call: Call) => Rebound): readonly Change[] {
  return linked.flatMap((other) => {
    const write = call?.transfer?.to === other.callId && !isOver(other) ? command(other).write : undefined
    return write === undefined ? [] : [{ call: write, effects: [] }]
  })
}

const NO_CALLS: readonly Call[] = []

function ringing(call: Call, actor: Actor, now: number, timers: CallTimers): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call)) return speaksFor(call.winner, actor) ? unchanged : elsewhere(call, actor)
  return actor.device === undefined ? unchanged : appear(call, [actor.device], now, timers)
}

function appear(call: Call, devices: readonly string[], now: number, timers: CallTimers): Decision {
  const fresh = devices.filter(
    (device) =>
      !call.rung.includes(device) && !call.declined.includes(device) && (call.aim === undefined || call.aim === device),
  )
  if (fresh.length === 0) return unchanged
  const first = call.status === 'CALLING'
  const next = scheduled(
    call,
    { status: 'RINGING', ringingAt: call.ringingAt ?? now, rung: [...call.rung, ...fresh] },
    timers,
  )
  const body = { ...call.request, caller: call.caller, remainingMs: call.ringUntil - now }
  const headers = { devices: String(fresh.length) }
  const told: Effect[] = first
    ? [
        { ...tell(targetOf(call.origin), 'call/ringing', { callId: call.callId }), headers },
        { kind: 'news', news: 'call.ringing', call: next },
      ]
    : []
  return {
    outcome: accepted,
    write: next,
    effects: [tell({ user: call.callee, devices: fresh }, 'call/request', body), ...told],
  }
}

export function accept(
  call: Call,
  actor: Actor,
  features: readonly Feature[] | undefined,
  now: number,
  timers: CallTimers,
): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call)) {
    if (speaksFor(call.winner, actor)) return { outcome: accepted, ...cameBack(call, actor, now, timers) }
    return call.winner?.device === undefined && actor.device !== undefined
      ? { outcome: accepted, ...bind(call, actor.user, actor, now, timers, features ?? call.winner?.features) }
      : elsewhere(call, actor)
  }
  const winner = legFor(actor, now, features)
  // A user who answers as a whole (over HTTP) keeps every device ringing until one of them signals.
  const others = actor.device === undefined ? [] : call.rung.filter((device) => device !== actor.device)
  const next = scheduled(
    call,
    {
      status: 'CONNECTED',
      winner,
      rung: actor.device === undefined ? call.rung : [],
      // Its device may come only after the answer: then it must still hear the offer.
      kept: actor.device === undefined ? call.kept : [],
      connectedAt: now,
    },
    timers,
  )
  return {
    outcome: accepted,
    write: next,
    effects: [
      ...tellLeg(call.origin, 'call/response', { callId: call.callId, type: 'ACCEPT', ...(features && { features }) }),
      answeredElsewhere(call, others),
      ...call.kept.map((kept) => relay(targetOf(winner), call.caller, kept)),
      { kind: 'news', news: 'call.connected', call: next },
    ],
  }
}

function reject(call: Call, actor: Actor, reason: Rejection, now: number, timers: CallTimers): Decision {
  if (actor.user !== call.callee) return refused(onlyTheCallee(call))
  if (!isUnanswered(call))
    return speaksFor(call.winner, actor) ? hangUp(call, actor, now, timers) : elsewhere(call, actor)
  if (reason === 'NO_ANSWER') return { outcome: accepted, ...written(missed(call, now, timers)) }
  const others = call.rung.filter((device) => device !== actor.device)
  if (reason === 'BUSY' && actor.device !== undefined && others.length > 0) {
    const declined = [...call.declined.filter((device) => device !== actor.device), actor.device]
    return { outcome: accepted, write: scheduled(call, { rung: others, declined }, timers), effects: [] }
  }
  const ended = end(call, 'REJECTED', reason, now, timers, [
    ...tellLeg(call.origin, 'call/response', { callId: call.callId, type: 'REJECT', reason }),
    declinedElsewhere(call, others),
  ])
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

function hangUp(call: Call, actor: Actor, now: number, timers: CallTimers): Decision {
  if (isUnanswered(call) && actor.user === call.callee) return reject(call, actor, 'DECLINED', now, timers)
  const leg = legOf(call, actor.user)
  // A lost device cannot hang up itself, so any other device of its user may.
  const may = actor.overHttp || leg?.device === undefined || leg.lostAt !== undefined || speaksFor(leg, actor)
  if (!may) return isUnanswered(call) ? elsewhereQuietly(call) : elsewhere(call, actor)
  const reason = call.transfer?.by === actor.user ? 'TRANSFERRED' : 'HANGUP'
  const ended = isUnanswered(call)
    ? end(call, 'CANCELLED', 'CANCELLED', now, timers, farewell(call, actor, 'CANCELLED'))
    : end(call, 'COMPLETED', reason, now, timers, farewell(call, actor, reason))
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

function signal(call: Call, actor: Actor, frame: SignalFrame, now: number, timers: CallTimers): Decision {
  const leg = legOf(call, actor.user)
  if (!leg) {
    return refused(refuse('forbidden', 'callId: answer the call before you signal', { callId: call.callId }))
  }
  const other = otherLeg(call, actor.user)
  // Device to device, which nearly all signalling is
  if (
    call.status === 'CONNECTED' &&
    isBound(leg) &&
    leg.device === actor.device &&
    leg.reattached !== true &&
    other &&
    isBound(other)
  )
    return { outcome: accepted, effects: [relay({ user: other.user, devices: [other.device] }, actor.user, frame)] }
  const asTheUser = actor.device === undefined
  if (!asTheUser && leg.device !== undefined && !speaksFor(leg, actor)) return elsewhereQuietly(call)
  const bound =
    !asTheUser && leg.device === undefined
      ? bind(call, actor.user, actor, now, timers)
      : announced(cameBack(call, actor, now, timers), call, leg.user, timers)
  if (isUnanswered(call)) return keep(bound.write ?? call, { ...frame, from: actor.user }, bound.effects, timers)
  const again = !asTheUser && leg.device !== undefined && (leg.lostAt !== undefined || leg.reattached === true)
  const relayed = other ? [(again ? relayAgain : relay)(targetOf(other), actor.user, frame)] : []
  const effects = [...bound.effects, ...relayed]
  if (!other || other.device !== undefined) return { outcome: accepted, write: bound.write, effects }
  // Nobody is bound there yet: devices that listen hear it now, the one that comes later as well.
  const kept = keep(bound.write ?? call, { ...frame, from: actor.user }, effects, timers)
  return kept.outcome.ok ? kept : { outcome: accepted, write: bound.write, effects }
}

/** With what a device says after it came back the other side knows of it: that is said once. */
function announced(bound: Rebound, call: Call, user: string, timers: CallTimers): Rebound {
  const { write = call } = bound
  const leg = legOf(write, user)
  if (leg?.reattached !== true) return bound
  return { ...bound, write: withLeg(write, { ...leg, reattached: undefined }, timers) }
}

/** A device of a user who has none bound yet begins to listen: it hears what was said before it came. */
function listen(call: Call, user: string, device: string): Decision {
  const leg = legOf(call, user)
  if (call.status !== 'CONNECTED' || !leg || leg.device !== undefined) return unchanged
  const missed = call.kept.filter((frame) => frame.from !== user)
  return { outcome: accepted, effects: missed.map((frame) => relay({ user, devices: [device] }, frame.from, frame)) }
}

function lose(
  call: Call,
  { user, device, token, former, away }: Extract<CallCommand, { verb: 'lose' }>,
  now: number,
  timers: CallTimers,
): Decision {
  const losing = (leg: Leg | undefined): Leg | undefined =>
    leg?.user === user && leg.device === device && leg.lostAt === undefined
      ? { ...leg, lostAt: now, token: token ?? leg.token, former }
      : leg
  const origin = losing(call.origin) ?? call.origin
  const winner = losing(call.winner)
  const gone = user === call.callee && away !== true
  const rung = gone ? call.rung.filter((other) => other !== device) : call.rung
  // It may come again under another name
  const aim = gone && call.aim === device ? undefined : call.aim
  if (origin === call.origin && winner === call.winner && rung.length === call.rung.length && aim === call.aim)
    return unchanged
  const next = scheduled(call, { origin, winner, rung, aim }, timers)
  return { outcome: accepted, write: next, effects: [] }
}

/** Ends the call of a bound device that is shut out, or of whatever device of the user: everybody who knows of it hears that. */
function shutOut(call: Call, user: string, device: string | undefined, now: number, timers: CallTimers): Decision {
  const concerned = isParty(call, user) && (device === undefined || legOf(call, user)?.device === device)
  if (!concerned) return unchanged
  const body = { callId: call.callId, reason: 'ADMIN' }
  const legs = [...tellLeg(call.origin, 'call/hangup', body), ...tellLeg(call.winner, 'call/hangup', body)]
  const ended = isUnanswered(call)
    ? end(call, 'CANCELLED', 'ADMIN', now, timers, [...hangUpRung(call, 'ADMIN'), ...legs])
    : end(call, 'COMPLETED', 'ADMIN', now, timers, legs)
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

/** Nobody will be there for its answer or its timeout: what rings ends. What is answered needs no server to go on. */
function shutDown(call: Call, now: number, timers: CallTimers): Decision {
  if (!isUnanswered(call)) return { outcome: accepted, effects: forgotten(call) }
  const ended = end(call, 'CANCELLED', 'ADMIN', now, timers, [
    ...hangUpRung(call, 'ADMIN'),
    ...tellLeg(call.origin, 'call/hangup', { callId: call.callId, reason: 'ADMIN' }),
  ])
  return { outcome: accepted, write: ended.call, effects: ended.effects }
}

function hear(call: Call, user: string, now: number, timers: CallTimers): Decision {
  const leg = legOf(call, user)
  if (!leg || leg.device !== undefined || leg.heardAt === now) return unchanged
  return { outcome: accepted, write: withLeg(call, { ...leg, heardAt: now }, timers), effects: [] }
}
