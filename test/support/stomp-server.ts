/** A broker on a real port of this machine, for wire tests: small handlers, all of its news kept, limits to choose. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Broker,
  type BrokerLimits,
  type BrokerOptions,
  createBroker,
  type Handler,
  peerAddress,
  serveStomp,
  systemClock,
} from '../../broker/index.ts'

export const LIMITS: BrokerLimits = {
  frameBytes: 65_536,
  frameBytesBeforeLogin: 16_384,
  headers: 64,
  headerBytes: 8192,
  subscriptionsPerSession: 32,
  sessionsPerUser: 16,
  connections: 1000,
  connectionsPerAddress: 0,
  connectTimeoutMs: 10_000,
  queuedBytes: 262_144,
  bufferedBytes: 524_288,
  bufferedMs: 10_000,
  transactions: 4,
  transactionFrames: 100,
  unacknowledged: 100,
  queueMessages: 1000,
  queueBytes: 1_048_576,
  allQueuesBytes: 4_194_304,
  queues: 100,
  redeliveries: 3,
  sessionRate: { perSecond: 1000, burst: 1000 },
  userRate: { perSecond: 1000, burst: 1000 },
  subscribeRate: { perSecond: 100_000, burst: 100_000 },
  openRate: { perSecond: 100_000, burst: 100_000 },
}

/** What the broker told its observer, in order: `connected alice`, `expelled limit …`. */
export type News = string[]

export interface TestBrokerOptions extends Partial<Omit<BrokerOptions, 'limits' | 'destinations'>> {
  limits?: Partial<BrokerLimits>
  handlers?: Readonly<Record<string, Handler>>
  open?: readonly string[]
}

/** A user is whoever the `ide` header names (`token-of-alice`, or just `alice`); `nobody` and no header are refused. */
export function testBroker(options: TestBrokerOptions = {}): { broker: Broker; news: News; limits: BrokerLimits } {
  const news: News = []
  const limits = { ...LIMITS, ...options.limits }
  const broker = createBroker({
    clock: systemClock,
    server: 'carillon/test',
    heartbeat: { sends: 0, wants: 0 },
    authenticate: async ({ headers }) => {
      const user = headers.ide
      if (user === undefined || user === 'nobody') return { refused: { code: 401, message: 'ide: no valid token' } }
      return { principal: { user, token: `fingerprint of ${user}` } }
    },
    ...options,
    limits,
    observer: {
      connected: ({ principal }) => void news.push(`connected ${principal.user}`),
      disconnected: ({ principal }, reason) => void news.push(`disconnected ${principal.user}: ${reason}`),
      expelled: (cause, detail) => void news.push(`expelled ${cause}: ${detail}`),
      dropped: (destination) => void news.push(`dropped ${destination}`),
      limited: (limit) => void news.push(`limited ${limit}`),
      failed: (error, where) => void news.push(`failed ${where}: ${(error as Error).message}`),
      ...options.observer,
    },
    destinations: {
      handlers: {
        '/app/echo': (session, { body, headers }) => {
          const { 'content-type': contentType } = headers
          broker.tell(session.id, '/user/queue/echo', { body, contentType })
          return undefined
        },
        '/app/refuse': () => ({ code: 1001, message: 'callee is busy', reason: 'BUSY' }),
        '/app/throw': () => {
          throw new Error('a bug')
        },
        '/app/reject': () => Promise.reject(new Error('a late bug')),
        ...options.handlers,
      },
      user: ['/user/queue/echo', '/user/queue/other'],
      topics: ['/topic/news'],
      open: options.open ?? ['/topic/open.*', '/queue/open.*'],
    },
  })
  return { broker, news, limits }
}

export interface TestServer {
  readonly broker: Broker
  readonly news: News
  readonly port: number
  /** `ws://127.0.0.1:<port>/imserver/ws` */
  readonly url: string
  stop(): Promise<void>
}

export async function testServer(
  options: TestBrokerOptions & {
    allowOrigin?: (origin: string | undefined) => boolean
    trustedProxies?: readonly string[]
  } = {},
): Promise<TestServer> {
  const { broker, news, limits } = testBroker(options)
  const server = createServer((request, response) => {
    if (endpoint.request(request, response)) return
    response.writeHead(404)
    response.end('not here\n')
  })
  const endpoint = serveStomp({
    server,
    path: '/imserver/ws',
    broker,
    clock: options.clock ?? systemClock,
    limits,
    allowOrigin: options.allowOrigin ?? (() => true),
    accepting: () => true,
    addressOf: peerAddress(options.trustedProxies ?? []),
    sockJs: { clientUrl: '/sockjs.js' },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    broker,
    news,
    port,
    url: `ws://127.0.0.1:${port}/imserver/ws`,
    async stop() {
      await broker.stop({ perStep: 1000, stepMs: 0, deadlineMs: 500 })
      endpoint.detach()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
