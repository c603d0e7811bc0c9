/** Who is where, and the way there: the registry, routes and the hand-over of sessions, on a real Redis. */

import { describe, expect, test } from '@jest/globals'
import { TestClock } from '../support/clock.ts'
import { CutProxy } from '../support/cut-proxy.ts'
import { Group } from '../support/group.ts'
import { startRedis, startRedisCluster } from '../support/redis.ts'
import {
  FACTS,
  QUEUE,
  type RegisteredNode,
  type RegisteredOptions,
  registeredNode,
  sessionOf,
} from '../support/registered.ts'

const LEASE = { leaseMs: 2000, renewMs: 300 }

const group = new Group<RegisteredNode>(({ bugs }) => expect(bugs).toEqual([]))

const joins = (more: Partial<RegisteredOptions> = {}): Promise<RegisteredNode> =>
  group.joins(registeredNode({ ...group.at, ...LEASE, ...more }))

const nodes = async (): Promise<[RegisteredNode, RegisteredNode, RegisteredNode]> => [
  await joins(),
  await joins(),
  await joins(),
]

describe('a message for a device of another process', () => {
  test('arrives there alone, in order, the first looked up and the others not', async () => {
    const [a, b, c] = await nodes()
    await b.arrives('bob', 'bob/1')
    await c.arrives('bob', 'bob/2')
    const texts = Array.from({ length: 100 }, (_, n) => String(n))
    for (const text of texts) a.tells('bob', 'bob/1', text)
    expect(await b.hasHeard('bob/1', 100)).toEqual(texts)
    expect(c.devices.heard).toEqual([])
    expect(a.routes.counts).toMatchObject({ sent: 100, lookups: 1, lost: 0 })
  })

  test('for the user reaches every process with a device of theirs, and not the one that is left out', async () => {
    const [a, b, c] = await nodes()
    await b.arrives('bob', 'bob/1')
    await c.arrives('bob', 'bob/2')
    await c.arrives('bob', 'bob/3')
    a.routes.tell({ user: 'bob', except: 'bob/2' }, QUEUE, { body: '{"text":"all"}', headers: { x: 'y' } })
    a.routes.ring('bob', 'c1')
    expect(await b.hasHeard('bob/1', 1)).toEqual(['all'])
    expect(await c.hasHeard('bob/3', 1)).toEqual(['all'])
    expect(c.devices.of('bob/2')).toEqual([])
    expect(c.devices.heard[0]?.headers).toEqual({ x: 'y' })
    await Promise.all([b.notes('rings bob c1'), c.notes('rings bob c1')])
  })

  test('does not overtake one that had to be looked up, of whatever kind', async () => {
    const [a, b] = await nodes()
    await b.arrives('bob', 'bob/1')
    const say = (text: string) => ({ body: JSON.stringify({ text }) })
    a.routes.tell({ user: 'bob' }, QUEUE, say('1'))
    a.routes.tell({ user: 'bob', devices: ['bob/1'] }, QUEUE, say('2'))
    a.routes.tell({ user: 'bob' }, QUEUE, say('3'))
    a.routes.tell({ user: 'bob', devices: ['bob/1'] }, QUEUE, say('4'))
    expect(await b.hasHeard('bob/1', 4)).toEqual(['1', '2', '3', '4'])
  })

  test('that has gone is lost, and is forgotten', async () => {
    const [a, b] = await nodes()
    await b.arrives('bob', 'bob/1')
    a.tells('bob', 'bob/1', '1')
    await b.hasHeard('bob/1', 1)
    b.devices.disconnect('bob/1')
    b.residents.ended('bob/1')
    await b.notes('lost bob/1')
    await b.residents.settled('bob')
    a.tells('bob', 'bob/1', '2')
    await b.arrives('bob', 'bob/9')
    a.tells('bob', 'bob/9', '3')
    expect(await b.hasHeard('bob/9', 1)).toEqual(['3'])
    expect(b.devices.of('bob/1')).toHaveLength(1)
  })
})

