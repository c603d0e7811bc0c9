/**
 * The measured processes: Carillon as it is deployed (built, a process of its own, configured by its environment), and
 * the reference. Each has meter.mjs loaded, and a core of its own where that can be had.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cores, type Meter, meterOf } from './cpu.ts'
import { SECRET } from './stomp.ts'

const METER = import.meta.resolve('./meter.mjs')
/** As `npm start` has it. */
const AS_DEPLOYED = ['--max-semi-space-size=32']
const CARILLON = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
const RAW_RELAY = fileURLToPath(new URL('../peers/raw-relay.mjs', import.meta.url))
const STOMP_BROKER_JS = fileURLToPath(new URL('../peers/stomp-broker-js.mjs', import.meta.url))
const SOCKET_IO = fileURLToPath(new URL('../peers/socket-io.mjs', import.meta.url))

/** Limits are there to stop exactly what a benchmark does. */
const ENVIRONMENT = {
  HOST: '127.0.0.1',
  PORT: '0',
  AUTH_JWT_SECRET: SECRET,
  TURN_ENABLED: 'false',
  NODE_ENV: 'production',
  LIMIT_SESSION_RATE: '1000000',
  LIMIT_SESSION_BURST: '1000000',
  LIMIT_USER_RATE: '1000000',
  LIMIT_USER_BURST: '1000000',
  LIMIT_SUBSCRIBE_RATE: '1000000',
  LIMIT_SUBSCRIBE_BURST: '1000000',
  LIMIT_OPEN_RATE: '1000000',
  LIMIT_OPEN_BURST: '1000000',
}

export interface Measured extends Meter {
  readonly pid: number
  /** `http://127.0.0.1:port` */
  readonly url: string
  stop(): Promise<void>
}

/** `environment`: beside what every scenario needs. `profile`: a folder that gets a CPU profile when it stops. */
export function startCarillon(environment: Readonly<Record<string, string>>, profile?: string): Promise<Measured> {
  if (!existsSync(CARILLON)) throw new Error('dist/src/main.js is not there: run `npm run build` first')
  const flags = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
  return start([...flags, ...AS_DEPLOYED, CARILLON], { ...ENVIRONMENT, ...environment })
}

/** The smallest relay on ws: see peers/raw-relay.mjs. */
export function startRawRelay(): Promise<Measured> {
  return start([RAW_RELAY], {})
}

/** Something of peers/ with arguments. */
export function startPeer(args: readonly string[]): Promise<Measured> {
  return start(args, { NODE_ENV: 'production' })
}

/** See peers/socket-io.mjs. */
export function startSocketIo(): Promise<Measured> {
  return start([SOCKET_IO], { NODE_ENV: 'production' })
}

/** See peers/stomp-broker-js.mjs. */
export function startStompBrokerJs(): Promise<Measured> {
  return start([STOMP_BROKER_JS], { NODE_ENV: 'production' })
}

/** Fulfilled when the process has said where it listens: a line of JSON with a `url`. */
async function start(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Measured> {
  // An empty folder, and nothing of our environment: no .env and no variable of the machine changes what is measured
  const folder = mkdtempSync(join(tmpdir(), 'carillon-bench-'))
  const command = [process.execPath, '--expose-gc', '--import', METER, ...args]
  if (cores) command.unshift('taskset', '-c', String(cores.server))
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: folder,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const clearAway = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', clearAway)
  const url = await listening(child, exited)
  return {
    ...meterOf(child),
    pid: child.pid ?? 0,
    url,
    async stop() {
      child.kill('SIGTERM')
      await exited
      process.off('exit', clearAway)
      clearAway()
    },
  }
}

function listening(child: ChildProcess, exited: Promise<unknown>): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    let found = false
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      // Goes on reading, so that the child can go on writing
      if (found) return
      said += text
      const url = /"url":"(http:[^"]+)".*\n/.exec(said)?.[1]
      if (url === undefined) return
      found = true
      resolve(url)
    })
    exited.then(() => reject(new Error(`the server has ended: ${said}`)), reject)
  })
}
