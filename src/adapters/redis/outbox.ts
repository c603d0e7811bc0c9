/**
 * Events for the back end in Redis: all processes share them, and they outlive each. Answers the {@link Outbox} port.
 *
 * Keys (of calls, of users) are spread over shards, each of which has one hash tag and so one server of a Cluster:
 *
 *     due      sorted set  key → when its first event is due (while it is under way: when its lease ends)
 *     chains   hash        key → `<number of its first event> <number of the next to come> <failed attempts> <claim>`
 *     events   hash        `<number> <key>` → the event
 *     since    sorted set  `<number> <key>` → since when it waits
 *
 * Every step is one script. Nobody owns a shard: what a dead process had under way is due again when its lease is over.
 */

import { randomUUID } from 'node:crypto'
import { type Cancel, type Clock, Unavailable } from '../../ports.ts'
import { type Backlog, type Hook, LEASE_MS, type Outbox, type Taken } from '../../webhooks/ports.ts'
import type { RedisLink, Script } from './link.ts'

/** More shards than servers that a Cluster is likely to have. Never changed: keys would be looked for elsewhere. */
const SHARDS = 16

/** Events that wait, in all. Some 700 octets of Redis each. */
const MOST_WAITING = 1_000_000

/** Events that wait in this process while Redis is away. */
const MOST_UNWRITTEN = 10_000

/** Put into Redis with one script. */
const BATCH = 100

/** How often all shards are looked at, for events that another process has left. */
const LOOK_MS = 5_000

/** After Redis did not answer. */
const PAUSE_MS = 1_000

/** What a stop waits for Redis. */
const STOP_MS = 1_500

export interface RedisOutboxOptions {
  readonly link: RedisLink
  /** The one that all processes share. */
  readonly clock: Clock
  readonly dropped: (hook: Hook) => void
  readonly mostWaiting?: number
  /** Told of what Redis refuses to do. */
  readonly report: (error: unknown) => void
}

export class RedisOutbox implements Outbox {
  readonly outlives = true
  readonly #options: RedisOutboxOptions
  readonly #shards: readonly Shard[]
  /** Those where something may be due. */
  readonly #ready = new Set<Shard>()
  readonly #timers = new Map<Shard, { readonly at: number; readonly cancel: Cancel }>()
  #tell: () => void = () => undefined
  #unwritten = 0
  #look: Cancel | undefined
  #unwatch: Cancel
  #stopped = false

  constructor(options: RedisOutboxOptions) {
    this.#options = options
    const { link, mostWaiting = MOST_WAITING } = options
    this.#shards = Array.from({ length: SHARDS }, (_, n) => new Shard(link, n, Math.ceil(mostWaiting / SHARDS)))
    this.#unwatch = link.watch({ up: () => this.#lookEverywhere() })
    this.#lookRegularly()
  }

  put(hook: Hook): void {
    if (this.#unwritten >= MOST_UNWRITTEN || this.#stopped) {
      this.#options.dropped(hook)
      return
    }
    this.#unwritten++
    const shard = this.#shardOf(hook)
    shard.unwritten.push(hook)
    void this.#write(shard)
  }

