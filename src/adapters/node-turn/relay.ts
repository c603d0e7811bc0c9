/**
 * The bundled relay as the broker sees it: a child process that is started, watched, started again with a growing
 * pause, and stopped. It knows how the child is doing and nothing of TURN.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { RelayHealth } from '../../ports.ts'
import type { LocalRelay } from '../../turn/service.ts'
import type { FromChild, ToChild } from './ipc.ts'
import { type RelaySettings, relayOptions } from './options.ts'
import type { RelayStats } from './server.ts'

/** As pino's: the facts first. */
export interface RelayLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface RelayWorld {
  readonly clock: Clock
  readonly log: RelayLog
  /** How often the child reports its numbers; a second unless told. */
  readonly reportEveryMs?: number
  /** Told of every report. */
  readonly onStats?: (stats: RelayStats) => void
  /** Told of every change of {@link BundledRelay.state}. */
  readonly onState?: (state: ReturnType<RelayHealth['state']>) => void
}

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000
/** After so long it counts as having worked, and the next pause is the first one again. */
const PROVEN_MS = 60_000
/** A child that has not said anything by then never will. */
const START_MS = 15_000
const STOP_MS = 2000

const NOTHING: RelayStats = {
  allocations: 0,
  allocationsBy: { udp: 0, tcp: 0, tls: 0 },
  allocationsMade: 0,
  packets: 0,
  bytes: 0,
  dropped: 0,
  refused: {},
}

export class BundledRelay implements LocalRelay {
  readonly #settings: RelaySettings
  readonly #world: RelayWorld
  #state: ReturnType<RelayHealth['state']> = 'starting'
  #child: ChildProcess | undefined
  #port: number | undefined
  #stats = NOTHING
  #failures = 0
  #upSince = 0
  #stopping = false
  #cancelRestart: Cancel = () => undefined

  /** Throws a RangeError that names every setting that makes no sense. */
  constructor(settings: RelaySettings, world: RelayWorld) {
    relayOptions(settings)
    this.#settings = settings
    this.#world = world
  }

  /** `down` between a crash and the next successful start; `off` once it has been stopped. */
  state(): ReturnType<RelayHealth['state']> {
    return this.#state
  }

  /** Where clients reach it while it is up. */
  address(): { readonly host: string; readonly port: number } | undefined {
    return this.#port === undefined ? undefined : { host: this.#settings.publicIps[0] ?? '', port: this.#port }
  }

  /** The child's numbers as last reported; zeros while there is no child. They start again at zero with each child. */
  stats(): RelayStats {
    return this.#stats
  }

  /** Of the child, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Resolves when the child listens, or when the first attempt has failed (then {@link state} is `down`); never rejects. */
  start(): Promise<void> {
    return this.#launch()
  }

  /** Resolves when the child has ended, after two seconds at most; a child that ignores us is killed then. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelRestart()
    const child = this.#child
    if (child) {
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
      tell(child, { type: 'stop' })
      const cancel = this.#world.clock.after(STOP_MS, () => child.kill('SIGKILL'))
      await ended
      cancel()
    }
    this.#become('off')
  }

  #launch(): Promise<void> {
    const { clock, log, reportEveryMs = 1000 } = this.#world
    const child = forkChild()
    this.#child = child
    return new Promise<void>((settled) => {
      const cancel = clock.after(START_MS, () => child.kill('SIGKILL'))
      child.on('message', (message: FromChild) => {
        switch (message.type) {
          case 'ready':
            if (this.#stopping) tell(child, { type: 'stop' })
            else tell(child, { type: 'start', settings: this.#settings, reportEveryMs })
            return
          case 'listening':
            cancel()
            this.#up(message.port)
            settled()
            return
          case 'stats':
            this.#stats = message.stats
            this.#world.onStats?.(message.stats)
            return
          case 'failed':
            log.error({ reason: message.reason }, 'relay cannot start')
            return
          case 'alive':
          case 'certificate':
            return
          case 'trouble':
            log.error({ reason: message.reason }, 'fault in the relay')
        }
      })
      if (child.stderr) {
        createInterface({ input: child.stderr }).on('line', (line) =>
          log.error({ line: line.slice(0, 2000) }, 'relay says'),
        )
      }
      child.on('error', (error) => log.error({ reason: error.message }, 'relay process'))
      // `close`, not `exit`: by then all that it has said has been read; a failed spawn ends in it as well
      child.once('close', (code, signal) => {
        cancel()
        this.#ended(code, signal)
        settled()
      })
    })
  }

  #up(port: number): void {
    const { clock, log } = this.#world
    this.#port = port
    this.#upSince = clock.now()
    this.#become('up')
    log.info({ host: this.#settings.publicIps[0], port, pid: this.pid }, 'relay listens')
  }

  #ended(code: number | null, signal: string | null): void {
    const { clock, log } = this.#world
    const proven = this.#port !== undefined && clock.now() - this.#upSince >= PROVEN_MS
    this.#child = undefined
    this.#port = undefined
    this.#stats = NOTHING
    if (this.#stopping) return
    this.#failures = proven ? 1 : this.#failures + 1
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS)
    log.error({ code, signal, pauseMs }, 'relay has ended; it is started again after the pause')
    this.#become('down')
    this.#cancelRestart = clock.after(pauseMs, () => void this.#launch())
  }

  #become(state: ReturnType<RelayHealth['state']>): void {
    this.#state = state
    this.#world.onState?.(state)
  }
}

/** A child that is just going needs to be told nothing any more; `close` tells us. */
function tell(child: ChildProcess, message: ToChild): void {
  if (child.connected) child.send(message, () => undefined)
}

/** Compiled files run as they are; from sources, the loader that runs us runs the child as well. */
function forkChild(): ChildProcess {
  const fromSources = import.meta.url.endsWith('.ts')
  const file = fileURLToPath(new URL(fromSources ? './child.ts' : './child.js', import.meta.url))
  return fork(file, [], {
    // our own flags (an inspector's port, a test runner's) are not for the child
    execArgv: fromSources ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : [],
    env: environment(),
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
}

/** What a process needs to run; our variables hold secrets that a relay has no business with. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    ['PATH', 'SystemRoot', 'HOME', 'TMPDIR', 'TEMP', 'TZ'].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
