/**
 * The calculation of docs/scaling.md: how many nodes, how much of Redis, for how many users. On paper: nothing is run.
 *
 *     npx tsx bench/scaling.ts                          the tables of the document
 *     npx tsx bench/scaling.ts --users 3e6 --calls 1    with your own numbers; any of the names in HABITS
 *
 * What single steps cost was measured (docs/performance.md, and what docs/scaling.md says of Redis), on a slow machine.
 */

import { parseArgs } from 'node:util'

/** What users do, in the busy hour. */
export const HABITS = {
  /** Devices of a user that are connected. */
  devices: 1.3,
  /** How often a device connects in an hour: networks change, phones sleep and wake. */
  logins: 2,
  /** How often a user goes online or offline in an hour, as others see it. */
  changes: 2,
  /** Calls that a user makes in an hour. */
  calls: 0.2,
  /** Seconds from the answer to the end. */
  talk: 180,
  /** Seconds of ringing. */
  ring: 10,
  /** Signalling messages of a call, both ways: offer, answer, candidates, a repair now and then. */
  signals: 40,
  /** Users whom a device asks for and then watches (PRESENCE_SCOPE=watched). */
  contacts: 50,
  /** Seconds between heart-beats, both ways. */
  heartbeat: 20,
  /** Connections of a node at most (LIMIT_CONNECTIONS). */
  connections: 20_000,
  /** Share of a core that a node, or a Redis server, uses in the busy hour: the rest is for bad days. */
  busy: 0.5,
  /** GiB of memory that a Redis server is given. */
  memory: 16,
}

export type Habits = typeof HABITS

/** Microseconds of CPU on a node. */
const NODE = {
  login: 648,
  heartbeat: 36.3 * 2,
  signal: 39,
  call: 475,
  push: 20,
  /** A command to Redis, with its answer. */
  command: 23,
  /** What calls do with Redis beyond that. */
  callStore: 1300,
  /** A parcel of the bus, sent and received, that travels alone. */
  parcel: 270,
}

/** Microseconds of CPU on Redis. */
const REDIS = {
  put: 12,
  enter: 13,
  leave: 30,
  hold: 2.3,
  watch: 11,
  lookup: 3.4,
  call: 380,
  parcel: 100,
  renew: 20,
  /** Each renewal names every node. */
  renewPerNode: 0.3,
  hook: 70,
}

/** Octets of Redis's memory. */
const MEMORY = { device: 494, online: 136 + 68, watcher: 60, call: 1700, tombstone: 1300, hook: 950 }

/** Octets on the wire: of a frame with its headers, of WebSocket, TLS, TCP and IP. */
const WIRE = { heartbeat: 2 * (1 + 2 + 22 + 40), signal: 900, push: 250, hop: 1000 }

const TOMBSTONE_S = 600
const RENEW_S = 1.3
/** Rows of a webhook: ring, answered, ended. */
const HOOKS_PER_CALL = 3

/** Everything per second in the busy hour, unless it says otherwise. */
export function site(users: number, habits: Habits) {
  const { contacts, busy } = habits
  const devices = users * habits.devices
  const logins = (devices * habits.logins) / 3600
  const changes = (users * habits.changes) / 3600
  const calls = (users * habits.calls) / 3600
  const signals = calls * habits.signals
  const nodes = settled((n) => nodesFor(n, { devices, logins, changes, calls, signals, habits }))
  const apart = 1 - 1 / nodes
  /** Nodes to which a change of one user goes. */
  const reached = nodes * (1 - (1 - 1 / nodes) ** contacts)
  const hops = signals * apart + calls * 4 * apart
  const presenceHops = changes * reached
  const pushes = changes * contacts * habits.devices
  const hooks = calls * HOOKS_PER_CALL
  const cores = {
    registry: (logins * (2 * REDIS.put + REDIS.enter + REDIS.hold + REDIS.leave) + calls * 2 * REDIS.lookup) / 1e6,
    watching: (logins * contacts * apart * REDIS.watch) / 1e6,
    calls: (calls * REDIS.call) / 1e6,
    signals: (hops * REDIS.parcel) / 1e6,
    presence: (presenceHops * REDIS.parcel) / 1e6,
    leases: ((nodes / RENEW_S) * (REDIS.renew + REDIS.renewPerNode * nodes)) / 1e6,
    webhooks: (hooks * REDIS.hook) / 1e6,
  }
  const memory = {
    registry: devices * MEMORY.device + users * MEMORY.online,
    watching: users * reached * MEMORY.watcher,
    calls: calls * ((habits.talk + habits.ring) * MEMORY.call + TOMBSTONE_S * MEMORY.tombstone),
  }
  const spread = cores.registry + cores.watching + cores.signals + cores.presence + cores.webhooks
  const stored = memory.registry + memory.watching
  const shards = Math.max(1, Math.ceil(spread / busy), Math.ceil(stored / (habits.memory * 2 ** 30)))
  return {
    users,
    load: { devices, logins, changes, calls, live: calls * (habits.talk + habits.ring), signals, pushes },
    nodes,
    nodeBusy: nodeCores(nodes, { devices, logins, changes, calls, signals, habits }) / nodes,
    edgeBytes:
      (devices / habits.heartbeat) * WIRE.heartbeat + signals * 2 * WIRE.signal + (pushes + logins * 20) * WIRE.push,
    busBytes: (hops + presenceHops) * 2 * WIRE.hop,
    cores,
    memory,
    shards,
  }
}

