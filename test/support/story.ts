/**
 * A language for stories: devices that arrive, say and hear, over real sockets with the clients that people use.
 * Nothing sleeps: a SEND's RECEIPT comes after its work is done, and whatever was told to a device before it asked for
 * a receipt has arrived when the receipt has.
 */

import { randomUUID } from 'node:crypto'
import { expect } from '@jest/globals'
import { Client, type IMessage, ReconnectionTimeMode } from '@stomp/stompjs'
import { SignJWT } from 'jose'
import SockJS from 'sockjs-client'
import { WebSocket } from 'ws'
import { readConfig } from '../../src/config.ts'
import type { Log } from '../../src/log.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { TestClock } from './clock.ts'
import { SockJsPage } from './sockjs-page.ts'

export const SECRET = 'a secret for tests that is long enough for HS256'

/** WebSocket; SockJS's raw WebSocket; and SockJS by its own client as far as that goes in Node, the rest as a page does it. */
export const TRANSPORTS = [
  'websocket',
  'sockjs-raw',
  'sockjs-websocket',
  'xhr-streaming',
  'xhr-polling',
  'eventsource',
  'htmlfile',
  'jsonp',
] as const

export type Transport = (typeof TRANSPORTS)[number]

const QUEUES = [
  '/user/queue/call/request',
  '/user/queue/call/response',
  '/user/queue/call/down',
  '/user/queue/call/hangup',
  '/user/queue/call/timeout',
  '/user/queue/call/ringing',
  '/user/queue/call/room',
  '/user/queue/rtc/signaling',
  '/user/queue/turn/get-turn-credentials',
  '/user/queue/auth',
  '/user/queue/errors',
  '/topic/user/status',
]

/** Good for an hour of the machine's own time, unless the claims say otherwise; `exp: null` never ends. */
export async function tokenFor(user: string, claims: Record<string, unknown> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  const { exp = now + 3600, ...others } = claims
  return new SignJWT({ jti: randomUUID(), iat: now, ...others, ...(typeof exp === 'number' && { exp }) })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .sign(new TextEncoder().encode(SECRET))
}

export interface World {
  readonly server: RunningServer
  readonly clock: TestClock
  readonly url: string
  /** A device of the user connects and subscribes to everything (or to `listens`). */
  arrives(user: string, name?: string, options?: ArrivalOptions): Promise<Device>
  /** HTTP with a token of the user. */
  asks(user: string, path: string, body?: unknown, options?: AskOptions): Promise<Answer>
  /** Fulfilled when the server has seen that a session of this user is over, or has lost its connection. */
  notes(user: string): Promise<void>
  closes(): Promise<void>
}

