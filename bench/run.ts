/**
 * `npm run build && npm run bench`: runs the scenarios and prints what they found as a table (Markdown, on stdout).
 *
 * --only NAME      one scenario (again for more): signalling, open-topic, calls, idle
 * --pairs N        pairs that work at the same time (100)
 * --seconds N      length of a round (2)
 * --profile DIR    a CPU profile of Carillon in DIR, and its summary; numbers taken while it is on do not count
 */

import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { calls } from './scenarios/calls.ts'
import { idle } from './scenarios/idle.ts'
import { openTopic } from './scenarios/open-topic.ts'
import { signalling } from './scenarios/signalling.ts'
import { pinThisProcess, twoCores } from './support/cpu.ts'
import { summaries } from './support/profile.ts'
import type { Measure, Options, Scenario } from './support/scenario.ts'
import { median } from './support/stats.ts'

const SCENARIOS: readonly Scenario[] = [signalling, openTopic, calls, idle]

const { only, pairs, seconds, profile } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    pairs: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '2' },
    profile: { type: 'string' },
  },
}).values

const chosen = SCENARIOS.filter(({ name }) => only === undefined || only.includes(name))
const unknown = only?.find((name) => !SCENARIOS.some((scenario) => scenario.name === name))
if (unknown !== undefined) fail(`--only ${unknown}: there are ${SCENARIOS.map(({ name }) => name).join(', ')}`)

const cores = twoCores()
if (cores) pinThisProcess(cores.load)
const pinned = cores ? `server on core ${cores.server}, load on core ${cores.load}` : 'processes not pinned'
say(`Node ${process.versions.node}, ${cpus().length} cores, ${pinned}. Medians of the rounds [smallest–largest].\n`)

for (const scenario of chosen) {
  const options: Options = {
    pairs: positive('pairs', pairs),
    seconds: positive('seconds', seconds),
    profile: profile === undefined ? undefined : resolve(profile),
    progress: (text) => process.stderr.write(`${scenario.name}: ${text}\n`),
  }
  options.progress('starting')
  say(tableOf(`${scenario.name}: ${scenario.title(options)}`, await scenario.run(options)))
}
if (profile !== undefined) say(summaries(profile, 30))

function tableOf(title: string, measures: readonly Measure[]): string {
  const lines = measures.map(({ what, unit, carillon, raw }) => {
    const ratio = raw && (median(carillon) / median(raw)).toFixed(2)
    return `| ${what} (${unit}) | ${shown(carillon)} | ${raw ? shown(raw) : ''} | ${ratio ?? ''} |`
  })
  return [`**${title}**`, '', '| | Carillon | raw `ws` | × raw |', '| --- | --- | --- | --- |', ...lines, ''].join('\n')
}

function shown(values: readonly number[]): string {
  const spread = values.length > 1 ? ` [${digits(Math.min(...values))}–${digits(Math.max(...values))}]` : ''
  return `${digits(median(values))}${spread}`
}

/** Three digits that say something, and no more. */
function digits(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

function positive(name: string, text: string): number {
  const value = Number(text)
  return value > 0 && Number.isFinite(value) ? value : fail(`--${name} must be a number above 0`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
