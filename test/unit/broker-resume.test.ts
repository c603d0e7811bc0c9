import { expect, test } from '@jest/globals'
import type { BrokerObserver, ResumeClaim, ResumeOptions, SuspendedSession } from '../../broker/types.ts'
import { settled, TestClock } from '../support/clock.ts'
import { type MemoryStompPeer, memoryStompPeer } from '../support/stomp-memory.ts'
import { frame, type ServerFrame } from '../support/stomp-peer.ts'
import { type TestBrokerOptions, testBroker } from '../support/stomp-server.ts'

const GRACE_MS = 30_000

const RESUME: ResumeOptions = {
  graceMs: GRACE_MS,
  sessionBytes: 64 * 1024,
  allBytes: 1024 * 1024,
  awayPerUser: 3,
  away: 100,
}

function start({
  resume,
  observer,
  ...options
}: Omit<TestBrokerOptions, 'resume'> & { resume?: Partial<ResumeOptions> } = {}) {
  const clock = new TestClock()
  const news: string[] = []
  const say =
    (what: string) =>
    ({ id, principal }: { id: string; principal: { user: string } }, ...rest: unknown[]) =>
      void news.push(
        [what, principal.user, ...rest.filter((one) => typeof one === 'string'), id === '' ? '?' : ''].join(' ').trim(),
      )
  const watched: BrokerObserver = {
    connected: say('connected'),
    disconnected: say('disconnected'),
    away: say('away'),
    returned: say('returned'),
    released: say('released'),
    ...observer,
  }
  const { broker } = testBroker({ clock, ...options, observer: watched, resume: { ...RESUME, ...resume } })
  const peer = () => memoryStompPeer(broker)
  return { clock, broker, news, peer }
}

type Started = ReturnType<typeof start>

/** A session that has subscribed to its echo. */
async function arrives({ peer }: Pick<Started, 'peer'>, user = 'alice', headers: Record<string, string> = {}) {
  const at = peer()
  const { headers: said } = await at.connect(user, headers)
  await at.send(frame('SUBSCRIBE', { id: 'echo', destination: '/user/queue/echo' }))
  return { at, id: said.session ?? '', resumeId: said['resume-id'] ?? '' }
}

async function comesBack(
  { peer }: Pick<Started, 'peer'>,
  resumeId: string,
  lastSeq: number | string | undefined,
  user = 'alice',
  headers: Record<string, string> = {},
): Promise<{ at: MemoryStompPeer; connected: ServerFrame }> {
  const at = peer()
  const claim = { 'resume-id': resumeId, ...(lastSeq === undefined ? {} : { 'last-seq': String(lastSeq) }) }
  const connected = await at.connect(user, { ...claim, ...headers })
  await settled()
  return { at, connected }
}

const messages = ({ frames }: MemoryStompPeer) => frames.filter(({ command }) => command === 'MESSAGE')
const bodies = (at: MemoryStompPeer) => messages(at).map(({ body }) => body)
const seqs = (at: MemoryStompPeer) => messages(at).map(({ headers }) => Number(headers.seq))

async function cut(at: MemoryStompPeer) {
  at.end.close(1006)
  await settled()
}

test('CONNECTED names what the session is resumed by: its id and a secret', async () => {
  const { id, resumeId } = await arrives(start())
  expect(resumeId).toMatch(/^[\w-]{22}\.[\w-]{22}$/)
  expect(resumeId.startsWith(`${id}.`)).toBe(true)
})

test('without the option no session can be resumed, and who asks is told so', async () => {
  const { broker, news } = testBroker()
  const at = memoryStompPeer(broker)
  const { headers } = await at.connect('alice', { 'resume-id': 'x.y' })
  expect(headers['resume-id']).toBeUndefined()
  expect(headers.resumed).toBe('false')
  await cut(at)
  expect(news).toEqual(['connected alice', 'disconnected alice: connection closed with 1006'])
})

test('every MESSAGE carries its number', async () => {
  const { at } = await arrives(start())
  await at.send(frame('SEND', { destination: '/app/echo' }, 'a'), frame('SEND', { destination: '/app/echo' }, 'b'))
  expect(seqs(at)).toEqual([1, 2])
  expect(messages(at)[1]?.headers['message-id']).toMatch(/-2$/)
})

