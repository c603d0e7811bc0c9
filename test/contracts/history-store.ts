import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { HistoryStore } from '../../src/history/ports.ts'
import { seenBy } from '../../src/history/seen.ts'
import type { CallRecord, Cursor, HistoryFilter, MemberRecord } from '../../src/history/types.ts'
import { AT, member, missed, record, room } from '../support/call-records.ts'

/** As far as the interface can tell: a field that is undefined is not there. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown

const ids = (records: readonly CallRecord[]) => records.map(({ callId }) => callId)

async function exported(store: HistoryStore, filter: { from?: number; before?: number } = {}): Promise<CallRecord[]> {
  const found: CallRecord[] = []
  for await (const portion of store.all(filter)) found.push(...portion)
  return found
}

/** Few users, moments and ids, so that everything that can coincide does. */
const users = fc.constantFrom('u0', 'u1', 'u2', 'u3')
const moments = fc.integer({ min: 0, max: 6 }).map((n) => AT + n * 1000)
const ends = fc.constantFrom(
  ...([
    ['COMPLETED', 'HANGUP'],
    ['COMPLETED', 'TRANSFERRED'],
    ['REJECTED', 'DECLINED'],
    ['REJECTED', 'BUSY'],
    ['MISSED', 'NO_ANSWER'],
    ['CANCELLED', 'CANCELLED'],
    ['CANCELLED', 'GLARE'],
  ] as const),
)
const members = fc
  .uniqueArray(
    fc.record(
      {
        user: fc.constantFrom('u0', 'u1', 'u2', 'u3', 'u4', 'u5'),
        state: fc.constantFrom(...(['LEFT', 'DECLINED', 'MISSED', 'BUSY'] as const)),
        joinedAt: moments,
        leftAt: moments,
      },
      { requiredKeys: ['user', 'state', 'leftAt'] },
    ),
    { selector: ({ user }) => user, maxLength: 6 },
  )
  .map((list) => list as MemberRecord[])

const calls: fc.Arbitrary<CallRecord[]> = fc
  .uniqueArray(
    fc.record({
      callId: fc.stringMatching(/^[aAzZ\u00e4\uff5e\u{1f4de}]{1,3}$/u),
      type: fc.constantFrom('AUDIO', 'VIDEO'),
      parties: fc.uniqueArray(users, { minLength: 2, maxLength: 2 }),
      end: ends,
      endedAt: moments,
      members: fc.option(members, { nil: undefined, freq: 3 }),
    }),
    { selector: ({ callId }) => callId, maxLength: 30 },
  )
  .map((found) =>
    found.map(({ parties, end, members: list, ...call }) => ({
      ...(call as Pick<CallRecord, 'callId' | 'type' | 'endedAt'>),
      caller: parties[0]!,
      callee: parties[1]!,
      status: end[0],
      reason: end[1],
      createdAt: AT,
      ...(list && { members: list }),
    })),
  )

const filters: fc.Arbitrary<HistoryFilter> = fc.record(
  {
    only: fc.constantFrom('missed', 'incoming', 'outgoing'),
    type: fc.constantFrom('AUDIO', 'VIDEO'),
    from: moments,
    before: moments,
  },
  { requiredKeys: [] },
)

const sizes = fc.integer({ min: 1, max: 8 })

/** What `page` and `count` speak of, by the rules alone. */
function belongs(call: CallRecord, user: string, { only, type, from, before }: HistoryFilter): boolean {
  const { caller, callee, endedAt } = call
  if (caller !== user && callee !== user && !call.members?.some((each) => each.user === user)) return false
  const { direction, seenAs } = seenBy(call, user)
  return (
    (only === undefined || only === direction || (only === 'missed' && seenAs === 'missed')) &&
    (type === undefined || call.type === type) &&
    (from === undefined || endedAt >= from) &&
    (before === undefined || endedAt < before)
  )
}

const latestFirst = (a: CallRecord, b: CallRecord) =>
  b.endedAt - a.endedAt || Buffer.compare(Buffer.from(b.callId), Buffer.from(a.callId))

