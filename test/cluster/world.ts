/**
 * A language for stories of several processes: real ones, from `dist/`, that share a real Redis. What it takes for an
 * event is a frame, an answer, or a line of a log; nothing sleeps.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CutProxy } from '../support/cut-proxy.ts'
import { ServerProcess } from '../support/process.ts'
import { startRedis, startRedisCluster, startSentinel } from '../support/redis.ts'
import { type Answer, type ArrivalOptions, type AskOptions, Device, SECRET, tokenFor } from '../support/story.ts'

export const ADMIN_KEY = 'a key for tests that is long enough to be one'

/** Long waits of the product are its own business: here they are as short as a busy machine can keep. */
const QUICK = {
  CALLER_GRACE_MS: '1000',
  CALL_GRACE_MS: '1000',
  PRESENCE_BATCH_MS: '10',
  PRESENCE_OFFLINE_DELAY_MS: '500',
}

/** Everything that calls are about; other people's presence would be heard by everybody. */
export const CALLS = [
  '/user/queue/call/request',
  '/user/queue/call/response',
  '/user/queue/call/down',
  '/user/queue/call/hangup',
  '/user/queue/call/timeout',
  '/user/queue/call/ringing',
  '/user/queue/rtc/signaling',
  '/user/queue/errors',
]

export const STATUS = '/topic/user/status'

/** What several processes share. */
export interface Shared {
  /** How a process is told of it. */
  readonly environment: Readonly<Record<string, string>>
  /** Where one TCP address is the whole of it. */
  readonly port?: number
  stop(): Promise<void>
}

export type Environment = Readonly<Record<string, string>>

export interface NodeOptions {
  readonly name?: string
  readonly env?: Environment
  /** Its way to Redis can be cut. */
  readonly cuttable?: boolean
  /** How far its clock is ahead of the others', in milliseconds. */
  readonly aheadMs?: number
}

/** One process of several. */
export class ClusterNode {
  readonly name: string
  readonly url: string
  readonly process: ServerProcess
  /** Its way to Redis. */
  readonly way: CutProxy | undefined
  readonly #guests: Guest[] = []

  private constructor(name: string, url: string, process: ServerProcess, way: CutProxy | undefined) {
    this.name = name
    this.url = url
    this.process = process
    this.way = way
  }

  /** Fulfilled when it listens. */
  static async start(name: string, shared: Shared, options: Omit<NodeOptions, 'name'> = {}): Promise<ClusterNode> {
    const { env = {}, cuttable = false, aheadMs } = options
    const way = cuttable ? await CutProxy.to(shared.port ?? 0) : undefined
    const server = new ServerProcess({
      HOST: '127.0.0.1',
      AUTH_JWT_SECRET: SECRET,
      ADMIN_KEY,
      TURN_ENABLED: 'false',
      LOG_LEVEL: 'debug',
      NODE_NAME: name,
      ...QUICK,
      ...shared.environment,
      ...(way && { REDIS_URL: `redis://127.0.0.1:${way.port}` }),
      ...(aheadMs !== undefined && { NODE_OPTIONS: `--import ${SHIFT}`, SHIFT_MS: String(aheadMs) }),
      ...env,
    })
    return new ClusterNode(name, await server.url(), server, way)
  }

  /** A device of the user connects here and subscribes to all about calls (or to `listens`). */
  async arrives(user: string, name = 'phone', options: ArrivalOptions = {}): Promise<Device> {
    const token = options.token ?? (await tokenFor(user))
    const device = new Device(this.url, user, name, token, { listens: CALLS, ...options })
    this.welcomes(device)
    await device.connects()
    return device
  }

  /** It is there as long as this story is told. */
  welcomes(guest: Guest): void {
    this.#guests.push(guest)
  }

