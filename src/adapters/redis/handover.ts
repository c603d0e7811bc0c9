/**
 * Sessions that go on in another process than the one that held them. Who gets the CONNECT asks the owner that the
 * registry names, over the bus; a process that stops leaves its sessions in Redis instead.
 *
 * The owner lets go of a session, writes the new owner into the registry, and only then sends the session: it is never
 * in two places. An owner that does not answer loses the device, so that it cannot write it any more.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Broker, ResumeClaim, SuspendedSession } from '../../../broker/index.ts'
import { type Clock, type NodeId, Unavailable } from '../../ports.ts'
import type { Bus, BusMessage } from './bus.ts'
import { type DeviceFacts, type Entry, PARKED, type Registry } from './registry.ts'
import type { Residents } from './residents.ts'
import type { BusRoutes } from './routes.ts'

export interface HandoverOptions {
  readonly bus: Bus
  readonly registry: Registry
  readonly residents: Residents
  readonly routes: BusRoutes
  readonly clock: Clock
  readonly sessions: Pick<Broker, 'release'>
  /** How long a session may be without a process. */
  readonly graceMs: number
  readonly report: (error: unknown) => void
}

/** What became of sessions that were asked for elsewhere. */
export interface HandoverCounts {
  fetched: number
  unparked: number
  given: number
  parked: number
  /** The owner said no, or had no session of that name. */
  refused: number
  /** The owner did not answer. */
  silent: number
}

/** How long the owner of a session is waited for. */
const PATIENCE_MS = 1_500

/** How often a session is looked for that moves meanwhile. */
const MOST_TRIES = 3

/** Sessions that are parked at the same time. */
const AT_ONCE = 32

interface Asked {
  readonly id: number
  readonly claim: ResumeClaim
}

/** A session as it travels: its messages are octets beside it, one behind the other. */
interface Travelling extends Omit<SuspendedSession, 'frames'> {
  readonly frames: readonly (readonly [seq: number, isText: 0 | 1, octets: number])[]
}

interface Given {
  readonly id: number
  /** Absent: no. */
  readonly given?: { readonly session: Travelling; readonly epoch: number; readonly facts: DeviceFacts }
}

type Answer = { readonly session: SuspendedSession; readonly epoch: number; readonly facts: DeviceFacts } | 'no'

export class Handover {
  readonly counts: HandoverCounts = { fetched: 0, unparked: 0, given: 0, parked: 0, refused: 0, silent: 0 }
  readonly #options: HandoverOptions
  readonly #asked = new Map<number, (answer: Answer) => void>()
  #last = 0