test('a session that loses its connection is away, and comes back as the very same', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  const { connected } = await comesBack(world, resumeId, 0)
  expect(connected.headers).toMatchObject({ session: id, 'resume-id': resumeId, resumed: 'true' })
  expect(world.news).toEqual(['connected alice', 'away alice connection closed with 1006', 'returned alice'])
})

test('what was sent into the void and what was said meanwhile comes again, exactly as it was, and nothing twice', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  const tell = (body: string) => world.broker.tell(id, '/user/queue/echo', { body, headers: { from: 'bob' } })
  tell('heard')
  await settled()
  at.end.stall()
  tell('lost on the way')
  await cut(at)
  tell('said while away')
  const back = await comesBack(world, resumeId, 1)
  tell('live')
  await settled()
  expect(bodies(back.at)).toEqual(['lost on the way', 'said while away', 'live'])
  expect(seqs(back.at)).toEqual([2, 3, 4])
  expect(messages(back.at)[0]?.headers).toMatchObject({ subscription: 'echo', 'message-id': `${id}-2`, from: 'bob' })
})

test('CONNECTED may be lost as well: the same resume-id is good again', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  world.broker.tell(id, '/user/queue/echo', { body: 'news' })
  const second = await comesBack(world, resumeId, 0)
  await cut(second.at)
  const third = await comesBack(world, resumeId, 0)
  expect(third.connected.headers).toMatchObject({ session: id, resumed: 'true' })
  expect(bodies(third.at)).toEqual(['news'])
})

test('a session whose connection looks alive leaves it, after what had come over it is done', async () => {
  let finish = (): void => undefined
  const slow = new Promise<undefined>((resolve) => {
    finish = () => resolve(undefined)
  })
  const world = start({ handlers: { '/app/slow': () => slow } })
  const { at, id, resumeId } = await arrives(world)
  await at.send(
    frame('SEND', { destination: '/app/slow' }),
    frame('SEND', { destination: '/app/echo' }, 'still counts'),
  )
  const next = world.peer()
  const connected = next.connect('alice', { 'resume-id': resumeId, 'last-seq': '0' })
  await settled()
  expect(at.over).toMatchObject({ code: 4001 })
  expect(next.frames).toEqual([])
  finish()
  expect((await connected).headers).toMatchObject({ session: id, resumed: 'true' })
  await settled()
  expect(bodies(next)).toEqual(['still counts'])
})

test('of two connections that want the same session at once one gets it, and the other a session of its own', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  const both = await Promise.all([comesBack(world, resumeId, 0), comesBack(world, resumeId, 0)])
  const sessions = both.map(({ connected }) => connected.headers.session)
  expect(new Set(sessions).size).toBe(2)
  expect(sessions).toContain(id)
  expect(world.broker.sessions('alice')).toHaveLength(2)
})

test.each([
  ['another user', 'bob', (id: string) => id],
  ['a wrong secret', 'alice', (id: string) => `${id.slice(0, -1)}${id.endsWith('A') ? 'B' : 'A'}`],
  ['no secret', 'alice', (id: string) => id.split('.')[0] ?? ''],
])('%s gets a new session, and the old one stays untouched', async (_, user, claim) => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  const { connected } = await comesBack(world, claim(resumeId), 0, user)
  expect(connected.headers.resumed).toBe('false')
  expect(connected.headers.session).not.toBe(id)
  expect(at.over).toBeUndefined()
  await cut(at)
  expect((await comesBack(world, resumeId, 0)).connected.headers.resumed).toBe('true')
})

test('a new token of the same user becomes the token of the session', async () => {
  const tokens: string[] = []
  const world = start({
    authenticate: async ({ headers }) => ({ principal: { user: 'alice', token: headers.ide ?? '' } }),
    observer: { returned: (session, before) => void tokens.push(before.token, session.principal.token) },
  })
  const { at, resumeId } = await arrives(world, 'old')
  await cut(at)
  await comesBack(world, resumeId, 0, 'new')
  expect(tokens).toEqual(['old', 'new'])
})

test('whoever comes after the grace finds a new session, and the old one has ended', async () => {
  const world = start()
  const { at, resumeId } = await arrives(world)
  await cut(at)
  await world.clock.advance(GRACE_MS)
  expect(world.news.at(-1)).toBe('disconnected alice did not come back')
  expect(world.broker.counts()).toMatchObject({ sessions: 0, away: 0 })
  expect((await comesBack(world, resumeId, 0)).connected.headers.resumed).toBe('false')
})

