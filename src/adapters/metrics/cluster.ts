/** Numbers of one of several processes that act as one: how it reaches the others, and what goes between them. */

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Totals since the start, and what is now. */
export interface ClusterCounts {
  readonly up: boolean
  readonly nodes: number
  readonly devices: number
  readonly skewMs: number
  readonly routes: Readonly<Record<'sent' | 'received' | 'forwarded' | 'lost' | 'lookups', number>>
  readonly handover: Readonly<Record<'fetched' | 'unparked' | 'given' | 'parked' | 'refused' | 'silent', number>>
  readonly bus: {
    readonly waiting: number
    readonly parcels: number
    readonly dropped: number
    readonly missing: number
  }
  readonly calls: { readonly atHand: number; readonly hits: number; readonly misses: number; readonly untold: number }
}

/** Told of the way to Redis. */
export interface ClusterObserver {
  /** A command was answered after so many seconds. */
  answered(seconds: number): void
  /** The way was lost. */
  lost(): void
}

/** `node`: the id of this process; `name`: what operators call it. */
export function clusterNumbers(
  registry: Registry,
  node: string,
  name: string,
  counts: () => ClusterCounts,
): ClusterObserver {
  new Gauge({
    name: 'carillon_node_info',
    help: 'This server among those that act as one; always 1.',
    labelNames: ['node', 'name'],
    registers: [registry],
  }).set({ node, name }, 1)
  const gauge = (metric: string, help: string, value: (now: ClusterCounts) => number) =>
    new Gauge({
      name: `carillon_${metric}`,
      help,
      registers: [registry],
      collect() {
        this.set(value(counts()))
      },
    })
  gauge('redis_up', 'Whether Redis answers this server.', ({ up }) => (up ? 1 : 0))
  gauge('nodes', 'Servers that act as one, as far as this one knows.', ({ nodes }) => nodes)
  gauge('registered_devices', 'Devices that this server has in the registry.', ({ devices }) => devices)
  gauge(
    'clock_skew_seconds',
    'How far the clock of this machine is behind that of Redis.',
    ({ skewMs }) => skewMs / 1000,
  )
  gauge('bus_waiting', 'Messages that wait to be sent to other servers.', ({ bus }) => bus.waiting)
  gauge('calls_at_hand', 'Calls that this server need not ask Redis for.', ({ calls }) => calls.atHand)
  gauge('calls_untold', 'Commits of calls whose effects have not all taken place.', ({ calls }) => calls.untold)
  const total = (metric: string, help: string, value: (now: ClusterCounts) => number) =>
    new Counter({
      name: `carillon_${metric}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(value(counts()))
      },
    })
  const totals = <K extends string>(
    metric: string,
    help: string,
    label: string,
    value: (now: ClusterCounts) => Readonly<Record<K, number>>,
  ) =>
    new Counter({
      name: `carillon_${metric}_total`,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset()
        for (const [one, count] of Object.entries<number>(value(counts()))) this.inc({ [label]: one }, count)
      },
    })
  totals(
    'routed',
    'Messages between servers for devices: sent, received, forwarded (the device had moved), lost; and lookups in the registry.',
    'what',
    ({ routes }) => routes,
  )
  totals(
    'handed_over',
    'Sessions between servers: fetched, unparked, given, parked; refused and silent are those that began anew.',
    'what',
    ({ handover }) => handover,
  )
  total('bus_parcels', 'Parcels of messages sent to other servers.', ({ bus }) => bus.parcels)
  total('bus_dropped', 'Messages to other servers that were given up.', ({ bus }) => bus.dropped + bus.missing)
  total('call_cache_hits', 'Calls that were at hand when they were asked for.', ({ calls }) => calls.hits)
  total('call_cache_misses', 'Calls that Redis was asked for.', ({ calls }) => calls.misses)
  const latency = new Histogram({
    name: 'carillon_redis_seconds',
    help: 'From sending a command to Redis to its answer; those that block are not counted.',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1],
    registers: [registry],
  })
  const outages = new Counter({
    name: 'carillon_redis_lost_total',
    help: 'How often this server has lost Redis.',
    registers: [registry],
  })
  return { answered: (seconds) => latency.observe(seconds), lost: () => outages.inc() }
}
