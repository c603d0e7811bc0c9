/** Pairs of the reference and of Carillon that say the very same octets to each other. */

import type { Pair, Side } from './exchange.ts'
import { Peer, textMessage } from './peer.ts'
import { eventOf, openSocketIo, type SocketIoClient } from './socket-io.ts'
import { CALL_QUEUES, destinationOf, logIn, logInElsewhere, loginOf, sendOf } from './stomp.ts'

const BODY_OCTETS = 700
const AT_ONCE = 50

/**
 * Pairs in established calls: the callee has answered, and both are bound. `places`: where the two of the nth are; one
 * address for all, or two for each.
 */
export function connectedCalls(
  places: string | ((n: number) => readonly [string, string]),
  count: number,
): Promise<Pair[]> {
  return inBatches(count, async (n) => {
    const [one, other] = typeof places === 'string' ? [places, places] : places(n)
    const caller = await logIn(one, loginOf(`caller-${n}`, { subscriptions: CALL_QUEUES }))
    const callee = await logIn(other, loginOf(`callee-${n}`, { subscriptions: CALL_QUEUES }))
    const callId = callIdOf(n)
    const rings = callee.hears((frame) => destinationOf(frame) === '/user/queue/call/request')
    caller.send(sendOf('/app/call/request', JSON.stringify({ callId, callee: `callee-${n}`, callerUserName: 'Bench' })))
    await rings
    const answered = caller.hears((frame) => destinationOf(frame) === '/user/queue/call/response')
    callee.send(sendOf('/app/call/response', JSON.stringify({ callId, type: 'ACCEPT' })))
    await answered
    return pairOf(caller, callee, callId)
  })
}

/** Pairs at the raw relay, which send what the others send. */
export function rawPairs(url: string, count: number): Promise<Pair[]> {
  return inBatches(count, async (n) => {
    const address = `${url.replace('http', 'ws')}/pair/${n}`
    return pairOf(await Peer.open(address), await Peer.open(address), callIdOf(n))
  })
}

/** Pairs at socket.io, the same bodies as arguments of an event. */
export function socketIoPairs(url: string, count: number): Promise<Pair[]> {
  return inBatches(count, async (n) => {
    const [one, other] = await Promise.all([openSocketIo(url), openSocketIo(url)])
    const [offer, answer] = [signalOf(callIdOf(n), 'OFFER'), signalOf(callIdOf(n), 'ANSWER')]
    const side = (from: SocketIoClient, to: SocketIoClient, says: string, hears: string): Side => ({
      peer: from.peer,
      says: textMessage(eventOf('signal', JSON.stringify(to.id), says)),
      hears: Buffer.from(eventOf('signal', hears)),
    })
    return [side(one, other, offer, answer), side(other, one, answer, offer)]
  })
}

/** Pairs at another broker: what one sends to a topic, the other hears alone. */
export function otherPairs(url: string, count: number): Promise<Pair[]> {
  return inBatches(count, async (n) => {
    const names = [`one-${n}`, `other-${n}`] as const
    const [one, other] = await Promise.all([logInElsewhere(url, names[0]), logInElsewhere(url, names[1])])
    return pairOf(one, other, callIdOf(n), [`/topic/${names[1]}`, `/topic/${names[0]}`])
  })
}

export async function closeAll(pairs: readonly Pair[]): Promise<void> {
  await Promise.all(pairs.flatMap((pair) => pair.map(({ peer }) => peer.close())))
}

/** `to`: where the first and the second send. */
function pairOf(
  one: Peer,
  other: Peer,
  callId: string,
  to: readonly [string, string] = ['/app/rtc/signaling', '/app/rtc/signaling'],
): Pair {
  const offer = signalOf(callId, 'OFFER')
  const answer = signalOf(callId, 'ANSWER')
  return [
    { peer: one, says: sendOf(to[0], offer), hears: Buffer.from(`${answer}\0`) },
    { peer: other, says: sendOf(to[1], answer), hears: Buffer.from(`${offer}\0`) },
  ]
}

const callIdOf = (n: number) => `bench-${String(n).padStart(30, '0')}`

/** A body of 700 octets in which an SDP is what it is in calls: lines, with CR LF escaped as JSON has it. */
function signalOf(callId: string, type: 'OFFER' | 'ANSWER'): string {
  const body = (payload: string) => JSON.stringify({ callId, type, payload })
  const sdp = [
    'v=0',
    'o=- 4611731400430051336 2 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111 63',
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    'a=ice-ufrag:Yk3p',
    'a=ice-pwd:0mQ2rT5uW8xZ1cF4hJ7kM9pS',
    'a=fingerprint:sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF',
    'a=setup:actpass',
    'a=mid:0',
    'a=sendrecv',
    'a=rtcp-mux',
    'a=rtpmap:111 opus/48000/2',
    'a=ssrc:1001 cname:',
  ].join('\r\n')
  return body(sdp.padEnd(sdp.length + BODY_OCTETS - Buffer.byteLength(body(sdp)), 'x'))
}

/** A few at a time: more would only wait in the server's backlog. */
export async function inBatches<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  while (made.length < count) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - made.length) }, (_, i) => make(made.length + i))
    made.push(...(await Promise.all(batch)))
  }
  return made
}
