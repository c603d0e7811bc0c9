/** The media of calls that rest, pass into others, or are rooms: as much of a browser is played as they touch. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Call, CallClient, HEARS, type IncomingCall } from '../../client/index.ts'
import { settled, TestClock } from '../support/clock.ts'
import { ScriptedServer } from '../support/scripted-server.ts'

class TrackDouble {
  readonly kind: string
  enabled = true
  muted = false
  readyState = 'live'
  constructor(kind: string) {
    this.kind = kind
  }
  stop() {
    this.readyState = 'ended'
  }
}

class StreamDouble {
  readonly #tracks: TrackDouble[]
  constructor(tracks: TrackDouble[] = []) {
    this.#tracks = [...tracks]
  }
  getTracks() {
    return [...this.#tracks]
  }
  getAudioTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'audio')
  }
  getVideoTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'video')
  }
  addTrack(track: TrackDouble) {
    this.#tracks.push(track)
  }
  removeTrack(track: TrackDouble) {
    this.#tracks.splice(this.#tracks.indexOf(track), 1)
  }
}

function transceiver(kind: string, direction: string, track: TrackDouble | null = null) {
  const sender = {
    track,
    transport: Object.assign(new EventTarget(), { state: 'connected' }),
    async replaceTrack(other: TrackDouble | null) {
      this.track = other
    },
  }
  return { direction, sender, receiver: { track: new TrackDouble(kind) } }
}

class PeerDouble {
  connectionState: RTCPeerConnectionState = 'new'
  signalingState: RTCSignalingState = 'stable'
  localDescription: RTCSessionDescriptionInit | null = null
  remoteDescription: RTCSessionDescriptionInit | null = null
  onnegotiationneeded: (() => void) | null = null
  onconnectionstatechange: (() => void) | null = null
  readonly transceivers: ReturnType<typeof transceiver>[] = []
  closed = false
  restarts = 0
  #needed = false

  /** Told once for all that was changed in one go, and not while an offer of the other side is being answered. */
  #needs() {
    if (this.#needed) return
    this.#needed = true
    queueMicrotask(() => {
      this.#needed = false
      if (this.signalingState === 'stable') this.onnegotiationneeded?.()
    })
  }

  getSenders() {
    return this.transceivers.map(({ sender }) => sender)
  }

  getTransceivers() {
    return this.transceivers
  }

  addTrack(track: TrackDouble) {
    this.transceivers.push(transceiver(track.kind, 'sendrecv', track))
    this.#needs()
  }

  addTransceiver(kind: string, { direction }: { direction: string }) {
    this.transceivers.push(transceiver(kind, direction))
    this.#needs()
  }

  async setLocalDescription() {
    const type = this.signalingState === 'have-remote-offer' ? 'answer' : 'offer'
    this.localDescription = { type, sdp: `an ${type}` }
    this.signalingState = type === 'answer' ? 'stable' : 'have-local-offer'
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit) {
    this.remoteDescription = description
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable'
  }

  getConfiguration() {
    return {}
  }

  setConfiguration() {}

  restartIce() {
    this.restarts++
  }

  async addIceCandidate({ candidate }: { candidate: string }) {
    if (candidate === 'of another description') throw new TypeError('unknown ufrag')
  }

  close() {
    this.closed = true
    this.signalingState = 'closed'
  }

  flows() {
    this.connectionState = 'connected'
    this.onconnectionstatechange?.()
  }

  fails() {
    this.connectionState = 'failed'
    this.onconnectionstatechange?.()
  }

  get directions() {
    return this.transceivers.map(({ direction }) => direction)
  }

  get sent() {
    return this.transceivers.map(({ sender }) => sender.track?.kind)
  }
}

beforeAll(() => {
  Object.assign(globalThis, { MediaStream: StreamDouble })
})

afterAll(() => {
  Reflect.deleteProperty(globalThis, 'MediaStream')
})

const FEATURES = ['hold', 'transfer', 'room']
const NO_RELAY = { iceServers: [], ttl: 3600, expiresAt: 0 }

