import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Call, Member, MemberState } from '../../src/calls/types.ts'
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

    test('a live call takes the lines of both users, an ended one none', async () => {
      const call = ringing('c1', 'alice', 'bob')
      await create(call)
      expect((await store.line('alice'))[0]?.callId).toBe('c1')
      expect((await store.line('bob'))[0]?.callId).toBe('c1')
      await store.commit([{ call: over(call), expected: 1 }])
      expect(await store.line('alice')).toEqual([])
      expect(await store.line('bob')).toEqual([])
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
    ])('refuses a live call while another one has a line that it needs: %s', async (_, caller, callee) => {
      await create(ringing('c1', 'alice', 'bob'))
      expect(await create(ringing('c2', caller, callee))).toBe(false)
      expect(await store.load('c2')).toBeUndefined()
    })

    test('stores a call that is over from the start although both lines are taken', async () => {
      await create(ringing('c1', 'alice', 'bob'))
      expect(await create(over(ringing('c2', 'alice', 'bob')))).toBe(true)
      expect((await store.line('alice'))[0]?.callId).toBe('c1')
    })

    test('hands lines over within one commit, whatever the order of its writes', async () => {
      const old = ringing('c1', 'alice', 'bob')
      await create(old)
      const writes = [
        { call: ringing('c2', 'alice', 'bob'), expected: 0 },
        { call: over(old), expected: 1 },
      ]
      expect(await store.commit(writes)).toBe(true)
      expect((await store.line('bob'))[0]?.callId).toBe('c2')
      expect((await store.load('c1'))?.status).toBe('CANCELLED')
    })

    const ids = async (user: string) => (await store.line(user)).map(({ callId }) => callId).sort()

    test('a call that may be beside another one shares the lines of both with it, and nobody else does', async () => {
      await create(ringing('c1', 'alice', 'bob'))
      expect(await create(ringing('c2', 'alice', 'carol', { beside: ['c1'] }))).toBe(true)
      expect(await ids('alice')).toEqual(['c1', 'c2'])
      expect(await ids('bob')).toEqual(['c1'])
      expect(await ids('carol')).toEqual(['c2'])
      expect(await create(ringing('c3', 'dave', 'alice', { beside: ['c1'] }))).toBe(false)
      expect(await create(ringing('c3', 'dave', 'alice', { beside: ['c2'] }))).toBe(false)
      expect(await create(ringing('c3', 'dave', 'bob'))).toBe(false)
      expect(await ids('alice')).toEqual(['c1', 'c2'])
      expect(await create(ringing('c3', 'dave', 'alice', { beside: ['c1', 'c2'] }))).toBe(true)
    })

    test('a line that is shared is free when all its calls are over, and a change of one needs no leave of the other', async () => {
      const first = ringing('c1', 'alice', 'bob')
      const second = ringing('c2', 'alice', 'carol', { beside: ['c1'] })
      await create(first)
      await create(second)
      expect(await store.commit([{ call: { ...first, status: 'CONNECTED' }, expected: 1 }])).toBe(true)
      expect(await store.commit([{ call: over(first), expected: 2 }])).toBe(true)
      expect(await ids('alice')).toEqual(['c2'])
      expect((await store.lately?.('alice'))?.callId).toBe('c1')
      expect(await create(ringing('c3', 'alice', 'bob'))).toBe(false)
      expect(await store.commit([{ call: over(second), expected: 1 }])).toBe(true)
      expect(await ids('alice')).toEqual([])
      expect(await create(ringing('c3', 'alice', 'bob'))).toBe(true)
    })

    test('one call takes the place of two in one commit', async () => {
      const [first, second] = [ringing('c1', 'alice', 'bob'), ringing('c2', 'alice', 'carol', { beside: ['c1'] })]
      const third = ringing('c3', 'bob', 'carol', { beside: ['c1', 'c2'] })
      for (const call of [first, second, third]) expect(await create(call)).toBe(true)
      const writes = [
        { call: { ...third, status: 'CONNECTED' as const }, expected: 1 },
        { call: over(first), expected: 1 },
        { call: over(second), expected: 1 },
      ]
      expect(await store.commit(writes)).toBe(true)
      expect([await ids('alice'), await ids('bob'), await ids('carol')]).toEqual([[], ['c3'], ['c3']])
    })

    const member = (user: string, state: MemberState): Member => ({
      user,
      state,
      rung: [],
      declined: [],
      invitedAt: AT,
    })

    test('a room takes the lines of those who ring or are in it, and lets go of who leaves while it lives', async () => {
      const call = ringing('c1', 'alice', 'bob', { status: 'CONNECTED' })
      await create(call)
      await create(ringing('c2', 'dave', 'erin'))
      const members = [member('alice', 'JOINED'), member('bob', 'JOINED'), member('carol', 'RINGING')]
      const taken = [...members, member('dave', 'RINGING')]
      expect(await store.commit([{ call: { ...call, members: taken }, expected: 1 }])).toBe(false)
      const busy = [...members, member('dave', 'BUSY')]
      expect(await store.commit([{ call: { ...call, members: busy }, expected: 1 }])).toBe(true)
      expect([await ids('alice'), await ids('carol'), await ids('dave')]).toEqual([['c1'], ['c1'], ['c2']])
      expect(await create(ringing('c3', 'frank', 'carol'))).toBe(false)

      const left = [member('alice', 'LEFT'), member('bob', 'JOINED'), member('carol', 'JOINED')]
      expect(await store.commit([{ call: { ...call, members: left }, expected: 2 }])).toBe(true)
      expect(await ids('alice')).toEqual([])
      expect((await store.lately?.('alice'))?.callId).toBe('c1')
      expect(await create(ringing('c3', 'frank', 'alice'))).toBe(true)
      // Who has left comes back when they are free again
      const again = [member('alice', 'RINGING'), member('bob', 'JOINED'), member('carol', 'JOINED')]
      expect(await store.commit([{ call: { ...call, members: again }, expected: 3 }])).toBe(false)
      await store.commit([{ call: over(ringing('c3', 'frank', 'alice')), expected: 1 }])
      expect(await store.commit([{ call: { ...call, members: again }, expected: 3 }])).toBe(true)
      expect(await ids('alice')).toEqual(['c1'])

      expect(await store.commit([{ call: over({ ...call, members: again }), expected: 4 }])).toBe(true)
      for (const user of ['alice', 'bob', 'carol']) expect(await ids(user)).toEqual([])
      expect((await store.lately?.('carol'))?.callId).toBe('c1')
      expect(await create(ringing('c4', 'bob', 'carol'))).toBe(true)
    })

    test('who leaves a room may be taken by another call in the same commit', async () => {
      const call = ringing('c1', 'alice', 'bob', { status: 'CONNECTED' })
      await create(call)
      const left = { ...call, members: [member('alice', 'LEFT'), member('bob', 'JOINED')] }
      const writes = [
        { call: left, expected: 1 },
        { call: ringing('c2', 'alice', 'carol'), expected: 0 },
      ]
      expect(await store.commit(writes)).toBe(true)
      expect([await ids('alice'), await ids('bob')]).toEqual([['c2'], ['c1']])
    })

    test('gives back everything that is known of a call', async () => {
      const call = ringing('c1', 'alice', 'bob', {
        origin: { user: 'alice', token: 't', heardAt: AT, features: ['hold'] },
        held: ['bob'],
        beside: ['c0', 'c9'],
        replaces: ['c0', 'c9'],
        transfer: { to: 'c7', target: 'carol', by: 'bob', mode: 'ATTENDED' },
        transferredBy: 'dave',
        aim: 'bob/phone',
        members: [{ ...member('alice', 'JOINED'), leg: { user: 'alice', token: 't', heardAt: AT }, joinedAt: AT }],
        aloneSince: AT,
      })
      await create(call)
      expect(await store.load('c1')).toEqual({ ...call, version: 1 })
      await store.commit([{ call: { ...call, version: 1, held: undefined, transfer: undefined }, expected: 1 }])
      const { held: _, transfer: __, ...rest } = call
      expect(await store.load('c1')).toEqual({ ...rest, version: 2 })
    })

    test('takes a user whose name has half a character', async () => {
      expect(await create(ringing('c1', 'alice', 'bob\ud800'))).toBe(true)
      expect(await ids('bob\ud800')).toEqual(['c1'])
      expect(await create(ringing('c2', 'bob\ud800', 'carol'))).toBe(false)
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

    test('of commits that race for a line exactly one wins', async () => {
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
      expect((await store.line('constructor'))[0]?.callId).toBe('__proto__')
      expect(await store.line('valueOf')).toEqual([])
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
