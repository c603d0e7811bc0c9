/**
 * The invariants of the call engine over random interleavings: several devices per user, users over HTTP, devices
 * that come and go, deadlines, and two engines that race on one store whose answers come in any order.
 */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import type { CallService } from '../../src/calls/service.ts'
import type { Call } from '../../src/calls/types.ts'
import type { CallStore, CallWrite } from '../../src/ports.ts'
import { TestClock } from '../support/clock.ts'
import { FakeDevices } from '../support/devices.ts'
import { actor, engine, requestOf } from '../support/engine.ts'

const USERS = ['alice', 'bob', 'carol'] as const
const DEVICES = ['alice/1', 'alice/2', 'bob/1', 'bob/2', 'bob/3', 'carol/1'] as const
const CALLS = ['c1', 'c2', 'c3'] as const
const userOf = (name: string) => name.split('/')[0] ?? name

type Command = 'accept' | 'reject' | 'busy' | 'hangup' | 'ringing' | 'signal'

type Move = 'leave' | 'come'

type Step =
  | { do: 'request'; who: string; callee: string; callId: string; glare: boolean }
  | { do: Command; who: string; callId: string }
  | { do: 'hangup current'; who: string }
  | { do: Move; who: string }
  | { do: 'shut out'; who: string }
  | { do: 'wait'; ms: number }

const who = fc.constantFrom<string>(...DEVICES, ...DEVICES, ...USERS)
const device = fc.constantFrom<string>(...DEVICES)
const callId = fc.constantFrom<string>(...CALLS)

const step: fc.Arbitrary<Step> = fc.oneof(
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
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom<Move>('leave', 'come'), who: device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('shut out' as const), who }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 9_999, 10_000, 29_999, 30_000, 120_000),
    }),
  },
)

/** Remembers every committed version, and answers when the scheduler lets it. */
class WatchedStore implements CallStore {
  readonly outlives = false
  readonly versions = new Map<string, Call[]>()
  readonly broken: string[] = []
  readonly #inner = new MemoryCallStore()
  readonly #answer: <T>(value: T) => Promise<T>
  readonly #live = new Map<string, Call>()

  constructor(answer: <T>(value: T) => Promise<T>) {
    this.#answer = answer
  }

  async load(id: string) {
    return this.#answer(await this.#inner.load(id))
  }

  async current(user: string) {
    return this.#answer(await this.#inner.current(user))
  }

  async commit(writes: readonly CallWrite[]) {
    const done = await this.#inner.commit(writes)
    if (done) {
      for (const { call } of writes) {
        this.versions.set(call.callId, [...(this.versions.get(call.callId) ?? []), call])
        if (call.endedAt === undefined) this.#live.set(call.callId, call)
        else this.#live.delete(call.callId)
      }
      const users = [...this.#live.values()].flatMap((call) => [call.caller, call.callee])
      if (new Set(users).size !== users.length) this.broken.push(`a user in two live calls: ${users}`)
    }
    return this.#answer(done)
  }

  async forget(id: string, expected: number) {
    return this.#answer(await this.#inner.forget(id, expected))
  }

  due(now: number, atMost: number) {
    return this.#inner.due(now, atMost)
  }

  nextDue() {
    return this.#inner.nextDue()
  }

  live() {
    return this.#inner.live()
  }
}

interface World {
  store: WatchedStore
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

function newWorld(answer: <T>(value: T) => Promise<T>, nodes: number): World {
  const store = new WatchedStore(answer)
  const devices = new FakeDevices()
  const clock = new TestClock()
  const engines = Array.from({ length: nodes }, () => engine({ store, devices, clock }))
  for (const name of DEVICES) devices.connect(userOf(name), name)
  const names = new Map<string, string>(DEVICES.map((name) => [name, name]))
  return { store, devices, clock, engines, commands: new Map(), away: new Set(), names }
}

const isMove = (step: Step): step is Extract<Step, { do: Move }> => step.do === 'leave' || step.do === 'come'

async function move(world: World, how: Move, who: string, calls: CallService): Promise<void> {
  const name = world.names.get(who) ?? who
  if (how === 'leave') {
    world.devices.disconnect(name)
    world.away.add(name)
    await calls.lost(userOf(name), name)
    return
  }
  if (world.devices.isConnected(name)) return
  const fresh = `${who}#${name.length}`
  world.names.set(who, fresh)
  world.devices.connect(userOf(fresh), fresh)
  return calls.appeared(userOf(fresh), fresh)
}

async function take(world: World, step: Step, node: number): Promise<void> {
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
  // A request may end or answer other calls of the same two users.
  for (const id of step.do === 'request' ? CALLS : [step.callId]) count(id)
  switch (step.do) {
    case 'request':
      await calls.request(me, requestOf(step.callee, step.callId, step.glare ? { glare: 'accept' } : {}))
      break
    case 'accept':
      await calls.respond(me, { callId: step.callId, type: 'ACCEPT', reason: 'DECLINED' })
      break
    case 'reject':
    case 'busy':
      await calls.respond(me, { callId: step.callId, type: 'REJECT', reason: step.do === 'busy' ? 'BUSY' : 'DECLINED' })
      break
    case 'hangup':
      await calls.hangup(me, { callId: step.callId })
      break
    case 'ringing':
      await calls.ringing(me, { callId: step.callId })
      break
    case 'signal':
      await calls.signal(me, { callId: step.callId }, { body: Buffer.from('{}'), contentType: 'application/json' })
      break
  }
}

const ENDS = new Set(['call/down', 'call/hangup', 'call/timeout'])

/** Checks everything that must hold, whatever has happened. `ordered`: one engine, so frames keep the order of commits. */
function check(world: World, ordered: boolean): void {
  expect(world.store.broken).toEqual([])
  for (const { bugs } of world.engines) expect(bugs).toEqual([])
  for (const [id, versions] of world.store.versions) {
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

describe('whatever happens', () => {
  test('one engine, one command after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = newWorld((value) => Promise.resolve(value), 1)
        for (const step of steps) {
          await take(world, step, 0)
          if (step.do === 'wait') await world.clock.advance(step.ms)
        }
        await world.clock.advance(24 * 3_600_000)
        check(world, true)
      }),
      { numRuns: 150 },
    )
  }, 60_000)

