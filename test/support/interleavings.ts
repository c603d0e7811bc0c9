/**
 * Random lives of a few calls: several devices per user, users over HTTP, devices that come and go, deadlines, and
 * engines that race on one store. And what must hold afterwards, whatever has happened.
 */

import { expect } from '@jest/globals'
import fc from 'fast-check'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { holdersOf } from '../../src/calls/holders.ts'
import type { CallService } from '../../src/calls/service.ts'
import type { Call, CallTimers, Effect } from '../../src/calls/types.ts'
import type { Awaitable, CallStore, CallWrite } from '../../src/ports.ts'
import { TestClock } from './clock.ts'
import { FakeDevices } from './devices.ts'
import { actor, engine, requestOf, TIMERS } from './engine.ts'

const USERS = ['alice', 'bob', 'carol'] as const
const DEVICES = ['alice/1', 'alice/2', 'bob/1', 'bob/2', 'bob/3', 'carol/1'] as const
const CALLS = ['c1', 'c2', 'c3'] as const
const userOf = (name: string) => name.split('/')[0] ?? name

type Command = 'accept' | 'reject' | 'busy' | 'hangup' | 'ringing' | 'signal'

/** `cut` and `resume`: the connection alone is lost, and the same device comes back. */
type Move = 'leave' | 'come' | 'cut' | 'resume'

export type Step =
  | { do: 'request'; who: string; callee: string; callId: string; glare: boolean }
  | { do: Command; who: string; callId: string }
  | { do: 'hangup current'; who: string }
  | { do: Move; who: string }
  | { do: 'shut out'; who: string }
  | { do: 'wait'; ms: number }
  | { do: 'hold'; who: string; callId: string; hold: boolean }
  | { do: 'transfer'; who: string; callId: string; target: string; withCallId: string | undefined }
  /** Accepts what rings for the user, whatever it is called. */
  | { do: 'accept ringing'; who: string }

const who = fc.constantFrom<string>(...DEVICES, ...DEVICES, ...USERS)
const device = fc.constantFrom<string>(...DEVICES)
const callId = fc.constantFrom<string>(...CALLS)

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('request' as const),
      who,
      callee: fc.constantFrom<string>(...USERS),
      callId,
      glare: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom<Command>('accept', 'accept', 'reject', 'busy', 'hangup', 'ringing', 'signal'),
      who,
      callId,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('hangup current' as const), who }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom<Move>('leave', 'come', 'cut', 'resume'), who: device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('shut out' as const), who }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 9_999, 10_000, 29_999, 30_000, 120_000),
    }),
  },
)

/** The same with hold, transfer and call waiting: mostly commands that make sense, so that lives become long. */
export const lineStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: step },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('accept ringing' as const), who: device }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('hold' as const), who, callId, hold: fc.boolean() }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('transfer' as const),
      who,
      callId,
      target: fc.constantFrom<string>(...USERS),
      withCallId: fc.option(callId, { nil: undefined }),
    }),
  },
)

/** How a store hands out what it answers. */
export type Answer = <T>(value: T) => Promise<T>

export const ENGINES = [
  ['one engine', 1],
  ['two engines on one store', 2],
] as const

/** Taken at once, each step by the engine of this number. */
type Batch<S> = readonly (readonly [step: S, node: number])[]

export const batchesOf = <S>(step: fc.Arbitrary<S>, most: number, ofSteps = 8): fc.Arbitrary<readonly Batch<S>[]> =>
  fc.array(fc.array(fc.tuple(step, fc.nat({ max: 1 })), { minLength: 2, maxLength: ofSteps }), { maxLength: most })

/** For a race: one batch, each step by the next engine. */
export const oneBatch = <S>(steps: readonly S[]): fc.Arbitrary<readonly Batch<S>[]> =>
  fc.constant([steps.map((step, node) => [step, node] as const)])

interface Lives<W, S> {
  worldOf(answer: Answer): W
  take(world: W, step: S, node: number): Promise<void>
  /** Each life has one of these, in its order. */
  readonly beginnings: readonly (readonly S[])[]
  readonly batches: fc.Arbitrary<readonly Batch<S>[]>
  readonly runs: number
  /** What must be so when nothing is under way any more. */
  holds(world: W): Promise<void> | void
}

