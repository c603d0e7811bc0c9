/**
 * The client an application uses: one user on one device. Joins the connection with calls and presence, and passes
 * every message of the server to the call it names.
 */

import { LiveCall } from './call.ts'
import { type Clock, systemClock } from './clock.ts'
import { Connection } from './connection.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError } from './errors.ts'
import { askHistory, type HistoryOptions, httpBase } from './history.ts'
import type { Line } from './line.ts'
import type { MediaSources } from './media-leg.ts'
import { onNetworkNews } from './network-news.ts'
import { Presence } from './presence.ts'
import type {
  Call,
  ClientEvents,
  ClientOptions,
  ConnectionState,
  IncomingCall,
  Party,
  SocketLike,
  StateChange,
} from './types.ts'
import {
  APP,
  type CallDown,
  type CallHeld,
  type CallHungUp,
  type CallOffered,
  type CallRequest,
  type CallResponse,
  type CallRoster,
  type CallTransferred,
  type CallType,
  CODE,
  type Feature,
  HEARS,
  type Heard,
  type HistoryPage,
  type HistoryQuery,
  type HistoryRead,
  type MissedCalls,
  type ServerRefusal,
  type Signal,
  type TurnCredentials,
  type UserStatus,
} from './wire.ts'

export interface PlaceOptions {
  /** Default `VIDEO`. */
  readonly type?: CallType
  /** Shown on the devices that ring. Default: the own user id. */
  readonly name?: string
  readonly calleeName?: string
  /** Seconds to ring, 5 to 120; default: the server's. */
  readonly timeout?: number
}

/** No answer of the server to a request for credentials: then without. */
const CREDENTIALS_MS = 5_000
/** On glare the other's call rings here, or will in a moment. */
const GLARE_MS = 3_000
const LONGEST_RING_MS = 120_000
/** RESUME_GRACE_S of the server, as it is by default. */
const GRACE_MS = 30_000
const EVERYTHING: readonly Feature[] = ['hold', 'transfer', 'room']
/** A server that is older than these does not know where they are: it has nothing to tell there. */
const NEWER: ReadonlySet<string> = new Set([HEARS.hold, HEARS.transfer, HEARS.room, HEARS.missed])
const OVER: ReadonlySet<number> = new Set([CODE.notFound, CODE.handledElsewhere, CODE.alreadyOver])

export class CallClient {
  readonly #events = new Emitter<ClientEvents>()
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #presence: Presence
  readonly #line: Line
  readonly #calls = new Map<string, LiveCall>()
  readonly #graceMs: number
  readonly #past: HistoryOptions
  /** Of an outage: its grace is running, or is over. */
  #cancelGrace: (() => void) | undefined
  #graceOver = false
  /** Incoming calls of somebody whom we are calling at this moment: not shown until it is known which call lives. */
  readonly #shy = new Set<IncomingCall>()
  /** Who waits for an incoming call that a refusal has named. */
  readonly #awaited = new Map<string, (call: LiveCall) => void>()
  /** The answer names no question: whoever asks meanwhile gets the same. */
  #asking: Promise<TurnCredentials> | undefined
  #tellCredentials: (credentials: TurnCredentials) => void = () => {}
  /** The last ones that were heard: asked for, or told by the server before those of before end. */
  #heardCredentials: { readonly credentials: TurnCredentials; readonly goodUntil: number } | undefined

