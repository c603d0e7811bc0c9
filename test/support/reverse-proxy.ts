/**
 * nginx and HAProxy with the configurations of `deploy/`, as they are but for addresses, ports and the certificate; in the
 * foreground, on ports of their own, and ended with the test.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { certificateFiles } from './certificate-files.ts'
import { freePort } from './free-port.ts'

export const PROXIES = ['nginx', 'haproxy'] as const
export type ProxyKind = (typeof PROXIES)[number]

export interface ReverseProxy {
  /** Without TLS, for the tests' own clients. */
  readonly url: string
  /** As clients reach it. */
  readonly tlsUrl: string
  log(): string
  stop(): Promise<void>
}

/** Resolves when it takes connections. `servers`: three, `http://127.0.0.1:port`. */
export async function startProxy(kind: ProxyKind, servers: readonly string[]): Promise<ReverseProxy> {
  const folder = mkdtempSync(join(tmpdir(), `carillon-${kind}-`))
  const certificate = certificateFiles()
  const [plain, tls] = [await freePort(), await freePort()]
  const file = kind === 'nginx' ? nginx : haproxy
  const command = file({ folder, servers, plain, tls, ...certificate })
  // Debian's packages put them where not everybody's PATH looks
  const env = { PATH: `${process.env.PATH}:/usr/sbin` }
  const child = spawn(command[0] ?? '', command.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.once('error', (error) => (output += error.message))
  process.once('exit', () => child.kill('SIGKILL'))
  const failed = ended.then(() => Promise.reject(new Error(`${kind} ended:\n${output}`)))
  failed.catch(() => undefined)
  await Promise.race([failed, answers(plain, child).then((did) => (did ? undefined : failed))])
  return {
    url: `http://127.0.0.1:${plain}`,
    tlsUrl: `https://127.0.0.1:${tls}`,
    log: () => (kind === 'nginx' ? readFileSync(join(folder, 'access.log'), 'utf8') : output),
    async stop() {
      child.kill('SIGTERM')
      await ended
      certificate.remove()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface Place {
  readonly folder: string
  readonly servers: readonly string[]
  readonly plain: number
  readonly tls: number
  readonly cert: string
  readonly key: string
}

const read = (name: string) => readFileSync(new URL(`../../deploy/${name}`, import.meta.url), 'utf8')

/** Each must be there: else the configuration has changed, and this file with it. */
function replaced(text: string, replacements: readonly (readonly [string, string])[]): string {
  return replacements.reduce((done, [from, to]) => {
    if (!done.includes(from)) throw new Error(`the configuration does not have ${from}`)
    return done.replaceAll(from, to)
  }, text)
}

const addresses = (servers: readonly string[]) =>
  servers.map((url, n) => [`10.0.0.1${n + 1}:8080`, url.replace('http://', '')] as const)

function nginx({ folder, servers, plain, tls, cert, key }: Place): string[] {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const file = join(folder, 'nginx.conf')
  const text = replaced(read('nginx.conf'), [
    ...addresses(servers),
    ['listen 443 ssl backlog=4096;', `listen 127.0.0.1:${tls} ssl; listen 127.0.0.1:${plain};`],
    ['/etc/ssl/carillon.crt', cert],
    ['/etc/ssl/carillon.key', key],
    ['/var/log/nginx/carillon.log', join(folder, 'access.log')],
    ['http {\n', `http {\n${temporary.join('\n')}\n`],
  ])
  writeFileSync(file, text)
  return ['nginx', '-p', folder, '-c', file, '-e', 'stderr', '-g', `daemon off; pid ${folder}/pid;`]
}

function haproxy({ folder, servers, plain, tls, cert, key }: Place): string[] {
  const [file, pem] = [join(folder, 'haproxy.cfg'), join(folder, 'certificate.pem')]
  writeFileSync(pem, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'), { mode: 0o600 })
  const text = replaced(read('haproxy.cfg'), [
    ...addresses(servers),
    ['bind :443 ssl crt /etc/ssl/carillon.pem', `bind 127.0.0.1:${tls} ssl crt ${pem}\n  bind 127.0.0.1:${plain}`],
    // More than a machine that tests allows a process to have open
    ['maxconn 100000', 'maxconn 1000'],
  ])
  writeFileSync(file, text)
  return ['haproxy', '-db', '-f', file]
}

/** Asks until somebody takes the connection; false when the process has ended. */
async function answers(port: number, child: ChildProcess): Promise<boolean> {
  while (child.exitCode === null) {
    const taken = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (taken) return true
    await new Promise((resolve) => setImmediate(resolve))
  }
  return false
}
