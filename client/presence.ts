/** Who is online, as far as this client has asked or was told. */

import type { UserStatus } from './wire.ts'

/** The server answers at most 200 ids a question. */
const MOST_PER_QUESTION = 200
/** Everybody's changes are pushed: what nobody asked for is forgotten first. */
const MOST_KNOWN = 5_000

export class Presence {
  readonly #ask: (users: readonly string[]) => Promise<void>
  readonly #watched = new Set<string>()
  readonly #known = new Map<string, UserStatus['status']>()

  constructor(ask: (users: readonly string[]) => Promise<void>) {
    this.#ask = ask
  }

  get known(): ReadonlyMap<string, UserStatus['status']> {
    return this.#known
  }

  /** What it returns asks for those that are new. */
  watch(users: readonly string[]): () => Promise<void> {
    const fresh = [...new Set(users)].filter((user) => !this.#watched.has(user))
    for (const user of fresh) this.#watched.add(user)
    return () => this.#askFor(fresh)
  }

  unwatch(users: readonly string[]): void {
    for (const user of users) this.#watched.delete(user)
  }

  askAll(): Promise<void> {
    return this.#askFor([...this.#watched])
  }

  /** Takes in an answer or a push; returns what of it is well formed. */
  heard(body: unknown): readonly UserStatus[] {
    if (!Array.isArray(body)) return []
    const changes = (body as Partial<UserStatus>[]).filter(
      (change): change is UserStatus =>
        typeof change?.userId === 'string' && (change.status === 'ONLINE' || change.status === 'OFFLINE'),
    )
    for (const { userId, status } of changes) {
      this.#known.delete(userId)
      this.#known.set(userId, status)
    }
    if (this.#known.size > MOST_KNOWN) this.#forget()
    return changes
  }

  #forget(): void {
    for (const user of this.#known.keys()) {
      if (this.#known.size <= MOST_KNOWN) return
      if (!this.#watched.has(user)) this.#known.delete(user)
    }
  }

  async #askFor(users: readonly string[]): Promise<void> {
    for (let at = 0; at < users.length; at += MOST_PER_QUESTION) {
      await this.#ask(users.slice(at, at + MOST_PER_QUESTION))
    }
  }
}
