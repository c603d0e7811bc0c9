import { describe, expect, test } from '@jest/globals'
import type { EndReason, EndStatus } from '../../src/calls/types.ts'
import { seenBy } from '../../src/history/seen.ts'
import type { CallRecord, MemberRecord } from '../../src/history/types.ts'

const AT = Date.UTC(2026, 0, 1)

function record(status: EndStatus, reason: EndReason, more: Partial<CallRecord> = {}): CallRecord {
  return {
    callId: 'c',
    type: 'AUDIO',
    caller: 'alice',
    callee: 'bob',
    status,
    reason,
    createdAt: AT,
    endedAt: AT + 30_000,
    ...more,
  }
}

function room(...others: Partial<MemberRecord>[]): CallRecord {
  const joined = { state: 'LEFT', joinedAt: AT + 1000, leftAt: AT + 9999 } as const
  const members = [{ user: 'alice', ...joined }, { user: 'bob', ...joined }, ...others] as MemberRecord[]
  return record('COMPLETED', 'HANGUP', { connectedAt: AT + 1000, members })
}

describe('what a call was', () => {
  test.each([
    ['COMPLETED', 'HANGUP', 'answered', 'answered'],
    ['COMPLETED', 'PEER_LOST', 'answered', 'answered'],
    ['COMPLETED', 'TRANSFERRED', 'answered', 'answered'],
    ['MISSED', 'NO_ANSWER', 'unanswered', 'missed'],
    ['CANCELLED', 'CANCELLED', 'cancelled', 'missed'],
    ['CANCELLED', 'CALLER_LOST', 'cancelled', 'missed'],
    ['CANCELLED', 'ADMIN', 'cancelled', 'missed'],
    ['CANCELLED', 'GLARE', 'cancelled', 'cancelled'],
    ['REJECTED', 'BUSY', 'busy', 'missed'],
    ['REJECTED', 'DECLINED', 'declined', 'declined'],
  ] as const)('%s/%s is %s for the caller and %s for the callee', (status, reason, caller, callee) => {
    expect(seenBy(record(status, reason), 'alice')).toMatchObject({ direction: 'outgoing', seenAs: caller })
    expect(seenBy(record(status, reason), 'bob')).toMatchObject({ direction: 'incoming', seenAs: callee })
  })

  test.each([
    ['LEFT', 'answered'],
    ['DECLINED', 'declined'],
    ['BUSY', 'missed'],
    ['MISSED', 'missed'],
  ] as const)('a room is %s → %s for a member, whatever it was for the others', (state, seenAs) => {
    const call = room({ user: 'carol', state, leftAt: AT + 9000 })
    expect(seenBy(call, 'carol')).toMatchObject({ direction: 'incoming', seenAs, duration: 0 })
    expect(seenBy(call, 'alice')).toMatchObject({ direction: 'outgoing', seenAs: 'answered' })
    expect(seenBy(call, 'bob')).toMatchObject({ direction: 'incoming', seenAs: 'answered' })
  })

  test('who has been in a room has not missed it, though they did not come back when they were asked again', () => {
    const call = room({ user: 'carol', state: 'MISSED', joinedAt: AT + 2000, leftAt: AT + 5000 })
    expect(seenBy(call, 'carol')).toMatchObject({ seenAs: 'answered', duration: 3 })
  })
})

describe('how long it lasted', () => {
  test('whole seconds from connected to ended', () => {
    const connectedAt = AT + 10_001
    expect(seenBy(record('COMPLETED', 'HANGUP', { connectedAt }), 'bob').duration).toBe(19)
  })

  test('of a member, from joined to left', () => {
    expect(seenBy(room(), 'bob').duration).toBe(8)
  })

  test('nothing when it was never connected', () => {
    expect(seenBy(record('MISSED', 'NO_ANSWER'), 'bob').duration).toBe(0)
  })

  test('nothing rather than less than nothing when a clock was put back', () => {
    expect(seenBy(record('COMPLETED', 'HANGUP', { connectedAt: AT + 60_000 }), 'bob').duration).toBe(0)
  })
})
