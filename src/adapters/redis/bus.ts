/**
 * Messages from process to process: each has an inbox of its own in Redis (a stream). What is sent in one turn of the
 * event loop to the same process is one entry.
 */

import type { Clock, NodeId } from '../../ports.ts'

/** Facts as JSON, octets beside them untouched. */
export interface BusMessage {
  /** Who handles it: `tell`, `ring`, `presence`, … */
  readonly kind: string
  readonly facts: unknown
  readonly body?: Buffer
}

export interface Bus {
  readonly self: NodeId
  /** Queues a message; those to one process arrive in order, each once. While Redis is away they wait, up to a bound. */
  send(to: NodeId, message: BusMessage): void
  /** To every living process but this one. */
  broadcast(message: BusMessage): void
  /** One handler per kind. It must not throw; a promise is not waited for. */
  handle(kind: string, handler: (from: NodeId, message: BusMessage) => void): void
  /** Told when something that was sent to this process has been lost: what it was told to keep right may be wrong. */
  onMissing?(handler: () => void): void
  /** Told of messages that a process has not taken, and never will, since it is gone: in the order in which they were sent. */
  onUndelivered?(handler: (messages: readonly BusMessage[]) => void): void
}

/** What the processes know of each other. */
export interface Members {
  readonly self: NodeId
  /** Those whose lease stands, this one included, as far as is known. */
  living(): ReadonlySet<NodeId>
  /** Told when a process is found dead (its lease has run out), once on one surviving process: it cleans up. */
  onDeath(heir: (dead: NodeId) => Promise<void>): void
  /** Told when this process finds that it was taken for dead itself, or that Redis was emptied: it registers again. */
  onRevival(again: () => Promise<void>): void
}

/** What others have been asked, until it is over. */
export interface Round {
  /** This one has answered. False: it was not asked, or has answered before. */
  answers(from: NodeId): boolean
  /** Fulfilled when all have answered, or after a moment; at once when there was nobody to ask. */
  readonly over: Promise<void>
}

/** What it takes to ask others. */
export interface Asking {
  readonly bus: Bus
  readonly members: Pick<Members, 'living'>
  readonly clock: Clock
}

/** Asks every other living process, and waits no longer than `patienceMs`. Whoever hears their answers says so to the round. */
export function askOthers({ bus, members, clock }: Asking, question: BusMessage, patienceMs: number): Round {
  const others = new Set(members.living())
  others.delete(bus.self)
  let done = () => {}
  const answers = (from: NodeId) => {
    const isNew = others.delete(from)
    if (isNew && others.size === 0) done()
    return isNew
  }
  if (others.size === 0) return { answers, over: Promise.resolve() }
  const over = new Promise<void>((resolve) => {
    const cancel = clock.after(patienceMs, resolve)
    done = () => {
      cancel()
      resolve()
    }
  })
  bus.broadcast(question)
  return { answers, over }
}
