/**
 * Which processes live: each holds a lease in Redis and renews it; whoever renews finds those whose lease has run out,
 * and one of the living inherits each of them. Knows nothing of what there is to inherit.
 *
 * Everything is decided in one script on the keys `{nodes}…`, by the clock of Redis:
 * `leases` (sorted set: node → end of its lease), `facts` (hash: node → what it says of itself),
 * `dead` (sorted set: node → until when its heir may take), `heirs` (hash: node → its heir).
 */

import type { Cancel, Clock, NodeId } from '../../ports.ts'
import type { Members } from './bus.ts'
import type { RedisLink, Script } from './link.ts'

/** What a process says of itself, for operators. Small: it is written with every renewal. */
export interface NodeFacts {
  readonly name: string
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly [fact: string]: string | number | boolean
}

/** One process as the others see it. */
export interface NodeReport {
  readonly id: NodeId
  /** Undefined: it has not said anything that makes sense. */
  readonly facts: NodeFacts | undefined
  /** When its lease ends, by the clock of Redis, in milliseconds since the epoch. */
  readonly leaseUntil: number
}

export interface MembersLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface MembersOptions {
  readonly self: NodeId
  readonly link: RedisLink
  /** The machine's own. */
  readonly clock: Clock
  readonly log: MembersLog
  /** Asked before each renewal. */
  readonly facts: () => NodeFacts
  readonly leaseMs?: number
  readonly renewMs?: number
}

const LEASE_MS = 4000
const RENEW_MS = 1300

/**
 * ARGV: node, lease, its facts, then the dead that it is inheriting just now.
 * Answer: how it stands ('held', 'new', or 'dead': somebody is inheriting it), the living, the dead to inherit.
 * The dead are waited for: whoever comes back while its heir takes what was its would lose it again. Who is late itself
 * cannot tell who is dead: perhaps Redis was away for everybody. Then all that are late have another lease's time.
 */
const RENEW: Script = {
  name: 'members.renew',
  source: `
local leases, facts, dead, heirs = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local node, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 4, #ARGV do
  if redis.call('HGET', heirs, ARGV[i]) == node then redis.call('ZADD', dead, 'XX', now + lease, ARGV[i]) end
end
local own = redis.call('ZSCORE', leases, node)
if own and tonumber(own) <= now then
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do redis.call('ZADD', leases, now + lease, late) end
end
local state = 'held'
if redis.call('ZSCORE', dead, node) then
  state = 'dead'
else
  if not own then state = 'new' end
  redis.call('ZADD', leases, now + lease, node)
  redis.call('HSET', facts, node, ARGV[3])
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  redis.call('ZREM', leases, gone)
  redis.call('ZADD', dead, 0, gone)
end
local inherited = redis.call('ZRANGEBYSCORE', dead, '-inf', now)
for _, gone in ipairs(inherited) do
  redis.call('ZADD', dead, now + lease, gone)
  redis.call('HSET', heirs, gone, node)
end
return { state, redis.call('ZRANGE', leases, 0, -1), inherited }
`,
}

/** ARGV: heir, the dead that it has inherited. */
const DONE: Script = {
  name: 'members.done',
  source: `
local facts, dead, heirs = KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', heirs, ARGV[2]) ~= ARGV[1] then return 0 end
redis.call('HDEL', heirs, ARGV[2])
redis.call('HDEL', facts, ARGV[2])
return redis.call('ZREM', dead, ARGV[2])
`,
}

/** ARGV: node. It is dead from now on, in order: its heir finds what it may have left. */
const LEAVE: Script = {
  name: 'members.leave',
  source: `
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then redis.call('ZADD', KEYS[3], 0, ARGV[1]) end
return 1
`,
}

export class LeasedMembers implements Members {
  readonly self: NodeId
  readonly #options: MembersOptions
  readonly #keys: readonly [string, string, string, string]
  readonly #heirs: ((dead: NodeId) => Promise<void>)[] = []
  readonly #revivals: (() => Promise<void>)[] = []
  readonly #inheriting = new Set<NodeId>()
  #living: Set<NodeId>
  /** It has held a lease before. */
  #registered = false
  #toRevive = false
  #reviving = false
  #renewing: Promise<void> | undefined
  #timer: Cancel | undefined
  #unwatch: Cancel | undefined
  #stopped = false

  constructor(options: MembersOptions) {
    this.self = options.self
    this.#options = options
    this.#living = new Set([options.self])
    const key = (name: string) => `${options.link.prefix}{nodes}${name}`
    this.#keys = [key('leases'), key('facts'), key('dead'), key('heirs')]
  }

  /** Fulfilled when this process holds a lease, or when Redis could not be reached: it goes on trying then. */
  async start(): Promise<void> {
    this.#unwatch = this.#options.link.watch({ up: () => void this.#renew() })
    await this.#renew()
  }

