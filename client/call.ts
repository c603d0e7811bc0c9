/**
 * One call as this device sees it: its state, what the server says about it, and the media that belong to it.
 * Knows the contract's call messages; sends them by a {@link Line}.
 */

import { CallMedia } from './call-media.ts'
import type { Clock } from './clock.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError } from './errors.ts'
import type { MediaLeg, MediaSources } from './media-leg.ts'
import type { Candidate, Description } from './negotiation.ts'
import type { Letter } from './outbox.ts'
import { Roster } from './roster.ts'
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
  type RosterMember,
  type ServerRefusal,
  type Signal,
  type SignalType,
} from './wire.ts'

/** What a call needs of the client it belongs to. */
export interface Line {
  readonly clock: Clock
  /** Nothing: signalling only. */
  readonly media: MediaSources | undefined
  /** Who we are. */
  readonly me: string
  /** What this client says that it can do. */
  readonly features: readonly Feature[]
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
  /** The other side has passed us on: a new call takes the place of this one when it is answered. */
  passedOn(call: LiveCall, news: CallTransferred): void
  /** This one is talked in now: the server has put any other on hold. */
  foreground(call: LiveCall): void
  /** Told once. */
  ended(call: LiveCall): void
}

export interface CallFacts {
  readonly id: string
  readonly direction: 'outgoing' | 'incoming'
  readonly type: CallType
  readonly peer: Party
  /** How long it rings at most, as far as this side knows. */
  readonly ringMs: number
  /** The server cannot be reached as it begins. */
  readonly away?: boolean
  readonly waiting?: boolean
  readonly transferredBy?: Party | undefined
  /** Takes the place of this one: with its microphone and camera as they are there. */
  readonly replaces?: LiveCall | undefined
  /** What the other side's client can do, as far as it is known. */
  readonly features?: readonly Feature[] | undefined
  /** It is a room that we are invited into. */
  readonly members?: readonly RosterMember[] | undefined
}

