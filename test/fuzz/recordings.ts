/**
 * Real conversations, of calls, signalling, presence, credentials, open destinations and transactions, in which octets
 * are flipped, cut out, repeated and moved, and frames are left out, repeated and mixed up.
 */

import { frame } from '../support/stomp-peer.ts'
import type { Case, Step } from './case.ts'
import { SESSION, TAG } from './party.ts'
import type { Random } from './random.ts'

interface Recording {
  readonly parties: number
  readonly frames: readonly (readonly [who: number, octets: Buffer])[]
}

const [ALICE, BOB, LAPTOP] = [0, 1, 2]

/** `until`: `;` and the seconds after which the token ends. */
const login = (user: string, until = ''): string => {
  const ide = `${user}${TAG}${until}`
  return frame('CONNECT', { 'accept-version': '1.0,1.1,1.2', host: 'x', 'heart-beat': '10000,10000', ide })
}

const listens = (...destinations: string[]): string =>
  destinations
    .map((destination) => frame('SUBSCRIBE', { id: destination, destination, receipt: `heard ${destination}` }))
    .join('')

const says = (destination: string, body: unknown, headers: Record<string, string> = {}): string => {
  const text = body === '' ? '' : JSON.stringify(body)
  const length = Buffer.byteLength(text)
  return frame('SEND', { destination, 'content-type': 'application/json', 'content-length': length, ...headers }, text)
}

const q = (name: string): string => `/user/queue/${name}`
const RINGS = [q('call/request'), q('call/down'), q('call/hangup'), q('call/timeout'), q('rtc/signaling'), q('errors')]
const callId = `call ${TAG}`

function recording(...frames: readonly (readonly [number, string])[]): Recording {
  return {
    parties: 1 + Math.max(...frames.map(([who]) => who)),
    frames: frames.map(([who, text]) => [who, Buffer.from(text)]),
  }
}

