import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Call } from '../../src/calls/types.ts'
import type { CallStore } from '../../src/ports.ts'

const AT = Date.UTC(2026, 0, 1)

export function ringing(callId: string, caller: string, callee: string, more: Partial<Call> = {}): Call {
  return {
    callId,
    type: 'VIDEO',
    caller,
    callee,
    request: { callId, callee, nested: { list: [1, 'ä', null] } },
    fingerprint: 'f',
    answer: {},
    origin: { user: caller, device: `${caller}/phone`, token: 't', heardAt: AT },
    status: 'RINGING',
    rung: [`${callee}/phone`],
    declined: [],
    kept: [{ body: Buffer.from([0, 255, 10]), contentType: 'application/octet-stream', from: caller }],
    createdAt: AT,
    ringUntil: AT + 30_000,
    due: AT + 30_000,
    version: 0,
    ...more,
  }
}

export const over = (call: Call): Call => ({
  ...call,
  status: 'CANCELLED',
  reason: 'CANCELLED',
  endedAt: AT + 1,
  due: AT + 600_001,
})

/** What every call store promises; each adapter runs it. */
export function callStoreContract(name: string, open: () => Promise<CallStore>): void {
  describe(`call store: ${name}`, () => {
    let store: CallStore

    beforeEach(async () => {
      store = await open()
    })

    const create = (call: Call) => store.commit([{ call, expected: 0 }])

    test('gives back what was committed, octets and all, with the next version', async () => {
      const call = ringing('c1', 'alice', 'bob')
      expect(await create(call)).toBe(true)
      const loaded = await store.load('c1')
      expect(loaded).toEqual({ ...call, version: 1 })
      expect(Buffer.from(loaded?.kept[0]?.body ?? []).equals(Buffer.from([0, 255, 10]))).toBe(true)
      expect(await store.load('c2')).toBeUndefined()
    })

    test('has at hand, if anything, what it would load', async () => {
      expect(store.atHand?.('c1')).toBeUndefined()
      await create(ringing('c1', 'alice', 'bob'))
      const atHand = store.atHand?.('c1')
      if (atHand !== undefined) expect(atHand).toEqual(await store.load('c1'))
    })

    test('names the calls that have not ended, each once', async () => {
      expect(await store.live()).toEqual([])
      await create(ringing('c1', 'alice', 'bob'))
      await create(ringing('c2', 'carol', 'dave'))
      expect([...(await store.live())].sort()).toEqual(['c1', 'c2'])
      await store.commit([{ call: over(ringing('c1', 'alice', 'bob')), expected: 1 }])
      expect(await store.live()).toEqual(['c2'])
    })

    test('knows the call that a user was in last, once it is over and while it is remembered', async () => {
      const call = ringing('c1', 'alice', 'bob')
      await create(call)
      expect(await store.lately?.('alice')).toBeUndefined()
      await store.commit([{ call: over(call), expected: 1 }])
      expect((await store.lately?.('alice'))?.callId).toBe('c1')
      expect((await store.lately?.('bob'))?.callId).toBe('c1')
      expect(await store.lately?.('carol')).toBeUndefined()
      // One that was busy at once has never been anybody's call
      await create(over(ringing('c2', 'bob', 'carol')))
      expect((await store.lately?.('bob'))?.callId).toBe('c1')
      expect(await store.lately?.('carol')).toBeUndefined()
      await store.forget('c1', 2)
      expect(await store.lately?.('alice')).toBeUndefined()
    })

    test('a live call holds the slots of both users, an ended one none', async () => {
      const call = ringing('c1', 'alice', 'bob')
      await create(call)
      expect((await store.current('alice'))?.callId).toBe('c1')
      expect((await store.current('bob'))?.callId).toBe('c1')
      await store.commit([{ call: over(call), expected: 1 }])
      expect(await store.current('alice')).toBeUndefined()
      expect(await store.current('bob')).toBeUndefined()
      expect((await store.load('c1'))?.status).toBe('CANCELLED')
    })

    test('refuses a write whose version is not the stored one', async () => {
      const call = ringing('c1', 'alice', 'bob')
      await create(call)
      expect(await create(call)).toBe(false)
      expect(await store.commit([{ call: over(call), expected: 2 }])).toBe(false)
      expect(await store.commit([{ call: { ...call, status: 'CONNECTED' }, expected: 1 }])).toBe(true)
      expect(await store.commit([{ call: over(call), expected: 1 }])).toBe(false)
      expect(await store.load('c1')).toMatchObject({ status: 'CONNECTED', version: 2 })
    })

    test.each([
      ['the same caller', 'alice', 'carol'],
      ['the same callee', 'carol', 'bob'],
      ['the roles exchanged', 'bob', 'alice'],
    ])('refuses a live call while another one holds a slot: %s', async (_, caller, callee) => {
      await create(ringing('c1', 'alice', 'bob'))
      expect(await create(ringing('c2', caller, callee))).toBe(false)
      expect(await store.load('c2')).toBeUndefined()
    })

    test('stores a call that is over from the start although both slots are taken', async () => {
      await create(ringing('c1', 'alice', 'bob'))
      expect(await create(over(ringing('c2', 'alice', 'bob')))).toBe(true)
      expect((await store.current('alice'))?.callId).toBe('c1')
    })

    test('hands slots over within one commit, whatever the order of its writes', async () => {
      const old = ringing('c1', 'alice', 'bob')
      await create(old)
      const writes = [
        { call: ringing('c2', 'alice', 'bob'), expected: 0 },
        { call: over(old), expected: 1 },
      ]
      expect(await store.commit(writes)).toBe(true)
      expect((await store.current('bob'))?.callId).toBe('c2')
      expect((await store.load('c1'))?.status).toBe('CANCELLED')
    })

    test('writes all or nothing', async () => {
      const old = ringing('c1', 'alice', 'bob')
      await create(old)
      const writes = [
        { call: over(old), expected: 1 },
        { call: ringing('c2', 'carol', 'dave'), expected: 7 },
      ]
      expect(await store.commit(writes)).toBe(false)
      expect((await store.load('c1'))?.status).toBe('RINGING')
    })

    test('of commits that race for a slot exactly one wins', async () => {
      const won = await Promise.all(Array.from({ length: 20 }, (_, n) => create(ringing(`c${n}`, `caller${n}`, 'bob'))))
      expect(won.filter(Boolean)).toHaveLength(1)
    })

    test('lists what is due, the earliest first, and tells when to look again', async () => {
      expect(await store.nextDue()).toBeUndefined()
      for (const n of [5, 1, 4, 2, 3]) await create(ringing(`c${n}`, `a${n}`, `b${n}`, { due: AT + n }))
      expect(await store.nextDue()).toBe(AT + 1)
      expect(await store.due(AT, 10)).toEqual([])
      expect(await store.due(AT + 3, 10)).toEqual(['c1', 'c2', 'c3'])
    })

    test('lists no more of what is due than it is asked for', async () => {
      for (const n of [5, 1, 4, 2, 3]) await create(ringing(`c${n}`, `a${n}`, `b${n}`, { due: AT + n }))
      expect(await store.due(AT + 5, 2)).toEqual(['c1', 'c2'])
      expect((await store.due(AT + 5, 5)).length).toBeGreaterThanOrEqual(3)
    })

    test('moves a deadline with the call', async () => {
      const call = ringing('c1', 'alice', 'bob')
      await create(call)
      await store.commit([{ call: { ...call, due: AT + 90_000 }, expected: 1 }])
      expect(await store.due(AT + 30_000, 10)).toEqual([])
      expect(await store.nextDue()).toBe(AT + 90_000)
      await store.commit([{ call: { ...call, due: AT + 10 }, expected: 2 }])
      expect(await store.nextDue()).toBe(AT + 10)
    })

    test('forgets a call of the right version only', async () => {
      const call = over(ringing('c1', 'alice', 'bob'))
      await create(call)
      expect(await store.forget('c1', 7)).toBe(false)
      expect(await store.forget('c1', 1)).toBe(true)
      expect(await store.load('c1')).toBeUndefined()
      expect(await store.nextDue()).toBeUndefined()
    })

    test('takes names that plain objects stumble over', async () => {
      await create(ringing('__proto__', 'constructor', 'toString'))
      expect((await store.current('constructor'))?.callId).toBe('__proto__')
      expect(await store.current('valueOf')).toBeUndefined()
      expect(await store.load('hasOwnProperty')).toBeUndefined()
    })

    test('keeps time with many calls that come, move and go', async () => {
      const times = new Map<string, number>()
      for (let n = 0; n < 400; n++) {
        const callId = `c${(n * 7) % 100}`
        const due = AT + ((n * 7919) % 1000)
        const version = (await store.load(callId))?.version ?? 0
        await store.commit([{ call: ringing(callId, `a${callId}`, `b${callId}`, { due }), expected: version }])
        times.set(callId, due)
        if (n % 5 === 0) {
          await store.forget(callId, version + 1)
          times.delete(callId)
        }
      }
      const inOrder = [...times.values()].sort((a, b) => a - b)
      const listed = await store.due(AT + 1000, 1000)
      expect(listed.map((callId) => times.get(callId))).toEqual(inOrder)
    })
  })
}
