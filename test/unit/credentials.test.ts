/** The rules of credentials alone: what the stories over the real server cannot easily bring about. */

import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Message, Principal, Refused, Restriction, SessionView } from '../../broker/index.ts'
import { fingerprint } from '../../src/auth.ts'
import type { Call } from '../../src/calls/types.ts'
import { heeding, Revocations } from '../../src/credentials/revocations.ts'
import { AUTH_QUEUE, CredentialService, REFRESH } from '../../src/credentials/service.ts'
import { type Outcome, refuse } from '../../src/errors.ts'
import { Events } from '../../src/events.ts'
import { settled, TestClock } from '../support/clock.ts'

interface FakeSession extends SessionView {
  principal: Principal
  restriction: Restriction | undefined
  readonly told: string[]
}

let clock: TestClock
let revocations: Revocations
let events: Events
let sessions: Map<string, FakeSession>
let credentials: CredentialService
/** Answers whether a call goes over a device. */
let occupies: (device: string) => Promise<boolean>
/** Token → principal. */
let tokens: Record<string, Outcome<Principal>>
let shutOut: string[]
let cut: string[]
let restored: string[]
let bugs: unknown[]

beforeEach(() => {
  clock = new TestClock(1_000_000)
  revocations = new Revocations({ clock, memoryMs: 100_000 })
  events = new Events((error) => bugs.push(error))
  sessions = new Map()
  occupies = () => Promise.resolve(false)
  tokens = {}
  shutOut = []
  cut = []
  restored = []
  bugs = []
  credentials = new CredentialService({
    sessions: {
      session: (id) => sessions.get(id),
      everyHeld: () => sessions.values(),
      tell: (id, destination, { body }: Message) => {
        const session = sessions.get(id)
        if (destination === AUTH_QUEUE) session?.told.push(String(body))
        return session !== undefined
      },
      renew: (id, principal) => {
        const session = sessions.get(id)
        if (session) session.principal = principal
        return session !== undefined
      },
      restrict: (id, restriction) => {
        const session = sessions.get(id)
        if (session) session.restriction = restriction
        return session !== undefined
      },
      expel: (id, { message }: Refused) => {
        cut.push(`${id} ${message}`)
        leaves(id)
        return true
      },
    },
    calls: {
      occupies: (_, device) => occupies(device),
      shutOut: async (user, device) => void shutOut.push(device ?? user),
    },
    callDestinations: { sends: ['/app/rtc/signaling'], hears: ['/user/queue/call/hangup'] },
    authenticate: async (token) => tokens[token] ?? refuse('unauthorized', 'token: is forged'),
    revocations,
    clock,
    events,
    warningMs: 60_000,
    graceMs: 10_000,
    callGraceMs: 600_000,
    restored: async ({ id }) => void restored.push(id),
    report: (error) => bugs.push(error),
  })
})

const principal = (user: string, token: string, seconds?: number): Principal => ({
  user,
  token,
  issuedAt: clock.now() - 1000,
  ...(seconds === undefined ? {} : { expiresAt: clock.now() + seconds * 1000 }),
})

function arrives(id: string, who: Principal): FakeSession {
  const session: FakeSession = {
    id,
    principal: who,
    version: '1.2',
    peer: { transport: 'memory', address: '', query: {} },
    connectedAt: clock.now(),
    away: false,
    comesBack: false,
    listensTo: () => true,
    restriction: undefined,
    told: [],
  }
  sessions.set(id, session)
  credentials.connected(session)
  return session
}

function leaves(id: string): void {
  const session = sessions.get(id)
  sessions.delete(id)
  if (session) credentials.disconnected(session)
}

const words = ({ told }: FakeSession) => told.map((text) => JSON.parse(text).type)
const callOver = (device: string) => ({ origin: { user: 'alice', device, token: '', heardAt: 0 } }) as unknown as Call

describe('one timer', () => {
  test('serves all sessions, and none is left when they are gone', async () => {
    for (let n = 0; n < 100; n++) arrives(`s${n}`, principal('alice', `t${n}`, 100 + n))
    expect(clock.waiting).toBe(1)
    for (let n = 0; n < 100; n++) leaves(`s${n}`)
    await clock.advance(40_000)
    expect([cut, bugs, clock.waiting]).toEqual([[], [], 0])
  })

  test('is none at all where no token ends', () => {
    arrives('s', principal('alice', 't'))
    expect(clock.waiting).toBe(0)
  })

  test('is stopped with the server', async () => {
    const session = arrives('s', principal('alice', 't', 10))
    credentials.stop()
    await clock.advance(100_000)
    expect([words(session), cut]).toEqual([[], []])
  })
})

