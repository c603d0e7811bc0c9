/**
 * Conversations by fast-check that know what frames look like: mostly whole ones that reach deep, with every rule of
 * STOMP broken now and then.
 */

import fc from 'fast-check'
import type { Case, Step } from './case.ts'
import { LAST_SEQ, RESUME_ID, SESSION, TAG } from './party.ts'
import { OPEN_QUEUES, OPEN_TOPICS, QUEUES } from './world.ts'

const MOST_PARTIES = 3

/** Names that are something else in JavaScript. */
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '\u{1f4de}', 'a b', 'x'.repeat(130)]

const users = [`u0${TAG}`, `u1${TAG}`, `u2${TAG}`]
const user = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...users) }, fc.constantFrom(...NAMES, 'broken'))
/** Of a user, for ever or for some seconds. */
const token = fc.oneof(
  fc.constantFrom(...users),
  fc.constantFrom(...users).map((name) => `${name};3`),
  fc.constantFrom('', ';', ';;1', `${users[0]};-1`, `${users[0]};x`),
)
const callId = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(`a${TAG}`, `b${TAG}`) },
  fc.constantFrom(...NAMES.map((name) => name + TAG), ...NAMES),
)
/** Ids of subscriptions, transactions and receipts. */
const id = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd') }, fc.constantFrom(...NAMES))

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const json = (arbitrary: fc.Arbitrary<unknown>) => arbitrary.map((value) => JSON.stringify(value) ?? '')

const features = maybe(fc.constantFrom(['room'], ['room', 'hold', 'transfer'], [], 5))

/** Bodies that their destination understands. */
const sends = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(
      fc.constant('/app/call/request'),
      json(
        fc.record({
          callId,
          callee: user,
          callerUserName: fc.constantFrom('Someone', ''),
          type: maybe(fc.constantFrom('VIDEO', 'AUDIO', 'X')),
          timeout: maybe(fc.constantFrom(5, 120, 1e300, -1, 0.5)),
          glare: maybe(fc.constantFrom('accept', 'x')),
          features,
        }),
      ),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(
      fc.constant('/app/call/response'),
      json(
        fc.record({
          callId,
          type: fc.constantFrom('ACCEPT', 'ACCEPT', 'REJECT'),
          reason: maybe(fc.constantFrom('BUSY', 'DECLINED')),
          features,
        }),
      ),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('/app/call/invite'),
      json(
        fc.record({
          callId,
          invitees: fc.array(user, { maxLength: 5 }),
          names: maybe(fc.dictionary(user, fc.constantFrom('Someone', '', '__proto__'), { maxKeys: 3 })),
        }),
      ),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('/app/call/hangup', '/app/call/ringing'), json(fc.record({ callId }))),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('/app/call/hangup'), fc.constantFrom('', '{}', 'null')) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constant('/app/rtc/signaling'),
      json(
        fc.record({
          callId,
          type: fc.constantFrom('OFFER', 'ANSWER', 'ICE_CANDIDATE'),
          payload: fc.oneof(fc.constant('v=0'), fc.record({ candidate: fc.string({ maxLength: 20 }) })),
          to: maybe(fc.oneof(user, fc.constantFrom('', 5, {}))),
        }),
      ),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('/app/user/status'), json(fc.array(user, { maxLength: 4 }))) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('/app/turn/get-turn-credentials'), fc.constantFrom('', '{}')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('/app/auth/refresh'), json(fc.record({ token }))) },
)

const destinations = [
  ...QUEUES,
  ...OPEN_QUEUES,
  ...OPEN_TOPICS,
  '/topic/user/status',
  '/app/call/request',
  '/app/rtc/signaling',
]
const TRICKS = [
  '/app/../topic/open.a',
  `/user/${users[1]}/queue/call/request`,
  '/topic/open.%2f',
  '//topic/open.a',
  '/topic/open.a/',
  '/queue/open.a\\c',
  '/topic/open.'.padEnd(400, 'x'),
  '/user/queue/call/request/',
  '/ùser/queue/errors',
  ...NAMES,
]
const destination = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...destinations) },
  { weight: 1, arbitrary: fc.constantFrom(...TRICKS) },
)

