/**
 * Heads of SEND and SUBSCRIBE that clients write again and again: but for the length of the body the same characters, in
 * every session of an app. They are taken apart once and then known by sight. Knows texts and what was read from them, no octets.
 *
 * Short ones of plain characters only, and none that has a second length. They are the same in every version, since
 * nothing in them is escaped and no line ends with CR LF.
 */

import type { ClientCommand } from './frame.ts'
import type { Head, Look } from './head.ts'

/** More are not learnt: whoever makes up heads must not push out those that are in use, nor fill the memory. */
const MOST = 256
const LONGEST = 200

/** Headers that differ each time; or that are credentials, which nobody is to remember. */
const DIFFERS = ['receipt', 'transaction', 'ide', 'authorization', 'Authorization', 'passcode']

const LEARNT: ReadonlySet<ClientCommand> = new Set(['SEND', 'SUBSCRIBE'])

const LENGTH = '\ncontent-length:'
const DIGIT_0 = 0x30

export class FamiliarHeads {
  /** By the head without its content-length line. */
  readonly #known = new Map<string, Head>()

  /** What this head says, when it is known; undefined: read it. */
  recognise(text: string): Head | undefined {
    if (text.length > LONGEST) return undefined
    const from = text.indexOf(LENGTH)
    if (from < 0) return this.#known.get(text)
    const end = endOfLine(text, from + 1)
    const known = this.#known.get(text.slice(0, from) + text.slice(end))
    // Others may announce no body: what is wrong with that is for the reader to say
    if (known?.command !== 'SEND') return undefined
    const contentLength = number(text, from + LENGTH.length, end)
    return contentLength === undefined ? undefined : { ...known, contentLength }
  }

  /** Remembers what an ASCII head was found to say. */
  learn(text: string, head: Head): void {
    if (text.length > LONGEST || this.#known.size >= MOST || !LEARNT.has(head.command) || /[\\\r]/.test(text)) return
    const from = text.indexOf(LENGTH)
    const rest = from < 0 ? text : text.slice(0, from) + text.slice(endOfLine(text, from + 1))
    if (rest.includes(LENGTH) || DIFFERS.some((name) => name in head.headers)) return
    this.#known.set(rest, {
      ...head,
      headers: Object.freeze(head.headers),
      contentLength: undefined,
      look: from < 0 ? undefined : lookOf(text, from),
    })
  }
}

function lookOf(text: string, from: number): Look {
  return {
    before: Buffer.from(text.slice(0, from + LENGTH.length)),
    after: Buffer.from(`${text.slice(endOfLine(text, from + 1))}\n\n`),
  }
}

function endOfLine(text: string, from: number): number {
  const lf = text.indexOf('\n', from)
  return lf < 0 ? text.length : lf
}

/** The digits between two places as a number; undefined when there are none, too many, or something else. */
function number(text: string, from: number, end: number): number | undefined {
  if (end === from || end - from > 9) return undefined
  let value = 0
  for (let at = from; at < end; at++) {
    const digit = text.charCodeAt(at) - DIGIT_0
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}