test('a session that came back in time does not end by the old grace', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  await world.clock.advance(GRACE_MS - 1)
  await comesBack(world, resumeId, 0)
  await world.clock.advance(GRACE_MS)
  expect(world.broker.sessions('alice').map((session) => session.id)).toEqual([id])
})

test('each session has the whole grace, whichever goes first', async () => {
  const world = start()
  const first = await arrives(world, 'alice')
  const second = await arrives(world, 'bob')
  await cut(first.at)
  await world.clock.advance(1000)
  await cut(second.at)
  await world.clock.advance(GRACE_MS - 1000)
  expect(world.broker.holds(first.id)).toBe(false)
  expect(world.broker.holds(second.id)).toBe(true)
  await world.clock.advance(1000)
  expect(world.broker.holds(second.id)).toBe(false)
})

test.each([
  ['more than was ever sent', '7'],
  ['less than is kept', '1'],
])('who says to have heard %s cannot go on: the old session has ended', async (_, lastSeq) => {
  const world = start({ resume: { sessionBytes: 1024 } })
  const { at, id, resumeId } = await arrives(world)
  for (let n = 0; n < 6; n++) world.broker.tell(id, '/user/queue/echo', { body: 'x'.repeat(300) })
  await cut(at)
  const { connected } = await comesBack(world, resumeId, lastSeq)
  expect(connected.headers.resumed).toBe('false')
  expect(world.broker.holds(id)).toBe(false)
  expect(world.news).toContain('disconnected alice came back too late: messages are lost')
})

test.each([undefined, '', '-1', '1e3', 'x'])(
  'who does not say what it has heard (%s) hears all, if all is there',
  async (lastSeq) => {
    const world = start({ resume: { sessionBytes: 1024 } })
    const { at, id, resumeId } = await arrives(world)
    world.broker.tell(id, '/user/queue/echo', { body: 'all' })
    await cut(at)
    const back = await comesBack(world, resumeId, lastSeq)
    expect(bodies(back.at)).toEqual(['all'])
    for (let n = 0; n < 6; n++) world.broker.tell(id, '/user/queue/echo', { body: 'x'.repeat(300) })
    await cut(back.at)
    expect((await comesBack(world, resumeId, lastSeq)).connected.headers.resumed).toBe('false')
  },
)

test('another version of STOMP than before cannot go on', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  const { connected } = await comesBack(world, resumeId, 0, 'alice', { 'accept-version': '1.1' })
  expect(connected.headers).toMatchObject({ version: '1.1', resumed: 'false' })
  expect(world.broker.holds(id)).toBe(false)
})

test.each([
  ['DISCONNECT', frame('DISCONNECT')],
  ['a frame that breaks STOMP', frame('NONSENSE')],
])('after %s there is nothing to come back to', async (_, last) => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await at.send(last)
  expect(world.broker.holds(id)).toBe(false)
  expect((await comesBack(world, resumeId, 0)).connected.headers.resumed).toBe('false')
})

test('DISCONNECT that had come before the connection was lost ends the session', async () => {
  let finish = (): void => undefined
  const slow = new Promise<undefined>((resolve) => {
    finish = () => resolve(undefined)
  })
  const world = start({ handlers: { '/app/slow': () => slow } })
  const { at, id } = await arrives(world)
  await at.send(frame('SEND', { destination: '/app/slow' }), frame('DISCONNECT'))
  await cut(at)
  finish()
  await settled()
  expect(world.broker.holds(id)).toBe(false)
  expect(world.news.filter((line) => line.startsWith('disconnected'))).toHaveLength(1)
})

test('a session that is away can be cut, by an operator or because its credential is no longer good', async () => {
  const world = start()
  const one = await arrives(world)
  const other = await arrives(world)
  await cut(one.at)
  await cut(other.at)
  world.broker.disconnect(one.id, 1008, 'shut out')
  world.broker.expel(other.id, { code: 401, message: 'token: has expired' })
  expect(world.news.slice(-2)).toEqual(['disconnected alice shut out', 'disconnected alice token: has expired'])
  expect(world.broker.counts().away).toBe(0)
})

