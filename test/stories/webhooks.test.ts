/** What a back end hears of calls and presence, from the whole server; and a phone that it wakes. */

import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { HOOK_TYPES, type HookType, hookBody } from '../../src/webhooks/messages.ts'
import { BackEnd, type Delivered, isSigned, WEBHOOK_SECRET } from '../support/back-end.ts'
import { TestClock } from '../support/clock.ts'
import { opens, type World } from '../support/story.ts'

const PAGE = new URL('../../docs/webhooks.md', import.meta.url)

let backEnd: BackEnd
let world: World

const CALLS = 'call.ring,call.answered,call.cancel,call.missed,call.ended'

async function begins(env: Record<string, string> = {}): Promise<void> {
  world = await opens(
    { WEBHOOK_URL: backEnd.url, WEBHOOK_SECRET, WEBHOOK_EVENTS: CALLS, ...env },
    new TestClock(Date.UTC(2026, 0, 1)),
  )
}

const named = { calleeUserName: 'Bob' }

async function hears(...types: HookType[]): Promise<Delivered[]> {
  const heard: Delivered[] = []
  for (const type of types) {
    const one = await backEnd.hears()
    expect(one.type).toBe(type)
    heard.push(one)
  }
  expect(backEnd.unheard).toEqual([])
  return heard
}

beforeEach(async () => {
  backEnd = await BackEnd.opens()
})

afterEach(async () => {
  await world.closes()
  await backEnd.closes()
})

