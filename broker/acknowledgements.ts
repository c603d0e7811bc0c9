/**
 * What one session was given from open queues and has not acknowledged yet, by message number.
 * (Messages of topics and user destinations are not kept here: when nobody would get them again, nothing hangs on their ACK.)
 */

import type { Delivery } from './open-destinations.ts'
import type { Subscription } from './subscriptions.ts'

export class Unacknowledged {
  /** In the order of sending. Most sessions never have any. */
  #deliveries: Map<number, Delivery> | undefined

  get size(): number {
    return this.#deliveries?.size ?? 0
  }

  add(n: number, delivery: Delivery): void {
    this.#deliveries ??= new Map()
    this.#deliveries.set(n, delivery)
  }

  get(n: number): Delivery | undefined {
    return this.#deliveries?.get(n)
  }

  /**
   * Takes out what an ACK or NACK of message `n` is about: that message, and in mode `client` all before it on the same
   * subscription (STOMP 1.2: "the ACK operates ... cumulatively"). Oldest first; empty when it is settled already.
   */
  settle(n: number): readonly Delivery[] {
    const named = this.#deliveries?.get(n)
    if (named === undefined) return []
    const { subscription } = named
    if (subscription.ack === 'client') return this.#takeOut((m, each) => m <= n && each.subscription === subscription)
    this.#deliveries?.delete(n)
    return [named]
  }

  /** Takes out everything that this subscription has not acknowledged. */
  abandon(subscription: Subscription): readonly Delivery[] {
    return this.#takeOut((_, each) => each.subscription === subscription)
  }

  #takeOut(test: (n: number, delivery: Delivery) => boolean): readonly Delivery[] {
    const out: Delivery[] = []
    for (const [n, delivery] of this.#deliveries ?? []) {
      if (!test(n, delivery)) continue
      this.#deliveries?.delete(n)
      out.push(delivery)
    }
    return out
  }
}
