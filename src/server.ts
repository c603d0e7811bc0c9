/**
 * The composition root: builds every part from the configuration and joins them. Together with main.ts, which is the
 * process around it, the only place that knows everybody.
 */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createBroker, createLoginGuard, peerAddress, serveStomp } from '../broker/index.ts'
import { createHttpApp } from '../http/app.ts'
import { originAllowed } from '../http/origin.ts'
import { FileSpool } from './adapters/files/spool.ts'
import { HttpEndpoint } from './adapters/http/endpoint.ts'
import { MemoryCallStore } from './adapters/memory/call-store.ts'
import { MemoryOutbox } from './adapters/memory/outbox.ts'
import { createMetrics } from './adapters/metrics/metrics.ts'
import { BundledRelay } from './adapters/node-turn/relay.ts'
import type { RedisLink } from './adapters/redis/link.ts'
import { RedisOutbox } from './adapters/redis/outbox.ts'
import { RedisSpool } from './adapters/redis/spool.ts'
import type { openHistory } from './adapters/sql/index.ts'
import { admission } from './admission.ts'
import { attendance } from './attendance.ts'
import { createAuthenticator, mintDemoToken } from './auth.ts'
import { CALL_QUEUES, callHandlers, FINISHES_A_CALL } from './calls/destinations.ts'
import { mesh } from './calls/room-media.ts'
import { CallService, RINGS_ON } from './calls/service.ts'
import type { Call } from './calls/types.ts'
import { Cluster } from './cluster.ts'
import type { Config } from './config.ts'
import { credentialHandlers } from './credentials/destinations.ts'
import { heeding, Revocations } from './credentials/revocations.ts'
import { AUTH_QUEUE, CredentialService } from './credentials/service.ts'
import { connectedDevices, ownDirectory, reportsOf, thisServer } from './directory.ts'
import { Events } from './events.ts'
import { historyHandlers } from './history/destinations.ts'
import { MISSED_QUEUE } from './history/missed.ts'
import { HistoryService, NO_HISTORY } from './history/service.ts'
import type { HistoryConfig } from './history-config.ts'
import { Lifecycle } from './lifecycle.ts'
import type { Log } from './log.ts'
import { packed, unpack } from './luggage.ts'
import { PAGES, SOCKJS_ADDRESS, VERSION } from './pages.ts'
import type { CallStore, Clock, Devices, Directory, RelayHealth } from './ports.ts'
import { presenceAudience, presenceHandlers, STATUS_TOPIC } from './presence/destinations.ts'
import { PresenceService } from './presence/service.ts'
import { proxyNotice } from './proxy-notice.ts'
import type { Awaitable } from './steps.ts'
import { TURN_QUEUE, turnHandlers, turnRenewal } from './turn/destinations.ts'
import { TurnService } from './turn/service.ts'
import type { RelayConfig } from './turn-config.ts'
import type { Hook } from './webhooks/ports.ts'
import { Webhooks } from './webhooks/service.ts'

/** Where STOMP is (contract, section 1). */
const STOMP_PATH = '/imserver/ws'

/** Sessions are closed in steps, so that not all of them come back to another node in the same moment. */
const STOP_STEPS = { perStep: 500, stepMs: 100, deadlineMs: 10_000 }

/** How long it may take until a lost connection is noticed. */
const UNNOTICED_MS = 90_000

const LAST_REQUESTS_MS = 250
const FINISH_REQUESTS_MS = 5_000

export interface World {
  readonly clock: Clock
  readonly log: Log
}

export interface RunningServer {
  /** `http://host:port`, as a browser on this machine reaches it. */
  readonly url: string
  /** Stops everything in order: readiness first, then sessions (1012), then the rest. */
  stop(): Promise<void>
}

