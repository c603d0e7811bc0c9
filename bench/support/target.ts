/** Targets: what a figure must reach, compared with what it is. */

import { CONTENDERS, type Contender, type Row, type Target } from './scenario.ts'
import { digits, median } from './stats.ts'

/** As people know them. */
export const NAMES: Readonly<Record<Contender, string>> = {
  carillon: 'Carillon',
  raw: 'raw',
  sio: 'socket.io',
  stompBrokerJs: 'stomp-broker-js',
  rabbitmq: 'RabbitMQ',
  nodeTurn: 'node-turn',
  coturn: 'coturn',
  udp: 'forwarder',
  alone: 'one process',
  within: 'within a node',
  two: 'between 2 nodes',
  three: 'between 3 nodes',
  plain: 'one by one',
}

/**
 * How many times `of` is `to`: the median of the rounds' own ratios, since what disturbs the machine disturbs the two
 * halves of a round alike. Undefined when one was not measured.
 */
export function ratio({ found }: Row, of: Contender, to: Contender): number | undefined {
  const above = found[of]
  const below = found[to]
  if (above === undefined || below === undefined) return undefined
  const times =
    above.length === below.length
      ? median(above.map((value, round) => value / below[round]!))
      : median(above) / median(below)
  return Number.isFinite(times) ? times : undefined
}

/** Carillon's figure is at most so many times the reference's. */
export function atMostTimes(limit: number, reference: Contender, row: Row): Target {
  const found = ratio(row, 'carillon', reference)
  return {
    what: row.what,
    wanted: `≤ ${limit.toFixed(2)} × ${NAMES[reference]}`,
    found: found === undefined ? undefined : `${found.toFixed(2)} ×`,
    met: found !== undefined && found <= limit,
    reached: found === undefined ? undefined : limit / found,
  }
}

/** The other's figure is at least so many times Carillon's. */
export function timesBetter(factor: number, other: Contender, row: Row): Target {
  const found = ratio(row, other, 'carillon')
  return {
    what: row.what,
    wanted: `≥ ${factor} × better than ${NAMES[other]}`,
    found: found === undefined ? undefined : `${found.toFixed(2)} × better`,
    met: found !== undefined && found >= factor,
    reached: found === undefined ? undefined : found / factor,
  }
}

/** Carillon's figure itself is at most so much. `what`: where the row's own words would not say it. */
export function atMost(limit: number, row: Row, what = row.what): Target {
  const found = median(row.found.carillon ?? [])
  return {
    what,
    wanted: `≤ ${digits(limit)} ${row.unit}`,
    found: `${digits(found)} ${row.unit}`,
    met: found <= limit,
    reached: limit / found,
  }
}

/** Carillon's figure itself is below this. */
export function below(limit: number, row: Row): Target {
  const found = median(row.found.carillon ?? [])
  return { ...atMost(limit, row), wanted: `< ${digits(limit)} ${row.unit}`, met: found < limit }
}

/** Carillon's figure itself is at least so much. */
export function atLeast(limit: number, row: Row, what = row.what): Target {
  const found = median(row.found.carillon ?? [])
  return {
    what,
    wanted: `≥ ${digits(limit)} ${row.unit}`,
    found: `${digits(found)} ${row.unit}`,
    met: found >= limit,
    reached: found / limit,
  }
}

/** Server CPU of the raw relay for one message (500 pairs, 700 octets) on the machine that the targets were set on. */
export const RELAYED_MICROS = 15.2

/** A target that hangs on the speed of the machine: a rate, or a time. */
export function timed(target: (row: Row) => Target, row: Row): Target {
  return { ...target(row), onFaster: (times) => target(onFaster(row, times)) }
}

function onFaster(row: Row, times: number): Row {
  const factor = /(\/|per )s$/.test(row.unit) ? times : 1 / times
  return { ...row, found: { carillon: (row.found.carillon ?? []).map((value) => value * factor) } }
}

/** What Carillon is compared with in a column of its own, where it was measured. */
const REFERENCES = ['raw', 'nodeTurn', 'coturn', 'udp'] as const

/** A scenario's lines as a Markdown table, each with its ratios to the references that there are. */
export function tableOf(title: string, rows: readonly Row[]): string {
  const measured = CONTENDERS.filter((name) => rows.some(({ found }) => found[name] !== undefined))
  const references = REFERENCES.filter((name) => measured.includes(name))
  const names = measured.map((name) => NAMES[name])
  const head = ['', ...names, ...references.map((name) => `Carillon × ${NAMES[name]}`)]
  const lines = rows.map((row) => {
    const columns = measured.map((name) => shown(row.found[name]))
    const times = references.map((name) => ratio(row, 'carillon', name)?.toFixed(2) ?? '')
    return [`${row.what} (${row.unit})`, ...columns, ...times]
  })
  return [`**${title}**`, '', ...markdown(head, lines)].join('\n')
}

/** Targets of one scenario; how many times as fast the machine is that they were set on. */
export interface Judged {
  readonly name: string
  readonly targets: readonly Target[]
  readonly timesFaster?: number
}

/** What was wanted, what was found, and whether that will do. */
export function verdict(scenarios: readonly Judged[]): string {
  const lines = scenarios.flatMap(({ name, targets, timesFaster }) =>
    targets.map((target) => {
      const { what, wanted, found, onFaster: there } = target
      const elsewhere = timesFaster === undefined ? undefined : there?.(timesFaster)
      return [
        name,
        what,
        wanted,
        found ?? '–',
        judgement(target),
        ...(elsewhere ? [elsewhere.found ?? '–', judgement(elsewhere)] : ['', '']),
      ]
    }),
  )
  const there = `where raw takes ${RELAYED_MICROS} µs`
  return markdown(['scenario', 'target', 'wanted', 'found', '', there, ''], lines).join('\n')
}

function judgement({ found, met }: Pick<Target, 'found' | 'met'>): string {
  if (found === undefined) return 'not measured'
  return met ? 'met' : '**not met**'
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string[] {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`)
}

function shown(values: readonly number[] | undefined): string {
  if (values === undefined) return ''
  const spread = values.length > 1 ? ` [${digits(Math.min(...values))}–${digits(Math.max(...values))}]` : ''
  return `${digits(median(values))}${spread}`
}