interface Load {
  readonly devices: number
  readonly logins: number
  readonly changes: number
  readonly calls: number
  readonly signals: number
  readonly habits: Habits
}

/** Cores that all nodes use together, when there are `nodes` of them. */
function nodeCores(nodes: number, { devices, logins, changes, calls, signals, habits }: Load): number {
  const apart = 1 - 1 / nodes
  const reached = nodes * (1 - (1 - 1 / nodes) ** habits.contacts)
  const micros =
    (devices / habits.heartbeat) * NODE.heartbeat +
    logins * (NODE.login + (4 + habits.contacts * apart) * NODE.command) +
    calls * (NODE.call + NODE.callStore + 4 * apart * NODE.parcel) +
    signals * (NODE.signal + apart * NODE.parcel) +
    changes * (habits.contacts * habits.devices * NODE.push + reached * NODE.parcel)
  return micros / 1e6
}

const nodesFor = (nodes: number, load: Load): number =>
  Math.max(1, Math.ceil(load.devices / load.habits.connections), Math.ceil(nodeCores(nodes, load) / load.habits.busy))

/** More nodes mean more hops, which need more nodes: until nothing changes any more. */
function settled(next: (nodes: number) => number): number {
  let nodes = next(1)
  for (let step = 0; step < 50; step++) {
    const more = next(nodes)
    if (more === nodes) break
    nodes = more
  }
  return nodes
}

/** Three digits are more than is known. */
function figure(value: number, unit = ''): string {
  if (value === 0) return '0'
  const [short, power] = [
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ].find(([, least]) => value >= Number(least)) ?? ['', 1]
  const digits = Number((value / Number(power)).toPrecision(2))
  return `${digits}${unit === '' && short === '' ? '' : ` ${short}${unit}`}`.trim()
}

const bytes = (value: number) => figure(value, 'B')
const cores = (value: number) => (value < 0.01 ? '< 0.01' : String(Number(value.toPrecision(2))))

/** The tables as Markdown. */
export function tables(scales: readonly number[], habits: Habits): string {
  const sites = scales.map((users) => site(users, habits))
  const head = (what: string) => [
    `| ${what} | ${sites.map(({ users }) => figure(users)).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(sites.length)}`,
  ]
  const row = (what: string, cell: (one: ReturnType<typeof site>) => string) =>
    `| ${what} | ${sites.map(cell).join(' | ')} |`
  return [
    ...head('load in the busy hour, by users online'),
    row('devices connected', ({ load }) => figure(load.devices)),
    row('connects per second', ({ load }) => figure(load.logins)),
    row('changes of presence per second', ({ load }) => figure(load.changes)),
    row('… pushed to watchers, messages per second', ({ load }) => figure(load.pushes)),
    row('calls begun per second', ({ load }) => figure(load.calls)),
    row('calls live', ({ load }) => figure(load.live)),
    row('signalling messages per second', ({ load }) => figure(load.signals)),
    row('to and from clients, without media, per second', ({ edgeBytes }) => bytes(edgeBytes)),
    '',
    ...head('nodes'),
    row('nodes', ({ nodes }) => figure(nodes)),
    row('of a core, each', ({ nodeBusy }) => `${Math.round(nodeBusy * 100)} %`),
    row('to and from Redis by the bus, per second', ({ busBytes }) => bytes(busBytes)),
    '',
    ...head('Redis: cores'),
    row('registry: who is where', (one) => cores(one.cores.registry)),
    row('registry: who watches whom', (one) => cores(one.cores.watching)),
    row('bus: signalling and calls', (one) => cores(one.cores.signals)),
    row('bus: presence', (one) => cores(one.cores.presence)),
    row('webhooks of calls', (one) => cores(one.cores.webhooks)),
    row('**calls: all on one server**', (one) => cores(one.cores.calls)),
    row('**leases: all on one server**', (one) => cores(one.cores.leases)),
    '',
    ...head('Redis: memory, servers'),
    row('registry: who is where', (one) => bytes(one.memory.registry)),
    row('registry: who watches whom', (one) => bytes(one.memory.watching)),
    row('calls, ended ones for 10 minutes', (one) => bytes(one.memory.calls)),
    row('servers for all but calls and leases (each with a replica)', ({ shards }) => figure(shards)),
    '',
  ].join('\n')
}

/** Of the document. */
export const SCALES = [1e6, 1e7, 1e8] as const

if (process.argv[1]?.endsWith('scaling.ts')) {
  const names = ['users', ...Object.keys(HABITS)]
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  })
  const given = Object.entries(values).map(([name, value]) => [name, Number(value)] as const)
  const habits = { ...HABITS, ...Object.fromEntries(given.filter(([name]) => name !== 'users')) }
  const users = given.find(([name]) => name === 'users')?.[1]
  process.stdout.write(tables(users === undefined ? SCALES : [users], habits))
}
