/** What becomes of the media of a call while its signalling is cut: a browser's part is played, and a server's. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Call, CallClient, HEARS } from '../../client/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { ScriptedServer } from '../support/scripted-server.ts'

class StreamDouble {
  getTracks() {
    return []
  }
  getAudioTracks() {
    return []
  }
  getVideoTracks() {
    return []
  }
}

class TransportDouble extends EventTarget {
  state = 'connected'
}

/** As much of an RTCPeerConnection as a call touches; what the network does to it is the test's to say. */
class PeerDouble {
  connectionState: RTCPeerConnectionState = 'new'
  signalingState: RTCSignalingState = 'stable'
  localDescription: RTCSessionDescriptionInit | null = null
  remoteDescription: RTCSessionDescriptionInit | null = null
  onnegotiationneeded: (() => void) | null = null
  onconnectionstatechange: (() => void) | null = null
  readonly transport = new TransportDouble()
  restarts = 0

  getSenders() {
    return [{ transport: this.transport }]
  }

  addTransceiver() {
    this.onnegotiationneeded?.()
  }

  getConfiguration() {
    return {}
  }

  setConfiguration() {}

  restartIce() {
    this.restarts++
  }

  async setLocalDescription() {
    this.localDescription = { type: 'offer', sdp: 'an offer' }
    this.signalingState = 'have-local-offer'
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit) {
    this.remoteDescription = description
    this.signalingState = 'stable'
  }

  close() {
    this.becomes('closed')
  }

  becomes(state: RTCPeerConnectionState) {
    this.connectionState = state
    this.onconnectionstatechange?.()
  }

  /** The other side says goodbye over the media path. */
  closesByPeer() {
    this.transport.state = 'closed'
    this.transport.dispatchEvent(new Event('statechange'))
  }
}

beforeAll(() => {
  Object.assign(globalThis, { MediaStream: StreamDouble })
})

afterAll(() => {
  Reflect.deleteProperty(globalThis, 'MediaStream')
})

/** A call that was answered and whose media flow. */
async function talks() {
  const server = new ScriptedServer()
  const clock = new TestClock()
  const peer = new PeerDouble()
  server.greets({ 'resume-id': 'a-secret' })
  const client = new CallClient({
    url: 'http://test/imserver/ws',
    token: () => 'token',
    webSocketFactory: server.open,
    rtc: () => peer as unknown as RTCPeerConnection,
    clock,
  })
  await client.connect()
  const credentials = { iceServers: [], ttl: 3600, expiresAt: 0 }
  await server.socket.tells(HEARS.turn, credentials)
  const placed = client.call('bob', { type: 'AUDIO' })
  await settled()
  await server.socket.tells(HEARS.turn, credentials)
  const call = await placed
  await settled()
  await server.socket.tells(HEARS.response, { callId: call.id, type: 'ACCEPT' })
  await server.socket.tells(HEARS.signaling, { callId: call.id, type: 'ANSWER', payload: 'an answer' })
  peer.becomes('connected')
  expect(call.state).toBe('connected')
  return {
    server,
    clock,
    peer,
    call,
    async breaks() {
      server.unreachable = true
      server.socket.breaks(1006)
      await settled()
    },
    /** `pauseMs`: between attempts, which is longer when the grace is over. */
    async heals(pauseMs = 2_000) {
      server.unreachable = false
      server.greets({ 'resume-id': 'a-secret', resumed: 'true' })
      await clock.advance(pauseMs)
      await server.socket.tells(HEARS.turn, credentials)
    },
    signal: (headers: Record<string, string>) => {
      const candidate = { callId: call.id, type: 'ICE_CANDIDATE', payload: { candidate: '', sdpMid: '0' } }
      return server.socket.tells(HEARS.signaling, candidate, headers)
    },
    tellsCredentials: () => server.socket.tells(HEARS.turn, credentials),
  }
}

const fate = ({ state, endReason, endedBy }: Call) => [state, endReason, endedBy]

describe('while the server cannot be reached', () => {
  test('a path that breaks is repaired not before it is back, and then at once', async () => {
    const { peer, call, clock, breaks, heals } = await talks()
    await breaks()
    peer.becomes('failed')
    await clock.advance(20_000)
    expect([peer.restarts, call.interrupted, call.reconnecting]).toEqual([0, true, true])
    await heals()
    expect([peer.restarts, call.reconnecting]).toEqual([1, false])
  })

  test('two who hear each other are not torn apart when the grace is over', async () => {
    const { call, clock, breaks, heals } = await talks()
    await breaks()
    await clock.advance(120_000)
    expect([call.state, call.reconnecting, call.elapsed >= 120_000]).toEqual(['connected', true, true])
    await heals(15_000)
    expect([call.state, call.reconnecting]).toEqual(['connected', false])
  })

  test('a path that breaks after the grace is the end', async () => {
    const { call, clock, peer, breaks } = await talks()
    await breaks()
    await clock.advance(60_000)
    peer.becomes('disconnected')
    expect(fate(call)).toEqual(['ended', 'lost', 'server'])
  })

  test('a path that is broken when the grace is over is the end', async () => {
    const { call, clock, peer, breaks } = await talks()
    await breaks()
    peer.becomes('disconnected')
    await clock.advance(30_000)
    expect(fate(call)).toEqual(['ended', 'lost', 'server'])
  })

  test.each([
    ['before', 1_000, 30_000],
    ['after', 31_000, 0],
  ])('somebody who hangs up %s the end of the grace is believed after it', async (_name, beforeMs, afterMs) => {
    const { call, clock, peer, breaks } = await talks()
    await breaks()
    await clock.advance(beforeMs)
    peer.closesByPeer()
    await clock.advance(afterMs)
    expect(fate(call)).toEqual(['ended', 'hung-up', 'peer'])
  })
})

describe('when the other side was away and is back', () => {
  const REATTACHED = { 'peer-reattached': 'true' }

  test('a path that is broken is repaired at once, however often that was tried', async () => {
    const { peer, clock, signal, tellsCredentials } = await talks()
    peer.becomes('failed')
    await tellsCredentials()
    await clock.advance(8_000)
    await tellsCredentials()
    const { restarts } = peer
    await signal(REATTACHED)
    await tellsCredentials()
    expect(peer.restarts).toBe(restarts + 1)
  })

  test('a path that is whole is left alone', async () => {
    const { peer, clock, signal } = await talks()
    await signal(REATTACHED)
    await clock.advance(20_000)
    expect(peer.restarts).toBe(0)
  })
})

test('media that stop are a reason to ask whether the server is there', async () => {
  const { server, peer, call, clock } = await talks()
  server.receipts = false
  await clock.advance(3_000)
  peer.becomes('disconnected')
  await clock.advance(4_000)
  expect(call.reconnecting).toBe(true)
})
