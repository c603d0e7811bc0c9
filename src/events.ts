/**
 * Typed news of the domain for whoever keeps count: metrics, logs and webhooks today, history later.
 * Listeners run at once and in order; one that throws is a bug and is reported, never passed on to the call.
 */

import type { Limit } from '../broker/index.ts'
import type { Call, EndReason, Member, Names } from './calls/types.ts'
import type { DeviceId, UserId } from './ports.ts'

export interface News {
  /** A call begins to ring (or is at once busy: then `call.ended` follows without it). */
  'call.requested': { readonly call: Call }
  /** The first device of the callee shows the call. */
  'call.ringing': { readonly call: Call }
  'call.connected': { readonly call: Call }
  /** Terminal: status and reason never change any more. */
  'call.ended': { readonly call: Call; readonly names?: Names }
  /** Somebody is asked into a room, or was found busy. */
  'member.invited': MemberChange
  /** Who was asked into a room is in it. */
  'member.joined': MemberChange
  /** Who was asked into a room is not any more, and has not joined it. */
  'member.gone': MemberChange
  'user.online': { readonly user: UserId; readonly at: number }
  'user.offline': { readonly user: UserId; readonly at: number }
  /** The token of a session has expired while it was connected, was replaced, was taken away by an operator. */
  'session.expired': { readonly user: UserId; readonly session: DeviceId }
  'session.refreshed': { readonly user: UserId; readonly session: DeviceId }
  'session.revoked': { readonly user: UserId; readonly session: DeviceId }
  /** A client was refused something, over any face. */
  refused: { readonly code: number; readonly face: 'stomp' | 'http' }
  /** An attempt to deliver a webhook has ended. */
  'webhook.tried': { readonly event: string; readonly outcome: WebhookOutcome; readonly ms: number }
  /** An event for the back end found no room to wait in, and is lost. */
  'webhook.dropped': { readonly event: string }
  /** A bound of rates or numbers was reached, and somebody felt it. */
  limited: { readonly limit: Limited }
}

/** One of the members of a room, and the room. */
export interface MemberChange {
  readonly call: Call
  readonly member: Member
  readonly at: number
  /** With `member.gone`: why. */
  readonly reason?: EndReason
}

/** `gone`: the endpoint does not want this event (410). `givenUp`: it has failed for so long that it is not tried again. */
export type WebhookOutcome = 'delivered' | 'gone' | 'failed' | 'givenUp'

export type Limited = Limit | 'failed-connect' | 'refresh' | 'http'

export type Listener<K extends keyof News> = (news: News[K]) => void

export class Events {
  readonly #listeners = new Map<keyof News, Set<Listener<never>>>()
  readonly #report: (error: unknown) => void

  /** `report` is told when a listener throws. */
  constructor(report: (error: unknown) => void) {
    this.#report = report
  }

  /** Returns what takes the listener off again. */
  on<K extends keyof News>(kind: K, listener: Listener<K>): () => void {
    const listeners = this.#listeners.get(kind) ?? new Set()
    this.#listeners.set(kind, listeners.add(listener as Listener<never>))
    return () => void listeners.delete(listener as Listener<never>)
  }

  emit<K extends keyof News>(kind: K, news: News[K]): void {
    for (const listener of this.#listeners.get(kind) ?? []) {
      try {
        ;(listener as Listener<K>)(news)
      } catch (error) {
        this.#report(error)
      }
    }
  }
}