describe('a message for a device that had moved on before the process died where it was', () => {
  /** The first remembers bob's device at the second, from where it has moved on to the third. */
  async function movedOn() {
    const [a, b, c] = await nodes()
    await b.arrives('bob', 'bob/1')
    a.tells('bob', 'bob/1', '1')
    await b.hasHeard('bob/1', 1)
    await c.resumes('bob', 'bob/1')
    return [a, b, c] as const
  }

  test('goes to where it is now, when the process is known to be dead', async () => {
    const [a, b, c] = await movedOn()
    await b.dies()
    group.running.splice(group.running.indexOf(b), 1)
    await Promise.race([a.notes(`inherited ${b.id}`), c.notes(`inherited ${b.id}`)])
    while (a.members.living().has(b.id)) await a.members.leaseUntil(a.id)
    a.tells('bob', 'bob/1', '2')
    expect(await c.hasHeard('bob/1', 1)).toEqual(['2'])
  })

  test('that had left in order, before another one left', async () => {
    const [a, b, c] = await movedOn()
    const d = await joins()
    await b.routes.leaves(2000)
    await b.stop()
    while ([a, d].some(({ members }) => members.living().has(b.id))) await a.members.leaseUntil(a.id)
    await d.routes.leaves(2000)
    a.tells('bob', 'bob/1', '2')
    expect(await c.hasHeard('bob/1', 1)).toEqual(['2'])
  })

  test('follows it in order, when it had been sent to the process that takes nothing any more', async () => {
    const [a, b, c] = await movedOn()
    // Its inbox is gone, its lease is not
    await b.members.stop({ lingers: true })
    await b.bus.stop()
    for (const text of ['2', '3', '4']) a.tells('bob', 'bob/1', text)
    expect(await c.hasHeard('bob/1', 3)).toEqual(['2', '3', '4'])
  })
})

