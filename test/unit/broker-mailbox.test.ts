import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Again, Mailbox, Mailboxes } from '../../broker/mailbox.ts'
import { TestClock } from '../support/clock.ts'

const KEEP_MS = 60_000

function room(limits: { sessionBytes?: number; allBytes?: number } = {}) {
  const clock = new TestClock()
  const all = new Mailboxes(clock, { sessionBytes: 4096, allBytes: 1_000_000, keepMs: KEEP_MS, ...limits })
  return { clock, all, mailbox: () => new Mailbox(all) }
}

const frame = (text: string, isText = true) => new Again({ isText, octets: Buffer.from(text) })

const told = (mailbox: Mailbox, seq: number) => mailbox.after(seq).map(({ octets }) => octets.toString())

test('a mailbox that nobody writes to has no memory', () => {
  const { all, mailbox } = room()
  const box = mailbox()
  box.pass(1)
  expect(box.capacity).toBe(0)
  expect(all.bytes).toBe(0)
  expect(box.covers(0)).toBe(true)
})

test('what is kept is told again, octet for octet and in order, from any number on', () => {
  const box = room().mailbox()
  box.keep(1, frame('one'))
  box.pass(2)
  box.keep(3, frame('\xff', false))
  expect(box.after(0)).toEqual([
    { seq: 1, isText: true, octets: Buffer.from('one') },
    { seq: 3, isText: false, octets: Buffer.from('\xff') },
  ])
  expect(box.after(1)).toHaveLength(1)
  expect(box.after(3)).toEqual([])
})

test('nobody can have missed what was never sent', () => {
  const box = room().mailbox()
  box.keep(1, frame('one'))
  expect(box.covers(1)).toBe(true)
  expect(box.covers(2)).toBe(false)
})

test('it keeps as much as it may, forgets the oldest first, and says from where on it is complete', () => {
  const box = room({ sessionBytes: 1024 }).mailbox()
  for (let n = 1; n <= 20; n++) box.keep(n, frame(`${n}`.padStart(100)))
  expect(box.capacity).toBe(1024)
  const first = box.keptAfter
  expect(first).toBeGreaterThan(10)
  expect(box.covers(first)).toBe(true)
  expect(box.covers(first - 1)).toBe(false)
  expect(told(box, first).map(Number)).toEqual(Array.from({ length: 20 - first }, (_, i) => first + 1 + i))
})

test('a message that is larger than the mailbox leaves a gap that nothing closes', () => {
  const box = room({ sessionBytes: 1024 }).mailbox()
  box.keep(1, frame('before'))
  box.keep(2, frame('x'.repeat(1024)))
  box.keep(3, frame('after'))
  expect(box.covers(1)).toBe(false)
  expect(box.covers(2)).toBe(true)
  expect(told(box, 2)).toEqual(['after'])
})

test('what has come through is kept no longer, and an empty mailbox gives its memory back', () => {
  const { all, mailbox } = room()
  const box = mailbox()
  box.keep(1, frame('one'))
  box.keep(2, frame('two'))
  box.forget(1)
  expect(told(box, 0)).toEqual(['two'])
  box.forget(2)
  expect(all.bytes).toBe(0)
  expect(box.covers(2)).toBe(true)
  expect(box.covers(1)).toBe(false)
})

test('what is old is forgotten by itself, and then no timer is left', async () => {
  const { clock, all, mailbox } = room()
  const box = mailbox()
  box.keep(1, frame('one'))
  await clock.advance(KEEP_MS)
  expect(told(box, 0)).toEqual(['one'])
  await clock.advance(KEEP_MS)
  expect(box.covers(0)).toBe(false)
  expect(all.bytes).toBe(0)
  expect(clock.waiting).toBe(0)
})

