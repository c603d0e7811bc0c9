/**
 * Our end of a call's media: streams, the RTCPeerConnection, its negotiation and repair. Knows nothing of ringing or
 * of STOMP: signals go out by `send` and come in by `receive`.
 */

import type { Clock } from './clock.ts'
import { asCallError, CallError } from './errors.ts'
import { IceRecovery } from './ice-recovery.ts'
import { type GetUserMedia, mediaError, openMedia } from './media.ts'
import { type Candidate, type Description, Negotiation } from './negotiation.ts'
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
  readonly caller: boolean
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

/** A person may look at the browser's question for long: then we answer without tracks and add them later. */
const MEDIA_PATIENCE_MS = 4_000
const DISCONNECTED_PATIENCE_MS = 3_000
/** The caller repairs first, so that the two repairs seldom meet. */
const CALLEE_WAITS_MS = 2_500

export class MediaLeg {
  readonly #options: MediaLegOptions
  readonly #recovery: IceRecovery
  readonly remoteStream: MediaStream
  readonly #media: Promise<void>
  #localStream: MediaStream | undefined
  #servers: Promise<RTCIceServer[]>
  #connection: RTCPeerConnection | undefined
  #negotiation: Negotiation | undefined
  readonly #early: (Description | Candidate)[] = []
  #transport: RTCDtlsTransport | undefined
  #wantsVideo: boolean
  #closed = false
  #added = false

