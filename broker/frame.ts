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

/** Octets that are free before a frame in {@link Memory}: a transport can put the head of a message there. */
export const HEADROOM = 4

/** Memory in which frames are kept for a while. */
export interface Memory {
  readonly octets: Buffer
  /** They are needed for longer than the turn of the event loop: nothing else may ever be written there. */
  hold(): void
}

/** A frame on its way out: it is put together where it leaves. */
export interface Outgoing {
  /** Octets. */
  readonly length: number
  /** Whether it is UTF-8, as a text message must be (RFC 6455 section 5.6). */
  readonly isText: boolean
  /** Writes all of it, from `at` on. */
  writeTo(octets: Buffer, at: number): void
  /** Where all of it has been written already, if it has. It is good for the turn of the event loop in which it was. */
  memory?: Memory | undefined
  /** Where it begins there, with {@link HEADROOM} before it. */
  memoryAt?: number
  /**
   * For transports that carry text alone: octets that are not UTF-8 become U+FFFD, and content-length counts what is
   * left in their place.
   */
  readonly text: string
}

/**
 * The end of a frame, which all who get it share: header lines that are the same for everybody, `content-length`, the
 * body and the NUL. Encoded once for all who follow the first, who keeps a copy of what it sends.
 */
export class Tail implements Outgoing {
  readonly length: number
  readonly #lines: Buffer
  readonly #body: Uint8Array | string
  readonly #bodyLength: number
  readonly #digits: number
  #writes = 0
  #octets: Buffer | undefined
  #isText: boolean | undefined
  #text: string | undefined

  /** `lines` as {@link headerLines} makes them, and behind them `content-length:`. */
  constructor(lines: Buffer, body: Uint8Array | string) {
    this.#lines = lines
    this.#body = body
    this.#bodyLength = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    this.#digits = digitsOf(this.#bodyLength)
    this.length = lines.length + this.#digits + 2 + this.#bodyLength + 1
  }

  get isText(): boolean {
    this.#isText ??= typeof this.#body === 'string' || isUtf8(this.#body)
    return this.#isText
  }

  writeTo(octets: Buffer, at: number): void {
    // Most messages have one reader: memory of their own would only be garbage
    if (this.#octets === undefined && this.#writes++ < WRITES_OF_ONE_READER) this.#encode(octets, at)
    else octets.set(this.#encoded(), at)
  }

  get text(): string {
    this.#text ??= this.isText ? this.#encoded().toString() : this.#mended()
    return this.#text
  }

  #encoded(): Buffer {
    if (this.#octets === undefined) {
      this.#octets = Buffer.allocUnsafe(this.length)
      this.#encode(this.#octets, 0)
    }
    return this.#octets
  }

  #encode(octets: Buffer, from: number): void {
    octets.set(this.#lines, from)
    let at = writeNumber(octets, from + this.#lines.length, this.#bodyLength, this.#digits)
    octets[at++] = LF
    octets[at++] = LF
    if (typeof this.#body === 'string') octets.write(this.#body, at)
    else octets.set(this.#body, at)
    octets[at + this.#bodyLength] = 0
  }

  #mended(): string {
    const body = Buffer.from(this.#body).toString()
    return `${this.#lines.toString()}${Buffer.byteLength(body)}\n\n${body}\0`
  }
}

/** To the socket, and to what is kept for a resume. */
const WRITES_OF_ONE_READER = 2

const LF = 0x0a
const DIGIT_0 = 0x30

export function digitsOf(number: number): number {
  let digits = 1
  for (let rest = number; rest >= 10; rest /= 10) digits++
  return digits
}

/** Writes a whole number that has so many digits; says where it ends. */
export function writeNumber(octets: Buffer, from: number, number: number, digits: number): number {
  for (let at = from + digits - 1, rest = number; at >= from; at--) {
    octets[at] = DIGIT_0 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
  return from + digits
}

/** A whole frame for a transport that carries text alone. */
export function textOf(frame: string | Outgoing): string {
  return typeof frame === 'string' ? frame : frame.text
}