  async take(atMost: number): Promise<readonly Taken[]> {
    const taken: Taken[] = []
    for (const shard of [...this.#ready]) {
      if (taken.length >= atMost) break
      this.#ready.delete(shard)
      try {
        const { claimed, next } = await shard.take(this.#options.clock.now(), atMost - taken.length)
        taken.push(...claimed)
        if (next !== undefined) this.#due(shard, next)
      } catch (error) {
        this.#failed(error, shard)
      }
    }
    return taken
  }

  done(taken: Taken): Promise<void> {
    return this.#finish(taken, 'done', this.#options.clock.now())
  }

  retry(taken: Taken, at: number): Promise<void> {
    return this.#finish(taken, 'retry', at)
  }

  release(taken: Taken): Promise<void> {
    return this.#finish(taken, 'release', this.#options.clock.now())
  }

  onReady(listener: () => void): void {
    this.#tell = listener
    this.#lookEverywhere()
  }

  async backlog(): Promise<Backlog> {
    await Promise.all(this.#shards.map((shard) => shard.writing))
    const all = await Promise.all(this.#shards.map((shard) => shard.backlog()))
    const oldest = Math.min(...all.map((one) => one.oldest ?? Number.POSITIVE_INFINITY))
    const waiting = all.reduce((sum, one) => sum + one.waiting, this.#unwritten)
    return { waiting, ...(Number.isFinite(oldest) && { oldest }) }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch()
    this.#look?.()
    for (const { cancel } of this.#timers.values()) cancel()
    this.#timers.clear()
    this.#tell = () => undefined
    let cancel: Cancel = () => undefined
    const late = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(STOP_MS, resolve)
    })
    await Promise.race([late, Promise.all(this.#shards.map((shard) => this.#write(shard)))])
    cancel()
    for (const shard of this.#shards) for (const hook of shard.unwritten.splice(0)) this.#options.dropped(hook)
  }

  /** Puts what waits here into Redis, batch after batch, so that it stays in order. Never rejected. */
  #write(shard: Shard): Promise<void> {
    shard.writing ??= this.#writeAll(shard).finally(() => {
      shard.writing = undefined
    })
    return shard.writing
  }

  async #writeAll(shard: Shard): Promise<void> {
    while (shard.unwritten.length > 0) {
      const batch = shard.unwritten.slice(0, BATCH)
      try {
        const kept = await shard.put(batch, this.#options.clock.now())
        for (const hook of batch.slice(kept)) this.#options.dropped(hook)
      } catch (error) {
        this.#failed(error, shard)
        if (error instanceof Unavailable) return
      }
      shard.unwritten.splice(0, batch.length)
      this.#unwritten -= batch.length
      this.#isReady(shard)
    }
  }

  async #finish(taken: Taken, how: 'done' | 'retry' | 'release', at: number): Promise<void> {
    const shard = this.#shardOf(taken.hook)
    try {
      const due = await shard.finish(taken, how, at)
      if (due !== undefined) this.#due(shard, due)
    } catch (error) {
      // It is due again when its lease is over: then it comes twice
      this.#failed(error, shard)
    }
  }

  #failed(error: unknown, shard: Shard): void {
    if (!(error instanceof Unavailable)) this.#options.report(error)
    this.#due(shard, this.#options.clock.now() + PAUSE_MS)
  }

  #due(shard: Shard, at: number): void {
    const { clock } = this.#options
    const timer = this.#timers.get(shard)
    if (this.#stopped || (timer && timer.at <= at)) return
    if (at <= clock.now()) {
      this.#isReady(shard)
      return
    }
    timer?.cancel()
    const cancel = clock.after(at - clock.now(), () => {
      this.#timers.delete(shard)
      this.#isReady(shard)
    })
    this.#timers.set(shard, { at, cancel })
  }

  #isReady(shard: Shard): void {
    this.#ready.add(shard)
    if (shard.unwritten.length > 0) void this.#write(shard)
    if (!this.#stopped) this.#tell()
  }

  #lookEverywhere(): void {
    for (const shard of this.#shards) this.#isReady(shard)
  }

  #lookRegularly(): void {
    this.#look = this.#options.clock.after(LOOK_MS, () => {
      this.#lookEverywhere()
      this.#lookRegularly()
    })
  }

  #shardOf({ key }: Hook): Shard {
    return this.#shards[checksum(key) % SHARDS] as Shard
  }
}

/** One of the places in Redis, and what is on the way there. */
class Shard {
  readonly #link: RedisLink
  readonly #keys: readonly [string, string, string, string]
  readonly #most: number
  readonly unwritten: Hook[] = []
  writing: Promise<void> | undefined

  constructor(link: RedisLink, number: number, most: number) {
    const key = (name: string) => `${link.prefix}{hooks:${number}}:${name}`
    this.#link = link
    this.#keys = [key('due'), key('chains'), key('events'), key('since')]
    this.#most = most
  }