/** Runs lives in which, after their beginning, the answers of the store come in any order. */
export async function inAnyOrder<W, S>({ worldOf, take, beginnings, batches, runs, holds }: Lives<W, S>) {
  const life = async (scheduler: fc.Scheduler, beginning: readonly S[], batches: readonly Batch<S>[]) => {
    let running = false
    const world = worldOf((value) => (running ? scheduler.schedule(Promise.resolve(value)) : Promise.resolve(value)))
    for (const step of beginning) await take(world, step, 0)
    running = true
    for (const batch of batches) {
      await scheduler.waitFor(Promise.all(batch.map(([step, node]) => take(world, step, node))))
    }
    running = false
    await scheduler.waitAll()
    await holds(world)
  }
  await fc.assert(fc.asyncProperty(fc.scheduler(), fc.constantFrom(...beginnings), batches, life), { numRuns: runs })
}

export const ALICE_CALLS_BOB: Step = { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }

/** A life that is in the middle of something: alice consults carol, and bob is on hold. */
export const CONSULTING: readonly Step[] = [
  ALICE_CALLS_BOB,
  { do: 'accept', who: 'bob/1', callId: 'c1' },
  { do: 'hold', who: 'alice/1', callId: 'c1', hold: true },
  { do: 'request', who: 'alice/1', callee: 'carol', callId: 'c2', glare: false },
  { do: 'accept', who: 'carol/1', callId: 'c2' },
]

/** What was committed, by whomever. */
export class Commits {
  readonly #versions = new Map<string, Call[]>()
  readonly broken: string[] = []
  readonly #live = new Map<string, Call>()
  readonly #inOrder: boolean

  /** `inOrder`: commits are noted in the order in which they took place. */
  constructor(inOrder: boolean) {
    this.#inOrder = inOrder
  }

  /** Of each call its versions, in their order. */
  get versions(): ReadonlyMap<string, readonly Call[]> {
    if (!this.#inOrder) for (const versions of this.#versions.values()) versions.sort((a, b) => a.version - b.version)
    return this.#versions
  }

  note(writes: readonly CallWrite[]): void {
    for (const { call } of writes) {
      this.#versions.set(call.callId, [...(this.#versions.get(call.callId) ?? []), call])
      if (call.endedAt === undefined) this.#live.set(call.callId, call)
      else this.#live.delete(call.callId)
    }
    if (this.#inOrder) this.broken.push(...brokenLines([...this.#live.values()]))
  }
}

/** What is wrong with these live calls. */
export function brokenLines(live: readonly Call[]): string[] {
  const broken: string[] = []
  for (const user of new Set(live.flatMap(holdersOf))) {
    const line = live.filter((call) => holdersOf(call).includes(user))
    const talking = line.filter(({ status, held }) => status === 'CONNECTED' && !held?.includes(user))
    const strangers = line.every((call) => line.every((other) => call === other || !areBeside(call, other)))
    const ids = line.map((call) => call.callId).join(', ')
    if (line.length > 2) broken.push(`${user} is in more than two live calls: ${ids}`)
    if (line.length > 1 && strangers)
      broken.push(`${user} is in two live calls that know nothing of each other: ${ids}`)
    if (talking.length > 1) broken.push(`${user} talks in two calls: ${ids}`)
  }
  return broken
}

const areBeside = (call: Call, other: Call): boolean =>
  call.beside?.includes(other.callId) === true || other.beside?.includes(call.callId) === true

/** Notes every commit, and answers when the scheduler lets it: with copies, as a store does that several processes share. */
export class WatchedStore implements CallStore {
  readonly outlives: boolean
  readonly #inner: CallStore
  readonly #answer: Answer
  readonly #commits: Commits
  #pending = 0
  #wake: (() => void)[] = []

  constructor(answer: Answer, commits: Commits, inner: CallStore = new MemoryCallStore()) {
    this.#answer = answer
    this.#commits = commits
    this.#inner = inner
    this.outlives = inner.outlives
  }

  load(id: string) {
    return this.#ask(() => this.#inner.load(id))
  }

  line(user: string) {
    return this.#ask(() => this.#inner.line(user))
  }

  commit(writes: readonly CallWrite[], effects?: readonly Effect[]) {
    return this.#ask(async () => {
      const done = await this.#inner.commit(writes, effects)
      if (done) this.#commits.note(writes)
      return done
    })
  }

  told(writes: readonly CallWrite[]) {
    this.#inner.told?.(writes)
  }

