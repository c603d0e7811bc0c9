/**
 * Keeps the token of a connection good: when the server says that it ends, a new one is fetched and put in its place,
 * without a new connection. Remembers the newest for reconnects, because the server knows a device by it.
 */

import type { Clock } from './clock.ts'
import { asCallError, type CallError } from './errors.ts'
import type { CredentialNotice } from './wire.ts'

export interface RenewalOptions {
  /** Fetches a token; nothing: tokens are not renewed. */
  readonly renewToken: (() => Promise<string>) | undefined
  /** Gives it to the server; fulfilled when that has taken it. */
  readonly send: (token: string) => Promise<void>
  readonly clock: Clock
  /** The first failure after a notice; it is tried again. */
  readonly failed: (error: CallError) => void
}

/** Between two tries; the server takes one in 5 s. */
const PAUSE_MS = 5_000

export class Renewal {
  readonly #options: RenewalOptions
  #newest: string | undefined
  /** Counts connections: what an earlier one has begun is nobody's business any more. */
  #connection = 0
  #busy = false
  #cancelRetry: (() => void) | undefined

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** The token that was put in the place of another, as long as the server takes it. */
  get newest(): string | undefined {
    return this.#newest
  }

  /** The server speaks of the token. */
  heard({ type }: CredentialNotice): void {
    if (type === 'REFRESHED' || this.#busy || !this.#options.renewToken) return
    this.#cancelRetry?.()
    void this.#renew(this.#options.renewToken, this.#connection, true)
  }

  /** The server does not take it any more, or the application has left: the next connection asks for a token anew. */
  forget(): void {
    this.#newest = undefined
  }

  /** The connection is gone. */
  stop(): void {
    this.#connection++
    this.#busy = false
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
  }

  async #renew(renewToken: () => Promise<string>, connection: number, first: boolean): Promise<void> {
    const { send, clock, failed } = this.#options
    const current = () => connection === this.#connection
    this.#busy = true
    try {
      const token = await renewToken()
      if (!current()) return
      await send(token)
      if (current()) this.#newest = token
    } catch (error) {
      if (!current()) return
      if (first) failed(asCallError(error, 'no-token'))
      this.#cancelRetry = clock.after(PAUSE_MS, () => void this.#renew(renewToken, connection, false))
    }
    if (current()) this.#busy = false
  }
}