  constructor(options: ClientOptions) {
    this.#clock = options.clock ?? systemClock
    this.#graceMs = options.graceMs ?? GRACE_MS
    const url = socketUrl(options.url, options.userId)
    this.#past = {
      base: httpBase(url),
      token: () => this.#connection.token(),
      fetch: options.fetch ?? ((...question) => fetch(...question)),
    }
    this.#connection = new Connection({
      url,
      token: options.token,
      renewToken: options.renewToken,
      openSocket: options.webSocketFactory ?? openWebSocket,
      heartbeatMs: options.heartbeatMs ?? 10_000,
      clock: this.#clock,
      random: Math.random,
    })
    this.#presence = new Presence((users) => this.#connection.send(APP.status, users))
    const media = this.#mediaSources(options)
    const userOf = () => this.userId
    this.#line = {
      clock: this.#clock,
      media,
      features: options.features ?? (media ? EVERYTHING : []),
      get me() {
        return userOf() ?? ''
      },
      passedOn: (call, news) => this.#passedOn(call, news),
      foreground: (call) => {
        for (const other of this.#calls.values()) if (other !== call) other.restsForAnother()
      },
      send: (destination, body) => this.#connection.send(destination, body),
      deliver: (letter) => this.#connection.deliver(letter),
      post: (letter) => this.#connection.post(letter),
      forget: (callId) => this.#connection.forget(callId),
      suspect: () => this.#connection.suspect(),
      ended: (call) => {
        this.#calls.delete(call.id)
        this.#shy.delete(call)
        this.#minds()
      },
    }
    this.#connection.on('message', ({ destination, headers, body }) => this.#heard(destination, headers, body))
    this.#connection.on('refused', (refusal) => this.#refused(refusal))
    this.#connection.on('error', (error) => this.#events.emit('error', error))
    this.#connection.on('state', (change) => this.#changed(change))
    onNetworkNews(() => this.#connection.hurry())
  }

  /** Typed events; returns what takes the listener off again. Listen to `incoming` before {@link connect}. */
  on<K extends keyof ClientEvents>(kind: K, listener: (event: ClientEvents[K]) => void): () => void {
    if (kind !== 'frame') return this.#events.on(kind, listener)
    return this.#connection.on('frame', listener as (event: ClientEvents['frame']) => void)
  }

  get state(): ConnectionState {
    return this.#connection.state
  }

  /** Who the server says we are; nothing before the first connection. */
  get userId(): string | undefined {
    return this.#connection.user
  }

  /** The server's name for this device; over HTTP `X-Session-Id`. */
  get session(): string | undefined {
    return this.#connection.session
  }

  /** Calls that have not ended. */
  get calls(): readonly Call[] {
    return [...this.#calls.values()]
  }

  /** The last known status of everybody who was watched or whose change was pushed. */
  get presence(): ReadonlyMap<string, UserStatus['status']> {
    return this.#presence.known
  }

  /**
   * Fulfilled when connected and reachable for calls. When the server cannot be reached it goes on trying, told by
   * `state`; fails with {@link TokenRefusedError} when the token is refused, and when {@link disconnect} comes first.
   */
  connect(): Promise<void> {
    return this.#connection.open()
  }

  /** Hangs up and leaves. Leaving is no answer: what rings here goes on ringing, on other devices or for the caller. */
  async disconnect(): Promise<void> {
    for (const call of [...this.#calls.values()]) {
      if (call.ringsHere) call.end('cancelled', 'me')
      else call.hangUp()
    }
    await this.#connection.close()
  }

  /** Asks for statuses, now and after every reconnect; fulfilled when they are in {@link presence}. */
  async watch(users: readonly string[]): Promise<void> {
    const asked = this.#presence.watch(users)
    if (this.state === 'online') await asked()
  }

  unwatch(users: readonly string[]): void {
    this.#presence.unwatch(users)
  }

  /**
   * Rings every device of the callee. Fulfilled when the server has taken the request. A busy or unreachable callee is
   * an outcome: the call is then `ended`. When the callee is calling us at this very moment, theirs is answered and
   * returned (`direction` tells). Fails with {@link CallError} on everything else (1006: already in a call).
   */
  async call(callee: string, options: PlaceOptions = {}): Promise<Call> {
    if (this.state !== 'online') throw new CallError('offline', 'not connected to the server')
    const theirs = [...this.#calls.values()].find((call) => call.ringsHere && call.peer.userId === callee)
    if (theirs) return answer(theirs, options.type)
    const request: CallRequest = {
      callId: newCallId(),
      type: options.type ?? 'VIDEO',
      callee,
      callerUserName: options.name ?? this.userId ?? callee,
      ...(options.calleeName === undefined ? {} : { calleeUserName: options.calleeName }),
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
      ...(this.#line.features.length > 0 ? { features: this.#line.features } : {}),
    }
    const call = new LiveCall(this.#line, {
      id: request.callId,
      direction: 'outgoing',
      type: request.type,
      peer: { userId: callee, name: options.calleeName ?? callee },
      ringMs: options.timeout === undefined ? LONGEST_RING_MS : options.timeout * 1000,
    })
    this.#keep(call)
    this.#events.emit('outgoing', call)
    try {
      await call.place(request)
      return call
    } catch (cause) {
      return await this.#notPlaced(call, asCallError(cause, 'negotiation'))
    } finally {
      this.#showShy()
    }
  }

  /**
   * Fresh credentials for the relay (contract, section 6). Always asked for, because the server knows which relay is up
   * now; when it does not answer, the last ones that were heard, as long as they are good.
   */
  turnCredentials(): Promise<TurnCredentials> {
    this.#asking ??= this.#askCredentials()
      .catch((error: unknown) => {
        const heard = this.#heardCredentials
        if (heard && this.#clock.now() < heard.goodUntil) return heard.credentials
        throw error
      })
      .finally(() => {
        this.#asking = undefined
      })
    return this.#asking
  }

  /**
   * Own calls of the past, the latest first, a page at a time: `next` of a page is `cursor` of the following one. Asked over
   * HTTP, also without a connection. Fails with {@link CallError}.
   */
  history(query: HistoryQuery = {}): Promise<HistoryPage> {
    return askHistory(this.#past, query)
  }

  /** Missed calls are seen, on all devices of this user: all of them, or those that ended until then. */
  markMissedRead(until?: string | number): Promise<void> {
    const message: HistoryRead = until === undefined ? {} : { until }
    return this.#connection.deliver({ destination: APP.historyRead, body: message })
  }

  async #askCredentials(): Promise<TurnCredentials> {
    let tooLate = () => {}
    const answer = new Promise<TurnCredentials>((fulfil, reject) => {
      this.#tellCredentials = fulfil
      const late = new CallError('timeout', 'the server gave no credentials for the relay')
      tooLate = this.#clock.after(CREDENTIALS_MS, () => reject(late))
    })
    try {
      const [credentials] = await Promise.all([answer, this.#connection.send(APP.turn, {})])
      return credentials
    } finally {
      tooLate()
    }
  }

  #credentials(credentials: TurnCredentials): void {
    // By our own clock: the server's may be another
    const goodUntil = this.#clock.now() + (credentials.ttl ?? 0) * 1000
    this.#heardCredentials = { credentials, goodUntil }
    this.#tellCredentials(credentials)
  }

  async #notPlaced(call: LiveCall, error: CallError): Promise<Call> {
    const { code, refusal } = error
    // Taken back by the person, who has told the server so
    if (call.state === 'ended') return call
    if (code === CODE.busy && refusal?.reason === 'GLARE' && refusal.activeCallId) {
      const theirs = await this.#rings(refusal.activeCallId)
      if (theirs) {
        call.end('cancelled', 'me')
        this.#shy.delete(theirs)
        return answer(theirs, call.type)
      }
    }
    if (code === CODE.busy || code === CODE.unreachable) {
      call.end(code === CODE.busy ? 'busy' : 'unreachable', 'server', error)
      return call
    }
    // Whether the server has taken it is not known when no answer came: take it back.
    if (typeof code !== 'number') {
      this.#connection.post({ destination: APP.hangup, body: { callId: call.id }, insists: true })
    }
    call.end('failed', 'server', error)
    throw error
  }

  /** The incoming call with this id, if it rings within a moment. */
  #rings(callId: string): Promise<LiveCall | undefined> {
    const found = this.#calls.get(callId)
    if (found) return Promise.resolve(found)
    return new Promise((answer) => {
      const tooLong = this.#clock.after(GLARE_MS, () => {
        this.#awaited.delete(callId)
        answer(undefined)
      })
      this.#awaited.set(callId, (call) => {
        tooLong()
        this.#awaited.delete(callId)
        answer(call)
      })
    })
  }

  #showShy(): void {
    for (const call of [...this.#shy]) {
      if (this.#isBeingCalled(call.peer.userId)) continue
      this.#shy.delete(call)
      if (call.state === 'ringing') this.#events.emit('incoming', call)
    }
  }

  #isBeingCalled(user: string): boolean {
    return [...this.#calls.values()].some(
      ({ direction, state, peer }) => direction === 'outgoing' && state === 'calling' && peer.userId === user,
    )
  }

  #heard(destination: Heard, headers: Readonly<Record<string, string>>, body: unknown): void {
    if (destination === HEARS.status) this.#statuses(body)
    else if (destination === HEARS.turn) this.#credentials(body as TurnCredentials)
    else if (destination === HEARS.request) this.#offered(body as CallOffered)
    else if (destination === HEARS.missed) this.#missed(body as MissedCalls)
    else {
      // What names no call, or one that is over here, crossed our own word on its way.
      const call = this.#calls.get((body as { callId: string }).callId)
      if (call) tell(call, destination, headers, body)
    }
  }

  #offered(offered: CallOffered): void {
    if (typeof offered.callId !== 'string' || typeof offered.caller !== 'string') {
      this.#events.emit('error', new CallError('bad-message', 'a call request without callId or caller'))
      return
    }
    // Rings again after a reconnect: the same call.
    if (this.#calls.has(offered.callId)) return
    const { transferredBy, transferredByUserName } = offered
    const replaces = this.#replacedBy(offered)
    const call = new LiveCall(this.#line, {
      id: offered.callId,
      direction: 'incoming',
      type: offered.type === 'AUDIO' ? 'AUDIO' : 'VIDEO',
      peer: { userId: offered.caller, name: offered.callerUserName || offered.caller },
      ringMs: offered.remainingMs ?? LONGEST_RING_MS,
      away: this.state === 'reconnecting',
      waiting: offered.waiting === true,
      transferredBy:
        transferredBy === undefined
          ? undefined
          : { userId: transferredBy, name: transferredByUserName || transferredBy },
      replaces,
      features: Array.isArray(offered.features) ? offered.features : undefined,
      members: offered.room && Array.isArray(offered.members) ? offered.members : undefined,
    })
    this.#keep(call)
    const awaited = this.#awaited.get(call.id)
    if (replaces) this.#switches(call, replaces)
    else if (awaited) awaited(call)
    else if (this.#isBeingCalled(call.peer.userId)) this.#shy.add(call)
    else this.#events.emit('incoming', call)
  }

  #missed({ unread, calls }: MissedCalls): void {
    if (typeof unread === 'number' && Array.isArray(calls)) this.#events.emit('missed', { unread, calls })
  }

  /** Only who talks with us may put another in their place. */
  #replacedBy({ replaces, transferredBy }: CallOffered): LiveCall | undefined {
    const old = this.#calls.get(replaces ?? '')
    const talks = old?.state === 'connected' || old?.state === 'connecting'
    return talks && old.peer.userId === transferredBy ? old : undefined
  }

  /** The person has been told whom they will talk with: nothing rings. */
  #switches(call: LiveCall, old: LiveCall): void {
    // What goes wrong ends the call, and says so
    void call.accept({ type: old.localVideo ? 'VIDEO' : 'AUDIO' }).catch(() => {})
    this.#events.emit('switched', call)
  }

  #passedOn(old: Call, { newCallId, target, transferredBy }: CallTransferred): void {
    if (this.#calls.has(newCallId)) return
    const by: Party = transferredBy === old.peer.userId ? old.peer : { userId: transferredBy, name: transferredBy }
    const call = new LiveCall(this.#line, {
      id: newCallId,
      direction: 'outgoing',
      type: old.type,
      peer: { userId: target, name: target },
      ringMs: LONGEST_RING_MS,
      away: this.state === 'reconnecting',
      transferredBy: by,
      replaces: old,
    })
    this.#keep(call)
    // The server gives the new one up when the old one is hung up
    old.on('state', ({ state }) => {
      if (state === 'ended' && old.endedBy === 'me') call.end('cancelled', 'me')
    })
    this.#events.emit('outgoing', call)
    void call.follow().catch((error: unknown) => this.#events.emit('error', asCallError(error, 'negotiation')))
  }

  #statuses(body: unknown): void {
    const changes = this.#presence.heard(body)
    if (changes.length > 0) this.#events.emit('presence', changes)
  }

  #refused(refusal: ServerRefusal): void {
    const call = this.#calls.get(refusal.callId ?? '')
    if (NEWER.has(refusal.destination ?? '')) return
    if (call) call.heardRefusal(refusal)
    // About a call that is over here, too: our hang-up has crossed its end, or the server has restarted since
    else if (refusal.callId === undefined || !OVER.has(refusal.code)) this.#events.emit('error', CallError.of(refusal))
  }

  #changed(change: StateChange): void {
    switch (change.state) {
      case 'online':
        this.#back(change.resumed ?? false)
        break
      case 'reconnecting':
        this.#away()
        break
      case 'offline':
        this.#graceEnds()
        this.#endAll(change.cause)
        break
      case 'connecting':
        break
    }
    this.#events.emit('state', change)
  }

  #away(): void {
    for (const call of this.#calls.values()) call.wentAway()
    if (this.#cancelGrace) return
    this.#cancelGrace = this.#clock.after(this.#graceMs, () => {
      this.#graceOver = true
      for (const call of [...this.#calls.values()]) call.graceOver()
      this.#minds()
    })
  }

  #back(resumed: boolean): void {
    this.#graceEnds()
    this.#minds()
    this.#reportFailure(this.#presence.askAll())
    for (const call of [...this.#calls.values()]) void call.cameBack(resumed)
  }

  #graceEnds(): void {
    this.#cancelGrace?.()
    this.#cancelGrace = undefined
    this.#graceOver = false
  }

  #keep(call: LiveCall): void {
    this.#calls.set(call.id, call)
    this.#minds()
  }

  /** Who is in a call must not wait for the connection longer than can be helped, as long as it can be. */
  #minds(): void {
    this.#connection.urgent = this.#calls.size > 0 && !this.#graceOver
  }

  #endAll(cause: CallError | undefined): void {
    for (const call of [...this.#calls.values()]) call.end('lost', 'server', cause)
  }

  /** Fulfilled when there is a connection to ask over, or there will be none. */
  #reachable(): Promise<void> {
    if (this.state !== 'reconnecting') return Promise.resolve()
    return new Promise((done) => {
      const off = this.#events.on('state', ({ state }) => {
        if (state === 'reconnecting') return
        off()
        done()
      })
    })
  }

  #reportFailure(promise: Promise<void>): void {
    promise.catch((error: unknown) => this.#events.emit('error', asCallError(error, 'timeout')))
  }

  #mediaSources(options: ClientOptions): MediaSources | undefined {
    const rtc = options.rtc === undefined ? defaultRtc() : options.rtc
    if (!rtc) return undefined
    const devices = (globalThis.navigator as Navigator | undefined)?.mediaDevices
    return {
      rtc,
      // One transport for all media: half the candidates, and one relay allocation a side.
      rtcConfiguration: { bundlePolicy: 'max-bundle', ...options.rtcConfiguration },
      getUserMedia: options.getUserMedia ?? devices?.getUserMedia?.bind(devices),
      video: options.video ?? { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' },
      audio: options.audio ?? { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      iceServers: async () => {
        await this.#reachable()
        return iceServersOf(await this.turnCredentials())
      },
      clock: this.#clock,
    }
  }
}

