/**
 * What was committed and not yet told. It is written with the commit and taken off when it was told, so that whoever
 * inherits from a process that has died between the two does it in its stead; and so that this process does what it could
 * not know to be committed. Knows nothing of what is in it.
 */

import type { Call, Effect } from '../../calls/types.ts'
import type { CallWrite, Clock, NodeId } from '../../ports.ts'
import { readUntold } from './call-texts.ts'
import type { RedisLink } from './link.ts'

/** Effects that a call was committed with, and that may not have taken place. */
export interface UntoldEffects {
  readonly call: Call
  readonly effects: readonly Effect[]
}

export interface UntoldOptions {
  readonly self: NodeId
  readonly link: RedisLink
  /** The machine's own. */
  readonly clock: Clock
  /** Of the hash that belongs to a process. */
  readonly keyOf: (node: NodeId) => string
}

/** Told and not yet taken off: beyond it, what is oldest stays until somebody inherits it. */
const MOST_DONE = 100_000

/** Fields of one command. */
const AT_ONCE = 500

export class UntoldBook {
  readonly #options: UntoldOptions
  /** Commits on their way or not yet told: since which return of Redis, and until when Redis may carry them out. */
  readonly #open = new Map<string, { readonly since: number; readonly untilMs: number }>()
  /** Told; to be taken off. */
  #done: string[] = []
  #flushing: Promise<void> | undefined
  #returns = 0

  constructor(options: UntoldOptions) {
    this.#options = options
  }

  /** Commits that were not told yet. */
  get size(): number {
    return this.#open.size
  }

  /** The field of a commit: the versions of a call are never written twice. */
  fieldOf(writes: readonly CallWrite[]): string {
    const last = writes.at(-1)
    return last === undefined ? '' : `${last.expected + 1} ${last.call.callId}`
  }

  /**
   * A commit with effects is on its way; `patienceMs`: for how long Redis may still carry it out. False: the same one was
   * sent before, and nobody knows what became of it.
   */
  begin(field: string, patienceMs: number): boolean {
    if (this.#open.has(field)) return false
    this.#open.set(field, { since: this.#returns, untilMs: this.#options.clock.now() + patienceMs })
    return true
  }

  /** It was certainly not carried out. */
  refused(field: string): void {
    this.#open.delete(field)
  }

  /** Waits for nobody. */
  told(field: string): void {
    if (!this.#open.delete(field)) return
    if (this.#done.length < MOST_DONE) this.#done.push(field)
    void this.flush()
  }

  /** Redis is there again. */
  returned(): void {
    this.#returns++
    void this.flush()
  }

  /** Fulfilled when everything that was told is taken off, or Redis cannot be reached. What one turn tells goes together. */
  flush(): Promise<void> {
    if (this.#done.length > 0) {
      this.#flushing ??= this.#takeOff().finally(() => {
        this.#flushing = undefined
      })
    }
    return this.#flushing ?? Promise.resolve()
  }

  /**
   * What a process that has died has left, in the order of its commits. An entry is taken off when the next one is asked
   * for. Of this process: what it committed before Redis was last away, and has not told. Rejected with `Unavailable`.
   */
  async *recover(node: NodeId): AsyncIterable<UntoldEffects> {
    const own = node === this.#options.self
    const key = this.#options.keyOf(node)
    const left = own ? await this.#left() : undefined
    const entries = (await this.#entries(key)).filter(({ field }) => left === undefined || left.includes(field))
    for (const { field, untold } of entries) {
      if (own && !this.#open.has(field)) continue
      yield untold
      await this.#options.link.run(key, ['HDEL', key, field])
      if (own) this.#open.delete(field)
    }
    // What is left of these has not taken place
    for (const field of left ?? []) this.#open.delete(field)
  }

  /** Those of this process, when Redis can no longer carry out what was sent before it was away. */
  async #left(): Promise<string[]> {
    const { clock } = this.#options
    const left = [...this.#open].filter(([, { since }]) => since < this.#returns)
    const wait = Math.max(0, ...left.map(([, { untilMs }]) => untilMs - clock.now()))
    if (wait > 0) await new Promise<void>((resolve) => clock.after(wait, resolve))
    return left.map(([field]) => field)
  }

  async #entries(key: string): Promise<{ field: string; untold: UntoldEffects }[]> {
    const read = (await this.#options.link.run(key, ['HGETALL', key])) as string[]
    const entries: { field: string; untold: UntoldEffects; at: number }[] = []
    for (let at = 0; at < read.length; at += 2) {
      const untold = readUntold(read[at + 1] as string)
      // Of another version, perhaps: it goes with its hash
      if (untold !== undefined) entries.push({ field: read[at] as string, untold, at: untold.at })
    }
    return entries.sort((a, b) => a.at - b.at)
  }

  async #takeOff(): Promise<void> {
    const { self, link, keyOf } = this.#options
    const key = keyOf(self)
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (this.#done.length > 0) {
      const some = this.#done.splice(0, AT_ONCE)
      try {
        await link.run(key, ['HDEL', key, ...some])
      } catch {
        // Until Redis is there again
        this.#done.unshift(...some)
        break
      }
    }
  }
}
