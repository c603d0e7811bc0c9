/** What webhooks ask of the world: a place where events wait, and the way to the endpoint. */

import type { Awaitable } from '../ports.ts'
import type { HookType } from './messages.ts'

/** An event that waits for its delivery. */
export interface Hook {
  /** The same for the same fact, whoever notices it: receivers drop what they know. */
  readonly id: string
  /** Events with one key are delivered one after the other, in the order of {@link Outbox.put}. */
  readonly key: string
  readonly type: HookType
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly data: Readonly<Record<string, unknown>>
}

/** An event that this process may deliver now, and nobody else. */
export interface Taken {
  readonly hook: Hook
  /** Attempts that have failed before. */
  readonly failed: number
  /** Names this very taking: when its time is over, it has no say any more. */
  readonly claim: string
}

/**
 * Where events wait. One in memory ends with the process; one in Redis is shared by all processes and outlives them.
 * At least once: what is taken and neither done nor put back within the lease is taken by somebody again.
 */
export interface Outbox {
  /** Whether what waits outlives this process. */
  readonly outlives: boolean
  /** Keeps the event behind those of its key. Waits for nobody and never throws; one that finds no room is dropped. */
  put(hook: Hook): void
  /** At most so many events that are due, each the first of its key. */
  take(atMost: number): Awaitable<readonly Taken[]>
  /** Delivered, or given up: the next of its key is due. Never throws. */
  done(taken: Taken): Awaitable<void>
  /** Not delivered: due again at `at`. Never throws. */
  retry(taken: Taken, at: number): Awaitable<void>
  /** Not tried: due at once, for whoever takes it, and not counted as a failure. Never throws. */
  release(taken: Taken): Awaitable<void>
  /** `listener` is called whenever {@link take} may find something. One listener. */
  onReady(listener: () => void): void
  /** How many wait (those being delivered among them), and since when the oldest does. Rejected with `Unavailable`. */
  backlog(): Awaitable<Backlog>
  /** Nothing is ready any more. Fulfilled when what was put is kept, as far as that is possible in short time. */
  stop(): Awaitable<void>
}

export interface Backlog {
  readonly waiting: number
  /** `at` of the oldest, milliseconds since the epoch. */
  readonly oldest?: number
}

/** How long an event may be under way before somebody else takes it. */
export const LEASE_MS = 20_000

/** What an endpoint has answered. */
export interface Answer {
  readonly status: number
  /** `Retry-After`, in seconds. */
  readonly retryAfterS?: number
}

/** The way to the operator's back end. */
export interface Endpoint {
  /** Rejected when there is no answer in time, or `signal` is aborted. The body of the answer is not looked at. */
  post(headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answer>
  /** Closes what is kept open. */
  close(): void
}
