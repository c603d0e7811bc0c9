/**
 * A process that writes to a history until it is killed, and says what is written: `DATABASE_URL` and a name for its
 * calls are its arguments. With `once` behind them it opens the history, writes one call, and ends by itself.
 */

import { systemClock } from '../../broker/clock.ts'
import { openHistory } from '../../src/adapters/sql/index.ts'
import { record } from './call-records.ts'

const [url = '', name = '', once] = process.argv.slice(2)
const quiet = () => undefined
const history = openHistory(url, { clock: systemClock, log: { info: quiet, warn: quiet, error: quiet } })

for (let n = 0; history && n < (once === undefined ? 100_000 : 1); n += 10) {
  const batch = Array.from({ length: 10 }, (_, each) => record(`${name}-${n + each}`, n + each))
  await history.write(batch)
  process.stdout.write(`${n + batch.length}\n`)
}
await history?.stop()