  forget(id: string, expected: number) {
    return this.#ask(() => this.#inner.forget(id, expected))
  }

  due(now: number, atMost: number) {
    return this.#counted(this.#inner.due(now, atMost))
  }

  nextDue() {
    return this.#counted(this.#inner.nextDue())
  }

  live() {
    return this.#inner.live()
  }

  /** Fulfilled when nobody waits for an answer. */
  async idle(): Promise<void> {
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  get isIdle(): boolean {
    return this.#pending === 0
  }

  async #ask<T>(question: () => Awaitable<T>): Promise<T> {
    return this.#counted((async () => this.#answer(structuredClone(await question())))())
  }

  #counted<T>(answer: Awaitable<T>): Awaitable<T> {
    if (!(answer instanceof Promise)) return answer
    this.#pending++
    return answer.finally(() => {
      if (--this.#pending === 0) for (const wake of this.#wake.splice(0)) wake()
    })
  }
}

export interface World {
  commits: Commits
  devices: FakeDevices
  clock: TestClock
  engines: ReturnType<typeof engine>[]
  /** How often each device gave a command for each call. */
  commands: Map<string, number>
  /** Devices that have been away: they may have missed frames. */
  away: Set<string>
  /** A lost device is a new one when it comes again. */
  names: Map<string, string>
}

/** An engine for each of the stores; the devices are connected to all of them. */
export function worldOf(
  stores: readonly CallStore[],
  commits: Commits,
  timers: CallTimers = TIMERS,
  callWaiting = false,
): World {
  const devices = new FakeDevices()
  const clock = new TestClock()
  const engines = stores.map((store) => engine({ store, devices, clock, timers, callWaiting }))
  for (const name of DEVICES) devices.connect(userOf(name), name)
  const names = new Map<string, string>(DEVICES.map((name) => [name, name]))
  return { commits, devices, clock, engines, commands: new Map(), away: new Set(), names }
}

/** So many engines on one store in memory. */
export function newWorld(answer: Answer, nodes: number, callWaiting = false, timers = TIMERS): World {
  const commits = new Commits(true)
  const store = new WatchedStore(answer, commits)
  const stores = Array.from({ length: nodes }, () => store)
  return worldOf(stores, commits, timers, callWaiting)
}

/** The last version of a call. */
export const last = (world: World, id: string): Call | undefined => world.commits.versions.get(id)?.at(-1)

const isMove = (step: Step): step is Extract<Step, { do: Move }> =>
  step.do === 'leave' || step.do === 'come' || step.do === 'cut' || step.do === 'resume'

async function move(world: World, how: Move, who: string, calls: CallService): Promise<void> {
  const name = world.names.get(who) ?? who
  if (how === 'leave') {
    world.devices.disconnect(name)
    world.away.add(name)
    await calls.lost(userOf(name), name)
    return
  }
  if (how === 'cut') {
    if (!world.devices.isConnected(name)) return
    world.devices.goesAway(name)
    await calls.lost(userOf(name), name, `token of ${who}`, [], true)
    return
  }
  if (how === 'resume') {
    if (!world.devices.holds(name) || world.devices.isConnected(name)) return
    world.devices.comesBack(name)
    await calls.returned(userOf(name), name, `token of ${who}`)
    await calls.appeared(userOf(name), name)
    return
  }
  if (world.devices.holds(name)) return
  const fresh = `${who}#${name.length}`
  world.names.set(who, fresh)
  world.devices.connect(userOf(fresh), fresh)
  return calls.appeared(userOf(fresh), fresh)
}