/** Anything may be written as a body. */
const strangeBody = fc.oneof(
  fc.json({ maxDepth: 2 }),
  fc.string({ maxLength: 30 }),
  fc.constantFrom('['.repeat(2000), '{"a":'.repeat(300), '"\\ud800"', '\ufeff{}', '1e999', '{"a":1,"a":2}', '\xff'),
)

const messageId = fc.nat(12).map((n) => `${SESSION}-${n}`)
const acknowledgement = fc.tuple(
  fc.constantFrom('ACK', 'NACK'),
  fc.tuple(messageId, id).map(([message, subscription]) => ({
    id: message,
    'message-id': message,
    subscription,
  })),
  fc.constant(''),
)

type Draft = readonly [command: string, headers: Readonly<Record<string, string>>, body: string]

const whole: fc.Arbitrary<Draft> = fc.oneof(
  {
    weight: 8,
    arbitrary: sends.map(([to, body]): Draft => ['SEND', { destination: to }, body]),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(destination, strangeBody).map(([to, body]): Draft => ['SEND', { destination: to }, body]),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(destination, id, fc.constantFrom('auto', 'client', 'client-individual', 'Auto'))
      .map(([to, name, ack]): Draft => ['SUBSCRIBE', { destination: to, id: name, ack }, '']),
  },
  { weight: 1, arbitrary: id.map((name): Draft => ['UNSUBSCRIBE', { id: name }, '']) },
  { weight: 2, arbitrary: acknowledgement },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('BEGIN', 'BEGIN', 'COMMIT', 'ABORT'), id)
      .map(([command, transaction]): Draft => [command, { transaction }, '']),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('DISCONNECT', 'CONNECT', 'STOMP', 'JUMP', 'send', 'MESSAGE', '')
      .map((command): Draft => [command, {}, '']),
  },
)

/** What may be added to any frame. */
const extra = fc.oneof(
  { weight: 3, arbitrary: id.map((name) => `transaction:${name}`) },
  fc.constantFrom(
    'content-length:0',
    'content-length:2',
    'content-length:4000',
    'content-length:-1',
    'content-length:0x10',
    'content-length:1e3',
    'content-length:99999999999999999999999',
    'content-type:text/plain;charset=UTF-8',
    'heart-beat:999999999999999999999,1',
    'x:\\c\\n\\\\',
    'y:\\r',
    'z:\\t',
    'end:\\',
    '__proto__:z',
    '__proto__:y',
    'constructor:z',
    'no colon',
    ':no name',
    'NUL:\0',
    'CR:\r',
    ' spaces : kept ',
    'persistent:true',
    `long:${'x'.repeat(600)}`,
    `${'h:1\n'.repeat(20)}h:1`,
    'destination:/queue/open.b',
    '\xff\xfe:not UTF-8',
  ),
)

interface Written {
  readonly draft: Draft
  readonly extras: readonly string[]
  readonly asks: boolean
  readonly before: boolean
  readonly eol: string
  readonly length: 'none' | 'right' | 'short' | 'long'
  readonly end: string
}

const written: fc.Arbitrary<Written> = fc.record({
  draft: whole,
  extras: fc.oneof(
    { weight: 6, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(extra, { minLength: 1, maxLength: 3 }) },
  ),
  asks: fc.boolean(),
  before: fc.boolean(),
  eol: fc.constantFrom('\n', '\n', '\n', '\n', '\r\n'),
  length: fc.constantFrom('none', 'none', 'right', 'right', 'right', 'right', 'short', 'long'),
  end: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom('\0', '\0\n', '\0\r\n\n') },
    { weight: 1, arbitrary: fc.constantFrom('', '\0\0', '\n', '\0x') },
  ),
})