export interface ArrivalOptions {
  readonly transport?: Transport
  readonly token?: string
  readonly listens?: readonly string[]
  /** Of CONNECT, beside the token. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface AskOptions {
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly method?: string
}

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** The whole server in this process on a free port, with a clock in the hand. */
export async function opens(env: Record<string, string> = {}, clock = new TestClock(Date.now())): Promise<World> {
  const config = readConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    AUTH_JWT_SECRET: SECRET,
    TURN_ENABLED: 'false',
    DATABASE_URL: 'none',
    ...env,
  })
  const ends = new EndsOfSessions()
  const server = await startServer(config, { clock, log: ends })
  const devices: Device[] = []
  return {
    server,
    clock,
    url: server.url,
    async arrives(user, name = 'phone', options = {}) {
      const token = options.token ?? (await tokenFor(user))
      const device = new Device(server.url, user, name, token, options)
      devices.push(device)
      await device.connects()
      return device
    },
    async asks(user, path, body, options = {}) {
      const method = options.method ?? 'POST'
      const response = await fetch(server.url + path, {
        method,
        headers: { ide: options.token ?? (await tokenFor(user)), ...options.headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    },
    notes: (user) => ends.next(user),
    async closes() {
      await Promise.all(devices.map((device) => device.leaves()))
      let stopped = false
      const stopping = server.stop().finally(() => {
        stopped = true
      })
      // What waits for the clock while stopping (steps, deadlines) gets its time.
      while (!stopped) await clock.advance(1_000)
      await stopping
    },
  }
}

/** Reads the server's log for the sessions that have ended, or are away; errors in it fail the test that runs. */
class EndsOfSessions implements Log {
  readonly #ended: string[] = []
  readonly #away = new Set<string>()
  #wake: (() => void)[] = []

  async next(user: string): Promise<void> {
    while (!this.#ended.includes(user)) await new Promise<void>((resolve) => this.#wake.push(resolve))
    this.#ended.splice(this.#ended.indexOf(user), 1)
  }

  debug({ session = '', ...facts }: { user?: string; session?: string }, message: string): void {
    if (message === 'session away') this.#away.add(session)
    else if (message !== 'session ended' || this.#away.delete(session)) return
    this.#ended.push(facts.user ?? '')
    for (const wake of this.#wake.splice(0)) wake()
  }

  info(): void {}
  warn(): void {}

  error(facts: { err?: unknown }, message: string): void {
    throw new Error(`the server logged an error: ${message}`, { cause: facts.err })
  }

  child(): Log {
    return this
  }
}

export interface Heard {
  readonly destination: string
  readonly body: unknown
  readonly headers: Record<string, string>
  readonly raw: Uint8Array
}

/** One device of a user: @stomp/stompjs over one of the transports. */
export class Device {
  readonly user: string
  readonly name: string
  readonly token: string
  readonly #client: Client
  readonly #connectHeaders: Readonly<Record<string, string>>
  readonly #listens: readonly string[]
  /** The server that it connects to. */
  #at: string
  /** Heard and not yet expected by the story. */
  readonly #heard: Heard[] = []
  #wake: (() => void)[] = []
  session = ''
  resumeId = ''
  /** What the last CONNECTED said; undefined: nothing. */
  resumed: string | undefined
  /** The highest number that a message had. */
  #lastSeq = 0
  /** How the server has cut it. */
  #cut: { error: string; code: number } | undefined
  #error = ''

  constructor(url: string, user: string, name: string, token: string, options: ArrivalOptions) {
    this.#at = url
    this.user = user
    this.name = name
    this.token = token
    this.#listens = options.listens ?? QUEUES
    this.#connectHeaders = { ide: token, ...options.headers }
    this.#client = new Client({
      webSocketFactory: () => socketFor(options.transport ?? 'websocket', this.#at, user),
      connectHeaders: this.#connectHeaders,
      reconnectDelay: 0,
      reconnectTimeMode: ReconnectionTimeMode.LINEAR,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
    })
  }

  async connects(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.onConnect = (frame) => {
        this.session = frame.headers.session ?? ''
        this.resumeId = frame.headers['resume-id'] ?? ''
        this.resumed = frame.headers.resumed
        resolve()
      }
      this.#client.onStompError = (frame) => {
        this.#error = frame.headers.message ?? ''
        reject(new Error(`${frame.headers.message} ${frame.body}`))
      }
      this.#client.onWebSocketClose = (event: { code?: number; reason?: string }) => {
        this.#cut = { error: this.#error, code: event.code ?? 0 }
        for (const wake of this.#wake.splice(0)) wake()
        reject(new Error(`closed: ${event.reason}`))
      }
      this.#client.activate()
    })
    for (const destination of this.#listens) await this.subscribes(destination)
  }

  /**
   * After it has vanished: connects again (to another server: `at`) as the session that it was, and subscribes to everything anew, as stompjs does
   * by itself. What arrives before that belongs to the old subscriptions.
   */
  async resumes(more: { token?: string; lastSeq?: number; resumeId?: string; at?: string } = {}): Promise<void> {
    this.#at = more.at ?? this.#at
    this.#client.connectHeaders = {
      ...this.#connectHeaders,
      ...(more.token !== undefined && { ide: more.token }),
      'resume-id': more.resumeId ?? this.resumeId,
      'last-seq': String(more.lastSeq ?? this.#lastSeq),
    }
    this.#client.onUnhandledMessage = (message) => this.#hear(message.headers.destination ?? '', message)
    this.#cut = undefined
    await this.connects()
  }

  /** Fulfilled when the subscription is in effect. */
  subscribes(destination: string): Promise<void> {
    return this.#receipt((receipt) => {
      this.#client.subscribe(destination, (message) => this.#hear(destination, message), { receipt })
    })
  }

  /** Sends, and waits until the server has done the work (or refused it). */
  async says(destination: string, body: unknown): Promise<void> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    await Promise.race([
      this.#receipt((receipt) => this.#client.publish({ destination, body: text, headers: { receipt } })),
      this.#refusedNext(),
    ])
  }

  /** Waits for a message on the destination that has these fields; others of the same destination must not come first. */
  async hears(destination: string, fields: Record<string, unknown> = {}): Promise<Heard> {
    for (;;) {
      const place = this.#heard.findIndex((message) => message.destination === destination)
      const [message] = place < 0 ? [] : this.#heard.splice(place, 1)
      if (message) {
        expect({ device: `${this.user}'s ${this.name}`, ...message }).toMatchObject({
          device: `${this.user}'s ${this.name}`,
          destination,
          body: Array.isArray(message.body) ? message.body : fields,
        })
        return message
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** What has been told to this device and was not expected by the story, until now. */
  get unexpected(): readonly Heard[] {
    return this.#heard
  }

  /** Nothing that was not expected has been told to this device until now. */
  async hearsNothing(): Promise<void> {
    await this.#roundTrip()
    const heard = this.#heard.map(({ destination, body, headers }) => ({ destination, body, headers }))
    expect({ device: `${this.user}'s ${this.name}`, heard }).toEqual({
      device: `${this.user}'s ${this.name}`,
      heard: [],
    })
  }

  async requests(callee: string, more: Record<string, unknown> = {}): Promise<string> {
    const callId = randomUUID()
    await this.says('/app/call/request', { callId, callee, callerUserName: `${this.user} on ${this.name}`, ...more })
    return callId
  }

  /** Waits until the server has closed the connection: what its ERROR said, and the code. */
  async isCut(): Promise<{ error: string; code: number }> {
    while (this.#cut === undefined) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return this.#cut
  }

  /** Sends without waiting for anything. */
  sends(destination: string, body: unknown): void {
    this.#client.publish({ destination, body: typeof body === 'string' ? body : JSON.stringify(body) })
  }

  /** What has been told to this device until now is of no interest. */
  async forgets(): Promise<void> {
    await this.#roundTrip()
    this.#heard.length = 0
  }

  accepts(callId: string, features?: readonly string[]): Promise<void> {
    return this.says('/app/call/response', { callId, type: 'ACCEPT', ...(features && { features }) })
  }

  rejects(callId: string, reason?: string): Promise<void> {
    return this.says('/app/call/response', { callId, type: 'REJECT', ...(reason === undefined ? {} : { reason }) })
  }

  hangsUp(callId?: string): Promise<void> {
    return this.says('/app/call/hangup', callId === undefined ? '' : { callId })
  }

  signals(callId: string, type: 'OFFER' | 'ANSWER' | 'ICE_CANDIDATE', payload: unknown): Promise<void> {
    return this.says('/app/rtc/signaling', { callId, type, payload })
  }

  /** The polite way: DISCONNECT, then the socket. */
  async leaves(): Promise<void> {
    await this.#client.deactivate()
  }

  /** The socket is cut without a word. */
  async vanishes(): Promise<void> {
    await this.#client.deactivate({ force: true })
  }

  #hear(destination: string, message: IMessage): void {
    this.#lastSeq = Math.max(this.#lastSeq, Number(message.headers.seq))
    const raw = message.binaryBody
    const text = message.body
    this.#heard.push({
      destination,
      raw,
      headers: { ...message.headers } as Record<string, string>,
      body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text,
    })
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Whatever was told to this device before has arrived afterwards; whether it may subscribe does not matter. */
  async #roundTrip(): Promise<void> {
    let asked = ''
    const subscribed = this.#receipt((receipt) => {
      asked = receipt
      this.#client.subscribe('/user/queue/call/down', () => undefined, { receipt, id: receipt }).unsubscribe()
    })
    await Promise.race([subscribed, this.#refusedOf(asked)])
  }

  /** The refusal of this very frame has come; it is no longer something heard. */
  async #refusedOf(receipt: string): Promise<void> {
    for (;;) {
      const place = this.#heard.findIndex(({ headers }) => headers['receipt-id'] === receipt)
      if (place >= 0) {
        this.#heard.splice(place, 1)
        return
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  #receipt(send: (receipt: string) => void): Promise<void> {
    const receipt = randomUUID()
    return new Promise((resolve) => {
      this.#client.watchForReceipt(receipt, () => resolve())
      send(receipt)
    })
  }

  /** A refused SEND gets no RECEIPT: it is done when the refusal has come. */
  async #refusedNext(): Promise<void> {
    const known = this.#heard.length
    while (!this.#heard.slice(known).some((message) => message.destination === '/user/queue/errors')) {
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }
}

function socketFor(transport: Transport, url: string, user: string) {
  const endpoint = `${url}/imserver/ws`
  const query = `userId=${encodeURIComponent(user)}`
  switch (transport) {
    case 'websocket':
      return new WebSocket(`${endpoint}?${query}`.replace(/^http/, 'ws'), ['v12.stomp', 'v11.stomp', 'v10.stomp'])
    case 'sockjs-raw':
      return new WebSocket(`${endpoint}/websocket?${query}`.replace(/^http/, 'ws'))
    case 'eventsource':
    case 'htmlfile':
    case 'jsonp':
      return new SockJsPage(endpoint, transport, query)
    case 'sockjs-websocket':
    case 'xhr-streaming':
    case 'xhr-polling': {
      const only = transport === 'sockjs-websocket' ? 'websocket' : transport
      return new SockJS(`${endpoint}?${query}`, undefined, { transports: [only] })
    }
  }
}
