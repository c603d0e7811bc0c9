/**
 * A short way for what nearly all octets of a WebSocket are: whole, masked, unfragmented data frames (RFC 6455 section
 * 5.2). They are read here. Everything else (control frames, fragments, frames that come in pieces, violations) goes,
 * with all that has come behind it, to somebody who knows the whole protocol.
 */

import { isUtf8 } from 'node:buffer'

export interface MessageListener {
  /** A message. The octets are good until this returns. */
  message(octets: Buffer): void
  /** Octets of other frames, in order with the messages. They are the listener's to keep. */
  other(octets: Buffer): void
}

const FIN = 0x80
const FIN_TEXT = 0x81
const FIN_BINARY = 0x82
const OPCODE = 0x0f
const CONTROL = 0x08
const MASKED = 0x80
const HEAD_OCTETS = 2
const MASK_OCTETS = 4

export class PlainMessages {
  readonly #listener: MessageListener
  /** Where the frame is that the last octets have ended in, if it is one of the others. */
  #place: FramePlace | undefined
  #over = false

  constructor(listener: MessageListener) {
    this.#listener = listener
  }

  /** Nothing is read any more: whoever reads the other frames has found a violation. */
  stop(): void {
    this.#over = true
  }

  /** Octets 0 to `end` have come. They are read where they are, and change by that; the buffer is not kept. */
  receive(octets: Buffer, end: number): void {
    if (this.#over) return
    let at = 0
    if (this.#place === undefined) {
      for (let next = 0; at < end; at = next) {
        next = this.#message(octets, at, end)
        if (next === at) break
      }
    }
    if (at < end) this.#pass(octets, at, end)
  }

  /** Reads the whole message that begins at `at`, and says where it ends; `at` when there is no such thing. */
  #message(octets: Buffer, at: number, end: number): number {
    const kind = octets[at]
    if ((kind !== FIN_TEXT && kind !== FIN_BINARY) || end - at < HEAD_OCTETS + MASK_OCTETS) return at
    let length = (octets[at + 1] as number) - MASKED
    let begin = at + HEAD_OCTETS + MASK_OCTETS
    // Not masked, or too long to be here as a whole
    if (length < 0 || length === 127) return at
    if (length === 126) {
      length = ((octets[at + 2] as number) << 8) | (octets[at + 3] as number)
      begin += 2
    }
    if (begin + length > end) return at
    toggleMask(octets, begin, length)
    const message = octets.subarray(begin, begin + length)
    if (kind === FIN_TEXT && !isUtf8(message)) {
      toggleMask(octets, begin, length)
      return at
    }
    this.#listener.message(message)
    return begin + length
  }

  /** Hands the rest on, and follows its frames: behind the last one, messages are read here again. */
  #pass(octets: Buffer, at: number, end: number): void {
    this.#place ??= new FramePlace()
    this.#place.follow(octets, at, end)
    this.#over = this.#place.closed
    if (this.#place.between) this.#place = undefined
    this.#listener.other(Buffer.from(octets.subarray(at, end)))
  }
}

/** Follows frames by their heads alone. */
class FramePlace {
  /** Octets of the head so far: kind and length. */
  #head: number[] = []
  /** Octets until the next head. */
  #rest = 0
  #kind = 0
  #fragmented = false

  /** At the end of a message. */
  get between(): boolean {
    return this.#rest === 0 && this.#head.length === 0 && !this.#fragmented
  }

  /** A close frame was there, whole: "After receiving a control frame indicating the connection should be closed ... discards any further data" (section 1.4). */
  get closed(): boolean {
    return this.#kind === 0x8 && this.#rest === 0 && this.#head.length === 0
  }

  follow(octets: Buffer, from: number, end: number): void {
    for (let at = from; at < end && !this.closed; ) {
      if (this.#rest === 0) {
        this.#head.push(octets[at++] as number)
        this.#begin()
      } else {
        const passed = Math.min(this.#rest, end - at)
        this.#rest -= passed
        at += passed
      }
    }
  }

  #begin(): void {
    const [first = 0, second = 0, ...extended] = this.#head
    const short = second & ~MASKED
    const missing = (short === 126 ? 2 : short === 127 ? 8 : 0) - extended.length
    if (this.#head.length < HEAD_OCTETS || missing > 0) return
    const length = extended.reduce((sum, octet) => sum * 256 + octet, 0)
    this.#head = []
    this.#rest = (short < 126 ? short : length) + (second < MASKED ? 0 : MASK_OCTETS)
    this.#kind = first & OPCODE
    if ((first & CONTROL) === 0) this.#fragmented = (first & FIN) === 0
  }
}

/** Of a smaller buffer no words are looked at: that would cost more than it spares. */
const WORTH_WORDS = 16 * 1024

/** The last large buffer that messages came in: there is one for all sockets. */
let source: Buffer | undefined
let sourceWords: Int32Array = new Int32Array(0)

const wordOctets = new Uint8Array(4)
const word = new Int32Array(wordOctets.buffer)

/** Takes the mask, which is before them, off so many octets, or puts it on again (RFC 6455 section 5.3). */
function toggleMask(octets: Buffer, begin: number, length: number): void {
  const end = begin + length
  if (!hasWords(octets)) {
    toggleOctets(octets, begin, begin, end)
    return
  }
  const firstWord = (begin + 3) >> 2
  const endWord = end >> 2
  const mask = begin - MASK_OCTETS
  for (let i = 0; i < 4; i++) wordOctets[i] = octets[mask + (((firstWord << 2) - begin + i) & 3)] as number
  const wordMask = word[0] as number
  const aligned = Math.min(firstWord << 2, end)
  toggleOctets(octets, begin, begin, aligned)
  for (let i = firstWord; i < endWord; i++) sourceWords[i] = (sourceWords[i] as number) ^ wordMask
  toggleOctets(octets, begin, Math.max(aligned, endWord << 2), end)
}

/** The same for a part of the message that begins at `begin`. */
function toggleOctets(octets: Buffer, begin: number, from: number, to: number): void {
  const mask = begin - MASK_OCTETS
  for (let at = from; at < to; at++) octets[at] = (octets[at] as number) ^ (octets[mask + ((at - begin) & 3)] as number)
}

function hasWords(octets: Buffer): boolean {
  if (octets === source) return true
  if (octets.length < WORTH_WORDS || (octets.byteOffset & 3) !== 0) return false
  source = octets
  sourceWords = new Int32Array(octets.buffer, octets.byteOffset, octets.length >> 2)
  return true
}