describe('what the back end hears of a call', () => {
  test('that is answered and hung up', async () => {
    await begins()
    const { arrives, clock } = world
    const [alice, phone, laptop] = [await arrives('alice'), await arrives('bob'), await arrives('bob', 'laptop')]
    const callId = await alice.requests('bob', named)
    const [ring] = await hears('call.ring')
    expect(isSigned(ring as Delivered, WEBHOOK_SECRET, clock.now())).toBe(true)
    expect(ring?.data).toEqual({
      callId,
      type: 'VIDEO',
      caller: 'alice',
      callee: 'bob',
      callerUserName: 'alice on phone',
      calleeUserName: 'Bob',
      createdAt: clock.now(),
      ringUntil: clock.now() + 30_000,
      remainingMs: 30_000,
      devices: [phone.session, laptop.session],
      away: [],
    })
    await clock.advance(2_000)
    await phone.accepts(callId)
    const [answered] = await hears('call.answered')
    expect(answered?.data).toMatchObject({ callId, connectedAt: clock.now(), device: phone.session })
    await clock.advance(61_700)
    await alice.hangsUp(callId)
    const [ended] = await hears('call.ended')
    expect(ended).toMatchObject({
      at: clock.now(),
      data: { callId, callerUserName: 'alice on phone', status: 'COMPLETED', reason: 'HANGUP', durationS: 61 },
    })
  })

  test('that others are asked into: each of them is told of, and the end with what it was for everybody', async () => {
    await begins()
    const { arrives, clock } = world
    const [alice, bob, carol] = [await arrives('alice'), await arrives('bob'), await arrives('carol')]
    const callId = await alice.requests('bob', { features: ['room'], ...named })
    await bob.accepts(callId, ['room'])
    await hears('call.ring', 'call.answered')
    await bob.says('/app/call/invite', { callId, invitees: ['carol', 'dave'], names: { dave: 'Dave' } })
    const rings = await hears('call.ring', 'call.ring')
    const inRoom = { callId, caller: 'bob', callerUserName: 'Bob', room: true, invitedAt: clock.now() }
    expect(rings.map(({ data }) => data)).toMatchObject([
      { ...inRoom, callee: 'carol', devices: [carol.session], ringUntil: clock.now() + 30_000 },
      { ...inRoom, callee: 'dave', calleeUserName: 'Dave', devices: [] },
    ])
    expect(new Set(rings.map(({ id }) => id)).size).toBe(2)
    await carol.rejects(callId)
    expect((await hears('call.cancel'))[0]?.data).toMatchObject({ callee: 'carol', reason: 'DECLINED', room: true })
    await clock.advance(30_000)
    expect((await hears('call.missed'))[0]?.data).toMatchObject({ callee: 'dave', reason: 'NO_ANSWER', room: true })
    await alice.says('/app/call/invite', { callId, invitees: ['carol'] })
    await carol.accepts(callId, ['room'])
    const [again, joined] = await hears('call.ring', 'call.answered')
    expect(again?.id).not.toBe(rings[0]?.id)
    expect(joined?.data).toMatchObject({ callee: 'carol', device: carol.session, connectedAt: clock.now(), room: true })
    await alice.says('/app/call/invite', { callId, invitees: ['erin'] })
    await hears('call.ring')
    for (const device of [alice, bob, carol]) await device.hangsUp(callId)
    const [, missed, ended] = await hears('call.cancel', 'call.missed', 'call.ended')
    expect(missed?.data).toMatchObject({ callee: 'erin', caller: 'alice', reason: 'CANCELLED' })
    expect(ended?.data).toMatchObject({
      status: 'COMPLETED',
      members: [
        { userId: 'alice', state: 'LEFT' },
        { userId: 'bob', name: 'Bob', state: 'LEFT' },
        { userId: 'carol', state: 'LEFT', joinedAt: clock.now() },
        { userId: 'dave', name: 'Dave', state: 'MISSED' },
        { userId: 'erin', state: 'MISSED' },
      ],
    })
    for (const { type, ...hook } of [...rings, missed, ended].flatMap((one) => one ?? []))
      expect(hookBody(type as HookType).safeParse({ type, ...hook })).toMatchObject({ success: true })
  })

  test('that is withdrawn: cancelled, missed, ended', async () => {
    await begins()
    const alice = await world.arrives('alice')
    await alice.requests('bob', named)
    const [ring] = await hears('call.ring')
    expect(ring?.data).toMatchObject({ devices: [], away: [] })
    await alice.hangsUp()
    const [, missed] = await hears('call.cancel', 'call.missed', 'call.ended')
    expect(missed?.data).toMatchObject({ reason: 'CANCELLED', callerUserName: 'alice on phone', calleeUserName: 'Bob' })
    expect(missed?.data).not.toHaveProperty('ringingAt')
  })

  test('that nobody answers: missed, ended', async () => {
    await begins()
    await world.arrives('bob')
    await (await world.arrives('alice')).requests('bob')
    await hears('call.ring')
    await world.clock.advance(30_000)
    const [missed] = await hears('call.missed', 'call.ended')
    expect(missed?.data).toMatchObject({ reason: 'NO_ANSWER', ringingAt: Date.UTC(2026, 0, 1) })
  })

  test('that is declined: ended, and not missed', async () => {
    await begins()
    const bob = await world.arrives('bob')
    const callId = await (await world.arrives('alice')).requests('bob')
    await bob.rejects(callId)
    const [, ended] = await hears('call.ring', 'call.ended')
    expect(ended?.data).toMatchObject({ status: 'REJECTED', reason: 'DECLINED', durationS: 0 })
  })

  test('whose callee is in another call: missed and ended, without a ring', async () => {
    await begins()
    await (await world.arrives('alice')).requests('bob')
    await hears('call.ring')
    await (await world.arrives('carol')).requests('bob')
    const [missed] = await hears('call.missed', 'call.ended')
    expect(missed?.data).toMatchObject({ caller: 'carol', reason: 'BUSY', callerUserName: 'carol on phone' })
  })

  test('that meets a call the other way: ended, and nobody has missed it', async () => {
    await begins()
    const [alice, bob] = [await world.arrives('alice'), await world.arrives('bob')]
    await alice.requests('bob')
    await hears('call.ring')
    await bob.requests('alice')
    const [ended] = await hears('call.ended')
    expect(ended?.data).toMatchObject({ caller: 'bob', status: 'CANCELLED', reason: 'GLARE' })
  })

  test('that the stop of the server ends', async () => {
    await begins()
    const [alice, bob] = [await world.arrives('alice'), await world.arrives('bob')]
    await alice.requests('bob')
    await hears('call.ring')
    await Promise.all([alice.leaves(), bob.leaves()])
    await world.closes()
    const types = backEnd.requests.map(({ type, data }) => `${type} ${String(data.reason)}`)
    expect(types.slice(1)).toEqual(['call.cancel ADMIN', 'call.missed ADMIN', 'call.ended ADMIN'])
  })
})

test('a phone that sleeps is woken by the back end, connects, and rings', async () => {
  await begins()
  const { arrives, clock } = world
  const alice = await arrives('alice')
  const callId = await alice.requests('bob')
  const [ring] = await hears('call.ring')
  // Nothing rings anywhere: the back end sends a push, and the phone needs a while to wake up
  expect(ring?.data.devices).toEqual([])
  await clock.advance(12_000)
  const bob = await arrives('bob')
  await bob.hears('/user/queue/call/request', { callId, caller: 'alice', remainingMs: 18_000 })
  await alice.hears('/user/queue/call/ringing', { callId })
  await bob.accepts(callId)
  await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
  await hears('call.answered')
})

test('a retried ring tells who is there now, and how long it still rings', async () => {
  await begins()
  const { arrives, clock } = world
  backEnd.reply = ({ attempt }) => (attempt === 1 ? 500 : 200)
  const alice = await arrives('alice')
  await alice.requests('bob')
  const [first] = await hears('call.ring')
  const bob = await arrives('bob')
  while (backEnd.unheard.length === 0) await clock.advance(100)
  const [second] = await hears('call.ring')
  expect([first?.data.devices, second?.data.devices]).toEqual([[], [bob.session]])
  expect(second).toMatchObject({ id: first?.id, attempt: 2 })
  expect(Number(second?.data.remainingMs)).toBeLessThan(Number(first?.data.remainingMs))
})

