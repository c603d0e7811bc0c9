/**
 * The bundled relay as the broker sees it: one process or several, and which of them a user is sent to. How a single
 * one is kept alive is in worker.ts.
 */

import { createHash } from 'node:crypto'
import type { RelayState, RelayWorkerReport, UserId } from '../../ports.ts'
import type { LocalRelay, RelayPlace } from '../../turn/service.ts'
import type { RelaySettings } from './options.ts'
import { shares } from './shares.ts'
import { type RelayLog, RelayWorker, type RelayWorld, type WorkerPorts } from './worker.ts'

export interface RelayPlan {
  /** Ports, relayed ports and allocations are shared out among the workers (shares.ts). */
  readonly settings: RelaySettings
  /** Processes; one unless told. */
  readonly workers?: number
  /** What clients are told instead of the public addresses. */
  readonly host?: string
  /** What the certificate for TLS is for; without it clients are not told of TLS. */
  readonly tlsHost?: string
}

export interface BundledRelayWorld extends Omit<RelayWorld, 'onState' | 'onStats' | 'log'> {
  readonly log: RelayLog & { child?(facts: Record<string, unknown>): RelayLog }
  /** Told of every change of {@link BundledRelay.state} and of every report of a worker. */
  readonly onChange?: () => void
}

export class BundledRelay implements LocalRelay {
  readonly #plan: RelayPlan
  readonly #world: BundledRelayWorld
  readonly #workers: readonly RelayWorker[]

  /** Throws a RangeError that names every setting that makes no sense. */
  constructor(plan: RelayPlan, world: BundledRelayWorld) {
    this.#plan = plan
    this.#world = world
    this.#workers = shares(plan.settings, plan.workers ?? 1).map(
      (settings, each) => new RelayWorker(settings, this.#worldOf(each)),
    )
  }

  /** `up` while any worker is, `down` when none is and none is just being started for the first time. */
  state(): RelayState {
    const states = this.#workers.map((worker) => worker.state())
    return (['up', 'starting', 'down'] as const).find((state) => states.includes(state)) ?? 'off'
  }

  workers(): readonly RelayWorkerReport[] {
    return this.#workers.map((worker) => worker.report())
  }

  /** Of the children, where there is one. */
  get pids(): readonly (number | undefined)[] {
    return this.#workers.map(({ pid }) => pid)
  }

  /**
   * A user stays with one worker while that is up. When it is not, its users are spread over the others; theirs stay
   * where they are (highest random weight).
   */
  placeFor(user: UserId): RelayPlace | undefined {
    let best: { readonly weight: string; readonly worker: RelayWorker; readonly ports: WorkerPorts } | undefined
    for (const [each, worker] of this.#workers.entries()) {
      const ports = worker.ports()
      if (ports === undefined || worker.state() !== 'up') continue
      const weight = this.#workers.length === 1 ? '' : createHash('sha256').update(`${each}:${user}`).digest('base64')
      if (best === undefined || weight > best.weight) best = { weight, worker, ports }
    }
    return best && this.#placeOf(best.worker, best.ports)
  }

  /** Resolves when every worker listens or its first attempt has failed; never rejects. */
  async start(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.start()))
  }

  /** Resolves when all children have ended, after two seconds at most. */
  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()))
  }

  #placeOf(worker: RelayWorker, { port, tlsPort }: WorkerPorts): RelayPlace {
    const { settings, host, tlsHost } = this.#plan
    const { certificateEnds } = worker.report()
    const trusted = certificateEnds === undefined || certificateEnds > this.#world.clock.now()
    return {
      hosts: host === undefined ? settings.publicIps : [host],
      port,
      ...(tlsPort !== undefined && tlsHost !== undefined && trusted && { tls: { host: tlsHost, port: tlsPort } }),
    }
  }

  #worldOf(worker: number): RelayWorld {
    const { log, onChange = () => undefined, ...rest } = this.#world
    const named = (this.#plan.workers ?? 1) === 1 ? log : (log.child?.({ worker }) ?? log)
    return { ...rest, log: named, onState: onChange, onStats: onChange }
  }
}
