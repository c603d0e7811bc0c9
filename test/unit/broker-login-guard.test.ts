/** Refused logins of one address: so many at once, then each waits longer; good ones never do. */

import { describe, expect, test } from '@jest/globals'
import { createLoginGuard, type Refused } from '../../broker/index.ts'
import { TestClock } from '../support/clock.ts'
import { memoryStompPeer } from '../support/stomp-memory.ts'
import { frame } from '../support/stomp-peer.ts'
import { testBroker } from '../support/stomp-server.ts'

const BAD: Refused = { code: 401, message: 'token: has expired' }

function guardOf(burst: number, atMost?: number) {
  const clock = new TestClock()
  const began = clock.now()
  let limited = 0
  const guard = createLoginGuard({
    clock,
    rate: { perSecond: 1, burst },
    limited: () => void limited++,
    ...(atMost !== undefined && { atMost }),
  })
  const answers: { at: number; refusal: Refused }[] = []
  return {
    clock,
    guard,
    answers,
    get limited() {
      return limited
    },
    fails: (address = '192.0.2.1') =>
      guard.refused(address, BAD, (refusal) => void answers.push({ at: clock.now() - began, refusal })),
  }
}

describe('refused logins of one address', () => {
  test('are answered at once as long as the bucket lasts', () => {
    const { fails, answers } = guardOf(3)
    for (let n = 0; n < 3; n++) fails()
    expect(answers).toEqual([BAD, BAD, BAD].map((refusal) => ({ at: 0, refusal })))
  })

  test('then wait 100 ms, 200 ms, 400 ms … at most 5 s, and say when the next is answered at once', async () => {
    const { fails, answers, clock } = guardOf(1)
    for (let n = 0; n < 9; n++) fails()
    await clock.advance(10_000)
    expect(answers.map(({ at }) => at)).toEqual([0, 100, 200, 400, 800, 1600, 3200, 5000, 5000])
    expect(answers[1]?.refusal).toEqual({ ...BAD, retryAfter: 9 })
  })

  test('wait less when the bucket has refilled meanwhile', async () => {
    const { fails, answers, clock } = guardOf(1)
    for (let n = 0; n < 4; n++) fails()
    await clock.advance(3000)
    fails()
    await clock.advance(10_000)
    expect(answers.at(-1)?.at).toBe(3100)
    fails()
    expect(answers.at(-1)).toEqual({ at: 13_000, refusal: BAD })
  })

  test('never owe so much that a quiet half minute would not forgive it', async () => {
    const { fails, answers, clock } = guardOf(1)
    for (let n = 0; n < 200; n++) fails()
    await clock.advance(30_000)
    const before = clock.now()
    fails()
    expect(answers.at(-1)?.refusal).toEqual(BAD)
    expect(clock.now()).toBe(before)
  })

  test('are turned away unchecked while 20 answers wait, also those that were checked at the same time', async () => {
    const { fails, answers, guard, clock } = guardOf(1)
    for (let n = 0; n < 20; n++) fails()
    expect(guard.turnedAway('192.0.2.1')).toBeUndefined()
    fails()
    const away = { code: 429, message: 'too many failed logins from this address; wait 11 s', retryAfter: 11 }
    expect(guard.turnedAway('192.0.2.1')).toEqual(away)
    fails()
    expect(answers.at(-1)).toEqual({ at: 0, refusal: away })
    expect(guard.turnedAway('192.0.2.2')).toBeUndefined()
    await clock.advance(100)
    expect(guard.turnedAway('192.0.2.1')).toBeUndefined()
  })

  test('free their place when nobody waits for the answer any more', async () => {
    const { fails, answers, guard, clock } = guardOf(1)
    const cancels = Array.from({ length: 21 }, () => fails())
    expect(guard.turnedAway('192.0.2.1')).toBeDefined()
    for (const cancel of [...cancels, ...cancels]) cancel()
    expect(guard.turnedAway('192.0.2.1')).toBeUndefined()
    await clock.advance(10_000)
    expect(answers).toHaveLength(1)
    for (let n = 0; n < 19; n++) fails()
    expect(guard.turnedAway('192.0.2.1')).toBeUndefined()
  })

  test('are counted for the whole network of an IPv6 host', async () => {
    const { fails, answers, clock } = guardOf(1)
    fails('2001:db8::1')
    fails('2001:db8::2')
    fails('2001:db8:0:1::1')
    expect(answers).toHaveLength(2)
    await clock.advance(100)
    expect(answers).toHaveLength(3)
  })

  test('are counted when somebody feels it', async () => {
    const counted = guardOf(1)
    counted.fails()
    expect(counted.limited).toBe(0)
    for (let n = 0; n < 20; n++) counted.fails()
    counted.guard.turnedAway('192.0.2.1')
    expect(counted.limited).toBe(21)
  })

  test('are forgotten when their bucket is full again, and one timer looks for that', async () => {
    const { fails, guard, clock } = guardOf(5)
    for (let n = 0; n < 50; n++) fails(`192.0.2.${n}`)
    expect({ addresses: guard.addresses, timers: clock.waiting }).toEqual({ addresses: 50, timers: 1 })
    await clock.advance(60_000)
    expect({ addresses: guard.addresses, timers: clock.waiting }).toEqual({ addresses: 0, timers: 0 })
  })

  test('are remembered for so many addresses at most; those seen last stay', () => {
    const { fails, answers, guard } = guardOf(1, 2)
    for (const address of ['a', 'b', 'a', 'c', 'b']) fails(address)
    expect(guard.addresses).toBe(2)
    // b was forgotten for c
    expect(answers).toHaveLength(4)
  })
})

