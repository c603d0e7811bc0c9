import { expect, test } from '@jest/globals'
import type { SessionView } from '../../broker/index.ts'
import { type Packers, packed, unpack } from '../../src/luggage.ts'

const session = { id: 's', principal: { user: 'alice', token: 't' } } as SessionView

const former = [{ user: 'alice', token: 'before', expiresAt: 5 }]
const presence = { watched: ['bob'], missed: ['carol'], awaySince: 7 }

/** Services that have this to pack, and note what they unpack. */
function services(asked: { region?: string } | undefined = { region: 'eu' }) {
  const unpacked: Record<string, unknown> = {}
  const packers: Packers = {
    presence: { packed: () => presence, unpack: (_, what) => void Object.assign(unpacked, { presence: what }) },
    credentials: { packed: () => former, unpack: (_, what) => void Object.assign(unpacked, { former: what }) },
    turn: { packed: () => asked, unpack: (_, what) => void Object.assign(unpacked, { turn: what }) },
  }
  return { packers, unpacked }
}

test('what the services know of a session survives JSON', () => {
  const { packers, unpacked } = services()
  unpack(session, JSON.parse(JSON.stringify(packed(session, packers))), packers)
  expect(unpacked).toEqual({ presence, former, turn: { region: 'eu' } })
})

test('who has asked for no TURN credentials is told none', () => {
  const none = services()
  unpack(session, { ...packed(session, none.packers), turn: undefined }, none.packers)
  expect(none.unpacked).not.toHaveProperty('turn')
})

test.each([undefined, null, 'x', 7, [], {}, { presence: 5, former: [{}], turn: 'eu' }])(
  'luggage of another version (%j) is left behind, and the session comes without it',
  (luggage) => {
    const { packers, unpacked } = services()
    unpack(session, luggage, packers)
    expect(unpacked).toEqual({ former: [] })
  },
)
