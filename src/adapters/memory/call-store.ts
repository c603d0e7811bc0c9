/**
 * Calls in the memory of one process: they end with it. Answers the {@link CallStore} port.
 */

import type { Call, CallId } from '../../calls/types.ts'
import type { CallStore, CallWrite, UserId } from '../../ports.ts'

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

/**
 * Keys by time: a binary heap whose stale entries (the key was moved or deleted since) are skipped when they come up,
 * and swept out when they outnumber the others.
 */
class Schedule {
  readonly #times = new Map<string, number>()
  #heap: { readonly at: number; readonly key: string }[] = []

  set(key: string, at: number): void {
    if (this.#times.get(key) === at) return
    this.#times.set(key, at)
    this.#push({ at, key })
    if (this.#heap.length > 2 * this.#times.size + 64) this.#sweep()
  }

  delete(key: string): void {
    this.#times.delete(key)
  }

  next(): number | undefined {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (this.#times.get(first.key) === first.at) return first.at
      this.#pop()
    }
    return undefined
  }

  /** They stay scheduled: only a later `set` or `delete` moves them. */
  due(now: number, atMost: number): string[] {
    const found: { at: number; key: string }[] = []
    for (let at = this.next(); at !== undefined && at <= now && found.length < atMost; at = this.next()) {
      const entry = this.#pop()
      if (entry) found.push(entry)
    }
    for (const entry of found) this.#push(entry)
    return found.map((entry) => entry.key)
  }

  #sweep(): void {
    this.#heap = [...this.#times].map(([key, at]) => ({ at, key })).sort((a, b) => a.at - b.at)
  }

  #push(entry: { at: number; key: string }): void {
    const heap = this.#heap
    let place = heap.push(entry) - 1
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = heap[above]
      if (!parent || parent.at <= entry.at) break
      heap[place] = parent
      place = above
    }
    heap[place] = entry
  }

  #pop(): { at: number; key: string } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      const right = heap[below + 1]
      if (right && right.at < (heap[below]?.at ?? Number.POSITIVE_INFINITY)) below++
      const child = heap[below]
      if (!child || child.at >= last.at) break
      heap[place] = child
      place = below
    }
    heap[place] = last
    return first
  }
}
