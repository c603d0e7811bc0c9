/**
 * Calls in the memory of one process: they end with it. Answers the {@link CallStore} port.
 */

import { changed } from '../../calls/changed.ts'
import { holdersOf } from '../../calls/holders.ts'
import type { Call, CallId } from '../../calls/types.ts'
import type { CallStore, CallWrite, UserId } from '../../ports.ts'
import { Schedule } from '../../schedule.ts'

/** Ended calls remembered at a time; beyond it the oldest are forgotten early, so that nobody can fill the memory. */
const MOST_ENDED = 100_000

export class MemoryCallStore implements CallStore {
  readonly outlives = false
  readonly #calls = new Map<CallId, Call>()
  /** The live calls of each user: nearly always one. */
  readonly #lines = new Map<UserId, CallId | readonly CallId[]>()
  /** The call that each user was in last, of those that they are in no more. */
  readonly #lately = new Map<UserId, CallId>()
  /** Ended calls in the order of their end. */
  readonly #ended = new Set<CallId>()
  readonly #schedule = new Schedule()
  readonly #mostEnded: number

  constructor(options: { readonly mostEnded?: number } = {}) {
    this.#mostEnded = options.mostEnded ?? MOST_ENDED
  }

  load(callId: CallId): Call | undefined {
    return this.#calls.get(callId)
  }

  atHand(callId: CallId): Call | undefined {
    return this.#calls.get(callId)
  }

  line(user: UserId): readonly Call[] {
    const taken = this.#lines.get(user)
    if (taken === undefined) return NONE
    if (typeof taken === 'string') {
      const call = this.#calls.get(taken)
      return call === undefined ? NONE : [call]
    }
    return taken.flatMap((callId) => this.#calls.get(callId) ?? [])
  }

  lately(user: UserId): Call | undefined {
    const callId = this.#lately.get(user)
    return callId === undefined ? undefined : this.#calls.get(callId)
  }

  commit(writes: readonly CallWrite[]): boolean {
    for (const { call, expected } of writes) {
      if (this.#versionOf(call.callId) !== expected) return false
      if (call.endedAt === undefined && !this.#mayTakeLines(call, writes)) return false
    }
    for (const write of writes) this.#put(write)
    this.#forgetOldest()
    return true
  }

  #mayTakeLines(call: Call, writes: readonly CallWrite[]): boolean {
    if (call.members === undefined)
      return this.#isFree(call.caller, call, writes) && this.#isFree(call.callee, call, writes)
    return holdersOf(call).every((user) => this.#isFree(user, call, writes))
  }

  /** Whether no other call has the user's line that would be in this one's way after these writes. */
  #isFree(user: UserId, call: Call, writes: readonly CallWrite[]): boolean {
    const taken = this.#lines.get(user)
    if (taken === undefined || taken === call.callId) return true
    if (typeof taken === 'string') return maySit(call, taken, user, writes)
    return taken.includes(call.callId) || taken.every((other) => maySit(call, other, user, writes))
  }

  forget(callId: CallId, expected: number): boolean {
    if (this.#versionOf(callId) !== expected) return false
    this.#drop(callId)
    return true
  }

  due(now: number, atMost: number): readonly CallId[] {
    return this.#schedule.due(now, atMost)
  }

  live(): readonly CallId[] {
    return [...new Set([...this.#lines.values()].flat())]
  }

  nextDue(): number | undefined {
    return this.#schedule.next()
  }

  #versionOf(callId: CallId): number {
    return this.#calls.get(callId)?.version ?? 0
  }

  #put({ call, expected }: CallWrite): void {
    const { callId, caller, callee } = call
    const before = this.#calls.get(callId)
    this.#calls.set(callId, changed(call, { version: expected + 1 }))
    this.#schedule.set(callId, call.due)
    if (call.endedAt !== undefined) {
      for (const user of before === undefined || before.endedAt !== undefined ? NOBODY : holdersOf(before)) {
        this.#letGo(user, callId)
        this.#lately.set(user, callId)
      }
      this.#ended.add(callId)
    } else if (call.members === undefined) {
      this.#take(caller, callId)
      this.#take(callee, callId)
    } else {
      const holders = holdersOf(call)
      for (const user of before === undefined ? NOBODY : holdersOf(before))
        if (!holders.includes(user)) {
          this.#letGo(user, callId)
          this.#lately.set(user, callId)
        }
      for (const user of holders) this.#take(user, callId)
    }
  }

  #take(user: UserId, callId: CallId): void {
    const taken = this.#lines.get(user)
    if (taken === callId) return
    if (taken === undefined) this.#lines.set(user, callId)
    else if (typeof taken === 'string') this.#lines.set(user, [taken, callId])
    else if (!taken.includes(callId)) this.#lines.set(user, [...taken, callId])
  }

  #letGo(user: UserId, callId: CallId): void {
    const taken = this.#lines.get(user)
    if (taken === callId) this.#lines.delete(user)
    else if (Array.isArray(taken)) {
      const [first, ...more] = taken.filter((other) => other !== callId)
      if (first === undefined) this.#lines.delete(user)
      else this.#lines.set(user, more.length === 0 ? first : [first, ...more])
    }
  }

  #forgetOldest(): void {
    for (const callId of this.#ended) {
      if (this.#ended.size <= this.#mostEnded) return
      this.#drop(callId)
    }
  }

  #drop(callId: CallId): void {
    const call = this.#calls.get(callId)
    for (const user of call ? everybodyIn(call) : NOBODY)
      if (this.#lately.get(user) === callId) this.#lately.delete(user)
    this.#calls.delete(callId)
    this.#ended.delete(callId)
    this.#schedule.delete(callId)
  }
}

const NONE: readonly Call[] = []
const NOBODY: readonly UserId[] = []

/** Whether the call may take the line of this user although the other one has it: both are meant to be there, or it leaves. */
function maySit(call: Call, other: CallId, user: UserId, writes: readonly CallWrite[]): boolean {
  if (call.beside?.includes(other)) return true
  const write = writes.find(({ call: { callId } }) => callId === other)
  return write !== undefined && (write.call.endedAt !== undefined || !holdersOf(write.call).includes(user))
}

const everybodyIn = ({ caller, callee, members }: Call): readonly UserId[] =>
  members === undefined ? [caller, callee] : members.map(({ user }) => user)