export async function take(world: World, step: Step, node: number): Promise<void> {
  const chosen = world.engines[node % world.engines.length]
  if (!chosen) throw new Error('no engine')
  const { calls } = chosen
  if (step.do === 'wait') return
  const name = world.names.get(step.who) ?? step.who
  if (isMove(step)) return move(world, step.do, step.who, calls)
  if (step.do === 'shut out') return calls.shutOut(userOf(name), name.includes('/') ? name : undefined)
  // A device that is away sends nothing.
  if (name.includes('/') && !world.devices.isConnected(name)) return
  const me = actor(name, `token of ${step.who}`)
  const count = (id: string) => {
    const key = `${name} ${id}`
    world.commands.set(key, (world.commands.get(key) ?? 0) + 1)
  }
  if (step.do === 'hangup current') {
    for (const id of CALLS) count(id)
    await calls.hangup(me, {})
    return
  }
  if (step.do === 'accept ringing') {
    const ringing = [...world.commits.versions.values()]
      .flatMap((versions) => versions.at(-1) ?? [])
      .find((call) => call.callee === userOf(name) && (call.status === 'CALLING' || call.status === 'RINGING'))
    if (ringing === undefined) return
    count(ringing.callId)
    await calls.respond(me, { callId: ringing.callId, type: 'ACCEPT', reason: 'DECLINED', features: ALL })
    return
  }
  // A request may end or answer other calls of the same two users.
  for (const id of step.do === 'request' ? CALLS : [step.callId]) count(id)
  switch (step.do) {
    case 'request':
      await calls.request(
        me,
        requestOf(step.callee, step.callId, { features: ALL, ...(step.glare && { glare: 'accept' }) }),
      )
      break
    case 'accept':
      await calls.respond(me, { callId: step.callId, type: 'ACCEPT', reason: 'DECLINED', features: ALL })
      break
    case 'reject':
    case 'busy':
      await calls.respond(me, { callId: step.callId, type: 'REJECT', reason: step.do === 'busy' ? 'BUSY' : 'DECLINED' })
      break
    case 'hangup':
      await calls.hangup(me, { callId: step.callId })
      break
    case 'hold':
      await calls.hold(me, { callId: step.callId, hold: step.hold })
      break
    case 'transfer': {
      const { target, withCallId } = step
      const mode = withCallId === undefined ? 'BLIND' : 'ATTENDED'
      await calls.transfer(me, { callId: step.callId, target, mode, withCallId })
      break
    }
    case 'ringing':
      await calls.ringing(me, { callId: step.callId })
      break
    case 'signal':
      await calls.signal(me, { callId: step.callId }, { body: Buffer.from('{}'), contentType: 'application/json' })
      break
  }
}

const ALL = ['hold', 'transfer', 'room']

const ENDS = new Set(['call/down', 'call/hangup', 'call/timeout'])

/** Checks everything that must hold, whatever has happened. `ordered`: one engine, so frames keep the order of commits. */
export function check(world: World, ordered: boolean): void {
  // Whoever is away still finds in the end what was said meanwhile
  for (const name of world.names.values()) if (world.devices.holds(name)) world.devices.comesBack(name)
  expect(world.commits.broken).toEqual([])
  for (const { bugs } of world.engines) expect(bugs).toEqual([])
  for (const [id, versions] of world.commits.versions) {
    const terminal = versions.findIndex((call) => call.endedAt !== undefined)
    // With all timers run nothing is left live, and nothing follows the end.
    expect({ id, terminal }).toEqual({ id, terminal: versions.length - 1 })
    const last = versions.at(-1)
    const winners = versions.flatMap((call) => (call.winner?.device ? [call.winner] : []))
    // The winner never changes, but for the same token on a new session of a lost device.
    expect(new Set(winners.map((leg) => leg.token)).size).toBeLessThanOrEqual(1)

    const frames = world.devices.heard.filter((frame) => frame.body.callId === id)
    const own = (name: string) => world.commands.get(`${name} ${id}`) ?? 0
    const rung = frames.filter((frame) => frame.queue === 'call/request').map((frame) => frame.device)
    expect(new Set(rung).size).toBe(rung.length)
    for (const name of rung) {
      const of = frames.filter((frame) => frame.device === name)
      const ends = of.filter((frame) => ENDS.has(frame.queue)).length
      if (world.away.has(name)) continue
      // A device that gave commands may have ended the call itself, and hears the closing frame again on repeats.
      expect({ id, name, ends: Math.max(ends, own(name) > 0 ? 1 : 0) }).toEqual({ id, name, ends: expect.any(Number) })
      expect(ends).toBeLessThanOrEqual(1 + own(name))
      if (own(name) === 0) expect({ id, name, ends }).toEqual({ id, name, ends: 1 })
      if (ordered && own(name) === 0) expect(of[0]?.queue).toBe('call/request')
    }
    const toCaller = frames.filter((frame) => userOf(frame.device) === last?.caller)
    const accepts = toCaller.filter((frame) => frame.body.type === 'ACCEPT' && frame.queue === 'call/response')
    if (accepts.length > 0) {
      const glare = accepts.every((frame) => frame.body.activeCallId !== undefined)
      expect(glare || last?.connectedAt !== undefined).toBe(true)
    }
    const origin = last?.origin.device
    if (origin !== undefined && own(origin) <= 1) {
      const outcomes = toCaller.filter(
        (frame) => frame.device === origin && (frame.queue === 'call/response' || frame.queue === 'call/timeout'),
      )
      expect(outcomes.length).toBeLessThanOrEqual(1)
    }
  }
}