  /** Asks for camera, microphone and credentials at once; {@link start} joins them. */
  constructor(options: MediaLegOptions) {
    this.#options = options
    this.remoteStream = new MediaStream()
    this.#wantsVideo = options.type === 'VIDEO'
    this.#recovery = new IceRecovery({
      clock: options.clock,
      patienceMs: DISCONNECTED_PATIENCE_MS + (options.caller ? 0 : CALLEE_WAITS_MS),
      restart: () => void this.#restart(),
      interrupted: options.interrupted,
      giveUp: options.lost,
    })
    this.#servers = this.#askServers()
    this.#media = this.#openMedia()
  }

  get localStream(): MediaStream | undefined {
    return this.#localStream
  }

  get connection(): RTCPeerConnection | undefined {
    return this.#connection
  }

  /** Fulfilled when the person has decided about camera and microphone, whatever the decision. */
  get media(): Promise<void> {
    return this.#media
  }

  /** Makes the RTCPeerConnection. The caller's offer goes out by itself; the callee waits for it. */
  async start(): Promise<void> {
    const iceServers = await this.#servers
    if (this.#closed) return
    const connection = this.#options.rtc({ ...this.#options.rtcConfiguration, iceServers })
    this.#connection = connection
    this.#negotiation = new Negotiation({
      connection,
      polite: !this.#options.caller,
      send: (signal) => this.#options.send(signal),
      beforeAnswer: () => this.#mediaOrPatience(),
      failed: (error) => this.#options.problem(asCallError(error, 'negotiation')),
    })
    connection.ontrack = ({ track }) => this.#remoteTrack(track)
    connection.onconnectionstatechange = () => this.#observe(connection.connectionState)
    if (this.#options.caller) this.#addTracks()
    for (const signal of this.#early.splice(0)) void this.#negotiation.receive(signal)
  }

  receive(signal: Description | Candidate): void {
    if (this.#negotiation) void this.#negotiation.receive(signal)
    else if (this.#early.length < 256) this.#early.push(signal)
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
    this.#recovery.hurry(this.#options.caller ? 0 : CALLEE_WAITS_MS)
  }

  get hasMicrophone(): boolean {
    return this.#audioTracks.length > 0
  }

  get muted(): boolean {
    return this.#audioTracks.length > 0 && this.#audioTracks.every((track) => !track.enabled)
  }

  mute(on: boolean): void {
    for (const track of this.#audioTracks) track.enabled = !on
    this.#options.changed()
  }

  get localVideo(): boolean {
    return (this.#localStream?.getVideoTracks() ?? []).some((track) => track.readyState === 'live')
  }

  get remoteVideo(): boolean {
    return this.remoteStream.getVideoTracks().some((track) => track.readyState === 'live' && !track.muted)
  }

  async camera(on: boolean): Promise<void> {
    this.#wantsVideo = on
    if (on === this.localVideo) return
    if (on) await this.#cameraOn()
    else await this.#cameraOff()
    this.#options.changed()
  }

  /** Which way the media go (W3C webrtc-stats: transport, candidate-pair); nothing before they do. */
  async path(): Promise<MediaPath | undefined> {
    if (!this.#connection || this.#closed) return undefined
    return selectedPath(await this.#connection.getStats())
  }

  close(): void {
    this.#closed = true
    this.#recovery.close()
    for (const track of this.#localStream?.getTracks() ?? []) track.stop()
    this.#connection?.close()
  }

  get #audioTracks(): MediaStreamTrack[] {
    return this.#localStream?.getAudioTracks() ?? []
  }

  async #openMedia(): Promise<void> {
    const { getUserMedia, audio, video } = this.#options
    const opened = await openMedia(getUserMedia, { audio, video: this.#wantsVideo && video })
    if (this.#closed) {
      for (const track of opened.stream?.getTracks() ?? []) track.stop()
      return
    }
    this.#localStream = opened.stream
    if (opened.problem) this.#options.problem(opened.problem)
    this.#options.changed()
  }

  #askServers(): Promise<RTCIceServer[]> {
    return this.#options.iceServers().catch((error: unknown) => {
      // Within one network a call needs no relay: try without.
      this.#options.problem(asCallError(error, 'timeout'))
      return []
    })
  }

  /** Before an answer: add what there is, and do not let a person who hesitates hold up the other. */
  async #mediaOrPatience(): Promise<void> {
    if (this.#added) return
    let cancel = () => {}
    const patience = new Promise<void>((done) => {
      cancel = this.#options.clock.after(MEDIA_PATIENCE_MS, done)
    })
    await Promise.race([this.#media, patience])
    cancel()
    if (this.#localStream) this.#addTracks()
    else void this.#media.then(() => this.#addTracks())
  }

  #addTracks(): void {
    const connection = this.#connection
    if (!connection || this.#closed || this.#added) return
    this.#added = true
    const stream = this.#localStream
    for (const track of stream?.getTracks() ?? []) connection.addTrack(track, stream as MediaStream)
    if (!this.#options.caller) return
    // The offer asks also for what we cannot give: one may hear and see without microphone and camera.
    if (!this.hasMicrophone) connection.addTransceiver('audio', { direction: 'recvonly' })
    if (this.#options.type === 'VIDEO' && !this.localVideo)
      connection.addTransceiver('video', { direction: 'recvonly' })
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

  async #cameraOn(): Promise<void> {
    const { getUserMedia, video } = this.#options
    if (!getUserMedia) throw new CallError('media-missing', 'camera and microphone need a page over https')
    const stream = await getUserMedia({ video }).catch((error: unknown) => {
      throw mediaError(error)
    })
    const [track] = stream.getVideoTracks()
    if (!track) throw new CallError('media-missing', 'the camera gave no picture')
    if (this.#closed || !this.#wantsVideo) return track.stop()
    this.#localStream ??= new MediaStream()
    this.#localStream.addTrack(track)
    const transceiver = this.#videoTransceiver
    if (!transceiver) {
      this.#connection?.addTrack(track, this.#localStream)
      return
    }
    await transceiver.sender.replaceTrack(track)
    transceiver.sender.setStreams?.(this.#localStream)
    transceiver.direction = transceiver.direction === 'inactive' ? 'sendonly' : 'sendrecv'
  }

  /** The direction tells the other side that no picture comes any more; a stopped track alone would freeze it. */
  async #cameraOff(): Promise<void> {
    for (const track of this.#localStream?.getVideoTracks() ?? []) {
      track.stop()
      this.#localStream?.removeTrack(track)
    }
    const transceiver = this.#videoTransceiver
    if (!transceiver) return
    await transceiver.sender.replaceTrack(null)
    transceiver.direction = transceiver.direction === 'sendonly' ? 'inactive' : 'recvonly'
  }

  get #videoTransceiver(): RTCRtpTransceiver | undefined {
    return this.#connection?.getTransceivers().find(({ receiver }) => receiver.track.kind === 'video')
  }
}

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