/** Starts the whole server; fulfilled when it listens. Rejected when the port cannot be had. */
export async function startServer(config: Config, { clock, log }: World): Promise<RunningServer> {
  const lifecycle = new Lifecycle(log)
  const report = (error: unknown) => log.error({ err: error }, 'a bug: please report it')
  const inBackground = (work: () => Awaitable<unknown>): void => {
    new Promise<unknown>((resolve) => resolve(work())).catch(report)
  }
  // A third of all modules, which nobody else has to load
  const sql = config.history && (await import('./adapters/sql/index.ts'))
  const startedAt = clock.now()
  let state: 'starting' | 'ready' | 'stopping' = 'starting'
  const stopping = new AbortController()

  const events = new Events(report)
  const warn = (message: string) => log.warn({}, message)
  const revocations = new Revocations({ clock, memoryMs: config.tokens.revocationMemoryMs, warn })
  const authenticator = heeding(revocations, createAuthenticator({ ...config.auth, clock, warn }))
  const relay = config.turn.relay && bundledRelay(config.turn.relay, config.turn.secrets, { clock, log })
  const relayHealth: RelayHealth = relay ?? { state: () => (config.turn.regions.length > 0 ? 'external' : 'off') }
  const turn = new TurnService({
    secret: config.turn.secrets[0],
    ttlSeconds: config.turn.ttlSeconds,
    stun: config.turn.stunUrls,
    regions: config.turn.regions,
    clock,
    relay,
  })

  const cluster =
    config.redis &&
    new Cluster({
      redis: config.redis,
      nodeName: config.nodeName,
      version: VERSION,
      scope: config.presence.scope,
      graceMs: config.broker.resume?.graceMs ?? 0,
      clock,
      log,
      report,
      parts: () => ({ devices, calls, presence, credentials, broker }),
    })

  // Handlers need the broker and the broker needs handlers: the services see it through this port.
  const devices: Devices = {
    listening: (user, destination) => broker.listening(user, destination),
    reachable: (user, destination) => broker.reachable(user, destination),
    holds: (device) => broker.holds(device),
    tell: (device, destination, message) => broker.tell(device, destination, message),
    connected: (user) => broker.sessions(user).map(({ id }) => id),
  }
  const directory: Directory =
    cluster?.directory ??
    ownDirectory(
      () => broker,
      (session) => credentials.former(session),
    )
  const callStore = cluster?.store ?? new MemoryCallStore()
  const calls = new CallService({
    store: callStore,
    devices,
    ...(cluster && { routes: cluster.routes, directory }),
    clock: cluster?.clock ?? clock,
    events,
    timers: config.calls.timers,
    ringMs: config.calls.ringMs,
    offline: config.calls.offline,
    callWaiting: config.calls.callWaiting,
    roomMedia: mesh(config.calls.groupMeshMax),
    report,
  })
  const credentials = new CredentialService({
    ...config.tokens,
    sessions: {
      session: (id) => broker.session(id),
      everyHeld: () => broker.everyHeld(),
      tell: (session, destination, message) => broker.tell(session, destination, message),
      renew: (session, principal) => broker.renew(session, principal),
      restrict: (session, restriction) => broker.restrict(session, restriction),
      expel: (session, refused) => broker.expel(session, refused),
    },
    calls,
    callDestinations: FINISHES_A_CALL,
    authenticate: authenticator.authenticate,
    revocations,
    shared: cluster?.revocations,
    clock,
    events,
    restored: async (session) => {
      turnRenewals.listens(session.id)
      if (session.listensTo(MISSED_QUEUE)) history?.subscribed(session.principal.user, session.id)
      if (session.listensTo(RINGS_ON)) await calls.appeared(session.principal.user, session.id)
    },
    report,
  })
  const audience = presenceAudience({
    tell: (session, destination, message) => broker.tell(session, destination, message),
    publish: (topic, message) => broker.publish(topic, message),
    disconnect: (session, code, reason) => broker.disconnect(session, code, reason),
  })
  const { resume } = config.broker
  const missableMs = resume === undefined ? 0 : resume.graceMs + UNNOTICED_MS
  const presence = new PresenceService({
    ...config.presence,
    missableMs,
    clock,
    events,
    audience,
    report,
    shared: cluster?.presence,
  })
  const turnRenewals = turnRenewal(
    turn,
    { session: (id) => broker.session(id), tell: (id, destination, message) => broker.tell(id, destination, message) },
    clock,
  )
  const history =
    config.history &&
    sql &&
    historyFor(config.history, {
      openHistory: sql.openHistory,
      clock: cluster?.clock ?? clock,
      events,
      devices,
      log: log.child({ part: 'history' }),
      report,
      nodeName: config.nodeName,
      ...(cluster && { cluster }),
    })
  const attending = attendance({
    calls: cluster?.calls ?? calls,
    credentials,
    presence,
    turn: turnRenewals,
    history,
    inBackground,
  })
  const packers = { presence, credentials, turn: turnRenewals }
  const metrics = createMetrics({
    counts: () => broker.counts(),
    relay: relayHealth,
    ...(cluster && { calls: () => cluster.store.liveAtHand() }),
  })
  metrics.subscribe(events)
  if (cluster) {
    cluster.observe(metrics.cluster(cluster.self, config.nodeName, () => cluster.counts()))
    events.on('session.refreshed', ({ session }) => cluster.renewed(broker.session(session)))
  }
  const webhooks =
    config.webhooks &&
    webhooksFor(config.webhooks, {
      directory,
      clock: cluster?.clock ?? clock,
      events,
      log,
      ...(cluster && { link: cluster.link }),
    })
  if (webhooks) metrics.webhooks(() => webhooks.backlog())
  if (history) metrics.history(history)

  const logins = createLoginGuard({
    clock,
    rate: config.failedConnects,
    limited: () => events.emit('limited', { limit: 'failed-connect' }),
  })
  const broker = createBroker({
    clock,
    logins,
    server: `Carillon/${VERSION}`,
    authenticate: admission(authenticator),
    destinations: {
      handlers: {
        ...callHandlers(calls, devices),
        ...presenceHandlers(presence, { tell: devices.tell }),
        ...turnHandlers(turn, { tell: devices.tell }, ({ id }, region) => turnRenewals.asked(id, region)),
        ...credentialHandlers(credentials),
        ...historyHandlers(history ?? NO_HISTORY),
      },
      user: [...CALL_QUEUES, MISSED_QUEUE, TURN_QUEUE, AUTH_QUEUE, '/user/queue/errors'],
      topics: [STATUS_TOPIC],
      open: config.broker.open,
    },
    limits: config.broker.limits,
    heartbeat: config.broker.heartbeat,
    resume: resume && {
      ...resume,
      packs: (session) => packed(session, packers),
      unpacks(session, luggage) {
        unpack(session, luggage, packers)
        cluster?.unpacked(session)
      },
      ...(cluster && { fetch: (claim) => cluster.fetch(claim) }),
    },
    observer: {
      ...metrics.observer,
      ...attending,
      connected(session) {
        metrics.observer.connected(session)
        log.debug({ session: session.id, user: session.principal.user }, 'session connected')
        cluster?.connected(session)
        attending.connected(session)
      },
      disconnected(session, reason) {
        metrics.observer.disconnected(session, reason)
        attending.disconnected(session, reason)
        log.debug({ session: session.id, user: session.principal.user, reason }, 'session ended')
      },
      away(session, reason) {
        metrics.observer.away(session, reason)
        attending.away(session, reason)
        log.debug({ session: session.id, user: session.principal.user, reason }, 'session away')
      },
      returned(session, before) {
        metrics.observer.returned(session, before)
        log.debug({ session: session.id, user: session.principal.user }, 'session resumed')
        attending.returned(session, before)
      },
      refused: (code) => events.emit('refused', { code, face: 'stomp' }),
      limited: (limit) => events.emit('limited', { limit }),
      expelled(cause, detail) {
        metrics.observer.expelled(cause, detail)
        // A stop closes every session; that it stops has been said once
        log[cause === 'shutdown' ? 'debug' : 'info']({ cause }, `connection closed: ${detail}`)
      },
      dropped(destination) {
        metrics.observer.dropped(destination)
        log.debug({ destination }, 'a message of a queue was given up: its consumers refuse it')
      },
      failed(error, where) {
        metrics.observer.failed(error, where)
        log.error({ err: error, where }, 'a bug: please report it')
      },
    },
  })

  const app = createHttpApp(
    {
      authenticate: authenticator.authenticate,
      logins,
      calls,
      presence,
      turn,
      credentials,
      history: history ?? NO_HISTORY,
      sessions: (user) => connectedDevices(directory, user),
      admin: {
        nodes: () => cluster?.nodes() ?? { ok: true, data: [thisServer(config.nodeName, startedAt, broker.counts())] },
        sessions: (user) => reportsOf(directory, user),
      },
      ...(config.demo && config.auth.key.kind === 'secret'
        ? { demo: demoTokens(config.auth, config.auth.key.secret, clock) }
        : {}),
      health: { state: () => state, relay: relayHealth, shared: () => cluster?.state(), history: () => history?.state },
      stopping: stopping.signal,
      metrics,
      observer: {
        refused: (code) => events.emit('refused', { code, face: 'http' }),
        limited: () => events.emit('limited', { limit: 'http' }),
        served: (request) => metrics.served(request),
      },
      log,
      clock,
    },
    { ...config.http, pages: PAGES, version: VERSION },
  )
  const notice = proxyNotice(config.http.trustedProxies, (message) => log.warn({}, message))
  const waits = { headersTimeout: config.broker.limits.connectTimeoutMs, requestTimeout: 60_000 }
  const server = createServer({ ...waits, connectionsCheckingInterval: 2_000 }, (request, response) => {
    if (!stomp.request(request, response)) app(request, response)
  })
  const stomp = serveStomp({
    server,
    path: STOMP_PATH,
    broker,
    clock,
    limits: config.broker.limits,
    allowOrigin: originAllowed(config.http.allowedOrigins, { loopbackOnly: config.demo }),
    accepting: () => state === 'ready',
    addressOf: peerAddress(config.http.trustedProxies),
    limited: (limit) => events.emit('limited', { limit }),
    sockJs: { ...config.broker.sockJs, clientUrl: SOCKJS_ADDRESS },
  })

  for (const kind of ['request', 'upgrade']) server.on(kind, notice)

  if (relay) await lifecycle.start({ name: 'relay', start: () => relay.start(), stop: () => relay.stop() })
  if (cluster) await lifecycle.start({ name: 'cluster', start: () => cluster.start(), stop: () => cluster.stop() })
  // Stopped late: it has to tell of the calls that the stop ends
  if (webhooks) await lifecycle.start({ name: 'webhooks', start: () => webhooks.start(), stop: () => webhooks.stop() })
  // So is the history. What ends later has ended elsewhere as well, or with this process
  if (history) {
    const left = async () => (callStore.outlives ? [] : callsOf(callStore))
    await lifecycle.start({
      name: 'history',
      start: () => history.start(),
      stop: async () => history.stop(await left()),
    })
  }
  await lifecycle.start({ name: 'calls', start: () => calls.start(), stop: () => calls.stop() })
  await lifecycle.start({ name: 'credentials', stop: () => credentials.stop() })
  await lifecycle.start({ name: 'TURN credentials', stop: () => turnRenewals.stop() })
  await lifecycle.start({ name: 'presence', stop: () => presence.stop() })
  await lifecycle.start({
    name: 'http',
    start: () => listen(server, config.http.port, config.http.host),
    stop: () => closed(server, clock),
  })
  // Stopped after the sessions: those who may come back find what they had at another server
  if (cluster) await lifecycle.start({ name: 'hand-over', stop: () => cluster.park(() => broker.releaseAll()) })
  await lifecycle.start({ name: 'sessions', stop: () => broker.stop(STOP_STEPS) })
  // Stopped first: whoever is about to lose the connection is told what becomes of the call
  await lifecycle.start({ name: 'calls in progress', stop: () => calls.shutDown() })
  state = 'ready'

  return {
    url: urlOf(server),
    stop() {
      state = 'stopping'
      stopping.abort()
      return lifecycle.stop()
    },
  }
}

