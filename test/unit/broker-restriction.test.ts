/** Sessions whose credential changes, is restricted, or is taken away while they are connected. */

import { describe, expect, test } from '@jest/globals'
import type { Restriction } from '../../broker/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { type MemoryStompPeer, memoryStompPeer } from '../support/stomp-memory.ts'
import { frame } from '../support/stomp-peer.ts'
import { testBroker } from '../support/stomp-server.ts'

const EXPIRED = { code: 401, message: 'token: has expired' }

/** May SEND to `/app/echo`, hears the errors queue and `/user/queue/other`. */
const ECHO_ONLY: Restriction = {
  refusal: (verb, destination) => (verb === 'SEND' && destination === '/app/echo' ? undefined : EXPIRED),
  hears: (destination) => destination === '/user/queue/other' || destination === '/user/queue/errors',
}

const commands = (peer: MemoryStompPeer): string[] =>
  peer.frames.map(({ command, headers, body }) =>
    [command, headers['receipt-id'], command === 'MESSAGE' ? `${headers.destination} ${body}` : '']
      .filter((word) => word !== undefined && word !== '')
      .join(' '),
  )

async function arrives(destinations: readonly string[] = []) {
  const { broker, news } = testBroker({ clock: new TestClock() })
  const alice = memoryStompPeer(broker)
  const { headers } = await alice.connect('alice')
  const id = headers.session as string
  for (const destination of ['/user/queue/errors', ...destinations])
    await alice.send(frame('SUBSCRIBE', { destination, id: destination }))
  return { broker, news, alice, id }
}

