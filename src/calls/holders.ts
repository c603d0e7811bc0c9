/** Whose lines a live call takes. */

import type { UserId } from '../ports.ts'
import type { Call } from './types.ts'

/** Caller and callee; of a room those who ring or are in it. Each once. */
export function holdersOf({ caller, callee, members }: Call): readonly UserId[] {
  if (members === undefined) return [caller, callee]
  return members.flatMap(({ user, state }) => (state === 'RINGING' || state === 'JOINED' ? [user] : []))
}
