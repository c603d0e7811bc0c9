/** A million cases, by two processes at a time; docs/decisions/0009 says what a case is. */

import { afterAll, expect, test } from '@jest/globals'
import { Player } from './players.ts'

const MILLION = 1_000_000

// About as much work each
const players = [
  new Player(['frames', 'octets', 'web'], 0.25 * MILLION),
  new Player(['recordings', 'parsing', 'bodies'], 0.75 * MILLION),
]
afterAll(() => {
  for (const player of players) player.end()
})

test('frames of every make, octets of none, and HTTP harm nobody', async () => {
  expect(await players[0]?.done).toBe('')
}, 1_200_000)

test('spoilt recordings, frames in any pieces and bodies of any content harm nobody', async () => {
  expect(await players[1]?.done).toBe('')
}, 1_200_000)
