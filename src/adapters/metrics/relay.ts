/** Numbers of the TURN relay: how it is doing, and of the bundled one what each of its processes carries. */

import { Counter, Gauge, type Registry } from 'prom-client'
import type { RelayHealth, RelayState, RelayWorkerReport } from '../../ports.ts'

const STATES: readonly RelayState[] = ['off', 'external', 'starting', 'up', 'down']
const TRANSPORTS = ['udp', 'tcp', 'tls'] as const
/** RFC 8489 section 14.8: three digits; anything else would be a label made up by a stranger. */
const CODE = /^[3-6]\d\d$/

/** The label `worker` counts the processes from 0. */
export function relayNumbers(registry: Registry, relay: RelayHealth): void {
  new Gauge({
    name: 'carillon_relay_state',
    help: '1 for the state that the TURN relay is in; of several processes: up while any of them is.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = relay.state()
      for (const state of STATES) this.set({ state }, state === now ? 1 : 0)
    },
  })
  const { workers } = relay
  if (workers === undefined) return
  const reports = () => [...workers.call(relay).entries()].map(([worker, report]) => ({ worker, report }))
  workerGauges(registry, reports)
  workerCounters(registry, reports)
}

type Reports = () => readonly { readonly worker: number; readonly report: RelayWorkerReport }[]

function workerGauges(registry: Registry, reports: Reports): void {
  const gauge = (
    name: string,
    help: string,
    labels: readonly 'transport'[],
    set: (report: RelayWorkerReport, put: (value: number, labels?: { transport: string }) => void) => void,
  ) =>
    new Gauge({
      name: `carillon_relay_${name}`,
      help,
      labelNames: ['worker', ...labels],
      registers: [registry],
      collect() {
        this.reset()
        for (const { worker, report } of reports()) {
          set(report, (value, more) => this.set({ worker, ...more }, value))
        }
      },
    })
  gauge('worker_up', '1 while this process of the relay is up.', [], ({ state }, put) => put(state === 'up' ? 1 : 0))
  gauge('allocations', 'TURN allocations now, by what clients come over.', ['transport'], ({ allocationsBy }, put) => {
    for (const transport of TRANSPORTS) put(allocationsBy[transport], { transport })
  })
  gauge(
    'certificate_end_seconds',
    'When the certificate for TURN over TLS ends, in unix time.',
    [],
    ({ certificateEnds }, put) => {
      if (certificateEnds !== undefined) put(Math.floor(certificateEnds / 1000))
    },
  )
}

/** They start again at zero with the process, as counters may. */
function workerCounters(registry: Registry, reports: Reports): void {
  const total = (name: string, help: string, of: (report: RelayWorkerReport) => number) =>
    new Counter({
      name: `carillon_relay_${name}_total`,
      help,
      labelNames: ['worker'],
      registers: [registry],
      collect() {
        this.reset()
        for (const { worker, report } of reports()) this.inc({ worker }, of(report))
      },
    })
  total('restarts', 'How often this process of the relay had to be started again.', ({ restarts }) => restarts)
  total('allocations', 'TURN allocations made.', ({ allocationsMade }) => allocationsMade)
  total('packets', 'Packets relayed.', ({ packets }) => packets)
  total('bytes', 'Bytes relayed.', ({ bytes }) => bytes)
  total('dropped', 'Packets not relayed.', ({ dropped }) => dropped)
  new Counter({
    name: 'carillon_relay_refused_total',
    help: 'Error responses, by STUN code.',
    labelNames: ['worker', 'code'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { worker, report } of reports()) {
        for (const [code, count] of Object.entries(report.refused)) {
          if (CODE.test(code)) this.inc({ worker, code }, count)
        }
      }
    },
  })
}