describe('a CONNECT', () => {
  function brokerOf(burst: number) {
    const clock = new TestClock()
    const logins = createLoginGuard({ clock, rate: { perSecond: 1, burst }, limited: () => undefined })
    const { broker, news } = testBroker({ clock, logins })
    const connects = (user: string) => {
      const peer = memoryStompPeer(broker)
      peer.end.send(frame('CONNECT', { 'accept-version': '1.2', host: 'test', ide: user }))
      return peer
    }
    return { clock, broker, news, connects, guess: () => connects('nobody') }
  }

  test('that is refused too often gets the very same ERROR later, with retryAfter in its body', async () => {
    const { clock, guess } = brokerOf(1)
    const first = await guess().frame('ERROR')
    const second = guess()
    await clock.advance(99)
    expect(second.frames).toEqual([])
    await clock.advance(1)
    const { headers, body } = await second.frame('ERROR')
    expect(headers.message).toBe(first.headers.message)
    expect(JSON.parse(first.body)).toEqual({ code: 401, message: 'ide: no valid token' })
    expect(JSON.parse(body)).toEqual({ code: 401, message: 'ide: no valid token', retryAfter: 2 })
    expect(second.over?.code).toBe(1008)
  })

  test('with a good token is let in at once, also from an address whose others wait', async () => {
    const { clock, connects, guess } = brokerOf(1)
    for (let n = 0; n < 10; n++) guess()
    await clock.advance(0)
    const good = connects('alice')
    await clock.advance(0)
    expect(good.frames.map(({ command }) => command)).toEqual(['CONNECTED'])
  })

  test('is turned away at once with 429 while too many answers wait', async () => {
    const { clock, guess, connects } = brokerOf(1)
    for (let n = 0; n < 21; n++) guess()
    await clock.advance(0)
    const { headers, body } = await connects('alice').frame('ERROR')
    expect(headers.message).toBe('429 too many failed logins from this address; wait 11 s')
    expect(JSON.parse(body)).toMatchObject({ code: 429, retryAfter: 11 })
  })

  test('frees its place when its connection is closed while the answer waits', async () => {
    const { clock, broker, guess, connects } = brokerOf(1)
    const peers = Array.from({ length: 21 }, guess)
    await clock.advance(0)
    for (const { end } of peers) end.close()
    await clock.advance(0)
    expect(broker.counts().connections).toBe(0)
    const good = connects('alice')
    await clock.advance(0)
    expect(good.frames.map(({ command }) => command)).toEqual(['CONNECTED'])
  })

  test('waits for its answer even beyond the time that a login may take, and nothing after it is read', async () => {
    const { clock, broker } = brokerOf(1)
    for (let n = 0; n < 9; n++) memoryStompPeer(broker).end.send(frame('CONNECT', { ide: 'nobody' }))
    const late = memoryStompPeer(broker)
    await clock.advance(9000)
    for (let n = 0; n < 9; n++) memoryStompPeer(broker).end.send(frame('CONNECT', { ide: 'nobody' }))
    await clock.advance(0)
    late.end.send(frame('CONNECT', { ide: 'nobody' }) + frame('SEND', { destination: '/app/echo' }))
    await clock.advance(4999)
    expect(late.frames).toEqual([])
    await clock.advance(1)
    expect(late.frames.map(({ headers }) => headers.message)).toEqual(['401 ide: no valid token'])
  })

  test('refused for another reason than its credentials is never held up', async () => {
    const clock = new TestClock()
    const logins = createLoginGuard({ clock, rate: { perSecond: 1, burst: 1 }, limited: () => undefined })
    const { broker } = testBroker({ clock, logins, limits: { sessionsPerUser: 1 } })
    await memoryStompPeer(broker).connect('alice')
    for (let n = 0; n < 5; n++) {
      const peer = memoryStompPeer(broker)
      await peer.send(frame('CONNECT', { ide: 'alice' }))
      expect((await peer.frame('ERROR')).headers.message).toMatch(/^429 this user has 1 sessions/)
    }
  })
})