/** From now on whether a session is in a call is answered when the test says so; each time it is asked, `answer` is a new one. */
function askedLater(): { answer: (occupied: boolean) => void } {
  const call = { answer: (_: boolean): void => undefined }
  occupies = () =>
    new Promise((resolve) => {
      call.answer = resolve
    })
  return call
}

describe('an expired session', () => {
  test('is asked about only after its call is known: nobody in a call is refused a frame by mistake', async () => {
    const call = askedLater()
    const session = arrives('s', principal('alice', 't', 100))
    await clock.advance(100_000)
    expect([session.restriction, words(session)]).toEqual([undefined, ['EXPIRING']])
    call.answer(true)
    await settled()
    expect(words(session)).toEqual(['EXPIRING', 'EXPIRED'])
    expect(session.restriction?.refusal('SEND', '/app/rtc/signaling')).toBeUndefined()
    expect(session.restriction?.refusal('SEND', REFRESH)).toBeUndefined()
    expect(session.restriction?.refusal('SEND', '/app/call/request')).toMatchObject({ code: 401 })
    expect(session.restriction?.refusal('SUBSCRIBE', AUTH_QUEUE)).toMatchObject({ code: 401 })
    expect([AUTH_QUEUE, '/user/queue/errors', '/user/queue/call/hangup'].map(session.restriction!.hears)).toEqual([
      true,
      true,
      true,
    ])
    expect(['/user/queue/call/request', '/topic/user/status', '/topic/x'].map(session.restriction!.hears)).toEqual([
      false,
      false,
      false,
    ])
  })

  test('whose call ends while that is being asked is not taken for one in a call', async () => {
    const call = askedLater()
    const session = arrives('s', principal('alice', 't', 100))
    await clock.advance(100_000)
    const late = call.answer
    events.emit('call.ended', { call: callOver('s') })
    late(true)
    await clock.advance(0)
    call.answer(false)
    await settled()
    expect(words(session)).toEqual(['EXPIRING', 'EXPIRED'])
    await clock.advance(10_000)
    call.answer(false)
    await settled()
    expect(cut).toEqual(['s token: has expired'])
  })

  test('that refreshes while that is being asked is not expired', async () => {
    const call = askedLater()
    const session = arrives('s', principal('alice', 't', 100))
    await clock.advance(100_000)
    tokens.new = { ok: true, data: principal('alice', 'new', 1000) }
    await credentials.refresh(session, { token: 'new' })
    call.answer(false)
    await settled()
    expect([session.restriction, words(session), restored]).toEqual([undefined, ['EXPIRING', 'REFRESHED'], []])
  })

  test('gets the benefit of the doubt when the store does not answer, for 10 minutes', async () => {
    occupies = () => Promise.reject(new Error('no store'))
    const session = arrives('s', principal('alice', 't', 100))
    await clock.advance(699_999)
    expect(session.restriction?.refusal('SEND', '/app/rtc/signaling')).toBeUndefined()
    expect(cut).toEqual([])
    await clock.advance(1)
    expect(cut).toEqual(['s token: has expired'])
    expect(words(session)).toEqual(['EXPIRING', 'EXPIRED'])
    expect(bugs).toHaveLength(2)
  })

  test('keeps its 10 s to refresh when its call ends before they are over', async () => {
    occupies = () => Promise.resolve(true)
    const session = arrives('s', principal('alice', 't', 100))
    await clock.advance(103_000)
    occupies = () => Promise.resolve(false)
    events.emit('call.ended', { call: callOver('s') })
    expect(session.restriction?.refusal('SEND', '/app/rtc/signaling')).toMatchObject({ code: 401 })
    await clock.advance(6_999)
    expect(cut).toEqual([])
    await clock.advance(1)
    expect(cut).toEqual(['s token: has expired'])
  })

  test('has a second for the last RECEIPT when its call ends later', async () => {
    occupies = () => Promise.resolve(true)
    arrives('s', principal('alice', 't', 100))
    await clock.advance(300_000)
    occupies = () => Promise.resolve(false)
    events.emit('call.ended', { call: callOver('s') })
    await clock.advance(999)
    expect(cut).toEqual([])
    await clock.advance(1)
    expect(cut).toEqual(['s token: has expired'])
  })

  test('that leaves while its call is asked about leaves nothing behind', async () => {
    const news: string[] = []
    events.on('session.expired', ({ session }) => news.push(session))
    const call = askedLater()
    arrives('s', principal('alice', 't', 100))
    await clock.advance(100_000)
    leaves('s')
    call.answer(true)
    await settled()
    expect([news, cut, clock.waiting]).toEqual([[], [], 0])
  })

  test('hears of nothing on SUBSCRIBE', async () => {
    const session = arrives('s', principal('alice', 't', 5))
    await clock.advance(5_000)
    credentials.subscribed(session, AUTH_QUEUE)
    expect(words(session)).toEqual(['EXPIRED'])
  })

  test('the end of somebody’s call is nothing to a session whose token is good', async () => {
    const session = arrives('s', principal('alice', 't', 100))
    events.emit('call.ended', { call: callOver('s') })
    await clock.advance(39_999)
    expect(words(session)).toEqual([])
  })
})