test('a reader that is too slow, and one whose heart-beats are missing, may come back', async () => {
  const world = start({ heartbeat: { sends: 1000, wants: 1000 }, limits: { bufferedMs: 1000 } })
  const silent = await arrives(world, 'alice', { 'heart-beat': '1000,0' })
  await world.clock.advance(5000)
  expect(silent.at.over?.code).toBe(1002)
  expect((await comesBack(world, silent.resumeId, 0)).connected.headers.resumed).toBe('true')

  const slow = await arrives(world, 'bob')
  slow.at.end.stall()
  world.broker.tell(slow.id, '/user/queue/echo', { body: 'unread' })
  await world.clock.advance(5000)
  const back = await comesBack(world, slow.resumeId, 0, 'bob')
  expect(back.connected.headers.resumed).toBe('true')
  expect(bodies(back.at)).toEqual(['unread'])
})

test('who is away is not connected: only what is asked for those that can be reached names it', async () => {
  const world = start()
  const { at, id } = await arrives(world)
  const { broker } = world
  await cut(at)
  expect(broker.listening('alice', '/user/queue/echo')).toEqual([])
  expect(broker.reachable('alice', '/user/queue/echo')).toEqual([id])
  expect(broker.online('alice')).toBe(false)
  expect(broker.sessions('alice')).toEqual([])
  expect([...broker.everySession()]).toEqual([])
  expect([...broker.everyHeld()].map((session) => session.id)).toEqual([id])
  expect(broker.session(id)).toMatchObject({ away: true })
  expect(broker.counts()).toMatchObject({ sessions: 0, users: 0, subscriptions: 0, away: 1 })
  expect(broker.tell(id, '/user/queue/echo', { body: '' })).toBe(true)
  expect(broker.tell(id, '/user/queue/other', { body: '' })).toBe(false)
})

test('one that comes back has its old place among the sessions of its user', async () => {
  const world = start()
  const old = await arrives(world)
  await world.clock.advance(1)
  const young = await arrives(world)
  await cut(old.at)
  await comesBack(world, old.resumeId, 0)
  expect(world.broker.listening('alice', '/user/queue/echo')).toEqual([old.id, young.id])
})

test('sessions that are away take no room from those that are connected', async () => {
  const world = start({ limits: { sessionsPerUser: 1 } })
  for (let i = 0; i < 10; i++) await cut((await arrives(world)).at)
  expect(world.broker.counts()).toMatchObject({ away: RESUME.awayPerUser, sessions: 0 })
  const { at } = await arrives(world)
  expect(at.over).toBeUndefined()
})

test('of too many that are away, the one that has been away longest ends: of the user, and of all', async () => {
  const world = start({ resume: { awayPerUser: 2, away: 3 } })
  const alices = [await arrives(world), await arrives(world), await arrives(world)]
  for (const { at } of alices) await cut(at)
  expect(alices.map(({ id }) => world.broker.holds(id))).toEqual([false, true, true])
  for (const user of ['bob', 'carol']) await cut((await arrives(world, user)).at)
  expect(alices.map(({ id }) => world.broker.holds(id))).toEqual([false, false, true])
})

test('a user with as many sessions as may be is refused, and the session that is away waits on', async () => {
  const world = start({ limits: { sessionsPerUser: 1 } })
  const lost = await arrives(world)
  await cut(lost.at)
  const present = await arrives(world)
  const refused = world.peer()
  await expect(refused.connect('alice', { 'resume-id': lost.resumeId, 'last-seq': '0' })).rejects.toThrow()
  await present.at.send(frame('DISCONNECT'))
  expect((await comesBack(world, lost.resumeId, 0)).connected.headers.resumed).toBe('true')
})

test('a SUBSCRIBE with the id of before takes the place of the old one, without a word', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world)
  await cut(at)
  const back = await comesBack(world, resumeId, 0)
  await back.at.send(frame('SUBSCRIBE', { id: 'echo', destination: '/user/queue/echo' }))
  world.broker.tell(id, '/user/queue/echo', { body: 'once' })
  await settled()
  expect(bodies(back.at)).toEqual(['once'])
  await back.at.send(frame('SUBSCRIBE', { id: 'echo', destination: '/user/queue/echo' }))
  expect(back.at.over?.code).toBe(1002)
})

test('a SUBSCRIBE with another id takes the place of the old one to the same destination', async () => {
  const world = start()
  const { at, resumeId } = await arrives(world)
  await at.send(frame('SUBSCRIBE', { id: 'news', destination: '/topic/news' }))
  await cut(at)
  const back = await comesBack(world, resumeId, 0)
  await back.at.send(frame('SUBSCRIBE', { id: 'sub-7', destination: '/topic/news' }))
  expect(world.broker.publish('/topic/news', { body: 'once' })).toBe(1)
  await settled()
  expect(messages(back.at).map(({ headers }) => headers.subscription)).toEqual(['sub-7'])
})

