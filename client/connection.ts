/**
 * One STOMP session that keeps itself alive over many connections: tokens, subscriptions, receipts, reconnecting,
 * resuming. Knows no calls.
 *
 * stompjs does the frames and the heart-beats; when to try again is decided here, because a refused token must not be
 * tried for ever, and every attempt asks for a fresh one.
 */

import { Client, type IFrame, type IStompSocket, ReconnectionTimeMode, TickerStrategy, Versions } from '@stomp/stompjs'
import type { Clock } from './clock.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError, TokenRefusedError } from './errors.ts'
import { Liveness } from './liveness.ts'
import { bodyAsShown, headersAsShown } from './masking.ts'
import { type Letter, Outbox } from './outbox.ts'
import { Renewal } from './renewal.ts'
import { Resumption } from './resumption.ts'
import type { ConnectionState, FrameSeen, SocketLike, StateChange } from './types.ts'
import { APP, CODE, type CredentialNotice, HEARS, type Heard, type ServerRefusal } from './wire.ts'

export interface ConnectionOptions {
  /** `ws(s)://…`, complete. */
  readonly url: string
  readonly token: () => string | Promise<string>
  readonly renewToken?: (() => Promise<string>) | undefined
  readonly openSocket: (url: string, protocols: string[]) => SocketLike
  readonly heartbeatMs: number
  readonly clock: Clock
  /** 0 to 1; spreads reconnects so that a restarted server is not met by everybody at once. */
  readonly random: () => number
}

export interface ConnectionEvents {
  state: StateChange
  /** A MESSAGE on one of {@link HEARS}, its body read as JSON. */
  message: {
    readonly destination: Heard
    readonly headers: Readonly<Record<string, string>>
    readonly body: Record<string, unknown> | unknown[]
  }
  /** Something was refused that nobody waits for. */
  refused: ServerRefusal
  error: CallError
  frame: FrameSeen
}

interface Waiting {
  readonly fulfil: () => void
  readonly fail: (error: CallError) => void
}

/** Milliseconds for a connection to stand, and for an answer to come. */
const PATIENCE_MS = 10_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 15_000
/** While somebody is in a call: the first attempt may be made in a network that is about to go. */
const URGENT_PATIENCE_MS = 4_000
const URGENT_PATIENCE_STEP_MS = 2_000
const LONGEST_URGENT_PAUSE_MS = 2_000
/** An attempt that is younger has no use for the news that the network is back. */
const FRESH_MS = 1_000
/** A transaction that is begun, holds a message, and is given up: nothing is done, and it is answered all the same. */
const PROBE = 'probe'

/** Told last: with this subscription the server rings what still rings, and by then everything else must be heard. */
const IN_ORDER = Object.entries(HEARS)
const KNOWN: ReadonlySet<string> = new Set(Object.values(HEARS))

