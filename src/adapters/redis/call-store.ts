/**
 * Calls in Redis, which several processes share and which outlive each of them. Answers the {@link CallStore} port: every
 * transition is one script that compares the versions, claims the lines of its users, and keeps what has to be told.
 *
 * Each process has the calls that it has seen at hand. Redis knows which processes know a call, and whoever changes it
 * tells them, before it tells any device. While Redis is away what is at hand stays; when it is back, empty or with an
 * earlier state, calls are put back as they were known last.
 */

import { randomUUID } from 'node:crypto'
import { toUSVString } from 'node:util'
import { changed } from '../../calls/changed.ts'
import { holdersOf } from '../../calls/holders.ts'
import type { Call, CallId, Effect } from '../../calls/types.ts'
import type { CallStore, CallWrite, Cancel, Clock, NodeId, UserId } from '../../ports.ts'
import type { Bus } from './bus.ts'
import { CallCache } from './call-cache.ts'
import { COMMIT, COMMITTED, CONFLICT, DUE, FORGET, KNOW, LATE, NAME, OTHER_STORE, RESTORE } from './call-scripts.ts'
import { readCall, writeCall, writeEffects } from './call-texts.ts'
import { type Argument, type RedisLink, Unsent } from './link.ts'
import { UntoldBook, type UntoldEffects } from './untold.ts'

export interface RedisCallStoreOptions {
  readonly link: RedisLink
  /** Every living process; tells them what has changed. */
  readonly bus: Pick<Bus, 'self' | 'send' | 'handle' | 'onMissing'>
  /** The machine's own: for what this process waits. */
  readonly clock: Clock
  /** What time it is for Redis. */
  readonly redisTime: { redisNow(): number; measure(): Promise<void> }
  /** Calls at hand at most. */
  readonly mostAtHand?: number
}

/** A commit that Redis comes to later than this is not carried out: whoever asked for it has been refused by then. */
const PATIENCE_MS = 1500

/** Who is told what is due has so long to do it; then somebody else is told. */
const CLAIM_MS = 2000

/** Should every process end, and none begin again, Redis forgets the calls by itself. */
const LIVE_MS = 8 * 24 * 3_600_000
/** Ended calls: longer than they are remembered, so that it is the engine that forgets them. */
const FORGET_LATER_MS = 60_000

/** Calls put back into Redis at a time. */
const RESTORED_AT_ONCE = 200

/** A call has changed: its version, its JSON. */
const CHANGED = 'call.changed'

const MOST_TRIES = 3

/** Redis was emptied: so long every process may take to find it again and to put back the calls that it knows. */
const SETTLE_MS = 2500

export class RedisCallStore implements CallStore {
  readonly outlives = true
  readonly #options: RedisCallStoreOptions
  readonly #self: NodeId
  readonly #base: string
  readonly #cache: CallCache
  readonly #untold: UntoldBook
  readonly #unwatch: Cancel
  #changed: ((callId?: CallId) => void) | undefined
  /** The name of the collection as it was last seen. */
  #name: string | undefined
  /** Before that nobody who seems to be free is sure to be: another process may know their call. */
  #settledAt = 0
  /** Until calls are put back, nobody is told that there are none. */
  #returning: Promise<void> | undefined

  constructor(options: RedisCallStoreOptions) {
    const { link, bus, clock, mostAtHand } = options
    this.#options = options
    this.#self = bus.self
    this.#base = `${link.prefix}{calls}`
    this.#cache = new CallCache(mostAtHand)
    this.#untold = new UntoldBook({ self: bus.self, link, clock, keyOf: (node) => `${this.#base}untold:${node}` })
    bus.handle(CHANGED, (_, { body }) => {
      if (body === undefined) return
      const call = readCall(body.toString())
      this.#cache.put(call)
      this.#changed?.(call.callId)
    })
    // It may have been news of any call
    bus.onMissing?.(() => {
      this.#cache.clear()
      this.#changed?.()
    })
    this.#unwatch = link.watch({ up: () => this.#return() })
  }

