import { describe, expect, test } from '@jest/globals'
import { chartOf } from '../../bench/support/chart.ts'
import type { Row } from '../../bench/support/scenario.ts'
import { median, percentile } from '../../bench/support/stats.ts'
import {
  atLeast,
  atMost,
  atMostTimes,
  below,
  ratio,
  tableOf,
  timed,
  timesBetter,
  verdict,
} from '../../bench/support/target.ts'

const cost: Row = {
  what: 'server CPU per message',
  unit: 'µs',
  found: { carillon: [12, 30, 11], raw: [10, 20, 10], sio: [30, 60, 28] },
}

describe('the figures of the benchmark', () => {
  test('the median of an even count lies between the two in the middle', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
  })

  test('a percentile is a value that was measured', () => {
    const thousand = Array.from({ length: 1000 }, (_, i) => 1000 - i)
    expect(percentile(thousand, 0.5)).toBe(500)
    expect(percentile(thousand, 0.99)).toBe(990)
    expect(percentile(thousand, 0.999)).toBe(999)
    expect(percentile([7], 0.999)).toBe(7)
  })

  test('a ratio compares the halves of a round, so that a round that was disturbed as a whole does no harm', () => {
    expect(ratio(cost, 'carillon', 'raw')).toBe(1.2)
    expect(ratio(cost, 'sio', 'raw')).toBe(3)
  })

  test('there is no ratio to what was not measured, nor to nothing', () => {
    expect(ratio(cost, 'carillon', 'rabbitmq')).toBeUndefined()
    expect(ratio({ ...cost, found: { carillon: [1], raw: [0] } }, 'carillon', 'raw')).toBeUndefined()
  })

  test('a target says whether it is met', () => {
    expect(atMostTimes(1.25, 'raw', cost)).toMatchObject({ met: true, found: '1.20 ×', wanted: '≤ 1.25 × raw' })
    expect(atMostTimes(1.1, 'raw', cost).met).toBe(false)
    expect(timesBetter(2, 'sio', cost).met).toBe(true)
    expect(timesBetter(3, 'sio', cost).met).toBe(false)
    expect(atMost(12, cost).met).toBe(true)
    expect(below(12, cost).met).toBe(false)
    expect(atLeast(13, cost).met).toBe(false)
  })

  test('a target whose reference was not measured is not met, and says why', () => {
    const target = timesBetter(10, 'rabbitmq', cost)
    expect(target).toMatchObject({ met: false, found: undefined, reached: undefined })
    expect(verdict([{ name: 'relay', targets: [target] }])).toContain('| not measured |')
  })

  test('a rate and a time are also judged as they would be where the targets were set, and a ratio is not', () => {
    const rate: Row = { what: 'calls', unit: 'calls/s', found: { carillon: [1500] } }
    const slow: Row = { what: 'ring', unit: 'ms', found: { carillon: [15] } }
    const table = verdict([
      {
        name: 'calls',
        targets: [timed((row) => atLeast(3000, row), rate), timed((row) => atMost(10, row), slow)],
        timesFaster: 2,
      },
      { name: 'relay', targets: [atMostTimes(1.25, 'raw', cost)], timesFaster: 2 },
    ])
    expect(table.split('\n').slice(2)).toEqual([
      '| calls | calls | ≥ 3,000 calls/s | 1,500 calls/s | **not met** | 3,000 calls/s | met |',
      '| calls | ring | ≤ 10 ms | 15 ms | **not met** | 7.5 ms | met |',
      '| relay | server CPU per message | ≤ 1.25 × raw | 1.20 × | met |  |  |',
    ])
  })

  test('a table has a column for whoever was measured, and for nobody else', () => {
    expect(tableOf('relay', [cost])).toBe(
      [
        '**relay**',
        '',
        '|  | Carillon | raw | socket.io | Carillon × raw |',
        '| --- | --- | --- | --- | --- |',
        '| server CPU per message (µs) | 12 [11–30] | 10 [10–20] | 30 [28–60] | 1.20 |',
      ].join('\n'),
    )
  })

  test('a table of relays compares with both references, line by line', () => {
    const packet: Row = { what: 'CPU', unit: 'µs', found: { carillon: [6], nodeTurn: [10], coturn: [4] } }
    const memory: Row = { what: 'memory', unit: 'KiB', found: { carillon: [18], nodeTurn: [12] } }
    expect(tableOf('turn', [packet, memory]).split('\n').slice(2)).toEqual([
      '|  | Carillon | node-turn | coturn | Carillon × node-turn | Carillon × coturn |',
      '| --- | --- | --- | --- | --- | --- |',
      '| CPU (µs) | 6 | 10 | 4 | 0.60 | 1.50 |',
      '| memory (KiB) | 18 | 12 |  | 1.50 |  |',
    ])
    expect(atMostTimes(0.6, 'nodeTurn', packet)).toMatchObject({ met: true, wanted: '≤ 0.60 × node-turn' })
    expect(atMostTimes(1.3, 'coturn', memory)).toMatchObject({ met: false, found: undefined })
  })

  test('a chart escapes its words', () => {
    const svg = chartOf([{ name: 'a<b', merits: [cost], targets: [below(10, cost)] }], 'R&D')
    expect(svg).toContain('a&lt;b')
    expect(svg).toContain('R&amp;D')
    expect(svg).toContain('&lt; 10 µs')
  })
})