async function online() {
  const server = new ScriptedServer()
  const clock = new TestClock()
  const peers: PeerDouble[] = []
  const client = new CallClient({
    url: 'http://test/imserver/ws',
    token: () => 'token',
    webSocketFactory: server.open,
    rtc: () => {
      const peer = new PeerDouble()
      peers.push(peer)
      return peer as unknown as RTCPeerConnection
    },
    getUserMedia: async ({ audio, video }) =>
      new StreamDouble([
        ...(audio ? [new TrackDouble('audio')] : []),
        ...(video ? [new TrackDouble('video')] : []),
      ]) as unknown as MediaStream,
    clock,
  })
  await client.connect()
  const tells = async (destination: string, body: object, headers = {}) => {
    await server.socket.tells(destination, body, headers)
    // Whoever asks for credentials meanwhile gets them
    await server.socket.tells(HEARS.turn, NO_RELAY)
    await settled()
  }
  return { server, clock, client, peers, tells, sent: (destination: string) => server.socket.sent(destination) }
}

/** With bob, whose media flow. */
async function talks(type: 'AUDIO' | 'VIDEO' = 'VIDEO') {
  const world = await online()
  const placed = world.client.call('bob', { type })
  await world.tells(HEARS.turn, NO_RELAY)
  const call = await placed
  await settled()
  await world.tells(HEARS.response, { callId: call.id, type: 'ACCEPT', features: FEATURES })
  await world.tells(HEARS.signaling, { callId: call.id, type: 'ANSWER', payload: 'an answer' }, { from: 'bob' })
  const [peer] = world.peers as [PeerDouble]
  peer.flows()
  expect(call.state).toBe('connected')
  return { ...world, call, peer }
}

describe('on hold', () => {
  test('nothing is sent or played from the first moment, and everything is again afterwards', async () => {
    const { call, peer } = await talks()
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'sendrecv'],
      ['audio', 'video'],
    ])
    const holding = call.hold()
    expect([peer.directions, peer.sent, call.remoteVideo]).toEqual([
      ['inactive', 'inactive'],
      [undefined, undefined],
      false,
    ])
    expect(peer.transceivers.map(({ receiver }) => receiver.track.enabled)).toEqual([false, true])
    await holding
    await call.resume()
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'sendrecv'],
      ['audio', 'video'],
    ])
    expect(peer.transceivers.every(({ receiver }) => receiver.track.enabled)).toBe(true)
  })

  test('by the other side nothing changes here but what is shown: what it plays is heard', async () => {
    const { call, peer, tells } = await talks()
    await tells(HEARS.hold, { callId: call.id, hold: true, by: 'bob' })
    expect([call.held.byPeer, peer.directions]).toEqual([true, ['sendrecv', 'sendrecv']])
  })

  test('the camera may be switched, which counts when it is over', async () => {
    const { call, peer } = await talks()
    await call.hold()
    await call.camera(false)
    expect([peer.directions, call.localVideo]).toEqual([['inactive', 'inactive'], false])
    await call.resume()
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'recvonly'],
      ['audio', undefined],
    ])
    await call.hold()
    await call.camera(true)
    await call.resume()
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'sendrecv'],
      ['audio', 'video'],
    ])
  })

  test('a camera that comes for the first time is not seen before it is over', async () => {
    const { call, peer } = await talks('AUDIO')
    await call.hold()
    await call.camera(true)
    expect(peer.directions).toEqual(['inactive', 'inactive'])
    await settled()
    expect(peer.sent).toEqual([undefined, undefined])
    await call.resume()
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'sendrecv'],
      ['audio', 'video'],
    ])
  })

  test('what the other side offers meanwhile is not let in', async () => {
    const { call, peer, tells } = await talks('AUDIO')
    await call.hold()
    peer.transceivers.push(transceiver('video', 'recvonly'))
    await tells(HEARS.signaling, { callId: call.id, type: 'OFFER', payload: 'with a camera' }, { from: 'bob' })
    expect(peer.directions).toEqual(['inactive', 'inactive'])
    await call.resume()
    expect(peer.directions).toEqual(['sendrecv', 'recvonly'])
  })

  test('what the server refuses flows on', async () => {
    const { call, peer, server, tells } = await talks()
    server.receipts = false
    const refused = expect(call.hold()).rejects.toMatchObject({ code: 1008 })
    await settled()
    const receipt = server.socket.frames.at(-1)?.headers.receipt
    await tells(HEARS.errors, { code: 1008, message: 'not now' }, { 'receipt-id': receipt })
    await refused
    expect([peer.directions, peer.sent]).toEqual([
      ['sendrecv', 'sendrecv'],
      ['audio', 'video'],
    ])
  })
})

