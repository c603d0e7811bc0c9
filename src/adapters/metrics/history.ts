/** Numbers of the history: what was written, what waits for the database, what was lost. */

import { Counter, Gauge, type Registry } from 'prom-client'

export interface HistoryNumbers {
  readonly state: 'up' | 'down'
  /** Since the start, and now. */
  readonly counts: {
    readonly written: number
    readonly spooled: number
    readonly dropped: number
    readonly forgotten: number
    readonly waiting: number
    readonly ageMs: number
  }
  /** What waits outside the memory of this process. */
  spooled(): Promise<{ readonly records: number; readonly bytes: number }>
}

export function historyNumbers(registry: Registry, history: HistoryNumbers): void {
  const counter = (name: string, help: string, field: 'written' | 'spooled' | 'dropped' | 'forgotten') =>
    new Counter({
      name: `carillon_history_${name}_total`,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(history.counts[field])
      },
    })
  counter('written', 'Calls written into the history.', 'written')
  counter('spooled', 'Calls that had to wait for the database in the spool.', 'spooled')
  counter('dropped', 'Calls that are lost for the history: no room, or refused by the database for good.', 'dropped')
  counter('deleted', 'Calls deleted for their age.', 'forgotten')
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `carillon_history_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(value())
      },
    })
  gauge('up', 'Whether the database of the history answers.', () => (history.state === 'up' ? 1 : 0))
  gauge('waiting', 'Calls in the memory of this server that wait to be written.', () => history.counts.waiting)
  gauge(
    'oldest_seconds',
    'Since the end of the oldest call that this server knows to wait; 0: none does.',
    () => history.counts.ageMs / 1000,
  )
  spoolGauges(registry, history)
}

/** Several servers with one Redis show the same: take the largest, not the sum. */
function spoolGauges(registry: Registry, history: HistoryNumbers): void {
  type Found = Awaited<ReturnType<HistoryNumbers['spooled']>> | undefined
  let now: Promise<Found> | undefined
  /** Both gauges are collected together: one look is enough for them. */
  const look = () => {
    now ??= history
      .spooled()
      .catch((): Found => undefined)
      .finally(() => {
        now = undefined
      })
    return now
  }
  const gauge = (name: string, help: string, field: 'records' | 'bytes') =>
    new Gauge({
      name: `carillon_history_spool_${name}`,
      help,
      registers: [registry],
      async collect() {
        const found = await look()
        if (found) this.set(found[field])
        else this.remove()
      },
    })
  gauge('calls', 'Calls that wait for the database in the spool (in Redis: those of all servers).', 'records')
  gauge('bytes', 'Their size.', 'bytes')
}