  /**
   * Gives the lease back; its heir looks at once for what is left. With `lingers` the lease runs out by itself instead:
   * those who were connected here have so long to be counted elsewhere.
   */
  async stop({ lingers = false } = {}): Promise<void> {
    this.#stopped = true
    this.#timer?.()
    this.#unwatch?.()
    await this.#renewing
    if (!this.#registered || lingers) return
    await this.#options.link.script(LEAVE, this.#keys, [this.self]).catch(() => undefined)
  }

  living(): ReadonlySet<NodeId> {
    return this.#living
  }

  onDeath(heir: (dead: NodeId) => Promise<void>): void {
    this.#heirs.push(heir)
  }

  onRevival(again: () => Promise<void>): void {
    this.#revivals.push(again)
  }

  /** A process that has just shown that it lives. */
  met(node: NodeId): void {
    this.#living.add(node)
  }

  /** When the lease of this process ends, by the clock of Redis; 0: it holds none. Rejected with `Unavailable`. */
  async leaseUntil(node: NodeId): Promise<number> {
    const [leases] = this.#keys
    return Number((await this.#options.link.run(leases, ['ZSCORE', leases, node])) ?? 0)
  }

  /** All that hold a lease, in no order. Rejected with `Unavailable`. */
  async reports(): Promise<readonly NodeReport[]> {
    const { link } = this.#options
    const [leases, facts] = this.#keys
    const [ends, said] = (await Promise.all([
      link.run(leases, ['ZRANGE', leases, '0', '-1', 'WITHSCORES']),
      link.run(facts, ['HGETALL', facts]),
    ])) as [[string, number][], string[]]
    const factsOf = new Map<string, string>()
    for (let at = 0; at < said.length; at += 2) factsOf.set(said[at] as string, said[at + 1] as string)
    return ends.map(([id, leaseUntil]) => ({ id, leaseUntil, facts: readFacts(factsOf.get(id)) }))
  }

  /** One at a time; the next one follows by itself. */
  #renew(): Promise<void> {
    this.#renewing ??= this.#renewNow().finally(() => {
      this.#renewing = undefined
      this.#timer?.()
      const { clock, renewMs = RENEW_MS } = this.#options
      if (!this.#stopped) this.#timer = clock.after(renewMs, () => void this.#renew())
    })
    return this.#renewing
  }

  async #renewNow(): Promise<void> {
    const { link, log, facts, leaseMs = LEASE_MS } = this.#options
    let answer: [string, NodeId[], NodeId[]]
    try {
      const args = [this.self, String(leaseMs), JSON.stringify(facts()), ...this.#inheriting]
      answer = (await link.script(RENEW, this.#keys, args)) as typeof answer
    } catch (error) {
      // The link says itself that Redis is away
      if (link.up) log.warn({ err: error }, 'the lease of this server could not be renewed')
      return
    }
    const [state, living, inherited] = answer
    this.#living = new Set(living).add(this.self)
    if (state === 'new' && this.#registered) this.#toRevive = true
    if (state !== 'dead') this.#registered = true
    if (this.#toRevive && state !== 'dead') void this.#revive()
    for (const dead of inherited) void this.#inherit(dead)
  }

  /** The lease is renewed meanwhile. Whatever fails is done again with the next renewal. */
  async #revive(): Promise<void> {
    if (this.#reviving) return
    this.#reviving = true
    this.#toRevive = false
    const { log } = this.#options
    log.warn({ node: this.self }, 'this server was taken for dead, or Redis has lost its data: it registers again')
    try {
      await Promise.all(this.#revivals.map((again) => again()))
    } catch (error) {
      this.#toRevive = true
      log.warn({ err: error }, 'registering again failed: it is tried again')
    } finally {
      this.#reviving = false
    }
  }

  /** What fails is inherited again when the heir's time is over, by this process or another. */
  async #inherit(dead: NodeId): Promise<void> {
    if (this.#inheriting.has(dead) || this.#stopped) return
    this.#inheriting.add(dead)
    const { link, log } = this.#options
    log.info({ node: dead }, 'a server is gone: this one takes over what it has left')
    try {
      for (const heir of this.#heirs) await heir(dead)
      await link.script(DONE, this.#keys, [this.self, dead])
    } catch (error) {
      log.warn({ err: error, node: dead }, 'taking over from a server that is gone failed: it is tried again')
    } finally {
      this.#inheriting.delete(dead)
    }
  }
}

function readFacts(text: string | undefined): NodeFacts | undefined {
  try {
    const facts: unknown = JSON.parse(text ?? '')
    return typeof facts === 'object' && facts !== null ? (facts as NodeFacts) : undefined
  } catch {
    return undefined
  }
}
