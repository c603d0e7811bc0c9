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

export type HeaderLine = readonly [name: string, value: string]

const NUL = Buffer.of(0)

/** One EOL: all that a heart-beat is (STOMP 1.2, "Heart-beating"). */
export const HEARTBEAT: Buffer = Buffer.from('\n')

/**
 * A whole frame. `content-length` is added when there is a body. Headers are escaped as `version` asks;
 * pass `'1.0'` for CONNECTED and for whatever goes out before a version is settled, for these do not escape.
 */
export function encodeFrame(
  command: ServerCommand,
  headers: readonly HeaderLine[],
  version: Version,
  body: Uint8Array | string = '',
): Buffer {
  const octets = typeof body === 'string' ? Buffer.from(body) : body
  const length = octets.length > 0 ? `content-length:${octets.length}\n` : ''
  const head = Buffer.from(`${command}\n${headerLines(headers, version)}${length}\n`)
  return Buffer.concat([head, octets, NUL])
}

/** `name:value` lines, each with its LF. A header that the version cannot express is left out. */
export function headerLines(headers: Iterable<HeaderLine>, version: Version): string {
  let lines = ''
  for (const [name, value] of headers) {
    const escapedName = escapeHeader(name, version, 'name')
    const escapedValue = escapeHeader(value, version, 'value')
    if (escapedName !== undefined && escapedValue !== undefined) lines += `${escapedName}:${escapedValue}\n`
  }
  return lines
}

/** A head and a tail as one buffer: one frame, one write. */
export function joinFrame(head: string, tail: Buffer): Buffer {
  const headBytes = Buffer.byteLength(head)
  const frame = Buffer.allocUnsafe(headBytes + tail.length)
  frame.write(head, 0, headBytes, 'utf8')
  tail.copy(frame, headBytes)
  return frame
}

/** What follows the header lines: `content-length`, blank line, body, NUL. */
export function encodeTail(lines: string, body: Uint8Array | string): Buffer {
  const octets = typeof body === 'string' ? Buffer.from(body) : body
  return Buffer.concat([Buffer.from(`${lines}content-length:${octets.length}\n\n`), octets, NUL])
}

/**
 * A written frame for a transport that carries text alone: octets that are not UTF-8 become U+FFFD, and content-length
 * counts what is left in their place.
 */
export function frameAsText(frame: Buffer): string {
  if (isUtf8(frame)) return frame.toString()
  const blank = frame.indexOf('\n\n')
  const head = frame.toString('utf8', 0, blank)
  const body = frame.toString('utf8', blank + 2)
  // content-length is the last header that encodeFrame and encodeTail write; the NUL does not count
  return `${head.replace(/(?<=\ncontent-length:)\d+$/, String(Buffer.byteLength(body) - 1))}\n\n${body}`
}