describe('a device that moves', () => {
  test('to the process that sends to it: what was under way to where it was comes first', async () => {
    const [a, b] = await nodes()
    await a.arrives('bob', 'bob/1')
    // As calls do: what is here is told at once
    const says = (text: string) =>
      b.devices.holds('bob/1')
        ? void b.devices.tell('bob/1', QUEUE, { body: JSON.stringify({ text }) })
        : b.tells('bob', 'bob/1', text)
    says('1')
    await a.hasHeard('bob/1', 1)
    let free = () => {}
    a.busy = new Promise((resolve) => {
      free = resolve
    })
    const back = b.resumes('bob', 'bob/1').then(() => says('4'))
    await a.notes('asked for bob/1')
    let passesOn = () => {}
    const slow = a.routes.whileMoving('bob', () => new Promise<void>((resolve) => (passesOn = resolve)))
    free()
    while (a.devices.holds('bob/1')) await a.busy
    for (const text of ['2', '3']) says(text)
    while (b.handover.counts.fetched === 0) await b.registry.devices('bob')
    // It could be connected by now
    for (let n = 0; n < 5; n++) await b.registry.devices('bob')
    passesOn()
    await Promise.all([back, slow])
    expect(await b.hasHeard('bob/1', 3)).toEqual(['2', '3', '4'])
  })

  test('and waits for what was under way to it holds up no other message for its user', async () => {
    const clock = new TestClock()
    const [a, b, c] = [await joins(), await joins({ patience: clock }), await joins()]
    await a.arrives('bob', 'bob/1')
    await c.arrives('bob', 'bob/2')
    b.tells('bob', 'bob/1', '1')
    b.tells('bob', 'bob/2', '1')
    await Promise.all([a.hasHeard('bob/1', 1), c.hasHeard('bob/2', 1)])
    a.bus.handle('mark', () => undefined)
    const back = b.resumes('bob', 'bob/1')
    while (clock.waiting === 0) await b.registry.devices('bob')
    b.tells('bob', 'bob/1', '2')
    b.tells('bob', 'bob/2', '2')
    expect(await c.hasHeard('bob/2', 2)).toEqual(['1', '2'])
    expect(b.devices.of('bob/1')).toEqual([])
    await clock.advance(1000)
    await back
    expect(await b.hasHeard('bob/1', 1)).toEqual(['2'])
  })

  test('is given with what it had, and what was sent meanwhile comes after it, in order', async () => {
    const [a, b, c] = await nodes()
    await b.arrives('bob', 'bob/1')
    const texts = Array.from({ length: 1200 }, (_, n) => String(n))
    let sent = 0
    const some = (count: number) => {
      for (; count > 0; count--) a.tells('bob', 'bob/1', texts[sent++]!)
    }
    // More than 512 do not wait for one user: however slow a move is, some hundred are under way and no more
    const isRoom = () => sent - b.devices.heard.length - c.devices.heard.length < 300
    // Always some on the way, whichever way that is now
    const trickle = async (moving: Promise<unknown>) => {
      let moves = true
      void moving.finally(() => {
        moves = false
      })
      while (moves && sent < 900) {
        if (isRoom()) some(3)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await moving
    }
    some(100)
    let holder = b
    for (const next of [c, b, c, b]) {
      await trickle(next.resumes('bob', 'bob/1'))
      holder = next
    }
    for (; sent < texts.length; await new Promise((resolve) => setImmediate(resolve)))
      if (isRoom()) some(Math.min(5, texts.length - sent))
    expect(a.routes.counts.lost).toBe(0)
    const all = () => {
      const [x, y] = [b, c].map(({ devices }) => devices.heard.map(({ body }) => Number(body.text)))
      return [...(x ?? []), ...(y ?? [])].sort((one, other) => one - other)
    }
    while (all().length < texts.length) await holder.hasHeard('bob/1', holder.devices.heard.length + 1)
    expect(all()).toEqual(texts.map(Number))
    for (const { devices } of [b, c]) {
      const heard = devices.heard.map(({ body }) => Number(body.text))
      expect(heard).toEqual([...heard].sort((one, other) => one - other))
    }
  })

  test('just when a message for all of its user is on the way: it follows the device', async () => {
    const [a, b, c] = await nodes()
    await b.arrives('bob', 'bob/1')
    await b.arrives('bob', 'bob/2')
    const before = await a.registry.devices('bob')
    await c.resumes('bob', 'bob/1')
    a.registry.devices = () => Promise.resolve(before)
    a.routes.tell({ user: 'bob' }, QUEUE, { body: '{"text":"all"}' })
    expect(await c.hasHeard('bob/1', 1)).toEqual(['all'])
    expect(b.devices.of('bob/2')).toHaveLength(1)
    expect(b.devices.of('bob/1')).toEqual([])
    expect(b.routes.counts).toMatchObject({ forwarded: 1, lost: 0 })
  })

  test('here just when a message for all of its user comes hears it once', async () => {
    const [a, b, c] = await nodes()
    await c.arrives('bob', 'bob/1')
    b.routes.expect('bob', 'bob/1')
    const [entry] = await a.registry.devices('bob')
    a.registry.devices = () => Promise.resolve([{ ...entry!, node: b.id }])
    a.routes.tell({ user: 'bob' }, QUEUE, { body: '{"text":"all"}' })
    while (b.routes.counts.received === 0) await b.registry.devices('bob')
    expect(await b.resumes('bob', 'bob/1')).toBeDefined()
    expect(await b.hasHeard('bob/1', 1)).toEqual(['all'])
    expect(b.routes.counts).toMatchObject({ forwarded: 0, lost: 0 })
  })

  test('brings its session along, octets and all', async () => {
    const [a, b] = await nodes()
    await a.arrives('bob', 'bob/1')
    expect(await b.resumes('bob', 'bob/1')).toEqual(sessionOf('bob', 'bob/1'))
    expect(await b.registry.devices('bob')).toMatchObject([{ id: 'bob/1', node: b.id, epoch: 2, away: false }])
    expect(a.residents.size).toBe(0)
  })

  test('is not given to who does not know its secret, nor to another user', async () => {
    const [a, b] = await nodes()
    await a.arrives('bob', 'bob/1')
    expect(await b.resumes('bob', 'bob/1', 'bob/1.guess')).toBeUndefined()
    expect(await b.resumes('mallory', 'bob/1')).toBeUndefined()
    expect(await a.registry.devices('bob')).toMatchObject([{ id: 'bob/1', node: a.id, epoch: 1 }])
  })

  test('is waited for while its process shows that it lives', async () => {
    const clock = new TestClock()
    const [a, b] = [await joins(), await joins({ clock })]
    await a.arrives('bob', 'bob/1')
    let free = () => {}
    a.busy = new Promise((resolve) => {
      free = resolve
    })
    const back = b.resumes('bob', 'bob/1')
    await a.notes('asked for bob/1')
    for (let n = 0; n < 2; n++) {
      while (clock.waiting === 0) await b.members.leaseUntil(a.id)
      const lease = await b.members.leaseUntil(a.id)
      while ((await b.members.leaseUntil(a.id)) === lease);
      await clock.advance(2000)
    }
    free()
    expect(await back).toEqual(sessionOf('bob', 'bob/1'))
  })

  test('whichever command to Redis fails on the way, it comes through, and is in one place', async () => {
    const [a, b, c] = await nodes()
    let n = 0
    for (const parked of [false, true]) {
      for (const carriedOut of [false, true]) {
        for (const broken of parked ? [b] : [a, b]) {
          for (let skip = 0; ; skip++) {
            const device = `bob/${n++}`
            await a.arrives('bob', device)
            if (parked) {
              a.sessions.delete(device)
              a.devices.disconnect(device)
              await a.handover.park([sessionOf('bob', device)])
            }
            broken.asking.breaks(skip, carriedOut)
            const session = await b.resumes('bob', device)
            const { waits } = broken.asking
            broken.asking.breaks(Number.POSITIVE_INFINITY, false)
            // As after every absence
            await broken.residents.restore()
            const entry = (await c.registry.devices('bob')).find(({ id }) => id === device)
            if (session === undefined) {
              // What was taken out of Redis by an answer that got lost is lost with it, and nobody is said to have it
              expect({ parked, carriedOut, entry }).toEqual({ parked: true, carriedOut: true, entry: undefined })
              expect(b.noted).toContain(`lost ${device}`)
            } else {
              expect(session).toEqual(sessionOf('bob', device))
              expect(entry).toMatchObject({ node: b.id, away: false })
              c.tells('bob', device, 'hello')
              expect(await b.hasHeard(device, 1)).toEqual(['hello'])
            }
            if (waits) break
          }
        }
      }
    }
  })

  test('that was given is not lost, though its process says no when it is asked once more', async () => {
    const [a, b] = [await joins(), await joins()]
    await a.arrives('bob', 'bob/1')
    const leaseUntil = b.members.leaseUntil.bind(b.members)
    let questions = 0
    b.members.leaseUntil = async (node) => {
      questions++
      while (b.bus.counts().received < questions) await leaseUntil(node)
      return leaseUntil(node)
    }
    // The registry does not hear that it moves, and who asks does not hear how long the other one lives
    a.asking.breaks(1, false)
    b.asking.breaks(1, true)
    expect(await b.resumes('bob', 'bob/1')).toEqual(sessionOf('bob', 'bob/1'))
    expect(questions).toBe(2)
    expect(await a.registry.devices('bob')).toMatchObject([{ id: 'bob/1', node: b.id, epoch: 2, away: false }])
  })

  test('is left in Redis, whichever command fails on the way', async () => {
    const [a, b] = await nodes()
    for (const carriedOut of [false, true]) {
      for (let skip = 0; ; skip++) {
        const device = `bob/${carriedOut}/${skip}`
        await a.arrives('bob', device)
        a.sessions.delete(device)
        a.devices.disconnect(device)
        a.asking.breaks(skip, carriedOut)
        await a.handover.park([sessionOf('bob', device)])
        const { waits } = a.asking
        a.asking.breaks(Number.POSITIVE_INFINITY, false)
        expect(await b.resumes('bob', device)).toEqual(sessionOf('bob', device))
        if (waits) break
      }
    }
  })

  test('is taken from a process that says nothing, which may not write it any more', async () => {
    const [a, b] = await nodes()
    await a.arrives('bob', 'bob/1')
    // It hears of nothing, as if it were cut off
    a.bus.handle('claim', () => undefined)
    await a.members.stop({ lingers: true })
    expect(await b.resumes('bob', 'bob/1')).toBeUndefined()
    expect(b.noted).toContain('lost bob/1')
    expect(await b.registry.devices('bob')).toEqual([])
    a.residents.away('bob/1')
    await a.notes('fenced bob/1')
    expect(await a.registry.put('bob', 'bob/1', 1, FACTS)).toBe(false)
    expect(await a.registry.remove('bob', 'bob/1', 1)).toBe(false)
    expect(a.noted).not.toContain('lost bob/1')
  })

  test('whose process has stopped waits in Redis, with what came for it meanwhile', async () => {
    const [a, b, c] = await nodes()
    await a.arrives('bob', 'bob/1')
    c.tells('bob', 'bob/1', '1')
    await a.hasHeard('bob/1', 1)
    a.devices.disconnect('bob/1')
    await a.handover.park([sessionOf('bob', 'bob/1')])
    c.tells('bob', 'bob/1', '2')
    c.routes.tell({ user: 'bob' }, QUEUE, { body: '{"text":"3"}' })
    await a.routes.leaves(2000)
    c.tells('bob', 'bob/1', '4')
    await c.routes.whileMoving('bob', async () => undefined)
    expect(await b.resumes('bob', 'bob/1', 'bob/1.guess')).toBeUndefined()
    expect(await b.resumes('bob', 'bob/1')).toEqual(sessionOf('bob', 'bob/1'))
    c.tells('bob', 'bob/1', '5')
    expect(await b.hasHeard('bob/1', 4)).toEqual(['2', '3', '4', '5'])
    expect(await b.resumes('bob', 'bob/1')).toBeUndefined()
  })

  test('hears what was left for it in Redis before what has come since', async () => {
    const [a, b, c] = await nodes()
    await a.arrives('bob', 'bob/1')
    a.devices.disconnect('bob/1')
    await a.handover.park([sessionOf('bob', 'bob/1')])
    for (const text of ['1', '2']) c.tells('bob', 'bob/1', text)
    await c.routes.whileMoving('bob', async () => undefined)
    // As from somebody who already knows that it is here
    b.routes.expect('bob', 'bob/1')
    const facts = { user: 'bob', devices: ['bob/1'], destination: QUEUE }
    c.bus.send(b.id, { kind: 'tell', facts, body: Buffer.from('{"text":"3"}') })
    while (b.routes.counts.received === 0) await b.registry.devices('bob')
    expect(await b.resumes('bob', 'bob/1')).toBeDefined()
    expect(await b.hasHeard('bob/1', 3)).toEqual(['1', '2', '3'])
  })

  test('whose process has stopped is told at once, though the lease of that one still stands', async () => {
    const a = await joins({ patience: new TestClock() })
    const [b, c] = [await joins(), await joins()]
    for (const device of ['bob/1', 'bob/2']) {
      await b.arrives('bob', device)
      a.tells('bob', device, '1')
      await b.hasHeard(device, 1)
      b.devices.disconnect(device)
      await b.handover.park([sessionOf('bob', device)])
    }
    await b.routes.leaves(2000)
    b.bus.handle('mark', () => undefined)
    for (const device of ['bob/1', 'bob/2']) {
      await c.resumes('bob', device)
      a.tells('bob', device, '2')
      expect(await c.hasHeard(device, 1)).toEqual(['2'])
    }
    expect(a.members.living()).toContain(b.id)
  })

  test('whose process is waited for is told when that one says that it has stopped', async () => {
    const clock = new TestClock()
    const [a, b, c] = [await joins({ patience: clock }), await joins(), await joins()]
    await b.arrives('bob', 'bob/1')
    a.tells('bob', 'bob/1', '1')
    await b.hasHeard('bob/1', 1)
    await c.resumes('bob', 'bob/1')
    b.bus.handle('mark', () => undefined)
    a.routes.ring('bob', 'c1')
    while (clock.waiting === 0) await a.registry.devices('bob')
    expect(c.noted).not.toContain('rings bob c1')
    await b.routes.leaves(2000)
    await c.notes('rings bob c1')
    expect(clock.waiting).toBe(0)
  })

  describe('whose process says nothing any more', () => {
    /** The first remembers a device of each user at the second, from where it has moved on to the third. */
    async function silent(...users: string[]) {
      const clock = new TestClock()
      const [a, b, c] = [await joins({ patience: clock }), await joins(), await joins()]
      for (const user of users) {
        await b.arrives(user, `${user}/1`)
        a.tells(user, `${user}/1`, '1')
        await b.hasHeard(`${user}/1`, 1)
        await c.resumes(user, `${user}/1`)
      }
      b.bus.handle('mark', () => undefined)
      a.routes.ring('bob', 'c1')
      while (clock.waiting === 0) await a.members.leaseUntil(a.id)
      await clock.advance(1000)
      await c.notes('rings bob c1')
      return { a, b, c, clock }
    }

    test('is waited for once, not for each device', async () => {
      const { a, c, clock } = await silent('bob', 'carol')
      a.routes.ring('carol', 'c2')
      await c.notes('rings carol c2')
      expect(clock.waiting).toBe(0)
    })

    test('is waited for again when that one has said something', async () => {
      const { a, b, clock } = await silent('bob', 'carol')
      await a.arrives('dave', 'dave/1')
      b.tells('dave', 'dave/1', 'hello')
      await a.hasHeard('dave/1', 1)
      a.routes.ring('carol', 'c2')
      while (clock.waiting === 0) await a.members.leaseUntil(a.id)
      await clock.advance(1000)
    })
  })

  test('is had from the process that asks for it while its own is just leaving it in Redis', async () => {
    const [a, b] = await nodes()
    for (let n = 0; n < 20; n++) {
      const device = `bob/${n}`
      await a.arrives('bob', device)
      a.sessions.delete(device)
      const [session] = await Promise.all([b.resumes('bob', device), a.handover.park([sessionOf('bob', device)])])
      expect(session ?? (await b.resumes('bob', device))).toEqual(sessionOf('bob', device))
      expect(session).toBeDefined()
    }
  })

  test('is in one place in the end when two processes want it at once', async () => {
    const [a, b, c] = await nodes()
    await a.arrives('bob', 'bob/1')
    await Promise.all([b.resumes('bob', 'bob/1'), c.resumes('bob', 'bob/1')])
    const holders = [a, b, c].filter(({ sessions }) => sessions.has('bob/1'))
    expect(holders).toHaveLength(1)
    expect(await a.registry.devices('bob')).toMatchObject([{ id: 'bob/1', node: holders[0]!.id }])
  })
})

describe('a process that dies', () => {
  test('leaves its devices to one heir, who says that they are lost', async () => {
    const [a, b, c] = await nodes()
    await a.arrives('bob', 'bob/1')
    await b.arrives('bob', 'bob/2')
    await a.dies()
    group.running.shift()
    await Promise.race([b.notes(`inherited ${a.id}`), c.notes(`inherited ${a.id}`)])
    await Promise.race([b.notes('lost bob/1'), c.notes('lost bob/1')])
    expect([...b.noted, ...c.noted].filter((line) => line === 'lost bob/1')).toHaveLength(1)
    expect(await b.registry.devices('bob')).toMatchObject([{ id: 'bob/2' }])
    expect(await b.registry.someOf(a.id, 10)).toEqual([])
  })
})

describe('a process that has just begun', () => {
  test('is told by the others whose presence has changed lately', async () => {
    const [a, b, c] = await nodes()
    a.lately.push(['bob', 5])
    b.lately.push(['carol', 7])
    await c.presence.asksLately(60_000)
    expect(c.lately).toHaveLength(2)
    expect(c.lately).toEqual(expect.arrayContaining([...a.lately, ...b.lately]))
  })
})

describe('Redis', () => {
  test('that comes back empty is told everything again, and what was owed to it', async () => {
    const own = await startRedis()
    try {
      const [a, b] = [await joins({ url: own.url }), await joins({ url: own.url })]
      for (let n = 0; n < 200; n++) await a.arrives(`user${n}`, `device${n}`)
      a.presence.entered('user0')
      await b.notes('user0 online')
      await own.kill()
      await a.down()
      a.devices.disconnect('device1')
      a.residents.ended('device1')
      await own.restart()
      await a.notes('appeared device199')
      await a.notes('lost device1')
      await Promise.all([a.residents.settled('user0'), b.up()])
      expect(await b.registry.devices('user0')).toMatchObject([{ id: 'device0', node: a.id }])
      expect(await b.registry.devices('user1')).toEqual([])
      expect(await b.registry.online('user0')).toBe(true)
      b.tells('user7', 'device7', 'hello')
      expect(await a.hasHeard('device7', 1)).toEqual(['hello'])
    } finally {
      await group.ends()
      await own.stop()
    }
  })

  test('that a process could not reach for longer than its lease has no device of it any more: what was sent to them is lost', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins({ url: `redis://127.0.0.1:${proxy.port}` })
    const b = await joins()
    await a.arrives('bob', 'bob/1')
    proxy.cut()
    await b.notes(`inherited ${a.id}`)
    expect(b.noted).toContain('lost bob/1')
    proxy.heal()
    await a.notes('fenced bob/1')
    await a.arrives('bob', 'bob/2')
    expect(await b.registry.devices('bob')).toMatchObject([{ id: 'bob/2', node: a.id }])
    expect(a.noted).not.toContain('returned bob/1')
    expect(await b.resumes('bob', 'bob/1')).toBeUndefined()
    await proxy.stop()
  })
})

describe('a Cluster', () => {
  test('does all of it', async () => {
    const cluster = await startRedisCluster()
    try {
      const at = { url: cluster.url, mode: 'cluster' }
      const [a, b, c] = [await joins(at), await joins(at), await joins(at)]
      for (const user of ['bob', 'carol {x}', 'da}ve', 'ève', '%7b']) {
        const device = `device of ${user}`
        await a.arrives(user, device)
        b.tells(user, device, '1')
        expect(await a.hasHeard(device, 1)).toEqual(['1'])
        expect(await c.resumes(user, device)).toEqual(sessionOf(user, device))
        b.tells(user, device, '2')
        expect(await c.hasHeard(device, 1)).toEqual(['2'])
        c.devices.disconnect(device)
        await c.handover.park([sessionOf(user, device)])
        b.tells(user, device, '3')
        await b.routes.whileMoving(user, async () => undefined)
        await c.routes.leaves(1000)
        expect(await a.resumes(user, device)).toEqual(sessionOf(user, device))
        expect(await a.hasHeard(device, 2)).toEqual(['1', '3'])
      }
    } finally {
      await group.ends()
      await cluster.stop()
    }
  })
})
