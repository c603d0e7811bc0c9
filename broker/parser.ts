/**
 * Octets of any cut → frames, heart-beats, violations, in order (STOMP 1.2, "Augmented BNF"). Pull-based: the session
 * asks for the next item when it is ready for it, and may settle the version between two items, so that frames pipelined
 * behind CONNECT are read by the right rules. Knows where frames begin and end, and nothing of what they mean.
 *
 * Linear for every cut: the scan goes on where it was, and what is left over moves into storage that doubles.
 */

import { broken, exceeded, type Violation } from './errors.ts'
import type { FamiliarHeads } from './familiar-heads.ts'
import type { ClientFrame, Version } from './frame.ts'
import { bodyNotAllowed, type Head, type HeadLimits, mayHaveBody, readHead, receiptOf } from './head.ts'

export type Inbound =
  | { readonly kind: 'frame'; readonly frame: ClientFrame }
  | { readonly kind: 'heartbeat' }
  | { readonly kind: 'violation'; readonly violation: Violation }

export interface ParserLimits extends HeadLimits {
  /** Octets of one frame, head and body, without the NUL. */
  readonly frameBytes: number
}

const NUL = 0
const LF = 10
const CR = 13
const DIGIT_0 = 0x30
const DIGIT_9 = 0x39
/** Of a content-length that is certainly a safe integer. */
const MOST_DIGITS = 9

/** How many times as much memory as it needs may be kept for what waits. */
const MOST_SPARE = 4

const HEARTBEAT: Inbound = { kind: 'heartbeat' }
const NOTHING = Buffer.alloc(0)

export class Parser {
  readonly #limits: ParserLimits
  readonly #familiar: FamiliarHeads | undefined
  #frameBytes: number
  /** Undefined until CONNECT has settled it. */
  #version: Version | undefined

  /** Octets `#start` to `#end` are not parsed yet. */
  #octets: Buffer = NOTHING
  #start = 0
  #end = 0
  /** They are in memory of somebody else's. */
  #borrowed = false

  /** Where the scan goes on, and where the line that it is in begins. */
  #at = 0
  #lineStart = 0
  /** Set while a body is awaited, which begins at `#bodyStart`. */
  #head: Head | undefined
  #bodyStart = 0
  #contentLength: number | undefined
  /** The last head that was a familiar one: the next is likely to be the same. */
  #usual: Head | undefined
  #dead = false

  /** `familiar` is shared by parsers that have the same limits. */
  constructor(limits: ParserLimits, familiar?: FamiliarHeads) {
    this.#limits = limits
    this.#familiar = familiar
    this.#frameBytes = limits.frameBytes
  }

  /** Octets that are not parsed yet. */
  get waiting(): number {
    return this.#end - this.#start
  }

  /** From the next frame on this version's rules hold, and frames may be this large. */
  speak(version: Version, frameBytes: number): void {
    this.#version = version
    this.#frameBytes = frameBytes
  }

