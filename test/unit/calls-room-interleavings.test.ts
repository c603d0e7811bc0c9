/** What must hold of rooms over random lives of a few calls, whoever does what when, on one engine and on two. */

import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { holdersOf } from '../../src/calls/holders.ts'
import type { Call } from '../../src/calls/types.ts'
import type { CallWrite } from '../../src/ports.ts'
import { TestClock } from '../support/clock.ts'
import { FakeDevices } from '../support/devices.ts'
import { actor, engine, requestOf } from '../support/engine.ts'
import {
  type Answer,
  batchesOf,
  Commits,
  ENGINES,
  inAnyOrder,
  oneBatch,
  WatchedStore,
} from '../support/interleavings.ts'

const USERS = ['alice', 'bob', 'carol', 'dave', 'erin'] as const
const DEVICES = USERS.flatMap((user) => [`${user}/1`, `${user}/2`])
const CALLS = ['c1', 'c2'] as const
const MOST = 4
const userOf = (name: string) => name.split('/')[0] ?? name

type Verb = 'accept' | 'accept without' | 'reject' | 'busy' | 'hangup' | 'signal'
type Move = 'leave' | 'come' | 'cut' | 'resume'

type Step =
  | { do: 'request'; who: string; callId: string; callee: string }
  | { do: 'invite'; who: string; callId: string; invitees: readonly string[] }
  | { do: Verb; who: string; callId: string; to: string }
  | { do: Move | 'shut out'; who: string }
  | { do: 'wait'; ms: number }

const user = fc.constantFrom<string>(...USERS)
const device = fc.constantFrom<string>(...DEVICES)
const who = fc.oneof({ weight: 5, arbitrary: device }, { weight: 1, arbitrary: user })
const callId = fc.constantFrom<string>('c1', 'c1', 'c1', 'c2')
const verb = fc.constantFrom<Verb>(
  ...(['accept', 'accept', 'accept', 'accept without', 'reject', 'busy', 'hangup', 'signal', 'signal'] as const),
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('request' as const), who, callId, callee: user }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('invite' as const),
      who,
      callId,
      invitees: fc.array(user, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 12, arbitrary: fc.record({ do: verb, who, callId, to: user }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom<Move>('leave', 'come', 'cut', 'resume'), who: device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('shut out' as const), who }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 9_999, 15_000, 30_000, 120_000) }),
  },
)

/** Two who are connected, and ask somebody in. */
const BEGINNING: readonly Step[] = [
  { do: 'request', who: 'alice/1', callId: 'c1', callee: 'bob' },
  { do: 'accept', who: 'bob/1', callId: 'c1', to: 'alice' },
  { do: 'invite', who: 'alice/1', callId: 'c1', invitees: ['carol'] },
]

/** Looks at every commit in the order in which it takes place. */
class RoomCommits extends Commits {
  readonly #live = new Map<string, Call>()

  constructor() {
    super(false)
  }

  override note(writes: readonly CallWrite[]): void {
    super.note(writes)
    for (const { call } of writes) {
      if (call.endedAt === undefined) this.#live.set(call.callId, call)
      else this.#live.delete(call.callId)
      this.#look(call)
    }
    const holders = [...this.#live.values()].flatMap(holdersOf)
    if (new Set(holders).size !== holders.length) this.broken.push(`a user in two live calls: ${holders}`)
  }

  #look({ callId, members, endedAt, status, aloneSince, due }: Call): void {
    if (members === undefined) return
    const is = (state: string) => members.filter((member) => member.state === state)
    const complain = (what: string) => this.broken.push(`${callId}: ${what}: ${JSON.stringify(members)}`)
    if (new Set(members.map((member) => member.user)).size !== members.length) complain('somebody is in it twice')
    const joined = is('JOINED')
    if (joined.some(({ user, leg, joinedAt }) => leg?.user !== user || joinedAt === undefined)) complain('no leg')
    const devices = joined.flatMap(({ leg }) => leg?.device ?? [])
    if (new Set(devices).size !== devices.length) complain('a device is in it twice')
    if (joined.length + is('RINGING').length > MOST) complain('it is too full')
    if (members.some(({ state, rung }) => rung.length > 0 && state !== 'RINGING' && state !== 'JOINED'))
      complain('a device rings for who has gone')
    if (members.some(({ state, leftAt }) => state !== 'RINGING' && state !== 'JOINED' && leftAt === undefined))
      complain('gone, nobody knows when')
    if (endedAt !== undefined) {
      if (joined.length + is('RINGING').length > 0) complain('it is over, and somebody is in it')
      return
    }
    if (status !== 'CONNECTED' || !Number.isFinite(due)) complain('a live room is connected')
    if (joined.length === 0) complain('nobody is in it')
    if (joined.length < 2 !== (aloneSince !== undefined)) complain('alone or not')
  }
}

