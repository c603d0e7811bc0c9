/** A few thousand cases of every kind; a million are played by million.test.ts. */

import { afterAll, expect, test } from '@jest/globals'
import { Player } from './players.ts'

const player = new Player([], 5000)
afterAll(() => player.end())

test('whatever a few thousand hostile peers send stays with them, and leaves nothing behind', async () => {
  expect(await player.done).toBe('')
}, 300_000)