test('ids that have changed places leave no subscription behind', async () => {
  const world = start()
  const at = world.peer()
  const { headers } = await at.connect('alice')
  await at.send(
    frame('SUBSCRIBE', { id: '0', destination: '/user/queue/echo' }),
    frame('SUBSCRIBE', { id: '1', destination: '/topic/news' }),
  )
  await cut(at)
  const back = await comesBack(world, headers['resume-id'] ?? '', 0)
  await back.at.send(
    frame('SUBSCRIBE', { id: '0', destination: '/topic/news' }),
    frame('SUBSCRIBE', { id: '1', destination: '/user/queue/echo' }),
  )
  expect(back.at.over).toBeUndefined()
  expect(world.broker.counts().subscriptions).toBe(2)
  expect(world.broker.publish('/topic/news', { body: 'once' })).toBe(1)
})

test('two subscriptions to one destination stay two when both are made again', async () => {
  const world = start()
  const { at, resumeId } = await arrives(world)
  await at.send(frame('SUBSCRIBE', { id: 'again', destination: '/user/queue/echo' }))
  await cut(at)
  const back = await comesBack(world, resumeId, 0)
  await back.at.send(
    frame('SUBSCRIBE', { id: 'echo', destination: '/user/queue/echo' }),
    frame('SUBSCRIBE', { id: 'again', destination: '/user/queue/echo' }),
  )
  expect(back.at.over).toBeUndefined()
  expect(world.broker.counts().subscriptions).toBe(2)
})

test('as many subscriptions as may be can all be made again', async () => {
  const world = start({ limits: { subscriptionsPerSession: 2 } })
  const { at, resumeId } = await arrives(world)
  await at.send(frame('SUBSCRIBE', { id: 'news', destination: '/topic/news' }))
  await cut(at)
  const back = await comesBack(world, resumeId, 0)
  await back.at.send(
    frame('SUBSCRIBE', { id: 'a', destination: '/user/queue/echo' }),
    frame('SUBSCRIBE', { id: 'b', destination: '/topic/news' }),
  )
  expect(back.at.over).toBeUndefined()
})

test('a SUBSCRIBE that had come before the connection was lost is in force afterwards, and tells nobody before', async () => {
  let finish = (): void => undefined
  const slow = new Promise<undefined>((resolve) => {
    finish = () => resolve(undefined)
  })
  const subscribed: string[] = []
  const world = start({
    handlers: { '/app/slow': () => slow },
    observer: { subscribed: (_, destination) => void subscribed.push(destination) },
  })
  const { at, id } = await arrives(world)
  await at.send(
    frame('SEND', { destination: '/app/slow' }),
    frame('SUBSCRIBE', { id: 'other', destination: '/user/queue/other' }),
  )
  await cut(at)
  finish()
  await settled()
  expect(world.broker.reachable('alice', '/user/queue/other')).toEqual([id])
  expect(subscribed).toEqual(['/user/queue/echo'])
})

test('a transaction is lost with the connection', async () => {
  const world = start()
  const { at, resumeId } = await arrives(world)
  await at.send(
    frame('BEGIN', { transaction: 't' }),
    frame('SEND', { destination: '/app/echo', transaction: 't' }, 'never'),
  )
  await cut(at)
  const back = await comesBack(world, resumeId, 0)
  await back.at.send(frame('BEGIN', { transaction: 't' }), frame('COMMIT', { transaction: 't' }))
  expect(back.at.over).toBeUndefined()
  expect(bodies(back.at)).toEqual([])
})

test('what a consumer had not acknowledged goes to others meanwhile, and it consumes again when it is back', async () => {
  const world = start()
  const lost = await arrives(world)
  await lost.at.send(frame('SUBSCRIBE', { id: 'jobs', destination: '/queue/open.jobs', ack: 'client' }))
  const sender = await arrives(world, 'bob')
  await sender.at.send(frame('SEND', { destination: '/queue/open.jobs' }, 'job 1'))
  expect(bodies(lost.at)).toEqual(['job 1'])
  await cut(lost.at)
  const other = await arrives(world, 'carol')
  await other.at.send(frame('SUBSCRIBE', { id: 'jobs', destination: '/queue/open.jobs' }))
  expect(bodies(other.at)).toEqual(['job 1'])
  await other.at.send(frame('DISCONNECT'))
  const back = await comesBack(world, lost.resumeId, 1)
  await sender.at.send(frame('SEND', { destination: '/queue/open.jobs' }, 'job 2'))
  expect(bodies(back.at)).toEqual(['job 2'])
})

