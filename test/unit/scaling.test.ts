import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { HABITS, SCALES, site, tables } from '../../bench/scaling.ts'

const PAGE = new URL('../../docs/scaling.md', import.meta.url)

/** `RECORD=1 npm test -- scaling` writes them anew. */
test('docs/scaling.md has the tables that the calculation prints', () => {
  const page = readFileSync(PAGE, 'utf8')
  const [start, end] = ['<!-- printed by bench/scaling.ts -->\n', '<!-- end -->']
  const before = page.slice(0, page.indexOf(start) + start.length)
  const shown = `${before}\n${tables(SCALES, HABITS)}\n${page.slice(page.indexOf(end))}`
  if (process.env.RECORD === '1') writeFileSync(PAGE, shown)
  else expect(page).toBe(shown)
})

test('a site of one node sends nothing between nodes', () => {
  const { nodes, busBytes, cores } = site(10_000, HABITS)
  expect({ nodes, busBytes: Math.round(busBytes), signals: cores.signals }).toEqual({
    nodes: 1,
    busBytes: Math.round(busBytes),
    signals: 0,
  })
})

test('twice the calls are twice the load of their server', () => {
  const { cores } = site(1e6, HABITS)
  expect(site(1e6, { ...HABITS, calls: 2 * HABITS.calls }).cores.calls).toBeCloseTo(2 * cores.calls)
})
