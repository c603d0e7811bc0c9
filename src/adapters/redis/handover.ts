/**
 * Sessions that go on in another process than the one that held them. Who gets the CONNECT asks the owner that the
 * registry names, over the bus; a process that stops leaves its sessions in Redis instead.
 *
 * The owner lets go of a session, writes the new owner into the registry, and only then sends the session: it is never
 * in two places. An owner that neither answers nor renews its lease loses the device, so that it cannot write it any more.
 * A short absence of Redis costs no session: whoever wants one, or leaves one, tries again for a while.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Broker, ResumeClaim, SuspendedSession } from '../../../broker/index.ts'
import { type Cancel, type Clock, type DeviceId, type NodeId, Unavailable } from '../../ports.ts'
import type { Bus, BusMessage } from './bus.ts'
import type { RedisLink } from './link.ts'
import type { LeasedMembers } from './members.ts'
import { type DeviceFacts, type Entry, PARKED, type Registry } from './registry.ts'
import type { Residents } from './residents.ts'
import type { BusRoutes } from './routes.ts'

export interface HandoverOptions {
  readonly link: Pick<RedisLink, 'watch'>
  readonly bus: Bus
  readonly members: Pick<LeasedMembers, 'leaseUntil'>
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

/** How long the owner of a session is waited for: longer than it takes to renew a lease. */
const PATIENCE_MS = 2_000

/** The same for one that has renewed its lease meanwhile: it lives, and has much to do. */
const BUSY_MS = 6_000

/** How long Redis may be away before what is wanted of it is given up. */
const AWAY_MS = 5_000

/** Between two attempts while Redis refuses. */
const PAUSE_MS = 50

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

interface Gift {
  readonly session: SuspendedSession
  readonly epoch: number
  readonly facts: DeviceFacts
}

type Answer = Gift | 'no'

/** A session that is being fetched. */
interface Wanted {
  readonly claim: ResumeClaim
  /** The question that was asked last; whatever was given in answer to an earlier one is welcome, too. */
  asked: number
  /** What has come while nobody waited for it. */
  answer?: Answer
  /** Who waits for an answer. */
  hear?: (answer: Answer) => void
}

export class Handover {
  readonly counts: HandoverCounts = { fetched: 0, unparked: 0, given: 0, parked: 0, refused: 0, silent: 0 }
  readonly #options: HandoverOptions
  readonly #wanted = new Set<Wanted>()
  #last = 0
  /** Since when Redis has been away. */
  #awaySince: number | undefined

  constructor(options: HandoverOptions) {
    this.#options = options
    const { bus, link, clock, report } = options
    this.#awaySince = clock.now()
    link.watch({
      up: () => {
        this.#awaySince = undefined
      },
      down: () => {
        this.#awaySince ??= clock.now()
      },
    })
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
    const wanted: Wanted = { claim, asked: 0 }
    this.#wanted.add(wanted)
    try {
      return await this.#whileAway(this.#patience(), () => this.#look(wanted))
    } finally {
      this.#wanted.delete(wanted)
      this.#givesUp(claim.sessionId)
    }
  }

  /** Nobody wants it here any more, and it has not come. */
  #givesUp(device: DeviceId): void {
    const { residents, routes } = this.#options
    if (residents.has(device)) return
    for (const { claim } of this.#wanted) if (claim.sessionId === device) return
    routes.givesUp(device)
  }

