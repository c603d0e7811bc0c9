import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { CODES } from '../../src/errors.ts'

test('docs/errors.md has every code of the table, in its words, and no other', () => {
  const rows = readFileSync('docs/errors.md', 'utf8')
    .split('\n')
    .map((line) => /^\| (\d+) \| (.*) \| (.*) \|$/.exec(line))
    .filter((row) => row !== null)
    .map(([, code, meaning, advice]) => ({ code: Number(code), meaning, advice }))
  expect(rows).toEqual(Object.values(CODES))
})
