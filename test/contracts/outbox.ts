import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Hook, LEASE_MS, type Outbox, type Taken } from '../../src/webhooks/ports.ts'
import { TestClock } from '../support/clock.ts'

export const hook = (id: string, key = `call:${id}`, at = Date.UTC(2026, 0, 1)): Hook => ({
  id,
  key,
  type: 'call.ended',
  at,
  data: { callId: key, nested: { list: [1, 'ä', null] } },
})

/** Takes when told that there may be something, as a delivery does. */
export class Taker {
  readonly #outbox: Outbox
  #ready = false
  #wake: () => void = () => undefined

  constructor(outbox: Outbox) {
    this.#outbox = outbox
    outbox.onReady(() => {
      this.#ready = true
      this.#wake()
    })
  }

  /** Waits until exactly so many could be taken. */
  async takes(count: number): Promise<Taken[]> {
    const taken: Taken[] = []
    while (taken.length < count) {
      this.#ready = false
      taken.push(...(await this.#outbox.take(count - taken.length)))
      if (taken.length < count && !this.#ready) await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return taken
  }

  async takesOne(): Promise<Taken> {
    const [taken] = await this.takes(1)
    if (!taken) throw new Error('nothing was taken')
    return taken
  }

  /** Whatever was put before is kept by now, and none of it is due. */
  async takesNothing(): Promise<void> {
    await this.#outbox.backlog()
    expect(await this.#outbox.take(100)).toEqual([])
  }
}

export interface OutboxOptions {
  readonly clock: TestClock
  readonly dropped: (hook: Hook) => void
  readonly mostWaiting?: number
}

/** What every outbox promises; each adapter runs it. */
export function outboxContract(name: string, open: (options: OutboxOptions) => Promise<Outbox>): void {
  describe(`outbox: ${name}`, () => {
    let clock: TestClock
    let outbox: Outbox
    let taker: Taker
    let dropped: string[]

    const opens = async (more: { mostWaiting?: number } = {}) => {
      outbox = await open({ clock, dropped: ({ id }) => void dropped.push(id), ...more })
      taker = new Taker(outbox)
    }

    beforeEach(async () => {
      clock = new TestClock()
      dropped = []
      await opens()
    })

    afterEach(async () => {
      await outbox.stop()
    })

    const idsOf = (taken: readonly Taken[]) => taken.map(({ hook }) => hook.id).sort()

    test('gives back what was put, as it was', async () => {
      outbox.put(hook('a'))
      expect(await taker.takesOne()).toMatchObject({ hook: hook('a'), failed: 0 })
    })

    test('gives one event to one taker only', async () => {
      outbox.put(hook('a'))
      await taker.takesOne()
      await taker.takesNothing()
    })

    test('hands out the events of one key one after the other, in the order of their coming', async () => {
      for (const id of ['1', '2', '3']) outbox.put(hook(id, 'call:x'))
      for (const id of ['1', '2', '3']) {
        const taken = await taker.takesOne()
        expect(taken.hook.id).toBe(id)
        await taker.takesNothing()
        await outbox.done(taken)
      }
      await taker.takesNothing()
      expect(await outbox.backlog()).toEqual({ waiting: 0 })
    })

    test('does not let one key wait for another', async () => {
      for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
      for (const id of ['3', '4']) outbox.put(hook(id, 'call:y'))
      expect(idsOf(await taker.takes(2))).toEqual(['1', '3'])
      await taker.takesNothing()
    })

    test('takes no more than asked for', async () => {
      for (let n = 0; n < 20; n++) outbox.put(hook(String(n)))
      await outbox.backlog()
      expect((await outbox.take(7)).length).toBeLessThanOrEqual(7)
    })

    test('gives back what failed when its time has come, and not what stands behind it', async () => {
      for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
      const first = await taker.takesOne()
      await outbox.retry(first, clock.now() + 1_000)
      await taker.takesNothing()
      await clock.advance(999)
      await taker.takesNothing()
      await clock.advance(1)
      const again = await taker.takesOne()
      expect({ id: again.hook.id, failed: again.failed }).toEqual({ id: '1', failed: 1 })
      await outbox.retry(again, clock.now() + 1_000)
      await clock.advance(1_000)
      expect(await taker.takesOne()).toMatchObject({ hook: { id: '1' }, failed: 2 })
    })

    test('begins to count anew with the next event of a key', async () => {
      for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
      await outbox.retry(await taker.takesOne(), clock.now())
      await outbox.done(await taker.takesOne())
      expect(await taker.takesOne()).toMatchObject({ hook: { id: '2' }, failed: 0 })
    })

    test('gives back at once what was released, without counting it', async () => {
      outbox.put(hook('1'))
      await outbox.release(await taker.takesOne())
      expect(await taker.takesOne()).toMatchObject({ hook: { id: '1' }, failed: 0 })
    })

    test('gives to somebody else what was taken and not heard of again', async () => {
      for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
      await taker.takesOne()
      await clock.advance(LEASE_MS - 1)
      await taker.takesNothing()
      await clock.advance(1)
      expect(await taker.takesOne()).toMatchObject({ hook: { id: '1' } })
    })

    test('does not listen to who has taken it before', async () => {
      for (const id of ['1', '2']) outbox.put(hook(id, 'call:x'))
      const late = await taker.takesOne()
      await clock.advance(LEASE_MS)
      const present = await taker.takesOne()
      await outbox.done(late)
      await outbox.retry(late, clock.now())
      await outbox.release(late)
      await taker.takesNothing()
      expect(await outbox.backlog()).toMatchObject({ waiting: 2 })
      await outbox.done(present)
      await outbox.done(present)
      expect(await taker.takesOne()).toMatchObject({ hook: { id: '2' } })
    })

    test('says how many wait, and since when', async () => {
      expect(await outbox.backlog()).toEqual({ waiting: 0 })
      outbox.put(hook('2', 'call:y', 2_000))
      outbox.put(hook('1', 'call:x', 1_000))
      outbox.put(hook('3', 'call:x', 3_000))
      expect(await outbox.backlog()).toEqual({ waiting: 3, oldest: 1_000 })
      const taken = await taker.takes(2)
      await outbox.done(taken.find(({ hook }) => hook.id === '1') as Taken)
      expect(await outbox.backlog()).toEqual({ waiting: 2, oldest: 2_000 })
    })

    test('drops what finds no room, tells so, and takes more when there is room again', async () => {
      await outbox.stop()
      await opens({ mostWaiting: 2 })
      for (const id of ['1', '2', '3']) outbox.put(hook(id, 'call:x'))
      expect(await outbox.backlog()).toMatchObject({ waiting: 2 })
      expect(dropped).toEqual(['3'])
      await outbox.done(await taker.takesOne())
      outbox.put(hook('4', 'call:x'))
      expect(await outbox.backlog()).toMatchObject({ waiting: 2 })
      expect(dropped).toEqual(['3'])
    })

    test('takes names that plain objects and separators stumble over', async () => {
      const keys = ['__proto__', 'call:a b', 'call:{x}', 'call:', 'call:1 2 3', 'call:ä\n"']
      for (const [n, key] of keys.entries()) outbox.put(hook(String(n), key))
      const taken = await taker.takes(keys.length)
      expect(taken.map(({ hook }) => hook.key).sort()).toEqual([...keys].sort())
      for (const one of taken) await outbox.done(one)
      expect(await outbox.backlog()).toEqual({ waiting: 0 })
    })

    test('tells that something is ready to a listener that comes late', async () => {
      outbox.put(hook('1'))
      await outbox.backlog()
      expect(await new Taker(outbox).takesOne()).toMatchObject({ hook: { id: '1' } })
    })
  })
}