function bundledRelay(relay: RelayConfig, secrets: readonly string[], { clock, log }: World): BundledRelay {
  const { workers, host, tls, ...rest } = relay
  const settings = { ...rest, secrets, ...(tls && { tls: { port: tls.port, certificate: tls.certificate } }) }
  const names = { ...(host !== undefined && { host }), ...(tls?.host !== undefined && { tlsHost: tls.host }) }
  return new BundledRelay({ settings, workers, ...names }, { clock, log: log.child({ part: 'relay' }) })
}

function webhooksFor(
  { url, secret, events: wanted }: NonNullable<Config['webhooks']>,
  { directory, clock, events, log, link }: World & { directory: Directory; events: Events; link?: RedisLink },
): Webhooks {
  const dropped = ({ type }: Hook) => events.emit('webhook.dropped', { event: type })
  const report = (error: unknown) => log.error({ err: error }, 'a bug: please report it')
  const outbox = link ? new RedisOutbox({ link, clock, dropped, report }) : new MemoryOutbox({ clock, dropped })
  const endpoint = new HttpEndpoint({ url, clock, userAgent: `Carillon/${VERSION}` })
  return new Webhooks({ outbox, endpoint, secret, wanted, directory, clock, events, log })
}

interface HistoryWorld {
  readonly openHistory: typeof openHistory
  readonly clock: Clock
  readonly events: Events
  readonly devices: Devices
  readonly log: Log
  readonly report: (error: unknown) => void
  readonly nodeName: string
  readonly cluster?: Cluster
}

