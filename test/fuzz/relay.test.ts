/** 200,000 packets against the relay over real sockets; relay.ts says what they are, and what must hold. */

import { afterAll, expect, test } from '@jest/globals'
import { Player } from './players.ts'

const player = new Player(['relay'], 200_000)
afterAll(() => player.end())

test('packets that are spoilt, repeated or of no sense harm nobody who is relayed', async () => {
  expect(await player.done).toBe('')
}, 1_200_000)