test('what may be left out is not kept for one that is away: it hears how things are when it is back', async () => {
  const caughtUp: string[] = []
  const missed: string[] = []
  const world = start({ observer: { caughtUp: ({ id }) => void caughtUp.push(id) } })
  const { at, id, resumeId } = await arrives(world)
  await at.send(frame('SUBSCRIBE', { id: 'news', destination: '/topic/news' }))
  const change = (body: string) =>
    world.broker.publish('/topic/news', { body, missed: (session) => void missed.push(session) })
  change('heard')
  await settled()
  at.end.stall()
  change('lost on the way')
  await cut(at)
  change('said while away')
  expect(missed).toEqual([id])
  const back = await comesBack(world, resumeId, 1)
  expect(bodies(back.at)).toEqual([])
  expect(caughtUp).toEqual([id])
  change('live')
  await settled()
  expect(seqs(back.at)).toEqual([3])
})

test('one change that was lost on the way is enough to be told how things are', async () => {
  const caughtUp: string[] = []
  const world = start({ observer: { caughtUp: ({ id }) => void caughtUp.push(id) } })
  const { at, id, resumeId } = await arrives(world)
  await at.send(frame('SUBSCRIBE', { id: 'news', destination: '/topic/news' }))
  at.end.stall()
  world.broker.publish('/topic/news', { body: 'lost', missed: () => undefined })
  await cut(at)
  await comesBack(world, resumeId, 0)
  expect(caughtUp).toEqual([id])
})

test('who has missed nothing has nothing to catch up with', async () => {
  const caughtUp: string[] = []
  const world = start({ observer: { caughtUp: ({ id }) => void caughtUp.push(id) } })
  const { at, resumeId } = await arrives(world)
  await cut(at)
  await comesBack(world, resumeId, 0)
  expect(caughtUp).toEqual([])
})

test('a client that says so with its CONNECT comes back when it can', async () => {
  const world = start()
  const { at, id, resumeId } = await arrives(world, 'alice', { resume: 'true' })
  expect(world.broker.session(id)?.comesBack).toBe(true)
  await cut(at)
  await comesBack(world, resumeId, 0)
  expect(world.broker.session(id)?.comesBack).toBe(false)
})

test('when the server stops, sessions are away and not over', async () => {
  const world = start()
  const { at, id } = await arrives(world)
  const stopped = world.broker.stop({ perStep: 10, stepMs: 1, deadlineMs: 1000 })
  await world.clock.advance(10)
  await stopped
  expect(at.over?.code).toBe(1012)
  expect(world.broker.session(id)?.away).toBe(true)
  expect(world.news.at(-1)).toBe('away alice server restarts')
  await world.clock.advance(10 * GRACE_MS)
  expect(world.broker.releaseAll().map((one) => one.id)).toEqual([id])
  expect(world.clock.waiting).toBe(0)
})

test('a stop waits for what is still worked on, so that its session is away, too', async () => {
  let done = () => {}
  const slow = new Promise<undefined>((resolve) => {
    done = () => resolve(undefined)
  })
  const world = start({ handlers: { '/app/slow': () => slow } })
  const { at, id } = await arrives(world)
  await at.send(frame('SEND', { destination: '/app/slow' }))
  let isStopped = false
  const stopped = world.broker.stop({ perStep: 10, stepMs: 1, deadlineMs: 1000 }).then(() => {
    isStopped = true
  })
  await world.clock.advance(10)
  expect([at.over?.code, isStopped]).toEqual([1012, false])
  done()
  await stopped
  expect(world.broker.releaseAll().map((one) => one.id)).toEqual([id])
})

test('a stop loses no session for being one of many', async () => {
  const world = start({ resume: { awayPerUser: 1, away: 1 } })
  for (let i = 0; i < 3; i++) await arrives(world)
  const stopped = world.broker.stop({ perStep: 10, stepMs: 1, deadlineMs: 1000 })
  await world.clock.advance(10)
  await stopped
  expect(world.broker.releaseAll()).toHaveLength(3)
})

