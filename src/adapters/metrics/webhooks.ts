/** Numbers of webhooks: what becomes of them, and what waits. */

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Events } from '../../events.ts'

export interface Backlog {
  readonly waiting: number
  /** Of the oldest; 0 when nothing waits. */
  readonly ageMs: number
}

/** Counts attempts, and events that were lost. */
export function webhookCounts(registry: Registry, events: Events): void {
  const attempts = new Counter({
    name: 'carillon_webhook_attempts_total',
    help: 'Attempts to deliver a webhook, by event and outcome: delivered, gone (410), failed (tried again), givenUp.',
    labelNames: ['event', 'outcome'],
    registers: [registry],
  })
  const dropped = new Counter({
    name: 'carillon_webhook_dropped_total',
    help: 'Events that found no room to wait for their delivery.',
    labelNames: ['event'],
    registers: [registry],
  })
  const duration = new Histogram({
    name: 'carillon_webhook_seconds',
    help: 'From taking an event to the answer of the endpoint.',
    buckets: [0.005, 0.02, 0.1, 0.5, 1, 2, 5],
    registers: [registry],
  })
  events.on('webhook.tried', ({ event, outcome, ms }) => {
    attempts.inc({ event, outcome })
    duration.observe(ms / 1000)
  })
  events.on('webhook.dropped', ({ event }) => dropped.inc({ event }))
}

/** What waits. Several processes with one outbox show the same: take the largest, not the sum. */
export function webhookBacklog(registry: Registry, backlog: () => Promise<Backlog>): void {
  let now: Promise<Backlog | undefined> | undefined
  /** Both gauges are collected together: one look is enough for them. */
  const look = () => {
    now ??= backlog()
      .catch(() => undefined)
      .finally(() => {
        now = undefined
      })
    return now
  }
  new Gauge({
    name: 'carillon_webhooks_waiting',
    help: 'Events that wait for their delivery; those of all processes that share the outbox.',
    registers: [registry],
    async collect() {
      const found = await look()
      if (found) this.set(found.waiting)
      else this.remove()
    },
  })
  new Gauge({
    name: 'carillon_webhook_oldest_seconds',
    help: 'Age of the oldest of them; 0 when nothing waits.',
    registers: [registry],
    async collect() {
      const found = await look()
      if (found) this.set(found.ageMs / 1000)
      else this.remove()
    },
  })
}
