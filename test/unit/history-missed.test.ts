/** What devices hear of missed calls, and what the history asks of others for it. */

import { beforeEach, describe, expect, test } from '@jest/globals'
import { MISSED_QUEUE, MissedNotices } from '../../src/history/missed.ts'
import type { Directory, Routes } from '../../src/ports.ts'
import { settled, TestClock } from '../support/clock.ts'
import { FakeDevices } from '../support/devices.ts'
import { HistoryAtHand, missedCall } from '../support/history.ts'

let clock: TestClock
let store: HistoryAtHand
let devices: FakeDevices
let elsewhere: string[]
let known: string[]
let bugs: unknown[]
let notices: MissedNotices

function begins(cluster: boolean): void {
  const routes: Pick<Routes, 'tell'> = {
    tell: ({ user, ...to }, destination, { body }) =>
      void elsewhere.push(`${user} ${JSON.stringify(to)} ${destination} ${String(body).slice(0, 12)}`),
  }
  const directory: Directory = {
    devices: async (user) =>
      known.includes(user)
        ? [{ id: 'far', node: 'n2', token: 't', former: [], rings: true, away: false, connectedAt: 1 }]
        : [],
  }
  notices = new MissedNotices({
    store,
    devices,
    clock,
    ...(cluster && { routes, directory }),
    report: (error) => void bugs.push(error),
  })
}

beforeEach(() => {
  clock = new TestClock()
  store = new HistoryAtHand()
  devices = new FakeDevices()
  elsewhere = []
  known = []
  bugs = []
  begins(false)
})

async function misses(...calls: ReturnType<typeof missedCall>[]): Promise<void> {
  await store.write(calls)
  notices.written(calls)
  await settled()
}

const heard = () =>
  devices.heard.map(({ device, body }) => [
    device,
    body.unread,
    (body.calls as { callId: string }[]).map(({ callId }) => callId),
  ])

describe('of one process', () => {
  test('each call is told once, also when it was written twice', async () => {
    devices.connect('bob', 'phone')
    await misses(missedCall('a', 1), missedCall('b', 2))
    await misses(missedCall('a', 1))
    expect(heard()).toEqual([
      ['phone', 2, ['a']],
      ['phone', 2, ['b']],
    ])
  })

  test('nothing is asked for users whom nobody can tell', async () => {
    store.away = true
    notices.written([missedCall('a', 1)])
    await settled()
    expect(clock.waiting).toBe(0)
  })

  test('a device that subscribes hears at most 20 of them, and how many there are', async () => {
    await store.write(Array.from({ length: 30 }, (_, n) => missedCall(`call ${n}`, n + 1)))
    devices.connect('bob', 'phone')
    notices.subscribed('bob', 'phone')
    await settled()
    const [[device, unread, calls] = []] = heard()
    expect([device, unread]).toEqual(['phone', 30])
    expect(calls).toHaveLength(20)
    expect(calls).toContain('call 29')
    expect(calls).not.toContain('call 9')
  })

  test('while the database is away they wait, and are told when it is back', async () => {
    await store.write([missedCall('a', 1)])
    devices.connect('bob', 'phone')
    store.away = true
    notices.subscribed('bob', 'phone')
    await clock.advance(10_000)
    expect(heard()).toEqual([])
    store.away = false
    await clock.advance(2_000)
    expect(heard()).toEqual([['phone', 1, ['a']]])
    expect(bugs).toEqual([])
    expect(clock.waiting).toBe(0)
  })

  test('many that subscribe at once are all told, a few at a time', async () => {
    await store.write([missedCall('a', 1)])
    for (let n = 0; n < 300; n++) {
      devices.connect('bob', `phone ${n}`)
      notices.subscribed('bob', `phone ${n}`)
    }
    expect(notices.waiting).toBe(296)
    while (notices.waiting > 0) await settled()
    await settled()
    expect(devices.heard).toHaveLength(300)
  })
})

describe('of several processes', () => {
  beforeEach(() => begins(true))

  test('devices elsewhere are told as well', async () => {
    known = ['bob']
    await misses(missedCall('a', 1))
    expect(elsewhere).toEqual([`bob {} ${MISSED_QUEUE} {"unread":1,`])
  })

  test('nothing is sent for users who are nowhere', async () => {
    await misses(missedCall('a', 1))
    expect(elsewhere).toEqual([])
  })

  test('that they were read is told to all devices but the one that has said it', async () => {
    devices.connect('bob', 'phone')
    devices.connect('bob', 'laptop')
    await notices.read('bob', 'phone')
    expect(heard()).toEqual([['laptop', 0, []]])
    expect(elsewhere).toEqual([`bob {"except":"phone"} ${MISSED_QUEUE} {"unread":0,`])
  })
})
