import { beforeEach, describe, expect, test } from '@jest/globals'
import { Events } from '../../src/events.ts'
import type { SharedPresence } from '../../src/ports.ts'
import { PresenceService } from '../../src/presence/service.ts'
import { TestClock } from '../support/clock.ts'

let clock: TestClock
let told: [to: string, changes: string[]][]
let news: string[]
/** Devices that read too slowly. */
let behind: Set<string>

type Statuses = readonly { userId: string; status: string }[]

/** With one process there is nobody to be waited for. */
const words = (changes: Statuses | Promise<Statuses>) => {
  if (changes instanceof Promise) throw new Error('somebody was asked')
  return changes.map((one) => `${one.userId} ${one.status}`)
}

function presence(scope: 'all' | 'watched' = 'all', shared?: SharedPresence) {
  const events = new Events((error) => {
    throw error
  })
  events.on('user.online', ({ user }) => void news.push(`${user} online`))
  events.on('user.offline', ({ user }) => void news.push(`${user} offline`))
  return new PresenceService({
    clock,
    missableMs: 60_000,
    events,
    scope,
    batchMs: 250,
    offlineMs: 5000,
    shared,
    report: (error) => {
      throw error
    },
    audience: {
      tellAll(changes, missed) {
        told.push(['all', words(changes)])
        for (const device of behind) missed(device)
      },
      tell(devices, changes, missed) {
        for (const device of devices) {
          if (behind.has(device)) missed(device)
          else told.push([device, words(changes)])
        }
      },
      giveUp: (device) => void told.push([device, ['given up']]),
    },
  })
}

beforeEach(() => {
  clock = new TestClock()
  told = []
  behind = new Set()
  news = []
})

describe('presence', () => {
  test('a user is online while a session is connected, and for five seconds more', async () => {
    const service = presence()
    expect(words(service.status(['ann', 'bob']))).toEqual(['ann OFFLINE', 'bob OFFLINE'])
    service.arrived('ann', 'a1')
    expect(words(service.status(['bob', 'ann']))).toEqual(['bob OFFLINE', 'ann ONLINE'])
    service.left('ann', 'a1')
    await clock.advance(4999)
    expect(words(service.status(['ann']))).toEqual(['ann ONLINE'])
    await clock.advance(1)
    expect(words(service.status(['ann']))).toEqual(['ann OFFLINE'])
    expect(news).toEqual(['ann online', 'ann offline'])
  })

  test('changes within 250 ms are pushed as one array', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    await clock.advance(200)
    service.arrived('bob', 'b1')
    expect(told).toEqual([])
    await clock.advance(50)
    expect(told).toEqual([['all', ['ann ONLINE', 'bob ONLINE']]])
    await clock.advance(10_000)
    expect(told).toHaveLength(1)
  })

  test('a reconnect within five seconds is not told to anybody', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    await clock.advance(250)
    service.left('ann', 'a1')
    await clock.advance(4_000)
    service.arrived('ann', 'a2')
    await clock.advance(60_000)
    expect(told).toEqual([['all', ['ann ONLINE']]])
    expect(clock.waiting).toBe(0)
  })

  test('a second session changes nothing, nor does the end of one of two', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    service.arrived('ann', 'a2')
    service.left('ann', 'a1')
    await clock.advance(60_000)
    expect(told).toEqual([['all', ['ann ONLINE']]])
    service.left('ann', 'a2')
    await clock.advance(5_250)
    expect(told[1]).toEqual(['all', ['ann OFFLINE']])
  })

  test('a session whose end is told twice counts once', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    service.arrived('ann', 'a2')
    service.left('ann', 'a1')
    service.left('ann', 'a1')
    await clock.advance(60_000)
    expect(words(service.status(['ann']))).toEqual(['ann ONLINE'])
  })

  test('offline and online again within one batch is no change', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    await clock.advance(250)
    service.left('ann', 'a1')
    await clock.advance(5_000)
    service.arrived('ann', 'a2')
    await clock.advance(250)
    expect(told).toEqual([['all', ['ann ONLINE']]])
  })
})

