/**
 * One process of the bundled relay as the broker sees it: started, watched, started again with a growing pause,
 * stopped. It knows how the child is doing and nothing of TURN.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { RelayWorkerReport } from '../../ports.ts'
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
  /** How often the child is asked whether it is still there; three seconds unless told. */
  readonly askEveryMs?: number
  /** Told of every report. */
  readonly onStats?: (stats: RelayStats) => void
  /** Told of every answer to a question whether it is still there. */
  readonly onAlive?: () => void
  /** Told of every change of `state()`. */
  readonly onState?: (state: WorkerState) => void
}

export type WorkerState = RelayWorkerReport['state']

/** Where it listens. */
export interface WorkerPorts {
  /** UDP and TCP. */
  readonly port: number
  readonly tlsPort?: number
}

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000
/** After so long it counts as having worked, and the next pause is the first one again. */
const PROVEN_MS = 60_000
/** A child that has not said anything by then never will. */
const START_MS = 15_000
const STOP_MS = 2000
const ASK_EVERY_MS = 3000
/**
 * Questions without an answer after which the child hangs. Not one: when we have hung ourselves, the answer waits to be
 * read behind the timer that asks.
 */
const MOST_UNANSWERED = 3

const NOTHING: RelayStats = {
  allocations: 0,
  allocationsBy: { udp: 0, tcp: 0, tls: 0 },
  allocationsMade: 0,
  packets: 0,
  bytes: 0,
  dropped: 0,
  refused: {},
}

export class RelayWorker {
  readonly #settings: RelaySettings
  readonly #world: RelayWorld
  #state: WorkerState = 'starting'
  #child: ChildProcess | undefined
  #ports: WorkerPorts | undefined
  #stats = NOTHING
  #certificateEnds: number | undefined
  #unanswered = 0
  #starts = 0
  #failures = 0
  #upSince = 0
  #stopping = false
  #cancelRestart: Cancel = () => undefined
  #cancelAsking: Cancel = () => undefined

  /** Throws a RangeError that names every setting that makes no sense. */
  constructor(settings: RelaySettings, world: RelayWorld) {
    relayOptions(settings)
    this.#settings = settings
    this.#world = world
  }

  /** `down` between a crash and the next successful start; `off` once it has been stopped. */
  state(): WorkerState {
    return this.#state
  }

  /** Where it listens while it is up. */
  ports(): WorkerPorts | undefined {
    return this.#ports
  }

  /** The child's numbers as last reported; zeros while there is no child. They start again at zero with each child. */
  stats(): RelayStats {
    return this.#stats
  }

  report(): RelayWorkerReport {
    return {
      ...this.#stats,
      state: this.#state,
      restarts: Math.max(0, this.#starts - 1),
      ...(this.#certificateEnds !== undefined && { certificateEnds: this.#certificateEnds }),
    }
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
    this.#cancelAsking()
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
    const { clock, log } = this.#world
    const child = forkChild()
    this.#child = child
    this.#starts++
    return new Promise<void>((settled) => {
      const tooLate = clock.after(START_MS, () => child.kill('SIGKILL'))
      child.on('message', (message: FromChild) => {
        if (message.type === 'listening') {
          tooLate()
          this.#up(child, message)
          settled()
        } else this.#heard(child, message)
      })
      if (child.stderr) {
        createInterface({ input: child.stderr }).on('line', (line) =>
          log.error({ line: line.slice(0, 2000) }, 'relay says'),
        )
      }
      child.on('error', (error) => log.error({ reason: error.message }, 'relay process'))
      // `close`, not `exit`: by then all that it has said has been read; a failed spawn ends in it as well
      child.once('close', (code, signal) => {
        tooLate()
        this.#ended(code, signal)
        settled()
      })
    })
  }

  #heard(child: ChildProcess, message: Exclude<FromChild, { type: 'listening' }>): void {
    const { log, reportEveryMs = 1000, onStats, onAlive } = this.#world
    switch (message.type) {
      case 'ready':
        if (this.#stopping) tell(child, { type: 'stop' })
        else tell(child, { type: 'start', settings: this.#settings, reportEveryMs })
        return
      case 'alive':
        this.#unanswered = 0
        onAlive?.()
        return
      case 'stats':
        this.#stats = message.stats
        onStats?.(message.stats)
        return
      case 'certificate':
        this.#certified(Date.parse(message.validTo))
        return
      case 'failed':
        log.error({ reason: message.reason }, `relay cannot start${hintFor(message.reason)}`)
        return
      case 'trouble':
        log.error({ reason: message.reason }, 'fault in the relay')
    }
  }

  /** Heard again when TLS follows later, with its certificate. */
  #up(child: ChildProcess, { port, tlsPort }: WorkerPorts): void {
    const { clock, log } = this.#world
    const again = this.#ports !== undefined
    this.#ports = { port, ...(tlsPort !== undefined && { tlsPort }) }
    if (again) {
      log.info({ ...this.#ports }, 'relay listens for TLS as well')
      return
    }
    this.#upSince = clock.now()
    this.#unanswered = 0
    this.#ask(child)
    this.#become('up')
    log.info({ hosts: this.#settings.publicIps, ...this.#ports, pid: this.pid }, 'relay listens')
  }

  /** A process that hangs is there, and relays nothing. */
  #ask(child: ChildProcess): void {
    const { clock, log, askEveryMs = ASK_EVERY_MS } = this.#world
    if (this.#stopping) return
    this.#cancelAsking = clock.after(askEveryMs, () => {
      if (this.#unanswered >= MOST_UNANSWERED) {
        log.error({ pid: child.pid, silentMs: askEveryMs * MOST_UNANSWERED }, 'relay hangs; it is killed')
        child.kill('SIGKILL')
        return
      }
      this.#unanswered++
      tell(child, { type: 'ask' })
      this.#ask(child)
    })
  }

  #certified(ends: number): void {
    const { clock, log } = this.#world
    if (Number.isNaN(ends)) return
    this.#certificateEnds = ends
    const facts = { validTo: new Date(ends).toISOString() }
    if (ends > clock.now()) log.info(facts, 'certificate of the relay loaded')
    else log.error(facts, 'certificate of the relay has ended; clients are not told of TLS')
  }

  #ended(code: number | null, signal: string | null): void {
    const { clock, log } = this.#world
    const proven = this.#ports !== undefined && clock.now() - this.#upSince >= PROVEN_MS
    this.#cancelAsking()
    this.#child = undefined
    this.#ports = undefined
    this.#stats = NOTHING
    this.#certificateEnds = undefined
    if (this.#stopping) return
    this.#failures = proven ? 1 : this.#failures + 1
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS)
    log.error({ code, signal, pauseMs }, 'relay has ended; it is started again after the pause')
    this.#become('down')
    this.#cancelRestart = clock.after(pauseMs, () => void this.#launch())
  }

  #become(state: WorkerState): void {
    this.#state = state
    this.#world.onState?.(state)
  }
}

/** What an operator can do about it. */
function hintFor(reason: string): string {
  if (reason.includes('EADDRINUSE')) return ': one of its ports is taken; stop what listens there, or set other ports'
  if (reason.includes('EACCES')) return ': this account may not use one of its ports or files'
  if (reason.includes('EADDRNOTAVAIL')) return ': it is to listen on an address that this machine does not have'
  return ''
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