describe('a refresh', () => {
  test('lifts what expiry has brought, and what rings by then is made up for', async () => {
    const session = arrives('s', principal('alice', 't', 5))
    await clock.advance(5_000)
    expect(session.restriction).toBeDefined()
    tokens.new = { ok: true, data: principal('alice', 'new', 1000) }
    expect(await credentials.refresh(session, { token: 'new' })).toMatchObject({ ok: true })
    expect([session.restriction, restored, words(session)]).toEqual([undefined, ['s'], ['EXPIRED', 'REFRESHED']])
    await clock.advance(900_000)
    expect(cut).toEqual([])
  })

  test('to a token that lives shorter than the warning time is warned of half-way', async () => {
    const session = arrives('s', principal('alice', 't', 10))
    tokens.new = { ok: true, data: principal('alice', 'new', 40) }
    await credentials.refresh(session, { token: 'new' })
    await clock.advance(19_999)
    expect(words(session)).toEqual(['REFRESHED'])
    await clock.advance(1)
    expect(session.told.map((text) => JSON.parse(text)).at(-1)).toMatchObject({ type: 'EXPIRING', remainingMs: 20_000 })
  })

  test('to a token that never ends ends the watching; back to one that does is refused', async () => {
    const session = arrives('s', principal('alice', 't', 100))
    tokens.forever = { ok: true, data: principal('alice', 'forever') }
    tokens.short = { ok: true, data: principal('alice', 'short', 10_000) }
    expect(await credentials.refresh(session, { token: 'forever' })).toMatchObject({ ok: true })
    expect(session.told).toEqual(['{"type":"REFRESHED"}'])
    expect(await credentials.refresh(session, { token: 'short' })).toMatchObject({ code: 401 })
    await clock.advance(1_000_000)
    expect([cut, clock.waiting]).toEqual([[], 0])
  })

  test('may be repeated with the same token', async () => {
    const session = arrives('s', principal('alice', 't', 100))
    tokens.t = { ok: true, data: session.principal }
    expect(await credentials.refresh(session, { token: 't' })).toMatchObject({ ok: true })
    expect(credentials.former(session)).toEqual([])
  })

  test('is refused with 429 when it is tried too often, and possible again later', async () => {
    const limits: string[] = []
    events.on('limited', ({ limit }) => limits.push(limit))
    const session = arrives('s', principal('alice', 't', 100))
    for (let n = 0; n < 10; n++) expect(await credentials.refresh(session, { token: 'x' })).toMatchObject({ code: 401 })
    tokens.new = { ok: true, data: principal('alice', 'new', 1000) }
    expect(await credentials.refresh(session, { token: 'new' })).toMatchObject({ code: 429, retryAfter: 5 })
    expect(limits).toEqual(['refresh'])
    await clock.advance(5_000)
    expect(await credentials.refresh(session, { token: 'new' })).toMatchObject({ ok: true })
  })

  test('that is checked while the session ends, or its user is revoked, changes nothing', async () => {
    const news: string[] = []
    events.on('session.refreshed', ({ session }) => news.push(session))
    const session = arrives('s', principal('alice', 't', 100))
    tokens.new = { ok: true, data: principal('alice', 'new', 1000) }
    const refreshing = credentials.refresh(session, { token: 'new' })
    leaves('s')
    expect(await refreshing).toMatchObject({ ok: true })
    expect(session.principal.token).toBe('t')
    expect([news, words(session), clock.waiting]).toEqual([[], [], 1])
    const other = arrives('s2', principal('alice', 't2', 100))
    const late = credentials.refresh(other, { token: 'new' })
    revocations.revokeUser('alice')
    expect(await late).toMatchObject({ code: 401, message: 'token: was revoked' })
    expect(other.principal.token).toBe('t2')
    expect(clock.waiting).toBe(1)
  })

  test('leaves the token before it known for as long as that is good', async () => {
    const session = arrives('s', principal('alice', 'first', 100))
    tokens.second = { ok: true, data: principal('alice', 'second', 200) }
    await credentials.refresh(session, { token: 'second' })
    expect(credentials.former(session)).toEqual(['first'])
    await clock.advance(100_000)
    expect(credentials.former(session)).toEqual([])
  })

  test('remembers the last eight tokens before it', async () => {
    const session = arrives('s', principal('alice', 't0', 100_000))
    for (let n = 1; n <= 10; n++) {
      tokens[`t${n}`] = { ok: true, data: principal('alice', `t${n}`, 200_000) }
      await credentials.refresh(session, { token: `t${n}` })
    }
    expect(credentials.former(session)).toEqual(['t2', 't3', 't4', 't5', 't6', 't7', 't8', 't9'])
  })

  test('of a session that is over asks nobody', async () => {
    const session = arrives('s', principal('alice', 't', 100))
    leaves('s')
    expect(await credentials.refresh(session, { token: 'x' })).toMatchObject({ ok: true })
  })
})