interface World {
  readonly commits: RoomCommits
  readonly devices: FakeDevices
  readonly clock: TestClock
  readonly engines: ReturnType<typeof engine>[]
  /** Devices that gave commands, or have been away: they may have heard more, or less. */
  readonly active: Set<string>
  readonly names: Map<string, string>
}

function worldOf(answer: Answer, nodes: number): World {
  const commits = new RoomCommits()
  const store = new WatchedStore(answer, commits, new MemoryCallStore())
  const [devices, clock] = [new FakeDevices(), new TestClock()]
  for (const name of DEVICES) devices.connect(userOf(name), name)
  const engines = Array.from({ length: nodes }, () => engine({ store, devices, clock, most: MOST }))
  return { commits, devices, clock, engines, active: new Set(), names: new Map(DEVICES.map((name) => [name, name])) }
}

async function move({ devices, names, active }: World, how: Move, who: string, { calls }: ReturnType<typeof engine>) {
  const name = names.get(who) ?? who
  const user = userOf(name)
  active.add(name)
  if (how === 'leave') {
    devices.disconnect(name)
    await calls.lost(user, name)
  } else if (how === 'cut') {
    if (!devices.isConnected(name)) return
    devices.goesAway(name)
    await calls.lost(user, name, `token of ${who}`, [], true)
  } else if (how === 'resume') {
    if (!devices.holds(name) || devices.isConnected(name)) return
    devices.comesBack(name)
    await calls.returned(user, name, `token of ${who}`)
    await calls.appeared(user, name)
  } else if (!devices.holds(name)) {
    const fresh = `${who}#${name.length}`
    names.set(who, fresh)
    active.add(fresh)
    devices.connect(user, fresh)
    await calls.appeared(user, fresh)
  }
}

async function take(world: World, step: Step, node: number): Promise<void> {
  const chosen = world.engines[node % world.engines.length]
  if (!chosen || step.do === 'wait') return
  const { calls } = chosen
  if ('callId' in step) return command(world, step, calls)
  if (step.do !== 'shut out') return move(world, step.do, step.who, chosen)
  return calls.shutOut(userOf(step.who), step.who.includes('/') ? world.names.get(step.who) : undefined)
}

async function command(world: World, step: Extract<Step, { callId: string }>, calls: World['engines'][0]['calls']) {
  const name = world.names.get(step.who) ?? step.who
  // A device that is away sends nothing
  if (name.includes('/') && !world.devices.isConnected(name)) return
  world.active.add(name)
  const me = actor(name, `token of ${step.who}`)
  const { callId } = step
  switch (step.do) {
    case 'request':
      await calls.request(me, requestOf(step.callee, callId, { features: ['room'] }))
      break
    case 'invite':
      await calls.invite(me, { callId, invitees: [...step.invitees] })
      break
    case 'accept':
    case 'accept without':
      await calls.respond(me, {
        callId,
        type: 'ACCEPT',
        reason: 'DECLINED',
        ...(step.do === 'accept' && { features: ['room'] }),
      })
      break
    case 'reject':
    case 'busy':
      await calls.respond(me, { callId, type: 'REJECT', reason: step.do === 'busy' ? 'BUSY' : 'DECLINED' })
      break
    case 'hangup':
      await calls.hangup(me, { callId })
      break
    case 'signal':
      await calls.signal(me, { callId, to: step.to }, { body: Buffer.from('{}'), contentType: 'application/json' })
      break
  }
}

const ENDS = new Set(['call/down', 'call/hangup', 'call/timeout'])

function check({ commits, devices, engines, active, names }: World): void {
  for (const name of names.values()) if (devices.holds(name)) devices.comesBack(name)
  for (const { bugs } of engines) expect(bugs).toEqual([])
  expect(commits.broken).toEqual([])
  for (const [id, versions] of commits.versions) {
    // With all timers run nothing is left live, and nothing follows the end
    const terminal = versions.findIndex((call) => call.endedAt !== undefined)
    expect({ id, terminal }).toEqual({ id, terminal: versions.length - 1 })
    for (const name of DEVICES) {
      if (active.has(name)) continue
      const frames = devices.heard.filter((frame) => frame.device === name && frame.body.callId === id)
      const rings = frames.filter((frame) => frame.queue === 'call/request').length
      const ends = frames.filter((frame) => ENDS.has(frame.queue)).length
      // A device that does nothing is shown nothing that it is not told the end of, once
      if (rings > 0) expect({ id, name, ends }).toEqual({ id, name, ends: rings })
    }
  }
}

