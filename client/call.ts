/**
 * One call as this device sees it: its state, what the server says about it, and the media leg that belongs to it.
 * Knows the contract's call messages; sends them by a {@link Line}.
 */

import type { Clock } from './clock.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError } from './errors.ts'
import { MediaLeg, type MediaSources } from './media-leg.ts'
import type { Candidate, Description } from './negotiation.ts'
import type { Letter } from './outbox.ts'
import type { CallEvents, CallState, EndReason, IncomingCall, MediaPath } from './types.ts'
import {
  APP,
  type CallDown,
  type CallHungUp,
  type CallRequest,
  type CallResponse,
  type CallType,
  type CandidatePayload,
  CODE,
  type ServerRefusal,
  type Signal,
  type SignalType,
} from './wire.ts'

/** What a call needs of the client it belongs to. */
export interface Line {
  readonly clock: Clock
  /** Nothing: signalling only. */
  readonly media: MediaSources | undefined
  /** Now or never. */
  send(destination: string, body: unknown): Promise<void>
  /** Now, or when the server can be reached again; in order with {@link post}. */
  deliver(letter: Letter): Promise<void>
  /** The same, and nobody waits. */
  post(letter: Letter): void
  /** What waits to be sent for this call is of no use any more. */
  forget(callId: string): void
  /** The network may be gone: the media have stopped. */
  suspect(): void
  /** Told once. */
  ended(call: LiveCall): void
}

export interface CallFacts {
  readonly id: string
  readonly direction: 'outgoing' | 'incoming'
  readonly type: CallType
  readonly peer: { readonly userId: string; readonly name: string }
  /** How long it rings at most, as far as this side knows. */
  readonly ringMs: number
  /** The server cannot be reached as it begins. */
  readonly away?: boolean
}

/** The server keeps 64 frames of a caller until a device answers; what is beyond waits here. */
const MOST_SIGNALS_BEFORE_ANSWER = 60
/** From the answer to the first media. */
const CONNECTING_MS = 30_000
/** A server that could not say just now how a call is. */
const ASK_AGAIN_MS = 2_000
/** The server says when ringing is over; only when it cannot be heard this side decides by itself. */
const RING_SLACK_MS = 5_000

export class LiveCall implements IncomingCall {
  readonly id: string
  readonly direction: 'outgoing' | 'incoming'
  readonly type: CallType
  readonly peer: { readonly userId: string; readonly name: string }
  readonly #line: Line
  readonly #events = new Emitter<CallEvents>()
  readonly #held: (Description | Candidate)[] = []
  #state: CallState
  #endReason: EndReason | undefined
  #endedBy: 'me' | 'peer' | 'server' | undefined
  #error: CallError | undefined
  #leg: MediaLeg | undefined
  #ringingDevices: number | undefined
  #answered = false
  #signalsSent = 0
  #interrupted = false
  #forgotten: CallError | undefined
  #peerClosed = false
  #away = false
  /** To the server this device is a new one, and it has not yet said how the call is. */
  #mustAsk = false
  #cancelAsking = () => {}
  /** The server has given this device up by now; only the media keep the call alive. */
  #graceOver = false
  #request: CallRequest | undefined
  #connectedAt: number | undefined
  #endedAt: number | undefined
  #cancelTimer: () => void

  constructor(line: Line, facts: CallFacts) {
    this.#line = line
    this.id = facts.id
    this.direction = facts.direction
    this.type = facts.type
    this.peer = facts.peer
    this.#state = facts.direction === 'outgoing' ? 'calling' : 'ringing'
    this.#away = facts.away ?? false
    this.#cancelTimer = line.clock.after(facts.ringMs + RING_SLACK_MS, () => this.#unheard())
  }

  on<K extends keyof CallEvents>(kind: K, listener: (event: CallEvents[K]) => void): () => void {
    return this.#events.on(kind, listener)
  }

  get state(): CallState {
    return this.#state
  }

  get endReason(): EndReason | undefined {
    return this.#endReason
  }

  get endedBy(): 'me' | 'peer' | 'server' | undefined {
    return this.#endedBy
  }

  get error(): CallError | undefined {
    return this.#error
  }