describe('while one is passed on', () => {
  const news = (call: Call, state: string) => ({
    callId: call.id,
    newCallId: 'c3',
    state,
    target: 'carol',
    transferredBy: 'bob',
    mode: 'BLIND',
  })

  test('the new call offers with microphone and camera as they were, and the old one is left to who passes us on', async () => {
    const { call, peer, peers, client, tells, sent } = await talks()
    call.mute(true)
    await call.camera(false)
    await tells(HEARS.transfer, news(call, 'RINGING'))
    expect(peer.directions).toEqual(['sendrecv', 'recvonly'])
    const fresh = client.calls.find(({ id }) => id === 'c3') as Call
    expect([peers.length, fresh.muted, fresh.localVideo]).toEqual([2, true, false])
    expect(peers[1]?.directions).toEqual(['sendrecv', 'recvonly'])
    expect(sent('/app/rtc/signaling')).toContainEqual({ callId: 'c3', type: 'OFFER', payload: 'an offer' })
    await tells(HEARS.response, { callId: 'c3', type: 'REJECT', reason: 'DECLINED' })
    await tells(HEARS.transfer, news(call, 'FAILED'))
    expect([peers[1]?.closed, peer.directions, call.state]).toEqual([true, ['sendrecv', 'recvonly'], 'connected'])
  })
})

test('whom we pass on hears nothing of us meanwhile, and is heard again when it fails', async () => {
  const { call, peer, tells } = await talks()
  const news = { callId: call.id, newCallId: 'c3', target: 'carol', transferredBy: 'alice', mode: 'BLIND' }
  await tells(HEARS.transfer, { ...news, state: 'RINGING' })
  expect([peer.directions, peer.sent]).toEqual([
    ['inactive', 'inactive'],
    [undefined, undefined],
  ])
  await tells(HEARS.transfer, { ...news, state: 'FAILED', reason: 'DECLINED' })
  expect([peer.directions, peer.sent]).toEqual([
    ['sendrecv', 'sendrecv'],
    ['audio', 'video'],
  ])
})

