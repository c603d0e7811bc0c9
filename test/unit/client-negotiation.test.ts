/** Perfect negotiation over a peer connection that obeys the state machine of W3C WebRTC 1.0 and nothing more. */

import { describe, expect, test } from '@jest/globals'
import { type Candidate, type Description, Negotiation } from '../../client/negotiation.ts'
import { settled } from '../support/clock.ts'

type Signal = Description | Candidate

class PeerDouble {
  signalingState: RTCSignalingState = 'stable'
  localDescription: RTCSessionDescriptionInit | null = null
  remoteDescription: RTCSessionDescriptionInit | null = null
  onnegotiationneeded: (() => void) | null = null
  onicecandidate: ((event: { candidate: object | null }) => void) | null = null
  readonly candidates: unknown[] = []
  readonly name: string
  #sdps = 0

  constructor(name: string) {
    this.name = name
  }

  async setLocalDescription(): Promise<void> {
    // Making a description takes a browser a while, in which others speak.
    await new Promise((made) => setImmediate(made))
    const answering = this.signalingState === 'have-remote-offer'
    this.localDescription = { type: answering ? 'answer' : 'offer', sdp: `${this.name}${++this.#sdps}` }
    this.signalingState = answering ? 'stable' : 'have-local-offer'
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    await Promise.resolve()
    if (description.sdp === 'nonsense') throw new Error('cannot read that')
    if (description.type === 'answer' && this.signalingState !== 'have-local-offer') throw new Error('InvalidState')
    // An offer that meets our own takes that back: implicit rollback (section 4.4.1.5).
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable'
    this.remoteDescription = description
  }

  async addIceCandidate(candidate: { candidate: string }): Promise<void> {
    if (!this.remoteDescription) throw new Error('no remote description')
    if (candidate.candidate === 'bad') throw new Error('bad candidate')
    this.candidates.push(candidate.candidate)
  }
}

function side(name: string, polite: boolean, beforeAnswer = async () => {}) {
  const peer = new PeerDouble(name)
  const sent: Signal[] = []
  const failures: unknown[] = []
  const negotiation = new Negotiation({
    connection: peer as unknown as RTCPeerConnection,
    polite,
    send: (signal) => sent.push(signal),
    beforeAnswer,
    failed: (error) => failures.push(error),
  })
  return { peer, sent, failures, negotiation, needs: () => peer.onnegotiationneeded?.() }
}

/** Hands over what either has sent until both are silent. */
async function talk(a: ReturnType<typeof side>, b: ReturnType<typeof side>): Promise<void> {
  for (;;) {
    await settled()
    const [fromA, fromB] = [a.sent.splice(0), b.sent.splice(0)]
    if (fromA.length + fromB.length === 0) return
    for (const signal of fromA) void b.negotiation.receive(signal)
    for (const signal of fromB) void a.negotiation.receive(signal)
  }
}

const candidate = (text: string): Candidate => ({
  type: 'ICE_CANDIDATE',
  payload: { candidate: text, sdpMid: '0', sdpMLineIndex: 0 },
})

test('an offer is answered', async () => {
  const [caller, callee] = [side('a', false), side('b', true)]
  caller.needs()
  await talk(caller, callee)
  expect(caller.peer).toMatchObject({ signalingState: 'stable', remoteDescription: { type: 'answer', sdp: 'b1' } })
  expect(callee.peer).toMatchObject({ signalingState: 'stable', remoteDescription: { type: 'offer', sdp: 'a1' } })
})

test('when two offers meet, the polite side takes its own back and answers', async () => {
  const [caller, callee] = [side('a', false), side('b', true)]
  caller.needs()
  callee.needs()
  await talk(caller, callee)
  expect(caller.peer).toMatchObject({ signalingState: 'stable', remoteDescription: { type: 'answer' } })
  expect(callee.peer).toMatchObject({ signalingState: 'stable', localDescription: { type: 'answer' } })
  expect([...caller.failures, ...callee.failures]).toEqual([])
})

test('an offer that comes while our own is being made meets it too', async () => {
  const caller = side('a', false)
  caller.needs()
  await caller.negotiation.receive({ type: 'OFFER', payload: 'b1' })
  expect(caller.peer.remoteDescription).toBeNull()
  await settled()
  expect(caller.sent).toEqual([{ type: 'OFFER', payload: 'a1' }])
})

test('an answer that nothing was asked for is left aside', async () => {
  const callee = side('b', true)
  await callee.negotiation.receive({ type: 'ANSWER', payload: 'late' })
  expect([callee.peer.remoteDescription, callee.failures]).toEqual([null, []])
})

describe('candidates', () => {
  test('that come before the description wait for it, in their order', async () => {
    const callee = side('b', true)
    void callee.negotiation.receive(candidate('1'))
    void callee.negotiation.receive(candidate('2'))
    await settled()
    expect(callee.peer.candidates).toEqual([])
    await callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
    await callee.negotiation.receive(candidate('3'))
    expect([callee.peer.candidates, callee.failures]).toEqual([['1', '2', '3'], []])
  })

  test('are sent as they are found, in the words of the contract', () => {
    const caller = side('a', false)
    const found = { candidate: 'c', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: 'u', foundation: 'x' }
    caller.peer.onicecandidate?.({ candidate: found })
    caller.peer.onicecandidate?.({ candidate: null })
    const payload = { candidate: 'c', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: 'u' }
    expect(caller.sent).toEqual([{ type: 'ICE_CANDIDATE', payload }])
  })

  test('of which one is bad do not spoil the others', async () => {
    const callee = side('b', true)
    await callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
    void callee.negotiation.receive(candidate('bad'))
    await callee.negotiation.receive(candidate('good'))
    expect([callee.peer.candidates, callee.failures.length]).toEqual([['good'], 1])
  })

  test('of an offer that was not taken are no failure', async () => {
    const caller = side('a', false)
    caller.needs()
    await settled()
    await caller.negotiation.receive({ type: 'OFFER', payload: 'b1' })
    caller.peer.remoteDescription = { type: 'answer', sdp: 'old' }
    await caller.negotiation.receive(candidate('bad'))
    expect(caller.failures).toEqual([])
  })

  test('of somebody who never describes himself are not collected for ever', async () => {
    const callee = side('b', true)
    for (let n = 0; n < 300; n++) void callee.negotiation.receive(candidate(String(n)))
    await callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
    expect(callee.peer.candidates).toHaveLength(256)
  })
})

test('the answer waits for what shall be in it', async () => {
  let ready = () => {}
  const callee = side('b', true, () => new Promise((done) => (ready = done)))
  void callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
  await settled()
  expect(callee.sent).toEqual([])
  ready()
  await settled()
  expect(callee.sent).toEqual([{ type: 'ANSWER', payload: 'b1' }])
})

test('nonsense is told and does not stop what comes after it', async () => {
  const callee = side('b', true)
  await callee.negotiation.receive({ type: 'OFFER', payload: 'nonsense' })
  await callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
  expect([callee.failures.length, callee.sent]).toEqual([1, [{ type: 'ANSWER', payload: 'b1' }]])
})

test('after the end of the connection nothing is done any more', async () => {
  const callee = side('b', true)
  callee.peer.signalingState = 'closed'
  await callee.negotiation.receive({ type: 'OFFER', payload: 'a1' })
  expect([callee.sent, callee.failures, callee.peer.remoteDescription]).toEqual([[], [], null])
})
