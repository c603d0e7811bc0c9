/**
 * How fast the machine is just now. Some targets are no ratios but figures of their own (calls per second, milliseconds);
 * they were set on a machine where the raw relay takes {@link RELAYED_MICROS} per message. One that is half as fast meets
 * them less easily, and says little of the server by that.
 */

import { exchange } from './exchange.ts'
import { closeAll, rawPairs } from './pairs.ts'
import { startRawRelay } from './server.ts'
import { median } from './stats.ts'
import { RELAYED_MICROS } from './target.ts'

const PAIRS = 500
const WARM_UP_S = 3
const ROUNDS = 3

/** How many times as fast the machine of the targets is. */
export async function timesFaster(): Promise<number> {
  const raw = await startRawRelay()
  const pairs = await rawPairs(raw.url, PAIRS)
  await exchange(raw, pairs, WARM_UP_S)
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push((await exchange(raw, pairs, 1)).microsPerMessage)
  await closeAll(pairs)
  await raw.stop()
  return median(rounds) / RELAYED_MICROS
}
