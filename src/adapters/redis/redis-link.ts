/**
 * The link over node-redis: one connection to each server that is written to, looked for and opened again, after growing
 * pauses, whenever one is lost. Nothing is kept while a server is away.
 */

import { createHash } from 'node:crypto'
import type { Cancel, Clock } from '../../ports.ts'
import { type Access, Connection, type ConnectionOptions, Redirect, type Server } from './connection.ts'
import { type Argument, type RedisLink, type Script, Unsent } from './link.ts'
import { type Ask, addressOf, cluster, type Discover, type Layout, sentinel, single } from './servers.ts'

/** How Redis is reached. */
export interface RedisSettings {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** The server, the Sentinels, or some members of the Cluster. */
  readonly servers: readonly [Server, ...Server[]]
  readonly access: Access
  /** Under which the Sentinels know the master. */
  readonly sentinelName?: string
  readonly prefix: string
}

export interface LinkLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
}

/** Told of what happens, for metrics. */
export interface LinkObserver {
  /** A command was answered after so many seconds. */
  answered?(seconds: number): void
  /** The way to Redis was lost. */
  lost?(): void
}

export interface LinkWorld {
  /** The machine's own. */
  readonly clock: Clock
  readonly log: LinkLog
  readonly observer?: LinkObserver
  /** From 0 to 1; Math.random unless a test has others. */
  readonly random?: () => number
}

/** How long a server may say nothing while it is asked something. */
const PATIENCE_MS = 1000

/** Between two attempts to reach a server: it doubles. */
const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 2000
/** After being up for so long, pauses are short again. */
const STEADY_MS = 5000

/** How often a Sentinel is asked whether the master is still the master. */
const SENTINEL_LOOK_MS = 5000

/** How often the same complaint is logged at most. */
const COMPLAIN_MS = 60_000

/** How often one command is sent on to another server. */
const MOST_REDIRECTS = 5

/** How many connections one key may have for commands that block. */
const MOST_BLOCKING = 16

/** Fulfilled at once: it begins to look for Redis, and says with `watch` when it is there. */
export function createRedisLink(settings: RedisSettings, world: LinkWorld): RedisLink {
  return new Link(settings, world)
}

function discoverOf({ mode, servers, access, sentinelName = '' }: RedisSettings): Discover {
  if (mode === 'cluster') return cluster(servers)
  return mode === 'sentinel' ? sentinel(servers, sentinelName, access) : single(servers[0])
}

class Link implements RedisLink {
  readonly prefix: string
  readonly #settings: RedisSettings
  readonly #world: LinkWorld
  readonly #discover: Discover
  #layout: Layout | undefined
  /** By address: those for commands that do not block. */
  readonly #connections = new Map<string, Connection>()
  readonly #opening = new Map<string, Promise<Connection>>()
  /** By key: those for commands that block. */
  readonly #blocking = new Map<string, Connection[]>()
  readonly #scripts = new Map<string, { readonly digest: string; readonly source: string }>()
  readonly #watchers = new Set<{ up?(): void; down?(): void }>()
  readonly #complained = new Map<string, number>()
  #up = false
  #upSince = 0
  #pause = FIRST_PAUSE_MS
  #looking = false
  #wake: (() => void) | undefined
  #rest: Cancel | undefined
  #look: Cancel | undefined
  #stopped = false

  constructor(settings: RedisSettings, world: LinkWorld) {
    this.prefix = settings.prefix
    this.#settings = settings
    this.#world = world
    this.#discover = discoverOf(settings)
    void this.#find('not reached yet')
  }

  get up(): boolean {
    return this.#up
  }

  run(key: string, command: readonly Argument[]): Promise<unknown> {
    return this.#send(key, command, false)
  }

  octets(key: string, command: readonly Argument[]): Promise<unknown> {
    return this.#send(key, command, true)
  }