  /** Adds octets. They are read where they are, and bodies are slices of them, until {@link keep} is called. */
  push(octets: Buffer): void {
    if (this.#dead || octets.length === 0) return
    if (this.waiting === 0) {
      this.#adopt(octets)
      this.#borrowed = true
      return
    }
    // Only storage of our own has room
    if (this.#borrowed || this.#octets.length - this.#end < octets.length) this.#grow(octets.length)
    octets.copy(this.#octets, this.#end)
    this.#end += octets.length
  }

  /** What was pushed may change from now on: what is not parsed yet moves into storage of the parser's own. */
  keep(): void {
    if (!this.#borrowed) return
    if (this.waiting > 0) this.#grow(0)
    else this.#adopt(NOTHING)
  }

  /** The next item, or undefined when octets are missing. After a violation there is nothing more. */
  next(): Inbound | undefined {
    const item = this.#read()
    if (item === undefined && this.waiting > 0) this.#letGo()
    return item
  }

  #read(): Inbound | undefined {
    if (this.#dead) return undefined
    if (this.#head === undefined) {
      if (this.#at === this.#start && this.#skipEol()) return HEARTBEAT
      const head = this.#usualHead() ?? this.#scanHead()
      if (head === undefined) return undefined
      if ('explanation' in head) return this.#die(head)
      this.#head = head
    }
    return this.#finish(this.#head)
  }

  /** The last head again, but for its content-length: it is known by its octets, and nothing of it is read. */
  #usualHead(): Head | Violation | undefined {
    const look = this.#usual?.look
    if (look === undefined || this.#at !== this.#start) return undefined
    const digits = this.#passed(look.before, this.#start)
    if (digits === undefined) return undefined
    let length = 0
    let at = digits
    for (
      let octet = this.#octets[at] as number;
      octet >= DIGIT_0 && octet <= DIGIT_9;
      octet = this.#octets[++at] as number
    )
      length = length * 10 + octet - DIGIT_0
    if (at === digits || at - digits > MOST_DIGITS) return undefined
    const body = this.#passed(look.after, at)
    if (body === undefined) return undefined
    this.#at = this.#bodyStart = body
    this.#contentLength = length
    return this.#fits(this.#usual as Head)
  }

  /** Where these octets end, when they are here; undefined when they are not, or not all of them yet. */
  #passed(expected: Uint8Array, from: number): number | undefined {
    const end = from + expected.length
    if (end > this.#end) return undefined
    for (let i = 0; i < expected.length; i++) if (this.#octets[from + i] !== expected[i]) return undefined
    return end
  }

  #adopt(octets: Buffer): void {
    this.#octets = octets
    this.#borrowed = false
    this.#start = this.#at = this.#lineStart = 0
    this.#end = octets.length
  }

  /** Moves what is left into fresh storage; never within the old one, of which bodies were handed out. */
  #grow(more: number): void {
    const storage = Buffer.allocUnsafeSlow(2 * (this.waiting + more))
    this.#octets.copy(storage, 0, this.#start, this.#end)
    this.#at -= this.#start
    this.#lineStart -= this.#start
    this.#bodyStart -= this.#start
    this.#end -= this.#start
    this.#start = 0
    this.#octets = storage
    this.#borrowed = false
  }

  /** What waits, perhaps for long, must not hold on to much more memory than it needs: a chunk may be a slice of a larger one. */
  #letGo(): void {
    if (this.#octets.buffer.byteLength > MOST_SPARE * this.waiting) this.#grow(0)
  }

  #die(violation: Violation): Inbound {
    this.#dead = true
    this.#adopt(NOTHING)
    return { kind: 'violation', violation }
  }

  /** Between frames every EOL is a heart-beat; the CR of a CR LF is passed over in every version. */
  #skipEol(): boolean {
    let octet: number | undefined
    while (this.#start < this.#end) {
      octet = this.#octets[this.#start]
      if (octet !== LF && octet !== CR) break
      this.#start++
      if (octet === LF) break
    }
    this.#at = this.#lineStart = this.#start
    return octet === LF
  }

  /** Looks for the blank line octet by octet: heads are short, and this beats a native call per line. */
  #scanHead(): Head | Violation | undefined {
    const octets = this.#octets
    const limit = this.#start + this.#frameBytes
    const end = Math.min(this.#end, limit + 1)
    for (let at = this.#at; at < end; at++) {
      const octet = octets[at]
      if (octet === LF) {
        if (this.#isBlank(at)) {
          const head = readHead(
            octets.subarray(this.#start, this.#lineStart - 1),
            this.#version,
            this.#limits,
            this.#familiar,
          )
          if ('explanation' in head) return head
          this.#at = this.#bodyStart = at + 1
          this.#contentLength = head.contentLength
          if (head.look !== undefined) this.#usual = head
          return this.#fits(head)
        }
        this.#lineStart = at + 1
      } else if (octet === NUL) return this.#unfinished(octets.subarray(this.#start, at))
    }
    this.#at = end
    return end > limit ? this.#tooLarge(receiptOf(octets.subarray(this.#start, end), this.#version)) : undefined
  }

  /** Whether the LF at this place ends a blank line. CR LF is an EOL in STOMP 1.2, and until a version is settled. */
  #isBlank(at: number): boolean {
    if (this.#lineStart === this.#start) return false
    if (at === this.#lineStart) return true
    return at === this.#lineStart + 1 && this.#octets[this.#lineStart] === CR && (this.#version ?? '1.2') === '1.2'
  }

  #fits(head: Head): Head | Violation {
    const octets = this.#bodyStart - this.#start + (this.#contentLength ?? 0)
    return octets > this.#frameBytes ? this.#tooLarge(head.headers.receipt) : head
  }

  /** The body ends where content-length says, or at the first NUL. */
  #finish(head: Head): Inbound | undefined {
    const contentLength = this.#contentLength
    const nul = contentLength === undefined ? this.#findNul(head) : this.#bodyStart + contentLength
    if (nul === undefined || nul >= this.#end) {
      const tooLarge = this.#end - this.#start > this.#frameBytes && contentLength === undefined
      return tooLarge ? this.#die(this.#tooLarge(head.headers.receipt)) : undefined
    }
    if (this.#octets[nul] !== NUL)
      return this.#die(contentLength === undefined ? bodyNotAllowed(head) : wrongLength(head, contentLength))
    if (nul - this.#start > this.#frameBytes) return this.#die(this.#tooLarge(head.headers.receipt))
    const body = this.#octets.subarray(this.#bodyStart, nul)
    this.#head = undefined
    this.#start = this.#at = this.#lineStart = nul + 1
    if (this.#start === this.#end) this.#adopt(NOTHING)
    return { kind: 'frame', frame: { command: head.command, headers: head.headers, body } }
  }

  #findNul(head: Head): number | undefined {
    if (!mayHaveBody(head.command)) return this.#bodyStart
    const found = this.#octets.subarray(this.#at, this.#end).indexOf(NUL)
    if (found >= 0) return this.#at + found
    this.#at = this.#end
    return undefined
  }

  #unfinished(head: Buffer): Violation {
    return broken(
      'frame without a blank line',
      'A NUL came before the blank line that ends the headers. CR LF makes a blank line in STOMP 1.2 only.',
      receiptOf(head, this.#version),
    )
  }

  #tooLarge(receipt: string | undefined): Violation {
    return exceeded(
      `frame larger than ${this.#frameBytes} octets`,
      `A frame may have ${this.#frameBytes} octets here, head and body together.`,
      receipt,
    )
  }
}

function wrongLength({ command, headers }: Head, contentLength: number): Violation {
  return broken(
    `content-length of ${command} is wrong`,
    `The octet after the ${contentLength} that content-length announces is not NUL. It counts octets, not characters.`,
    headers.receipt,
  )
}
