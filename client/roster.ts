/** Who is in a room, as the server has said last. */

import type { MemberState } from './types.ts'
import type { RosterMember } from './wire.ts'

export interface Listed {
  readonly userId: string
  readonly name: string
  readonly state: MemberState
  /** It is this user. */
  readonly me: boolean
  readonly invitedBy: string | undefined
}

const WORDS: Readonly<Record<string, MemberState>> = {
  RINGING: 'ringing',
  JOINED: 'joined',
  LEFT: 'left',
  DECLINED: 'declined',
  MISSED: 'missed',
  BUSY: 'busy',
}

export class Roster {
  readonly members: readonly Listed[]
  /** Users who are in it now. */
  readonly joined: ReadonlySet<string>

  constructor(me: string, members: readonly RosterMember[]) {
    this.members = members
      .filter(({ userId }) => typeof userId === 'string')
      .map(({ userId, name, state, invitedBy }) => ({
        userId,
        name: name || userId,
        state: WORDS[state] ?? 'left',
        me: userId === me,
        invitedBy,
      }))
    this.joined = new Set(this.members.filter(({ state }) => state === 'joined').map(({ userId }) => userId))
  }
}
