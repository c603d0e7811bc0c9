/** The real HTTP face on a free port, in front of services that a test can look into. */

import { createServer, type IncomingMessage, request as rawRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLoginGuard, type LoginGuard } from '../../broker/index.ts'
import { createHttpApp } from '../../http/app.ts'
import type { HttpOptions, HttpServices, LiveSession, Served } from '../../http/services.ts'
import type { Actor, Call } from '../../src/calls/types.ts'
import { accepted, type Outcome, refuse } from '../../src/errors.ts'
import { NO_HISTORY } from '../../src/history/service.ts'
import { TestClock } from './clock.ts'

/** What the call service was asked. */
export interface Command {
  readonly verb: 'request' | 'respond' | 'hangup' | 'hold' | 'transfer' | 'invite' | 'signal'
  readonly actor: Actor
  readonly message: object
  readonly body?: string
  readonly contentType?: string
}

/** The parts that a test may look at or replace. Tokens are `token-of-<user>` and `other-token-of-<user>`. */
export class FakeServices {
  readonly clock = new TestClock()
  logins: LoginGuard = createLoginGuard({
    clock: this.clock,
    rate: { perSecond: 1000, burst: 1000 },
    limited: () => undefined,
  })
  readonly commands: Command[] = []
  readonly heard: string[] = []
  /** By their ids. */
  calls: Record<string, Call> = {}
  readonly revoked: object[] = []
  readonly refusals: number[] = []
  readonly served: Served[] = []
  limits = 0
  readonly logged: { facts: object; message: string }[] = []
  sessions: Record<string, readonly LiveSession[]> = {}
  answer: () => Promise<Outcome<unknown>> = () => Promise.resolve(accepted)
  hears: () => Promise<void> = () => Promise.resolve()
  authenticate = (token: string): ReturnType<HttpServices['authenticate']> => {
    const user = /^(?:other-)?token-of-(\w+)$/.exec(token)?.[1]
    if (user === undefined) return Promise.resolve(refuse('unauthorized', 'token: is not a signed JSON Web Token'))
    return Promise.resolve({ ok: true, data: { user, token: `print of ${token}` } })
  }
  state: 'starting' | 'ready' | 'stopping' = 'ready'
  readonly stopping = new AbortController()
  relay: 'up' | 'down' = 'up'
  redis: 'up' | 'down' | undefined
  nodes: HttpServices['admin']['nodes'] = () => ({ ok: true, data: [] })
  history: HttpServices['history'] = NO_HISTORY
  demo: HttpServices['demo']

  services(): HttpServices {
    const perform = (command: Command) => {
      this.commands.push(command)
      return this.answer()
    }
    return {
      authenticate: (token) => this.authenticate(token),
      logins: this.logins,
      calls: {
        request: (actor, message) => perform({ verb: 'request', actor, message }),
        respond: (actor, message) => perform({ verb: 'respond', actor, message }),
        hangup: (actor, message) => perform({ verb: 'hangup', actor, message }),
        hold: (actor, message) => perform({ verb: 'hold', actor, message }),
        transfer: (actor, message) => perform({ verb: 'transfer', actor, message }),
        invite: (actor, message) => perform({ verb: 'invite', actor, message }),
        signal: (actor, message, { body, contentType }) =>
          perform({ verb: 'signal', actor, message, body: Buffer.from(body).toString('latin1'), contentType }),
        read: (callId) => ({ ok: true, data: this.calls[callId] }),
        watch: () => () => undefined,
        heard: (user) => {
          this.heard.push(user)
          return this.hears()
        },
      },
      presence: {
        status: (users) => users.map((userId) => ({ userId, status: userId === 'alice' ? 'ONLINE' : 'OFFLINE' })),
      },
      turn: {
        credentialsFor: (user) => ({
          iceServers: [
            { url: 'turn:127.0.0.1:3478', urls: 'turn:127.0.0.1:3478', username: `9:${user}`, credential: 'c' },
          ],
          ttl: 60,
          expiresAt: 9,
        }),
      },
      history: this.history,
      credentials: {
        revoke: (request) => {
          this.revoked.push(request)
          return Promise.resolve({ ok: true, data: { sessions: 2 } })
        },
      },
      sessions: (user) => this.sessions[user] ?? [],
      admin: {
        nodes: () => this.nodes(),
        sessions: (user) => {
          const sessions = this.sessions[user] ?? []
          const more = { node: 'n1', connectedAt: 1, rings: true, away: false }
          return { ok: true, data: sessions.map(({ id }) => ({ sessionId: id, ...more })) }
        },
      },
      ...(this.demo && { demo: this.demo }),
      health: { state: () => this.state, relay: { state: () => this.relay }, shared: () => this.redis },
      stopping: this.stopping.signal,
      metrics: { contentType: 'text/plain; version=0.0.4; charset=utf-8', render: () => Promise.resolve('up 1\n') },
      observer: {
        refused: (code) => void this.refusals.push(code),
        limited: () => void this.limits++,
        served: (request) => void this.served.push(request),
      },
      log: { error: (facts, message) => void this.logged.push({ facts, message }) },
      clock: this.clock,
    }
  }
}

export interface Face {
  readonly address: string
  /** `127.0.0.1:port` */
  readonly host: string
  /** As `token-of-alice` unless the headers say otherwise. A body that is no string or octets is sent as JSON. */
  ask(path: string, options?: Ask): Promise<Told>
  close(): Promise<void>
}

export interface Ask {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

export interface Told {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  /** The body as JSON. */
  readonly json: unknown
}

const OPTIONS: HttpOptions = {
  allowedOrigins: [],
  trustedProxies: [],
  version: '1.2.3',
  bodyBytes: 4096,
  userRate: { perSecond: 1000, burst: 1000 },
  serviceRate: { perSecond: 1000, burst: 1000 },
  pages: {},
}

export async function serveFace(fake: FakeServices, options: Partial<HttpOptions> = {}): Promise<Face> {
  const server: Server = createServer(createHttpApp(fake.services(), { ...OPTIONS, ...options }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  return {
    address: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    ask: (path, asked = {}) => ask(port, path, asked),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** Not fetch: that sets Host and Origin as it pleases, and normalizes paths. */
function ask(port: number, path: string, { method = 'POST', headers = {}, body }: Ask): Promise<Told> {
  return new Promise((resolve, reject) => {
    const given = { ide: 'token-of-alice', ...headers }
    const request = rawRequest({ host: '127.0.0.1', port, path, method, headers: given, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('end', () => {
        const text = Buffer.concat(parts).toString()
        const { statusCode: status = 0 } = response
        resolve({ status, headers: response.headers, text, json: /^[[{]/.test(text) ? JSON.parse(text) : undefined })
      })
      response.on('error', reject)
    })
    request.on('error', reject)
    const octets = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    request.end(octets)
  })
}