describe('a revocation', () => {
  test('cuts before it waits for anything, and then ends the calls', async () => {
    arrives('s1', principal('alice', 'a'))
    arrives('s2', principal('alice', 'b'))
    arrives('s3', principal('bob', 'c'))
    const revoking = credentials.revoke({ userId: 'alice' })
    expect(cut).toEqual(['s1 session: was revoked', 's2 session: was revoked'])
    expect(await revoking).toEqual({ ok: true, data: { sessions: 2 } })
    expect(shutOut).toEqual(['alice'])
  })

  test('of a session cuts the others that live on the same token', async () => {
    arrives('tab 1', principal('alice', 'a'))
    arrives('tab 2', principal('alice', 'a'))
    arrives('phone', principal('alice', 'b'))
    await credentials.revoke({ sessionId: 'tab 1' })
    expect(cut).toEqual(['tab 1 session: was revoked', 'tab 2 session: was revoked'])
    expect(shutOut).toEqual(['tab 1', 'tab 2'])
  })

  test('covers what the session had before, as long as that is good', async () => {
    const session = arrives('s', principal('alice', 'first', 100))
    tokens.second = { ok: true, data: principal('alice', 'second', 200) }
    await credentials.refresh(session, { token: 'second' })
    await credentials.revoke({ sessionId: 's' })
    const covered = ['first', 'second', 'third'].map((token) => revocations.cover({ user: 'alice', token }))
    expect(covered).toEqual([true, true, false])
  })

  test('covers tokens of cut sessions that an issuer with a fast clock has made', async () => {
    const early = { ...principal('alice', 'early', 100), issuedAt: clock.now() + 3000 }
    arrives('s', early)
    await credentials.revoke({ userId: 'alice' })
    expect(revocations.cover(early)).toBe(true)
  })

  test('meets a session that was let in at the same moment', () => {
    revocations.revokeUser('alice')
    arrives('s', principal('alice', 'a'))
    expect(cut).toEqual(['s session: was revoked'])
    expect(clock.waiting).toBe(0)
  })
})

