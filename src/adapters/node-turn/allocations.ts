/** All allocations of the relay: by 5-tuple, by relayed port, and counted against the bounds. */

import type { Allocation } from './allocation.ts'
import type { Endpoint } from './endpoint.ts'

export class Allocations {
  readonly #perUser: number
  readonly #most: number
  readonly #byClient = new Map<string, Allocation>()
  readonly #byPort = new Map<number, Allocation>()
  /** User → allocations, those included that are being made. */
  readonly #users = new Map<string, number>()
  /** 5-tuple → transaction of an Allocate whose port is not bound yet. */
  readonly #pending = new Map<string, string>()

  constructor({ perUser, most }: { perUser: number; most: number }) {
    this.#perUser = perUser
    this.#most = most
  }

  get size(): number {
    return this.#byClient.size
  }

  /** There is one listening address and one transport, so the client's address is all of the 5-tuple. */
  of(client: Endpoint): Allocation | undefined {
    return this.#byClient.get(keyOf(client))
  }

  /** The one whose relayed address has this port. */
  at(port: number): Allocation | undefined {
    return this.#byPort.get(port)
  }

  /** The transaction of the Allocate that is under way for this client. */
  pending(client: Endpoint): string | undefined {
    return this.#pending.get(keyOf(client))
  }

  /** Reserves a place for one more of this user: {@link add} or {@link giveUp} must follow. */
  reserve(client: Endpoint, user: string, transaction: string): 'reserved' | 'quota' | 'full' {
    const count = this.#users.get(user) ?? 0
    if (count >= this.#perUser) return 'quota'
    if (this.#byClient.size + this.#pending.size >= this.#most) return 'full'
    this.#users.set(user, count + 1)
    this.#pending.set(keyOf(client), transaction)
    return 'reserved'
  }

  add(allocation: Allocation): void {
    const key = keyOf(allocation.client)
    this.#pending.delete(key)
    this.#byClient.set(key, allocation)
    this.#byPort.set(allocation.relayed.port, allocation)
  }

  giveUp(client: Endpoint, user: string): void {
    this.#pending.delete(keyOf(client))
    this.#leave(user)
  }

  remove(allocation: Allocation): void {
    this.#byClient.delete(keyOf(allocation.client))
    this.#byPort.delete(allocation.relayed.port)
    this.#leave(allocation.caller.user)
  }

  releaseAll(): void {
    for (const allocation of [...this.#byClient.values()]) allocation.release()
  }

  #leave(user: string): void {
    const count = (this.#users.get(user) ?? 0) - 1
    if (count > 0) this.#users.set(user, count)
    else this.#users.delete(user)
  }
}

const keyOf = ({ address, port }: Endpoint) => `${address}/${port}`