export class Connection {
  readonly #options: ConnectionOptions
  readonly #clock: Clock
  readonly #events = new Emitter<ConnectionEvents>()
  readonly #renewal: Renewal
  readonly #resumption = new Resumption()
  readonly #outbox: Outbox
  readonly #liveness: Liveness
  readonly #waiting = new Map<string, Waiting>()
  #state: ConnectionState = 'offline'
  #stomp: Client | undefined
  #session: string | undefined
  #user: string | undefined
  /** Events of earlier attempts are ignored by their number. */
  #attempt = 0
  #failures = 0
  #receipts = 0
  #wasOnline = false
  #resumed = false
  #urgent = false
  /** Something was said, such as a hang-up, and nobody knows yet whether it was heard. */
  #unanswered = false
  #triedAt = 0
  #refusedToken: string | undefined
  #lastRefusal: ServerRefusal = { code: CODE.unauthorized, message: 'the token was refused' }
  /** Ends the time an attempt has. */
  #cancelPatience: (() => void) | undefined
  #cancelRetry: (() => void) | undefined
  #opening: { promise: Promise<void>; fulfil: () => void; fail: (error: CallError) => void } | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#renewal = new Renewal({
      renewToken: options.renewToken,
      send: (token) => this.send(APP.refresh, { token }),
      clock: options.clock,
      failed: (error) => this.#events.emit('error', error),
    })
    this.#outbox = new Outbox({
      clock: options.clock,
      patienceMs: PATIENCE_MS,
      newReceipt: () => this.#newReceipt(),
      write: (destination, body, receipt) => this.#publish(destination, body, { receipt }),
      waits: (on) => {
        this.#unanswered = on
        this.#beVigilant()
      },
    })
    this.#liveness = new Liveness({
      clock: options.clock,
      ask: () => this.#probe(),
      dead: () => this.#dead(),
    })
  }

  on<K extends keyof ConnectionEvents>(kind: K, listener: (event: ConnectionEvents[K]) => void): () => void {
    return this.#events.on(kind, listener)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** `session` of CONNECTED; what `X-Session-Id` wants over HTTP. */
  get session(): string | undefined {
    return this.#session
  }

  /** `user-name` of CONNECTED. */
  get user(): string | undefined {
    return this.#user
  }

  /** The one that is good now, for what is asked beside the connection. */
  async token(): Promise<string> {
    return this.#renewal.newest ?? (await this.#options.token())
  }

  /** Fulfilled when connected and subscribed. Goes on trying; fails when the token is refused or {@link close} is called. */
  open(): Promise<void> {
    if (this.#state === 'online') return Promise.resolve()
    if (!this.#opening) {
      this.#opening = deferred()
      this.#opening.promise.catch(() => {})
      if (this.#state === 'offline') {
        this.#wasOnline = false
        this.#failures = 0
        this.#refusedToken = undefined
        this.#change({ state: 'connecting' })
        void this.#try()
      }
    }
    return this.#opening.promise
  }

  /** Says DISCONNECT and waits for its RECEIPT, a moment at most. */
  async close(): Promise<void> {
    if (this.#state === 'offline') return
    const stomp = this.#leave(new CallError('offline', 'the connection was closed by the application'))
    if (!stomp?.connected) {
      void stomp?.deactivate({ force: true })
      return
    }
    this.#sees('sent', 'DISCONNECT', {}, '')
    await new Promise<void>((done) => {
      const tooLong = this.#clock.after(2_000, () => {
        void stomp.deactivate({ force: true })
        done()
      })
      void stomp.deactivate().then(() => {
        tooLong()
        done()
      })
    })
  }

  /** Somebody is in a call: a connection that is dead is noticed in seconds, and the pauses between attempts are short. */
  set urgent(on: boolean) {
    this.#urgent = on
    this.#beVigilant()
  }

  #beVigilant(): void {
    this.#liveness.vigilant = this.#urgent || this.#unanswered
  }

  /**
   * The network may be another one, or back: tries at once instead of after the pause, and afresh when an attempt hangs;
   * a connection that stands must give a sign of life.
   */
  hurry(): void {
    if (this.#state === 'online') {
      this.#liveness.suspect()
    } else if (this.#cancelRetry) {
      this.#cancelRetry()
      void this.#try()
    } else if (this.#state !== 'offline' && this.#clock.now() - this.#triedAt >= FRESH_MS) {
      const hangs = this.#stomp
      this.#drop(new CallError('connection-lost', 'the network has changed'))
      void hangs?.deactivate({ force: true })
      void this.#try()
    }
  }

  /** There is a reason to believe that the other end is gone, such as media that stop: asks it. */
  suspect(): void {
    this.#liveness.suspect()
  }

  /**
   * A SEND with a receipt: fulfilled when the server has done it, fails with the server's refusal, or with
   * `offline`, `connection-lost`, `timeout`.
   */
  send(destination: string, body: unknown): Promise<void> {
    if (!this.#stomp?.connected) return Promise.reject(new CallError('offline', 'not connected to the server'))
    return this.#withReceipt((receipt) => this.#publish(destination, JSON.stringify(body), { receipt }))
  }

  /**
   * A SEND that outlives the connection: now, or as soon as there is one again, in the order of the calls, and repeated
   * when its connection breaks before the server has answered.
   */
  deliver(letter: Letter): Promise<void> {
    if (this.#state === 'offline') return Promise.reject(new CallError('offline', 'not connected to the server'))
    return this.#outbox.deliver(letter)
  }

  /** The same, and nobody waits for it. */
  post(letter: Letter): void {
    if (this.#state !== 'offline') this.#outbox.post(letter)
  }

  /** What was posted or is to be delivered about this need not be sent any more. */
  forget(about: string): void {
    this.#outbox.forget(about)
  }

  async #try(): Promise<void> {
    this.#cancelRetry = undefined
    this.#triedAt = this.#clock.now()
    const attempt = ++this.#attempt
    let token: string
    let socket: SocketLike
    // Of a provider that asks over a network which is gone
    this.#cancelPatience = this.#clock.after(PATIENCE_MS, () => {
      this.#retry(new CallError('no-token', `the token provider gave nothing within ${PATIENCE_MS / 1000} seconds`))
    })
    try {
      token = this.#renewal.newest ?? (await this.#options.token())
      if (attempt !== this.#attempt) return
      this.#cancelPatience()
      if (token === this.#refusedToken) return this.#giveUp(this.#lastRefusal)
      socket = this.#options.openSocket(this.#options.url, Versions.default.protocolVersions())
    } catch (error) {
      if (attempt === this.#attempt) this.#retry(asCallError(error, 'no-token'))
      return
    }
    this.#connect(attempt, socket, token)
  }

  #connect(attempt: number, socket: SocketLike, token: string): void {
    const current = () => attempt === this.#attempt
    const { heartbeatMs } = this.#options
    const connectHeaders = { ide: token, ...this.#resumption.headers }
    let refusal: ServerRefusal | undefined

    const stomp = new Client({
      // stompjs uses nothing else of a WebSocket.
      webSocketFactory: () => socket as unknown as IStompSocket,
      connectHeaders,
      heartbeatIncoming: heartbeatMs,
      heartbeatOutgoing: heartbeatMs,
      // Browsers slow down the timers of background tabs to one a minute, but not those of workers.
      heartbeatStrategy: TickerStrategy.Worker,
      // A dead network answers no close handshake: do not wait for it.
      discardWebsocketOnCommFailure: true,
      reconnectDelay: 0,
      reconnectTimeMode: ReconnectionTimeMode.LINEAR,
      onConnect: (frame) => {
        this.#received(frame)
        if (current()) this.#welcomed(attempt, frame)
      },
      onHeartbeatReceived: () => {
        if (current()) this.#liveness.heard()
      },
      // What is replayed comes before we have subscribed again
      onUnhandledMessage: (frame) => this.#message(attempt, frame),
      onStompError: (frame) => {
        this.#received(frame)
        if (!current()) return
        refusal = refusalOf(frame)
        if (stomp.connected) this.#events.emit('refused', refusal)
      },
      onWebSocketClose: (event: { code?: number; reason?: string } | undefined) => {
        tooLong()
        if (!current()) return
        if (refusal && (refusal.code === CODE.unauthorized || refusal.code === CODE.forbidden)) {
          return this.#refused(refusal, this.#renewal.newest ?? token)
        }
        const why = refusal ? refusal.message : event?.reason || `closed with ${event?.code ?? 'no code'}`
        this.#retry(new CallError('connection-lost', `the connection to the server broke: ${why}`), refusal?.retryAfter)
      },
      onUnhandledReceipt: (frame) => {
        if (current()) this.#liveness.heard()
        const receipt = frame.headers['receipt-id']
        if (receipt === PROBE) return
        this.#received(frame)
        this.#settle(receipt)
      },
    })
    const patienceMs = this.#patienceMs
    const tooLong = this.#clock.after(patienceMs, () => {
      if (!current()) return
      // Retried first: a browser's socket tells its end at once when it is thrown away
      this.#retry(new CallError('timeout', `the server did not let us in within ${patienceMs / 1000} seconds`))
      void stomp.deactivate({ force: true })
    })
    this.#stomp = stomp
    this.#cancelPatience = tooLong
    this.#sees('sent', 'CONNECT', { ...connectHeaders, 'accept-version': Versions.default.supportedVersions() }, '')
    stomp.activate()
  }

  get #patienceMs(): number {
    if (!this.#urgent) return PATIENCE_MS
    return Math.min(URGENT_PATIENCE_MS + URGENT_PATIENCE_STEP_MS * this.#failures, PATIENCE_MS)
  }

  #welcomed(attempt: number, connected: IFrame): void {
    this.#session = connected.headers.session
    this.#user = connected.headers['user-name']
    this.#resumed = this.#resumption.connected(connected.headers)
    this.#liveness.start()
    this.#subscribe(attempt)
  }

  /** Also when the session goes on: whatever it had subscribed to, this is what it is to hear. */
  #subscribe(attempt: number): void {
    const all = IN_ORDER.map(([id, destination]) => {
      const listen = (receipt?: string) => {
        const headers = receipt === undefined ? { id } : { id, receipt }
        this.#sees('sent', 'SUBSCRIBE', { destination, ...headers }, '')
        this.#stomp?.subscribe(destination, (frame) => this.#message(attempt, frame), headers)
      }
      if (destination !== IN_ORDER.at(-1)?.[1]) return listen()
      return this.#withReceipt(listen)
    })
    Promise.all(all).then(
      () => {
        if (attempt === this.#attempt) this.#online()
      },
      () => {}, // the connection broke, or is given up by its own timer
    )
  }

  #online(): void {
    this.#cancelPatience?.()
    this.#failures = 0
    this.#refusedToken = undefined
    this.#wasOnline = true
    this.#outbox.open()
    this.#change({ state: 'online', resumed: this.#resumed })
    this.#opening?.fulfil()
    this.#opening = undefined
  }

  #message(attempt: number, frame: IFrame): void {
    this.#received(frame)
    // Words of an earlier connection count neither as heard nor as life
    if (attempt !== this.#attempt) return
    this.#liveness.heard()
    const { destination = '' } = frame.headers
    if (this.#resumption.isNew(frame.headers) && isHeard(destination)) this.#heard(destination, frame)
  }

  #heard(destination: Heard, frame: IFrame): void {
    const body = jsonOf(frame.body)
    if (body === undefined) {
      this.#events.emit('error', new CallError('bad-message', `${destination}: is neither a JSON object nor an array`))
    } else if (destination === HEARS.auth) {
      this.#renewal.heard(body as unknown as CredentialNotice)
    } else if (destination !== HEARS.errors) {
      this.#events.emit('message', { destination, headers: frame.headers, body })
    } else {
      const refusal = asRefusal(body)
      const receipt = frame.headers['receipt-id'] ?? ''
      const waiting = this.#waiting.get(receipt)
      if (waiting) waiting.fail(CallError.of(refusal))
      else if (this.#outbox.settle(receipt, CallError.of(refusal)) !== 'told') this.#events.emit('refused', refusal)
    }
  }

  #publish(destination: string, body: string, headers: Record<string, string>): void {
    const all = { ...headers, 'content-type': 'application/json' }
    this.#sees('sent', 'SEND', { destination, ...all }, body)
    this.#stomp?.publish({ destination, body, headers: all })
  }

  #withReceipt(act: (receipt: string) => void): Promise<void> {
    const receipt = this.#newReceipt()
    return new Promise((fulfil, reject) => {
      const tooLong = this.#clock.after(PATIENCE_MS, () => {
        this.#waiting.delete(receipt)
        reject(new CallError('timeout', 'the server did not answer within 10 seconds'))
      })
      const done = () => {
        tooLong()
        this.#waiting.delete(receipt)
      }
      this.#waiting.set(receipt, {
        fulfil: () => {
          done()
          fulfil()
        },
        fail: (error) => {
          done()
          reject(error)
        },
      })
      act(receipt)
    })
  }

  #newReceipt(): string {
    return `r-${++this.#receipts}`
  }

  #settle(receipt = ''): void {
    this.#waiting.get(receipt)?.fulfil()
    this.#outbox.settle(receipt)
  }

  #probe(): void {
    this.#stomp?.begin(PROBE)
    this.#stomp?.publish({
      destination: APP.status,
      body: '[]',
      headers: { transaction: PROBE, receipt: PROBE },
    })
    this.#stomp?.abort(PROBE)
  }

  #dead(): void {
    const dead = this.#stomp
    this.#retry(new CallError('connection-lost', 'the connection to the server broke: no sign of life'))
    void dead?.deactivate({ force: true })
  }

  /** One more attempt, in case the token had just run out: with a token that is another one. */
  #refused(refusal: ServerRefusal, token: string): void {
    const again = this.#refusedToken !== undefined
    this.#lastRefusal = refusal
    this.#refusedToken = token
    this.#renewal.forget()
    this.#drop(CallError.of(refusal))
    if (again) {
      this.#giveUp(refusal)
      return
    }
    // Told before the provider is asked again, so that it can throw its token away.
    this.#change({
      state: this.#wasOnline ? 'reconnecting' : 'connecting',
      cause: CallError.of(refusal),
      retryInMs: 0,
    })
    void this.#try()
  }

  #giveUp(refusal: ServerRefusal): void {
    const error = new TokenRefusedError(refusal)
    this.#leave(error)
    this.#events.emit('error', error)
  }

  /** `retryAfter`: seconds that the server asks for; it is not obeyed beyond the longest pause of our own. */
  #retry(cause: CallError, retryAfter = 0): void {
    this.#drop(cause)
    const bound = this.#urgent ? LONGEST_URGENT_PAUSE_MS : LONGEST_PAUSE_MS
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures++, bound)
    const asked = Math.min(retryAfter * 1000, LONGEST_PAUSE_MS)
    const retryInMs = asked + Math.round(longest * (0.5 + this.#options.random() / 2))
    this.#cancelRetry = this.#clock.after(retryInMs, () => void this.#try())
    this.#change({ state: this.#wasOnline ? 'reconnecting' : 'connecting', cause, retryInMs })
  }

  /** Stops trying. The STOMP client that was in use is the caller's to end. */
  #leave(why: CallError): Client | undefined {
    const stomp = this.#stomp
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    this.#drop(why)
    this.#outbox.clear(why)
    this.#resumption.forget()
    this.#renewal.forget()
    this.#change({ state: 'offline', cause: why })
    this.#opening?.fail(why)
    this.#opening = undefined
    return stomp
  }

  /** What the connection that is gone had promised will not be kept. */
  #drop(why: CallError): void {
    this.#attempt++
    this.#renewal.stop()
    this.#cancelPatience?.()
    this.#outbox.close()
    this.#liveness.stop()
    this.#stomp = undefined
    this.#session = undefined
    for (const waiting of [...this.#waiting.values()]) waiting.fail(new CallError('connection-lost', why.message))
  }

  #change(change: StateChange): void {
    this.#state = change.state
    this.#events.emit('state', change)
  }

  #received(frame: IFrame): void {
    this.#sees('received', frame.command, frame.headers, frame.body)
  }

  #sees(direction: 'sent' | 'received', command: string, headers: Record<string, string>, body: string): void {
    if (!this.#events.hasListeners('frame')) return
    this.#events.emit('frame', {
      at: this.#clock.now(),
      direction,
      command,
      headers: headersAsShown(headers),
      body: bodyAsShown(body),
    })
  }
}

function isHeard(destination: string): destination is Heard {
  return KNOWN.has(destination)
}

function jsonOf(text: string): Record<string, unknown> | unknown[] | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown> | unknown[]) : undefined
  } catch {
    return undefined
  }
}

/** An ERROR frame's JSON body, or else what its `message` header begins with. */
function refusalOf(frame: IFrame): ServerRefusal {
  return asRefusal(jsonOf(frame.body) ?? {}, frame.headers.message ?? 'the server closed the connection')
}

function asRefusal(body: object, fallback = 'refused'): ServerRefusal {
  const { code, message, ...facts } = body as Partial<ServerRefusal>
  return {
    ...facts,
    code: typeof code === 'number' ? code : Number.parseInt(fallback, 10) || CODE.badRequest,
    message: typeof message === 'string' ? message : fallback,
  }
}

function deferred(): { promise: Promise<void>; fulfil: () => void; fail: (error: CallError) => void } {
  let fulfil: () => void = () => {}
  let fail: (error: CallError) => void = () => {}
  const promise = new Promise<void>((resolve, reject) => {
    fulfil = resolve
    fail = reject
  })
  return { promise, fulfil, fail }
}
