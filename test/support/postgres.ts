/**
 * A real PostgreSQL of the test's own on the loopback interface, with its data in a folder that goes with it. It never
 * runs as root, which PostgreSQL refuses, and does not outlive the process that has started it, however that ends.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

/** Where Debian keeps its versions, and others their only one. */
const VERSIONS = '/usr/lib/postgresql'
const PLACES = ['/usr/bin', '/usr/local/bin', '/usr/local/pgsql/bin', '/opt/homebrew/bin']

export const POSTGRES_PASSWORD = 'p@ss:w/rd'

export interface Postgres {
  readonly port: number
  /** Of a new database. */
  newDatabase(): string
  /** SQL by psql, as the superuser; its rows as text. */
  sql(database: string, text: string): string
  /** SIGKILL to all its processes: connections break. */
  kill(): Promise<void>
  /** With the data that it had. */
  restart(): Promise<void>
  /** SIGSTOP: connections stand and nothing is answered. */
  pause(): void
  resume(): void
  /** For good. */
  stop(): Promise<void>
}

/** Where it is installed, the newest of several; undefined when it is not. */
export function postgresFolder(): string | undefined {
  const { POSTGRES_PATH } = process.env
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a)) : []
  const places =
    POSTGRES_PATH === undefined ? [...versions.map((each) => join(VERSIONS, each, 'bin')), ...PLACES] : [POSTGRES_PATH]
  return places.find((place) => existsSync(join(place, 'initdb')) && existsSync(join(place, 'postgres')))
}

/** Resolves when it takes connections. `durable`: it waits for the disk, as in production. */
export async function startPostgres({ durable = false } = {}): Promise<Postgres> {
  const found = postgresFolder()
  if (found === undefined) {
    throw new Error('no PostgreSQL: apt-get install postgresql, or set POSTGRES_PATH to the folder that has initdb')
  }
  const bin = found
  const folder = mkdtempSync(join(tmpdir(), 'carillon-postgres-'))
  const data = join(folder, 'data')
  if (isRoot) {
    chmodSync(folder, 0o755)
    execFileSync('chown', ['postgres', folder])
  }
  run(join(bin, 'initdb'), [
    '-D',
    data,
    '-U',
    'carillon',
    '--auth=trust',
    '--no-sync',
    '--locale=C.UTF-8',
    '--encoding=UTF8',
  ])
  const port = await freePort()
  let child: ChildProcess | undefined
  let guard: ChildProcess | undefined
  let databases = 0

  async function restart(): Promise<void> {
    await kill()
    const [program = '', ...flags] = asPostgres(join(bin, 'postgres'), [
      ...['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', folder],
      // a kill of its processes leaves what they have written to the system
      ...['-c', `fsync=${durable ? 'on' : 'off'}`, '-c', 'logging_collector=off', '-c', 'max_connections=60'],
    ])
    const started = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder })
    child = started
    guard = guardOf(started.pid ?? 0, folder)
    let log = ''
    await new Promise<void>((resolve, reject) => {
      started.stderr?.on('data', (chunk: Buffer) => {
        log += chunk.toString()
        if (/ready to accept connections/.test(log)) resolve()
      })
      started.once('close', () => reject(new Error(`PostgreSQL has ended:\n${log}`)))
    })
  }

  /** The whole group: an orphaned backend would hold the data for a while. */
  async function kill(): Promise<void> {
    const running = child
    child = undefined
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const closed = once(running, 'close')
    signal(running, 'SIGKILL')
    await closed
    guard?.kill('SIGKILL')
    rmSync(join(data, 'postmaster.pid'), { force: true })
  }

  function sql(database: string, text: string): string {
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-U',
      'carillon',
      '-X',
      '-A',
      '-t',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
    ]
    return run(join(bin, 'psql'), [...args, '-d', database, '-c', text]).trimEnd()
  }

  await restart()
  sql('postgres', `create role phone login superuser password '${POSTGRES_PASSWORD}'`)
  return {
    port,
    newDatabase() {
      const database = `calls${databases++}`
      sql('postgres', `create database ${database}`)
      return `postgres://phone:${encodeURIComponent(POSTGRES_PASSWORD)}@127.0.0.1:${port}/${database}`
    },
    sql,
    kill,
    restart,
    pause: () => child && signal(child, 'SIGSTOP'),
    resume: () => child && signal(child, 'SIGCONT'),
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const isRoot = process.getuid?.() === 0

/** A command line that is no root's. */
function asPostgres(program: string, args: readonly string[]): string[] {
  return isRoot
    ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', program, ...args]
    : [program, ...args]
}

function run(program: string, args: readonly string[]): string {
  const [first = '', ...rest] = asPostgres(program, args)
  return execFileSync(first, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
}

/** To the server and each of its processes, which are in groups of their own. */
function signal({ pid }: ChildProcess, name: NodeJS.Signals): void {
  if (pid === undefined) return
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
  const processes = lines.map((line) => line.trim().split(/\s+/).map(Number))
  const children = processes.flatMap(([child = 0, parent]) => (parent === pid ? [child] : []))
  for (const each of [pid, ...children]) {
    try {
      process.kill(each, name)
    } catch {
      // it has just ended
    }
  }
}

/** Reads from this process until it is no more, then clears away what it has left. */
function guardOf(pid: number, folder: string): ChildProcess {
  const script = 'read -r _; kill -9 "$0" 2>/dev/null; sleep 0.2; rm -rf "$1"'
  const guard = spawn('/bin/sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  const { stdin } = guard
  if (stdin && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  return guard
}