function octetsOf({ draft, extras, asks, before, eol, length, end }: Written, receipt: string): Buffer {
  const [command, headers, body] = draft
  const own = Object.entries(headers).map(([name, value]) => `${name}:${value}`)
  const lines = before ? [...extras, ...own] : [...own, ...extras]
  const size = Buffer.byteLength(body)
  if (length === 'right' && size > 0) lines.push(`content-length:${size}`)
  if (length === 'short' && size > 0) lines.push(`content-length:${size - 1}`)
  if (length === 'long' && size > 0) lines.push(`content-length:${size + 1}`)
  if (asks) lines.push(`receipt:${receipt}`)
  const head = [command, ...lines, '', ''].join(eol)
  // Octets above 0x7f are written as they are: not UTF-8
  const octets = /[\x80-\xff]/.test(head) && !/[\u0100-\uffff]/.test(head) ? Buffer.from(head, 'latin1') : head
  return Buffer.concat([Buffer.from(octets), Buffer.from(body + end)])
}

const connects = fc.record({
  version: fc.constantFrom('1.2', '1.2', '1.2', '1.1', '1.0', '1.0,1.1,1.2', '2.0', ''),
  heartbeat: fc.constantFrom('', '', '', '0,0', '1000,1000', '999999999999999999999,1', '1,-1', '1.5,2', '0x1,1', 'x'),
  ide: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, user, token),
  good: fc.nat(9),
  resumeId: fc.constantFrom(undefined, '', 'x.y', SESSION, `${RESUME_ID}x`),
  lastSeq: fc.constantFrom(undefined, '', '-1', '0', '9', '99999999999999999999', LAST_SEQ),
  promise: fc.boolean(),
})

type Login = typeof connects extends fc.Arbitrary<infer L> ? L : never

/** Of a party that comes again mostly a good one: it names the session, and what it has heard or less. */
function claimOf(again: boolean, fine: boolean, resumeId: string | undefined, lastSeq: string | undefined): string[] {
  const id = again && fine ? RESUME_ID : resumeId
  if (id === undefined) return []
  const seq = again && fine ? LAST_SEQ : lastSeq
  return [`resume-id:${id}`, ...(seq === undefined ? [] : [`last-seq:${seq}`])]
}

function connectOf(
  who: number,
  { version, heartbeat, ide, good, resumeId, lastSeq, promise }: Login,
  again = false,
): Buffer {
  const fine = good > 1
  const lines = [
    `accept-version:${fine ? '1.2' : version}`,
    ...(heartbeat === '' || fine ? [] : [`heart-beat:${heartbeat}`]),
    `ide:${good === 9 ? `${users[who]};2` : ((fine ? undefined : ide) ?? users[who])}`,
    'host:x',
    ...claimOf(again, good > 3, resumeId, lastSeq),
    ...(promise ? ['resume:true'] : []),
  ]
  return Buffer.from(`CONNECT\n${lines.join('\n')}\n\n\0`)
}

const who = fc.nat(MOST_PARTIES - 1)
const cut = fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 3, 50)

const step = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({ kind: fc.constant('frame' as const), who, written, cut, settles: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('close', 'stall', 'flow', 'revoke' as const), who }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('again' as const), who, login: connects, loses: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 300, 1500, 3000, 11_000) }),
  },
)

/** Up to three sessions of three users. */
export const conversation: fc.Arbitrary<Case> = fc
  .tuple(fc.array(connects, { minLength: 1, maxLength: MOST_PARTIES }), fc.array(step, { maxLength: 10 }))
  .map(([logins, steps]) => {
    const parties = logins.length
    const opening = logins.map(
      (login, place): Step => ({
        kind: 'send',
        who: place,
        octets: connectOf(place, login),
        cut: 0,
        settles: place === parties - 1,
      }),
    )
    const rest = steps.map((each, place): Step => {
      if (each.kind === 'wait') return { kind: 'wait', ms: each.ms }
      const party = each.who % parties
      if (each.kind === 'again')
        return { kind: 'again', who: party, octets: connectOf(party, each.login, true), loses: each.loses }
      if (each.kind !== 'frame') return { kind: each.kind, who: party }
      const octets = octetsOf(each.written, receiptOf(place))
      return { kind: 'send', who: party, octets, cut: each.cut, settles: each.settles }
    })
    return { parties, steps: [...opening, ...rest], receipts: steps.map((_, place) => receiptOf(place)) }
  })

const receiptOf = (place: number): string => `receipt ${place}`
