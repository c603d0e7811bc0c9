/**
 * HTTP without sockets: the API with any body, and SockJS sessions that are sent anything by xhr_send. Requests are
 * written as octets to the real HTTP server, so that their heads may lie as well.
 */

import { createServer, type Server } from 'node:http'
import { Duplex } from 'node:stream'
import { serveStomp } from '../../broker/index.ts'
import { createHttpApp } from '../../http/app.ts'
import { LIMITS } from '../support/stomp-server.ts'
import { bodyOctets } from './bodies.ts'
import { noisyOctets } from './octets.ts'
import type { Random } from './random.ts'
import { mutate, RECORDINGS } from './recordings.ts'
import { turn } from './turn.ts'
import { World } from './world.ts'

const PATHS = [
  '/imserver/call/request',
  '/imserver/call/response',
  '/imserver/call/hangup',
  '/imserver/rtc/signaling',
  '/imserver/user/status',
  '/api/v1/rtc/call/initiate',
  '/api/v1/rtc/call/answer',
  '/api/v1/rtc/call/reject',
  '/api/v1/rtc/call/hangup',
]

/** What the head says beside the length. */
const HEADERS = [
  'content-type: application/json',
  'content-encoding: gzip',
  'transfer-encoding: chunked',
  'content-length: 5',
  'x-session-id: __proto__',
  'expect: 100-continue',
  'connection: close',
]

/** sockjs-protocol 0.3.3, "xhr_send": told with 500. */
const SOCKJS_REFUSALS = /Broken JSON encoding\.|Payload expected\./

export interface Visit {
  readonly requests: readonly Buffer[]
}

export function visit(random: Random): Visit {
  return { requests: random.once(2) ? [apiRequest(random)] : sockJsSession(random) }
}

function apiRequest(random: Random): Buffer {
  const extras = random.once(4) ? [random.pick(HEADERS)] : []
  return request(random.pick(PATHS), bodyOctets(random), ['ide: anybody', ...extras])
}

/** Opens, sends twice, polls. */
function sockJsSession(random: Random): Buffer[] {
  const path = `/imserver/ws/000/${random.bits().toString(36)}`
  const open = request(`${path}/xhr`, Buffer.alloc(0))
  const sends = [0, 1].map(() => {
    const extras = random.once(8) ? [random.pick(HEADERS)] : []
    return request(`${path}/xhr_send`, sockJsBody(random), extras)
  })
  return [open, ...sends, request(`${path}/xhr`, Buffer.alloc(0))]
}

function sockJsBody(random: Random): Buffer {
  const frames = random.pick(RECORDINGS).frames.map(([, octets]) => octets.toString('latin1'))
  const messages = random.once(2) ? [noisyOctets(random).toString('latin1')] : frames.slice(0, 1 + random.below(4))
  const body = Buffer.from(JSON.stringify(messages))
  return random.once(2) ? mutate(body, random) : body
}

function request(path: string, body: Buffer, headers: readonly string[] = []): Buffer {
  const lines = [`POST ${path} HTTP/1.1`, 'host: x', `content-length: ${body.length}`, ...headers]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
}

/** The HTTP server over the broker of a world. */
export class WebStage {
  readonly #world = new World()
  readonly #server: Server
  readonly #faults: string[] = []

  constructor() {
    const { broker, calls, history, presence, turn: credentials, logins, clock } = this.#world
    const app = createHttpApp(
      {
        authenticate: async (token) => ({ ok: true, data: { user: token, token } }),
        logins,
        calls,
        presence,
        turn: credentials,
        history,
        stopping: new AbortController().signal,
        credentials: { revoke: async () => ({ ok: true, data: { sessions: 0 } }) },
        sessions: (user) => broker.sessions(user).map(({ id, principal }) => ({ id, token: principal.token })),
        admin: { nodes: () => ({ ok: true, data: [] }), sessions: () => ({ ok: true, data: [] }) },
        health: { state: () => 'ready', relay: { state: () => 'up' } },
        metrics: { contentType: 'text/plain', render: async () => '' },
        observer: { refused: () => undefined, limited: () => undefined, served: () => undefined },
        log: { error: ({ err }: { err?: unknown }) => void this.#faults.push(String(err)) },
        clock,
      },
      {
        allowedOrigins: [],
        trustedProxies: [],
        version: '0',
        bodyBytes: 65_536,
        userRate: { perSecond: 1e9, burst: 1e9 },
        serviceRate: { perSecond: 1e9, burst: 1e9 },
        pages: {},
      },
    )
    this.#server = createServer((question, answer) => {
      if (!stomp.request(question, answer)) app(question, answer)
    })
    const stomp = serveStomp({
      server: this.#server,
      path: '/imserver/ws',
      broker,
      clock,
      limits: LIMITS,
      allowOrigin: () => true,
      accepting: () => true,
      addressOf: () => '127.0.0.1',
      sockJs: { clientUrl: '/sockjs.js' },
    })
  }

  async play({ requests }: Visit): Promise<string[]> {
    const wrong: string[] = []
    for (const octets of requests) {
      const socket = new FakeSocket()
      this.#server.emit('connection', socket)
      socket.push(octets)
      await Promise.race([socket.answered, this.#quiet()])
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(socket.written)?.[1]
      // A request whose body never comes whole waits for it; one that breaks HTTP is answered by Node
      if (Number(status ?? 0) >= 500 && !SOCKJS_REFUSALS.test(socket.written))
        wrong.push(`answered ${socket.written.slice(0, 300)}`)
      socket.destroy()
    }
    wrong.push(...this.#faults.splice(0), ...this.#world.faults.splice(0))
    return wrong
  }

  async sweep(): Promise<string[]> {
    return [...(await this.#world.remains()), ...this.#world.faults.splice(0)]
  }

  /** Long enough for whatever needs no input from outside. */
  async #quiet(): Promise<void> {
    for (let turns = 0; turns < 12; turns++) await turn()
  }
}

/** The server's end of a connection that goes nowhere. */
class FakeSocket extends Duplex {
  written = ''
  readonly remoteAddress = '127.0.0.1'
  readonly answered: Promise<void>
  #told: () => void = () => undefined

  constructor() {
    super()
    this.answered = new Promise((resolve) => {
      this.#told = resolve
    })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written += chunk.toString('latin1')
    this.#told()
    done()
  }

  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  address(): object {
    return {}
  }
}