  test.each([
    ['one engine', 1],
    ['two engines on one store', 2],
  ])(
    '%s, with the answers of the store in any order',
    async (_, nodes) => {
      const batch = fc.array(fc.tuple(step, fc.nat({ max: 1 })), { minLength: 2, maxLength: 8 })
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), fc.array(batch, { maxLength: 5 }), async (scheduler, batches) => {
          let running = true
          const world = newWorld(
            (value) => (running ? scheduler.schedule(Promise.resolve(value)) : Promise.resolve(value)),
            nodes,
          )
          for (const steps of batches) {
            await scheduler.waitFor(Promise.all(steps.map(([step, node]) => take(world, step, node))))
          }
          running = false
          await scheduler.waitAll()
          await world.clock.advance(24 * 3_600_000)
          check(world, nodes === 1)
        }),
        { numRuns: 200 },
      )
    },
    60_000,
  )
})

/** Runs `race` a thousand times, each with another order of the store's answers. */
async function aThousandTimes(nodes: number, race: (world: World) => Promise<unknown>, then: (world: World) => void) {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      let running = true
      const world = newWorld(
        (value) => (running ? scheduler.schedule(Promise.resolve(value)) : Promise.resolve(value)),
        nodes,
      )
      await scheduler.waitFor(race(world))
      running = false
      await scheduler.waitAll()
      then(world)
    }),
    { numRuns: 1000 },
  )
}

const last = (world: World, id: string) => world.store.versions.get(id)?.at(-1)

describe.each([
  ['one engine', 1],
  ['two engines', 2],
])('a thousand races, %s', (_, nodes) => {
  const other = nodes - 1

  test('both call each other: one call lives, one is glare', async () => {
    await aThousandTimes(
      nodes,
      (world) =>
        Promise.all([
          take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0),
          take(world, { do: 'request', who: 'bob/1', callee: 'alice', callId: 'c2', glare: false }, other),
        ]),
      (world) => {
        const statuses = ['c1', 'c2'].map((id) => last(world, id)?.reason ?? 'live')
        expect(statuses.sort()).toEqual(['GLARE', 'live'])
      },
    )
  }, 60_000)

  test('two devices accept: one wins, the other is told once, the caller hears one ACCEPT', async () => {
    await aThousandTimes(
      nodes,
      async (world) => {
        await take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0)
        await Promise.all([
          take(world, { do: 'accept', who: 'bob/1', callId: 'c1' }, 0),
          take(world, { do: 'accept', who: 'bob/2', callId: 'c1' }, other),
        ])
      },
      (world) => {
        const winner = last(world, 'c1')?.winner?.device
        expect(['bob/1', 'bob/2']).toContain(winner)
        expect(world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))).toEqual([
          'call/response ACCEPT',
        ])
        expect(world.devices.of(winner ?? '').some((frame) => frame.startsWith('call/down'))).toBe(false)
        expect(world.devices.of('bob/3')).toEqual(['call/request VIDEO', 'call/down ACCEPT ANSWERED_ELSEWHERE'])
      },
    )
  }, 60_000)

  test('accept against cancel, accept against reject: one of them decides', async () => {
    for (const rival of [
      { do: 'hangup', who: 'alice/1', callId: 'c1' },
      { do: 'reject', who: 'bob/2', callId: 'c1' },
    ] as const) {
      await aThousandTimes(
        nodes,
        async (world) => {
          await take(world, { do: 'request', who: 'alice/1', callee: 'bob', callId: 'c1', glare: false }, 0)
          await Promise.all([take(world, { do: 'accept', who: 'bob/1', callId: 'c1' }, 0), take(world, rival, other)])
        },
        (world) => {
          const outcomes = world.devices.of('alice/1').filter((frame) => frame.startsWith('call/response'))
          const call = last(world, 'c1')
          if (call?.connectedAt !== undefined) expect(outcomes).toEqual(['call/response ACCEPT'])
          else expect(outcomes.length).toBe(call?.status === 'REJECTED' ? 1 : 0)
        },
      )
    }
  }, 60_000)
})
