/**
 * A room as this device sees it: the roster that the server tells, and a leg to everybody who is in it. Who comes later
 * offers, a leg that cannot be repaired is made anew. Knows no ringing and no hold.
 */

import type { CallMedia } from './call-media.ts'
import type { MediaLeg } from './media-leg.ts'
import type { Candidate, Description } from './negotiation.ts'
import { Roster } from './roster.ts'
import type { Room } from './types.ts'
import type { CallRoster, RosterMember } from './wire.ts'

/** Offers and candidates of somebody whom the roster has not named yet. */
const MOST_OF_STRANGERS = 256

export interface RoomLegsOptions {
  readonly me: string
  /** Nothing: not yet opened, or signalling only. */
  media(): CallMedia | undefined
  isHeldBy(user: string): boolean
}

export class RoomLegs {
  readonly #options: RoomLegsOptions
  #roster: Roster | undefined
  #version = 0
  /** Of users who are not known to be in the room yet. */
  readonly #strangers: { readonly from: string; readonly signal: Description | Candidate }[] = []
  /** Those to whom the media path broke, and whom the person was told of. */
  readonly #unreached = new Set<string>()

  constructor(options: RoomLegsOptions) {
    this.#options = options
  }

  /** Somebody was invited into the call, or we into theirs. */
  get exists(): boolean {
    return this.#roster !== undefined
  }

  /** We are in it, not only asked. */
  get joined(): boolean {
    return this.#roster?.joined.has(this.#options.me) ?? false
  }

  get view(): Room | undefined {
    const roster = this.#roster
    if (!roster) return undefined
    const legs = this.#options.media()?.legs
    const members = roster.members.map((member) => {
      const leg = legs?.get(member.userId)
      return {
        ...member,
        stream: leg?.remoteStream,
        video: leg?.remoteVideo ?? false,
        connected: leg?.connected ?? false,
        interrupted: leg?.interrupted ?? false,
        held: this.#options.isHeldBy(member.userId),
        peerConnection: leg?.connection,
      }
    })
    return { members }
  }

  /** We are asked into it. */
  invited(members: readonly RosterMember[]): void {
    this.#roster = new Roster(this.#options.me, members)
  }

  /**
   * The message is the whole truth each time. Returns who is in it, when we are, and whether we have come with this; nothing:
   * it was an earlier one, or we are not in it.
   */
  heard({ members, version = 0 }: CallRoster): { there: ReadonlySet<string>; newcomer: boolean } | undefined {
    if (version < this.#version) return undefined
    this.#version = version
    const { me } = this.#options
    const before = this.#roster
    const roster = new Roster(me, members)
    this.#roster = roster
    const { joined } = roster
    if (!joined.has(me)) return undefined
    // Who has come later offers: we do to all who were there before us
    const newcomer = before !== undefined && !before.joined.has(me)
    const legs = this.#options.media()?.legs
    for (const user of [...(legs?.keys() ?? [])]) if (!joined.has(user)) this.#part(user)
    for (const user of joined) {
      const isNew = !before?.joined.has(user) || newcomer
      if (user !== me && isNew && !legs?.has(user)) this.meet(user, newcomer)
    }
    return { there: joined, newcomer }
  }

  /** A leg to somebody in the room, in the place of any that there is. */
  meet(user: string, offers: boolean): MediaLeg | undefined {
    const media = this.#options.media()
    if (!media) return undefined
    const leg = media.open(user, { offers, polite: this.#options.me > user })
    const waiting = this.#strangers.filter(({ from }) => from === user)
    const others = this.#strangers.filter(({ from }) => from !== user)
    this.#strangers.splice(0, Number.POSITIVE_INFINITY, ...others)
    for (const { signal } of waiting) leg.receive(signal)
    void leg.start()
    return leg
  }

  /** The leg that a signal is for; one to somebody who has begun anew, or whose leg is gone, is made for an offer. */
  legFor(user: string, signal: Description | Candidate): MediaLeg | undefined {
    const leg = this.#options.media()?.legs.get(user)
    if (!this.joined || !this.#roster?.joined.has(user)) return leg
    if (leg ? leg.isOfAnother(signal) : signal.type === 'OFFER') return this.meet(user, false)
    return leg
  }

  /** Who has just joined offers at once, and over several servers that may be here before the roster. */
  keepFor(from: string, signal: Description | Candidate): void {
    if (this.#strangers.length < MOST_OF_STRANGERS) this.#strangers.push({ from, signal })
  }

  /** The path to this one stands. */
  reached(user: string): void {
    this.#unreached.delete(user)
  }

  /**
   * The path to this one could not be repaired: it is begun anew for as long as both are in the room. Returns whether the person
   * has not been told of it yet.
   */
  lost(user: string, canSignal: boolean): boolean {
    if (canSignal) this.meet(user, true)
    else this.#options.media()?.part(user)
    const news = !this.#unreached.has(user)
    this.#unreached.add(user)
    return news
  }

  #part(user: string): void {
    this.#options.media()?.part(user)
    this.#unreached.delete(user)
  }
}