/** Two processes; the second asks the first. What goes between them could go over a network. */
function pair(more: Partial<ResumeOptions> = {}) {
  const first = start({ resume: { packs: ({ id }) => ({ of: id }) } })
  const luggage: unknown[] = []
  const claims: ResumeClaim[] = []
  const second = start({
    resume: {
      fetch: async (claim) => {
        claims.push(claim)
        const suspended = await first.broker.release(claim)
        return suspended && overTheNetwork(suspended)
      },
      unpacks: (_, what) => void luggage.push(what),
      ...more,
    },
  })
  return { first, second, luggage, claims }
}

function overTheNetwork(session: SuspendedSession): SuspendedSession {
  const frames = session.frames.map(({ octets, ...rest }) => ({
    ...rest,
    octets: Buffer.from(octets).toString('base64'),
  }))
  const received = JSON.parse(JSON.stringify({ ...session, frames })) as Omit<SuspendedSession, 'frames'> & {
    frames: typeof frames
  }
  return { ...received, frames: received.frames.map((one) => ({ ...one, octets: Buffer.from(one.octets, 'base64') })) }
}

test('a session goes on in another process, with all that it had', async () => {
  const { first, second, luggage, claims } = pair()
  const { at, id, resumeId } = await arrives(first)
  await at.send(frame('SUBSCRIBE', { id: 'news', destination: '/topic/news' }))
  first.broker.tell(id, '/user/queue/echo', { body: 'heard' })
  first.broker.tell(id, '/user/queue/echo', { body: 'missed' })
  const back = await comesBack(second, resumeId, 1)
  expect(back.connected.headers).toMatchObject({ session: id, 'resume-id': resumeId, resumed: 'true' })
  expect(at.over?.code).toBe(4001)
  expect(first.broker.holds(id)).toBe(false)
  expect(first.news.at(-1)).toBe('released alice')
  expect(second.news).toEqual(['returned alice'])
  expect(luggage).toEqual([{ of: id }])
  expect(claims).toMatchObject([{ sessionId: id, user: 'alice', version: '1.2', lastSeq: 1 }])
  second.broker.tell(id, '/user/queue/echo', { body: 'live' })
  second.broker.publish('/topic/news', { body: 'news' })
  await settled()
  expect(bodies(back.at)).toEqual(['missed', 'live', 'news'])
  expect(seqs(back.at)).toEqual([2, 3, 4])
})

test('a process gives nothing to those whose claim is not good', async () => {
  const { first, second } = pair()
  const { at, id, resumeId } = await arrives(first)
  expect((await comesBack(second, resumeId, 0, 'bob')).connected.headers.resumed).toBe('false')
  expect((await comesBack(second, `${id}.guessed`, 0)).connected.headers.resumed).toBe('false')
  expect(at.over).toBeUndefined()
  expect(first.broker.holds(id)).toBe(true)
})

test('a process that cannot be asked is as good as none', async () => {
  const { second } = pair({ fetch: () => Promise.reject(new Error('no answer')) })
  expect((await comesBack(second, 'x.y', 0)).connected.headers.resumed).toBe('false')
})

test('what is given for a claim is held to it: neither another session nor another user’s comes in', async () => {
  const other = start()
  const { at, resumeId } = await arrives(other, 'bob')
  await cut(at)
  const [suspended] = other.broker.releaseAll()
  const { second } = pair({ fetch: async () => suspended })
  expect((await comesBack(second, resumeId, 0, 'alice')).connected.headers.resumed).toBe('false')
  expect((await comesBack(second, 'x.y', 0, 'bob')).connected.headers.resumed).toBe('false')
  expect(second.broker.counts().away).toBe(0)
})

test('a session whose client is gone when it arrives waits there, and ends like any other', async () => {
  let give = (_: SuspendedSession | undefined): void => undefined
  const { first, second } = pair({
    fetch: () =>
      new Promise((resolve) => {
        give = resolve
      }),
  })
  const { at, id, resumeId } = await arrives(first)
  await cut(at)
  const hasty = second.peer()
  const connecting = hasty.connect('alice', { 'resume-id': resumeId, 'last-seq': '0' })
  await settled()
  hasty.end.close(1006)
  await expect(connecting).rejects.toThrow()
  give(first.broker.releaseAll()[0])
  await settled()
  expect(second.broker.session(id)?.away).toBe(true)
  await second.clock.advance(GRACE_MS)
  expect(second.news).toEqual(['disconnected alice did not come back'])
})
