/**
 * Frames as data (STOMP 1.2, "STOMP Frames"), and writing them. Reading is in parser.ts.
 * Knows nothing of sessions or destinations.
 */

import { isUtf8 } from 'node:buffer'
import { escapeHeader } from './escaping.ts'

export type Version = '1.0' | '1.1' | '1.2'

export const VERSIONS: readonly Version[] = ['1.0', '1.1', '1.2']

export type ClientCommand =
  | 'CONNECT'
  | 'STOMP'
  | 'SEND'
  | 'SUBSCRIBE'
  | 'UNSUBSCRIBE'
  | 'ACK'
  | 'NACK'
  | 'BEGIN'
  | 'COMMIT'
  | 'ABORT'
  | 'DISCONNECT'

export type ServerCommand = 'CONNECTED' | 'MESSAGE' | 'RECEIPT' | 'ERROR'

/** The first of each repeated header, unescaped; null prototype. */
export type Headers = Readonly<Record<string, string>>

/** A frame of a client. The body stays octets, so that a relay forwards it untouched. */
export interface ClientFrame {
  readonly command: ClientCommand
  readonly headers: Headers
  readonly body: Buffer
}

/** What a frame or a header that is kept is taken to cost beside its text. */
const FRAME_COST = 256
const HEADER_COST = 16

/** Octets that it costs to keep a frame, about. */
export function costOf(headers: Headers, body: Buffer): number {
  let cost = FRAME_COST + body.length
  for (const name in headers) cost += name.length + (headers[name] as string).length + HEADER_COST
  return cost
}

export type HeaderLine = readonly [name: string, value: string]

/** One EOL: all that a heart-beat is (STOMP 1.2, "Heart-beating"). */
export const HEARTBEAT = '\n'

/**
 * A whole frame without octets of others in it. `content-length` is added when there is a body. Headers are escaped as
 * `version` asks; pass `'1.0'` for CONNECTED and for whatever goes out before a version is settled, for these do not escape.
 */
export function encodeFrame(
  command: ServerCommand,
  headers: readonly HeaderLine[],
  version: Version,
  body = '',
): string {
  const length = body === '' ? '' : `content-length:${Buffer.byteLength(body)}\n`
  return `${command}\n${headerLines(headers, version)}${length}\n${body}\0`
}

/** `name:value` lines, each with its LF. A header that the version cannot express is left out. */
export function headerLines(headers: Iterable<HeaderLine>, version: Version): string {
  let lines = ''
  for (const [name, value] of headers) lines += headerLine(name, value, version)
  return lines
}

/** One `name:value` line with its LF; empty when the version cannot express it. */
export function headerLine(name: string, value: string, version: Version): string {
  const escapedName = escapeHeader(name, version, 'name')
  const escapedValue = escapeHeader(value, version, 'value')
  return escapedName === undefined || escapedValue === undefined ? '' : `${escapedName}:${escapedValue}\n`
}

/**
 * The end of a frame, which all who get it share: header lines that are the same for everybody, `content-length`, the
 * body and the NUL. Made once, written behind as many heads as there are receivers.
 */
export class Tail {
  readonly octets: Buffer
  readonly #bodyAt: number
  #isText: boolean | undefined
  #text: string | undefined

  /** `lines` as {@link headerLines} makes them. */
  constructor(lines: string, body: Uint8Array | string) {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    const head = `${lines}content-length:${length}\n\n`
    this.#bodyAt = Buffer.byteLength(head)
    this.octets = Buffer.allocUnsafe(this.#bodyAt + length + 1)
    this.octets.write(head)
    if (typeof body === 'string') this.octets.write(body, this.#bodyAt)
    else this.octets.set(body, this.#bodyAt)
    this.octets[this.#bodyAt + length] = 0
  }

  /** Whether it is UTF-8, as a text message must be (RFC 6455 section 5.6). */
  get isText(): boolean {
    this.#isText ??= isUtf8(this.octets)
    return this.#isText
  }

  /**
   * For transports that carry text alone: octets that are not UTF-8 become U+FFFD, and content-length counts what is
   * left in their place.
   */
  get text(): string {
    this.#text ??= this.isText ? this.octets.toString() : this.#mended()
    return this.#text
  }

  #mended(): string {
    const head = this.octets.toString('utf8', 0, this.#bodyAt)
    const body = this.octets.toString('utf8', this.#bodyAt)
    // The NUL does not count
    return `${head.replace(/\d+\n\n$/, `${Buffer.byteLength(body) - 1}\n\n`)}${body}`
  }
}

/** How much a frame counts in the bounds of what waits: the characters of its own part, and the octets of the shared one. */
export function weightOf(head: string | Buffer, tail: Tail | undefined): number {
  return tail === undefined ? head.length : head.length + tail.octets.length
}

/** A whole frame for a transport that carries text alone. */
export function textOf(head: string | Buffer, tail: Tail | undefined): string {
  return tail === undefined ? head.toString() : head.toString() + tail.text
}