  async #look(wanted: Wanted): Promise<SuspendedSession | undefined> {
    const { claim } = wanted
    let before: Entry | undefined
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const entry = await this.#find(claim)
      if (entry === undefined || (entry.node === before?.node && entry.epoch === before.epoch)) break
      const session = await this.#have(entry, wanted)
      if (session !== undefined) return session
      // Who was asked may have given it to somebody else, or have left it in Redis, in this very moment
      before = entry
    }
    return undefined
  }

  async #have(entry: Entry, wanted: Wanted): Promise<SuspendedSession | undefined> {
    if (entry.node === PARKED) return this.#unpark(wanted.claim, entry)
    return entry.node === this.#options.bus.self ? this.#await(entry, wanted) : this.#fetchFrom(entry, wanted)
  }

  async #find({ user, sessionId }: ResumeClaim): Promise<Entry | undefined> {
    const { registry, residents, bus } = this.#options
    const entry = (await registry.devices(user)).find(({ id }) => id === sessionId)
    return entry?.node === bus.self && residents.has(sessionId) ? undefined : entry
  }

  async #fetchFrom(entry: Entry, wanted: Wanted): Promise<SuspendedSession | undefined> {
    const answer = await this.#expecting(entry, wanted, () => this.#ask(entry, wanted))
    if (answer === 'no') this.counts.refused++
    else if (answer === undefined) this.counts.silent++
    else return answer
    return undefined
  }

  /** The registry says that it is here, and it is not: it is on its way, or was lost on it. */
  async #await(entry: Entry, wanted: Wanted): Promise<SuspendedSession | undefined> {
    const { registry, residents } = this.#options
    const { user } = wanted.claim
    const answer = await this.#expecting(entry, wanted, () => this.#inTime(wanted))
    if (answer !== undefined && answer !== 'no') return answer
    if (!residents.has(entry.id) && (await registry.remove(user, entry.id, entry.epoch)))
      await residents.bereave(user, entry)
    return undefined
  }

  /** What comes for the device from now on is kept for it. A gift becomes a session of this process. */
  async #expecting(
    { id }: Entry,
    { claim: { user } }: Wanted,
    work: () => Promise<Answer | undefined>,
  ): Promise<SuspendedSession | 'no' | undefined> {
    const { routes, residents } = this.#options
    routes.expect(user, id)
    const answer = await work()
    if (answer === undefined || answer === 'no') return answer
    this.counts.fetched++
    await routes.catchesUp(user, id)
    await residents.adopt(user, id, answer.epoch, answer.facts)
    return answer.session
  }

  /**
   * Leaves these sessions, which were just let go of, in Redis, for whichever process their clients come to. What comes
   * for them meanwhile is left beside them. What cannot be left is lost.
   */
  async park(sessions: readonly SuspendedSession[]): Promise<void> {
    const { routes, report } = this.#options
    const room = new Room(AT_ONCE)
    const until = this.#patience()
    // Every line is taken at once: nothing that comes from now on is looked for where the session was
    const parked = sessions.map((session) =>
      routes
        .whileMoving(session.principal.user, () => room.use(() => this.#park(session, until)))
        .catch((error: unknown) => {
          if (!(error instanceof Unavailable)) report(error)
        }),
    )
    await Promise.all(parked)
  }

  async #park(session: SuspendedSession, until: number): Promise<void> {
    const { registry, residents, graceMs } = this.#options
    const { user } = session.principal
    const had = await residents.released(session.id)
    if (had === undefined) return
    const [travelling, body] = packed(session)
    const state = JSON.stringify({ ...travelling, body: body.toString('base64') })
    const facts = { ...had.facts, away: true }
    const leave = () => registry.park(user, session.id, had.epoch, facts, state, graceMs)
    if (await this.#whileAway(until, leave)) this.counts.parked++
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
    const late = await registry.takeParked(user, entry)
    if (late === undefined) return undefined
    routes.keeps(entry.id, late)
    const { id: _, node: __, epoch, ...facts } = entry
    await routes.catchesUp(user, entry.id)
    await residents.adopt(user, entry.id, epoch + 1, facts)
    this.counts.unparked++
    return unpacked(travelling, Buffer.from(body, 'base64'))
  }

  /** Until when Redis is waited for by who begins now: not where it has been away for longer than anybody waits. */
  #patience(): number {
    return (this.#awaySince ?? this.#options.clock.now()) + AWAY_MS
  }

  /** While Redis is away it is tried again. */
  async #whileAway<T>(until: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof Unavailable) || !(await this.#isBack(until))) throw error
      }
    }
  }

  /** Redis is there. False: not by then. */
  #isBack(until: number): Promise<boolean> {
    const { link, clock } = this.#options
    return new Promise((resolve) => {
      const cancels: Cancel[] = []
      const done = (isBack: boolean) => {
        for (const cancel of cancels) cancel()
        resolve(isBack)
      }
      cancels.push(clock.after(until - clock.now(), () => done(false)))
      // Where it is there, and refuses
      cancels.push(clock.after(PAUSE_MS, () => cancels.push(link.watch({ up: () => done(true) }))))
    })
  }

  /** Undefined: the owner says nothing, and has the device no longer. */
  async #ask(entry: Entry, wanted: Wanted): Promise<Answer | undefined> {
    const { bus, clock, members, registry, residents } = this.#options
    const { claim } = wanted
    wanted.asked = ++this.#last
    if (wanted.answer === 'no') delete wanted.answer
    bus.send(entry.node, { kind: 'claim', facts: { id: wanted.asked, claim } satisfies Asked })
    const until = clock.now() + BUSY_MS
    let lease = await members.leaseUntil(entry.node)
    for (;;) {
      const answer = await this.#inTime(wanted)
      if (answer !== undefined) return answer
      const renewed = await members.leaseUntil(entry.node)
      if (clock.now() >= until || renewed <= lease) break
      lease = renewed
    }
    if (await registry.fence(entry, claim.user)) {
      await residents.bereave(claim.user, entry)
      return undefined
    }
    // It has been given to us, or to somebody else, in this very moment
    return (await this.#inTime(wanted)) ?? 'no'
  }

  /** Undefined: nothing has come. */
  async #inTime(wanted: Wanted): Promise<Answer | undefined> {
    const { answer } = wanted
    delete wanted.answer
    if (answer !== undefined) return answer
    return new Promise((resolve) => {
      const done = (heard: Answer | undefined) => {
        delete wanted.hear
        cancel()
        resolve(heard)
      }
      const cancel = this.#options.clock.after(PATIENCE_MS, () => done(undefined))
      wanted.hear = done
    })
  }

  #isGiven({ facts, body = Buffer.alloc(0) }: BusMessage): void {
    const { id, given } = facts as Given
    const all = [...this.#wanted]
    const wanted =
      all.find(({ asked }) => asked === id) ??
      (given && all.find(({ claim: { sessionId } }) => sessionId === given.session.id))
    const answer: Answer = given ? { ...given, session: unpacked(given.session, body) } : 'no'
    if (wanted?.hear) wanted.hear(answer)
    // Who has given it to us has it no longer, and says no when asked again: the gift stays
    else if (wanted) wanted.answer = given ? answer : (wanted.answer ?? answer)
  }

  /**
   * What comes for the device meanwhile is passed on after the session itself. When Redis does not say whether it has
   * moved, the session is sent all the same: nobody else has it, and whoever gets it writes it again.
   */
  async #gives(from: NodeId, { id, claim }: Asked): Promise<void> {
    const { bus, registry, residents, routes, sessions } = this.#options
    await routes.whileMoving(claim.user, async () => {
      const session = await sessions.release(claim)
      const had = session && (await residents.released(session.id))
      const facts = had && { ...had.facts, away: true }
      if (!facts || !(await registry.move(claim.user, session.id, had.epoch, from, facts).catch(unlessAway))) {
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

/** Perhaps it has worked. */
function unlessAway(error: unknown): true {
  if (error instanceof Unavailable) return true
  throw error
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
