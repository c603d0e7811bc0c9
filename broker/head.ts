/**
 * One complete frame head → command, headers, announced length; or what is wrong with it.
 * Pure; where a head ends is parser.ts's business.
 */

import { isUtf8 } from 'node:buffer'
import { broken, exceeded, type Violation } from './errors.ts'
import { unescapeHeader } from './escaping.ts'
import type { ClientCommand, Version } from './frame.ts'

export interface HeadLimits {
  readonly headers: number
  /** Octets of one header line. */
  readonly headerBytes: number
}

export interface Head {
  readonly command: ClientCommand
  readonly headers: Readonly<Record<string, string>>
  /** Octets of the body, when the frame says so. */
  readonly contentLength: number | undefined
}

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
export function readHead(octets: Buffer, version: Version | undefined, limits: HeadLimits): Head | Violation {
  const asUtf8 = isUtf8(octets)
  const lines = octets.toString(asUtf8 ? 'utf8' : 'latin1').split('\n')
  // CR LF is an EOL in STOMP 1.2 only; before, a CR is a character like others
  if (version === '1.2' || version === undefined) withoutCr(lines)

  const headers: Record<string, string> = Object.create(null)
  const fail = (fault: Violation): Violation => ({ ...fault, receipt: headers.receipt ?? receiptIn(lines) })

  const command = COMMANDS.get(lines[0] as string)
  if (command === undefined) return fail(unknownCommand(lines[0] as string))
  if (!asUtf8)
    return fail(broken(`headers of ${command} are not UTF-8`, 'Command and headers must be encoded in UTF-8.'))
  if (lines.length - 1 > limits.headers)
    return fail(exceeded(`more than ${limits.headers} headers`, `A frame may have ${limits.headers} headers here.`))

  // "all frames except the CONNECT and CONNECTED frames will also escape" (STOMP 1.2, "Value Encoding")
  const escaping = command === 'CONNECT' || command === 'STOMP' ? '1.0' : (version ?? '1.0')
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string
    // A character has up to three octets per UTF-16 unit: counting is for long lines alone
    if (line.length * 3 > limits.headerBytes && Buffer.byteLength(line) > limits.headerBytes)
      return fail(longHeader(limits.headerBytes))
    const colon = line.indexOf(':')
    if (colon <= 0) return fail(noHeader(command, line, colon < 0 ? 'colon' : 'name'))
    const name = unescapeHeader(line.slice(0, colon), escaping)
    const value = unescapeHeader(line.slice(colon + 1), escaping)
    if (name === undefined || value === undefined) return fail(undefinedEscape(command, line, escaping))
    // Repeated: "only the first header entry SHOULD be used" (STOMP 1.2, "Repeated Header Entries")
    if (!(name in headers)) headers[name] = value
  }

  const announced = headers['content-length']
  if (announced === undefined) return { command, headers, contentLength: undefined }
  if (!/^\d+$/.test(announced)) return fail(noLength(command, announced))
  const head = { command, headers, contentLength: Number(announced) }
  return head.contentLength > 0 && !mayHaveBody(command) ? bodyNotAllowed(head) : head
}

/** The receipt that an unreadable head asks for, so that its ERROR can name it. */
export function receiptOf(octets: Buffer): string | undefined {
  const lines = octets.toString('utf8').split('\n')
  withoutCr(lines)
  return receiptIn(lines)
}

function receiptIn(lines: readonly string[]): string | undefined {
  const line = lines.find((each) => each.startsWith('receipt:'))
  return line === undefined || line.length > 1024 ? undefined : line.slice('receipt:'.length)
}

function withoutCr(lines: string[]): void {
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string
    if (line.endsWith('\r')) lines[i] = line.slice(0, -1)
  }
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