/** What every history store promises; each adapter runs it. `open` gives an empty one. */
export function historyStoreContract(name: string, open: () => Promise<HistoryStore>): void {
  describe(`history store: ${name}`, () => {
    let store: HistoryStore

    beforeEach(async () => {
      store = await open()
    })

    afterEach(() => store.stop())

    const page = (user: string, filter: HistoryFilter = {}, more: { after?: Cursor; skip?: number } = {}) =>
      store.page(user, filter, { size: 100, ...more })

    test('gives back what was written', async () => {
      const all = [
        record('full', 1, { callerName: 'Alice Ä. 📞', calleeName: "B'); drop table calls", transferredBy: 'carol' }),
        missed('bare', 2, { ringingAt: undefined, type: 'AUDIO' }),
        room('room', 3, member('carol', { state: 'MISSED', joinedAt: undefined, invitedBy: 'alice', name: 'Carol' })),
      ]
      await store.write(all)
      expect((await page('alice')).map(plain)).toEqual([...all].reverse().map(plain))
      expect(store.state).toBe('up')
    })

    test('knows nothing of whom it has not heard', async () => {
      await store.write([record('c', 1)])
      expect([await page('nobody'), await store.count('nobody', {}), await store.unread('nobody')]).toEqual([[], 0, 0])
      expect([await page(''), await store.count('', {}), await store.unread('')]).toEqual([[], 0, 0])
    })

    test('writes nothing twice: what is there already is left as it is', async () => {
      await store.write([room('c', 1)])
      await store.write([{ ...room('c', 1, member('carol')), callerName: 'somebody else' }, record('d', 2)])
      expect(ids(await page('alice'))).toEqual(['d', 'c'])
      expect((await page('alice'))[1]?.callerName).toBeUndefined()
      expect(await page('carol')).toEqual([])
    })

    test('lists by the end, the latest first, and of one moment by the id', async () => {
      await store.write([record('b', 1), record('c', 2), record('a', 1), record('ä', 1), record('Z', 1)])
      expect(ids(await page('bob'))).toEqual(['c', 'ä', 'b', 'a', 'Z'])
    })

    test('goes on behind a cursor, also within one moment, whatever comes in meanwhile', async () => {
      await store.write(Array.from({ length: 10 }, (_, n) => record(`c${n}`, Math.floor(n / 4))))
      const found: string[] = []
      let after: Cursor | undefined
      for (;;) {
        const portion = await store.page('alice', {}, { size: 3, ...(after && { after }) })
        const last = portion.at(-1)
        if (!last) break
        found.push(...ids(portion))
        after = last
        await store.write([record(`new${found.length}`, 1000)])
      }
      expect(found).toEqual(['c9', 'c8', 'c7', 'c6', 'c5', 'c4', 'c3', 'c2', 'c1', 'c0'])
    })

    test('has pages by number', async () => {
      await store.write(Array.from({ length: 7 }, (_, n) => record(`c${n}`, n)))
      const at = async (skip: number) => ids(await store.page('alice', {}, { size: 3, skip }))
      expect([await at(0), await at(3), await at(6), await at(9)]).toEqual([
        ['c6', 'c5', 'c4'],
        ['c3', 'c2', 'c1'],
        ['c0'],
        [],
      ])
    })

    test('cuts pages of any size anywhere in one moment, in whatever order its calls were written', async () => {
      const order = ['c07', 'c02', 'c11', 'c05', 'c00', 'c09', 'c03', 'c10', 'c01', 'c08', 'c06', 'c04']
      await store.write(order.map((id) => record(id, Math.floor(Number(id.slice(1)) / 5))))
      const all = [...order].sort().reverse()
      for (let size = 1; size <= all.length; size++) {
        for (let skip = 0; skip < all.length; skip++) {
          const wanted = all.slice(skip, skip + size)
          expect(ids(await store.page('alice', {}, { size, skip }))).toEqual(wanted)
          const [before] = skip > 0 ? await store.page('alice', {}, { size: 1, skip: skip - 1 }) : []
          if (before) expect(ids(await store.page('alice', {}, { size, after: before }))).toEqual(wanted)
        }
      }
    })

    test('finds a call by its id, the last one when an id has come again', async () => {
      await store.write([record('c', 1), record('d', 2), record('c', 3, { caller: 'carol' })])
      expect(await store.find('c')).toMatchObject({ callId: 'c', caller: 'carol' })
      expect(await store.find('C')).toBeUndefined()
    })

    test('filters and counts as the rules of who has seen what say', async () => {
      await fc.assert(
        fc.asyncProperty(calls, filters, users, sizes, sizes, async (written, filter, user, size, skip) => {
          await store.deleteBefore(Number.MAX_SAFE_INTEGER, 1_000_000)
          await store.write(written)
          const wanted = written.filter((call) => belongs(call, user, filter)).sort(latestFirst)
          expect((await page(user, filter)).map(plain)).toEqual(wanted.map(plain))
          expect(await store.count(user, filter)).toBe(wanted.length)
          expect(ids(await store.page(user, filter, { size, skip }))).toEqual(ids(wanted.slice(skip, skip + size)))
          const after = wanted[skip]
          if (!after) return
          const behind = wanted.slice(skip + 1, skip + 1 + size)
          expect(ids(await store.page(user, filter, { size, after }))).toEqual(ids(behind))
        }),
        { numRuns: 150 },
      )
    })

    test('counts the missed calls that ended after what was read', async () => {
      await store.write([missed('m1', 1), missed('m2', 2), missed('m3', 3), record('c', 4)])
      await store.write([room('r', 5, member('bob2', { state: 'BUSY', joinedAt: undefined }))])
      expect([await store.unread('bob'), await store.unread('bob2'), await store.unread('alice')]).toEqual([3, 1, 0])
      await store.markRead('bob', AT + 2000)
      expect([await store.unread('bob'), await store.unread('bob2')]).toEqual([1, 1])
      await store.markRead('bob', AT + 1000)
      expect(await store.unread('bob')).toBe(1)
      await store.markRead('bob', AT + 3000)
      expect(await store.unread('bob')).toBe(0)
      expect(await store.count('bob', { only: 'missed' })).toBe(3)
    })

    test('counts up to 1,000 of them', async () => {
      await store.write(Array.from({ length: 1005 }, (_, n) => missed(`m${n}`, n)))
      expect(await store.unread('bob')).toBe(1000)
      expect(await store.count('bob', { only: 'missed' })).toBe(1005)
    })

    test('exports every call once, the earliest end first, in portions', async () => {
      const all = Array.from({ length: 1203 }, (_, n) => record(`c${String(n).padStart(4, '0')}`, Math.floor(n / 300)))
      await store.write(all)
      expect(ids(await exported(store))).toEqual(ids(all))
      expect(ids(await exported(store, { from: AT + 1000, before: AT + 3000 }))).toEqual(ids(all.slice(300, 900)))
      let portions = 0
      for await (const portion of store.all({})) portions += Math.sign(portion.length)
      expect(portions).toBeGreaterThan(1)
    })

    test('forgets a user everywhere, and leaves the others their calls', async () => {
      await store.write([
        record('made', 1, { callerName: 'Alice', calleeName: 'Bob' }),
        record('got', 2, { caller: 'carol', callee: 'alice', calleeName: 'Alice' }),
        missed('missed', 3, { caller: 'bob', callee: 'alice' }),
        record('arranged', 4, { caller: 'bob', callee: 'carol', transferredBy: 'alice' }),
        room('room', 5, member('carol', { invitedBy: 'alice', name: 'Carol' })),
        record('invited', 6, { caller: 'bob', callee: 'carol', members: [member('bob'), member('alice')] }),
        record('other', 7, { caller: 'bob', callee: 'carol' }),
      ])
      await store.markRead('alice', AT)
      expect(await store.erase('alice')).toBe(6)
      expect(JSON.stringify(await exported(store))).not.toMatch(/alice/i)
      expect([await page('alice'), await store.count('alice', {}), await store.unread('alice')]).toEqual([[], 0, 0])
      expect(ids(await page('bob'))).toEqual(['other', 'invited', 'room', 'arranged', 'missed', 'made'])
      expect((await page('bob')).find(({ callId }) => callId === 'made')).toMatchObject({
        caller: '',
        calleeName: 'Bob',
      })
      expect((await page('carol')).find(({ callId }) => callId === 'room')?.members).toEqual([
        { user: '', state: 'LEFT', joinedAt: AT + 1, leftAt: AT + 2 },
        { user: 'bob', state: 'LEFT', joinedAt: AT + 1, leftAt: AT + 2 },
        { user: 'carol', name: 'Carol', state: 'LEFT', joinedAt: AT + 1, leftAt: AT + 2 },
      ])
      expect(await store.erase('alice')).toBe(0)
    })

    test('deletes calls that nobody is left in, and keeps a room while one is', async () => {
      await store.write([record('c', 1), room('r', 2, member('carol'))])
      await store.erase('alice')
      expect(await store.erase('bob')).toBe(2)
      expect(ids(await exported(store))).toEqual(['r'])
      await store.erase('carol')
      expect(await exported(store)).toEqual([])
    })

    test('leaves calls alone that have ended after the moment until which somebody is forgotten', async () => {
      await store.write([record('c', 1), record('d', 2), room('r', 3, member('carol'))])
      const [, , later] = await exported(store)
      expect(await store.erase('alice', (later?.endedAt ?? 0) - 1)).toBe(2)
      expect(ids(await page('alice'))).toEqual(['r'])
      expect((await page('carol')).find(({ callId }) => callId === 'r')?.members).toHaveLength(3)
      expect((await store.forgotten(['alice'])).get('alice')).toBe((later?.endedAt ?? 0) - 1)
    })

    test('knows who was forgotten for as long as there may be older calls', async () => {
      await store.write([record('c', 1)])
      const users = Array.from({ length: 2500 }, (_, n) => `user ${n}`)
      expect(await store.forgotten(['alice', ...users])).toEqual(new Map())
      await store.erase('alice')
      const first = (await store.forgotten([...users, 'alice', 'bob'])).get('alice') ?? 0
      expect(first).toBeGreaterThan(AT)
      await store.erase('alice')
      const marks = await store.forgotten(['bob', 'alice'])
      expect([...marks.keys()]).toEqual(['alice'])
      expect(marks.get('alice')).toBeGreaterThanOrEqual(first)
      expect(await store.forgotten([])).toEqual(new Map())
      await store.deleteBefore(first, 100)
      expect((await store.forgotten(['alice'])).size).toBe(1)
      await store.deleteBefore((marks.get('alice') ?? 0) + 1, 100)
      expect((await store.forgotten(['alice'])).size).toBe(0)
    })

    test('forgets two users of the same rooms at the same time', async () => {
      await store.write(Array.from({ length: 30 }, (_, n) => room(`r${n}`, n, member('carol'), member('dave'))))
      await Promise.all([store.erase('alice'), store.erase('carol')])
      expect(JSON.stringify(await exported(store))).not.toMatch(/alice|carol/i)
      expect(await store.count('dave', {})).toBe(30)
    })

    test('forgets whoever has very many calls', async () => {
      const all = Array.from({ length: 450 }, (_, n) =>
        record(`c${n}`, n, n % 2 ? { caller: 'bob', callee: 'alice' } : {}),
      )
      await store.write(all)
      expect(await store.erase('alice')).toBe(450)
      expect([await store.count('alice', {}), await store.count('bob', {})]).toEqual([0, 450])
    })

    test('deletes what ended before, the oldest first, no more than it may at a time', async () => {
      await store.write(Array.from({ length: 10 }, (_, n) => room(`c${n}`, n, member('carol'))))
      expect(await store.deleteBefore(AT + 5000, 3)).toBe(3)
      expect(ids(await page('carol'))).toEqual(['c9', 'c8', 'c7', 'c6', 'c5', 'c4', 'c3'])
      expect(await store.deleteBefore(AT + 5000, 3)).toBe(2)
      expect(await store.deleteBefore(AT + 5000, 3)).toBe(0)
      for (const user of ['alice', 'bob', 'carol']) expect(await store.count(user, {})).toBe(5)
    })

    test('is not stopped by one record that the database does not take', async () => {
      const good = Array.from({ length: 9 }, (_, n) => record(`c${n}`, n))
      await store.write([...good.slice(0, 5), record('bad', Number.NaN), ...good.slice(5)])
      expect(await store.count('alice', {})).toBe(9)
    })

    test('keeps a text with NUL without it', async () => {
      await store.write([room('a\0b', 1, member('e\0ve', { name: 'E\0ve' }))])
      expect(await page('e\0ve')).toMatchObject([{ callId: 'a\uFFFDb' }])
      expect(JSON.stringify(await exported(store))).not.toContain('\\u0000')
    })

    test('writes nothing when there is nothing to write', async () => {
      await store.write([])
      expect(await exported(store)).toEqual([])
    })
  })
}
