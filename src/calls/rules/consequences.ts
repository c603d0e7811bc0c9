/**
 * What the change of one call means for others that share a line with it: who answers a second call holds the first; a
 * call that takes the place of others ends them once it is answered, and gives them back when it is not.
 */

import { changed } from '../changed.ts'
import { holdersOf } from '../holders.ts'
import type { Call, CallCommand, CallId, CallTimers, Effect } from '../types.ts'
import { end } from './deadlines.ts'
import type { Change, Decision, Situation } from './decision.ts'
import { isOver, isUnanswered, targetOf } from './legs.ts'
import { farewell, legsOf, tell, tellHold, tellTransfer } from './words.ts'

/** The calls without which nobody can decide about this one; nearly always none. */
export function linksOf(call: Call): readonly CallId[] {
  if (call.transfer !== undefined) return [call.transfer.to]
  return call.beside !== undefined && isUnanswered(call) ? call.beside : NONE
}

const NONE: readonly CallId[] = []

/** The decision with what follows from it. All of it is committed together, or none. */
export function withConsequences(
  decision: Decision,
  situation: Situation,
  command: CallCommand,
  now: number,
  timers: CallTimers,
): Decision {
  const writes = [...(decision.others ?? []).map(({ call }) => call), ...(decision.write ? [decision.write] : [])]
  if (writes.length === 0) return decision
  const scene = new Scene(situation, writes)
  for (const call of writes) {
    const before = scene.before(call.callId)
    if (before !== undefined && isUnanswered(before) && !isUnanswered(call)) {
      if (isOver(call)) givesBack(call, scene)
      else takesOver(call, scene, now, timers)
    }
    if (before?.transfer && call.endedAt !== undefined && call.reason === 'HANGUP')
      withdraws(before.transfer.to, scene, command, now, timers)
  }
  if (scene.changes.length === 0) return decision
  return {
    ...decision,
    others: [...(decision.others ?? []), ...scene.changes],
    effects: [...decision.effects, ...scene.effects],
  }
}

/** The calls around a decision: as they were, as it writes them, and what is added to it. */
class Scene {
  readonly changes: Change[] = []
  readonly effects: Effect[] = []
  readonly #before = new Map<CallId, Call>()
  readonly #written: Set<CallId>

  constructor({ linked = [], mine = [], theirs = [], peers = [], call }: Situation, writes: readonly Call[]) {
    for (const known of [...linked, ...peers, ...theirs, ...mine]) this.#before.set(known.callId, known)
    if (call) this.#before.set(call.callId, call)
    this.#written = new Set(writes.map(({ callId }) => callId))
  }

  before(callId: CallId): Call | undefined {
    return this.#before.get(callId)
  }

  /** The live call of this id, unless the decision has changed it already. */
  untouched(callId: CallId): Call | undefined {
    const call = this.#before.get(callId)
    return call === undefined || isOver(call) || this.#written.has(callId) ? undefined : call
  }

  /** The effects come after those of the command's own call. */
  change(call: Call, effects: readonly Effect[]): void {
    this.#written.add(call.callId)
    this.changes.push({ call, effects: [] })
    this.effects.push(...effects)
  }
}

/** Nobody has answered it: the call that it should have replaced goes on. */
function givesBack(call: Call, scene: Scene): void {
  for (const callId of call.replaces ?? NONE) {
    const old = scene.untouched(callId)
    if (old?.transfer?.to === call.callId)
      scene.change(changed(old, { transfer: undefined }), tellTransfer(old, old.transfer, 'FAILED', call.reason))
  }
}

/** It is answered: those that it replaces are over, and who talks elsewhere holds that. */
function takesOver(call: Call, scene: Scene, now: number, timers: CallTimers): void {
  for (const callId of call.replaces ?? NONE) {
    const old = scene.untouched(callId)
    // One that has become a room meanwhile goes on without this: its member holds it, see below
    if (old === undefined || old.members !== undefined) continue
    const told = old.transfer?.to === call.callId ? tellTransfer(old, old.transfer, 'DONE') : []
    const body = { callId, reason: 'TRANSFERRED' }
    const farewells = legsOf(old).map((leg) => tell(targetOf(leg), 'call/hangup', body))
    const { call: ended, effects } = end(old, 'COMPLETED', 'TRANSFERRED', now, timers, [...told, ...farewells])
    scene.change(ended, effects)
  }
  const holders = holdersOf(call)
  for (const callId of call.beside ?? NONE) {
    const other = scene.untouched(callId)
    // Also when nothing changes: that it is on hold must be true still when this is committed
    if (other !== undefined) putOnHold(other, holders, scene)
  }
}

function putOnHold(call: Call, users: readonly string[], scene: Scene): void {
  const held = call.held ?? []
  const those = holdersOf(call).filter((user) => users.includes(user) && !held.includes(user))
  scene.change(
    those.length === 0 ? call : changed(call, { held: [...held, ...those] }),
    those.flatMap((user) => tellHold(call, user, true, true)),
  )
}

/** Who should be transferred has hung up: the call that was to come is withdrawn. */
function withdraws(callId: CallId, scene: Scene, command: CallCommand, now: number, timers: CallTimers): void {
  const next = scene.untouched(callId)
  if (next === undefined || !isUnanswered(next) || !('actor' in command)) return
  const { call, effects } = end(next, 'CANCELLED', 'CANCELLED', now, timers, farewell(next, command.actor, 'CANCELLED'))
  scene.change(call, effects)
}