/** The server keeps 64 frames of a caller until a device answers; what is beyond waits here. */
const MOST_SIGNALS_BEFORE_ANSWER = 60
/** From the answer to the first media. */
const CONNECTING_MS = 30_000
/** Offers and candidates of somebody whom the roster has not named yet. */
const MOST_OF_STRANGERS = 256
/** The server lets fewer people into a room. */
const MOST_HOLDERS = 64
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
  readonly #replaces: LiveCall | undefined
  readonly #line: Line
  readonly #events = new Emitter<CallEvents>()
  /** Signals that the server would not keep. */
  readonly #unsent: (Description | Candidate)[] = []
  #state: CallState
  #endReason: EndReason | undefined
  #endedBy: 'me' | 'peer' | 'server' | undefined
  #error: CallError | undefined
  #media: CallMedia | undefined
  #peerFeatures: ReadonlySet<Feature>
  /** Users who have put it on hold. */
  readonly #holders = new Set<string>()
  /** Of what each has said of it last. */
  readonly #holdVersions = new Map<string, number>()
  /** The call whose other side we pass on to that of this one. */
  #passing: LiveCall | undefined
  #holdings = 0
  #transferring: Transferring | undefined
  #roster: Roster | undefined
  #rosterVersion = 0
  /** Of users who are not known to be in the room yet. */
  readonly #strangers: { readonly from: string; readonly signal: Description | Candidate }[] = []
  /** Of a room: those to whom the media path broke, and whom the person was told of. */
  readonly #unreached = new Set<string>()
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
    this.waiting = facts.waiting ?? false
    this.transferredBy = facts.transferredBy
    this.#replaces = facts.replaces
    this.#peerFeatures = new Set(facts.features)
    if (facts.members) this.#roster = new Roster(line.me, facts.members)
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
    const byMe = this.#holders.has(this.#line.me)
    return { byMe, byPeer: this.#holders.size > Number(byMe) }
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
      free && this.#line.features.includes(feature) && (this.#roster !== undefined || this.#peerFeatures.has(feature))
    const { byMe, byPeer } = this.held
    return {
      hold: both('hold'),
      transfer: both('transfer') && !this.#roster,
      invite: both('room') && !byMe && !byPeer,
    }
  }

  get room(): Room | undefined {
    const roster = this.#roster
    if (!roster) return undefined
    const members = roster.members.map((member) => {
      const leg = this.#media?.legs.get(member.userId)
      return {
        ...member,
        stream: leg?.remoteStream,
        video: leg?.remoteVideo ?? false,
        connected: leg?.connected ?? false,
        interrupted: leg?.interrupted ?? false,
        held: this.#holders.has(member.userId),
        peerConnection: leg?.connection,
      }
    })
    return { members }
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
    const leg = this.#openLeg(options.type ?? this.type, this.#roster === undefined)
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
    this.#answered = true
    for (const signal of this.#unsent.splice(0)) this.#post(signal)
    if (!this.#media) this.#connected()
    else if (this.#state !== 'connected') this.#connecting()
  }

  /** Somebody has put it on hold, or takes it back: the other side, or we ourselves by another call. */
  heardHold({ by, hold, version = 0 }: CallHeld): void {
    if (!this.#talks || typeof by !== 'string' || version < (this.#holdVersions.get(by) ?? 0)) return
    if (this.#holdVersions.size < MOST_HOLDERS || this.#holdVersions.has(by)) this.#holdVersions.set(by, version)
    this.#holds(by, hold)
  }

  heardTransfer(news: CallTransferred): void {
    if (!this.#talks) return
    const { newCallId, state, target, transferredBy, mode, reason } = news
    const known = this.#transferring?.newCallId === newCallId
    const byMe = transferredBy === this.#line.me
    const facts = { newCallId, target, by: transferredBy, byMe, mode, ...(reason === undefined ? {} : { reason }) }
    this.#transferring = state === 'FAILED' ? undefined : facts
    this.#rest()
    if (state === 'RINGING' && !known && !byMe) this.#line.passedOn(this, news)
    const words = { RINGING: 'ringing', DONE: 'done', FAILED: 'failed' } as const
    this.#events.emit('transfer', { ...facts, state: words[state] })
  }

  /** Who is in the room. The message is the whole truth each time. */
  heardRoster({ members, version = 0 }: CallRoster): void {
    if (this.#over || this.ringsHere || !Array.isArray(members)) return
    if (version < this.#rosterVersion) return
    this.#rosterVersion = version
    const { me } = this.#line
    const before = this.#roster
    this.#roster = new Roster(me, members)
    const joined = this.#roster.joined
    if (!joined.has(me)) return
    // Who has come later offers: we do to all who were there before us
    const newcomer = before !== undefined && !before.joined.has(me)
    this.#answered = true
    for (const user of [...this.#holders]) if (!joined.has(user)) this.#holders.delete(user)
    for (const user of [...(this.#media?.legs.keys() ?? [])]) {
      if (joined.has(user)) continue
      this.#media?.part(user)
      this.#unreached.delete(user)
    }
    for (const user of joined) {
      const isNew = !before?.joined.has(user) || newcomer
      if (user !== me && isNew && !this.#media?.legs.has(user)) this.#meet(user, newcomer)
    }
    if (this.#state === 'connecting' && newcomer) this.#connected()
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
    this.#events.emit('signal', { ...signal, ...(this.#roster && from !== undefined ? { from } : {}) })
    const leg = this.#legFor(from, signal)
    if (leg) {
      if (reattached) leg.peerReattached()
      leg.receive(signal)
    } else if (from !== undefined && this.#strangers.length < MOST_OF_STRANGERS) {
      // Who has just joined offers at once, and over several servers that may be here before the roster
      this.#strangers.push({ from, signal })
    }
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

  #legOf(user: string | undefined): MediaLeg | undefined {
    if (this.#roster && user !== undefined) return this.#media?.legs.get(user)
    return user === undefined || user === this.peer.userId ? this.#leg : undefined
  }

  /** The leg that a signal is for; in a room one to somebody who has begun anew, or whose leg is gone, is made for an offer. */
  #legFor(user: string | undefined, signal: Description | Candidate): MediaLeg | undefined {
    const leg = this.#legOf(user)
    const { joined } = this.#roster ?? {}
    if (user === undefined || !joined?.has(user) || !joined.has(this.#line.me)) return leg
    if (leg ? leg.isOfAnother(signal) : signal.type === 'OFFER') return this.#meet(user, false)
    return leg
  }

  async #hold(on: boolean): Promise<void> {
    const { me } = this.#line
    if (this.held.byMe === on) return
    if (!this.#answered || !this.#talks) {
      throw new CallError('wrong-state', `cannot be put on hold: the call is ${this.#state}`)
    }
    // At once, whatever the server says: nobody shall be heard a moment longer
    this.#holds(me, on)
    const mine = ++this.#holdings
    try {
      await this.#asks(APP.hold, { callId: this.id, hold: on } satisfies CallHold)
    } catch (error) {
      if (mine === this.#holdings && this.#talks) this.#holds(me, !on)
      throw error
    }
    if (!on) this.#line.foreground(this)
  }

  #holds(user: string, on: boolean): void {
    if (this.#holders.has(user) === on) return
    if (on) this.#holders.add(user)
    else this.#holders.delete(user)
    this.#rest()
    this.#events.emit('held', this.held)
  }

  /** By another call of ours, which the server has answered or taken back. */
  restsForAnother(): void {
    if (this.#answered && this.#talks) this.#holds(this.#line.me, true)
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

  /** A leg to somebody in the room, in the place of any that there is. */
  #meet(user: string, offers: boolean): MediaLeg | undefined {
    const { me } = this.#line
    if (!this.#media) return undefined
    this.#peerClosed = false
    const leg = this.#media.open(user, { offers, polite: me > user })
    const waiting = this.#strangers.filter(({ from }) => from === user)
    const others = this.#strangers.filter(({ from }) => from !== user)
    this.#strangers.splice(0, Number.POSITIVE_INFINITY, ...others)
    for (const { signal } of waiting) leg.receive(signal)
    void leg.start()
    return leg
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
    const { send } = this.#line
    if (this.ringsHere) return send(APP.ringing, { callId: this.id })
    if (this.#roster || this.direction === 'incoming') {
      // Otherwise its ACCEPT is on its way. In a room the roster is the answer, also to who has begun the call
      if (this.#answered) await send(APP.response, this.#acceptance)
    } else {
      if (this.#answered || !this.#request) await this.#askWhetherItLives()
      // A server that knows nothing of a call that rings, rings anew: on the other side it is the same call
      if (this.#request) await send(APP.request, this.#request)
      this.#media?.repeatOffers()
    }
    if (this.#answered && this.#knowsHold) await this.#askWhoHolds()
  }

  /** Both sides' programs: what one has not announced is not asked of it. */
  get #knowsHold(): boolean {
    return this.#line.features.includes('hold') && (this.#roster !== undefined || this.#peerFeatures.has('hold'))
  }

  /** The server may have missed whether we hold it, and tells who says so once more how the others have it. */
  async #askWhoHolds(): Promise<void> {
    try {
      await this.#line.send(APP.hold, { callId: this.id, hold: this.held.byMe } satisfies CallHold)
    } catch (error) {
      // That the call lives is known by now: of a server that knows no hold there is nothing to learn
      const { code } = asCallError(error, 'timeout')
      if (code !== CODE.notFound && code !== CODE.badRequest && code !== CODE.notNow) throw error
    }
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
  #closedByPeer(user: string): void {
    if (this.#roster) {
      this.#media?.part(user)
      this.#events.emit('room', undefined)
      if (this.#media && this.#media.legs.size > 0) return
    }
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
        this.#unreached.delete(user)
        this.#connected()
        if (this.#roster && !this.#over) this.#events.emit('room', undefined)
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
    if (this.#roster && !this.#over) this.#events.emit('room', undefined)
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
    if (!this.#roster) {
      this.#fail(error, this.#connectedAt === undefined ? 'failed' : 'lost')
      return
    }
    // The others of a room go on, and with this one it is begun anew for as long as both are in it
    if (this.#forgotten) this.#media?.part(user)
    else this.#meet(user, true)
    this.#weighInterruption()
    if (this.#over) return
    if (!this.#unreached.has(user)) this.#events.emit('problem', error)
    this.#unreached.add(user)
    this.#events.emit('room', undefined)
  }

  #signal(signal: Description | Candidate, to?: string): void {
    if (this.#over) return
    if (this.#forgotten) {
      // Whatever shall be changed by this offer: the person is told that it cannot
      if (signal.type === 'OFFER' && !this.#interrupted) this.#events.emit('problem', this.#forgotten)
      return
    }
    const early = !this.#answered && this.direction === 'outgoing'
    if (early && this.#signalsSent >= MOST_SIGNALS_BEFORE_ANSWER) this.#unsent.push(signal)
    else this.#post(signal, to)
  }

  #post(signal: Description | Candidate, to?: string): void {
    this.#signalsSent++
    const body = { callId: this.id, ...signal, ...(this.#roster && to !== undefined ? { to } : {}) }
    this.#line.post({ destination: APP.signaling, body, about: this.id })
  }
}
