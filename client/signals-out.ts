/** Signals of a call on their way to the server. Knows how many it keeps for a device that has not answered yet. */

import type { Line } from './line.ts'
import type { Candidate, Description } from './negotiation.ts'
import { APP } from './wire.ts'

/** The server keeps 64 frames of a caller until a device answers; what is beyond waits here. */
const MOST_BEFORE_ANSWER = 60

export class SignalsOut {
  readonly #line: Line
  readonly #callId: string
  readonly #unsent: (Description | Candidate)[] = []
  #sent = 0
  /** Somebody is there to hear them. */
  #answered = false

  constructor(line: Line, callId: string) {
    this.#line = line
    this.#callId = callId
  }

  /** `to`: for this member of a room. */
  send(signal: Description | Candidate, to: string | undefined): void {
    if (!this.#answered && this.#sent >= MOST_BEFORE_ANSWER) {
      this.#unsent.push(signal)
      return
    }
    this.#sent++
    const body = { callId: this.#callId, ...signal, ...(to === undefined ? {} : { to }) }
    this.#line.post({ destination: APP.signaling, body, about: this.#callId })
  }

  /** From now on all of them pass, those that have waited first. */
  answered(): void {
    this.#answered = true
    for (const signal of this.#unsent.splice(0)) this.send(signal, undefined)
  }
}