  constructor(options: HandoverOptions) {
    this.#options = options
    const { bus, report } = options
    bus.handle('claim', (from, { facts }) => {
      this.#gives(from, facts as Asked).catch((error: unknown) => {
        bus.send(from, { kind: 'claimed', facts: { id: (facts as Asked).id } })
        if (!(error instanceof Unavailable)) report(error)
      })
    })
    bus.handle('claimed', (_, message) => this.#isGiven(message))
  }

  /** The session that is claimed, from whichever process has it; undefined: it cannot be had. */
  async fetch(claim: ResumeClaim): Promise<SuspendedSession | undefined> {
    let before: Entry | undefined
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const entry = await this.#find(claim)
      if (entry === undefined || (entry.node === before?.node && entry.epoch === before.epoch)) break
      const session = await (entry.node === PARKED ? this.#unpark(claim, entry) : this.#fetchFrom(entry, claim))
      if (session !== undefined) return session
      // Who was asked may have given it to somebody else, or have left it in Redis, in this very moment
      before = entry
    }
    return undefined
  }

  async #find({ user, sessionId }: ResumeClaim): Promise<Entry | undefined> {
    const { registry, bus } = this.#options
    const entry = (await registry.devices(user)).find(({ id }) => id === sessionId)
    return entry?.node === bus.self ? undefined : entry
  }

  async #fetchFrom(entry: Entry, claim: ResumeClaim): Promise<SuspendedSession | undefined> {
    const { routes, residents } = this.#options
    routes.expect(claim.user, entry.id)
    const answer = await this.#ask(entry, claim).catch((error: unknown) => {
      routes.givesUp(entry.id)
      throw error
    })
    if (answer !== undefined && answer !== 'no') {
      this.counts.fetched++
      await residents.adopt(claim.user, entry.id, answer.epoch, answer.facts)
      return answer.session
    }
    routes.givesUp(entry.id)
    if (answer === 'no') this.counts.refused++
    else this.counts.silent++
    return undefined
  }

  /**
   * Leaves these sessions, which were just let go of, in Redis, for whichever process their clients come to. What comes
   * for them meanwhile is left beside them. What cannot be left is lost.
   */
  async park(sessions: readonly SuspendedSession[]): Promise<void> {
    const { routes, report } = this.#options
    const room = new Room(AT_ONCE)
    // Every line is taken at once: nothing that comes from now on is looked for where the session was
    const parked = sessions.map((session) =>
      routes
        .whileMoving(session.principal.user, () => room.use(() => this.#park(session)))
        .catch((error: unknown) => {
          if (!(error instanceof Unavailable)) report(error)
        }),
    )
    await Promise.all(parked)
  }

  async #park(session: SuspendedSession): Promise<void> {
    const { registry, residents, graceMs } = this.#options
    const { user } = session.principal
    const had = await residents.released(session.id)
    if (had === undefined) return
    const [travelling, body] = packed(session)
    const state = JSON.stringify({ ...travelling, body: body.toString('base64') })
    if (await registry.park(user, session.id, had.epoch, { ...had.facts, away: true }, state, graceMs))
      this.counts.parked++
  }

  async #unpark(claim: ResumeClaim, entry: Entry): Promise<SuspendedSession | undefined> {
    const { registry, residents, routes } = this.#options
    const { user } = claim
    const state = await registry.parked(user, entry.id)
    if (state === undefined) return undefined
    const { body, ...travelling } = JSON.parse(state) as Travelling & { readonly body: string }
    if (!isSame(travelling.resumeId, claim.resumeId)) {
      this.counts.refused++
      return undefined
    }
    routes.expect(user, entry.id)
    const late = await registry.takeParked(user, entry).catch((error: unknown) => {
      routes.givesUp(entry.id)
      throw error
    })
    if (late === undefined) {
      routes.givesUp(entry.id)
      return undefined
    }
    for (const one of late) routes.keeps(entry.id, one)
    const { id: _, node: __, epoch, ...facts } = entry
    await residents.adopt(user, entry.id, epoch + 1, facts)
    this.counts.unparked++
    return unpacked(travelling, Buffer.from(body, 'base64'))
  }

  /** Undefined: the owner says nothing, and has the device no longer. */
  async #ask(entry: Entry, claim: ResumeClaim): Promise<Answer | undefined> {
    const { bus, registry, residents } = this.#options
    const id = ++this.#last
    const answer = new Promise<Answer>((resolve) => this.#asked.set(id, resolve))
    bus.send(entry.node, { kind: 'claim', facts: { id, claim } satisfies Asked })
    try {
      const first = await this.#inTime(answer)
      if (first !== undefined) return first
      if (await registry.fence(entry, claim.user)) {
        await residents.bereave(claim.user, entry)
        return undefined
      }
      // It has been given to us, or to somebody else, in this very moment
      return (await this.#inTime(answer)) ?? 'no'
    } finally {
      this.#asked.delete(id)
    }
  }

  async #inTime(answer: Promise<Answer>): Promise<Answer | undefined> {
    let cancel = () => {}
    const late = new Promise<undefined>((resolve) => {
      cancel = this.#options.clock.after(PATIENCE_MS, () => resolve(undefined))
    })
    return Promise.race([answer, late]).finally(() => cancel())
  }

  #isGiven({ facts, body = Buffer.alloc(0) }: BusMessage): void {
    const { id, given } = facts as Given
    this.#asked.get(id)?.(given ? { ...given, session: unpacked(given.session, body) } : 'no')
  }

  /** What comes for the device meanwhile is passed on after the session itself. */
  async #gives(from: NodeId, { id, claim }: Asked): Promise<void> {
    const { bus, registry, residents, routes, sessions } = this.#options
    await routes.whileMoving(claim.user, async () => {
      const session = await sessions.release(claim)
      const had = session && (await residents.released(session.id))
      const facts = had && { ...had.facts, away: true }
      if (!facts || !(await registry.move(claim.user, session.id, had.epoch, from, facts))) {
        bus.send(from, { kind: 'claimed', facts: { id } satisfies Given })
        return
      }
      const [travelling, body] = packed(session)
      const given: Given = { id, given: { session: travelling, epoch: had.epoch + 1, facts } }
      bus.send(from, { kind: 'claimed', facts: given, body })
      this.counts.given++
    })
  }
}

/** Some at a time. */
class Room {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#free--
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

function packed({ frames, ...session }: SuspendedSession): [Travelling, Buffer] {
  const heads = frames.map(({ seq, isText, octets }) => [seq, isText ? 1 : 0, octets.length] as const)
  return [{ ...session, frames: heads }, Buffer.concat(frames.map(({ octets }) => octets))]
}

function unpacked({ frames, ...session }: Travelling, body: Buffer): SuspendedSession {
  let at = 0
  return {
    ...session,
    frames: frames.map(([seq, isText, length]) => {
      at += length
      return { seq, isText: isText === 1, octets: body.subarray(at - length, at) }
    }),
  }
}

const digest = (secret: string): Buffer => createHash('sha256').update(secret).digest()

const isSame = (secret: string, given: string): boolean => timingSafeEqual(digest(secret), digest(given))