describe('presence, scope watched', () => {
  test('only devices that asked for a user hear of changes, each one batch', async () => {
    const service = presence('watched')
    service.watch('x', ['ann', 'bob'])
    service.watch('y', ['bob'])
    for (const user of ['ann', 'bob', 'carl']) service.arrived(user, `${user}1`)
    await clock.advance(250)
    expect(told).toEqual([
      ['x', ['ann ONLINE', 'bob ONLINE']],
      ['y', ['bob ONLINE']],
    ])
  })

  test('a device that has left hears nothing more', async () => {
    const service = presence('watched')
    service.arrived('x user', 'x')
    service.watch('x', ['ann'])
    service.left('x user', 'x')
    service.arrived('ann', 'a1')
    await clock.advance(250)
    expect(told).toEqual([])
  })

  test('a device watches a thousand users at a time; the first are let go', async () => {
    const service = presence('watched')
    for (let n = 0; n < 6; n++)
      service.watch(
        'x',
        Array.from({ length: 200 }, (_, k) => `u${n * 200 + k}`),
      )
    for (let n = 0; n < 1200; n++) service.arrived(`u${n}`, `d${n}`)
    await clock.advance(250)
    expect(told[0]?.[1]).toHaveLength(1000)
    expect(told[0]?.[1]?.[0]).toBe('u200 ONLINE')
  })
})

describe('a device that reads too slowly', () => {
  test.each(['all', 'watched'] as const)('hears how those are now whose changes it has missed (%s)', async (scope) => {
    const service = presence(scope)
    service.arrived('eve', 'slow')
    service.watch('slow', ['ann', 'bob', 'dan'])
    await clock.advance(250)
    behind.add('slow')
    service.arrived('ann', 'a1')
    await clock.advance(250)
    service.arrived('bob', 'b1')
    service.left('ann', 'a1')
    await clock.advance(5250)
    told = []
    behind.clear()
    service.caughtUp('slow')
    expect(told).toEqual([['slow', ['ann OFFLINE', 'bob ONLINE']]])
    service.caughtUp('slow')
    expect(told).toHaveLength(1)
  })

  test('is given up when it has missed too much, and forgotten when it is gone', async () => {
    const service = presence()
    behind.add('slow')
    for (let n = 0; n <= 10_000; n++) service.arrived(`u${n}`, `d${n}`)
    await clock.advance(250)
    expect(told).toContainEqual(['slow', ['given up']])
    service.left('eve', 'slow')
    behind.clear()
    told = []
    service.caughtUp('slow')
    expect(told).toEqual([])
  })
})