  /** Whoever has arrived here is gone without a word. */
  async empties(): Promise<void> {
    await Promise.all(this.#guests.splice(0).map((guest) => guest.vanishes()))
  }

  /** HTTP with a token of the user. */
  async asks(user: string, path: string, body?: unknown, options: AskOptions = {}): Promise<HttpAnswer> {
    const response = await fetch(this.url + path, {
      method: options.method ?? 'POST',
      headers: { ide: options.token ?? (await tokenFor(user)), ...options.headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Record<string, unknown>,
    }
  }

  /** An operator revokes every token of the user. */
  async shutsOut(user: string): Promise<void> {
    await fetch(`${this.url}/imserver/admin/sessions/revoke`, {
      method: 'POST',
      headers: { 'x-admin-key': ADMIN_KEY },
      body: JSON.stringify({ userId: user }),
    })
  }

  /** What an operator reads. */
  async admin(path: string): Promise<Record<string, unknown>> {
    const response = await fetch(this.url + path, { headers: { 'x-admin-key': ADMIN_KEY } })
    const { data } = (await response.json()) as { data: Record<string, unknown> }
    return data
  }

  get running(): boolean {
    const { exitCode, signalCode } = this.process.child
    return exitCode === null && signalCode === null
  }

  /** SIGKILL; fulfilled when it is no more. */
  kill(): Promise<void> {
    return this.process.ends()
  }

  /** SIGTERM; fulfilled when it has stopped in order. */
  async stops(): Promise<void> {
    this.process.signal('SIGTERM')
    const code = await this.process.exited
    if (code !== 0) throw new Error(`${this.name} ended with ${code}:\n${this.process.output}`)
  }

  /** SIGSTOP: its connections stand, and it does nothing. */
  freezes(): void {
    this.process.signal('SIGSTOP')
  }

  thaws(): void {
    this.process.signal('SIGCONT')
  }

  /** Fulfilled with the next match in its log behind everything that it has said until now. */
  saysNext(pattern: RegExp): Promise<RegExpExecArray> {
    return this.process.says(pattern, this.process.output.length)
  }

  /** Lines of its log that tell of bugs: errors, and whatever is no line of the log at all. */
  bugs(): readonly string[] {
    return this.process.output
      .split('\n')
      .filter((line) => line !== '' && (!line.startsWith('{') || line.includes('"level":50')))
  }

  async ends(): Promise<void> {
    await this.empties()
    await this.process.ends()
    await this.way?.stop()
  }
}

interface Guest {
  vanishes(): Promise<void>
}

export interface HttpAnswer extends Answer {
  readonly headers: Headers
}

let stories = 0

/** A user whom no other story of this file knows: what is left of one is in nobody's way. */
export const own = (name: string): string => `${name} of ${stories}`

const SHIFT = new URL('./shift-clock.mjs', import.meta.url).href

export class Cluster {
  readonly shared: Shared
  readonly #env: Environment
  readonly #nodes: ClusterNode[] = []
  readonly #wires = new Map<string, Promise<Wire>>()

  constructor(shared: Shared, env: Environment = {}) {
    this.shared = shared
    this.#env = env
  }

  /** One more process; fulfilled when it listens. */
  async node(options: NodeOptions = {}): Promise<ClusterNode> {
    const { name = this.#nameOf(this.#nodes.length), env, ...others } = options
    const node = await ClusterNode.start(name, this.shared, { ...others, env: { ...this.#env, ...env } })
    this.#nodes.push(node)
    return node
  }

  nodes(count: 1, options?: NodeOptions): Promise<[ClusterNode]>
  nodes(count: 2, options?: NodeOptions): Promise<[ClusterNode, ClusterNode]>
  nodes(count: 3, options?: NodeOptions): Promise<[ClusterNode, ClusterNode, ClusterNode]>
  async nodes(count: number, options: NodeOptions = {}): Promise<ClusterNode[]> {
    const names = Array.from({ length: count }, (_, place) => this.#nameOf(this.#nodes.length + place))
    return Promise.all(names.map((name) => this.node({ name, ...options })))
  }

  /**
   * What any of the living nodes has sent to another until now has been handled there: in each direction between each
   * two of them a signal has gone and arrived, behind everything else.
   */
  async settles(): Promise<void> {
    const living = this.#nodes.filter(({ running }) => running)
    const pairs = living.flatMap((one, place) => living.slice(place + 1).map((other) => [one, other] as const))
    await Promise.all(pairs.map(async ([one, other]) => (await this.#wire(one, other)).passes()))
  }

  /** A story is over: its devices are gone, and {@link own} means others. The processes stay for the next one. */
  async empties(): Promise<void> {
    this.#wires.clear()
    stories++
    await Promise.all(this.#nodes.map((node) => node.empties()))
  }

  /** For whoever wonders why a test has failed: the logs of all nodes in a folder. */
  #writesLogs(folder: string): void {
    mkdirSync(folder, { recursive: true })
    for (const [place, node] of this.#nodes.entries())
      writeFileSync(join(folder, `${process.pid}-${place}-${node.name}.log`), node.process.output)
  }

  #nameOf(place: number): string {
    return NAMES[place] ?? `node-${place}`
  }

  #wire(one: ClusterNode, other: ClusterNode): Promise<Wire> {
    const key = `${one.name}–${other.name}`
    const wire = this.#wires.get(key) ?? Wire.between(one, other)
    this.#wires.set(key, wire)
    return wire
  }

  /** Everything ends; rejected when a process has logged a bug. */
  async closes(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.ends()))
    if (process.env.CLUSTER_LOGS !== undefined) this.#writesLogs(process.env.CLUSTER_LOGS)
    await this.shared.stop()
    const bugs = this.#nodes.flatMap((node) => node.bugs().map((line) => `${node.name}: ${line}`))
    if (bugs.length > 0) throw new Error(`processes have logged errors:\n${bugs.join('\n')}`)
  }
}

/** A call between two nodes that is there for the sake of its signals. */
class Wire {
  readonly #ends: readonly [Device, Device]
  readonly #callId: string
  #signals = 0
  #passed: Promise<void> = Promise.resolve()

  private constructor(ends: readonly [Device, Device], callId: string) {
    this.#ends = ends
    this.#callId = callId
  }

  static async between(one: ClusterNode, other: ClusterNode): Promise<Wire> {
    const names = [one, other].map(({ name }, end) => own(`wire ${one.name}${other.name} at ${name}${end}`))
    const [caller, callee] = [await one.arrives(names[0] ?? ''), await other.arrives(names[1] ?? '')]
    const callId = await caller.requests(callee.user)
    await callee.hears('/user/queue/call/request', { callId })
    await callee.accepts(callId)
    return new Wire([caller, callee], callId)
  }

  /** One signal each way; who asks meanwhile is next. */
  passes(): Promise<void> {
    this.#passed = this.#passed.then(() => this.#passes())
    return this.#passed
  }

  async #passes(): Promise<void> {
    const [one, other] = this.#ends
    const payload = { candidate: String(++this.#signals) }
    const signal = { callId: this.#callId, type: 'ICE_CANDIDATE', payload }
    for (const end of this.#ends) end.sends('/app/rtc/signaling', signal)
    for (const end of [one, other]) await end.hears('/user/queue/rtc/signaling', { payload })
  }
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']

/** One Redis. */
export async function alone(): Promise<Shared & { readonly redis: Awaited<ReturnType<typeof startRedis>> }> {
  const redis = await startRedis()
  return { redis, environment: { REDIS_URL: redis.url }, port: redis.port, stop: () => redis.stop() }
}

/** A Redis Cluster of three. */
export async function clustered(): Promise<Shared> {
  const cluster = await startRedisCluster()
  return { environment: { REDIS_URL: cluster.url, REDIS_MODE: 'cluster' }, stop: () => cluster.stop() }
}

/** A master and its replica under a Sentinel. */
export async function watchedBySentinel() {
  const redis = await startSentinel()
  return {
    redis,
    environment: { REDIS_URL: redis.url, REDIS_MODE: 'sentinel', REDIS_SENTINEL_NAME: redis.name },
    stop: () => redis.stop(),
  }
}
