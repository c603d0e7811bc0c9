/**
 * Revocations of several processes: each is told over the bus and says what it has cut; those that start later, or were
 * cut off, read them in Redis, where they are kept to their end (sorted set: what was revoked and since when → until).
 */

import type { Cut, Revocation, SharedRevocations, Taken } from '../../credentials/revocations.ts'
import { type Clock, Unavailable } from '../../ports.ts'
import { askOthers, type Bus, type Members, type Round } from './bus.ts'
import type { RedisLink } from './link.ts'

export interface RedisRevocationOptions {
  readonly link: RedisLink
  readonly bus: Bus
  readonly members: Pick<Members, 'living'>
  readonly clock: Clock
  /** Cuts the sessions of this process. */
  readonly cuts: (taken: Taken) => Promise<Cut>
  readonly learns: (revoked: readonly Revocation[]) => void
  readonly report: (error: unknown) => void
}

/** How long other processes may take to cut their sessions. */
const PATIENCE_MS = 1_500

/** Revocations that wait for Redis. */
const MOST_OWED = 10_000

/** Written and read at once. */
const AT_ONCE = 1_000

export class RedisRevocations implements SharedRevocations {
  readonly #options: RedisRevocationOptions
  readonly #key: string
  /** What others have cut of what they were told to, until now. */
  readonly #rounds = new Map<number, { readonly round: Round; readonly cut: Cut[] }>()
  #owed: Revocation[] = []
  #last = 0

  constructor(options: RedisRevocationOptions) {
    this.#options = options
    this.#key = `${options.link.prefix}revoked`
    const { bus, cuts, learns, report } = options
    bus.handle('revoke', (from, { facts }) => {
      const { id, taken } = facts as { id: number; taken: Taken }
      cuts(taken)
        .then((cut) => bus.send(from, { kind: 'cut', facts: { id, cut } }))
        .catch(report)
    })
    bus.handle('cut', (from, { facts }) => {
      const { id, cut } = facts as { id: number; cut: Cut }
      const asked = this.#rounds.get(id)
      if (asked?.round.answers(from)) asked.cut.push(cut)
    })
    bus.handle('revoked', (_, { facts }) => learns(facts as readonly Revocation[]))
  }

  async revoke(taken: Taken): Promise<Cut> {
    const id = ++this.#last
    const cut: Cut[] = []
    const round = askOthers(this.#options, { kind: 'revoke', facts: { id, taken } }, PATIENCE_MS)
    this.#rounds.set(id, { round, cut })
    await round.over
    this.#rounds.delete(id)
    return {
      sessions: cut.reduce((sum, { sessions }) => sum + sessions, 0),
      tokens: cut.flatMap(({ tokens }) => tokens),
    }
  }

  async keep(revocations: readonly Revocation[]): Promise<void> {
    try {
      await this.#write(revocations)
    } catch (error) {
      if (error instanceof Unavailable) this.#owed = [...this.#owed, ...revocations].slice(-MOST_OWED)
      throw error
    }
  }

  /** Redis is there (again): what was owed is written, and what others have revoked is read. */
  async catchUp(): Promise<void> {
    const { link, clock, learns, bus } = this.#options
    const owed = this.#owed
    await this.#write(owed)
    this.#owed = this.#owed.filter((one) => !owed.includes(one))
    if (owed.length > 0) bus.broadcast({ kind: 'revoked', facts: owed })
    for (let from = 0; ; from += AT_ONCE) {
      const range = [String(clock.now()), '+inf', 'BYSCORE', 'LIMIT', String(from), String(AT_ONCE), 'WITHSCORES']
      const found = (await link.run(this.#key, ['ZRANGE', this.#key, ...range])) as [string, number][]
      learns(found.map(([member, until]) => parsed(member, Number(until))))
      if (found.length < AT_ONCE) return
    }
  }

  async #write(revocations: readonly Revocation[]): Promise<void> {
    const { link, clock } = this.#options
    await link.run(this.#key, ['ZREMRANGEBYSCORE', this.#key, '-inf', String(clock.now())])
    for (let at = 0; at < revocations.length; at += AT_ONCE) {
      const some = revocations.slice(at, at + AT_ONCE)
      const pairs = some.flatMap(({ key, since, until }) => [String(until), `${since} ${key}`])
      await link.run(this.#key, ['ZADD', this.#key, ...pairs])
    }
  }
}

function parsed(member: string, until: number): Revocation {
  const space = member.indexOf(' ')
  return { since: Number(member.slice(0, space)), key: member.slice(space + 1), until }
}
