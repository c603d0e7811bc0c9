import type { CallRecord, MemberRecord } from '../../src/history/types.ts'

export const AT = Date.UTC(2026, 0, 1)

/** A call of alice with bob that he has answered, `n` seconds after a beginning. */
export function record(callId: string, n: number, more: Partial<CallRecord> = {}): CallRecord {
  return {
    callId,
    type: 'VIDEO',
    caller: 'alice',
    callee: 'bob',
    status: 'COMPLETED',
    reason: 'HANGUP',
    createdAt: AT + n * 1000 - 900,
    ringingAt: AT + n * 1000 - 800,
    connectedAt: AT + n * 1000 - 500,
    endedAt: AT + n * 1000,
    ...more,
  }
}

export const missed = (callId: string, n: number, more: Partial<CallRecord> = {}): CallRecord =>
  record(callId, n, { status: 'MISSED', reason: 'NO_ANSWER', connectedAt: undefined, ...more })

export const member = (user: string, more: Partial<MemberRecord> = {}): MemberRecord => ({
  user,
  state: 'LEFT',
  joinedAt: AT + 1,
  leftAt: AT + 2,
  ...more,
})

export function room(callId: string, n: number, ...others: MemberRecord[]): CallRecord {
  return record(callId, n, { members: [member('alice', { name: 'Alice' }), member('bob'), ...others] })
}