describe('the memory of revocations', () => {
  const alice: Principal = { user: 'alice', token: 'a' }

  test('knows a user’s tokens by their time of issue: those of the same second are refused, newer ones are good', () => {
    revocations.revokeUser('alice')
    const issued = (issuedAt?: number) => revocations.cover({ ...alice, issuedAt })
    expect([issued(), issued(clock.now()), issued(clock.now() + 1)]).toEqual([true, true, false])
    expect(revocations.cover({ user: 'bob', token: 'a' })).toBe(false)
  })

  test('ends with the token, and at the latest after the time that was configured', async () => {
    revocations.revokeToken('a', clock.now() + 50_000)
    revocations.revokeToken('b')
    revocations.revokeUser('carol')
    await clock.advance(49_999)
    expect(revocations.cover(alice)).toBe(true)
    await clock.advance(1)
    expect([revocations.cover(alice), revocations.size]).toEqual([false, 2])
    await clock.advance(50_000)
    expect([revocations.cover({ user: 'carol', token: 'b' }), revocations.size]).toEqual([false, 0])
  })

  test('is bounded: the one that would be forgotten next goes first, and the operator hears of it', () => {
    const warnings: string[] = []
    const small = new Revocations({ clock, memoryMs: 100_000, atMost: 2, warn: (text) => warnings.push(text) })
    small.revokeToken('a')
    small.revokeToken('b', clock.now() + 1000)
    small.revokeToken('c')
    const covered = ['a', 'b', 'c'].map((token) => small.cover({ user: 'x', token }))
    expect([small.size, covered, warnings.length]).toEqual([2, [true, false, true], 1])
  })

  test('makes an authenticator refuse what it covers, and nothing else', async () => {
    const checks = heeding(revocations, {
      authenticate: async (token) =>
        token === 'bad' ? refuse('unavailable', 'no keys') : { ok: true, data: { user: 'alice', token } },
    })
    revocations.revokeToken('a')
    expect(await checks.authenticate('a')).toMatchObject({ code: 401, message: 'token: was revoked' })
    expect(await checks.authenticate('b')).toMatchObject({ ok: true })
    expect(await checks.authenticate('bad')).toMatchObject({ code: 503 })
  })
})

test('a fingerprint does not change with the way in which a signature is written', () => {
  expect(fingerprint('head.claims.AAAA')).toBe(fingerprint('head.claims.AAAB'))
  expect(fingerprint('head.claims.AAAA')).not.toBe(fingerprint('head.other.AAAA'))
  expect(fingerprint('no token')).not.toBe(fingerprint('no other'))
})

describe('a session that comes back to its connection', () => {
  const comesBack = (session: FakeSession, who: Principal) => {
    const { principal: old } = session
    session.principal = who
    return credentials.returned(session, old)
  }

  test('with a new token lives on that one, and the old one is still known as its own', async () => {
    const session = arrives('s', principal('alice', 'old', 100))
    expect(comesBack(session, principal('alice', 'new', 1000))).toBe(true)
    expect(credentials.former(session)).toEqual(['old'])
    await clock.advance(120_000)
    expect(cut).toEqual([])
    await clock.advance(900_000)
    expect(cut).toEqual(['s token: has expired'])
  })

  test('with the same token has no other before it', () => {
    const who = principal('alice', 't', 100)
    const session = arrives('s', who)
    comesBack(session, who)
    expect(credentials.former(session)).toEqual([])
  })

  test('is held to nothing any more when its old token had expired', async () => {
    const session = arrives('s', principal('alice', 'old', 100))
    await clock.advance(101_000)
    expect(session.restriction).toBeDefined()
    comesBack(session, principal('alice', 'new', 1000))
    expect(session.restriction).toBeUndefined()
    await clock.advance(20_000)
    expect(cut).toEqual([])
  })

  test('with a token that was revoked meanwhile is cut', async () => {
    const session = arrives('s', principal('alice', 'old', 100))
    await credentials.revoke({ token: 'a token' })
    const revoked = { ...principal('alice', fingerprint('a token')) }
    expect(comesBack(session, revoked)).toBe(false)
    expect(cut).toEqual(['s session: was revoked'])
  })

  test('takes the tokens that it had to another process', () => {
    const session = arrives('s', principal('alice', 'first', 100))
    comesBack(session, principal('alice', 'second', 200))
    const packed = credentials.packed(session)
    leaves('s')
    sessions.set('s', session)
    credentials.unpack(session, packed)
    comesBack(session, principal('alice', 'third', 300))
    expect(credentials.former(session)).toEqual(['first', 'second'])
  })
})
