/**
 * The run as a picture (SVG, nothing but shapes and text): what each contender pays beside `raw`, and how much of every
 * target is reached. Knows rows and targets, not what they are about.
 */

import { CONTENDERS, type Contender, type Row, type Target } from './scenario.ts'
import { digits, median } from './stats.ts'
import { NAMES, ratio } from './target.ts'

/** A scenario in the picture. */
export interface Drawn {
  readonly name: string
  /** Rows that are drawn as ratios to raw. */
  readonly merits: readonly Row[]
  readonly targets: readonly Target[]
}

const WIDTH = 1000
const MARGIN = 32
const BARS_FROM = 330
const BARS_WIDTH = 380
const BAR = 15
const TEXT = '#1f2933'
const QUIET = '#66737f'
const GRID = '#dde3e9'
const MET = '#2e8b57'
const MISSED = '#c8553d'
const COLOURS: Readonly<Record<Contender, string>> = {
  carillon: '#2563a8',
  raw: '#9aa5b1',
  sio: '#e0a030',
  stompBrokerJs: '#4fa3a5',
  rabbitmq: '#8c5a96',
  nodeTurn: '#9aa5b1',
  coturn: '#e0a030',
  udp: '#4fa3a5',
  alone: '#9aa5b1',
  within: '#2563a8',
  two: '#e0a030',
  three: '#4fa3a5',
  plain: '#9aa5b1',
}
/** Longer bars are cut off; their number says how long they are. */
const MOST_TIMES = 4
const MOST_REACHED = 1.5

/** `note`: one line on where and how it was measured. */
export function chartOf(scenarios: readonly Drawn[], note: string): string {
  const costs = costPanel(scenarios, 84)
  const targets = targetPanel(scenarios, costs.bottom + 36)
  const height = targets.bottom + 24
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="${TEXT}">`,
    '<title>Carillon beside its references: server CPU and targets</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(MARGIN, 38, 'Carillon beside its references', 'font-size="20" font-weight="600"'),
    text(MARGIN, 60, note, `fill="${QUIET}"`),
    ...costs.shapes,
    ...targets.shapes,
    '</svg>',
    '',
  ].join('\n')
}

interface Panel {
  readonly shapes: readonly string[]
  readonly bottom: number
}

function costPanel(scenarios: readonly Drawn[], top: number): Panel {
  const rows = scenarios.flatMap(({ name, merits }) => merits.map((row) => ({ name, row })))
  if (rows.length === 0) return { shapes: [], bottom: top }
  const measured = CONTENDERS.filter((name) => rows.some(({ row }) => row.found[name] !== undefined))
  const shapes: string[] = []
  let y = top + 46
  for (const { name, row } of rows) {
    const present = measured.filter((contender) => row.found[contender] !== undefined)
    const middle = y + (present.length * (BAR + 3)) / 2
    shapes.push(...caption(middle - 3, name, row.what))
    for (const contender of present) {
      const times = ratio(row, contender, 'raw') ?? 0
      const label = `${times.toFixed(2)} ×  (${digits(median(row.found[contender] ?? []))} ${row.unit})`
      const end = BARS_FROM + Math.min(1, times / MOST_TIMES) * BARS_WIDTH
      shapes.push(
        ...bar(y, times / MOST_TIMES, COLOURS[contender]),
        text(end + 6, y + BAR - 3, label, 'font-size="12"'),
      )
      y += BAR + 3
    }
    y += 16
  }
  const bottom = y - 10
  return {
    shapes: [
      text(MARGIN, top + 12, 'Server CPU, as a multiple of raw ws (shorter is better)', 'font-weight="600"'),
      ...legend(measured, top + 30),
      ...grid([0, 1, 2, 3, 4], MOST_TIMES, top + 40, bottom, (value) => `${value} ×`),
      ...shapes,
    ],
    bottom: bottom + 16,
  }
}

function targetPanel(scenarios: readonly Drawn[], top: number): Panel {
  const targets = scenarios.flatMap(({ name, targets: all }) => all.map((target) => ({ name, ...target })))
  const line = BARS_FROM + BARS_WIDTH / MOST_REACHED
  const shapes: string[] = []
  let y = top + 28
  for (const { name, what, wanted, found, reached, met } of targets) {
    const words = found === undefined ? `not measured (${wanted})` : `${found} (${wanted})`
    shapes.push(
      ...caption(y + 5, name, what),
      ...bar(y, (reached ?? 0) / MOST_REACHED, met ? MET : MISSED),
      text(BARS_FROM + BARS_WIDTH + 14, y + BAR - 3, words, 'font-size="12"'),
    )
    y += 34
  }
  const bottom = y - 8
  return {
    shapes: [
      text(MARGIN, top + 4, 'Targets, and how much of each is reached', 'font-weight="600"'),
      ...grid([0, 1], MOST_REACHED, top + 18, bottom, (value) => (value === 1 ? 'target' : '')),
      ...shapes,
      `<line x1="${line}" x2="${line}" y1="${top + 18}" y2="${bottom}" stroke="${TEXT}" stroke-width="1.5"/>`,
    ],
    bottom: bottom + 16,
  }
}

function caption(y: number, name: string, what: string): string[] {
  return [text(MARGIN, y, name, 'font-weight="600"'), text(MARGIN, y + 15, what, `fill="${QUIET}" font-size="12"`)]
}

/** `share` of the width; what is longer is cut, and shows it. */
function bar(y: number, share: number, colour: string): string[] {
  const width = Math.max(1, Math.min(share, 1) * BARS_WIDTH)
  const end = BARS_FROM + width
  const cut = share > 1 ? [`<path d="M${end - 14} ${y + BAR} l5 -${BAR} h4 l-5 ${BAR} z" fill="#fff"/>`] : []
  return [
    `<rect x="${BARS_FROM}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${colour}"/>`,
    ...cut,
  ]
}

function legend(contenders: readonly Contender[], y: number): string[] {
  return contenders.flatMap((name, i) => {
    const x = MARGIN + i * 116
    return [
      `<rect x="${x}" y="${y - 10}" width="11" height="11" rx="2" fill="${COLOURS[name]}"/>`,
      text(x + 16, y, NAMES[name], 'font-size="12"'),
    ]
  })
}

function grid(
  values: readonly number[],
  most: number,
  top: number,
  bottom: number,
  label: (value: number) => string,
): string[] {
  return values.flatMap((value) => {
    const x = BARS_FROM + (value / most) * BARS_WIDTH
    return [
      `<line x1="${x}" x2="${x}" y1="${top}" y2="${bottom}" stroke="${GRID}"/>`,
      text(x, bottom + 14, label(value), `fill="${QUIET}" font-size="11" text-anchor="middle"`),
    ]
  })
}

function text(x: number, y: number, words: string, attributes = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped}</text>`
}