/** A server whose database is away starts, and rings: calls wait for it. */
function historyFor(
  config: HistoryConfig,
  { openHistory, nodeName, cluster, ...world }: HistoryWorld,
): HistoryService | undefined {
  const { url, days, spoolBytes: mostBytes, folder } = config
  const { clock, log } = world
  let history: HistoryService | undefined
  const store = openHistory(url, {
    clock,
    log,
    onState: (state) => state === 'up' && history?.wake(),
    onRefused: (record) => history?.refused(record),
  })
  if (store === undefined) return undefined
  const inRedis = cluster && new RedisSpool({ link: cluster.link, self: cluster.self, mostBytes })
  const onDisk = !inRedis && folder !== undefined && new FileSpool({ folder, mostBytes, clock, log, host: nodeName })
  history = new HistoryService({
    ...world,
    store,
    spool: inRedis ?? (onDisk || undefined),
    ...(cluster && { routes: cluster.routes, directory: cluster.directory }),
    days,
    leads: () => cluster?.leads() ?? true,
  })
  return history
}

/** What has not ended, of calls that end with this process. */
async function callsOf(store: CallStore): Promise<readonly Call[]> {
  const calls: Call[] = []
  for (const callId of await store.live()) {
    const call = await store.load(callId)
    if (call) calls.push(call)
  }
  return calls
}

function demoTokens({ services }: Config['auth'], secret: string, clock: Clock) {
  const roleOf = (service: boolean) => (service ? services.role : undefined)
  return { mint: (user: string, service = false) => mintDemoToken(secret, user, clock.now(), roleOf(service)) }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Requests that are being answered are finished, for a while; idle connections are closed. */
async function closed(server: Server, clock: Clock): Promise<void> {
  // A connection that looks idle here may carry a request already, and its sender would never hear why it is cut
  await new Promise<void>((resolve) => clock.after(LAST_REQUESTS_MS, resolve))
  await new Promise<void>((resolve) => {
    const cancel = clock.after(FINISH_REQUESTS_MS, () => server.closeAllConnections())
    server.close(() => {
      cancel()
      resolve()
    })
    server.closeIdleConnections()
  })
}

function urlOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${port}`
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