describe('in a room', () => {
  const joined = (...users: string[]) => users.map((userId) => ({ userId, state: 'JOINED' }))
  const roster = (callId: string, members: object[]) => ({ callId, type: 'VIDEO', media: { kind: 'mesh' }, members })
  const offeredTo = (signals: unknown[]) =>
    (signals as { type: string; to?: string }[]).filter(({ type }) => type === 'OFFER').map(({ to }) => to)

  test('a leg to the one who has come is opened beside the one there is, and waits for their offer', async () => {
    const { call, peer, peers, tells, sent } = await talks()
    const before = sent('/app/rtc/signaling').length
    await tells(HEARS.room, roster(call.id, [...joined('alice', 'bob'), { userId: 'carol', state: 'RINGING' }]))
    expect(peers).toHaveLength(1)
    await tells(HEARS.room, roster(call.id, joined('alice', 'bob', 'carol')))
    expect([peers.length, peer.closed, sent('/app/rtc/signaling').length]).toEqual([2, false, before])
    await tells(HEARS.signaling, { callId: call.id, type: 'OFFER', payload: 'an offer' }, { from: 'carol' })
    expect([peers[1]?.remoteDescription?.sdp, peers[1]?.sent]).toEqual(['an offer', ['audio', 'video']])
    expect(sent('/app/rtc/signaling').at(-1)).toEqual({
      callId: call.id,
      type: 'ANSWER',
      payload: 'an answer',
      to: 'carol',
    })
  })

  test('an offer that is faster than the news of who makes it waits for that', async () => {
    const { call, peer, peers, tells } = await talks()
    await tells(HEARS.signaling, { callId: call.id, type: 'OFFER', payload: 'early' }, { from: 'carol' })
    expect([peers.length, peer.remoteDescription?.sdp]).toEqual([1, 'an answer'])
    await tells(HEARS.room, roster(call.id, joined('alice', 'bob', 'carol')))
    expect(peers[1]?.remoteDescription?.sdp).toBe('early')
  })

  test('the newcomer offers to everybody who was there, and to nobody who comes later', async () => {
    const { client, peers, tells, sent } = await online()
    const rings = new Promise<IncomingCall>((tell) => client.on('incoming', tell))
    await tells(HEARS.request, {
      callId: 'r1',
      type: 'VIDEO',
      callee: 'alice',
      caller: 'bob',
      callerUserName: 'Bob',
      remainingMs: 30_000,
      room: true,
      members: [...joined('bob', 'carol'), { userId: 'alice', state: 'RINGING' }],
    })
    const call = await rings
    await call.accept()
    await tells(HEARS.room, roster('r1', joined('bob', 'carol', 'alice')))
    expect([call.state, peers.length, offeredTo(sent('/app/rtc/signaling'))]).toEqual([
      'connected',
      2,
      ['bob', 'carol'],
    ])
    await tells(HEARS.room, roster('r1', joined('bob', 'carol', 'alice', 'dave')))
    expect([peers.length, offeredTo(sent('/app/rtc/signaling'))]).toEqual([3, ['bob', 'carol']])
  })

  test('who leaves is parted from, and the others go on', async () => {
    const { call, peers, peer, tells } = await talks()
    await tells(HEARS.room, roster(call.id, joined('alice', 'bob', 'carol')))
    peers[1]?.flows()
    expect(call.room?.members.map(({ connected }) => connected)).toEqual([false, true, true])
    const left = [...joined('alice'), { userId: 'bob', state: 'LEFT' }, ...joined('carol')]
    await tells(HEARS.room, roster(call.id, left))
    expect([peer.closed, peers[1]?.closed, call.state, call.peerConnection]).toEqual([
      true,
      false,
      'connected',
      peers[1],
    ])
  })

  describe('a leg that cannot be repaired', () => {
    const sdp = (session: number) => `v=0\r\no=- ${session} 2 IN IP4 127.0.0.1\r\na=ice-ufrag:u${session}\r\n`
    const from = { from: 'carol' }

    /** In a room with bob and carol; carol has offered from her RTCPeerConnection 1. */
    async function three() {
      const world = await talks()
      const { call, tells } = world
      const offers = (session: number) =>
        tells(HEARS.signaling, { callId: call.id, type: 'OFFER', payload: sdp(session) }, from)
      const answers = (session: number) =>
        tells(HEARS.signaling, { callId: call.id, type: 'ANSWER', payload: sdp(session) }, from)
      await tells(HEARS.room, roster(call.id, joined('alice', 'bob', 'carol')))
      await offers(1)
      const [, first] = world.peers as [PeerDouble, PeerDouble]
      first.flows()
      const carol = () => call.room?.members.find(({ userId }) => userId === 'carol')
      const problems: unknown[] = []
      call.on('problem', ({ code }) => problems.push(code))
      /** Four restarts in vain. */
      const breaks = async (peer: PeerDouble) => {
        peer.fails()
        for (let tries = 0; tries < 5; tries++) {
          await tells(HEARS.turn, NO_RELAY)
          await world.clock.advance(8_000)
        }
        await tells(HEARS.turn, NO_RELAY)
        await settled()
      }
      return { ...world, offers, answers, first, carol, problems, breaks }
    }

    test('is built anew by an offer, while the others go on', async () => {
      const { call, peers, peer, first, breaks, carol, problems, sent, answers } = await three()
      const before = sent('/app/rtc/signaling').length
      await breaks(first)
      expect([first.restarts, first.closed, peer.closed, peers.length]).toEqual([4, true, false, 3])
      expect(offeredTo(sent('/app/rtc/signaling').slice(before))).toEqual(['carol'])
      expect(carol()).toMatchObject({ connected: false, interrupted: true })
      expect([call.state, problems]).toEqual(['connected', ['negotiation']])
      await answers(2)
      peers[2]?.flows()
      expect([peers[2]?.sent, peers[2]?.remoteDescription?.sdp]).toEqual([['audio', 'video'], sdp(2)])
      expect(carol()).toMatchObject({ connected: true, interrupted: false })
    })

    test('is built again and again, and the person is told once', async () => {
      const { peers, first, breaks, carol, problems, clock, answers } = await three()
      await breaks(first)
      await answers(2)
      await breaks(peers[2] as PeerDouble)
      expect([peers.length, problems]).toEqual([4, ['negotiation']])
      await answers(3)
      peers[3]?.flows()
      expect(carol()).toMatchObject({ connected: true, interrupted: false })
      await clock.advance(60_000)
      expect(peers).toHaveLength(4)
    })

    test('is not built anew for somebody who leaves meanwhile', async () => {
      const { call, peers, first, tells, clock } = await three()
      first.fails()
      await tells(HEARS.room, roster(call.id, [...joined('alice', 'bob'), { userId: 'carol', state: 'LEFT' }]))
      await clock.advance(60_000)
      expect([first.closed, peers.length]).toEqual([true, 2])
    })

    test('on the other side is built anew here too, and answers', async () => {
      const { call, peers, first, offers, sent, problems } = await three()
      await offers(1)
      expect([first.closed, peers.length]).toEqual([false, 2])
      await offers(2)
      expect([first.closed, peers.length, peers[2]?.remoteDescription?.sdp]).toEqual([true, 3, sdp(2)])
      expect(sent('/app/rtc/signaling').at(-1)).toMatchObject({ callId: call.id, type: 'ANSWER', to: 'carol' })
      expect([peers[2]?.sent, problems]).toEqual([['audio', 'video'], []])
    })

    test('on both sides at a time becomes one: the offers meet as any two', async () => {
      const { peers, first, breaks, offers, sent } = await three()
      await breaks(first)
      const before = sent('/app/rtc/signaling').length
      await offers(2)
      // alice < carol: ours stands, and hers is taken back
      expect([peers.length, peers[2]?.remoteDescription, sent('/app/rtc/signaling').length]).toEqual([3, null, before])
    })

    test('has said things that are not for the new one', async () => {
      const { peers, first, breaks, offers, answers, tells, call, problems } = await three()
      await breaks(first)
      await answers(1)
      await offers(1)
      expect([peers.length, peers[2]?.remoteDescription]).toEqual([3, null])
      await answers(2)
      const late = { candidate: 'of another description', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: 'u1' }
      await tells(HEARS.signaling, { callId: call.id, type: 'ICE_CANDIDATE', payload: late }, from)
      expect(problems).toEqual(['negotiation'])
    })

    test('rests in its new place as well while the call is on hold', async () => {
      const { call, peers, first, breaks } = await three()
      await call.hold()
      await breaks(first)
      expect([peers[2]?.directions, peers[2]?.sent]).toEqual([
        ['inactive', 'inactive'],
        [undefined, undefined],
      ])
      await call.resume()
      expect(peers[2]?.sent).toEqual(['audio', 'video'])
    })

    test('is left alone by a server that has forgotten the call', async () => {
      const { call, peers, first, breaks, tells } = await three()
      await tells(HEARS.errors, { code: 503, message: 'restarts', callId: call.id })
      expect(call.forgotten).toBe(true)
      await breaks(first)
      expect([first.closed, peers.length, call.state]).toEqual([true, 2, 'connected'])
    })
  })

  test('hold and camera count for all', async () => {
    const { call, peers, tells } = await talks()
    await tells(HEARS.room, roster(call.id, joined('alice', 'bob', 'carol')))
    await tells(HEARS.signaling, { callId: call.id, type: 'OFFER', payload: 'an offer' }, { from: 'carol' })
    await call.hold()
    expect(peers.map(({ directions }) => directions.join())).toEqual(['inactive,inactive', 'inactive,inactive'])
    await call.camera(false)
    await call.resume()
    expect(peers.map(({ directions }) => directions.join())).toEqual(['sendrecv,recvonly', 'sendrecv,recvonly'])
  })
})
