/**
 * One STOMP connection that keeps itself alive: tokens, subscriptions, receipts, reconnecting. Knows no calls.
 *
 * stompjs does the frames and the heart-beats; when to try again is decided here, because a refused token must not be
 * tried for ever, and every attempt asks for a fresh one.
 */

import { Client, type IFrame, type IStompSocket, ReconnectionTimeMode, TickerStrategy, Versions } from '@stomp/stompjs'
import type { Clock } from './clock.ts'
import { Emitter } from './emitter.ts'
import { asCallError, CallError, TokenRefusedError } from './errors.ts'
import { bodyAsShown, headersAsShown } from './masking.ts'
import { Renewal } from './renewal.ts'
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
/** What waits for the connection to come back; more is dropped, the oldest first. */
const MOST_POSTED = 256

/** Told last: with this subscription the server rings what still rings, and by then everything else must be heard. */
const IN_ORDER: readonly Heard[] = Object.values(HEARS)

export class Connection {
  readonly #options: ConnectionOptions
  readonly #clock: Clock
  readonly #events = new Emitter<ConnectionEvents>()
  readonly #renewal: Renewal
  readonly #waiting = new Map<string, Waiting>()
  readonly #posted: { destination: string; body: string }[] = []
  #state: ConnectionState = 'offline'
  #stomp: Client | undefined
  #session: string | undefined
  #user: string | undefined
  /** Events of earlier attempts are ignored by their number. */
  #attempt = 0
  #failures = 0
  #receipts = 0
  #wasOnline = false
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

  /** Tries at once instead of after the pause: the machine says that its network is back. */
  hurry(): void {
    if (!this.#cancelRetry) return
    this.#cancelRetry()
    this.#cancelRetry = undefined
    void this.#try()
  }

  /**
   * A SEND with a receipt: fulfilled when the server has done it, fails with the server's refusal, or with
   * `offline`, `connection-lost`, `timeout`.
   */
  send(destination: string, body: unknown): Promise<void> {
    if (!this.#stomp?.connected) return Promise.reject(new CallError('offline', 'not connected to the server'))
    return this.#withReceipt((receipt) => this.#publish(destination, JSON.stringify(body), { receipt }))
  }

  /** A SEND nobody waits for: now, or as soon as the connection is back, in the order of the calls. */
  post(destination: string, body: unknown): void {
    const text = JSON.stringify(body)
    if (this.#stomp?.connected && this.#posted.length === 0) {
      this.#publish(destination, text, {})
    } else if (this.#state !== 'offline') {
      this.#posted.push({ destination, body: text })
      if (this.#posted.length > MOST_POSTED) this.#posted.shift()
    }
  }

  async #try(): Promise<void> {
    this.#cancelRetry = undefined
    const attempt = ++this.#attempt
    let token: string
    let socket: SocketLike
    try {
      token = this.#renewal.newest ?? (await this.#options.token())
      if (attempt !== this.#attempt) return
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
    // Section 7 of the contract (resume-id, last-seq) will go in here.
    const connectHeaders = { ide: token }
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
        if (current()) this.#subscribe(attempt, frame)
      },
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
        this.#received(frame)
        this.#settle(frame.headers['receipt-id'])
      },
    })
    const tooLong = this.#clock.after(PATIENCE_MS, () => {
      if (!current()) return
      void stomp.deactivate({ force: true })
      this.#retry(new CallError('timeout', 'the server did not let us in within 10 seconds'))
    })
    this.#stomp = stomp
    this.#cancelPatience = tooLong
    this.#sees('sent', 'CONNECT', { ...connectHeaders, 'accept-version': Versions.default.supportedVersions() }, '')
    stomp.activate()
  }

  #subscribe(attempt: number, connected: IFrame): void {
    this.#session = connected.headers.session
    this.#user = connected.headers['user-name']
    const all = IN_ORDER.map((destination) => {
      const listen = (receipt?: string) => {
        const headers = receipt === undefined ? {} : { receipt }
        this.#sees('sent', 'SUBSCRIBE', { destination, ...headers }, '')
        this.#stomp?.subscribe(
          destination,
          (frame) => {
            this.#received(frame)
            if (attempt === this.#attempt) this.#heard(destination, frame)
          },
          headers,
        )
      }
      if (destination !== IN_ORDER.at(-1)) return listen()
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
    for (const { destination, body } of this.#posted.splice(0)) this.#publish(destination, body, {})
    this.#change({ state: 'online' })
    this.#opening?.fulfil()
    this.#opening = undefined
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
      const waiting = this.#waiting.get(frame.headers['receipt-id'] ?? '')
      if (waiting) waiting.fail(CallError.of(refusal))
      else this.#events.emit('refused', refusal)
    }
  }

  #publish(destination: string, body: string, headers: Record<string, string>): void {
    const all = { ...headers, 'content-type': 'application/json' }
    this.#sees('sent', 'SEND', { destination, ...all }, body)
    this.#stomp?.publish({ destination, body, headers: all })
  }

  #withReceipt(act: (receipt: string) => void): Promise<void> {
    const receipt = `r-${++this.#receipts}`
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

  #settle(receipt: string | undefined): void {
    this.#waiting.get(receipt ?? '')?.fulfil()
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
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures++, LONGEST_PAUSE_MS)
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
    this.#posted.length = 0
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