  /** How many of them, from the first one on, found room. */
  async put(hooks: readonly Hook[], now: number): Promise<number> {
    const args = hooks.flatMap((hook) => [hook.key, String(hook.at), JSON.stringify(hook)])
    return Number(await this.#link.script(PUT, this.#keys, [String(now), String(this.#most), ...args]))
  }

  /** `next`: when to look again, as far as is known. */
  async take(now: number, atMost: number): Promise<{ claimed: readonly Taken[]; next: number | undefined }> {
    const claim = randomUUID()
    const args = [String(now), String(now + LEASE_MS), String(atMost), claim]
    const [next, ...found] = (await this.#link.script(TAKE, this.#keys, args)) as readonly string[]
    const claimed: Taken[] = []
    for (let n = 0; n + 1 < found.length; n += 2) {
      const hook = JSON.parse(found[n + 1] as string) as Hook
      claimed.push({ hook, failed: Number(found[n]), claim })
    }
    return { claimed, next: next === '' || next === undefined ? undefined : Number(next) }
  }

  /** When the first event of the key is due now; undefined: there is none, or somebody else has it. */
  async finish({ hook, claim }: Taken, how: string, at: number): Promise<number | undefined> {
    const due = await this.#link.script(FINISH, this.#keys, [hook.key, claim, how, String(at)])
    return due === '' ? undefined : Number(due)
  }

  async backlog(): Promise<Backlog> {
    const [waiting, oldest] = (await this.#link.script(BACKLOG, this.#keys, [])) as readonly string[]
    return { waiting: Number(waiting), ...(oldest !== '' && { oldest: Number(oldest) }) }
  }
}

const NAMES = `
local due, chains, events, since = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local function chain(key)
  local text = redis.call('HGET', chains, key)
  if not text then return nil end
  local first, free, failed, claim = string.match(text, '^(%d+) (%d+) (%d+) (.*)$')
  return { first = tonumber(first), free = tonumber(free), failed = tonumber(failed), claim = claim }
end
local function keep(key, c)
  redis.call('HSET', chains, key, string.format('%d %d %d %s', c.first, c.free, c.failed, c.claim))
end
`

const PUT: Script = {
  name: 'hooks.put',
  source: `${NAMES}
local now, most = ARGV[1], tonumber(ARGV[2])
local room = most - redis.call('HLEN', events)
local kept = 0
for n = 3, #ARGV, 3 do
  if kept >= room then break end
  local key, at, event = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local c = chain(key)
  if not c then
    c = { first = 0, free = 0, failed = 0, claim = '' }
    redis.call('ZADD', due, now, key)
  end
  local name = string.format('%d %s', c.free, key)
  redis.call('HSET', events, name, event)
  redis.call('ZADD', since, at, name)
  c.free = c.free + 1
  keep(key, c)
  kept = kept + 1
end
return kept
`,
}

const TAKE: Script = {
  name: 'hooks.take',
  source: `${NAMES}
local now, lease, most, claim = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local found = { '' }
for _, key in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)) do
  local c = chain(key)
  local event = c and redis.call('HGET', events, string.format('%d %s', c.first, key))
  if event then
    c.claim = claim
    keep(key, c)
    redis.call('ZADD', due, lease, key)
    found[#found + 1] = tostring(c.failed)
    found[#found + 1] = event
  else
    redis.call('ZREM', due, key)
    redis.call('HDEL', chains, key)
  end
end
found[1] = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or ''
return found
`,
}

const FINISH: Script = {
  name: 'hooks.finish',
  source: `${NAMES}
local key, claim, how, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local c = chain(key)
if not c or c.claim ~= claim then return '' end
c.claim = ''
if how == 'done' then
  local name = string.format('%d %s', c.first, key)
  redis.call('HDEL', events, name)
  redis.call('ZREM', since, name)
  c.first = c.first + 1
  c.failed = 0
  if c.first == c.free then
    redis.call('HDEL', chains, key)
    redis.call('ZREM', due, key)
    return ''
  end
elseif how == 'retry' then
  c.failed = c.failed + 1
end
keep(key, c)
redis.call('ZADD', due, at, key)
return at
`,
}

const BACKLOG: Script = {
  name: 'hooks.backlog',
  source: `${NAMES}
local first = redis.call('ZRANGE', since, 0, 0, 'WITHSCORES')
return { tostring(redis.call('HLEN', events)), first[2] or '' }
`,
}

/** FNV-1a: which shard a key is in must never change. */
function checksum(text: string): number {
  let sum = 0x811c9dc5
  for (const octet of Buffer.from(text)) sum = Math.imul(sum ^ octet, 0x01000193) >>> 0
  return sum
}