/** With the media that one wanted to call with, but no camera for a voice call. */
async function answer(theirs: LiveCall, type: CallType = 'VIDEO'): Promise<Call> {
  await theirs.accept({ type: theirs.type === 'AUDIO' ? 'AUDIO' : type })
  return theirs
}

function tell(call: LiveCall, destination: Heard, headers: Readonly<Record<string, string>>, body: unknown): void {
  switch (destination) {
    case HEARS.ringing:
      call.heardRinging(Number(headers.devices) || undefined)
      break
    case HEARS.response:
      call.heardResponse(body as CallResponse)
      break
    case HEARS.down:
      call.heardDown(body as CallDown)
      break
    case HEARS.hangup:
      call.heardHangup(body as CallHungUp)
      break
    case HEARS.timeout:
      call.heardTimeout()
      break
    case HEARS.signaling:
      call.heardSignal(body as Signal, headers.from, headers['peer-reattached'] === 'true')
      break
    case HEARS.hold:
      call.heardHold(body as CallHeld)
      break
    case HEARS.transfer:
      call.heardTransfer(body as CallTransferred)
      break
    case HEARS.room:
      call.heardRoster(body as CallRoster)
      break
    case HEARS.request:
    case HEARS.turn:
    case HEARS.status:
    case HEARS.errors:
    case HEARS.auth:
    case HEARS.missed:
      break
  }
}

