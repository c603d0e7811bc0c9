/** Every document that is printed from code, by the path it is printed to. */

import { readFileSync } from 'node:fs'
import { openApi } from '../http/openapi.ts'
import { asyncApi } from './asyncapi.ts'
import { envExample } from './env-example.ts'
import { errorTable } from './error-table.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const json = (document: object) => `${JSON.stringify(document, null, 2)}\n`

/** Paths from the root of the repository → what the file must hold. */
export function printed(): Readonly<Record<string, string>> {
  return {
    '.env.example': envExample(),
    'docs/errors.md': errorTable(),
    'docs/openapi.json': json(openApi({ demo: true, version })),
    'docs/asyncapi.json': json(asyncApi(version)),
  }
}
