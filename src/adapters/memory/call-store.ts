/**
 * Calls in the memory of one process: they end with it. Answers the {@link CallStore} port.
 */

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

  commit(writes: readonly CallWrite[]): boolean {
    if (!writes.every((write) => this.#versionOf(write.call.callId) === write.expected)) return false
    const ending = new Set(writes.filter(({ call }) => call.endedAt !== undefined).map(({ call }) => call.callId))
    const taken = (user: UserId, by: CallId) => {
      const holder = this.#slots.get(user)
      return holder !== undefined && holder !== by && !ending.has(holder)
    }
    const live = writes.filter(({ call }) => call.endedAt === undefined)
    if (live.some(({ call }) => taken(call.caller, call.callId) || taken(call.callee, call.callId))) return false
    // Those that end first: they let go of the slots that the others take.
    for (const write of writes) if (ending.has(write.call.callId)) this.#put(write)
    for (const write of live) this.#put(write)
    this.#forgetOldest()
    return true
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
    this.#calls.set(callId, { ...call, version: expected + 1 })
    this.#schedule.set(callId, call.due)
    for (const user of [caller, callee]) {
      if (call.endedAt === undefined) this.#slots.set(user, callId)
      else if (this.#slots.get(user) === callId) this.#slots.delete(user)
    }
    if (call.endedAt !== undefined) this.#ended.add(callId)
  }

  #forgetOldest(): void {
    for (const callId of this.#ended) {
      if (this.#ended.size <= this.#mostEnded) return
      this.#drop(callId)
    }
  }

  #drop(callId: CallId): void {
    this.#calls.delete(callId)
    this.#ended.delete(callId)
    this.#schedule.delete(callId)
  }
}
