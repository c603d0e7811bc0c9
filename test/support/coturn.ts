/**
 * A real coturn of its own on the loopback interface, as a second opinion on tests of the relay: in the foreground, with
 * its state in a temporary directory, nothing of an installed one's configuration read.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

const PLACES = ['/usr/bin/turnserver', '/usr/local/bin/turnserver']

export interface CoturnOptions {
  readonly secret: string
  readonly realm?: string
  /** Where it listens and from where it relays; 127.0.0.1. */
  readonly ips?: readonly string[]
  /** Files in PEM: it speaks TLS, too, when it has them. */
  readonly certificate?: { readonly cert: string; readonly key: string }
  /** More of its command line. */
  readonly flags?: readonly string[]
  /** A command that starts it, such as `taskset -c 1`. */
  readonly launcher?: readonly string[]
}

export interface Coturn {
  /** UDP and TCP. */
  readonly port: number
  /** TLS, where it has a certificate. */
  readonly tlsPort: number
  readonly pid: number
  /** What it has said. */
  log(): string
  stop(): Promise<void>
}

/** Where it is installed. Throws what to do when it is not: nothing is skipped. */
export function coturnPath(): string {
  const { COTURN_PATH } = process.env
  const found = (COTURN_PATH === undefined ? PLACES : [COTURN_PATH]).find((path) => existsSync(path))
  if (found === undefined) throw new Error('no coturn: apt-get install coturn, or set COTURN_PATH')
  return found
}

/** Resolves when it answers over UDP and TCP; rejects with all it has said when it ends before. */
export async function startCoturn(options: CoturnOptions): Promise<Coturn> {
  const { secret, realm = 'carillon', ips = ['127.0.0.1'], certificate, flags = [], launcher = [] } = options
  const path = coturnPath()
  const folder = mkdtempSync(join(tmpdir(), 'carillon-coturn-'))
  const [port, tlsPort] = [await freePort(), await freePort()]
  const command = [
    ...launcher,
    path,
    // no configuration file, no control port, no threads that other tests need the processor for
    ...['-n', '--no-cli', '--relay-threads=1', '--no-dtls'],
    ...ips.flatMap((ip) => [`--listening-ip=${ip}`, `--relay-ip=${ip}`]),
    `--listening-port=${port}`,
    ...['--min-port=20000', '--max-port=20999'],
    ...['--use-auth-secret', `--static-auth-secret=${secret}`, `--realm=${realm}`],
    ...(certificate
      ? [`--tls-listening-port=${tlsPort}`, `--cert=${certificate.cert}`, `--pkey=${certificate.key}`]
      : ['--no-tls']),
    ...['--log-file=stdout', '--simple-log', `--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'db')}`],
    ...flags,
  ]
  const child = spawn(command[0] ?? path, command.slice(1), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-50_000)
    })
  }
  const exited = once(child, 'exit')
  const clearAway = () => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', clearAway)
  const stop = async () => {
    child.kill('SIGKILL')
    await exited
    process.off('exit', clearAway)
    clearAway()
  }
  if (!(await answers(child, port))) {
    await stop()
    throw new Error(`coturn ended with ${child.exitCode}:\n${said}`)
  }
  return { port, tlsPort, pid: child.pid ?? 0, log: () => said, stop }
}

const BINDING = Buffer.from('000100002112a442000000000000000000000000', 'hex')

/** Asks until it is answered: a port that nobody listens on says so at once. False when it ends before. */
async function answers(child: ChildProcess, port: number): Promise<boolean> {
  const socket = createSocket('udp4')
  socket.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const answered = new Promise<boolean>((resolve) => {
    socket.once('message', () => resolve(true))
    child.once('exit', () => resolve(false))
    socket.on('error', () => setTimeout(ask, 20))
    const ask = () => {
      if (child.exitCode === null && child.signalCode === null) socket.send(BINDING)
      else resolve(false)
    }
    ask()
  })
  const result = await answered
  socket.removeAllListeners('error').on('error', () => undefined)
  socket.close()
  return result
}
