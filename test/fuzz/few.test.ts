/** A few thousand cases of every kind; a million are played by million.test.ts. */

import { afterAll, expect, test } from '@jest/globals'
import { Stage } from './case.ts'
import { Player } from './players.ts'
import { asCase, RECORDINGS } from './recordings.ts'
import { World } from './world.ts'

const player = new Player([], 5000)
afterAll(() => player.end())

test('whatever a few thousand hostile peers send stays with them, and leaves nothing behind', async () => {
  expect(await player.done).toBe('')
}, 300_000)

test('the recordings that are spoilt go through when they are not', async () => {
  const world = new World()
  const stage = await Stage.opens(world)
  for (const recording of RECORDINGS) expect(await stage.play(asCase(recording, true))).toEqual([])
  expect(await stage.sweep()).toEqual([])
  expect(world.refusals).toBe(0)
})