/** The address as a WebSocket wants it, with the user in its query as the contract has it. */
export function socketUrl(url: string, userId: string | undefined): string {
  const page = (globalThis as { location?: { href: string } }).location?.href
  const full = new URL(url, page)
  full.protocol = full.protocol.replace(/^http/, 'ws')
  if (userId !== undefined) full.searchParams.set('userId', userId)
  return full.href
}

function openWebSocket(url: string, protocols: string[]): SocketLike {
  if (!('WebSocket' in globalThis)) throw new TypeError('no WebSocket here: give CallClient a webSocketFactory')
  return new WebSocket(url, protocols)
}

function defaultRtc(): ((configuration: RTCConfiguration) => RTCPeerConnection) | null {
  if (!('RTCPeerConnection' in globalThis)) return null
  return (configuration) => new RTCPeerConnection(configuration)
}

/** As browsers want it: STUN entries have no credentials, not null ones. */
function iceServersOf({ iceServers }: TurnCredentials): RTCIceServer[] {
  return iceServers.map(({ url, urls, username, credential }) => ({
    urls: typeof urls === 'string' || urls === undefined ? (urls ?? url) : [...urls],
    ...(username === null || credential === null ? {} : { username, credential }),
  }))
}

/** A random UUID; `crypto.randomUUID` exists on pages over https only. */
function newCallId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
