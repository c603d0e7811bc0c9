/**
 * One call as this device sees it: its state, what the server says about it, and the media that belong to it.
 * Knows the contract's call messages; sends them by a {@link Line}.
 */

import { CallMedia } from './call-media.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError } from './errors.ts'
import { Holding } from './holding.ts'
import type { CallFacts, Line } from './line.ts'
import type { MediaLeg } from './media-leg.ts'
import type { Candidate, Description } from './negotiation.ts'
import { askHowItIs } from './reinquiry.ts'
import { RoomLegs } from './room-legs.ts'
import { SignalsOut } from './signals-out.ts'
import type {
  Call,
  CallAbilities,
  CallEvents,
  CallState,
  EndReason,
  Held,
  IncomingCall,
  MediaPath,
  Party,
  Room,
  Transferring,
} from './types.ts'
import {
  APP,
  type CallDown,
  type CallHeld,
  type CallHold,
  type CallHungUp,
  type CallInvite,
  type CallRequest,
  type CallResponse,
  type CallRoster,
  type CallTransfer,
  type CallTransferred,
  type CallType,
  type CandidatePayload,
  CODE,
  type Feature,
  type ServerRefusal,
  type Signal,
  type SignalType,
} from './wire.ts'

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
  readonly peer: Party
  readonly waiting: boolean
  readonly transferredBy: Party | undefined
  readonly #replaces: Call | undefined
  readonly #line: Line
  readonly #events = new Emitter<CallEvents>()
  readonly #signals: SignalsOut
  readonly #holding: Holding
  readonly #room: RoomLegs
  #state: CallState
  #endReason: EndReason | undefined
  #endedBy: 'me' | 'peer' | 'server' | undefined
  #error: CallError | undefined
  #media: CallMedia | undefined
  #peerFeatures: ReadonlySet<Feature>
  /** The call whose other side we pass on to that of this one. */
  #passing: LiveCall | undefined
  #holdings = 0
  #transferring: Transferring | undefined
  #ringingDevices: number | undefined
  #answered = false
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
    this.waiting = facts.waiting ?? false
    this.transferredBy = facts.transferredBy
    this.#replaces = facts.replaces
    this.#peerFeatures = new Set(facts.features)
    this.#signals = new SignalsOut(line, facts.id)
    // Who is called has somebody who hears them
    if (facts.direction === 'incoming') this.#signals.answered()
    this.#holding = new Holding(line.me, () => {
      this.#rest()
      this.#events.emit('held', this.held)
    })
    this.#room = new RoomLegs({
      me: line.me,
      media: () => this.#media,
      isHeldBy: (user) => this.#holding.isBy(user),
    })
    if (facts.members) this.#room.invited(facts.members)
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
    return this.#media?.local.stream
  }

  get remoteStream(): MediaStream | undefined {
    return this.#leg?.remoteStream
  }

  get hasMicrophone(): boolean {
    return this.#media?.local.hasMicrophone ?? false
  }

  get muted(): boolean {
    return this.#media?.local.muted ?? false
  }

  get localVideo(): boolean {
    return this.#media?.local.video ?? false
  }

  get remoteVideo(): boolean {
    return this.#leg?.remoteVideo ?? false
  }

  get peerConnection(): RTCPeerConnection | undefined {
    return this.#leg?.connection
  }

  get held(): Held {
    return this.#holding.held
  }

  get transferring(): Transferring | undefined {
    return this.#transferring
  }

  get replaces(): Call | undefined {
    return this.#replaces
  }

  get can(): CallAbilities {
    const free = this.#answered && this.#talks && !this.forgotten && this.#transferring === undefined
    const both = (feature: Feature) =>
      free && this.#line.features.includes(feature) && (this.#room.exists || this.#peerFeatures.has(feature))
    const { byMe, byPeer } = this.held
    return {
      hold: both('hold'),
      transfer: both('transfer') && !this.#room.exists,
      invite: both('room') && !byMe && !byPeer,
    }
  }

  get room(): Room | undefined {
    return this.#room.view
  }

  mute(on: boolean): void {
    this.#media?.local.mute(on)
  }

  async camera(on: boolean): Promise<void> {
    await this.#media?.local.camera(on)
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
    const leg = this.#openLeg(this.type)
    await this.#media?.local.ready
    if (this.#over) return
    this.#request = request
    await this.#line.deliver({ destination: APP.request, body: request, about: this.id })
    if (this.#over) return
    await leg?.start()
  }

  /** The same for a call that the server has begun for us, because the other side has passed us on. */
  async follow(): Promise<void> {
    const leg = this.#openLeg(this.type)
    await this.#media?.local.ready
    if (!this.#over) await leg?.start()
  }

  async accept(options: { type?: CallType } = {}): Promise<void> {
    if (!this.ringsHere) {
      throw new CallError('wrong-state', `cannot answer: the call is ${this.#state}`)
    }
    // In a room the legs are to those whom the roster names
    const leg = this.#openLeg(options.type ?? this.type, !this.#room.exists)
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
    this.#isAnswered()
    if (!this.#media) this.#connected()
    await leg?.start()
  }

  async hold(): Promise<void> {
    await this.#hold(true)
  }

  async resume(): Promise<void> {
    await this.#hold(false)
  }

  async transfer(to: string | Call): Promise<void> {
    const message: CallTransfer =
      typeof to === 'string'
        ? { callId: this.id, target: to, mode: 'BLIND' }
        : { callId: this.id, target: to.peer.userId, mode: 'ATTENDED', withCallId: to.id }
    await this.#asks(APP.transfer, message)
    if (to instanceof LiveCall) to.#passing = this
  }

  async invite(users: readonly string[]): Promise<void> {
    await this.#asks(APP.invite, { callId: this.id, invitees: users } satisfies CallInvite)
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

  signal(type: 'OFFER' | 'ANSWER', payload: string, to?: string): void
  signal(type: 'ICE_CANDIDATE', payload: CandidatePayload, to?: string): void
  signal(type: SignalType, payload: string | CandidatePayload, to?: string): void {
    this.#signal({ type, payload } as Description | Candidate, to)
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

  heardResponse({ type, reason, features }: CallResponse): void {
    if (type === 'REJECT') this.end(reason === 'BUSY' ? 'busy' : 'declined', 'peer')
    if (features) this.#peerFeatures = new Set(features)
    if (this.#answered || this.#over || this.direction === 'incoming') return
    this.#isAnswered()
    if (!this.#media) this.#connected()
    else if (this.#state !== 'connected') this.#connecting()
  }

  /** Somebody has put it on hold, or takes it back: the other side, or we ourselves by another call. */
  heardHold(news: CallHeld): void {
    if (this.#talks) this.#holding.heard(news)
  }

  heardTransfer(news: CallTransferred): void {
    if (!this.#talks) return
    const { newCallId, state, target, transferredBy, mode, reason } = news
    const known = this.#transferring?.newCallId === newCallId
    const byMe = transferredBy === this.#line.me
    const facts = { newCallId, target, by: transferredBy, byMe, mode, ...(reason === undefined ? {} : { reason }) }
    const words = { RINGING: 'ringing', DONE: 'done', FAILED: 'failed' } as const
    this.#restsWhile(state === 'FAILED' ? undefined : facts)
    if (state === 'RINGING' && !known && !byMe) this.#line.passedOn(this, news)
    this.#events.emit('transfer', { ...facts, state: words[state] })
  }

  #restsWhile(transferring: Transferring | undefined): void {
    this.#transferring = transferring
    this.#rest()
  }

  /** Who is in the room. The message is the whole truth each time. */
  heardRoster(news: CallRoster): void {
    if (this.#over || this.ringsHere || !Array.isArray(news.members)) return
    const heard = this.#room.heard(news)
    if (!heard) return
    this.#isAnswered()
    this.#holding.keep(heard.there)
    if (this.#state === 'connecting' && heard.newcomer) this.#connected()
    this.#events.emit('room', undefined)
    this.#events.emit('media', undefined)
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
    if (reason === 'TRANSFERRED') {
      const byMe = this.#transferring?.byMe || this.#passing?.transferring?.byMe
      this.end('transferred', byMe ? 'me' : 'peer')
    }
    const by = reason === 'ADMIN' || reason === 'MAX_DURATION' ? 'server' : 'peer'
    this.end(this.#talks && reason !== 'CANCELLED' && reason !== 'CALLER_LOST' ? 'hung-up' : 'cancelled', by)
  }

  /** `reattached`: the other side was away, and came back. `from`: the user it is of. */
  heardSignal({ type, payload }: Signal, from: string | undefined, reattached = false): void {
    if (this.#over) return
    // Only who has answered says so: its ACCEPT was missed by a device that could not be told
    if (type === 'ANSWER') this.heardResponse({ callId: this.id, type: 'ACCEPT' })
    const signal = { type, payload } as Description | Candidate
    this.#events.emit('signal', { ...signal, ...(this.#room.exists && from !== undefined ? { from } : {}) })
    const leg = this.#legFor(from, signal)
    if (leg) {
      if (reattached) leg.peerReattached()
      leg.receive(signal)
    } else if (from !== undefined) this.#room.keepFor(from, signal)
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
    if (this.#media) this.#media.away = true
    if (this.#state === 'connecting') this.#cancelTimer()
    this.#events.emit('reconnecting', true)
  }

  /** By now the server has ended it for this device. Two who still hear each other are not torn apart. */
  graceOver(): void {
    if (!this.#away || this.#over || this.forgotten) return
    this.#graceOver = true
    if (this.#isClosedByPeer) this.#ended()
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
    if (this.#media) this.#media.away = false
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
    this.#media?.close()
    this.#line.forget(this.id)
    this.#line.ended(this)
    this.#change('ended')
  }

  get #talks(): boolean {
    return this.#state === 'connecting' || this.#state === 'connected'
  }

  get #acceptance(): CallResponse {
    const { features } = this.#line
    return { callId: this.id, type: 'ACCEPT', ...(features.length > 0 ? { features } : {}) }
  }

  /** Of two the one there is; of a room the one to who has been in it longest. */
  get #leg(): MediaLeg | undefined {
    const [first] = this.#media?.legs.values() ?? []
    return first
  }

  #legFor(user: string | undefined, signal: Description | Candidate): MediaLeg | undefined {
    if (this.#room.exists && user !== undefined) return this.#room.legFor(user, signal)
    return user === undefined || user === this.peer.userId ? this.#leg : undefined
  }

  async #hold(on: boolean): Promise<void> {
    const { me } = this.#line
    if (this.held.byMe === on) return
    if (!this.#answered || !this.#talks) {
      throw new CallError('wrong-state', `cannot be put on hold: the call is ${this.#state}`)
    }
    // At once, whatever the server says: nobody shall be heard a moment longer
    this.#holding.set(me, on)
    const mine = ++this.#holdings
    try {
      await this.#asks(APP.hold, { callId: this.id, hold: on } satisfies CallHold)
    } catch (error) {
      if (mine === this.#holdings && this.#talks) this.#holding.set(me, !on)
      throw error
    }
    if (!on) this.#line.foreground(this)
  }

  /** By another call of ours, which the server has answered or taken back. */
  restsForAnother(): void {
    if (this.#answered && this.#talks) this.#holding.set(this.#line.me, true)
  }

  /**
   * On hold by us, and while we pass the other side on. Who is on hold by the other side follows its offers, and hears what
   * it plays: if both changed the directions at a time, their offers would meet each time.
   */
  #rest(): void {
    this.#media?.rest(this.held.byMe || this.#transferring?.byMe === true)
  }

  /** Something that the server is asked to do with a call that is talked in. */
  async #asks(destination: string, body: unknown): Promise<void> {
    if (this.#forgotten) throw this.#forgotten
    try {
      await this.#line.deliver({ destination, body, about: this.id })
    } catch (cause) {
      const error = asCallError(cause, 'timeout')
      const { refusal } = error
      if (refusal && (error.code === CODE.alreadyOver || error.code === CODE.handledElsewhere))
        this.heardRefusal(refusal)
      throw error
    }
  }

  /** Sound and picture come, with or without a server. */
  get #flows(): boolean {
    return this.#state === 'connected' && this.#media !== undefined && !this.#interrupted
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
    if (this.ringsHere) return this.#line.send(APP.ringing, { callId: this.id })
    const inRoom = this.#room.exists
    const knowsHold = this.#line.features.includes('hold') && (inRoom || this.#peerFeatures.has('hold'))
    const transferring = this.#transferring
    await askHowItIs(this.#line, {
      id: this.id,
      incoming: this.direction === 'incoming',
      answered: this.#answered,
      inRoom,
      request: this.#request,
      acceptance: this.#acceptance,
      held: this.held.byMe,
      knowsHold,
      repeatOffers: () => this.#media?.repeatOffers(),
    })
    // Who is told how the call is on hold is told of a transfer too, if there is one still
    if (!knowsHold || transferring === undefined || this.#transferring !== transferring) return
    this.#restsWhile(undefined)
    this.#events.emit('transfer', { ...transferring, state: 'failed' })
  }

  #forget(error: CallError): void {
    if (this.#forgotten !== undefined) return
    this.#forgotten = error
    if (this.#isClosedByPeer) this.#ended()
    else this.#events.emit('problem', error)
  }

  /** Nobody but the media says so when the server has forgotten the call, or this device; otherwise it says it better. */
  #closedByPeer(user: string): void {
    this.#peerClosed = true
    if (this.#room.exists) {
      this.#media?.part(user)
      this.#events.emit('room', undefined)
      if (!this.#isClosedByPeer) return
    }
    if (this.#forgotten !== undefined || this.#graceOver) this.#ended()
  }

  /** In a room: by all who were in it with us. */
  get #isClosedByPeer(): boolean {
    return this.#peerClosed && !(this.#room.exists && this.#media && this.#media.legs.size > 0)
  }

  #isAnswered(): void {
    if (this.#answered) return
    this.#answered = true
    this.#signals.answered()
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

  /** Camera and microphone as they are to be, and (not in a room) the leg to the other side. */
  #openLeg(type: CallType, withPeer = true): MediaLeg | undefined {
    const sources = this.#line.media
    if (!sources) return undefined
    const before = this.#replaces
    const media = new CallMedia({
      sources,
      type: this.type,
      video: before ? before.localVideo : type === 'VIDEO',
      muted: before?.muted ?? false,
      send: (user, signal) => this.#signal(signal, user),
      connected: (user) => {
        this.#room.reached(user)
        this.#connected()
        if (this.#room.exists && !this.#over) this.#events.emit('room', undefined)
      },
      changed: () => {
        if (!this.#over) this.#events.emit('media', undefined)
      },
      interrupted: (_user, on) => this.#mediaInterrupted(on),
      problem: (error) => {
        if (!this.#over) this.#events.emit('problem', error)
      },
      peerClosed: (user) => this.#closedByPeer(user),
      lost: (user) => this.#mediaLost(user),
    })
    media.away = this.#away
    this.#media = media
    const caller = this.direction === 'outgoing'
    return withPeer ? media.open(this.peer.userId, { offers: caller, polite: !caller }) : undefined
  }

  #mediaInterrupted(on: boolean): void {
    if (on) this.#line.suspect()
    this.#weighInterruption()
    if (this.#room.exists && !this.#over) this.#events.emit('room', undefined)
  }

  #weighInterruption(): void {
    const all = this.#media?.interrupted ?? false
    if (all !== this.#interrupted) {
      this.#interrupted = all
      this.#events.emit('interrupted', all)
      if (all && this.#graceOver) this.#lostTouch()
    }
  }

  #mediaLost(user: string): void {
    const error = new CallError('negotiation', 'the media path broke and could not be repaired')
    if (!this.#room.exists) {
      this.#fail(error, this.#connectedAt === undefined ? 'failed' : 'lost')
      return
    }
    // The others of a room go on
    const isNews = this.#room.lost(user, this.#forgotten === undefined)
    this.#weighInterruption()
    if (this.#over) return
    if (isNews) this.#events.emit('problem', error)
    this.#events.emit('room', undefined)
  }

  #signal(signal: Description | Candidate, to?: string): void {
    if (this.#over) return
    if (this.#forgotten) {
      // Whatever shall be changed by this offer: the person is told that it cannot
      if (signal.type === 'OFFER' && !this.#interrupted) this.#events.emit('problem', this.#forgotten)
      return
    }
    this.#signals.send(signal, this.#room.exists ? to : undefined)
  }
}
