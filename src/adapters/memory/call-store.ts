/**
 * Calls in the memory of one process: they end with it. Answers the {@link CallStore} port.
 */

import { changed } from '../../calls/changed.ts'
import type { Call, CallId } from '../../calls/types.ts'
import type { CallStore, CallWrite, UserId } from '../../ports.ts'
import { Schedule } from '../../schedule.ts'

/** Ended calls remembered at a time; beyond it the oldest are forgotten early, so that nobody can fill the memory. */
const MOST_ENDED = 100_000

export class MemoryCallStore implements CallStore {
  readonly outlives = false
  readonly #calls = new Map<CallId, Call>()
  /** The live call of each user. */
  readonly #slots = new Map<UserId, CallId>()
  /** The call that each user was in last, of those that have ended. */
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

  current(user: UserId): Call | undefined {
    const callId = this.#slots.get(user)
    return callId === undefined ? undefined : this.#calls.get(callId)
  }

  lately(user: UserId): Call | undefined {
    const callId = this.#lately.get(user)
    return callId === undefined ? undefined : this.#calls.get(callId)
  }

  commit(writes: readonly CallWrite[]): boolean {
    for (const { call, expected } of writes) {
      if (this.#versionOf(call.callId) !== expected) return false
      if (
        call.endedAt === undefined &&
        (this.#isTaken(call.caller, call, writes) || this.#isTaken(call.callee, call, writes))
      )
        return false
    }
    // Those that end first: they let go of the slots that the others take.
    for (const write of writes) if (write.call.endedAt !== undefined) this.#put(write)
    for (const write of writes) if (write.call.endedAt === undefined) this.#put(write)
    this.#forgetOldest()
    return true
  }

  /** By another call, which does not end with these writes. */
  #isTaken(user: UserId, { callId }: Call, writes: readonly CallWrite[]): boolean {
    const holder = this.#slots.get(user)
    if (holder === undefined || holder === callId) return false
    return !writes.some(({ call }) => call.callId === holder && call.endedAt !== undefined)
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
    return [...new Set(this.#slots.values())]
  }

  nextDue(): number | undefined {
    return this.#schedule.next()
  }

  #versionOf(callId: CallId): number {
    return this.#calls.get(callId)?.version ?? 0
  }

  #put({ call, expected }: CallWrite): void {
    const { callId, caller, callee } = call
    this.#calls.set(callId, changed(call, { version: expected + 1 }))
    this.#schedule.set(callId, call.due)
    if (call.endedAt === undefined) {
      this.#slots.set(caller, callId).set(callee, callId)
    } else {
      this.#letGo(caller, callId)
      this.#letGo(callee, callId)
      this.#ended.add(callId)
    }
  }

  #letGo(user: UserId, callId: CallId): void {
    if (this.#slots.get(user) !== callId) return
    this.#slots.delete(user)
    this.#lately.set(user, callId)
  }

  #forgetOldest(): void {
    for (const callId of this.#ended) {
      if (this.#ended.size <= this.#mostEnded) return
      this.#drop(callId)
    }
  }

  #drop(callId: CallId): void {
    const call = this.#calls.get(callId)
    for (const user of call ? [call.caller, call.callee] : [])
      if (this.#lately.get(user) === callId) this.#lately.delete(user)
    this.#calls.delete(callId)
    this.#ended.delete(callId)
    this.#schedule.delete(callId)
  }
}
