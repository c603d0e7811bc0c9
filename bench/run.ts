/**
 * `npm run bench`: runs the scenarios; prints what they found, and which targets are met, as Markdown on stdout,
 * and draws it.
 *
 * --only NAME      one scenario (again for more): relay, calls, fan-out, connect, presence, slow, turn; and cluster and
 *                  history, which take their time and run only when they are named
 * --pairs N        pairs that work at the same time (500 in relay, 100 in calls)
 * --seconds N      length of a round (1)
 * --chart FILE     where the picture goes (bench.svg)
 * --with NAME      measures another STOMP broker too, where it is installed: rabbitmq, stomp-broker-js
 * --profile DIR    a CPU profile of Carillon in DIR, and its summary; numbers taken while it is on do not count
 */

import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { calls } from './scenarios/calls.ts'
import { cluster } from './scenarios/cluster.ts'
import { connect } from './scenarios/connect.ts'
import { fanOut } from './scenarios/fan-out.ts'
import { history } from './scenarios/history.ts'
import { presence } from './scenarios/presence.ts'
import { relay } from './scenarios/relay.ts'
import { slow } from './scenarios/slow.ts'
import { turn } from './scenarios/turn.ts'
import { type Installed, installed, OTHER_BROKERS } from './support/brokers.ts'
import { chartOf, type Drawn } from './support/chart.ts'
import { cores, pinThisProcess } from './support/cpu.ts'
import { timesFaster } from './support/pace.ts'
import { summaries } from './support/profile.ts'
import type { Options, Scenario } from './support/scenario.ts'
import { type Judged, tableOf, verdict } from './support/target.ts'

const SCENARIOS: readonly Scenario[] = [relay, calls, fanOut, connect, presence, slow, turn, cluster, history]

const {
  only,
  pairs,
  seconds,
  profile,
  chart,
  with: others,
} = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    pairs: { type: 'string' },
    seconds: { type: 'string', default: '1' },
    profile: { type: 'string' },
    chart: { type: 'string', default: 'bench.svg' },
    with: { type: 'string', multiple: true, default: [] },
  },
}).values

const WHEN_NAMED: readonly Scenario[] = [cluster, history]

const chosen = SCENARIOS.filter((scenario) =>
  only === undefined ? !WHEN_NAMED.includes(scenario) : only.includes(scenario.name),
)
const unknown = only?.find((name) => !SCENARIOS.some((scenario) => scenario.name === name))
if (unknown !== undefined) fail(`--only ${unknown}: there are ${SCENARIOS.map(({ name }) => name).join(', ')}`)
const asked = others.map(installedOrFail)

if (cores) pinThisProcess(cores.load)
const pinned = cores ? `server on core ${cores.server}, load on core ${cores.load}` : 'processes not pinned'
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.versions.node}, ${pinned}`
say(`${machine}. Medians of the rounds [smallest–largest].\n`)
for (const name of OTHER_BROKERS.filter((each) => !others.includes(each))) {
  say(`${name} is not measured: \`--with ${name}\` does that where it is installed.\n`)
}

// Ends by `exit`, so that what is to be cleared away is
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const drawn: (Drawn & Judged)[] = []
for (const scenario of chosen) {
  const missing = scenario.missing?.()
  if (missing !== undefined) {
    say(`${scenario.name} is not measured: ${missing}\n`)
    continue
  }
  const options: Options = {
    pairs: pairs === undefined ? undefined : positive('pairs', pairs),
    seconds: positive('seconds', seconds),
    profile: profile === undefined ? undefined : resolve(profile),
    others: asked,
    progress: (text) => process.stderr.write(`${scenario.name}: ${text}\n`),
  }
  options.progress('starting')
  const { rows, merits, targets } = await scenario.run(options)
  say(`${tableOf(`${scenario.name}: ${scenario.title(options)}`, rows)}\n`)
  if (targets.some(({ onFaster }) => onFaster)) {
    options.progress('how fast the machine is')
    drawn.push({ name: scenario.name, merits, targets, timesFaster: await timesFaster() })
  } else drawn.push({ name: scenario.name, merits, targets })
}
say(`${verdict(drawn)}\n`)
const minutes = Math.ceil(performance.now() / 60_000)
writeFileSync(
  chart,
  chartOf(drawn, `${machine}, ${new Date().toISOString().slice(0, 10)}, a run of ${minutes} minutes`),
)
say(`Chart: ${resolve(chart)}`)
if (profile !== undefined) say(summaries(profile, 30))

function installedOrFail(name: string): Installed {
  try {
    return installed(name)
  } catch (error) {
    return fail((error as Error).message)
  }
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
