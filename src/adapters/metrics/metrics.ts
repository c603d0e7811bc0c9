/**
 * Numbers for Prometheus. Listens to the broker, to the news of the domain and to the HTTP face; decides nothing.
 * Labels are words from fixed lists, never a user, a call or an address: their number must not grow with traffic.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { BrokerCounts, BrokerObserver, ClientCommand, ServerCommand } from '../../../broker/index.ts'
import type { Call, CallStatus } from '../../calls/types.ts'
import type { Events } from '../../events.ts'
import type { RelayHealth } from '../../ports.ts'
import { type ClusterCounts, type ClusterObserver, clusterNumbers } from './cluster.ts'
import { type HistoryNumbers, historyNumbers } from './history.ts'
import { relayNumbers } from './relay.ts'
import { tally } from './tally.ts'
import { type Backlog, webhookBacklog, webhookCounts } from './webhooks.ts'

export interface MetricsSources {
  /** Of the broker, now. */
  readonly counts: () => BrokerCounts
  /** Of the bundled relay also the numbers of its processes. */
  readonly relay: RelayHealth
  /**
   * Where several processes share the calls: what this one knows of those that have not ended. The news of one process
   * tell only what it has decided itself.
   */
  readonly calls?: () => Iterable<{ readonly status: CallStatus }>
}

/** One answered HTTP request. */
export interface ServedRequest {
  readonly route: string
  readonly method: string
  readonly status: number
  readonly seconds: number
}

export interface Metrics {
  /** For the broker. What clients are refused comes by the news `refused`, for both faces. */
  readonly observer: Required<
    Pick<
      BrokerObserver,
      | 'connected'
      | 'disconnected'
      | 'away'
      | 'returned'
      | 'notResumed'
      | 'frameIn'
      | 'frameOut'
      | 'expelled'
      | 'dropped'
      | 'failed'
    >
  >
  /** Begins to listen to the news of the domain. */
  subscribe(events: Events): void
  /** Begins to show what waits for the back end. */
  webhooks(backlog: () => Promise<Backlog>): void
  /** Begins to show how the history does. */
  history(history: HistoryNumbers): void
  /** Shows how this server does among several; what is returned is to be told of the way to Redis. */
  cluster(node: string, name: string, counts: () => ClusterCounts): ClusterObserver
  /** For the HTTP face. */
  served(request: ServedRequest): void
  readonly contentType: string
  /** All numbers in Prometheus' text format. */
  render(): Promise<string>
}

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  brokerGauges(registry, sources.counts)
  relayNumbers(registry, sources.relay)
  const http = httpNumbers(registry)
  const calls = callNumbers(registry, sources.calls)
  const refused = new Counter({
    name: 'carillon_refusals_total',
    help: 'What clients were refused, by code and face.',
    labelNames: ['code', 'face'],
    registers: [registry],
  })
  const limited = new Counter({
    name: 'carillon_limited_total',
    help: 'How often somebody met a bound of rates or numbers, by the bound.',
    labelNames: ['limit'],
    registers: [registry],
  })

  const credentials = credentialNumbers(registry)

  return {
    observer: brokerObserver(registry),
    subscribe(events) {
      credentials(events)
      webhookCounts(registry, events)
      events.on('refused', ({ code, face }) => refused.inc({ code, face }))
      events.on('limited', ({ limit }) => limited.inc({ limit }))
      events.on('call.requested', ({ call }) => calls.lives(call))
      events.on('call.ringing', ({ call }) => calls.lives(call))
      events.on('call.connected', ({ call }) => calls.connected(call))
      events.on('call.ended', ({ call }) => calls.ended(call))
    },
    webhooks: (backlog) => webhookBacklog(registry, backlog),
    history: (history) => historyNumbers(registry, history),
    cluster: (node, name, counts) => clusterNumbers(registry, node, name, counts),
    served: http,
    contentType: registry.contentType,
    render: () => registry.metrics(),
  }
}

