/** Who has put a call on hold, as it is said by them and by the server. Knows neither media nor what follows from it. */

import type { Held } from './types.ts'
import type { CallHeld } from './wire.ts'

/** The server lets fewer people into a room. */
const MOST_HOLDERS = 64

export class Holding {
  readonly #me: string
  readonly #changed: () => void
  readonly #holders = new Set<string>()
  /** Of what each has said last: an earlier word may come after a later one. */
  readonly #versions = new Map<string, number>()

  constructor(me: string, changed: () => void) {
    this.#me = me
    this.#changed = changed
  }

  get held(): Held {
    const byMe = this.#holders.has(this.#me)
    return { byMe, byPeer: this.#holders.size > Number(byMe) }
  }

  isBy(user: string): boolean {
    return this.#holders.has(user)
  }

  set(user: string, on: boolean): void {
    if (this.#holders.has(user) === on) return
    if (on) this.#holders.add(user)
    else this.#holders.delete(user)
    this.#changed()
  }

  heard({ by, hold, version = 0 }: CallHeld): void {
    if (typeof by !== 'string' || version < (this.#versions.get(by) ?? 0)) return
    if (this.#versions.size < MOST_HOLDERS || this.#versions.has(by)) this.#versions.set(by, version)
    this.set(by, hold)
  }

  /** Whoever is not there any more holds nothing. */
  keep(there: ReadonlySet<string>): void {
    for (const user of [...this.#holders]) if (!there.has(user)) this.#holders.delete(user)
  }
}
