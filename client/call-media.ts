/**
 * The media of one call: our camera and microphone, and a leg to each of the others. A call of two has one leg, a room has
 * one for each who has joined. Knows no call messages.
 */

import type { CallError } from './errors.ts'
import { LocalMedia } from './local-media.ts'
import { MediaLeg, type MediaSources } from './media-leg.ts'
import type { Candidate, Description } from './negotiation.ts'
import type { CallType } from './wire.ts'

export interface CallMediaOptions {
  readonly sources: MediaSources
  readonly type: CallType
  /** Our camera is on from the beginning. */
  readonly video: boolean
  readonly muted: boolean
  send(user: string, signal: Description | Candidate): void
  connected(user: string): void
  interrupted(user: string, on: boolean): void
  changed(): void
  problem(error: CallError): void
  peerClosed(user: string): void
  /** No path to this one was found. */
  lost(user: string): void
}

export class CallMedia {
  readonly #options: CallMediaOptions
  readonly local: LocalMedia
  readonly #legs = new Map<string, MediaLeg>()
  /** Of legs that were given up: the session of the other side's RTCPeerConnection. */
  readonly #former = new Map<string, string>()
  #away = false
  #resting = false

  constructor(options: CallMediaOptions) {
    this.#options = options
    const { getUserMedia, audio, video } = options.sources
    this.local = new LocalMedia({
      getUserMedia,
      audio,
      video,
      withVideo: options.video,
      muted: options.muted,
      changed: () => options.changed(),
      problem: (error) => options.problem(error),
    })
  }

  get legs(): ReadonlyMap<string, MediaLeg> {
    return this.#legs
  }

  /** There are legs, and all of them are broken. */
  get interrupted(): boolean {
    return this.#legs.size > 0 && [...this.#legs.values()].every(({ interrupted }) => interrupted)
  }

  /** One to this user, in the place of any that there is; it does nothing before it is started. */
  open(user: string, role: { readonly offers: boolean; readonly polite: boolean }): MediaLeg {
    const { sources, type, ...told } = this.#options
    const before = this.#legs.get(user)
    if (before) this.#close(user, before)
    const leg = new MediaLeg({
      ...sources,
      ...role,
      type,
      broken: before?.interrupted ?? false,
      former: this.#former.get(user),
      local: this.local,
      send: (signal) => told.send(user, signal),
      connected: () => told.connected(user),
      interrupted: (on) => told.interrupted(user, on),
      changed: () => told.changed(),
      problem: (error) => told.problem(error),
      peerClosed: () => told.peerClosed(user),
      lost: () => told.lost(user),
    })
    leg.away = this.#away
    leg.rest(this.#resting)
    this.#legs.set(user, leg)
    return leg
  }

  /** With this user no more. */
  part(user: string): void {
    const leg = this.#legs.get(user)
    if (leg) this.#close(user, leg)
    this.#legs.delete(user)
  }

  set away(on: boolean) {
    this.#away = on
    for (const leg of this.#legs.values()) leg.away = on
  }

  rest(on: boolean): void {
    this.#resting = on
    for (const leg of this.#legs.values()) leg.rest(on)
  }

  repeatOffers(): void {
    for (const leg of this.#legs.values()) leg.repeatOffer()
  }

  close(): void {
    this.local.close()
    for (const leg of this.#legs.values()) leg.close()
  }

  #close(user: string, leg: MediaLeg): void {
    if (leg.session !== undefined) this.#former.set(user, leg.session)
    leg.close()
  }
}