function brokerGauges(registry: Registry, counts: () => BrokerCounts): void {
  const gauge = (name: string, help: string, field: keyof BrokerCounts) =>
    new Gauge({
      name: `carillon_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(counts()[field])
      },
    })
  gauge('connections', 'Open connections, logged in or not.', 'connections')
  gauge('sessions', 'Connected STOMP sessions.', 'sessions')
  gauge('sessions_away', 'Sessions that have lost their connection and may resume.', 'away')
  gauge('users', 'Users with a connected session.', 'users')
  gauge('subscriptions', 'Subscriptions of all sessions.', 'subscriptions')
  gauge('buffered_bytes', 'Bytes that wait for readers.', 'buffered')
  gauge('resume_bytes', 'Memory that holds messages for sessions that may resume.', 'kept')
}

function brokerObserver(registry: Registry): Metrics['observer'] {
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: `carillon_${name}`, help, labelNames, registers: [registry] })
  const connected = counter('sessions_connected_total', 'CONNECTED sessions, by STOMP version.', 'version', 'transport')
  const disconnected = counter('sessions_disconnected_total', 'Sessions that have ended.')
  const away = counter('sessions_away_total', 'Connections lost whose session could resume.')
  const resumes = counter('resumes_total', 'CONNECTs that named an earlier session, by what came of it.', 'outcome')
  const perFrame = (name: string, help: string) =>
    tally<ClientCommand | ServerCommand>(registry, { name: `carillon_${name}`, help, label: 'command' })
  const framesIn = perFrame('frames_in_total', 'STOMP frames of clients.')
  const framesOut = perFrame('frames_out_total', 'STOMP frames to clients.')
  const expelled = counter('expelled_total', 'Connections closed against their will.', 'cause')
  const dropped = counter('queue_dropped_total', 'Messages of open queues given up after NACK.')
  const failed = counter('faults_total', 'Bugs that a handler or observer has met; the log has them.')
  return {
    connected: ({ version, peer }) => connected.inc({ version, transport: peer.transport }),
    disconnected: () => disconnected.inc(),
    away: () => away.inc(),
    returned: () => resumes.inc({ outcome: 'resumed' }),
    notResumed: () => resumes.inc({ outcome: 'new' }),
    frameIn: (command) => framesIn(command, 1),
    frameOut: framesOut,
    expelled: (cause) => expelled.inc({ cause }),
    dropped: () => dropped.inc(),
    failed: () => failed.inc(),
  }
}

function credentialNumbers(registry: Registry): (events: Events) => void {
  const counter = (name: string, help: string) =>
    new Counter({ name: `carillon_sessions_${name}_total`, help, registers: [registry] })
  const expired = counter('expired', 'Sessions whose token has expired while they were connected.')
  const refreshed = counter('refreshed', 'Tokens that were replaced while their session was connected.')
  const revoked = counter('revoked', 'Sessions that an operator has cut.')
  return (events) => {
    events.on('session.expired', () => expired.inc())
    events.on('session.refreshed', () => refreshed.inc())
    events.on('session.revoked', () => revoked.inc())
  }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])

function httpNumbers(registry: Registry): Metrics['served'] {
  const requests = new Counter({
    name: 'carillon_http_requests_total',
    help: 'HTTP requests, by route and status.',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  })
  const duration = new Histogram({
    name: 'carillon_http_request_seconds',
    help: 'From the head of a request to the end of its answer.',
    labelNames: ['route'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [registry],
  })
  return ({ route, method, status, seconds }) => {
    requests.inc({ route, method: METHODS.has(method) ? method : 'other', status })
    duration.observe({ route }, seconds)
  }
}

interface CallNumbers {
  lives(call: Call): void
  connected(call: Call): void
  ended(call: Call): void
}

function callNumbers(registry: Registry, known: MetricsSources['calls']): CallNumbers {
  /** Of one process on its own. */
  const live = new Map<string, { readonly status: CallStatus }>()
  const lives = ({ callId, status }: Call) => {
    if (known === undefined) live.set(callId, { status })
  }
  new Gauge({
    name: 'carillon_calls',
    help: 'Calls now, by status. Of several servers each counts those that it has seen: a call may be counted by two.',
    labelNames: ['status'],
    registers: [registry],
    collect() {
      for (const status of ['CALLING', 'RINGING', 'CONNECTED']) this.set({ status }, 0)
      for (const { status } of known?.() ?? live.values()) this.inc({ status })
    },
  })
  const ended = new Counter({
    name: 'carillon_calls_ended_total',
    help: 'Calls that have ended, by type, status and reason.',
    labelNames: ['type', 'status', 'reason'],
    registers: [registry],
  })
  const ring = new Histogram({
    name: 'carillon_ring_seconds',
    help: 'From the first device that rings to the answer, or to the end without one.',
    labelNames: ['outcome'],
    buckets: [1, 2, 5, 10, 15, 20, 30, 45, 60, 120],
    registers: [registry],
  })
  const duration = new Histogram({
    name: 'carillon_call_seconds',
    help: 'From the answer to the end.',
    labelNames: ['type'],
    buckets: [5, 15, 60, 180, 600, 1800, 3600, 10_800, 43_200],
    registers: [registry],
  })
  const rang = (call: Call, until: number | undefined, outcome: string) => {
    if (call.ringingAt !== undefined && until !== undefined) ring.observe({ outcome }, seconds(call.ringingAt, until))
  }
  return {
    lives,
    connected(call) {
      lives(call)
      rang(call, call.connectedAt, 'ANSWERED')
    },
    ended(call) {
      const { callId, type, status, reason = 'none', connectedAt, endedAt } = call
      live.delete(callId)
      ended.inc({ type, status, reason })
      if (connectedAt === undefined) rang(call, endedAt, status)
      else if (endedAt !== undefined) duration.observe({ type }, seconds(connectedAt, endedAt))
    },
  }
}

/** Clocks of two nodes may disagree a little. */
const seconds = (from: number, to: number) => Math.max(0, to - from) / 1000
