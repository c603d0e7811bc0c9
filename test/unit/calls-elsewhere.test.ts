/** The call engine in several processes: one store, each with devices of its own, and a way from one to the other. */

import { describe, expect, test } from '@jest/globals'
import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import type { Effect } from '../../src/calls/types.ts'
import {
  type CallStore,
  type CallWrite,
  type Directory,
  type KnownDevice,
  type Routes,
  Unavailable,
} from '../../src/ports.ts'
import { TestClock } from '../support/clock.ts'
import { FakeDevices } from '../support/devices.ts'
import { actor, engine, requestOf } from '../support/engine.ts'

/** A store that answers later, and not at all while it is away. */
class DistantStore implements CallStore {
  readonly outlives = true
  readonly untold: (readonly Effect[])[] = []
  away = false
  readonly #inner = new MemoryCallStore()

  load = (id: string) => this.#answer(() => this.#inner.load(id))
  line = (user: string) => this.#answer(() => this.#inner.line(user))
  forget = (id: string, expected: number) => this.#answer(() => this.#inner.forget(id, expected))
  due = (now: number, atMost: number) => this.#answer(() => this.#inner.due(now, atMost))
  nextDue = () => this.#answer(() => this.#inner.nextDue())
  live = () => this.#answer(() => this.#inner.live())

  commit(writes: readonly CallWrite[], effects: readonly Effect[] = []) {
    return this.#answer(() => {
      const done = this.#inner.commit(writes)
      if (done) this.untold.push(effects)
      return done
    })
  }

  told() {
    this.untold.shift()
  }

  async #answer<T>(ask: () => T): Promise<T> {
    await Promise.resolve()
    if (this.away) throw new Unavailable('away')
    return ask()
  }
}

/** Two processes; what goes from one to the other is done at once. */
function twoNodes(options: { offline?: 'wait' | 'fail' } = {}) {
  const store = new DistantStore()
  const clock = new TestClock()
  const all: { devices: FakeDevices; calls: ReturnType<typeof engine>['calls'] }[] = []
  const work: unknown[] = []
  const directory: Directory = {
    async devices(user) {
      if (store.away) throw new Unavailable('away')
      return all.flatMap(({ devices }, node) => devices.connected(user).map((id) => known(id, String(node))))
    },
  }
  const nodes = [0, 1].map((self) => {
    const others = () => all.filter((_, node) => node !== self)
    const routes: Routes = {
      tell(to, destination, message) {
        for (const { devices } of others()) {
          const those =
            'devices' in to ? to.devices : devices.reachable(to.user, destination).filter((id) => id !== to.except)
          for (const device of those) devices.tell(device, destination, message)
        }
      },
      ring(user, callId) {
        for (const { calls } of others()) work.push(calls.ringsHere(user, callId))
      },
    }
    const node = engine({ store, clock, devices: new FakeDevices(), routes, directory, ...options })
    all.push(node)
    return node
  })
  const settled = async () => {
    while (work.length > 0) await work.shift()
  }
  return { a: nodes[0]!, b: nodes[1]!, store, clock, settled }
}

const known = (id: string, node: string): KnownDevice => ({
  id,
  node,
  token: '',
  former: [],
  rings: true,
  away: false,
  connectedAt: 0,
})

describe('a call between devices of two processes', () => {
  test('rings there, is answered there, and ends on both', async () => {
    const { a, b, settled } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    a.devices.connect('bob', 'bob/1')
    b.devices.connect('bob', 'bob/2')
    await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
    await settled()
    expect(b.devices.of('bob/2')).toEqual(['call/request VIDEO'])
    await b.calls.respond(actor('bob/2'), { callId: 'c1', type: 'ACCEPT', reason: 'DECLINED' })
    expect(a.devices.of('alice/1')).toEqual(['call/ringing', 'call/response ACCEPT'])
    expect(a.devices.of('bob/1')).toEqual(['call/request VIDEO', 'call/down ACCEPT ANSWERED_ELSEWHERE'])
    await a.calls.signal(actor('alice/1'), { callId: 'c1' }, { body: Buffer.from('{}'), contentType: 'text/x' })
    await a.calls.hangup(actor('alice/1'), { callId: 'c1' })
    expect(b.devices.of('bob/2')).toEqual(['call/request VIDEO', 'rtc/signaling', 'call/hangup HANGUP'])
    expect([...a.bugs, ...b.bugs]).toEqual([])
  })

  test.each(['while it rings', 'when it is answered'])(
    'signalling %s goes on as it was sent, whatever its memory is used for while the store is asked',
    async (when) => {
      const { a, b, settled } = twoNodes()
      a.devices.connect('alice', 'alice/1')
      b.devices.connect('bob', 'bob/1')
      const answers = () => b.calls.respond(actor('bob/1'), { callId: 'c1', type: 'ACCEPT', reason: 'DECLINED' })
      await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
      await settled()
      if (when === 'when it is answered') await answers()
      const body = Buffer.from('{"sdp":"of alice"}')
      const taken = a.calls.signal(actor('alice/1'), { callId: 'c1' }, { body, contentType: 'application/json' })
      body.fill('x')
      await taken
      if (when === 'while it rings') await answers()
      const heard = b.devices.heard.filter(({ queue }) => queue === 'rtc/signaling')
      expect(heard.map(({ raw }) => raw.toString())).toEqual(['{"sdp":"of alice"}'])
    },
  )

  test('a user without any device is told of the end on every process', async () => {
    const { a, b, settled } = twoNodes()
    b.devices.connect('bob', 'bob/1')
    b.devices.connect('alice', 'alice/2')
    await a.calls.request(actor('alice'), requestOf('bob', 'c1'))
    await settled()
    await b.calls.respond(actor('bob/1'), { callId: 'c1', type: 'REJECT', reason: 'DECLINED' })
    expect(b.devices.of('alice/2')).toEqual(['call/ringing', 'call/response REJECT DECLINED'])
  })

  test('a deadline is fired by whichever process is left', async () => {
    const { a, b, clock, settled } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    b.devices.connect('bob', 'bob/1')
    await b.calls.start()
    await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
    await settled()
    a.calls.stop()
    await clock.advance(31_000)
    expect(b.devices.of('bob/1')).toEqual(['call/request VIDEO', 'call/timeout'])
  })

  test('with the policy to fail fast, a device elsewhere is a device', async () => {
    const { a, b } = twoNodes({ offline: 'fail' })
    a.devices.connect('alice', 'alice/1')
    expect(await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))).toMatchObject({ ok: false, code: 1003 })
    b.devices.connect('bob', 'bob/1')
    expect(await a.calls.request(actor('alice/1'), requestOf('bob', 'c2'))).toMatchObject({ ok: true })
  })

  test('a device that acts over HTTP through another process is not taken for lost', async () => {
    const { a, b, store, settled } = twoNodes()
    b.devices.connect('alice', 'alice/1')
    b.devices.connect('bob', 'bob/1')
    await a.calls.request({ ...actor('alice/1'), overHttp: true }, requestOf('bob', 'c1'))
    await settled()
    expect((await store.load('c1'))?.origin.lostAt).toBeUndefined()
  })
})

