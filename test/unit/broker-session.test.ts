import { describe, expect, test } from '@jest/globals'
import type { Admission, Broker, Handler, Refused } from '../../broker/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { type MemoryStompPeer, memoryStompPeer } from '../support/stomp-memory.ts'
import { frame } from '../support/stomp-peer.ts'
import { testBroker } from '../support/stomp-server.ts'

/** A handler that waits to be let go, and keeps the order in which it was called. */
function gate(): { handler: Handler; bodies: string[]; open: (refused?: Refused) => Promise<void> } {
  const bodies: string[] = []
  const waiting: ((refused?: Refused) => void)[] = []
  return {
    bodies,
    handler: (_, { body }) => {
      bodies.push(body.toString())
      return new Promise((resolve) => waiting.push(resolve))
    },
    open: async (refused) => {
      waiting.shift()?.(refused)
      await settled()
    },
  }
}

const commands = (peer: MemoryStompPeer): string[] =>
  peer.frames.map(({ command, headers }) => `${command} ${headers['receipt-id'] ?? headers.message ?? ''}`.trim())

describe('one frame at a time', () => {
  test('what comes behind a frame that is worked on waits, in order, and receipts come after the work', async () => {
    const { handler, bodies, open } = gate()
    const { broker } = testBroker({ clock: new TestClock(), handlers: { '/app/slow': handler } })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(
      frame('SEND', { destination: '/app/slow', receipt: 'r1' }, 'one') +
        frame('SEND', { destination: '/app/slow', receipt: 'r2' }, 'two') +
        frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e', receipt: 'r3' }),
    )
    expect(bodies).toEqual(['one'])
    expect(commands(alice)).toEqual(['CONNECTED'])
    await open()
    expect(bodies).toEqual(['one', 'two'])
    expect(commands(alice)).toEqual(['CONNECTED', 'RECEIPT r1'])
    await open()
    expect(commands(alice)).toEqual(['CONNECTED', 'RECEIPT r1', 'RECEIPT r2', 'RECEIPT r3'])
  })

  test('other sessions do not wait', async () => {
    const { handler } = gate()
    const { broker } = testBroker({ clock: new TestClock(), handlers: { '/app/slow': handler } })
    const alice = memoryStompPeer(broker)
    const bob = memoryStompPeer(broker)
    await alice.connect('alice')
    await bob.connect('bob')
    await alice.send(frame('SEND', { destination: '/app/slow' }))
    await bob.send(frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e', receipt: 'r' }))
    expect(commands(bob)).toEqual(['CONNECTED', 'RECEIPT r'])
  })

  test('the RECEIPT of a SUBSCRIBE waits until everybody who is told of it is done', async () => {
    let done = (): void => undefined
    const told: string[] = []
    const { broker } = testBroker({
      clock: new TestClock(),
      observer: {
        subscribed: (session, destination) => {
          told.push(`${session.principal.user} ${destination} ${session.listensTo(destination)}`)
          return new Promise((resolve) => {
            done = resolve
          })
        },
      },
    })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e', receipt: 'r' }))
    expect(told).toEqual(['alice /user/queue/echo true'])
    expect(commands(alice)).toEqual(['CONNECTED'])
    done()
    await settled()
    expect(commands(alice)).toEqual(['CONNECTED', 'RECEIPT r'])
  })

  test('frames that had come before the peer went away are worked on, and only then the session ends', async () => {
    const { handler, bodies, open } = gate()
    const { broker, news } = testBroker({ clock: new TestClock(), handlers: { '/app/slow': handler } })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(
      frame('SEND', { destination: '/app/slow' }, 'one') + frame('SEND', { destination: '/app/slow' }, 'hang up'),
    )
    alice.end.close(1001, 'tab closed')
    await settled()
    expect(news).toEqual(['connected alice'])
    expect(broker.tell(broker.sessions('alice')[0]?.id ?? '', '/user/queue/echo', { body: '' })).toBe(false)
    await open()
    expect(bodies).toEqual(['one', 'hang up'])
    expect(news).toEqual(['connected alice'])
    await open()
    expect(news).toEqual(['connected alice', 'disconnected alice: 1001 tab closed'])
    expect(broker.online('alice')).toBe(false)
  })

  test('a SUBSCRIBE of a peer that is gone is in effect for nobody', async () => {
    const { handler, open } = gate()
    const told: string[] = []
    const { broker } = testBroker({
      clock: new TestClock(),
      handlers: { '/app/slow': handler },
      observer: { subscribed: (_, destination) => void told.push(destination) },
    })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(
      frame('SEND', { destination: '/app/slow' }) + frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' }),
    )
    alice.end.close()
    await settled()
    await open()
    expect(told).toEqual([])
    expect(broker.publish('/topic/news', { body: 'x' })).toBe(0)
  })

  test('what waits is bounded: reading pauses, and goes on when there is room', async () => {
    const { handler, bodies, open } = gate()
    const { broker } = testBroker({
      clock: new TestClock(),
      handlers: { '/app/slow': handler },
      limits: { queuedBytes: 1000 },
    })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    const body = 'x'.repeat(300)
    for (let i = 0; i < 20; i++) await alice.send(frame('SEND', { destination: '/app/slow' }, `${i} ${body}`))
    for (let i = 0; i < 20; i++) await open()
    expect(bodies.map((each) => Number.parseInt(each, 10))).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect(alice.over).toBeUndefined()
  })

  test('a peer that is not read from is not silent', async () => {
    const clock = new TestClock()
    const { handler, open } = gate()
    const { broker } = testBroker({
      clock,
      handlers: { '/app/slow': handler },
      limits: { queuedBytes: 100 },
      heartbeat: { sends: 10_000, wants: 10_000 },
    })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice', { 'heart-beat': '10000,0' })
    await alice.send(
      frame('SEND', { destination: '/app/slow' }) + frame('SEND', { destination: '/app/slow' }, 'x'.repeat(200)),
    )
    await clock.advance(60_000)
    expect(alice.over).toBeUndefined()
    await open()
    await open()
    await clock.advance(19_000)
    expect(alice.over).toBeUndefined()
    await clock.advance(2_000)
    expect(alice.over?.code).toBe(1002)
  })
})

describe('refusals and bugs', () => {
  async function connected() {
    const { broker, news } = testBroker({ clock: new TestClock() })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(frame('SUBSCRIBE', { destination: '/user/queue/errors', id: 'errors' }))
    return { alice, news }
  }

  test('a refusal is told on the errors queue with the facts, the destination and the receipt, and nothing else happens', async () => {
    const { alice } = await connected()
    await alice.send(frame('SEND', { destination: '/app/refuse', receipt: 'r' }))
    const { headers, body } = await alice.frame('MESSAGE')
    expect(headers).toMatchObject({
      destination: '/user/queue/errors',
      'receipt-id': 'r',
      'content-type': 'application/json',
    })
    expect(JSON.parse(body)).toEqual({
      code: 1001,
      message: 'callee is busy',
      reason: 'BUSY',
      destination: '/app/refuse',
    })
    expect(commands(alice)).not.toContain('RECEIPT r')
    expect(alice.over).toBeUndefined()
  })

  test.each(['/app/throw', '/app/reject'])(
    'a bug in %s is told as 500, and the cause is kept from the client',
    async (destination) => {
      const { alice, news } = await connected()
      await alice.send(frame('SEND', { destination, receipt: 'r' }))
      const { body } = await alice.frame('MESSAGE')
      expect(JSON.parse(body)).toMatchObject({ code: 500, destination })
      expect(body).not.toContain('bug')
      expect(news.at(-1)).toMatch(new RegExp(`^failed SEND ${destination}: a (late )?bug$`))
      expect(alice.over).toBeUndefined()
    },
  )

  test('a session without the errors queue is told nothing', async () => {
    const { broker } = testBroker({ clock: new TestClock() })
    const bob = memoryStompPeer(broker)
    await bob.connect('bob')
    await bob.send(frame('SEND', { destination: '/app/refuse' }), frame('SEND', { destination: '/app/none' }))
    expect(commands(bob)).toEqual(['CONNECTED'])
  })
})

describe('CONNECT', () => {
  test('a connection that is not a session in time gets an ERROR and is closed', async () => {
    const clock = new TestClock()
    const { broker, news } = testBroker({ clock })
    const slow = memoryStompPeer(broker)
    await clock.advance(9_999)
    expect(slow.over).toBeUndefined()
    await clock.advance(1)
    expect(slow.frames[0]?.headers.message).toBe('no session within 10000 ms')
    expect(slow.over?.code).toBe(1008)
    expect(news).toEqual(['expelled login-timeout: no session within 10000 ms'])
    expect(broker.counts().connections).toBe(0)
  })

  test.each(['in time', 'the peer leaves', 'the server stops'])(
    'an authentication that ends too late (%s) lets nobody in',
    async (reason) => {
      const clock = new TestClock()
      let admit: (admission: Admission) => void = () => undefined
      const { broker, news } = testBroker({
        clock,
        authenticate: () =>
          new Promise((resolve) => {
            admit = resolve
          }),
      })
      const alice = memoryStompPeer(broker)
      await alice.send(frame('CONNECT', { 'accept-version': '1.2' }))
      if (reason === 'in time') await clock.advance(10_000)
      else if (reason === 'the peer leaves') alice.end.close()
      else {
        // The peer has not gone yet when the answer comes
        alice.end.stall()
        void broker.stop({ perStep: 1, stepMs: 1, deadlineMs: 1000 })
      }
      await settled()
      admit({ principal: { user: 'alice', token: '' } })
      await settled()
      expect(news.filter((line) => /^(dis)?connected/.test(line))).toEqual([])
      expect(broker.online('alice')).toBe(false)
    },
  )

  test('an authentication that throws is our fault, told as 500', async () => {
    const { broker, news } = testBroker({
      clock: new TestClock(),
      authenticate: () => Promise.reject(new Error('keys')),
    })
    const alice = memoryStompPeer(broker)
    await alice.send(frame('CONNECT', { 'accept-version': '1.2' }))
    expect(JSON.parse((await alice.frame('ERROR')).body)).toMatchObject({ code: 500 })
    expect(news).toContain('failed authenticate: keys')
  })

  test('frames pipelined behind CONNECT are read by the version that it settles', async () => {
    const { broker } = testBroker({ clock: new TestClock() })
    const alice = memoryStompPeer(broker)
    await alice.send(
      frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' }) +
        'SUBSCRIBE\r\nid:a\\cb\r\ndestination:/user/queue/echo\r\nreceipt:r\r\n\r\n\0' +
        frame('SEND', { destination: '/app/echo' }, 'hello'),
    )
    expect(commands(alice)).toEqual(['CONNECTED', 'RECEIPT r', 'MESSAGE'])
    expect(alice.frames[2]?.headers.subscription).toBe('a\\cb')
  })

  test('a user has as many sessions as may be', async () => {
    const { broker } = testBroker({ clock: new TestClock(), limits: { sessionsPerUser: 2 } })
    for (const _ of [1, 2]) await memoryStompPeer(broker).connect('alice')
    const third = memoryStompPeer(broker)
    await third.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' }))
    expect((await third.frame('ERROR')).headers.message).toMatch(/^429 /)
    expect(third.over?.code).toBe(1008)
    await memoryStompPeer(broker).connect('bob')
  })

  test('sessions of a user are listed, the oldest first', async () => {
    const { broker } = testBroker({ clock: new TestClock() })
    const peers = [memoryStompPeer(broker), memoryStompPeer(broker), memoryStompPeer(broker)]
    const ids: (string | undefined)[] = []
    for (const peer of peers) ids.push((await peer.connect('alice')).headers.session)
    await peers[2]?.send(frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e' }))
    await peers[0]?.send(frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e' }))
    expect(broker.sessions('alice').map(({ id }) => id)).toEqual(ids)
    expect(broker.listening('alice', '/user/queue/echo')).toEqual([ids[0], ids[2]])
    expect(broker.listening('alice', '/user/queue/other')).toEqual([])
  })
})

describe('rates', () => {
  async function flood(limits: Parameters<typeof testBroker>[0] & object) {
    const clock = new TestClock()
    const { broker, news } = testBroker({ clock, ...limits })
    const peer = memoryStompPeer(broker)
    await peer.connect('alice')
    await peer.send(frame('SUBSCRIBE', { destination: '/user/queue/errors', id: 'errors' }))
    await peer.send(frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'echo' }))
    const echoes = () => peer.frames.filter(({ headers }) => headers.subscription === 'echo').length
    return { clock, broker, peer, news, echoes }
  }
  const echo = frame('SEND', { destination: '/app/echo' })

  test('beyond the burst a SEND is refused with the seconds to wait, and taken again after them', async () => {
    const { clock, peer, echoes } = await flood({ limits: { sessionRate: { perSecond: 0.5, burst: 3 } } })
    await peer.send(echo, echo, echo, echo)
    expect(echoes()).toBe(3)
    const { body } = await peer.frame(({ headers }) => headers.subscription === 'errors')
    expect(JSON.parse(body)).toEqual({
      code: 429,
      message: 'more than 0.5 messages a second of this session; wait 2 s, then send slower',
      retryAfter: 2,
      destination: '/app/echo',
    })
    await clock.advance(2_000)
    await peer.send(echo)
    expect(echoes()).toBe(4)
    expect(peer.over).toBeUndefined()
  })

  test('all sessions of a user share one bucket, which outlives them', async () => {
    const { broker, peer, news, echoes } = await flood({ limits: { userRate: { perSecond: 1, burst: 2 } } })
    await peer.send(echo, echo)
    peer.end.close()
    await settled()
    const again = memoryStompPeer(broker)
    await again.connect('alice')
    await again.send(frame('SUBSCRIBE', { destination: '/user/queue/errors', id: 'errors' }), echo)
    expect(echoes()).toBe(2)
    expect(JSON.parse((await again.frame('MESSAGE')).body)).toMatchObject({
      code: 429,
      message: 'more than 1 messages a second of this user; wait 1 s, then send slower',
    })
    expect(news.at(-1)).toBe('limited user')
  })

  test('SUBSCRIBEs beyond their burst are worked on later, in order, and none is lost', async () => {
    const { clock, peer, news, echoes } = await flood({ limits: { subscribeRate: { perSecond: 10, burst: 3 } } })
    const again = (id: number) => frame('SUBSCRIBE', { destination: '/user/queue/echo', id, receipt: `s${id}` })
    const over = (id: number) => frame('UNSUBSCRIBE', { id, receipt: `u${id}` })
    await peer.send(again(1), over(1), again(2), over(2), echo)
    const receipts = () => peer.frames.flatMap(({ headers }) => headers['receipt-id'] ?? [])
    expect([receipts(), echoes(), news.at(-1)]).toEqual([['s1', 'u1'], 0, 'limited subscribe'])
    await clock.advance(99)
    expect(receipts()).toHaveLength(2)
    await clock.advance(1)
    expect([receipts(), echoes()]).toEqual([['s1', 'u1', 's2', 'u2'], 1])
  })

  test.each(['/topic/open.a', '/queue/open.a', '/nowhere'])('SENDs to %s come through later, in order', async (to) => {
    const { clock, peer, news } = await flood({ limits: { openRate: { perSecond: 100, burst: 2 } } })
    const sends = [1, 2, 3, 4].map((n) => frame('SEND', { destination: to }, String(n)))
    await peer.send(frame('SUBSCRIBE', { destination: '/topic/open.a', id: 't' }))
    await peer.send(frame('SUBSCRIBE', { destination: '/queue/open.a', id: 'q' }), ...sends)
    const come = () => peer.frames.filter(({ command }) => command === 'MESSAGE')
    expect([come().length, news.at(-1)]).toEqual([2, 'limited open'])
    await clock.advance(10)
    expect(come()).toHaveLength(3)
    await clock.advance(10)
    const told = to === '/nowhere' ? Array(4).fill(`${to}: no such destination to SEND to`) : ['1', '2', '3', '4']
    expect(come().map(({ body }) => (to === '/nowhere' ? JSON.parse(body).message : body))).toEqual(told)
  })

  test('a peer that leaves while its frames wait for their turn leaves nothing behind', async () => {
    const { clock, broker, peer } = await flood({ limits: { openRate: { perSecond: 1, burst: 1 } } })
    await peer.send(...[1, 2, 3].map(() => frame('SEND', { destination: '/topic/open.a' })))
    peer.end.close()
    await clock.advance(3000)
    expect(broker.counts()).toMatchObject({ connections: 0, sessions: 0, users: 0, subscriptions: 0 })
  })

  test('buckets of users are forgotten when they are full', async () => {
    const { clock, peer } = await flood({})
    await peer.send(echo)
    peer.end.close()
    await settled()
    expect(clock.waiting).toBe(1)
    await clock.advance(60_000)
    expect(clock.waiting).toBe(0)
  })

  test('open destinations have a rate of their own', async () => {
    const { peer } = await flood({ limits: { sessionRate: { perSecond: 1, burst: 1 } } })
    await peer.send(frame('SUBSCRIBE', { destination: '/topic/open.a', id: 'open' }))
    for (let i = 0; i < 10; i++) await peer.send(frame('SEND', { destination: '/topic/open.a' }))
    expect(peer.frames.filter(({ headers }) => headers.subscription === 'open')).toHaveLength(10)
  })
})

describe('connections of one address', () => {
  const from = (broker: Broker, address: string) => memoryStompPeer(broker, { address })

  test('are bounded, IPv6 by the network; each that ends makes room', async () => {
    const { broker } = testBroker({ clock: new TestClock(), limits: { connectionsPerAddress: 2 } })
    const first = from(broker, '2001:db8::1')
    await from(broker, '2001:db8::2').connect('alice')
    expect([broker.roomFor('2001:db8::3'), broker.roomFor('2001:db8:0:1::1')]).toEqual([false, true])
    const third = from(broker, '2001:db8::3')
    await settled()
    expect(third.over).toEqual({ code: 1013, reason: 'too many connections from this address' })
    await from(broker, '192.0.2.1').connect('bob')
    first.end.close()
    await settled()
    await from(broker, '2001:db8::3').connect('carol')
  })
})

describe('a flood of frames in one message', () => {
  async function flooded() {
    const { broker } = testBroker({ clock: new TestClock() })
    const [flooder, other] = [memoryStompPeer(broker), memoryStompPeer(broker)]
    for (const peer of [flooder, other]) await peer.connect('alice')
    const frames = Array.from({ length: 2000 }, (_, n) =>
      frame(n % 2 === 0 ? 'BEGIN' : 'ABORT', { transaction: 't', receipt: n }),
    )
    flooder.end.send(frames.join(''))
    other.end.send(frame('BEGIN', { transaction: 't', receipt: 'mine' }))
    return { broker, flooder, other }
  }
  const receipts = (peer: { frames: readonly { headers: Readonly<Record<string, string>> }[] }) =>
    peer.frames.flatMap(({ headers }) => headers['receipt-id'] ?? [])

  test('does not keep others waiting until it is over, and is answered in order', async () => {
    const { flooder, other } = await flooded()
    await other.frame('RECEIPT')
    expect(receipts(flooder).length).toBeLessThan(1000)
    await flooder.frame(({ headers }) => headers['receipt-id'] === '1999')
    expect(receipts(flooder)).toEqual(Array.from({ length: 2000 }, (_, n) => String(n)))
  })

  test('counts to its end when the peer is gone meanwhile', async () => {
    const { broker, flooder, other } = await flooded()
    await other.frame('RECEIPT')
    flooder.end.close()
    while (broker.counts().sessions > 1) await new Promise(setImmediate)
    expect(broker.counts()).toMatchObject({ sessions: 1, connections: 1 })
  })
})

describe('a slow reader', () => {
  test('is not who gets one frame that is larger than what may wait', async () => {
    const { broker, news } = testBroker({ clock: new TestClock(), limits: { bufferedBytes: 10_000 } })
    const peer = memoryStompPeer(broker)
    await peer.connect('alice')
    await peer.send(frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' }))
    peer.end.stall()
    broker.publish('/topic/news', { body: 'x'.repeat(50_000) })
    expect(broker.online('alice')).toBe(true)
    broker.publish('/topic/news', { body: 'x' })
    expect(broker.online('alice')).toBe(false)
    expect(news.at(1)).toMatch(/^expelled slow-reader/)
  })

  test('is closed when too much waits for it; others get everything', async () => {
    const clock = new TestClock()
    const { broker, news } = testBroker({ clock, limits: { bufferedBytes: 10_000 } })
    const slow = memoryStompPeer(broker)
    const fast = memoryStompPeer(broker)
    for (const [peer, user] of [
      [slow, 'slow'],
      [fast, 'fast'],
    ] as const) {
      await peer.connect(user)
      await peer.send(frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' }))
    }
    slow.end.stall()
    for (let i = 0; i < 50; i++) {
      broker.publish('/topic/news', { body: 'x'.repeat(1000) })
      await settled()
    }
    expect(fast.frames.filter(({ command }) => command === 'MESSAGE')).toHaveLength(50)
    expect(news.find((line) => line.startsWith('expelled'))).toMatch(/^expelled slow-reader: reads too slowly/)
    expect(broker.counts()).toMatchObject({ sessions: 1, connections: 2 })
    // It does not take the good-bye either
    await clock.advance(5_000)
    expect(slow.over).toBeDefined()
    expect(broker.counts()).toMatchObject({ sessions: 1, connections: 1, buffered: 0 })
  })

  /** A stalled listener of a topic, and the clock. */
  async function stalled() {
    const clock = new TestClock()
    const { broker, news } = testBroker({ clock, limits: { bufferedMs: 10_000 } })
    const peer = memoryStompPeer(broker)
    await peer.connect('alice')
    await peer.send(frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' }))
    peer.end.stall()
    broker.publish('/topic/news', { body: 'first' })
    return { clock, broker, news, peer }
  }

  test('is closed when something waits for it too long, however little it is', async () => {
    const { clock, broker, news } = await stalled()
    await clock.advance(9_900)
    expect(broker.online('alice')).toBe(true)
    await clock.advance(1_100)
    expect(broker.online('alice')).toBe(false)
    expect(news.find((line) => line.startsWith('expelled'))).toMatch(
      /^expelled slow-reader: reads too slowly: \d+ octets are waiting for more than 10000 ms$/,
    )
  })

  test('is not who takes what waits before the time is over, though more waits by then', async () => {
    const { clock, broker, peer } = await stalled()
    for (let i = 0; i < 5; i++) {
      await clock.advance(9_000)
      peer.end.flow()
      await settled()
      peer.end.stall()
      broker.publish('/topic/news', { body: 'next' })
    }
    expect(broker.online('alice')).toBe(true)
    await clock.advance(11_000)
    expect(broker.online('alice')).toBe(false)
  })

  test('misses what may be missed while it is behind, nothing else, and is said to have caught up afterwards', async () => {
    const caughtUp: string[] = []
    const { broker } = testBroker({
      clock: new TestClock(),
      limits: { bufferedBytes: 40_000 },
      observer: { caughtUp: ({ principal }) => void caughtUp.push(principal.user) },
    })
    const peer = memoryStompPeer(broker)
    await peer.connect('alice')
    await peer.send(frame('SUBSCRIBE', { destination: '/topic/news', id: 'n' }))
    const missed: string[] = []
    const publish = (body: string) => broker.publish('/topic/news', { body, missed: () => void missed.push(body) })
    peer.end.stall()
    expect(publish('1')).toBe(1)
    broker.publish('/topic/news', { body: 'x'.repeat(12_000) })
    expect(publish('2')).toBe(0)
    expect(broker.publish('/topic/news', { body: 'must' })).toBe(1)
    expect(missed).toEqual(['2'])
    expect(caughtUp).toEqual([])
    peer.end.flow()
    await settled()
    expect(caughtUp).toEqual(['alice'])
    publish('3')
    await settled()
    const bodies = peer.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => body)
    expect(bodies.filter((body) => body.length < 10)).toEqual(['1', 'must', '3'])
  })

  test('is watched no longer when it is gone, and nobody is while nothing waits', async () => {
    const { clock, peer } = await stalled()
    const watched = clock.waiting
    peer.end.close()
    await settled()
    expect(clock.waiting).toBeLessThan(watched)
    await clock.advance(60_000)
    expect(clock.waiting).toBe(0)
  })
})

describe('stop', () => {
  test('refuses newcomers and closes sessions in steps with 1012', async () => {
    const clock = new TestClock()
    const { broker } = testBroker({ clock })
    const peers = Array.from({ length: 5 }, () => memoryStompPeer(broker))
    for (const peer of peers) await peer.connect('alice')
    let stopped = false
    void broker.stop({ perStep: 2, stepMs: 100, deadlineMs: 10_000 }).then(() => {
      stopped = true
    })
    await settled()
    expect(broker.accepting).toBe(false)
    expect(peers.map(({ over }) => over?.code)).toEqual([1012, 1012, undefined, undefined, undefined])
    const late = memoryStompPeer(broker)
    await settled()
    expect(late.over?.code).toBe(1012)
    await clock.advance(100)
    expect(peers.map(({ over }) => over?.code)).toEqual([1012, 1012, 1012, 1012, undefined])
    expect(stopped).toBe(false)
    await clock.advance(100)
    expect(stopped).toBe(true)
  })

  test('ends at the deadline whoever does not go', async () => {
    const clock = new TestClock()
    const { broker } = testBroker({ clock })
    const stuck = memoryStompPeer(broker)
    await stuck.connect('alice')
    stuck.end.stall()
    let stopped = false
    void broker.stop({ perStep: 10, stepMs: 100, deadlineMs: 1_000 }).then(() => {
      stopped = true
    })
    await clock.advance(999)
    expect(stopped).toBe(false)
    await clock.advance(1)
    expect(stopped).toBe(true)
    expect(stuck.over?.code).toBe(1006)
  })

  test('is over at once when nobody is there', async () => {
    await testBroker({ clock: new TestClock() }).broker.stop({ perStep: 1, stepMs: 1, deadlineMs: 1 })
  })

  test('a frame that had come before still counts', async () => {
    const { handler, bodies, open } = gate()
    const clock = new TestClock()
    const { broker } = testBroker({ clock, handlers: { '/app/slow': handler } })
    const alice = memoryStompPeer(broker)
    await alice.connect('alice')
    await alice.send(
      frame('SEND', { destination: '/app/slow' }, 'a') + frame('SEND', { destination: '/app/slow' }, 'b'),
    )
    void broker.stop({ perStep: 1, stepMs: 1, deadlineMs: 1000 })
    await settled()
    await open()
    expect(bodies).toEqual(['a', 'b'])
  })
})

test('disconnect cuts one session with a code and a reason, and drops what waits', async () => {
  const { handler, bodies, open } = gate()
  const { broker, news } = testBroker({ clock: new TestClock(), handlers: { '/app/slow': handler } })
  const alice = memoryStompPeer(broker)
  const { headers } = await alice.connect('alice')
  await alice.send(
    frame('SEND', { destination: '/app/slow', receipt: 'r' }, 'a') + frame('SEND', { destination: '/app/slow' }, 'b'),
  )
  broker.disconnect(headers.session ?? '', 4001, 'revoked')
  await settled()
  expect(alice.over).toEqual({ code: 4001, reason: 'revoked' })
  expect(news).toEqual(['connected alice', 'disconnected alice: revoked'])
  await open()
  expect(bodies).toEqual(['a'])
  expect(commands(alice)).toEqual(['CONNECTED'])
})
