/**
 * A device that is about to be here: what is to be told to it meanwhile waits, in the order in which it will hear it.
 *
 * What comes from other processes waits from the beginning. What is said by this one goes on to where the device was, or
 * is looked up, until its session is here; then it waits too, behind all that is still under way.
 */

import type { Message, UserId } from '../../ports.ts'

/** Messages that wait for one device. Beyond it they are lost. */
const MOST_WAITING = 512

export interface Waiting {
  readonly destination: string
  readonly message: Message
}

export class Arrival {
  readonly user: UserId
  readonly #waiting: Waiting[] = []
  /** Said by this process while something is still under way. */
  readonly #behind: Waiting[] = []
  #phase: 'expected' | 'catching up' | 'here' = 'expected'

  constructor(user: UserId) {
    this.user = user
  }

  /** In order; what is `behind` comes when it has caught up. */
  get waiting(): readonly Waiting[] {
    return this.#waiting
  }

  /** Whether its session is here: then what is said by this process waits, and goes nowhere else. */
  get hasSession(): boolean {
    return this.#phase !== 'expected'
  }

  /** Its session is here; what was sent from here to where it was may still be on its way back. */
  catchesUp(): void {
    if (this.#phase === 'expected') this.#phase = 'catching up'
  }

  /** All that was under way is here. */
  caughtUp(): void {
    this.#phase = 'here'
    this.#waiting.push(...this.#behind.splice(0))
  }

  /** Came from another process. False: there is no room. */
  hears(message: Waiting): boolean {
    return added(this.#waiting, message)
  }

  /** Is said by this process, where its session is. False: there is no room. */
  isTold(message: Waiting): boolean {
    return added(this.#phase === 'here' ? this.#waiting : this.#behind, message)
  }

  /** Was left for it before anything of this came. */
  finds(messages: readonly Waiting[]): void {
    this.#waiting.unshift(...messages)
  }
}

function added(waiting: Waiting[], message: Waiting): boolean {
  if (waiting.length >= MOST_WAITING) return false
  waiting.push(message)
  return true
}
