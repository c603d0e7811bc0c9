/**
 * Several processes that share a Redis: what a message costs that goes from one to another, beside one that stays within
 * a process, and whole calls whose three devices are on different ones. All measured processes are on one core, so rates
 * say little of what several machines can do; the CPU time per message and per call says it.
 */

import { redisServerPath, startRedis } from '../../test/support/redis.ts'
import { cores, costOf, type Meter, meterOfPid, pinProcess, together } from '../support/cpu.ts'
import { exchange, type Pair, type Round as Signals } from '../support/exchange.ts'
import { closeAll, connectedCalls, inBatches } from '../support/pairs.ts'
import { Party } from '../support/party.ts'
import { type Findings, inTurn, type Row, rowOf, type Scenario } from '../support/scenario.ts'
import { type Measured, startCarillon } from '../support/server.ts'
import { percentile } from '../support/stats.ts'
import { type Round as Calls, callAll } from './calls.ts'

const CALLS = 100
const ROUNDS = 7
const PARTIES = 50

/** As the columns are called. */
const PLACES = ['alone', 'within', 'two', 'three'] as const

type Place = (typeof PLACES)[number]

/** Processes that act as one, with those who call each other over them. */
interface Site {
  readonly meter: Meter
  /** Of the Redis that they share; alone there is none. */
  readonly redis: Meter | undefined
  readonly pairs: readonly Pair[]
  readonly parties: readonly Party[]
  stop(): Promise<void>
}

/** What Redis has spent on a round, beside what the processes have. */
interface WithRedis<R> {
  readonly round: R
  readonly redisMicros: number
}

interface Round {
  readonly signals: WithRedis<Signals>
  readonly calls: WithRedis<Calls>
}

export const cluster: Scenario = {
  name: 'cluster',
  title: ({ pairs = CALLS }) =>
    `${pairs} established calls between nodes, 700-octet bodies to and fro, one under way in each; and whole calls, ${PARTIES} at a time`,
  missing() {
    try {
      redisServerPath()
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  },
  async run(options) {
    const { pairs: count = CALLS, progress } = options
    const sites: Partial<Record<Place, Site>> = {}
    for (const place of PLACES) {
      progress(`${count} calls ${WORDS[place]}`)
      sites[place] = await opened(place, count, place === 'two' ? options.profile : undefined)
    }
    const plays = Object.fromEntries(
      Object.entries(sites).map(([place, site]) => [place, (seconds: number) => measured(site, seconds)]),
    )
    const found = await inTurn<Round>(ROUNDS, options, plays)
    for (const site of Object.values(sites)) await site.stop()
    return findings(found)
  },
}

const WORDS: Readonly<Record<Place, string>> = {
  alone: 'in one process without Redis',
  within: 'each within one of two nodes',
  two: 'between two nodes',
  three: 'between three nodes',
}

async function opened(place: Place, count: number, profile: string | undefined): Promise<Site> {
  const redis = place === 'alone' ? undefined : await startRedis()
  if (redis && cores) pinProcess(redis.pid, cores.server)
  const nodes: Measured[] = []
  const size = place === 'alone' ? 1 : place === 'three' ? 3 : 2
  while (nodes.length < size) {
    const environment = { CALL_TOMBSTONE_MS: '10000', ...(redis && { REDIS_URL: redis.url }) }
    nodes.push(await startCarillon(environment, nodes.length === 0 ? profile : undefined))
  }
  const url = (n: number) => nodes[n % size]?.url ?? ''
  const step = place === 'within' ? 0 : 1
  const pairs = await connectedCalls((n) => [url(n), url(n + step)], count)
  const parties = await inBatches(PARTIES, (n) => Party.assemble([url(n), url(n + step), url(n + 2 * step)], count + n))
  return {
    meter: together(nodes),
    redis: redis && meterOfPid(redis.pid),
    pairs,
    parties,
    async stop() {
      await Promise.all([closeAll(pairs), ...parties.map((party) => party.leave())])
      await Promise.all(nodes.map((node) => node.stop()))
      await redis?.stop()
    },
  }
}

/** Half of the time for signals, half for calls. */
async function measured({ meter, redis, pairs, parties }: Site, seconds: number): Promise<Round> {
  return {
    signals: await withRedis(redis, () => exchange(meter, pairs, seconds / 2)),
    calls: await withRedis(redis, () => callAll(meter, parties, seconds / 2)),
  }
}

async function withRedis<R>(redis: Meter | undefined, load: () => Promise<R>): Promise<WithRedis<R>> {
  if (redis === undefined) return { round: await load(), redisMicros: Number.NaN }
  const { round, cpuMicros } = await costOf(redis, async () => ({ round: await load() }))
  return { round, redisMicros: cpuMicros }
}

function findings(found: Partial<Record<Place, Round[]>>): Findings {
  const row = (what: string, unit: string, field: (round: Round) => number) => rowOf(what, unit, found, field)
  const withRedisOnly = ({ alone: _, ...others }: Row['found']) => others
  const ofRedis = (row: Row): Row => ({ ...row, found: withRedisOnly(row.found) })
  const message = row('CPU of the nodes per message', 'µs', ({ signals }) => signals.round.microsPerMessage)
  const call = row('CPU of the nodes per call', 'µs', ({ calls }) => calls.round.microsPerCall)
  return {
    rows: [
      message,
      timesWithin(message),
      ofRedis(row('CPU of Redis per message', 'µs', ({ signals }) => signals.redisMicros / signals.round.messages)),
      row('rate of signals', 'messages/s', ({ signals }) => signals.round.perSecond),
      row('latency p50', 'ms', ({ signals }) => signals.round.p50),
      row('latency p99', 'ms', ({ signals }) => signals.round.p99),
      call,
      timesWithin(call),
      ofRedis(row('CPU of Redis per call', 'µs', ({ calls }) => calls.redisMicros / calls.round.calls)),
      row('rate of calls', 'calls/s', ({ calls }) => calls.round.perSecond),
      row('request to ring p50', 'ms', ({ calls }) => percentile(calls.round.rings, 0.5)),
      row('request to ring p99', 'ms', ({ calls }) => percentile(calls.round.rings, 0.99)),
    ],
    merits: [],
    targets: [],
  }
}

/** How many times what the same costs within a node, round by round. */
function timesWithin({ what, found }: Row): Row {
  const times = Object.entries(found).map(([place, values]) => [
    place,
    values.map((value, round) => value / (found.within?.[round] ?? Number.NaN)),
  ])
  return { what, unit: '× within a node', found: Object.fromEntries(times) as Row['found'] }
}