  script(script: Script, keys: readonly [string, ...string[]], args: readonly Argument[]): Promise<unknown> {
    const { digest, source } = this.#scriptOf(script)
    const rest = [String(keys.length), ...keys, ...args]
    return this.#send(keys[0], ['EVALSHA', digest, ...rest], false).catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error
      return this.#send(keys[0], ['EVAL', source, ...rest], false)
    })
  }

  async blocking(key: string, command: readonly Argument[]): Promise<unknown> {
    const patience = blockedFor(command) + PATIENCE_MS
    const server = this.#serverOf(key)
    const kept = this.#blocking.get(key) ?? []
    this.#blocking.set(key, kept)
    const free = kept.find((one) => one.open && one.idle && addressOf(one.server) === addressOf(server))
    if (free === undefined && kept.length >= MOST_BLOCKING) throw new Unsent('too many blocking commands')
    const forget = (gone: Connection) => {
      if (kept.includes(gone)) kept.splice(kept.indexOf(gone), 1)
    }
    try {
      const connection = free ?? (await this.#open(server, forget, { counts: false }))
      if (free === undefined) kept.push(connection)
      if (this.#stopped) connection.close(new Error('stopped'))
      return await connection.send(command, true, patience)
    } catch (error) {
      if (!(error instanceof Redirect)) throw error
      this.#moved(error, server)
      throw new Unsent('the key has moved to another server')
    } finally {
      if (kept.length === 0) this.#blocking.delete(key)
    }
  }

  watch(watcher: { up?(): void; down?(): void }): Cancel {
    this.#watchers.add(watcher)
    if (this.#up) queueMicrotask(() => this.#watchers.has(watcher) && this.#up && watcher.up?.())
    return () => void this.#watchers.delete(watcher)
  }

  /** In a Cluster each server has a clock of its own: it is that of the server which has the calls. */
  async time(): Promise<number> {
    const [seconds, microseconds] = (await this.run(`${this.prefix}{calls}`, ['TIME'])) as [string, string]
    return Number(seconds) * 1000 + Number(microseconds) / 1000
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#up = false
    this.#watchers.clear()
    this.#look?.()
    this.#rest?.()
    this.#wake?.()
    for (const connection of [...this.#connections.values(), ...[...this.#blocking.values()].flat()])
      connection.close(new Error('stopped'))
    await Promise.allSettled(this.#opening.values())
  }

  #send(key: string, command: readonly Argument[], octets: boolean): Promise<unknown> {
    const server = this.#layout?.serverOf(key)
    const connection = server && this.#connections.get(addressOf(server))
    if (connection === undefined) return Promise.reject(new Unsent('Redis is away'))
    const answer = connection.send(command, octets)
    if (this.#settings.mode !== 'cluster') return answer
    return answer.catch((error: unknown) => this.#sendOn(error, connection.server, command, octets, MOST_REDIRECTS))
  }

  /** To the server that the first one has named. */
  async #sendOn(
    error: unknown,
    asked: Server,
    command: readonly Argument[],
    octets: boolean,
    left: number,
  ): Promise<unknown> {
    if (!(error instanceof Redirect)) throw error
    if (left === 0) throw new Unsent('Redis sends the command from server to server')
    const server = this.#moved(error, asked)
    const connection = await this.#connect(server)
    if (error.once) connection.send(['ASKING'], false).catch(() => undefined)
    return connection
      .send(command, octets)
      .catch((again: unknown) => this.#sendOn(again, server, command, octets, left - 1))
  }

  /** Where the redirect leads. One that is for good says that our map is out of date. */
  #moved({ host, port, once }: Redirect, asked: Server): Server {
    if (!once) void this.#find('keys have moved')
    return { host: host ?? asked.host, port }
  }

  #serverOf(key: string): Server {
    if (this.#layout === undefined || this.#stopped) throw new Unsent('Redis is away')
    return this.#layout.serverOf(key)
  }

  #scriptOf({ name, source }: Script): { digest: string; source: string } {
    let known = this.#scripts.get(name)
    if (known === undefined) {
      known = { digest: createHash('sha1').update(source).digest('hex'), source }
      this.#scripts.set(name, known)
    }
    return known
  }

  /** The connection for commands that do not block. */
  #connect(server: Server): Promise<Connection> {
    const address = addressOf(server)
    const there = this.#connections.get(address)
    if (there !== undefined) return Promise.resolve(there)
    let opening = this.#opening.get(address)
    if (opening === undefined) {
      opening = this.#open(server, (gone, why) => this.#lost(gone, why))
        .then(async (connection) => {
          await this.#teach(connection)
          if (this.#stopped) connection.close(new Error('stopped'))
          if (connection.open) this.#connections.set(address, connection)
          return connection
        })
        .finally(() => this.#opening.delete(address))
      this.#opening.set(address, opening)
    }
    return opening
  }

  /** A server that was started again knows no script; commands of one key then keep their order from the first one. */
  async #teach(connection: Connection): Promise<void> {
    const known = [...this.#scripts.values()]
    await Promise.all(known.map(({ source }) => connection.send(['SCRIPT', 'LOAD', source], false)))
  }

  #open(
    server: Server,
    closed: ConnectionOptions['closed'],
    { access = this.#settings.access, counts = true }: { access?: Access; counts?: boolean } = {},
  ): Promise<Connection> {
    const { clock, observer } = this.#world
    return Connection.open(server, access, {
      clock,
      patienceMs: PATIENCE_MS,
      closed,
      answered: counts && observer?.answered ? (seconds) => observer.answered?.(seconds) : undefined,
      complain: (word) => this.#complain(word),
    })
  }

  #lost(connection: Connection, why: Error): void {
    const address = addressOf(connection.server)
    if (this.#connections.get(address) !== connection) return
    this.#connections.delete(address)
    // What blocks would notice much later that nobody is there
    for (const kept of this.#blocking.values())
      for (const one of [...kept]) if (addressOf(one.server) === address) one.close(why)
    const inUse = this.#layout?.servers.some((server) => addressOf(server) === address)
    if (inUse && !this.#stopped) void this.#find(why.message)
  }

  /** Looks for the servers, and goes on until there is a connection to each of them. */
  async #find(why: string): Promise<void> {
    const { clock, random = Math.random } = this.#world
    if (this.#up && clock.now() - this.#upSince >= STEADY_MS) this.#pause = FIRST_PAUSE_MS
    if (!this.#whole()) this.#isDown(why)
    if (this.#looking || this.#stopped) return
    this.#looking = true
    for (let problem: string | undefined; !this.#stopped; ) {
      await this.#sleep(this.#pause * (0.5 + random() / 2))
      try {
        const layout = await this.#discover(this.#ask, this.#known())
        await Promise.all(layout.servers.map((server) => this.#connect(server)))
        this.#adopt(layout)
        if (this.#whole()) break
      } catch (error) {
        const message = problemOf(error)
        if (message !== problem)
          this.#world.log.warn({ redis: this.#where(), problem: message }, 'Redis cannot be reached')
        problem = message
      }
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS)
    }
    this.#looking = false
    if (this.#stopped) return
    if (!this.#up) this.#upSince = clock.now()
    this.#isUp()
    this.#lookAgain()
  }

  #whole(): boolean {
    const { servers } = this.#layout ?? { servers: [] }
    return servers.length > 0 && servers.every((server) => this.#connections.has(addressOf(server)))
  }

  #adopt(layout: Layout): void {
    this.#layout = layout
    const used = new Set(layout.servers.map(addressOf))
    for (const [address, connection] of this.#connections) {
      if (used.has(address)) continue
      this.#connections.delete(address)
      connection.close(new Error('this server is not used any more'))
    }
    for (const kept of this.#blocking.values())
      for (const one of [...kept]) if (!used.has(addressOf(one.server))) one.close(new Error('not used any more'))
  }

  readonly #ask: Ask = async (server, command, access) => {
    if (access === undefined) return (await this.#connect(server)).send(command, false)
    const connection = await this.#open(server, () => undefined, { access, counts: false })
    try {
      return await connection.send(command, false)
    } finally {
      connection.close(new Error('asked'))
    }
  }

  /** Servers that may know of the others: those that answer first. */
  #known(): readonly Server[] {
    const there = [...this.#connections.values()].map(({ server }) => server)
    return [...there, ...(this.#layout?.servers ?? []).filter((server) => !this.#connections.has(addressOf(server)))]
  }

  /** A master that was cut off from its Sentinels still believes that it is the master. */
  #lookAgain(): void {
    if (this.#settings.mode !== 'sentinel') return
    this.#look?.()
    this.#look = this.#world.clock.after(SENTINEL_LOOK_MS, () => void this.#compare())
  }

  async #compare(): Promise<void> {
    try {
      const { servers } = await this.#discover(this.#ask, [])
      const [now] = servers
      const [before] = this.#layout?.servers ?? []
      if (now && before && addressOf(now) !== addressOf(before))
        this.#connections.get(addressOf(before))?.close(new Error('Sentinel names another master'))
    } catch {
      // The Sentinels are away; the master is there
    }
    if (!this.#stopped && this.#up) this.#lookAgain()
  }

  #isDown(why: string): void {
    if (!this.#up) return
    const { log, observer } = this.#world
    this.#up = false
    log.warn({ redis: this.#where(), problem: why }, 'Redis is away')
    observer?.lost?.()
    for (const watcher of [...this.#watchers]) watcher.down?.()
  }

  #isUp(): void {
    if (this.#up) return
    this.#up = true
    this.#world.log.info({ redis: this.#where() }, 'Redis is there')
    for (const watcher of [...this.#watchers]) watcher.up?.()
  }

  #complain(word: string): void {
    const now = this.#world.clock.now()
    if (now - (this.#complained.get(word) ?? Number.NEGATIVE_INFINITY) < COMPLAIN_MS) return
    this.#complained.set(word, now)
    this.#world.log.warn({ redis: this.#where(), word }, `Redis refuses commands: ${ADVICE[word] ?? word}`)
  }

  /** Addresses; never the user or the password. */
  #where(): string {
    return (this.#layout?.servers ?? this.#settings.servers).map(addressOf).join(',')
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#rest = this.#world.clock.after(ms, resolve)
    })
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  OOM: 'its memory is full (maxmemory)',
  MISCONF: 'it cannot write to its disk',
  NOREPLICAS: 'it has too few replicas (min-replicas-to-write)',
  NOAUTH: 'it wants a password in REDIS_URL',
  NOPERM: 'its ACL does not let this user do what is needed',
}

/** What an error of the network or of Redis says. */
const problemOf = (error: unknown): string => {
  const { cause = error } = error as Error
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message ?? 'unknown'
}

/** Milliseconds for which the command may block: those after BLOCK. */
function blockedFor(command: readonly Argument[]): number {
  const at = command.findIndex((word) => String(word).toUpperCase() === 'BLOCK')
  return at < 0 ? 0 : Number(command[at + 1])
}
