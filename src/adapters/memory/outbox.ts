/** Events for the back end in the memory of one process: they end with it. Answers the {@link Outbox} port. */

import type { Cancel, Clock } from '../../ports.ts'
import { Schedule } from '../../schedule.ts'
import { type Backlog, type Hook, LEASE_MS, type Outbox, type Taken } from '../../webhooks/ports.ts'

/** Some 500 octets each. */
const MOST_WAITING = 50_000

interface Chain {
  /** The first one is the one that is due, or under way. */
  readonly hooks: Hook[]
  failed: number
  claim: string | undefined
}

export interface MemoryOutboxOptions {
  readonly clock: Clock
  readonly dropped: (hook: Hook) => void
  readonly mostWaiting?: number
}

export class MemoryOutbox implements Outbox {
  readonly outlives = false
  readonly #options: MemoryOutboxOptions
  readonly #chains = new Map<string, Chain>()
  /** Keys by when their first event is due. */
  readonly #schedule = new Schedule()
  #waiting = 0
  #claims = 0
  #ready: () => void = () => undefined
  #timer: { readonly at: number; readonly cancel: Cancel } | undefined
  #stopped = false

  constructor(options: MemoryOutboxOptions) {
    this.#options = options
  }

  put(hook: Hook): void {
    const { clock, dropped, mostWaiting = MOST_WAITING } = this.#options
    if (this.#waiting >= mostWaiting) {
      dropped(hook)
      return
    }
    this.#waiting++
    const chain = this.#chains.get(hook.key)
    if (chain) {
      chain.hooks.push(hook)
      return
    }
    this.#chains.set(hook.key, { hooks: [hook], failed: 0, claim: undefined })
    this.#due(hook.key, clock.now())
  }

  take(atMost: number): readonly Taken[] {
    const now = this.#options.clock.now()
    const taken: Taken[] = []
    for (const key of this.#schedule.due(now, atMost)) {
      const chain = this.#chains.get(key)
      const hook = chain?.hooks[0]
      if (!chain || !hook) continue
      chain.claim = String(this.#claims++)
      this.#schedule.set(key, now + LEASE_MS)
      taken.push({ hook, failed: chain.failed, claim: chain.claim })
    }
    this.#look()
    return taken
  }

  done(taken: Taken): void {
    const { key } = taken.hook
    const chain = this.#claimed(taken)
    if (!chain) return
    chain.hooks.shift()
    chain.failed = 0
    this.#waiting--
    if (chain.hooks.length > 0) {
      this.#due(key, this.#options.clock.now())
      return
    }
    this.#chains.delete(key)
    this.#schedule.delete(key)
  }

  retry(taken: Taken, at: number): void {
    const chain = this.#claimed(taken)
    if (!chain) return
    chain.failed++
    this.#due(taken.hook.key, at)
  }

  release(taken: Taken): void {
    if (this.#claimed(taken)) this.#due(taken.hook.key, this.#options.clock.now())
  }

  onReady(listener: () => void): void {
    this.#ready = listener
    this.#look()
  }

  backlog(): Backlog {
    let oldest = Number.POSITIVE_INFINITY
    for (const { hooks } of this.#chains.values()) oldest = Math.min(oldest, hooks[0]?.at ?? oldest)
    return { waiting: this.#waiting, ...(Number.isFinite(oldest) && { oldest }) }
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** The chain whose first event this is, if that was not taken by somebody else since; nobody has taken it any more. */
  #claimed({ hook, claim }: Taken): Chain | undefined {
    const chain = this.#chains.get(hook.key)
    if (chain?.claim !== claim) return undefined
    chain.claim = undefined
    return chain
  }

  #due(key: string, at: number): void {
    this.#schedule.set(key, at)
    this.#look()
  }

  /** Tells the listener now or when the earliest is due. */
  #look(): void {
    const at = this.#schedule.next()
    if (this.#stopped || at === undefined) return
    const { clock } = this.#options
    if (at <= clock.now()) {
      this.#ready()
      return
    }
    if (this.#timer && this.#timer.at <= at) return
    this.#timer?.cancel()
    const cancel = clock.after(at - clock.now(), () => {
      this.#timer = undefined
      this.#look()
    })
    this.#timer = { at, cancel }
  }
}
