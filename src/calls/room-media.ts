/**
 * How the media of a room get to everybody in it, and how many that can be. The rules of rooms know no more than this.
 */

import type { RoomMediaFacts } from './types.ts'

/** What carries a room's media. */
export interface RoomMedia {
  readonly kind: string
  /** People who can be in one room at a time, those that ring counted. */
  readonly most: number
  /** What the room's clients need to know of it: said with every roster, and to whoever is invited. */
  describe(): RoomMediaFacts
}

/** Everybody sends to everybody: nothing but signalling passes through the server. */
export function mesh(most: number): RoomMedia {
  const facts = { kind: 'mesh' }
  return { kind: 'mesh', most, describe: () => facts }
}
