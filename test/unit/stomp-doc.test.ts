/** docs/stomp.md and the titles of the wire tests name the same clauses. */

import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'

const root = new URL('../../', import.meta.url)

function idsOf(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, id]) => id as string)
}

const tested = readdirSync(new URL('test/wire/', root), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .flatMap((name) => idsOf(readFileSync(new URL(`test/wire/${name}`, root), 'utf8'), /['"`]([A-Z]+-\d+) /g))

const documented = idsOf(readFileSync(new URL('docs/stomp.md', root), 'utf8'), /^\| ([A-Z]+-\d+) \|/gm)

test('every clause of docs/stomp.md has a test that names it, and every test a clause', () => {
  expect([...new Set(tested)].sort()).toEqual([...documented].sort())
})

test('no clause is there twice', () => {
  expect(new Set(documented).size).toBe(documented.length)
  expect(documented.length).toBeGreaterThan(80)
})