describe('a device that loses its connection, and may resume', () => {
  test('counts no more than one that has left, and back in time nobody has seen it', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    await clock.advance(250)
    service.away('ann', 'a1', false)
    await clock.advance(4_999)
    service.arrived('ann', 'a1')
    await clock.advance(60_000)
    expect(told).toEqual([['all', ['ann ONLINE']]])
  })

  test('is offline after the delay, and online again when it comes back', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    service.away('ann', 'a1', false)
    await clock.advance(5_250)
    service.arrived('ann', 'a1')
    await clock.advance(250)
    service.away('ann', 'a1', false)
    service.left('ann', 'a1')
    await clock.advance(5_250)
    expect(news).toEqual(['ann online', 'ann offline', 'ann online', 'ann offline'])
    expect(clock.waiting).toBe(0)
  })

  test('keeps its user online when it has promised to come back, until its time is over', async () => {
    const service = presence()
    service.arrived('ann', 'a1')
    service.away('ann', 'a1', true)
    await clock.advance(29_999)
    expect(words(service.status(['ann']))).toEqual(['ann ONLINE'])
    service.left('ann', 'a1')
    await clock.advance(250)
    expect(news).toEqual(['ann online', 'ann offline'])
  })

  test('keeps its user online for the delay where another process takes it over, which is to say so first', async () => {
    for (const comesBack of [true, false]) {
      const service = presence()
      service.arrived('ann', 'a1')
      service.away('ann', 'a1', comesBack)
      service.handedOver('ann', 'a1')
      await clock.advance(4_999)
      expect(words(service.status(['ann']))).toEqual(['ann ONLINE'])
      await clock.advance(1)
      expect(words(service.status(['ann']))).toEqual(['ann OFFLINE'])
    }
  })

  test('hears on its return of those who have changed since shortly before it was lost', async () => {
    const service = presence()
    service.arrived('early', 'e1')
    await clock.advance(60_001)
    service.arrived('ann', 'a1')
    service.arrived('bob', 'b1')
    await clock.advance(250)
    service.away('ann', 'a1', false)
    told = []
    service.arrived('ann', 'a1')
    service.caughtUp('a1')
    expect(told).toEqual([['a1', ['ann ONLINE', 'bob ONLINE']]])
    service.caughtUp('a1')
    expect(told).toHaveLength(1)
  })

  test('hears with scope watched of those alone whom it watches', async () => {
    const service = presence('watched')
    service.arrived('ann', 'a1')
    service.watch('a1', ['bob'])
    await clock.advance(250)
    service.away('ann', 'a1', false)
    behind.add('a1')
    service.arrived('bob', 'b1')
    service.arrived('carol', 'c1')
    await clock.advance(250)
    behind.clear()
    service.arrived('ann', 'a1')
    service.caughtUp('a1')
    expect(told).toEqual([['a1', ['bob ONLINE']]])
  })

  test('takes what it watches, and what it has missed, to another process', async () => {
    const service = presence('watched')
    service.watch('a1', ['bob', 'carol'])
    service.away('ann', 'a1', false)
    service.arrived('bob', 'b1')
    await clock.advance(250)
    const packed = service.packed('a1')
    expect(packed).toMatchObject({ watched: ['bob', 'carol'], missed: ['bob'] })
    service.left('ann', 'a1')
    told = []
    const elsewhere = presence('watched')
    elsewhere.unpack('a1', packed)
    elsewhere.arrived('ann', 'a1')
    elsewhere.caughtUp('a1')
    elsewhere.arrived('carol', 'c1')
    await clock.advance(250)
    expect(told).toEqual([
      ['a1', ['bob OFFLINE']],
      ['a1', ['carol ONLINE']],
    ])
  })

  test('hears of changes that the process it comes to has only been told of', async () => {
    const service = presence()
    service.arrived('dave', 'd1')
    await clock.advance(130_000)
    service.away('ann', 'a1', false)
    service.arrived('bob', 'b1')
    await clock.advance(1000)
    service.arrived('carol', 'c1')
    await clock.advance(250)
    const elsewhere = presence()
    elsewhere.changedLately(service.lately())
    elsewhere.changedLately([['bob', 100_000]])
    expect(elsewhere.lately()).toEqual([
      ['bob', 1000],
      ['carol', 0],
    ])
    told = []
    elsewhere.unpack('a1', service.packed('a1'))
    elsewhere.arrived('ann', 'a1')
    elsewhere.caughtUp('a1')
    expect(told).toEqual([['a1', ['bob OFFLINE', 'carol OFFLINE']]])
  })
})

describe('what all processes together say, when it is asked for', () => {
  /** A process that has heard that ann is offline, and answers that are given by hand. */
  function asked() {
    const answers: ((online: boolean) => void)[] = []
    const ignore = () => {}
    const service = presence('all', {
      entered: ignore,
      left: ignore,
      watch: ignore,
      unwatch: ignore,
      online: (users) => new Promise((resolve) => answers.push((online) => resolve(users.map(() => online)))),
    })
    service.hears([{ user: 'ann', online: true, at: 1 }], false)
    service.hears([{ user: 'ann', online: false, at: 2 }], false)
    const asks = async (online: boolean, meanwhile = ignore) => {
      const status = service.status(['ann'])
      meanwhile()
      answers.shift()?.(online)
      return words(await status)
    }
    return { service, asks }
  }

  test('is told to everybody where nobody has heard of it: whoever was to say so may be dead', async () => {
    const { service, asks } = asked()
    expect(await asks(true)).toEqual(['ann ONLINE'])
    await clock.advance(250)
    service.hears([{ user: 'ann', online: false, at: 4 }], false)
    await clock.advance(250)
    expect(told).toEqual([
      ['all', ['ann ONLINE']],
      ['all', ['ann OFFLINE']],
    ])
  })

  test('is told once, also when the change itself comes in the end', async () => {
    const { service, asks } = asked()
    await asks(true)
    await clock.advance(250)
    service.hears([{ user: 'ann', online: true, at: 3 }], false)
    await clock.advance(250)
    expect(told).toEqual([['all', ['ann ONLINE']]])
  })

  test('is less than a change that has come since it was asked for', async () => {
    const { service, asks } = asked()
    const comesAndGoes = [true, false].map((online, place) => ({ user: 'ann', online, at: 3 + place }))
    await asks(true, () => service.hears(comesAndGoes, false))
    await clock.advance(250)
    expect(told).toEqual([])
  })
})
