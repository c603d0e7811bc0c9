/** All allocations of the relay: by relayed address, by who holds them, and counted against the bounds. */

import type { Allocation } from './allocation.ts'
import type { Caller } from './authentication.ts'
import type { Client, ClientTransport } from './client.ts'
import type { Family } from './endpoint.ts'
import { Holding } from './holding.ts'

export class Allocations {
  readonly #perUser: number
  readonly #most: number
  readonly #holdings = new Set<Holding>()
  readonly #byPort: Readonly<Record<Family, Map<number, Allocation>>> = { 4: new Map(), 6: new Map() }
  readonly #by: Record<ClientTransport, number> = { udp: 0, tcp: 0, tls: 0 }
  /** User → places taken: allocations, those that are being made, and reserved ports. */
  readonly #users = new Map<string, number>()
  #places = 0

  constructor({ perUser, most }: { perUser: number; most: number }) {
    this.#perUser = perUser
    this.#most = most
  }

  get size(): number {
    return this.#byPort[4].size + this.#byPort[6].size
  }

  /** How many there are, by how their clients reach the relay. */
  get by(): Readonly<Record<ClientTransport, number>> {
    return { ...this.#by }
  }

  /** The one whose relayed address has this port. */
  at(family: Family, port: number): Allocation | undefined {
    return this.#byPort[family].get(port)
  }

  /** Takes places for this user, all or none: they are held until {@link leave}. */
  enter(user: string, places = 1): 'entered' | 'quota' | 'full' {
    const count = (this.#users.get(user) ?? 0) + places
    if (count > this.#perUser) return 'quota'
    if (this.#places + places > this.#most) return 'full'
    this.#users.set(user, count)
    this.#places += places
    return 'entered'
  }

  leave(user: string, places = 1): void {
    const count = (this.#users.get(user) ?? 0) - places
    if (count > 0) this.#users.set(user, count)
    else this.#users.delete(user)
    this.#places -= places
  }

  /** The client holds something from now on: allocations are {@link add}ed to it, or it is {@link drop}ped. */
  hold(client: Client, caller: Caller, transaction: string): Holding {
    const holding = new Holding(client, caller, transaction)
    client.holding = holding
    client.keep()
    this.#holdings.add(holding)
    return holding
  }

  /** Whether it is still held: a connection may have been closed while its port was being bound. */
  has(holding: Holding): boolean {
    return this.#holdings.has(holding)
  }

  /** Adds an allocation, for which a place has been taken. */
  add(holding: Holding, allocation: Allocation): void {
    holding.add(allocation)
    this.#byPort[allocation.relayed.family].set(allocation.relayed.port, allocation)
    this.#by[holding.client.transport]++
  }

  /** Removes one that is over, and its place. */
  remove(holding: Holding, allocation: Allocation): void {
    holding.remove(allocation)
    this.#byPort[allocation.relayed.family].delete(allocation.relayed.port)
    this.#by[holding.client.transport]--
    this.leave(holding.caller.user)
    if (holding.allocations.length === 0) this.drop(holding)
  }

  /** The client holds nothing any more; what it had is released. */
  drop(holding: Holding): void {
    if (!this.#holdings.delete(holding)) return
    holding.client.holding = undefined
    holding.client.forget()
    holding.release()
  }

  releaseAll(): void {
    for (const holding of [...this.#holdings]) this.drop(holding)
  }
}
