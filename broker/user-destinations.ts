/**
 * Users and their sessions: `/user/queue/…` is one name for everybody and a different queue for each of them.
 * Knows who is connected, and nothing of frames.
 */

/** A connected session, as far as finding it goes. */
export interface Member {
  readonly id: string
  readonly principal: { readonly user: string }
  listensTo(destination: string): boolean
}

export class Users<M extends Member> {
  readonly #sessions = new Map<string, M>()
  readonly #byUser = new Map<string, Set<M>>()

  get sessionCount(): number {
    return this.#sessions.size
  }

  get userCount(): number {
    return this.#byUser.size
  }

  session(id: string): M | undefined {
    return this.#sessions.get(id)
  }

  all(): Iterable<M> {
    return this.#sessions.values()
  }

  /** Connected sessions of a user, the oldest first. */
  sessions(user: string): readonly M[] {
    return [...(this.#byUser.get(user) ?? [])]
  }

  /** How many sessions the user has. */
  count(user: string): number {
    return this.#byUser.get(user)?.size ?? 0
  }

  /** Ids of the user's sessions that subscribe to the destination, the oldest first. */
  listening(user: string, destination: string): readonly string[] {
    const ids: string[] = []
    for (const session of this.#byUser.get(user) ?? []) if (session.listensTo(destination)) ids.push(session.id)
    return ids
  }

  join(session: M): void {
    this.#sessions.set(session.id, session)
    const { user } = session.principal
    const sessions = this.#byUser.get(user)
    if (sessions) sessions.add(session)
    else this.#byUser.set(user, new Set([session]))
  }

  leave(session: M): void {
    if (!this.#sessions.delete(session.id)) return
    const { user } = session.principal
    const sessions = this.#byUser.get(user)
    if (sessions?.delete(session) && sessions.size === 0) this.#byUser.delete(user)
  }
}