  /** Calls at hand, how often they were, and commits that are not told yet; for metrics. */
  get counts(): { atHand: number; hits: number; misses: number; untold: number } {
    const { size, hits, misses } = this.#cache
    return { atHand: size, hits, misses, untold: this.#untold.size }
  }

  watch(changed: (callId?: CallId) => void): void {
    this.#changed = changed
  }

  /** The calls at hand that have not ended; for metrics. */
  liveAtHand(): readonly Call[] {
    return this.#cache.live()
  }

  /** Nothing is left behind that was told: an heir would tell it again. */
  async stop(): Promise<void> {
    this.#unwatch()
    await this.#untold.flush()
  }

  async load(callId: CallId): Promise<Call | undefined> {
    await this.#returning
    const key = this.#callKey(callId)
    const [text, nodes] = (await this.#options.link.run(key, ['HMGET', key, 'j', 'n'])) as (string | null)[]
    if (text == null || nodes?.includes(`;${this.#self};`)) return this.#keep(callId, text)
    return this.#keep(callId, await this.#options.link.script(KNOW, [key], [this.#self]))
  }

  atHand(callId: CallId): Call | undefined {
    return this.#cache.get(callId)
  }

  async line(user: UserId): Promise<readonly Call[]> {
    await this.#returning
    const key = `${this.#base}h:${user}`
    const callIds = (await this.#options.link.run(key, ['SMEMBERS', key])) as CallId[]
    if (callIds.length === 0) return []
    const calls = await Promise.all(callIds.map((callId) => this.load(callId)))
    // One may have ended between the two questions, or gone on without the user
    return calls.filter(
      (call) => call !== undefined && call.endedAt === undefined && holdersOf(call).includes(user),
    ) as Call[]
  }

  async lately(user: UserId): Promise<Call | undefined> {
    await this.#returning
    const key = `${this.#base}l:${user}`
    const callId = await this.#options.link.run(key, ['GET', key])
    const call = typeof callId === 'string' ? await this.load(callId) : undefined
    return call === undefined || isLiveFor(user, call) ? undefined : call
  }

  async commit(writes: readonly CallWrite[], effects: readonly Effect[] = []): Promise<boolean> {
    await this.#returning
    const field = effects.length === 0 ? '' : this.#untold.fieldOf(writes)
    const told =
      field === ''
        ? ''
        : writeEffects(
            effects,
            writes.map(({ call }) => call),
          )
    const texts = writes.map(({ call, expected }) => writeCall(call, expected + 1))
    const first = field !== '' && this.#untold.begin(field, 2 * PATIENCE_MS)
    const refused = () => first && this.#untold.refused(field)
    const answer = await this.#carryOut(writes, texts, field, told).catch((error: unknown) => {
      if (error instanceof Unsent) refused()
      throw error
    })
    if (answer === undefined) {
      refused()
      return false
    }
    for (const [place, { call, expected }] of writes.entries()) {
      this.#cache.put(changed(call, { version: expected + 1 }))
      this.#tellOthers(answer[place] ?? '', call, expected + 1, texts[place] ?? '')
    }
    return true
  }

  told(writes: readonly CallWrite[]): void {
    this.#untold.told(this.#untold.fieldOf(writes))
  }

  /**
   * What a process that has died has committed and perhaps not told; of this process: what it could not tell, or could
   * not know to be committed, before Redis was last away. An entry is done with when the next one is asked for. Rejected
   * with `Unavailable`.
   */
  recover(node: NodeId): AsyncIterable<UntoldEffects> {
    return this.#untold.recover(node)
  }

  async forget(callId: CallId, expected: number): Promise<boolean> {
    const keys = [this.#callKey(callId), this.#key('due'), this.#key('live')] as const
    const forgotten = await this.#options.link.script(FORGET, keys, [callId, String(expected)])
    this.#cache.drop(callId)
    return forgotten === 1
  }

  /** What is returned is not returned again, to any process, for a moment. */
  async due(now: number, atMost: number): Promise<readonly CallId[]> {
    await this.#returning
    const keys = [this.#key('due'), this.#key('live'), this.#key('store')] as const
    const args = [now, atMost, now + CLAIM_MS].map(String)
    return (await this.#options.link.script(DUE, keys, args)) as CallId[]
  }

  async live(): Promise<readonly CallId[]> {
    const key = this.#key('live')
    return (await this.#options.link.run(key, ['SMEMBERS', key])) as CallId[]
  }

  async nextDue(): Promise<number | undefined> {
    const key = this.#key('due')
    const [first] = (await this.#options.link.run(key, ['ZRANGE', key, '0', '0', 'WITHSCORES'])) as [[string, number]?]
    return first?.[1]
  }

  /** Of each write the processes that knew the call; undefined: somebody else was faster. */
  async #carryOut(
    writes: readonly CallWrite[],
    texts: readonly string[],
    field: string,
    told: string,
  ): Promise<readonly string[] | undefined> {
    const { link, redisTime } = this.#options
    const keys: [string, ...string[]] = [
      this.#key('store'),
      this.#key('due'),
      this.#key('live'),
      `${this.#base}untold:${this.#self}`,
    ]
    const calls: Argument[] = []
    for (const [place, { call, expected }] of writes.entries()) {
      keys.push(this.#callKey(call.callId))
      const over = call.endedAt === undefined ? '0' : '1'
      const text = texts[place] ?? ''
      calls.push(call.callId, String(expected), String(call.due), over, String(lifeOf(call)), text, ...placeOf(call))
    }
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (writes.some(isNew)) await this.#settled()
      const until = Math.ceil(redisTime.redisNow() + PATIENCE_MS)
      const args = [this.#name ?? '', this.#self, String(until), field, told, ...calls]
      const [outcome, ...nodes] = (await link.script(COMMIT, keys, args)) as [number, ...string[]]
      if (outcome === COMMITTED) return nodes
      if (outcome === CONFLICT) return undefined
      if (outcome === LATE) await redisTime.measure()
      if (outcome === OTHER_STORE) {
        if (this.#returning === undefined) this.#return()
        await this.#returning
      }
    }
    throw new Unsent('Redis does not carry out commits in time')
  }

  async #settled(): Promise<void> {
    const { clock } = this.#options
    const ms = this.#settledAt - clock.now()
    if (ms > 0) await new Promise<void>((resolve) => clock.after(ms, resolve))
  }

  #tellOthers(nodes: string, { callId }: Call, version: number, text: string): void {
    for (const node of nodes.split(';')) {
      if (node === '' || node === this.#self) continue
      this.#options.bus.send(node, { kind: CHANGED, facts: { callId, version }, body: Buffer.from(text) })
    }
  }

  #keep(callId: CallId, text: unknown): Call | undefined {
    if (typeof text !== 'string') {
      this.#cache.drop(callId)
      return undefined
    }
    const call = readCall(text)
    this.#cache.put(call)
    return call
  }

  /** Redis is there again, or for the first time. */
  #return(): void {
    this.#untold.returned()
    const returning = this.#compare()
      // Then Redis has gone away again, and will be back
      .catch(() => undefined)
      .finally(() => {
        if (this.#returning === returning) this.#returning = undefined
        this.#changed?.()
      })
    this.#returning = returning
  }

  /** What is at hand may have changed unheard, and Redis may have lost it. */
  async #compare(): Promise<void> {
    const { link } = this.#options
    const store = this.#key('store')
    const name = (await link.script(NAME, [store], [randomUUID()])) as string
    const emptied = this.#name !== undefined && this.#name !== name
    if (emptied) this.#settledAt = this.#options.clock.now() + SETTLE_MS
    this.#name = name
    const known = this.#cache.all()
    for (let from = 0; from < known.length; from += RESTORED_AT_ONCE)
      await Promise.all(known.slice(from, from + RESTORED_AT_ONCE).map((call) => this.#restore(call, emptied)))
  }

  async #restore(call: Call, emptied: boolean): Promise<void> {
    const { callId, version, due } = call
    const keys = [this.#callKey(callId), this.#key('due'), this.#key('live'), this.#key('store')] as const
    const text = writeCall(call, version)
    const over = call.endedAt === undefined ? 0 : 1
    const args = [this.#self, callId, version, due, lifeOf(call), text, emptied ? 1 : 0, over].map(String)
    if ((await this.#options.link.script(RESTORE, keys, [...args, ...placeOf(call)])) !== version)
      this.#cache.drop(callId)
  }

  #key(name: string): string {
    return this.#base + name
  }

  #callKey(callId: CallId): string {
    return `${this.#base}c:${callId}`
  }
}

/** Whose lines a call has, and which calls it may share them with. */
const placeOf = (call: Call): readonly [string, string] =>
  call.endedAt === undefined ? [listOf(holdersOf(call)), listOf(call.beside ?? [])] : ['[]', '[]']

/** A list that a script can read: half a character, which a client may name a user with, would be the end of it. */
const listOf = (texts: readonly string[]): string => JSON.stringify(texts.map(toUSVString))

/** A call that begins, and takes the lines of its users. */
const isNew = ({ call, expected }: CallWrite): boolean => expected === 0 && call.endedAt === undefined

/** For how long Redis keeps a call that nobody looks after, in milliseconds. */
const lifeOf = ({ due, endedAt }: Call): number =>
  endedAt === undefined ? LIVE_MS : Math.max(0, due - endedAt) + FORGET_LATER_MS

/** Whether the call has the user's line. */
const isLiveFor = (user: UserId, call: Call): boolean => call.endedAt === undefined && holdersOf(call).includes(user)
