/**
 * The media between us and one other side: the RTCPeerConnection, its negotiation and repair, and its rest while the
 * call is on hold. Knows nothing of ringing or of STOMP: signals go out by `send` and come in by `receive`.
 */

import type { Clock } from './clock.ts'
import { asCallError, type CallError } from './errors.ts'
import { IceRecovery } from './ice-recovery.ts'
import type { LocalMedia, PictureTaker } from './local-media.ts'
import type { GetUserMedia } from './media.ts'
import { type Candidate, type Description, Negotiation, sessionOf } from './negotiation.ts'
import type { MediaPath } from './types.ts'
import type { CallType } from './wire.ts'

export interface MediaSources {
  readonly rtc: (configuration: RTCConfiguration) => RTCPeerConnection
  readonly rtcConfiguration: RTCConfiguration
  readonly getUserMedia: GetUserMedia | undefined
  readonly video: MediaTrackConstraints | true
  readonly audio: MediaTrackConstraints | true
  /** Fresh ones every time. */
  iceServers(): Promise<RTCIceServer[]>
  readonly clock: Clock
}

export interface MediaLegOptions extends MediaSources {
  readonly type: CallType
  readonly local: LocalMedia
  /** The first offer is ours: of two the caller's, in a room that of who has come later. */
  readonly offers: boolean
  /** When two offers meet, ours is taken back; and the other side repairs first, so that two repairs seldom meet. */
  readonly polite: boolean
  /** It takes the place of one that could not be repaired, or that the other side has given up. */
  readonly broken: boolean
  /** The session of the other side's RTCPeerConnection that was given up: what it still says is not for this one. */
  readonly former: string | undefined
  send(signal: Description | Candidate): void
  connected(): void
  interrupted(on: boolean): void
  changed(): void
  problem(error: CallError): void
  /** The other side has closed its media, which it says by the media path itself. */
  peerClosed(): void
  /** No path to the other side was found, also not by restarts. */
  lost(): void
}

/** A person may look at the browser's question for long: then we speak without tracks and add them later. */
const MEDIA_PATIENCE_MS = 4_000
const DISCONNECTED_PATIENCE_MS = 3_000
const POLITE_WAITS_MS = 2_500

export class MediaLeg implements PictureTaker {
  readonly #options: MediaLegOptions
  readonly #recovery: IceRecovery
  readonly remoteStream: MediaStream
  #servers: Promise<RTCIceServer[]>
  #connection: RTCPeerConnection | undefined
  #negotiation: Negotiation | undefined
  readonly #early: (Description | Candidate)[] = []
  #transport: RTCDtlsTransport | undefined
  #interrupted: boolean
  #session: string | undefined
  #resting = false
  /** Which way the media went before they came to rest, and will go again. */
  readonly #before = new Map<RTCRtpTransceiver, RTCRtpTransceiverDirection>()
  /** Tracks that this connection sends, or would if it did not rest. */
  readonly #handed = new WeakSet<MediaStreamTrack>()
  #closed = false
  #added = false

