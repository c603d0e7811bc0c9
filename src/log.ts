/**
 * The structured log: one JSON object a line on stdout; for people at a terminal, readable lines where pino-pretty is
 * installed. Whatever a caller puts into it, secrets and SDP do not come out.
 */

import { createRequire } from 'node:module'
import { type DestinationStream, type LevelWithSilent, pino } from 'pino'

/** What code that logs needs: facts first, then one plain sentence. */
export interface Log {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
  /** A log that adds these facts to every line. */
  child(facts: Record<string, unknown>): Log
}

/** Names of fields that are never shown, at the top and up to two levels below. */
const SECRETS = [
  'token',
  'ide',
  'authorization',
  'passcode',
  'password',
  'secret',
  'credential',
  'payload',
  'sdp',
  'candidate',
] as const

const PATHS = SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])

export interface LogOptions {
  readonly level: LevelWithSilent
  /** Always JSON. */
  readonly production: boolean
}

/** `to` is stdout unless a test listens. */
export function createLog({ level, production }: LogOptions, to?: DestinationStream): Log {
  const options = { level, base: null, redact: { paths: PATHS, censor: '[hidden]' } }
  return pino(options, to ?? readable(production) ?? pino.destination({ dest: 1, sync: true }))
}

function readable(production: boolean): DestinationStream | undefined {
  if (production || process.stdout.isTTY !== true) return undefined
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty') as (options: object) => DestinationStream
    return pretty({ colorize: true, translateTime: 'SYS:HH:MM:ss.l', sync: true })
  } catch {
    return undefined
  }
}
