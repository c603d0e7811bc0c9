/**
 * What makes a new connection the same device as the one before (contract, section 7): the secret that the server gave
 * it, and the number of the last message that was heard. Knows headers; connects nothing.
 */

type Headers = Readonly<Record<string, string>>

export class Resumption {
  #id: string | undefined
  #seq = 0

  /** For CONNECT. `resume` promises to come back: others do not see the user go offline meanwhile. */
  get headers(): Headers {
    const promise = { resume: 'true' }
    return this.#id === undefined ? promise : { ...promise, 'resume-id': this.#id, 'last-seq': String(this.#seq) }
  }

  /** Told the headers of CONNECTED. Returns whether the session goes on, so that nothing was missed. */
  connected({ 'resume-id': id, resumed }: Headers): boolean {
    const goesOn = resumed === 'true' && this.#id !== undefined
    if (!goesOn) this.#seq = 0
    this.#id = goesOn ? (id ?? this.#id) : id
    return goesOn
  }

  /** Told the headers of every MESSAGE. Returns whether it is new: what is replayed may have been heard already. */
  isNew({ seq }: Headers): boolean {
    const number = Number(seq)
    if (seq === undefined || !Number.isSafeInteger(number)) return true
    if (number <= this.#seq) return false
    this.#seq = number
    return true
  }

  /** The device has left: the next connection is another one. */
  forget(): void {
    this.#id = undefined
    this.#seq = 0
  }
}