/** Each goes through without a refusal when it is left as it is; a test sees to that. */
export const RECORDINGS: readonly Recording[] = [
  recording(
    [ALICE, login('alice') + listens(q('call/response'), q('call/ringing'), ...RINGS)],
    [BOB, login('bob')],
    [BOB, listens(...RINGS)],
    [ALICE, says('/app/call/request', { callId, type: 'VIDEO', callee: `bob${TAG}`, callerUserName: 'Alice' })],
    [BOB, says('/app/call/ringing', { callId })],
    [ALICE, says('/app/rtc/signaling', { callId, type: 'OFFER', payload: 'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n' })],
    [BOB, says('/app/call/response', { callId, type: 'ACCEPT' }, { receipt: 'answered' })],
    [BOB, says('/app/rtc/signaling', { callId, type: 'ANSWER', payload: 'v=0\r\n' })],
    [ALICE, '\n'],
    [
      ALICE,
      says('/app/rtc/signaling', {
        callId,
        type: 'ICE_CANDIDATE',
        payload: { candidate: 'candidate:1 1 UDP 1 192.0.2.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 },
      }),
    ],
    [ALICE, says('/app/call/hangup', { callId }, { receipt: 'over' })],
    [BOB, frame('DISCONNECT', { receipt: 'bye' })],
  ),
  recording(
    [BOB, login('bob') + listens(...RINGS)],
    [LAPTOP, login('bob') + listens(...RINGS)],
    [ALICE, login('alice') + listens(q('call/response'), q('errors'))],
    [ALICE, says('/app/call/request', { callId, type: 'AUDIO', callee: `bob${TAG}`, callerUserName: 'Älice' })],
    [LAPTOP, says('/app/call/response', { callId, type: 'REJECT', reason: 'BUSY' })],
    [BOB, says('/app/call/response', { callId, type: 'REJECT' })],
    [ALICE, says('/app/call/hangup', '')],
  ),
  recording(
    [ALICE, login('alice', ';30') + listens('/topic/user/status', q('turn/get-turn-credentials'))],
    [ALICE, says('/app/user/status', [`alice${TAG}`, 'bob', '__proto__'], { receipt: 'asked' })],
    [ALICE, says('/app/turn/get-turn-credentials', {})],
    [ALICE, listens(q('auth')) + says('/app/auth/refresh', { token: `alice${TAG};60` }, { receipt: 'renewed' })],
    [ALICE, frame('UNSUBSCRIBE', { id: '/topic/user/status' })],
  ),
  recording(
    [ALICE, login('alice')],
    [BOB, login('bob')],
    [ALICE, frame('SUBSCRIBE', { id: 't', destination: '/topic/open.a' })],
    [BOB, frame('SEND', { destination: '/topic/open.a', persistent: 'true', 'a\\cb': 'c\\nd' }, 'news')],
    [ALICE, frame('SUBSCRIBE', { id: 'q', destination: '/queue/open.a', ack: 'client-individual' })],
    [BOB, frame('SEND', { destination: '/queue/open.a', 'content-length': 3, receipt: 'sent' }, 'a\0b')],
    [BOB, frame('SEND', { destination: '/queue/open.a' }, 'second')],
    [ALICE, frame('ACK', { id: `${SESSION}-2` })],
    [ALICE, frame('NACK', { id: `${SESSION}-3` })],
    [ALICE, frame('ACK', { id: `${SESSION}-4`, receipt: 'taken' })],
  ),
  recording(
    [ALICE, login('alice')],
    [ALICE, frame('SUBSCRIBE', { id: 'q', destination: '/queue/open.b', ack: 'client' })],
    [ALICE, frame('BEGIN', { transaction: 't' })],
    [ALICE, frame('SEND', { destination: '/queue/open.b', transaction: 't' }, 'one')],
    [ALICE, frame('SEND', { destination: '/queue/open.b', transaction: 't', receipt: 'held' }, 'two')],
    [ALICE, frame('BEGIN', { transaction: 'u' })],
    [ALICE, frame('SEND', { destination: '/queue/open.b', transaction: 'u' }, 'never')],
    [ALICE, frame('COMMIT', { transaction: 't', receipt: 'done' })],
    [ALICE, frame('ACK', { id: `${SESSION}-2` })],
    [ALICE, frame('ABORT', { transaction: 'u' })],
    [ALICE, frame('DISCONNECT', { receipt: 'bye' })],
  ),
]

export function asCase({ parties, frames }: Recording, settles: boolean): Case {
  return { parties, steps: frames.map(([who, octets]) => ({ kind: 'send', who, octets, cut: 0, settles })) }
}

/** A recording with a few things wrong. */
export function mutated(random: Random): Case {
  const original = asCase(random.pick(RECORDINGS), !random.once(4))
  const steps = [...original.steps]
  const changes = 1 + random.below(3)
  for (let change = 0; change < changes; change++) (random.once(2) ? changeOctets : changeSteps)(steps, random)
  return { parties: original.parties, steps }
}

function changeOctets(steps: Step[], random: Random): void {
  const place = random.below(steps.length)
  const step = steps[place]
  if (step?.kind === 'send') steps[place] = { ...step, octets: mutate(step.octets, random, steps) }
}

function changeSteps(steps: Step[], random: Random): void {
  const place = random.below(steps.length)
  const step = steps[place]
  if (step === undefined) return
  switch (random.below(8)) {
    case 0:
      steps.splice(place, 1)
      break
    case 1:
      steps.splice(place, 0, step)
      break
    case 2:
      steps.splice(random.below(steps.length), 0, ...steps.splice(place, 1))
      break
    case 3:
      // Said by somebody else
      if (step.kind === 'send') steps[place] = { ...step, who: random.below(1 + step.who) }
      break
    case 4:
      if (step.kind === 'send') steps[place] = { ...step, cut: 1 + random.below(20) }
      break
    case 5:
      steps.splice(place, 0, { kind: random.pick(['close', 'stall', 'flow', 'revoke']), who: whoOf(step) })
      break
    case 6:
      steps.splice(place, 0, { kind: 'wait', ms: random.pick([1, 300, 6000, 11_000]) })
      break
    case 7:
      steps.push(...steps.slice(place))
      break
  }
}

const whoOf = (step: Step): number => ('who' in step ? step.who : 0)

const INTERESTING = [0, 10, 13, 58, 92, 0x7f, 0x80, 0xc0, 0xed, 0xff]

/** What is done to octets; `others` lend some of theirs. Never changes `octets` itself. */
export function mutate(octets: Buffer, random: Random, others: readonly Step[] = []): Buffer {
  const from = random.below(octets.length)
  const length = random.once(3) ? random.below(octets.length - from) : random.below(8)
  const piece = octets.subarray(from, from + length)
  const [head, tail] = [octets.subarray(0, from), octets.subarray(from)]
  switch (random.below(8)) {
    case 0: {
      const flipped = Buffer.from(octets)
      flipped[from] = (flipped[from] ?? 0) ^ (1 << random.below(8))
      return flipped
    }
    case 1: {
      const set = Buffer.from(octets)
      set[from] = random.pick(INTERESTING)
      return set
    }
    case 2:
      return Buffer.concat([head, octets.subarray(from + length)])
    case 3:
      return Buffer.concat([head, piece, piece, tail])
    case 4:
      return Buffer.concat([head, ...Array<Buffer>(random.below(300)).fill(piece), tail])
    case 5:
      return Buffer.concat([head, Buffer.of(random.pick(INTERESTING)), tail])
    case 6: {
      const other = others[random.below(others.length)]
      const lent = other?.kind === 'send' ? other.octets : octets
      const at = random.below(lent.length)
      return Buffer.concat([head, lent.subarray(at, at + 1 + random.below(60)), tail])
    }
    default:
      return head
  }
}