describe('while the store cannot be reached', () => {
  test('commands are refused with 503 and a time to come back, and nobody sees a bug', async () => {
    const { a, store } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    store.away = true
    const refusal = { ok: false, code: 503, callId: 'c1', retryAfter: 2, message: expect.stringMatching(/store/) }
    expect(await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))).toMatchObject(refusal)
    expect(await a.calls.respond(actor('alice/1'), { callId: 'c1', type: 'ACCEPT', reason: 'DECLINED' })).toMatchObject(
      refusal,
    )
    expect(await a.calls.hangup(actor('alice/1'), {})).toMatchObject({ ok: false, code: 503 })
    expect(await a.calls.occupies('alice', 'alice/1')).toBe(true)
    expect(await a.calls.appeared('alice', 'alice/1')).toBeUndefined()
    expect(a.bugs).toEqual([])
  })

  test('a loss that cannot be noted says so', async () => {
    const { a, store } = twoNodes()
    store.away = true
    expect(await a.calls.lost('alice', 'alice/1')).toBe(false)
    store.away = false
    expect(await a.calls.lost('alice', 'alice/1')).toBe(true)
  })

  test('deadlines wait, and fire when it is back', async () => {
    const { a, b, store, clock, settled } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    b.devices.connect('bob', 'bob/1')
    await a.calls.start()
    await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
    await settled()
    store.away = true
    await clock.advance(40_000)
    expect(a.devices.of('alice/1')).toEqual(['call/ringing'])
    store.away = false
    await clock.advance(2_000)
    expect(a.devices.of('alice/1')).toEqual(['call/ringing', 'call/timeout'])
    expect(a.bugs).toEqual([])
  })
})

describe('what a dead process has not told', () => {
  test('is told by the heir', async () => {
    const { a, b, store, settled } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    b.devices.connect('bob', 'bob/1')
    await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
    await settled()
    expect(store.untold).toEqual([])
    const call = (await store.load('c1'))!
    const ended = { ...call, status: 'CANCELLED', endedAt: 1 } as const
    await store.commit([{ call: ended, expected: call.version }])
    async function* untold() {
      yield {
        call: ended,
        effects: [
          {
            kind: 'tell',
            to: { user: 'bob', devices: ['bob/1'] },
            queue: 'call/hangup',
            body: { callId: 'c1' },
          },
        ] as const,
      }
    }
    await b.calls.recover(untold())
    expect(b.devices.of('bob/1')).toEqual(['call/request VIDEO', 'call/hangup'])
  })

  test('does not show a call that has ended meanwhile', async () => {
    const { a, b, store, settled } = twoNodes()
    a.devices.connect('alice', 'alice/1')
    await a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
    await settled()
    const call = (await store.load('c1'))!
    await a.calls.hangup(actor('alice/1'), { callId: 'c1' })
    b.devices.connect('bob', 'bob/1')
    async function* untold() {
      yield { call, effects: [{ kind: 'ring', call }] as const }
    }
    await b.calls.recover(untold())
    expect(b.devices.of('bob/1')).toEqual([])
  })
})

test('news from elsewhere about a call waits for what is being committed about it here', async () => {
  const { a, b, settled } = twoNodes()
  a.devices.connect('alice', 'alice/1')
  b.devices.connect('bob', 'bob/1')
  const requested = a.calls.request(actor('alice/1'), requestOf('bob', 'c1'))
  await requested
  const ringing = settled()
  b.calls.inTurn('c1', () => b.devices.tell('bob/1', '/user/queue/call/hangup', { body: '{}' }))
  expect(b.devices.of('bob/1')).toEqual([])
  await ringing
  await new Promise((resolve) => setImmediate(resolve))
  expect(b.devices.of('bob/1')).toEqual(['call/request VIDEO', 'call/hangup'])
})
