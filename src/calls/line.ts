/** What a call is to one of the users whose line it has taken. Knows nothing of how it came there. */

import type { UserId } from '../ports.ts'
import type { Call, Leg } from './types.ts'

/** The user's own end of the call; undefined: they have not answered it, or are not in it. */
export function legIn({ caller, callee, origin, winner, members }: Call, user: UserId): Leg | undefined {
  if (members !== undefined) return members.find((member) => member.user === user && member.state === 'JOINED')?.leg
  if (user === caller) return origin
  return user === callee ? winner : undefined
}

/**
 * The call that is meant when the user names none: the one they talk in; else the one they are calling with; else the one
 * they have put on hold; else the one that rings here (docs/calls.md).
 */
export function foregroundOf(line: readonly Call[], user: UserId): Call | undefined {
  if (line.length < 2) return line[0]
  return line.reduce((first, call) => (rank(call, user) < rank(first, user) ? call : first))
}

function rank(call: Call, user: UserId): number {
  if (legIn(call, user) === undefined) return 3
  if (call.status !== 'CONNECTED') return 1
  return call.held?.includes(user) ? 2 : 0
}