  /** Asks for credentials at once; {@link start} makes use of them. */
  constructor(options: MediaLegOptions) {
    this.#options = options
    this.remoteStream = new MediaStream()
    this.#interrupted = options.broken
    this.#recovery = new IceRecovery({
      clock: options.clock,
      broken: options.broken,
      patienceMs: DISCONNECTED_PATIENCE_MS + (options.polite ? POLITE_WAITS_MS : 0),
      restart: () => void this.#restart(),
      interrupted: (on) => {
        this.#interrupted = on
        options.interrupted(on)
      },
      giveUp: options.lost,
    })
    this.#servers = this.#askServers()
    options.local.join(this)
  }

  get connection(): RTCPeerConnection | undefined {
    return this.#connection
  }

  /** Sound and picture can go. */
  get connected(): boolean {
    return this.#connection?.connectionState === 'connected'
  }

  /** The path broke, and is being repaired. */
  get interrupted(): boolean {
    return this.#interrupted
  }

  /** Makes the RTCPeerConnection. Who offers does so by itself; the other waits for it. */
  async start(): Promise<void> {
    const iceServers = await this.#servers
    if (this.#closed) return
    const connection = this.#options.rtc({ ...this.#options.rtcConfiguration, iceServers })
    this.#connection = connection
    const negotiation = new Negotiation({
      connection,
      polite: this.#options.polite,
      send: (signal) => this.#options.send(signal),
      beforeAnswer: () => this.#beforeAnswer(),
      failed: (error) => this.#options.problem(asCallError(error, 'negotiation')),
    })
    connection.ontrack = ({ track }) => this.#remoteTrack(track)
    connection.onconnectionstatechange = () => this.#observe(connection.connectionState)
    if (this.#options.offers) {
      if (!this.#options.local.decided) await this.#mediaOrPatience()
      this.#askForTheirs()
    }
    this.#negotiation = negotiation
    for (const signal of this.#early.splice(0)) void negotiation.receive(signal)
  }

  receive(signal: Description | Candidate): void {
    if (signal.type !== 'ICE_CANDIDATE') {
      const session = sessionOf(signal)
      if (session !== undefined && session === this.#options.former) return
      this.#session = session
    }
    if (this.#negotiation) void this.#negotiation.receive(signal)
    else if (this.#early.length < 256) this.#early.push(signal)
  }

  /** The session of the other side's RTCPeerConnection, as far as one is known. */
  get session(): string | undefined {
    return this.#session
  }

  /** An offer that the other side's RTCPeerConnection of until now has not made: it has begun anew, and so must we. */
  isOfAnother(signal: Description | Candidate): boolean {
    if (signal.type !== 'OFFER' || this.#session === undefined) return false
    const session = sessionOf(signal)
    return session !== undefined && session !== this.#session && session !== this.#options.former
  }

  /** Whether the server cannot be reached just now: then nothing is repaired, for nobody would hear of it. */
  set away(on: boolean) {
    this.#recovery.away = on
  }

  /** The other side may have missed what we said before it answered. */
  repeatOffer(): void {
    this.#negotiation?.repeatOffer()
  }

  /** The other side came back: if the media do not flow, it is time to repair them. */
  peerReattached(): void {
    this.#recovery.hurry(this.#options.polite ? POLITE_WAITS_MS : 0)
  }

  get remoteVideo(): boolean {
    if (this.#resting) return false
    return this.remoteStream.getVideoTracks().some((track) => track.readyState === 'live' && !track.muted)
  }

  /**
   * On hold nothing is sent and nothing played, from this moment on, also when the other side cannot be told just now;
   * it learns of it by the directions of an offer (RFC 3264 section 8.4), and media that nobody receives are not sent.
   */
  rest(on: boolean): void {
    if (this.#resting === on || this.#closed) return
    this.#resting = on
    if (on) this.#comeToRest()
    else this.#wake()
    this.#options.changed()
  }

  async picture(track: MediaStreamTrack | undefined): Promise<void> {
    const transceiver = this.#videoTransceiver
    if (!transceiver) {
      this.#addTracks()
      return
    }
    const direction = this.#before.get(transceiver) ?? transceiver.direction
    const wanted = track ? withOurs(direction) : withoutOurs(direction)
    if (track) this.#handed.add(track)
    if (this.#resting) {
      this.#before.set(transceiver, wanted)
      return
    }
    await this.#sends(transceiver, track)
    // The direction tells the other side that no picture comes any more; a stopped track alone would freeze it.
    transceiver.direction = wanted
  }

  /** Which way the media go (W3C webrtc-stats: transport, candidate-pair); nothing before they do. */
  async path(): Promise<MediaPath | undefined> {
    if (!this.#connection || this.#closed) return undefined
    return selectedPath(await this.#connection.getStats())
  }

  close(): void {
    this.#closed = true
    this.#options.local.leave(this)
    this.#recovery.close()
    this.#connection?.close()
  }

  #askServers(): Promise<RTCIceServer[]> {
    return this.#options.iceServers().catch((error: unknown) => {
      // Within one network a call needs no relay: try without.
      this.#options.problem(asCallError(error, 'timeout'))
      return []
    })
  }

  async #beforeAnswer(): Promise<void> {
    if (!this.#added) await this.#mediaOrPatience()
    // At rest also what the other side has just added is not to be heard
    this.#addTracks()
  }

  /** Do not let a person who hesitates hold up the other: what is missing is added when it is there. */
  async #mediaOrPatience(): Promise<void> {
    const { local, clock } = this.#options
    let cancel = () => {}
    const patience = new Promise<void>((done) => {
      cancel = clock.after(MEDIA_PATIENCE_MS, done)
    })
    await Promise.race([local.ready, patience])
    cancel()
    if (!local.decided) void local.ready.then(() => this.#addTracks())
  }

  /** Those that are there and were not yet. */
  #addTracks(): void {
    const { stream } = this.#options.local
    const connection = this.#connection
    if (!connection || this.#closed) return
    for (const track of stream?.getTracks() ?? []) {
      this.#added = true
      if (this.#handed.has(track)) continue
      this.#handed.add(track)
      connection.addTrack(track, stream as MediaStream)
    }
    if (this.#resting) this.#comeToRest()
  }

  /** The offer asks also for what we cannot give: one may hear and see without microphone and camera. */
  #askForTheirs(): void {
    const connection = this.#connection
    if (!connection || this.#closed) return
    this.#addTracks()
    const { local, type } = this.#options
    if (!local.hasMicrophone) connection.addTransceiver('audio', { direction: 'recvonly' })
    if (type === 'VIDEO' && !local.video) connection.addTransceiver('video', { direction: 'recvonly' })
    if (this.#resting) this.#comeToRest()
  }

  #comeToRest(): void {
    for (const transceiver of this.#connection?.getTransceivers() ?? []) {
      const { direction, receiver } = transceiver
      const before = this.#before.get(transceiver)
      if (direction === 'stopped' || (before && direction === 'inactive')) continue
      // Where it has come to rest already, a track was added to it meanwhile
      this.#before.set(transceiver, before ? withOurs(before) : direction)
      transceiver.direction = 'inactive'
      // The picture ends with the direction, and `remoteVideo` says at once that there is none
      if (receiver.track.kind === 'audio') receiver.track.enabled = false
      void this.#sends(transceiver, undefined)
    }
  }

  #wake(): void {
    const { local } = this.#options
    for (const [transceiver, direction] of this.#before) {
      if (transceiver.direction === 'stopped') continue
      const { track } = transceiver.receiver
      track.enabled = true
      if (direction.startsWith('send')) void this.#sends(transceiver, local.track(track.kind))
      transceiver.direction = direction
    }
    this.#before.clear()
    this.#addTracks()
  }

  async #sends({ sender }: RTCRtpTransceiver, track: MediaStreamTrack | undefined): Promise<void> {
    const { stream } = this.#options.local
    try {
      await sender.replaceTrack(track ?? null)
      if (track && stream) sender.setStreams?.(stream)
    } catch (error) {
      if (!this.#closed) this.#options.problem(asCallError(error, 'negotiation'))
    }
  }

  #remoteTrack(track: MediaStreamTrack): void {
    if (!this.remoteStream.getTracks().includes(track)) this.remoteStream.addTrack(track)
    track.onmute = track.onunmute = track.onended = () => this.#options.changed()
    this.#options.changed()
  }

  #observe(state: RTCPeerConnectionState): void {
    if (this.#closed) return
    if (state === 'connected') {
      this.#watchTransport()
      this.#options.connected()
    }
    this.#recovery.observe(state)
  }

  /** With max-bundle all media share one: its close_notify (RFC 8446 section 6.1) says that the other side is gone. */
  #watchTransport(): void {
    const transport = this.#connection?.getSenders()[0]?.transport
    if (!transport || transport === this.#transport) return
    this.#transport = transport
    transport.addEventListener('statechange', () => {
      if (transport.state === 'closed' && !this.#closed) this.#options.peerClosed()
    })
  }

  async #restart(): Promise<void> {
    this.#servers = this.#askServers()
    const iceServers = await this.#servers
    if (this.#closed || !this.#connection) return
    // What the page's own `rtc` added must hold as well: a page that demands a relay demands it for the whole call
    this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers })
    this.#connection.restartIce()
  }

  get #videoTransceiver(): RTCRtpTransceiver | undefined {
    return this.#connection?.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video')
  }
}

const withOurs = (direction: RTCRtpTransceiverDirection): RTCRtpTransceiverDirection =>
  direction === 'inactive' || direction === 'sendonly' ? 'sendonly' : 'sendrecv'

const withoutOurs = (direction: RTCRtpTransceiverDirection): RTCRtpTransceiverDirection =>
  direction === 'inactive' || direction === 'sendonly' ? 'inactive' : 'recvonly'

interface AnyStat {
  readonly id: string
  readonly type: string
  readonly selectedCandidatePairId?: string
  readonly selected?: boolean
  readonly nominated?: boolean
  readonly state?: string
  readonly localCandidateId?: string
  readonly remoteCandidateId?: string
  readonly candidateType?: RTCIceCandidateType
  readonly protocol?: string
  readonly currentRoundTripTime?: number
}

function selectedPath(report: RTCStatsReport): MediaPath | undefined {
  const stats = new Map<string, AnyStat>()
  report.forEach((stat: AnyStat) => {
    stats.set(stat.id, stat)
  })
  const all = [...stats.values()]
  const named = all.find(({ type, selectedCandidatePairId }) => type === 'transport' && selectedCandidatePairId)
  // Firefox names no pair in `transport`.
  const pair = named
    ? stats.get(named.selectedCandidatePairId ?? '')
    : all.find(({ type, state, nominated }) => type === 'candidate-pair' && nominated && state === 'succeeded')
  const local = stats.get(pair?.localCandidateId ?? '')
  const remote = stats.get(pair?.remoteCandidateId ?? '')
  if (!pair || !local?.candidateType || !remote?.candidateType) return undefined
  return {
    local: local.candidateType,
    remote: remote.candidateType,
    relayed: local.candidateType === 'relay' || remote.candidateType === 'relay',
    protocol: local.protocol ?? 'udp',
    roundTripMs: pair.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1000,
  }
}