test('when all together have too much, those with more than the average lose it first', () => {
  const { all, mailbox } = room({ sessionBytes: 8192, allBytes: 20_480 })
  const modest = mailbox()
  modest.keep(1, frame('a call rings'))
  const floods = [mailbox(), mailbox(), mailbox()]
  for (let n = 1; n <= 30; n++) for (const box of floods) box.keep(n, frame('x'.repeat(500)))
  expect(all.bytes).toBeLessThanOrEqual(20_480)
  expect(modest.covers(0)).toBe(true)
  expect(floods.some((box) => box.covers(0))).toBe(false)
})

test('one that has as much as most makes do with its ring when there is no room for a larger one', () => {
  const { mailbox } = room({ sessionBytes: 65_536, allBytes: 8192 })
  const boxes = [mailbox(), mailbox(), mailbox(), mailbox()]
  for (let n = 1; n <= 100; n++) for (const box of boxes) box.keep(n, frame('x'.repeat(500)))
  for (const box of boxes) {
    expect(box.capacity).toBe(2048)
    expect(box.after(box.keptAfter).at(-1)?.seq).toBe(100)
    expect(box.keptAfter).toBeLessThanOrEqual(98)
  }
})

test('where there is no room at all nothing is kept, and nothing else goes wrong', () => {
  const { all, mailbox } = room({ allBytes: 100 })
  const box = mailbox()
  box.keep(1, frame('one'))
  expect(all.bytes).toBe(0)
  expect(box.covers(0)).toBe(false)
  expect(box.covers(1)).toBe(true)
})

test('another mailbox takes over what one has kept', () => {
  const { mailbox } = room()
  const old = mailbox()
  for (let n = 1; n <= 5; n++) old.keep(n, frame(`message ${n}`))
  old.pass(6)
  old.forget(2)
  const next = mailbox()
  next.restore({ lastSeq: old.last, keptAfter: old.keptAfter, frames: old.after(old.keptAfter) })
  expect(next.covers(1)).toBe(false)
  expect(next.after(2)).toEqual(old.after(2))
  next.keep(7, frame('message 7'))
  expect(told(next, 6)).toEqual(['message 7'])
})

test('for a transport of text alone, octets that are no text are mended, and content-length counts what is left', () => {
  const octets = Buffer.concat([Buffer.from('MESSAGE\nseq:1\ncontent-length:3\n\n'), Buffer.from([97, 255, 98, 0])])
  expect(new Again({ isText: false, octets }).text).toBe('MESSAGE\nseq:1\ncontent-length:5\n\na\ufffdb\0')
  expect(new Again({ isText: true, octets: Buffer.from('MESSAGE\n\nä\0') }).text).toBe('MESSAGE\n\nä\0')
})

test('whatever is kept, passed and forgotten, a mailbox tells the last messages and no others', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('keep'), size: fc.integer({ min: 0, max: 900 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass'), size: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget'), size: fc.integer({ min: 0, max: 5 }) }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1100, max: 6000 }), (steps, sessionBytes) => {
      const { mailbox, all } = room({ sessionBytes })
      const box = mailbox()
      let sent: { seq: number; text: string }[] = []
      let seq = 0
      for (const { kind, size } of steps) {
        if (kind === 'forget') {
          box.forget(Math.max(0, seq - size))
          sent = sent.filter((one) => one.seq > seq - size)
        } else if (kind === 'pass') box.pass(++seq)
        else {
          const text = `${++seq} ${'x'.repeat(size)}`
          box.keep(seq, frame(text))
          sent.push({ seq, text })
        }
        const expected = sent.filter((one) => one.seq > box.keptAfter)
        expect(box.after(box.keptAfter).map((one) => ({ seq: one.seq, text: one.octets.toString() }))).toEqual(expected)
        // No message is cut, so the end of the ring may stay empty; half of it never does
        const recent = sent.filter(
          (_, i) => 2 * sent.slice(i).reduce((sum, one) => sum + one.text.length + 12, 0) <= sessionBytes,
        )
        expect(expected.slice(expected.length - recent.length)).toEqual(recent)
        expect(all.bytes).toBe(box.capacity)
        expect(box.capacity).toBeLessThanOrEqual(sessionBytes)
      }
    }),
  )
})
