/**
 * A real redis-server of the test's own on the loopback interface: alone, three as a Cluster, or a master with a replica
 * under a Sentinel. Nothing is kept on disk, nothing of an installed one's configuration is read, and none outlives the
 * process that has started it, however that ends.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'

const PLACES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

const SLOTS = 16_384

/** How often a free port may be snatched away between its choice and its use. */
const TRIES = 5

export interface RedisServer {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  readonly pid: number
  /** What it has said since the first start. */
  log(): string
  /** Fulfilled with the first match in what it has said since it was last started; rejected when it ends without one. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** One command by redis-cli: its reply as text, errors included, without the last line end. */
  cli(...command: string[]): Promise<string>
  /** SIGKILL: connections break, everything is lost. */
  kill(): Promise<void>
  /** On the same port, empty; killed before if it still runs. */
  restart(): Promise<void>
  /** SIGSTOP: connections stand and nothing is answered. */
  pause(): void
  /** SIGCONT. */
  resume(): void
  /** For good. */
  stop(): Promise<void>
}

/** Resolves when it takes connections; rejects with all it has said when it ends before. */
export async function startRedis(flags: readonly string[] = []): Promise<RedisServer> {
  for (let left = TRIES; ; left--) {
    const server = new Server(await freePort(), [...WITHOUT_DISK, ...flags])
    try {
      await server.restart()
      return server
    } catch (error) {
      await server.stop()
      if (left === 0 || !/already in use/.test(server.log())) throw error
    }
  }
}

export interface RedisCluster {
  /** Comma-separated, as REDIS_URL takes them. */
  readonly url: string
  /** Three masters, a third of the slots each. */
  readonly servers: readonly [RedisServer, RedisServer, RedisServer]
  stop(): Promise<void>
}

/** Three masters without replicas. Resolves when each of them knows who has which slots. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const servers = [await startMaster(), await startMaster(), await startMaster()] as const
  const third = Math.ceil(SLOTS / servers.length)
  for (const [place, server] of servers.entries()) {
    const last = Math.min((place + 1) * third, SLOTS) - 1
    await server.cli('CLUSTER', 'ADDSLOTSRANGE', String(place * third), String(last))
    await server.cli('CLUSTER', 'SET-CONFIG-EPOCH', String(place + 1))
  }
  const [first, ...others] = servers
  for (const { port, busPort } of others) {
    await first.cli('CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPort))
  }
  await Promise.all(servers.map((server) => server.says(/Cluster state changed: ok/)))
  return {
    url: servers.map(({ url }) => url).join(','),
    servers,
    stop: () => stopAll(servers),
  }
}

async function startMaster(): Promise<RedisServer & { busPort: number }> {
  // Its own choice, port + 10000, may be taken, or beyond the last port
  const busPort = await freePort()
  const flags = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '1000']
  return Object.assign(await startRedis(flags), { busPort })
}

export interface RedisSentinel {
  /** Of the sentinel, as REDIS_URL takes it where REDIS_MODE is `sentinel`. */
  readonly url: string
  /** What the master is called. */
  readonly name: string
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinel: RedisServer
  /** Kills the master; fulfilled when the replica has taken its place. */
  failover(): Promise<void>
  stop(): Promise<void>
}

/** One master, one replica that has its data, one sentinel that knows both and alone decides. */
export async function startSentinel(name = 'carillon'): Promise<RedisSentinel> {
  const master = await startRedis(['--repl-diskless-sync-delay', '0'])
  const replica = await startRedis(['--replicaof', `127.0.0.1 ${master.port}`])
  await replica.says(/Finished with success/)
  const sentinel = new Server(
    await freePort(),
    ['--sentinel'],
    [
      `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 2000`,
    ],
  )
  await sentinel.restart()
  await sentinel.says(/\+slave slave /)
  return {
    url: sentinel.url,
    name,
    master,
    replica,
    sentinel,
    async failover() {
      await master.kill()
      await sentinel.says(/\+switch-master /)
    },
    stop: () => stopAll([sentinel, replica, master]),
  }
}

/** Where it is installed. Throws what to do when it is not: nothing is skipped. */
export function redisServerPath(): string {
  return pathOf('redis-server')
}

function pathOf(program: string): string {
  const { REDIS_PATH } = process.env
  const places = REDIS_PATH === undefined ? PLACES : [REDIS_PATH]
  const found = places.map((place) => join(place, program)).find((path) => existsSync(path))
  if (found === undefined) {
    throw new Error(`no ${program}: apt-get install redis-server, or set REDIS_PATH to the folder that has it`)
  }
  return found
}

const WITHOUT_DISK = ['--save', '', '--appendonly', 'no'] as const

class Server implements RedisServer {
  readonly port: number
  readonly url: string
  readonly #flags: readonly string[]
  readonly #configuration: readonly string[]
  readonly #folder = mkdtempSync(join(tmpdir(), 'carillon-redis-'))
  #child: ChildProcess | undefined
  #guard: ChildProcess | undefined
  #log = ''
  /** Where in the log the present start begins. */
  #begin = 0
  #wake: (() => void)[] = []

  constructor(port: number, flags: readonly string[], configuration: readonly string[] = []) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    this.#flags = flags
    this.#configuration = configuration
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  log(): string {
    return this.#log
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#log.slice(this.#begin))
      if (match) return match
      if (!this.#running) throw new Error(`redis-server ended without saying ${pattern}:\n${this.#log}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  async cli(...command: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(pathOf('redis-cli'), ['-p', String(this.port), ...command])
    return stdout.replace(/\n$/, '')
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.#running) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  async restart(): Promise<void> {
    await this.kill()
    this.#release()
    this.#begin = this.#log.length
    const file = join(this.#folder, 'redis.conf')
    const fixed = ['bind 127.0.0.1', 'protected-mode no', 'daemonize no', `port ${this.port}`, `dir ${this.#folder}`]
    writeFileSync(file, [...fixed, ...this.#configuration, ''].join('\n'))
    // What a Cluster knows of itself is the only thing that is ever written: gone with the data
    rmSync(join(this.#folder, 'nodes.conf'), { force: true })
    const child = spawn(redisServerPath(), [file, ...this.#flags], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString()
        this.#tell()
      })
    }
    child.once('close', () => this.#tell())
    this.#guard = guardOf(child.pid ?? 0, this.#folder)
    await this.says(/Ready to accept connections|Sentinel ID is/)
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    await this.kill()
    this.#release()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  #release(): void {
    this.#guard?.kill('SIGKILL')
    this.#guard = undefined
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}

/**
 * Reads from this process until it is no more, then clears away what it has left. It holds nothing up, and is in a
 * group of its own: whoever ends this process together with its children leaves it alone.
 */
function guardOf(pid: number, folder: string): ChildProcess {
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf "$1"'
  const guard = spawn('/bin/sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  const { stdin } = guard
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  return guard
}

async function stopAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop()))
}
