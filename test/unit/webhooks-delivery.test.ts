/** How events come to the back end: a real HTTP server, a clock in the hand. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { HttpEndpoint } from '../../src/adapters/http/endpoint.ts'
import { MemoryOutbox } from '../../src/adapters/memory/outbox.ts'
import { Events, type News } from '../../src/events.ts'
import { Delivery } from '../../src/webhooks/delivery.ts'
import type { Outbox } from '../../src/webhooks/ports.ts'
import { hook } from '../contracts/outbox.ts'
import { BackEnd, isSigned, type Reply, WEBHOOK_SECRET } from '../support/back-end.ts'
import { TestClock } from '../support/clock.ts'

type Tried = News['webhook.tried']

class Fixture {
  readonly clock = new TestClock()
  readonly events = new Events((error) => {
    throw error
  })
  readonly outbox: Outbox
  readonly delivery: Delivery
  readonly endpoint: HttpEndpoint
  readonly log: string[] = []
  readonly #tried: Tried[] = []
  #wake: () => void = () => undefined

  constructor(url: string, outlives = false) {
    const memory = new MemoryOutbox({ clock: this.clock, dropped: () => undefined })
    this.outbox = outlives ? outliving(memory) : memory
    this.endpoint = new HttpEndpoint({ url, clock: this.clock, userAgent: 'Carillon/test' })
    this.delivery = new Delivery({
      outbox: this.outbox,
      endpoint: this.endpoint,
      secret: WEBHOOK_SECRET,
      clock: this.clock,
      events: this.events,
      log: { info: (_, text) => void this.log.push(text), warn: (_, text) => void this.log.push(text) },
      random: () => 1,
      freshFacts: async () => ({}),
      concurrency: 4,
    })
    this.events.on('webhook.tried', (tried) => {
      this.#tried.push(tried)
      this.#wake()
    })
    this.delivery.start()
  }

  /** The next attempts that have ended. */
  async tried(count = 1): Promise<string[]> {
    while (this.#tried.length < count) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#tried.splice(0, count).map(({ outcome }) => outcome)
  }
}