describe('a restricted session', () => {
  test('is refused what its restriction refuses, and the connection stays', async () => {
    const { broker, alice, id } = await arrives()
    expect(broker.restrict(id, ECHO_ONLY)).toBe(true)
    await alice.send(frame('SEND', { destination: '/app/refuse', receipt: 'r1' }))
    const refused = JSON.stringify({ ...EXPIRED, destination: '/app/refuse' })
    expect(commands(alice).slice(1)).toEqual([`MESSAGE r1 /user/queue/errors ${refused}`])
    await alice.send(frame('SEND', { destination: '/app/echo', receipt: 'r2' }))
    expect(commands(alice).at(-1)).toBe('RECEIPT r2')
    expect(alice.over).toBeUndefined()
  })

  test.each(['/user/queue/echo', '/topic/open.x', '/queue/open.x', '/topic/news'])(
    'cannot SUBSCRIBE to %s, and may UNSUBSCRIBE what was refused',
    async (destination) => {
      const { broker, alice, id } = await arrives()
      broker.restrict(id, ECHO_ONLY)
      await alice.send(frame('SUBSCRIBE', { destination, id: 'late' }))
      expect(commands(alice).at(-1)).toContain('/user/queue/errors {"code":401')
      await alice.send(frame('UNSUBSCRIBE', { id: 'late', receipt: 'r' }))
      expect(commands(alice).at(-1)).toBe('RECEIPT r')
    },
  )

  test.each(['/topic/open.x', '/queue/open.x'])(
    'cannot SEND to %s, which is open for everybody',
    async (destination) => {
      const { broker, alice, id } = await arrives()
      const bob = memoryStompPeer(broker)
      await bob.connect('bob')
      await bob.send(frame('SUBSCRIBE', { destination, id: 's' }))
      broker.restrict(id, ECHO_ONLY)
      await alice.send(frame('SEND', { destination }, 'x'))
      expect(commands(alice).at(-1)).toContain('/user/queue/errors {"code":401')
      expect(commands(bob)).toEqual(['CONNECTED'])
    },
  )

  test('is refused inside a transaction at once, and at COMMIT what it sent before', async () => {
    const { broker, alice, id } = await arrives()
    const within = (receipt: string) => frame('SEND', { destination: '/topic/open.x', transaction: 't', receipt }, 'x')
    await alice.send(frame('BEGIN', { transaction: 't' }), within('r1'))
    broker.restrict(id, ECHO_ONLY)
    await alice.send(within('r2'))
    await alice.send(frame('COMMIT', { transaction: 't', receipt: 'r3' }))
    expect(alice.frames.slice(1).map(({ command, headers }) => `${command} ${headers['receipt-id']}`)).toEqual([
      'RECEIPT r1',
      'MESSAGE r2',
      'MESSAGE r3',
    ])
  })

  test('hears nothing on other destinations, whoever sends, and counts as nobody there', async () => {
    const all = ['/user/queue/echo', '/user/queue/other', '/topic/news', '/queue/open.x']
    const { broker, alice, id } = await arrives(all)
    broker.restrict(id, ECHO_ONLY)
    expect(broker.tell(id, '/user/queue/echo', { body: 'x' })).toBe(false)
    expect(broker.listening('alice', '/user/queue/echo')).toEqual([])
    expect(broker.session(id)?.listensTo('/user/queue/echo')).toBe(false)
    expect(broker.publish('/topic/news', { body: 'x' })).toBe(0)
    expect(broker.tell(id, '/user/queue/other', { body: 'heard' })).toBe(true)
    await settled()
    const bob = memoryStompPeer(broker)
    await bob.connect('bob')
    await bob.send(frame('SEND', { destination: '/queue/open.x' }, 'kept'))
    expect(commands(alice).slice(1)).toEqual(['MESSAGE /user/queue/other heard'])
  })

  test('hears again what it subscribed to, and what an open queue has kept, when the restriction is lifted', async () => {
    const { broker, alice, id } = await arrives(['/user/queue/echo', '/topic/news', '/queue/open.x'])
    broker.restrict(id, ECHO_ONLY)
    const bob = memoryStompPeer(broker)
    await bob.connect('bob')
    await bob.send(frame('SEND', { destination: '/queue/open.x' }, 'kept'))
    broker.restrict(id, undefined)
    broker.tell(id, '/user/queue/echo', { body: 'a' })
    expect(broker.publish('/topic/news', { body: 'b' })).toBe(1)
    await settled()
    expect(commands(alice).slice(1)).toEqual([
      'MESSAGE /queue/open.x kept',
      'MESSAGE /user/queue/echo a',
      'MESSAGE /topic/news b',
    ])
  })

  test('that UNSUBSCRIBEs meanwhile hears nothing there when the restriction is lifted', async () => {
    const { broker, alice, id } = await arrives(['/topic/news', '/user/queue/echo'])
    broker.restrict(id, ECHO_ONLY)
    await alice.send(frame('UNSUBSCRIBE', { id: '/topic/news' }), frame('UNSUBSCRIBE', { id: '/user/queue/echo' }))
    broker.restrict(id, undefined)
    expect(broker.publish('/topic/news', { body: 'x' })).toBe(0)
    expect(broker.tell(id, '/user/queue/echo', { body: 'x' })).toBe(false)
    expect(alice.over).toBeUndefined()
  })
})

describe('a credential', () => {
  test('is renewed in place, for the same user only', async () => {
    const { broker, id } = await arrives()
    const fresh = { user: 'alice', token: 'another', expiresAt: 5 }
    expect(broker.renew(id, fresh)).toBe(true)
    expect(broker.session(id)?.principal).toBe(fresh)
    expect(broker.renew(id, { user: 'bob', token: 'x' })).toBe(false)
    expect(broker.renew('nobody', fresh)).toBe(false)
    expect(broker.session(id)?.principal).toBe(fresh)
  })

  test('that is no longer good ends the session with an ERROR like that of a refused CONNECT, and 1008', async () => {
    const { broker, news, alice, id } = await arrives()
    expect([...broker.everySession()].map((session) => session.id)).toEqual([id])
    expect(broker.expel(id, EXPIRED)).toBe(true)
    await settled()
    const { headers, body } = await alice.frame('ERROR')
    expect(headers).toMatchObject({ message: '401 token\\c has expired', 'content-type': 'application/json' })
    expect(JSON.parse(body)).toEqual(EXPIRED)
    expect(alice.over).toEqual({ code: 1008, reason: 'token: has expired' })
    expect(news).toContain('expelled credentials: token: has expired')
    expect(broker.expel(id, EXPIRED)).toBe(false)
    expect([...broker.everySession()]).toEqual([])
  })
})
