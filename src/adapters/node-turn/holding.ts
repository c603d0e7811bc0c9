/**
 * What one client holds: an allocation or, of both families, two (RFC 8656, section 7.2: a dual allocation), which live
 * and end apart. It knows neither STUN messages nor sockets.
 */

import type { Allocation } from './allocation.ts'
import type { Caller } from './authentication.ts'
import type { Client } from './client.ts'
import type { Family } from './endpoint.ts'

export class Holding {
  readonly client: Client
  /** Who made it: everything it does must be signed by the same user (RFC 8656, section 5). */
  readonly caller: Caller
  /** Of the Allocate that made it: a repeat of that one is answered as the first. */
  readonly transaction: string
  /** Of the next port, when that was asked for: a repeat of the Allocate is told it again. */
  reservation: Buffer | undefined
  /** Of two that were asked for, the one that there is not (RFC 8656, section 18.12). */
  missing: { readonly family: Family; readonly code: 440 | 508 } | undefined
  /** One or two, IPv4 first; none while the first one is being made. */
  #allocations: readonly Allocation[] = []

  constructor(client: Client, caller: Caller, transaction: string) {
    this.client = client
    this.caller = caller
    this.transaction = transaction
  }

  get allocations(): readonly Allocation[] {
    return this.#allocations
  }

  of(family: Family): Allocation | undefined {
    return this.#allocations.find(({ relayed }) => relayed.family === family)
  }

  add(allocation: Allocation): void {
    this.#allocations = [...this.#allocations, allocation].sort((a, b) => a.relayed.family - b.relayed.family)
  }

  remove(allocation: Allocation): void {
    this.#allocations = this.#allocations.filter((each) => each !== allocation)
  }

  /** ChannelData from the client; false when no allocation knows the channel. */
  throughChannel(number: number, data: Buffer): boolean {
    for (const allocation of this.#allocations) if (allocation.throughChannel(number, data)) return true
    return false
  }

  /** Whether this channel is bound to another peer, whatever its family (RFC 8656, section 12.2). */
  uses(channel: number, except: Allocation): boolean {
    return this.#allocations.some((each) => each !== except && each.binds(channel))
  }

  release(): void {
    for (const allocation of this.#allocations) allocation.release()
  }
}
