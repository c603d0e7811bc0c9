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
const LONGEST_USER_ID = 128

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

/** What must be known of a signalling message. */
export type Glanced = Pick<Signal, 'callId'> & { readonly to?: string }

/** Which call a plain signalling message is for, and which member of a room; undefined: ask the schema. */
export function glance(body: Buffer): Glanced | undefined {
  return isUtf8(body) ? new Glance(body).signal() : undefined
}

/** A word as it is written, with its quotes. */
const quoted = (word: string): Uint8Array => Buffer.from(`"${word}"`)

const CALL_ID = quoted('callId')
const TYPE = quoted('type')
const TO = quoted('to')
const PAYLOAD = quoted('payload')
const OFFER = quoted('OFFER')
const ANSWER = quoted('ANSWER')
const ICE_CANDIDATE = quoted('ICE_CANDIDATE')
const CANDIDATE = quoted('candidate')
const SDP_MID = quoted('sdpMid')
const USERNAME_FRAGMENT = quoted('usernameFragment')
const SDP_M_LINE_INDEX = quoted('sdpMLineIndex')

/** One pass over a JSON text. Every step says whether it found what it looked for, and leaves `#at` behind it. */
class Glance {
  readonly #octets: Buffer
  #at = 0

  constructor(octets: Buffer) {
    this.#octets = octets
  }

  /** `{"callId": …, "type": …, "payload": …}`, perhaps with `to`, in any order, and nothing else. */
  signal(): Glanced | undefined {
    let callId: string | undefined
    let to: string | undefined
    let type: 'description' | 'candidate' | undefined
    let payload: 'description' | 'candidate' | undefined
    if (!this.#take(OPEN)) return undefined
    do {
      this.#skipBlanks()
      if (callId === undefined && this.#member(CALL_ID)) {
        callId = this.#word(LONGEST_CALL_ID)
        if (callId === undefined) return undefined
      } else if (type === undefined && this.#member(TYPE)) {
        type = this.#type()
        if (type === undefined) return undefined
      } else if (payload === undefined && this.#member(PAYLOAD)) {
        payload = this.#payload()
        if (payload === undefined) return undefined
      } else if (to === undefined && this.#member(TO)) {
        to = this.#word(LONGEST_USER_ID)
        if (to === undefined || to.trim() === '') return undefined
      } else return undefined
      this.#skipBlanks()
    } while (this.#take(COMMA))
    if (!this.#take(CLOSE)) return undefined
    if (this.#at < this.#octets.length) this.#skipBlanks()
    if (callId === undefined || type === undefined || type !== payload) return undefined
    if (this.#at !== this.#octets.length) return undefined
    return to === undefined ? { callId } : { callId, to }
  }

  #type(): 'description' | 'candidate' | undefined {
    if (this.#is(OFFER) || this.#is(ANSWER)) return 'description'
    return this.#is(ICE_CANDIDATE) ? 'candidate' : undefined
  }

  /** A text that is not empty, or a candidate. */
  #payload(): 'description' | 'candidate' | undefined {
    if (this.#octets[this.#at] !== QUOTE) return this.#candidate() ? 'candidate' : undefined
    const from = this.#at
    return this.#string() && this.#at > from + 2 ? 'description' : undefined
  }

  /** `{"candidate": "…"}`, and beside it texts, small numbers and null under the names that browsers give them. */
  #candidate(): boolean {
    let [candidate, mid, fragment, index] = [false, false, false, false]
    if (!this.#take(OPEN)) return false
    do {
      this.#skipBlanks()
      if (!candidate && this.#member(CANDIDATE)) {
        candidate = this.#string()
        if (!candidate) return false
      } else if (!mid && this.#member(SDP_MID)) {
        mid = this.#null() || this.#string()
        if (!mid) return false
      } else if (!fragment && this.#member(USERNAME_FRAGMENT)) {
        fragment = this.#null() || this.#string()
        if (!fragment) return false
      } else if (!index && this.#member(SDP_M_LINE_INDEX)) {
        index = this.#null() || this.#number()
        if (!index) return false
      } else return false
      this.#skipBlanks()
    } while (this.#take(COMMA))
    return this.#take(CLOSE) && candidate
  }

  /** This name and the colon behind it. */
  #member(name: Uint8Array): boolean {
    if (!this.#is(name)) return false
    this.#skipBlanks()
    if (!this.#take(COLON)) return false
    this.#skipBlanks()
    return true
  }

  #is(expected: Uint8Array): boolean {
    for (let i = 0; i < expected.length; i++) if (this.#octets[this.#at + i] !== expected[i]) return false
    this.#at += expected.length
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