/** The same where calls are held, transferred and replaced by others, whose ids nobody has chosen. */
export function checkLines(world: World): void {
  for (const name of world.names.values()) if (world.devices.holds(name)) world.devices.comesBack(name)
  expect(world.commits.broken).toEqual([])
  for (const { bugs } of world.engines) expect(bugs).toEqual([])
  const idle = (name: string) => [...world.commands.keys()].every((key) => !key.startsWith(`${name} `))
  for (const [id, versions] of world.commits.versions) {
    const terminal = versions.findIndex((call) => call.endedAt !== undefined)
    expect({ id, terminal }).toEqual({ id, terminal: versions.length - 1 })
    const transfers = versions.map(({ transfer }) => transfer?.to)
    for (const to of new Set(transfers)) {
      if (to === undefined) continue
      // It is under way without a break, and decided once: the call that it was about is over, or goes on
      const [from, until] = [transfers.indexOf(to), transfers.lastIndexOf(to)]
      expect(transfers.slice(from, until + 1).every((other) => other === to)).toBe(true)
      const next = world.commits.versions.get(to)?.at(-1)
      const done = versions.at(-1)?.reason === 'TRANSFERRED' && until === versions.length - 1
      const outlived = until < versions.length - 1
      if (done && next?.connectedAt !== undefined)
        expect(versions.at(-1)?.endedAt).toBeLessThanOrEqual(next.connectedAt)
      if (outlived) expect(next?.connectedAt).toBeUndefined()
      for (const device of new Set(world.devices.heard.map((frame) => frame.device))) {
        const told = world.devices.heard.filter(
          ({ queue, body, device: by }) =>
            by === device && queue === 'call/transfer' && body.newCallId === to && body.state !== 'RINGING',
        )
        expect(told.length).toBeLessThanOrEqual(1)
        for (const { body } of told) expect(body.state).toBe(outlived ? 'FAILED' : 'DONE')
      }
    }
    const frames = world.devices.heard.filter((frame) => frame.body.callId === id)
    const rung = frames.filter((frame) => frame.queue === 'call/request').map((frame) => frame.device)
    expect(new Set(rung).size).toBe(rung.length)
    for (const name of rung) {
      if (world.away.has(name) || !idle(name)) continue
      expect({ id, name, ends: frames.filter((one) => one.device === name && ENDS.has(one.queue)).length }).toEqual({
        id,
        name,
        ends: 1,
      })
    }
  }
}

export interface Race {
  readonly before: readonly Step[]
  /** Taken at once, each by another engine if there is one. */
  readonly steps: readonly Step[]
  /** What must be so whoever was first. */
  holds(world: World): void
}

/** One call lives, one is glare. */
export const BOTH_CALL: Race = {
  before: [],
  steps: [ALICE_CALLS_BOB, { do: 'request', who: 'bob/1', callee: 'alice', callId: 'c2', glare: false }],
  holds(world) {
    const ends = ['c1', 'c2'].map((id) => last(world, id)?.reason ?? 'live')
    expect(ends.sort()).toEqual(['GLARE', 'live'])
  },
}

/** One wins, the other is told once, the caller hears one ACCEPT. */
export const TWO_ACCEPT: Race = {
  before: [ALICE_CALLS_BOB],
  steps: [
    { do: 'accept', who: 'bob/1', callId: 'c1' },
    { do: 'accept', who: 'bob/2', callId: 'c1' },
  ],
  holds(world) {
    const winner = last(world, 'c1')?.winner?.device
    expect(['bob/1', 'bob/2']).toContain(winner)
    expect(world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))).toEqual([
      'call/response ACCEPT',
    ])
    expect(world.devices.of(winner ?? '').some((frame) => frame.startsWith('call/down'))).toBe(false)
    expect(world.devices.of('bob/3')).toEqual(['call/request VIDEO', 'call/down ACCEPT ANSWERED_ELSEWHERE'])
  },
}