  get elapsed(): number {
    if (this.#connectedAt === undefined) return 0
    return (this.#endedAt ?? this.#line.clock.now()) - this.#connectedAt
  }

  get ringingDevices(): number | undefined {
    return this.#ringingDevices
  }

  get interrupted(): boolean {
    return this.#interrupted
  }

  get reconnecting(): boolean {
    return this.#away
  }

  get forgotten(): boolean {
    return this.#forgotten !== undefined
  }

  get localStream(): MediaStream | undefined {
    return this.#leg?.localStream
  }

  get remoteStream(): MediaStream | undefined {
    return this.#leg?.remoteStream
  }

  get hasMicrophone(): boolean {
    return this.#leg?.hasMicrophone ?? false
  }

  get muted(): boolean {
    return this.#leg?.muted ?? false
  }

  get localVideo(): boolean {
    return this.#leg?.localVideo ?? false
  }

  get remoteVideo(): boolean {
    return this.#leg?.remoteVideo ?? false
  }

  get peerConnection(): RTCPeerConnection | undefined {
    return this.#leg?.connection
  }

  mute(on: boolean): void {
    this.#leg?.mute(on)
  }

  async camera(on: boolean): Promise<void> {
    await this.#leg?.camera(on)
  }

  async path(): Promise<MediaPath | undefined> {
    return this.#leg?.path()
  }

  /**
   * Asks for camera and microphone first: nobody's phone shall ring for a person who then refuses them. The offer goes
   * out while the callee still rings (the server keeps it), so that an answer is all that is missing when it is taken.
   * Fails with the server's refusal.
   */
  async place(request: CallRequest): Promise<void> {
    this.#leg = this.#openLeg(this.type)
    await this.#leg?.media
    if (this.#over) return
    this.#request = request
    await this.#line.deliver({ destination: APP.request, body: request, about: this.id })
    if (this.#over) return
    await this.#leg?.start()
  }

  async accept(options: { type?: CallType } = {}): Promise<void> {
    if (!this.ringsHere) {
      throw new CallError('wrong-state', `cannot answer: the call is ${this.#state}`)
    }
    this.#leg = this.#openLeg(options.type ?? this.type)
    this.#connecting()
    try {
      await this.#line.deliver({
        destination: APP.response,
        body: this.#acceptance,
        about: this.id,
        insists: true,
      })
    } catch (error) {
      throw this.#notAnswered(asCallError(error, 'timeout'))
    }
    if (this.#over) return
    this.#answered = true
    if (this.#leg) await this.#leg.start()
    else this.#connected()
  }

  decline(reason: 'DECLINED' | 'BUSY' = 'DECLINED'): void {
    if (!this.ringsHere) {
      this.hangUp()
      return
    }
    this.#leave(APP.response, { callId: this.id, type: 'REJECT', reason } satisfies CallResponse)
    this.end('declined', 'me')
  }

  hangUp(): void {
    if (this.#over) return
    if (this.ringsHere) {
      this.decline()
      return
    }
    this.#leave(APP.hangup, { callId: this.id })
    this.end(this.#state === 'calling' || this.#state === 'ringing' ? 'cancelled' : 'hung-up', 'me')
  }

  signal(type: 'OFFER' | 'ANSWER', payload: string): void
  signal(type: 'ICE_CANDIDATE', payload: CandidatePayload): void
  signal(type: SignalType, payload: string | CandidatePayload): void {
    this.#signal({ type, payload } as Description | Candidate)
  }

  // What the client asks and tells it.

  get ringsHere(): boolean {
    return this.direction === 'incoming' && this.#state === 'ringing'
  }

  heardRinging(devices: number | undefined): void {
    if (this.#state !== 'calling') return
    this.#ringingDevices = devices
    this.#change('ringing')
  }

  heardResponse({ type, reason }: CallResponse): void {
    if (type === 'REJECT') this.end(reason === 'BUSY' ? 'busy' : 'declined', 'peer')
    if (this.#answered || this.#over || this.direction === 'incoming') return
    this.#answered = true
    for (const signal of this.#held.splice(0)) this.#post(signal)
    if (!this.#leg) this.#connected()
    else if (this.#state !== 'connected') this.#connecting()
  }

  heardDown({ reason }: CallDown): void {
    if (reason === 'DECLINED_ELSEWHERE') this.end('declined-elsewhere', 'server')
    // It was this device that answered, which the server knows no more as the same
    else this.end(this.#answered ? 'lost' : 'answered-elsewhere', 'server')
  }

  heardTimeout(): void {
    this.end('no-answer', 'server')
  }

  heardHangup({ reason }: CallHungUp): void {
    if (reason === 'PEER_LOST' || reason === 'NODE_FAILURE') this.end('lost', 'server')
    const by = reason === 'ADMIN' || reason === 'MAX_DURATION' ? 'server' : 'peer'
    this.end(this.#talks && reason !== 'CANCELLED' && reason !== 'CALLER_LOST' ? 'hung-up' : 'cancelled', by)
  }

  /** `reattached`: the other side was away, and came back. */
  heardSignal({ type, payload }: Signal, reattached = false): void {
    if (this.#over) return
    // Only who has answered says so: its ACCEPT was missed by a device that could not be told
    if (type === 'ANSWER') this.heardResponse({ callId: this.id, type: 'ACCEPT' })
    if (reattached) this.#leg?.peerReattached()
    this.#events.emit('signal', { type, payload })
    this.#leg?.receive({ type, payload } as Description | Candidate)
  }

  /** A refusal that names this call and that nobody waits for. */
  heardRefusal(refusal: ServerRefusal): void {
    const error = CallError.of(refusal)
    switch (refusal.code) {
      case CODE.unavailable:
        // An answer to something that was asked names its destination; this is news: the server is about to restart
        if (refusal.destination === undefined && this.#talks) this.#forget(error)
        else this.#events.emit('problem', error)
        break
      case CODE.notFound:
        // Of a call that is over it knows how; of this one nothing, for it has restarted: the media need no server
        if (refusal.status === undefined && this.#state === 'connected') this.#forget(error)
        else this.end('lost', 'server', error)
        break
      case CODE.forbidden:
      case CODE.alreadyOver:
        this.end('lost', 'server', error)
        break
      case CODE.handledElsewhere:
        this.end('answered-elsewhere', 'server')
        break
      default:
        this.#events.emit('problem', error)
    }
  }

  /** The server cannot be reached. What is under way goes on, as far as it does not need it. */
  wentAway(): void {
    this.#cancelAsking()
    if (this.#away || this.#over) return
    this.#away = true
    if (this.#leg) this.#leg.away = true
    if (this.#state === 'connecting') this.#cancelTimer()
    this.#events.emit('reconnecting', true)
  }

  /** By now the server has ended it for this device. Two who still hear each other are not torn apart. */
  graceOver(): void {
    if (!this.#away || this.#over || this.forgotten) return
    this.#graceOver = true
    if (this.#peerClosed) this.#ended()
    else if (!this.#flows) this.#lostTouch()
  }

  /** The server is back. `resumed`: nothing was missed; else it is asked how things are. */
  async cameBack(resumed: boolean): Promise<void> {
    if (!this.#away) return
    if (!resumed) this.#mustAsk = true
    if (this.#mustAsk && !this.forgotten && !(await this.#askedHowItIs())) return
    if (this.#over) return
    this.#mustAsk = false
    this.#away = false
    this.#graceOver = false
    if (this.#state === 'connecting') this.#allowTimeToConnect()
    if (this.#leg) this.#leg.away = false
    this.#events.emit('reconnecting', false)
  }

  /** Terminal; later words change nothing. */
  end(reason: EndReason, by: 'me' | 'peer' | 'server', error?: CallError): void {
    if (this.#over) return
    this.#cancelTimer()
    this.#cancelAsking()
    this.#endReason = reason
    this.#endedBy = by
    this.#error = error
    this.#endedAt = this.#line.clock.now()
    this.#leg?.close()
    this.#line.forget(this.id)
    this.#line.ended(this)
    this.#change('ended')
  }

  get #talks(): boolean {
    return this.#state === 'connecting' || this.#state === 'connected'
  }

  get #acceptance(): CallResponse {
    return { callId: this.id, type: 'ACCEPT' }
  }

  /** Sound and picture come, with or without a server. */
  get #flows(): boolean {
    return this.#state === 'connected' && this.#leg !== undefined && !this.#interrupted
  }

  /** Instead of all that was still to be said. */
  #leave(destination: string, body: unknown): void {
    this.#line.forget(this.id)
    this.#line.post({ destination, body, insists: true })
  }

  #lostTouch(): void {
    // What rings here may ring on elsewhere, and rings here again when the server is back
    if (!this.ringsHere) this.#leave(APP.hangup, { callId: this.id })
    this.end('lost', 'server', new CallError('connection-lost', 'the server could not be reached for too long'))
  }

  /**
   * To the server this device is a new one: whatever names the call makes it take over, when its token is the same. Returns
   * whether there was an answer; false: the connection has broken again.
   */
  async #askedHowItIs(): Promise<boolean> {
    try {
      await this.#ask()
    } catch (cause) {
      const error = asCallError(cause, 'timeout')
      if (typeof error.code !== 'number') return error.code === 'timeout'
      if (error.code === CODE.unavailable || error.code === CODE.tooMany) {
        // It knows how things are, but not just now
        this.#cancelAsking()
        this.#cancelAsking = this.#line.clock.after(ASK_AGAIN_MS, () => void this.cameBack(true))
        return false
      }
      if (error.code === CODE.callIdTaken) this.#fail(error, 'lost')
      else this.heardRefusal(error.refusal ?? { code: error.code, message: error.message, callId: this.id })
    }
    return true
  }

  async #ask(): Promise<void> {
    const { send } = this.#line
    if (this.ringsHere) return send(APP.ringing, { callId: this.id })
    if (this.direction === 'incoming') {
      // Otherwise its ACCEPT is on its way
      if (this.#answered) await send(APP.response, this.#acceptance)
      return
    }
    if (this.#answered) await this.#askWhetherItLives()
    // A server that knows nothing of a call that rings, rings anew: on the other side it is the same call
    if (this.#request) await send(APP.request, this.#request)
    this.#leg?.repeatOffer()
  }

  /** Without beginning it anew: a caller may not say that it rings, and is told so only of a call that lives. */
  async #askWhetherItLives(): Promise<void> {
    try {
      await this.#line.send(APP.ringing, { callId: this.id })
    } catch (error) {
      if (asCallError(error, 'timeout').code !== CODE.forbidden) throw error
    }
  }

  #forget(error: CallError): void {
    if (this.#forgotten !== undefined) return
    this.#forgotten = error
    if (this.#peerClosed) this.#ended()
    else this.#events.emit('problem', error)
  }

  /** Nobody but the media says so when the server has forgotten the call, or this device; otherwise it says it better. */
  #closedByPeer(): void {
    this.#peerClosed = true
    if (this.#forgotten !== undefined || this.#graceOver) this.#ended()
  }

  /** As the media say. */
  #ended(): void {
    if (!this.#forgotten) this.#leave(APP.hangup, { callId: this.id })
    this.end('hung-up', 'peer')
  }

  get #over(): boolean {
    return this.#state === 'ended'
  }

  #change(state: CallState): void {
    const previous = this.#state
    this.#state = state
    this.#events.emit('state', { state, previous, ...(this.#endReason ? { reason: this.#endReason } : {}) })
  }

  #connecting(): void {
    this.#cancelTimer()
    if (!this.#away) this.#allowTimeToConnect()
    this.#change('connecting')
  }

  #allowTimeToConnect(): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#line.clock.after(CONNECTING_MS, () =>
      this.#fail(new CallError('negotiation', 'no media path was found within 30 seconds')),
    )
  }

  #connected(): void {
    if (this.#over || this.#state === 'connected') return
    this.#cancelTimer()
    this.#connectedAt = this.#line.clock.now()
    this.#change('connected')
  }

  /** Ends it for the other side too. */
  #fail(error: CallError, reason: EndReason = 'failed'): void {
    if (this.#over) return
    this.#leave(APP.hangup, { callId: this.id })
    this.end(reason, 'me', error)
  }

  #unheard(): void {
    if (this.direction === 'outgoing') this.#leave(APP.hangup, { callId: this.id })
    this.end('no-answer', 'server')
  }

  #notAnswered(error: CallError): CallError {
    if (error.code === CODE.handledElsewhere) this.end('answered-elsewhere', 'server')
    else if (error.code === CODE.alreadyOver || error.code === CODE.notFound) this.end('cancelled', 'peer')
    else this.#fail(error)
    return error
  }

  #openLeg(type: CallType): MediaLeg | undefined {
    const { media } = this.#line
    if (!media) return undefined
    const leg = new MediaLeg({
      ...media,
      type,
      caller: this.direction === 'outgoing',
      send: (signal) => this.#signal(signal),
      connected: () => this.#connected(),
      changed: () => {
        if (!this.#over) this.#events.emit('media', undefined)
      },
      interrupted: (on) => {
        this.#interrupted = on
        if (on) this.#line.suspect()
        this.#events.emit('interrupted', on)
        if (on && this.#graceOver) this.#lostTouch()
      },
      problem: (error) => {
        if (!this.#over) this.#events.emit('problem', error)
      },
      peerClosed: () => this.#closedByPeer(),
      lost: () => {
        const error = new CallError('negotiation', 'the media path broke and could not be repaired')
        this.#fail(error, this.#connectedAt === undefined ? 'failed' : 'lost')
      },
    })
    leg.away = this.#away
    return leg
  }

  #signal(signal: Description | Candidate): void {
    if (this.#over) return
    if (this.#forgotten) {
      // Whatever shall be changed by this offer: the person is told that it cannot
      if (signal.type === 'OFFER' && !this.#interrupted) this.#events.emit('problem', this.#forgotten)
      return
    }
    const early = !this.#answered && this.direction === 'outgoing'
    if (early && this.#signalsSent >= MOST_SIGNALS_BEFORE_ANSWER) this.#held.push(signal)
    else this.#post(signal)
  }

  #post(signal: Description | Candidate): void {
    this.#signalsSent++
    this.#line.post({ destination: APP.signaling, body: { callId: this.id, ...signal }, about: this.id })
  }
}
