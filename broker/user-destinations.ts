/**
 * Users and their sessions: `/user/queue/…` is one name for everybody and a different queue for each of them.
 * Knows who is connected and who is away, and nothing of frames.
 */

/** A session, as far as finding it goes. */
export interface Member {
  readonly id: string
  readonly principal: { readonly user: string }
  readonly connectedAt: number
  /** Messages of this destination reach it now. */
  listensTo(destination: string): boolean
  /** They reach it now, or would if it were connected. */
  subscribesTo(destination: string): boolean
}

export class Users<M extends Member> {
  /** By id: connected or away. */
  readonly #sessions = new Map<string, M>()
  readonly #connected = new SessionsByUser<M>()
  readonly #away = new SessionsByUser<M>()

  /** Connected sessions. */
  get sessionCount(): number {
    return this.#sessions.size - this.#away.size
  }

  /** Users with a connected session. */
  get userCount(): number {
    return this.#connected.userCount
  }

  /** Connected or away. */
  session(id: string): M | undefined {
    return this.#sessions.get(id)
  }

  /** Every connected session. */
  *all(): Iterable<M> {
    for (const session of this.#sessions.values()) if (!this.#away.has(session)) yield session
  }

  /** Every session, connected or away. */
  held(): Iterable<M> {
    return this.#sessions.values()
  }

  /** Connected sessions of a user, the oldest first. */
  sessions(user: string): readonly M[] {
    return [...this.#connected.of(user)]
  }

  /** Sessions of a user that are away; the one that has been away longest first. */
  away(user: string): readonly M[] {
    return [...this.#away.of(user)]
  }

  /** How many connected sessions the user has. */
  count(user: string): number {
    return this.#connected.count(user)
  }

  /** Ids of the user's connected sessions that subscribe to the destination, the oldest first. */
  listening(user: string, destination: string): readonly string[] {
    const ids: string[] = []
    for (const session of this.#connected.of(user)) if (session.listensTo(destination)) ids.push(session.id)
    return ids
  }

  /** The same with those that are away, which come last. */
  reachable(user: string, destination: string): readonly string[] {
    const ids: string[] = []
    for (const session of this.#connected.of(user)) if (session.subscribesTo(destination)) ids.push(session.id)
    for (const session of this.#away.of(user)) if (session.subscribesTo(destination)) ids.push(session.id)
    return ids
  }

  /** A session is connected. */
  join(session: M): void {
    this.#sessions.set(session.id, session)
    this.#connected.add(session)
  }

  /** A session, connected or unknown until now, is away. */
  goesAway(session: M): void {
    this.#sessions.set(session.id, session)
    this.#connected.delete(session)
    this.#away.add(session)
  }

  /** It is connected again, in its old place among the sessions of its user. */
  comesBack(session: M): void {
    this.#away.delete(session)
    const younger = this.sessions(session.principal.user).filter((other) => other.connectedAt > session.connectedAt)
    this.#connected.add(session)
    for (const other of younger) {
      this.#connected.delete(other)
      this.#connected.add(other)
    }
  }

  leave(session: M): void {
    if (!this.#sessions.delete(session.id)) return
    this.#connected.delete(session)
    this.#away.delete(session)
  }
}

const NOBODY: ReadonlySet<never> = new Set()

class SessionsByUser<M extends Member> {
  readonly #byUser = new Map<string, Set<M>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  get userCount(): number {
    return this.#byUser.size
  }

  of(user: string): ReadonlySet<M> {
    return this.#byUser.get(user) ?? NOBODY
  }

  count(user: string): number {
    return this.#byUser.get(user)?.size ?? 0
  }

  has(session: M): boolean {
    return this.of(session.principal.user).has(session)
  }

  add(session: M): void {
    const { user } = session.principal
    const sessions = this.#byUser.get(user)
    if (sessions) sessions.add(session)
    else this.#byUser.set(user, new Set([session]))
    this.#size++
  }

  delete(session: M): void {
    const { user } = session.principal
    const sessions = this.#byUser.get(user)
    if (!sessions?.delete(session)) return
    this.#size--
    if (sessions.size === 0) this.#byUser.delete(user)
  }
}
