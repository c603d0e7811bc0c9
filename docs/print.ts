/** Prints the documents that come from code (`npm run docs`). A test fails while they differ. */

import { writeFileSync } from 'node:fs'
import { printed } from './printed.ts'

for (const [path, text] of Object.entries(printed())) {
  writeFileSync(new URL(`../${path}`, import.meta.url), text)
  process.stdout.write(`${path}\n`)
}