test('a device that has lost its connection a moment ago is named apart: it may be back, or asleep', async () => {
  await begins()
  const { arrives, notes } = world
  const [alice, bob] = [await arrives('alice'), await arrives('bob')]
  await bob.vanishes()
  await notes('bob')
  await alice.requests('bob')
  const [ring] = await hears('call.ring')
  expect(ring?.data).toMatchObject({ devices: [], away: [bob.session] })
})

test('a back end that hangs does not slow down calls', async () => {
  await begins()
  backEnd.reply = () => () => undefined
  const [alice, bob] = [await world.arrives('alice'), await world.arrives('bob')]
  for (let n = 0; n < 40; n++) {
    const callId = await alice.requests('bob')
    await bob.hears('/user/queue/call/request', { callId })
    await bob.accepts(callId)
    await alice.hangsUp(callId)
    await bob.hears('/user/queue/call/hangup', { callId })
  }
  await shows(/^carillon_webhooks_waiting 120$/m)
})

test('metrics tell what was delivered, what failed, and what waits', async () => {
  await begins()
  backEnd.reply = ({ type }) => (type === 'call.ring' ? 204 : 500)
  const alice = await world.arrives('alice')
  await alice.requests('bob')
  await hears('call.ring')
  await alice.hangsUp()
  await hears('call.cancel')
  await world.clock.advance(500)
  await shows(/^carillon_webhook_attempts_total\{event="call.ring",outcome="delivered"\} 1$/m)
  await shows(/^carillon_webhook_attempts_total\{event="call.cancel",outcome="failed"\} 1$/m)
  await shows(/^carillon_webhooks_waiting 3$/m)
  await shows(/^carillon_webhook_oldest_seconds 0.5$/m)
})

test('events that are not wanted are not sent', async () => {
  await begins({ WEBHOOK_EVENTS: 'call.ended' })
  const alice = await world.arrives('alice')
  await alice.requests('bob')
  await alice.hangsUp()
  await hears('call.ended')
})

/** The page shows what really comes: `RECORD=1 npm test -- stories/webhooks` writes its examples anew. */
test('docs/webhooks.md has an example of every event, as it is sent', async () => {
  await begins({ WEBHOOK_EVENTS: '' })
  const { arrives, clock } = world
  const [alice, bob] = [await arrives('alice'), await arrives('bob')]
  const names = new Map([
    [alice.session, '<session of alice’s phone>'],
    [bob.session, '<session of bob’s phone>'],
  ])
  const request = { callerUserName: 'Alice', calleeUserName: 'Bob' }
  const callIds = ['6f1c2a9e-6d0b-4f7e-9a51-0c9d4be1a001', '6f1c2a9e-6d0b-4f7e-9a51-0c9d4be1a002'] as const
  await alice.says('/app/call/request', { callId: callIds[0], callee: 'bob', ...request })
  await clock.advance(4_000)
  await bob.accepts(callIds[0])
  await clock.advance(83_000)
  await bob.hangsUp()
  await alice.says('/app/call/request', { callId: callIds[1], callee: 'bob', ...request })
  await clock.advance(9_000)
  await alice.hangsUp()
  await bob.leaves()
  await world.notes('bob')
  await clock.advance(5_000)
  const examples = new Map<string, string>()
  while (examples.size < HOOK_TYPES.length) {
    const { type, text } = await backEnd.hears()
    const known = [...names].reduce((body, [session, name]) => body.replaceAll(session, name), text)
    expect(
      hookBody(type as HookType)
        .strict()
        .safeParse(JSON.parse(text)),
    ).toMatchObject({ success: true })
    if (!examples.has(type)) examples.set(type, JSON.stringify(JSON.parse(known), null, 2))
  }
  const page = readFileSync(PAGE, 'utf8')
  const shown = page.replaceAll(/```json\n(\{\n {2}"id"[\s\S]*?)\n```/g, (block: string, body: string) => {
    const { type } = JSON.parse(body) as { type: string }
    const example = examples.get(type)
    examples.delete(type)
    return example === undefined ? block : `\`\`\`json\n${example}\n\`\`\``
  })
  if (process.env.RECORD === '1') writeFileSync(PAGE, shown)
  else expect(page).toBe(shown)
  expect([...examples.keys()]).toEqual([])
})

/** Asks for the metrics until they say so. */
async function shows(line: RegExp): Promise<void> {
  for (;;) {
    const response = await fetch(`${world.url}/metrics`)
    if (line.test(await response.text())) return
  }
}
