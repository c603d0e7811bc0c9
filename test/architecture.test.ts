/** Imports go one way. Each rule says why; a file that matches no rule is a mistake in this table. */

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from '@jest/globals'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')

interface Rule {
  /** Files it speaks of; the first rule that matches a file counts. */
  readonly files: RegExp
  /** What they may import: paths in the project, and packages (`node:*` is free unless the rule is `pure`). */
  readonly may: readonly RegExp[]
  readonly pure?: boolean
  readonly why: string
}

const DOMAIN_CORE = [
  /^src\/(ports|errors|events|steps|lines|validation|handlers|deadlines|schedule)\.ts$/,
  /^broker\/index\.ts$/,
  /^zod$/,
]

const RULES: readonly Rule[] = [
  {
    files: /^broker\/transports\/sockjs\/(framing|wrapping|sweep|ended)\.ts$/,
    may: [/^broker\/(clock|transports\/sockjs\/sweep)\.ts$/],
    pure: true,
    why: 'what SockJS frames look like, and when things fall due, has nothing to do with HTTP',
  },
  { files: /^broker\/transports\//, may: [/^broker\//, /^ws$/], why: 'only transports touch ws and HTTP' },
  { files: /^broker\//, may: [/^broker\//], why: 'the broker could be a package of its own' },
  {
    files: /^src\/calls\/(transition|rules\/.*)\.ts$/,
    may: [/^src\/calls\/rules\//, /^src\/calls\/(types|changed|holders)\.ts$/, /^src\/errors\.ts$/],
    pure: true,
    why: 'the rules are a pure function',
  },
  {
    files: /^src\/calls\/(types|changed|holders)\.ts$/,
    may: [/^src\/(ports|calls\/types)\.ts$/],
    pure: true,
    why: 'data knows nobody',
  },
  {
    files: /^src\/calls\//,
    may: [/^src\/calls\//, ...DOMAIN_CORE],
    why: 'the domain sees the face of the broker and its own ports',
  },
  {
    files: /^src\/presence\//,
    may: [/^src\/presence\//, /^src\/calls\/messages\.ts$/, ...DOMAIN_CORE],
    why: 'the domain sees the face of the broker and its own ports',
  },
  {
    files: /^src\/turn\//,
    may: [/^src\/turn\//, ...DOMAIN_CORE],
    why: 'the domain sees the face of the broker and its own ports',
  },
  {
    files: /^src\/credentials\//,
    may: [/^src\/credentials\//, /^src\/calls\/messages\.ts$/, /^src\/auth\.ts$/, ...DOMAIN_CORE],
    why: 'credentials are what auth.ts has checked; of calls they know an id and a port of their own',
  },
  {
    files: /^src\/webhooks\//,
    may: [/^src\/webhooks\//, /^src\/calls\/types\.ts$/, ...DOMAIN_CORE],
    why: 'webhooks tell the news of the domain; storage and HTTP are behind their own ports',
  },
  {
    files: /^src\/history\//,
    may: [/^src\/history\//, /^src\/calls\/(types|messages)\.ts$/, ...DOMAIN_CORE],
    why: 'the history keeps the news of calls; databases and files are behind its own ports',
  },
  {
    files: /^src\/adapters\/sql\//,
    may: [
      /^src\/adapters\/sql\//,
      /^src\/(ports|database-url)\.ts$/,
      /^src\/history\/(ports|types|seen|forgotten)\.ts$/,
      /^src\/calls\/types\.ts$/,
      /^broker\/index\.ts$/,
      /^(kysely|pg|@photostructure\/sqlite)$/,
    ],
    why: 'adapters answer ports; SQL is spoken here alone',
  },
  {
    files: /^src\/adapters\/node-turn\//,
    may: [
      /^src\/adapters\/node-turn\//,
      /^src\/turn\//,
      /^src\/ports\.ts$/,
      /^broker\/(index|clock)\.ts$/,
      /^node-turn/,
    ],
    why: 'the relay is a process of its own: of the broker it loads the clock alone',
  },
  {
    files: /^src\/adapters\/metrics\//,
    may: [
      /^src\/adapters\/metrics\//,
      /^src\/(ports|events|errors)\.ts$/,
      /^src\/calls\/types\.ts$/,
      /^broker\/index\.ts$/,
      /^prom-client$/,
    ],
    why: 'metrics listen, they decide nothing',
  },
  {
    files: /^src\/adapters\/redis\//,
    may: [
      /^src\/adapters\/redis\//,
      /^src\/(ports|schedule|lines)\.ts$/,
      /^src\/calls\/(types|changed|holders)\.ts$/,
      /^src\/credentials\/revocations\.ts$/,
      /^src\/webhooks\/ports\.ts$/,
      /^src\/history\/(ports|types)\.ts$/,
      /^broker\/index\.ts$/,
      /^redis$/,
    ],
    why: 'adapters answer ports; Redis is spoken to here alone',
  },
  {
    files: /^src\/adapters\//,
    may: [
      /^src\/adapters\/memory\//,
      /^src\/(ports|schedule)\.ts$/,
      /^src\/calls\/(types|changed|holders)\.ts$/,
      /^src\/webhooks\/ports\.ts$/,
      /^src\/history\/(ports|types)\.ts$/,
    ],
    why: 'adapters answer ports',
  },
  {
    files: /^src\/(attendance|luggage)\.ts$/,
    may: [/^src\/(calls|credentials|presence|turn|history)\/\w+\.ts$/, ...DOMAIN_CORE],
    why: 'they tell all services of a session; adapters and faces are none of their business',
  },
  {
    files: /^src\/(main|server|cluster|pages)\.ts$/,
    may: [/./],
    why: 'the composition root is the only place that knows everybody',
  },
  {
    files: /^src\/(ports|events)\.ts$/,
    may: [/^src\/(ports|steps|calls\/types)\.ts$/, /^broker\/index\.ts$/],
    pure: true,
    why: 'ports name what the domain asks of the world',
  },
  {
    files: /^src\/(directory|reports)\.ts$/,
    may: [/^src\/(errors|ports|pages|reports)\.ts$/, /^src\/calls\/service\.ts$/, /^broker\/index\.ts$/, /^zod$/],
    why: 'what faces and operators are told of who is connected',
  },
  { files: /^src\/lines\.ts$/, may: [/^src\/steps\.ts$/], pure: true, why: 'it knows keys alone' },
  { files: /^src\/(errors|lifecycle|steps|schedule)\.ts$/, may: [], pure: true, why: 'they know nobody' },
  { files: /^src\/deadlines\.ts$/, may: [/^src\/(ports|schedule)\.ts$/], pure: true, why: 'it knows times alone' },
  {
    files:
      /^src\/(admission|auth|hmac-tokens|jwks|config|turn-config|redis-config|history-config|database-url|machine|variables|log|proxy-notice|validation|handlers)\.ts$/,
    may: [
      /^src\/[a-z-]+\.ts$/,
      /^src\/calls\/(types|messages)\.ts$/,
      /^src\/webhooks\/messages\.ts$/,
      /^broker\/index\.ts$/,
      /^zod$/,
      /^jose$/,
      /^pino$/,
    ],
    why: 'beside the domain, below every face',
  },
  {
    files: /^http\//,
    may: [
      /^http\//,
      /^src\/(calls|presence|turn|credentials|webhooks|history)\/(messages|types|service)\.ts$/,
      /^src\/(errors|validation|events|ports|reports)\.ts$/,
      /^broker\/index\.ts$/,
      /^express$/,
      /^zod$/,
      /^csv-stringify$/,
      /^ulid$/,
      /^swagger-ui-dist$/,
    ],
    why: 'HTTP is a thin face: domain services, never adapters',
  },
  { files: /^client\//, may: [/^client\//, /^@stomp\/stompjs$/], pure: true, why: 'runs in browsers' },
]

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => normalize(join(folder, name)))
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const statements = text.matchAll(
    /^(?:import|export)\s(?:[\w\s{},*$]*?\bfrom\s)?\s*['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)/gm,
  )
  const names = [...statements].map(([, fixed, dynamic]) => fixed ?? dynamic ?? '')
  return names.map((name) => (name.startsWith('.') ? normalize(join(dirname(file), name)) : name))
}

const files = ['broker', 'http', 'src', 'client'].flatMap(sources)

describe('imports go one way', () => {
  test.each(files)('%s', (file) => {
    const rule = RULES.find((candidate) => candidate.files.test(file))
    expect(rule ? file : `${file} matches no rule`).toBe(file)
    const allowed = (name: string) => (name.startsWith('node:') ? !rule?.pure : rule?.may.some((may) => may.test(name)))
    const wrong = importsOf(file).filter((name) => !allowed(name))
    expect({ file, wrong, why: rule?.why }).toEqual({ file, wrong: [], why: rule?.why })
  })

  test('the table is not blind: every folder has files, and imports are found in them', () => {
    for (const folder of ['broker', 'http', 'src', 'client']) expect(sources(folder).length).toBeGreaterThan(3)
    expect(importsOf('src/calls/service.ts')).toEqual(
      expect.arrayContaining(['node:crypto', 'src/calls/transition.ts']),
    )
  })
})
