/**
 * A short look at a signalling message: which call it is for, and whether it is one of the plain kind that nearly all
 * are. A relay needs no more, and an SDP of many kilobytes need not be taken apart and copied to be passed on.
 *
 * Only what {@link Signal} certainly accepts is recognised. Whatever is unusual, however right it may be, is left to the
 * schema, which also says what is wrong.
 */

import { isUtf8 } from 'node:buffer'
import type { Signal } from './messages.ts'

const LONGEST_CALL_ID = 100

/** Digits of a number that is certainly a safe integer. */
const MOST_DIGITS = 9

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN = 0x7b
const CLOSE = 0x7d

/** Octets that stand for themselves in a JSON string (RFC 8259 section 7). */
const PLAIN = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet >= 0x20 && octet !== QUOTE && octet !== BACKSLASH ? 1 : 0,
)
const BLANK = Uint8Array.from({ length: 256 }, (_, octet) => (' \n\r\t'.includes(String.fromCharCode(octet)) ? 1 : 0))
const DIGIT = Uint8Array.from({ length: 256 }, (_, octet) => (octet >= 0x30 && octet <= 0x39 ? 1 : 0))
/** What may follow a backslash, but for `u`. */
const ESCAPE = Uint8Array.from({ length: 256 }, (_, octet) =>
  '"\\/bfnrt'.includes(String.fromCharCode(octet)) ? 1 : 0,
)

/** Which call a plain signalling message is for; undefined: ask the schema. */
export function glance(body: Buffer): Pick<Signal, 'callId'> | undefined {
  return isUtf8(body) ? new Glance(body).signal() : undefined
}

/** One pass over a JSON text. Every step says whether it found what it looked for, and leaves `#at` behind it. */
class Glance {
  readonly #octets: Buffer
  #at = 0

  constructor(octets: Buffer) {
    this.#octets = octets
  }

  /** `{"callId": …, "type": …, "payload": …}`, in any order, and nothing else. */
  signal(): Pick<Signal, 'callId'> | undefined {
    let callId: string | undefined
    let type: string | undefined
    let payload: 'text' | 'candidate' | undefined
    const complete = this.#object((name) => {
      if (name === 'callId' && callId === undefined) callId = this.#word(LONGEST_CALL_ID)
      else if (name === 'type' && type === undefined) type = this.#word('ICE_CANDIDATE'.length)
      else if (name === 'payload' && payload === undefined) payload = this.#payload()
      else return false
      return true
    })
    if (!complete || callId === undefined || this.#at !== this.#octets.length) return undefined
    const fits = type === 'ICE_CANDIDATE' ? payload === 'candidate' : isDescription(type) && payload === 'text'
    return fits ? { callId } : undefined
  }

  /** A text that is not empty, or a candidate. */
  #payload(): 'text' | 'candidate' | undefined {
    if (this.#octets[this.#at] !== QUOTE) return this.#candidate() ? 'candidate' : undefined
    const from = this.#at
    return this.#string() && this.#at > from + 2 ? 'text' : undefined
  }

  /** `{"candidate": "…"}`, and beside it texts, small numbers and null under the names that browsers give them. */
  #candidate(): boolean {
    const seen = new Set<string>()
    const complete = this.#object((name) => {
      if (seen.has(name)) return false
      seen.add(name)
      switch (name) {
        case 'candidate':
          return this.#string()
        case 'sdpMid':
        case 'usernameFragment':
          return this.#null() || this.#string()
        case 'sdpMLineIndex':
          return this.#null() || this.#number()
        default:
          return false
      }
    })
    return complete && seen.has('candidate')
  }

  /** An object of one or more members; `member` reads the value of each. */
  #object(member: (name: string) => boolean): boolean {
    if (!this.#take(OPEN)) return false
    do {
      this.#skipBlanks()
      const name = this.#word(LONGEST_NAME)
      if (name === undefined) return false
      this.#skipBlanks()
      if (!this.#take(COLON)) return false
      this.#skipBlanks()
      if (!member(name)) return false
      this.#skipBlanks()
    } while (this.#take(COMMA))
    if (!this.#take(CLOSE)) return false
    this.#skipBlanks()
    return true
  }

  /** A string of plain ASCII, at least one and at most so many characters. */
  #word(longest: number): string | undefined {
    if (!this.#take(QUOTE)) return undefined
    const from = this.#at
    while (PLAIN[this.#octets[this.#at] as number] === 1 && (this.#octets[this.#at] as number) < 0x80) this.#at++
    const length = this.#at - from
    if (length === 0 || length > longest || !this.#take(QUOTE)) return undefined
    return this.#octets.toString('latin1', from, from + length)
  }

  #string(): boolean {
    if (!this.#take(QUOTE)) return false
    const octets = this.#octets
    for (let at = this.#at; ; ) {
      while (PLAIN[octets[at] as number] === 1) at++
      if (octets[at] === QUOTE) {
        this.#at = at + 1
        return true
      }
      // What is escaped by its number may be NUL or half a character: the schema knows what to think of it
      if (octets[at] !== BACKSLASH || ESCAPE[octets[at + 1] as number] !== 1) return false
      at += 2
    }
  }

  #number(): boolean {
    const from = this.#at
    while (DIGIT[this.#octets[this.#at] as number] === 1) this.#at++
    const digits = this.#at - from
    return digits === 1 || (digits > 1 && digits <= MOST_DIGITS && this.#octets[from] !== 0x30)
  }

  #null(): boolean {
    if (this.#octets[this.#at] !== 0x6e || this.#octets.toString('latin1', this.#at, this.#at + 4) !== 'null')
      return false
    this.#at += 4
    return true
  }

  #take(octet: number): boolean {
    if (this.#octets[this.#at] !== octet) return false
    this.#at++
    return true
  }

  #skipBlanks(): void {
    while (BLANK[this.#octets[this.#at] as number] === 1) this.#at++
  }
}

const LONGEST_NAME = 32

const isDescription = (type: string | undefined): boolean => type === 'OFFER' || type === 'ANSWER'
