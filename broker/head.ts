/**
 * One complete frame head → command, headers, announced length; or what is wrong with it.
 * Pure; where a head ends is parser.ts's business.
 */

import { isAscii, isUtf8 } from 'node:buffer'
import { broken, exceeded, type Violation } from './errors.ts'
import { unescapeHeader } from './escaping.ts'
import type { FamiliarHeads } from './familiar-heads.ts'
import type { ClientCommand, Version } from './frame.ts'

export interface HeadLimits {
  readonly headers: number
  /** Octets of one header line. */
  readonly headerBytes: number
}

export interface Head {
  readonly command: ClientCommand
  /** Without `content-length`. */
  readonly headers: Readonly<Record<string, string>>
  /** Octets of the body, when the frame says so. */
  readonly contentLength: number | undefined
  /** Of a head that is known: how to know it again. */
  readonly look?: Look | undefined
}

/** What a head looks like around its content-length, to the blank line. */
export interface Look {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

const CR = 13

/** Of a frame that could not be read; longer ones are no receipts of anybody's. */
const LONGEST_RECEIPT = 1000

const COMMANDS: ReadonlyMap<string, ClientCommand> = new Map(
  (
    [
      'CONNECT',
      'STOMP',
      'SEND',
      'SUBSCRIBE',
      'UNSUBSCRIBE',
      'ACK',
      'NACK',
      'BEGIN',
      'COMMIT',
      'ABORT',
      'DISCONNECT',
    ] as const
  ).map((command) => [command, command]),
)

/** "Only the SEND, MESSAGE, and ERROR frames MAY have a body" (STOMP 1.2, "Body"). */
export function mayHaveBody(command: ClientCommand): boolean {
  return command === 'SEND'
}

export function bodyNotAllowed({ command, headers }: Head): Violation {
  const why = 'Of the frames of a client only SEND may have a body.'
  return broken(`${command} must not have a body`, why, headers.receipt)
}

/**
 * Reads a head: command line and header lines, without the blank line behind them.
 * `version` is undefined until CONNECT has settled it: then CR LF is read like in 1.2.
 */
export function readHead(
  octets: Buffer,
  version: Version | undefined,
  limits: HeadLimits,
  familiar?: FamiliarHeads,
): Head | Violation {
  const ascii = isAscii(octets)
  const asUtf8 = ascii || isUtf8(octets)
  const text = octets.toString(asUtf8 && !ascii ? 'utf8' : 'latin1')
  if (!ascii || familiar === undefined) return readText(text, { ascii, asUtf8 }, version, limits)
  const known = familiar.recognise(text)
  if (known !== undefined) return known
  const head = readText(text, { ascii, asUtf8 }, version, limits)
  if (!('explanation' in head)) familiar.learn(text, head)
  return head
}

function readText(
  text: string,
  { ascii, asUtf8 }: { ascii: boolean; asUtf8: boolean },
  version: Version | undefined,
  limits: HeadLimits,
): Head | Violation {
  // CR LF is an EOL in STOMP 1.2 only; before, a CR is a character like others
  const crLf = version === '1.2' || version === undefined
  const headers: Record<string, string> = Object.create(null)
  const fail = (fault: Violation): Violation => ({ ...fault, receipt: headers.receipt ?? receiptIn(text, version) })

  let next = endOfLine(text, 0)
  const commandLine = text.slice(0, withoutCr(text, 0, next, crLf))
  const command = COMMANDS.get(commandLine)
  if (command === undefined) return fail(unknownCommand(commandLine))
  if (!asUtf8)
    return fail(broken(`headers of ${command} are not UTF-8`, 'Command and headers must be encoded in UTF-8.'))

  // "all frames except the CONNECT and CONNECTED frames will also escape" (STOMP 1.2, "Value Encoding")
  const escapes = command !== 'CONNECT' && command !== 'STOMP' && text.includes('\\') ? (version ?? '1.0') : '1.0'
  for (let count = 1; next < text.length; count++) {
    const from = next + 1
    next = endOfLine(text, from)
    const end = withoutCr(text, from, next, crLf)
    if (count > limits.headers)
      return fail(exceeded(`more than ${limits.headers} headers`, `A frame may have ${limits.headers} headers here.`))
    if (isLonger(text, from, end, limits.headerBytes, ascii)) return fail(longHeader(limits.headerBytes))
    const colon = text.indexOf(':', from)
    if (colon <= from || colon >= end)
      return fail(noHeader(command, text.slice(from, end), colon === from ? 'name' : 'colon'))
    const name = unescapeHeader(text.slice(from, colon), escapes)
    const value = unescapeHeader(text.slice(colon + 1, end), escapes)
    if (name === undefined || value === undefined) return fail(undefinedEscape(command, text.slice(from, end), escapes))
    // Repeated: "only the first header entry SHOULD be used" (STOMP 1.2, "Repeated Header Entries")
    if (headers[name] === undefined) headers[name] = value
  }

  const announced = headers['content-length']
  if (announced === undefined) return { command, headers, contentLength: undefined }
  // It is about the octets of this frame alone: nobody behind the parser has a use for it
  delete headers['content-length']
  if (!/^\d+$/.test(announced)) return fail(noLength(command, announced))
  const head = { command, headers, contentLength: Number(announced) }
  return head.contentLength > 0 && !mayHaveBody(command) ? bodyNotAllowed(head) : head
}

/** Where the line that begins at `from` ends: its LF, or the end of the head. */
function endOfLine(text: string, from: number): number {
  const lf = text.indexOf('\n', from)
  return lf < 0 ? text.length : lf
}

function withoutCr(text: string, from: number, end: number, crLf: boolean): number {
  return crLf && end > from && text.charCodeAt(end - 1) === CR ? end - 1 : end
}

function isLonger(text: string, from: number, end: number, octets: number, ascii: boolean): boolean {
  if (ascii) return end - from > octets
  // A character has up to three octets per UTF-16 unit: counting is for long lines alone
  return (end - from) * 3 > octets && Buffer.byteLength(text.slice(from, end)) > octets
}

/** The receipt that an unreadable head asks for, so that its ERROR can name it. */
export function receiptOf(octets: Buffer, version: Version | undefined): string | undefined {
  return receiptIn(octets.toString('utf8'), version)
}

function receiptIn(text: string, version: Version | undefined): string | undefined {
  const from = text.indexOf('\nreceipt:') + '\nreceipt:'.length
  if (from < '\nreceipt:'.length) return undefined
  // The blank line may be what is wrong: a CR LF ends the line here whatever the version
  const end = withoutCr(text, from, endOfLine(text, from), true)
  return end - from > LONGEST_RECEIPT ? undefined : unescapeHeader(text.slice(from, end), version ?? '1.0')
}

function unknownCommand(line: string): Violation {
  return broken(
    'unknown command',
    `"${shown(line)}" is not a command of a STOMP client. Commands are in capitals; CR LF ends a line in STOMP 1.2 only.`,
  )
}

function longHeader(most: number): Violation {
  return exceeded(`header longer than ${most} octets`, `One header line may have ${most} octets here.`)
}

function noHeader(command: ClientCommand, line: string, missing: string): Violation {
  return broken(`header without a ${missing} in ${command}`, `"${shown(line)}" is not name:value.`)
}

function undefinedEscape(command: ClientCommand, line: string, version: Version): Violation {
  const defined = version === '1.1' ? '\\n \\c \\\\' : '\\r \\n \\c \\\\'
  return broken(
    `undefined escape in a header of ${command}`,
    `"${shown(line)}" has an escape that STOMP ${version} does not define; it defines ${defined}.`,
  )
}

function noLength(command: ClientCommand, announced: string): Violation {
  return broken(`content-length of ${command} is not a number`, `"${shown(announced)}" is not a count of octets.`)
}

/** A piece of what the client sent, fit to be told back to it. */
function shown(text: string): string {
  const line = text.replace(/[\p{Cc}"]/gu, '?')
  return line.length > 60 ? `${line.slice(0, 60)}…` : line
}