describe('rooms, whatever happens', () => {
  test('one engine, one command after the other', async () => {
    let rooms = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = worldOf((value) => Promise.resolve(value), 1)
        for (const step of [...BEGINNING, ...steps]) {
          await take(world, step, 0)
          if (step.do === 'wait') await world.clock.advance(step.ms)
        }
        await world.clock.advance(24 * 3_600_000)
        rooms += CALLS.filter((id) => world.commits.versions.get(id)?.at(-1)?.members).length
        check(world)
      }),
      { numRuns: 150 },
    )
    // Else the test would say nothing
    expect(rooms).toBeGreaterThan(100)
  }, 60_000)

  test.each(ENGINES)(
    '%s, with the answers of the store in any order',
    (_, nodes) =>
      inAnyOrder({
        worldOf: (answer) => worldOf(answer, nodes),
        take,
        beginnings: [BEGINNING],
        batches: batchesOf(step, 5),
        runs: 200,
        async holds(world) {
          await world.clock.advance(24 * 3_600_000)
          check(world)
        },
      }),
    60_000,
  )
})

const stateOf = (room: Call, user: string) => room.members?.find((member) => member.user === user)?.state
const accepts = (who: string): Step => ({ do: 'accept', who, callId: 'c1', to: '' })
const hangsUp = (who: string): Step => ({ do: 'hangup', who, callId: 'c1', to: '' })
const invites = (who: string, ...invitees: string[]): Step => ({ do: 'invite', who, callId: 'c1', invitees })

describe.each(ENGINES)('a race, %s', (_, nodes) => {
  /** A few hundred times, after three have come together. */
  const manyTimes = (race: readonly Step[], then: (world: World, room: Call) => void): Promise<void> =>
    inAnyOrder({
      worldOf: (answer) => worldOf(answer, nodes),
      take,
      beginnings: [BEGINNING],
      batches: oneBatch(race),
      runs: 300,
      holds(world) {
        const room = world.commits.versions.get('c1')?.at(-1)
        if (!room) throw new Error('no room')
        then(world, room)
        expect(world.commits.broken).toEqual([])
      },
    })

  test('somebody is invited and called at once: one of the two has their line, for the other they are busy', async () => {
    const calls: Step = { do: 'request', who: 'dave/1', callId: 'c2', callee: 'erin' }
    await manyTimes([invites('alice/1', 'erin'), calls], (world, room) => {
      const call = world.commits.versions.get('c2')?.at(-1)
      const called = call?.reason === 'BUSY' ? 'BUSY' : 'rings'
      expect(['RINGING BUSY', 'BUSY rings']).toContain(`${stateOf(room, 'erin')} ${called}`)
    })
  }, 60_000)

  test('two invite at once, and there is one place: one of them gets it', async () => {
    await manyTimes([invites('alice/1', 'dave'), invites('bob/1', 'erin')], (_, room) => {
      expect([stateOf(room, 'dave'), stateOf(room, 'erin')].sort()).toEqual(['RINGING', undefined])
    })
  }, 60_000)

  test('two invite the same person at once: they ring once', async () => {
    await manyTimes([invites('alice/1', 'dave'), invites('bob/1', 'dave')], (world, room) => {
      expect(stateOf(room, 'dave')).toBe('RINGING')
      expect(world.devices.of('dave/1')).toEqual(['call/request VIDEO'])
    })
  }, 60_000)

  test('two devices accept at once: one is in, the other hears that', async () => {
    await manyTimes([accepts('carol/1'), accepts('carol/2')], (world, room) => {
      const device = room.members?.[2]?.leg?.device
      const other = device === 'carol/1' ? 'carol/2' : 'carol/1'
      expect(world.devices.of(other).filter((frame) => frame.startsWith('call/down ACCEPT'))).not.toHaveLength(0)
      expect(world.devices.of(device ?? '').some((frame) => frame.startsWith('call/down'))).toBe(false)
    })
  }, 60_000)

  test('somebody accepts while the inviter leaves: they are in', async () => {
    await manyTimes([accepts('carol/1'), hangsUp('alice/1')], (_, room) => {
      expect(['alice', 'bob', 'carol'].map((user) => stateOf(room, user))).toEqual(['LEFT', 'JOINED', 'JOINED'])
      expect(room.endedAt).toBeUndefined()
    })
  }, 60_000)

  test('the last two leave at once: it is over, and who rang has missed it', async () => {
    await manyTimes([hangsUp('alice/1'), hangsUp('bob/1')], (world, room) => {
      expect(['alice', 'bob', 'carol'].map((user) => stateOf(room, user))).toEqual(['LEFT', 'LEFT', 'MISSED'])
      expect(room.endedAt).toBeDefined()
      expect(world.devices.of('carol/2')).toEqual(['call/request VIDEO', 'call/hangup HANGUP'])
    })
  }, 60_000)

  test('somebody accepts while the last two leave: they are alone in it, or too late', async () => {
    const leaving = [hangsUp('alice/1'), hangsUp('bob/1'), accepts('carol/1')]
    await manyTimes(leaving, (_, room) => {
      expect([room.endedAt === undefined, stateOf(room, 'carol')]).toEqual(
        room.endedAt === undefined ? [true, 'JOINED'] : [false, 'MISSED'],
      )
    })
  }, 60_000)
})