/** As if another process went on with what this one leaves. */
function outliving(memory: MemoryOutbox): Outbox {
  return new Proxy(memory, {
    get: (target, name) => {
      if (name === 'outlives') return true
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Answers when the test says so. */
const later =
  (open: (() => void)[]): Reply =>
  (response) =>
    void open.push(() => response.writeHead(200).end())

let backEnd: BackEnd
const fixtures: Fixture[] = []

function fixture(url = backEnd.url, outlives = false): Fixture {
  const made = new Fixture(url, outlives)
  fixtures.push(made)
  return made
}

beforeEach(async () => {
  backEnd = await BackEnd.opens()
})

afterEach(async () => {
  backEnd.reply = () => 204
  for (const { outbox, endpoint } of fixtures.splice(0)) {
    await outbox.stop()
    endpoint.close()
  }
  await backEnd.closes()
})

describe('a request', () => {
  test('is signed together with its time, and says what it is', async () => {
    const { outbox, clock, tried } = bound(fixture())
    outbox.put(hook('a'))
    const request = await backEnd.hears()
    expect(isSigned(request, WEBHOOK_SECRET, clock.now())).toBe(true)
    expect(isSigned(request, 'another secret', clock.now())).toBe(false)
    expect(isSigned({ ...request, text: `${request.text} ` }, WEBHOOK_SECRET, clock.now())).toBe(false)
    expect(isSigned(request, WEBHOOK_SECRET, clock.now() + 301_000)).toBe(false)
    expect(request.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'Carillon/test',
      'carillon-event': 'call.ended',
      'carillon-delivery': 'a',
      'carillon-attempt': '1',
    })
    const { id, type, at, data } = hook('a')
    expect(JSON.parse(request.text)).toEqual({ id, type, at, data })
    expect(await tried()).toEqual(['delivered'])
  })

  test('uses the connection of the one before', async () => {
    const { outbox, tried } = bound(fixture())
    for (const id of ['1', '2', '3']) outbox.put(hook(id, 'call:x'))
    await tried(3)
    expect(backEnd.connections).toBe(1)
  })

  test('is not sent on to where an answer redirects', async () => {
    const { outbox, tried } = bound(fixture())
    backEnd.reply = () => (response) => response.writeHead(307, { Location: backEnd.url }).end()
    outbox.put(hook('a'))
    expect(await tried()).toEqual(['failed'])
    expect(backEnd.requests).toHaveLength(1)
  })

  test('gets no more of an answer than fits into a bound', async () => {
    const { outbox, tried } = bound(fixture())
    let cut: () => void = () => undefined
    const isCut = new Promise<void>((resolve) => (cut = resolve))
    backEnd.reply = () => (response) => {
      response.on('close', cut).writeHead(200)
      const floods = () => {
        if (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) setImmediate(floods)
      }
      response.on('drain', floods)
      floods()
    }
    outbox.put(hook('a'))
    expect(await tried()).toEqual(['delivered'])
    await isCut
  })
})

describe('an endpoint that fails', () => {
  test('is asked again, later each time, with the same id, and the next event of the call waits', async () => {
    const { outbox, clock, tried } = bound(fixture())
    backEnd.reply = ({ attempt }) => (attempt < 4 ? 500 : 200)
    for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
    expect(await tried()).toEqual(['failed'])
    for (const ms of [1_000, 2_000, 4_000]) {
      await clock.advance(ms - 1)
      await outbox.backlog()
      expect(backEnd.unheard.length).toBe(1)
      await backEnd.hears()
      await clock.advance(1)
      await tried()
    }
    await backEnd.hears()
    expect(await backEnd.hears()).toMatchObject({ id: '2', attempt: 1 })
    expect(backEnd.requests.map(({ id, attempt }) => `${id}/${attempt}`)).toEqual(['1/1', '1/2', '1/3', '1/4', '2/1'])
  })

  test('does not hold up other calls when it refuses one', async () => {
    const { outbox, tried } = bound(fixture())
    backEnd.reply = ({ id }) => (id === 'bad' ? 400 : 200)
    outbox.put(hook('bad'))
    expect(await tried()).toEqual(['failed'])
    outbox.put(hook('good'))
    expect(await tried()).toEqual(['delivered'])
    expect(await outbox.backlog()).toMatchObject({ waiting: 1 })
  })

  test('is given the time that it asks for', async () => {
    const { outbox, clock, tried } = bound(fixture())
    backEnd.reply = () => (response) => response.writeHead(503, { 'Retry-After': '90' }).end()
    outbox.put(hook('a'))
    await tried()
    await clock.advance(89_999)
    expect(backEnd.requests).toHaveLength(1)
    await clock.advance(1)
    expect(await tried()).toEqual(['failed'])
  })

  test('is not told again what it says is gone', async () => {
    const { outbox, clock, tried } = bound(fixture())
    backEnd.reply = () => 410
    outbox.put(hook('a'))
    expect(await tried()).toEqual(['gone'])
    await clock.advance(3_600_000)
    expect(backEnd.requests).toHaveLength(1)
    expect(await outbox.backlog()).toEqual({ waiting: 0 })
  })

  test('that does not answer is given up after five seconds, and asked again', async () => {
    const { outbox, clock, tried } = bound(fixture())
    backEnd.reply = ({ attempt }) => (attempt === 1 ? () => undefined : 200)
    outbox.put(hook('a'))
    await backEnd.hears()
    await clock.advance(5_000)
    expect(await tried()).toEqual(['failed'])
    await clock.advance(1_000)
    expect(await tried()).toEqual(['delivered'])
  })

  test('that is not there at all is left alone for longer and longer, then everything is delivered in order', async () => {
    const { port } = backEnd
    await backEnd.closes()
    const { outbox, clock, tried, log } = bound(fixture(`http://127.0.0.1:${port}/`))
    for (let n = 0; n < 20; n++) for (const id of ['a', 'b']) outbox.put(hook(`${n}${id}`, `call:${n}`))
    await tried(5)
    expect(log).toEqual([expect.stringMatching(/does not take events/)])
    backEnd = await BackEnd.opens(port)
    const delivered: string[] = []
    while (delivered.length < 40) {
      await clock.advance(60_000)
      while (backEnd.unheard.length > 0) delivered.push((await backEnd.hears()).id)
      await outbox.backlog()
    }
    for (let n = 0; n < 20; n++) expect(delivered.indexOf(`${n}a`)).toBeLessThan(delivered.indexOf(`${n}b`))
    expect(log).toEqual([expect.anything(), expect.stringMatching(/takes events again/)])
  })

  test('for a whole day loses the event, which the log says', async () => {
    const { outbox, clock, tried, log } = bound(fixture())
    backEnd.reply = () => 500
    const began = clock.now()
    outbox.put({ ...hook('a'), at: began })
    while ((await tried())[0] !== 'givenUp') await clock.advance(3_600_000)
    expect(clock.now() - began).toBeGreaterThanOrEqual(23.9 * 3_600_000)
    expect(log.at(-1)).toMatch(/given up/)
    expect(await outbox.backlog()).toEqual({ waiting: 0 })
  })
})

describe('concurrency', () => {
  test('is bounded: so many requests are under way, no more', async () => {
    const { outbox, tried } = bound(fixture())
    const open: (() => void)[] = []
    backEnd.reply = () => later(open)
    for (let n = 0; n < 6; n++) outbox.put(hook(String(n)))
    for (let n = 0; n < 4; n++) await backEnd.hears()
    expect(backEnd.requests).toHaveLength(4)
    for (const answer of open.splice(0)) answer()
    for (let n = 0; n < 2; n++) await backEnd.hears()
    for (const answer of open.splice(0)) answer()
    expect(await tried(6)).toEqual(Array(6).fill('delivered'))
  })
})

describe('a stop', () => {
  test('waits for what is under way, and delivers what would be lost', async () => {
    const { delivery, outbox, tried } = bound(fixture())
    const open: (() => void)[] = []
    backEnd.reply = ({ id }) => (id === '1' ? later(open) : 200)
    for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
    await backEnd.hears()
    const stopped = delivery.stop()
    open[0]?.()
    await stopped
    expect(await tried(2)).toEqual(['delivered', 'delivered'])
    expect(await outbox.backlog()).toEqual({ waiting: 0 })
  })

  test('leaves to others what outlives the process', async () => {
    const { delivery, outbox } = bound(fixture(backEnd.url, true))
    const open: (() => void)[] = []
    backEnd.reply = () => later(open)
    for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
    await backEnd.hears()
    const stopped = delivery.stop()
    open[0]?.()
    await stopped
    expect(backEnd.requests).toHaveLength(1)
    expect(await outbox.take(1)).toMatchObject([{ hook: { id: '2' }, failed: 0 }])
  })

  test('does not wait for ever for an endpoint that does not answer, and puts the event back', async () => {
    const { delivery, outbox, clock } = bound(fixture(backEnd.url, true))
    backEnd.reply = () => () => undefined
    outbox.put(hook('1'))
    await backEnd.hears()
    const stopped = delivery.stop()
    await clock.advance(3_000)
    await stopped
    expect(await outbox.take(1)).toMatchObject([{ hook: { id: '1' }, failed: 0 }])
  })
})

function bound(made: Fixture) {
  const { outbox, clock, delivery, log } = made
  return { outbox, clock, delivery, log, tried: (count?: number) => made.tried(count) }
}
