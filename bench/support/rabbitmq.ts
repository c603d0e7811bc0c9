/**
 * RabbitMQ with its Web STOMP plugin, as a peer: a node of its own in a temporary directory, with its own port mapper
 * and its own ports, pinned like the others. Nothing of an installed broker's data or configuration is touched.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cores, meterOfPid } from './cpu.ts'
import { Peer } from './peer.ts'
import type { Measured } from './server.ts'

const PACKAGES = '/usr/lib/rabbitmq/lib'
const STARTS_WITHIN_MS = 60_000
const TRY_EVERY_MS = 250

/** The script that starts a broker without a service around it; undefined: not installed (looks where Debian has it). */
export function rabbitmqScript(): string | undefined {
  if (!existsSync(PACKAGES)) return undefined
  return readdirSync(PACKAGES)
    .map((version) => join(PACKAGES, version, 'sbin/rabbitmq-server'))
    .find((script) => existsSync(script))
}

/** Rejected when it does not listen within a minute. */
export async function startRabbitmq(script: string): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-bench-rabbitmq-'))
  const [port, mapper, distribution] = [await freePort(), await freePort(), await freePort()]
  const environment = configure(folder, { port, mapper, distribution })
  const epmd = spawn('epmd', ['-address', '127.0.0.1', '-port', String(mapper)], { stdio: 'ignore' })
  const pinned = cores ? ['taskset', '-c', String(cores.server)] : []
  const [command = script, ...args] = [...pinned, script]
  const starter = spawn(command, args, { cwd: folder, env: environment, stdio: 'ignore' })
  // Unlike the other peers it does not notice when the benchmark is gone
  const end = () => {
    for (const pid of descendants(starter.pid ?? 0).reverse()) process.kill(pid, 'SIGKILL')
    epmd.kill()
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', end)
  const ended = Promise.all([epmd, starter].map((child) => once(child, 'exit')))
  const url = `http://127.0.0.1:${port}`
  const pid = await virtualMachine(starter, url)
  return {
    ...meterOfPid(pid),
    pid,
    url,
    async stop() {
      process.kill(pid, 'SIGTERM')
      await once(starter, 'exit')
      epmd.kill()
      await ended
      process.off('exit', end)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface Ports {
  readonly port: number
  readonly mapper: number
  readonly distribution: number
}

function configure(folder: string, { port, mapper, distribution }: Ports): Record<string, string> {
  const file = (name: string, text: string) => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  mkdirSync(join(folder, 'home'))
  writeFileSync(join(folder, 'home/.erlang.cookie'), randomBytes(16).toString('hex'), { mode: 0o400 })
  const config = [
    'listeners.tcp = none',
    'stomp.listeners.tcp = none',
    'web_stomp.tcp.ip = 127.0.0.1',
    `web_stomp.tcp.port = ${port}`,
    'log.console = false',
    'log.file.level = error',
  ]
  return {
    PATH: process.env.PATH ?? '',
    HOME: join(folder, 'home'),
    ERL_EPMD_PORT: String(mapper),
    RABBITMQ_NODENAME: `bench-${process.pid}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_CONF_ENV_FILE: file('env.conf', ''),
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', `${config.join('\n')}\n`),
    // A MESSAGE ends with its NUL, as everybody else's does
    RABBITMQ_ADVANCED_CONFIG_FILE: file('advanced.config', '[{rabbitmq_stomp, [{trailing_lf, false}]}].\n'),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', '[rabbitmq_web_stomp].\n'),
    // Schedulers that wait must not look busy: the figure is CPU time
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none',
  }
}

/** Waits until it listens; the process id of the Erlang VM, which is a descendant of the script. */
async function virtualMachine(starter: ChildProcess, url: string): Promise<number> {
  for (let waited = 0; waited < STARTS_WITHIN_MS; waited += TRY_EVERY_MS) {
    if (starter.exitCode !== null) throw new Error(`RabbitMQ has ended with ${starter.exitCode}`)
    await delay(TRY_EVERY_MS)
    const peer = await Peer.open(`${url.replace('http', 'ws')}/ws`).catch(() => undefined)
    if (peer === undefined) continue
    await peer.close()
    const pid = descendants(starter.pid ?? 0).find(
      (each) => readFileSync(`/proc/${each}/comm`, 'utf8') === 'beam.smp\n',
    )
    if (pid !== undefined) return pid
  }
  throw new Error('RabbitMQ does not listen')
}

/** The process itself and all below it; none when it is gone. */
function descendants(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`
  if (!existsSync(list)) return []
  const children = readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number)
  return [pid, ...children.flatMap(descendants)]
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
