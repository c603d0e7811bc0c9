/**
 * Brings what waits in the outbox to the endpoint: several at a time, those of one key one after the other. Whatever the
 * endpoint does, calls do not wait for it. Knows no HTTP and no storage; those are the ports'.
 */

import { setMaxListeners } from 'node:events'
import type { Events, WebhookOutcome } from '../events.ts'
import type { Cancel, Clock } from '../ports.ts'
import { type Backoff, pauseMs } from './backoff.ts'
import { Circuit } from './circuit.ts'
import type { Endpoint, Outbox, Taken } from './ports.ts'
import { signatureOf } from './signature.ts'

/** Requests under way at a time; with several processes: of each. */
const CONCURRENCY = 32

const RETRY: Backoff = { firstMs: 1_000, longestMs: 300_000 }

/** An event that cannot be delivered for so long is given up. */
const GIVE_UP_MS = 24 * 3_600_000

/** The longest `Retry-After` that is heeded. */
const LONGEST_WAIT_MS = 3_600_000

/** What a stop waits for requests under way (and, where the outbox ends with the process, for what waits). */
const STOP_MS = 3_000

export interface DeliveryLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
}

export interface DeliveryOptions {
  readonly outbox: Outbox
  readonly endpoint: Endpoint
  readonly secret: string
  readonly clock: Clock
  readonly events: Events
  readonly log: DeliveryLog
  /** From 0 up to 1. */
  readonly random: () => number
  /** What is added to an event's data at the moment it is sent. Rejected: the attempt has failed. */
  readonly freshFacts: (taken: Taken) => Promise<Readonly<Record<string, unknown>>>
  readonly concurrency?: number
}

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #concurrency: number
  readonly #circuit: Circuit
  readonly #underWay = new Set<Promise<void>>()
  readonly #abort = new AbortController()
  #taking = false
  /** Something became ready while it was asked what is. */
  #missed = false
  #again = false
  #pause: Cancel | undefined
  #stopping = false

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#concurrency = options.concurrency ?? CONCURRENCY
    this.#circuit = new Circuit(options.random)
    setMaxListeners(0, this.#abort.signal)
  }

  start(): void {
    this.#options.outbox.onReady(() => this.#wake())
  }

  /**
   * Nothing new is begun. What is under way may end, for {@link STOP_MS} at most; then it is cut off and put back.
   * What ends with the process is delivered within that time, as far as it goes.
   */
  async stop(): Promise<void> {
    const { clock, endpoint, outbox } = this.#options
    if (outbox.outlives) this.#stopping = true
    const late = new Promise<void>((resolve) => {
      this.#abort.signal.addEventListener('abort', () => resolve(), { once: true })
    })
    const cancel = clock.after(STOP_MS, () => this.#abort.abort())
    await Promise.race([this.#idle(), late])
    this.#stopping = true
    this.#pause?.()
    await Promise.all(this.#underWay)
    cancel()
    endpoint.close()
  }

  /** Nothing is under way, and nothing is due. */
  async #idle(): Promise<void> {
    for (;;) {
      await this.#fill()
      if (this.#underWay.size === 0) return
      await Promise.race(this.#underWay)
    }
  }

  /** Not at once: whoever has just put an event has more important things to do. */
  #wake(): void {
    if (this.#again) return
    this.#again = true
    setImmediate(() => {
      this.#again = false
      void this.#fill()
    })
  }

  /** Takes as much as may be under way. Never rejected. */
  async #fill(): Promise<void> {
    if (this.#stopping || this.#abort.signal.aborted) return
    if (this.#taking) {
      this.#missed = true
      return
    }
    const { clock, outbox } = this.#options
    const free = this.#circuit.allows(this.#concurrency, clock.now()) - this.#underWay.size
    if (free <= 0) {
      this.#waitForTheEndpoint()
      return
    }
    this.#taking = true
    try {
      for (const taken of await outbox.take(free)) this.#begin(taken)
    } finally {
      this.#taking = false
    }
    if (this.#missed) this.#wake()
    this.#missed = false
  }

  #waitForTheEndpoint(): void {
    const { clock } = this.#options
    const ms = this.#circuit.opensIn(clock.now())
    if (ms === 0 || this.#pause) return
    this.#pause = clock.after(ms, () => {
      this.#pause = undefined
      this.#wake()
    })
  }

  #begin(taken: Taken): void {
    const work = this.#deliver(taken).finally(() => {
      this.#underWay.delete(work)
      this.#wake()
    })
    this.#underWay.add(work)
  }

  async #deliver(taken: Taken): Promise<void> {
    const { clock, endpoint, outbox, log } = this.#options
    if (this.#stopping || this.#abort.signal.aborted) return outbox.release(taken)
    const began = clock.now()
    let wait = 0
    let why: string
    try {
      const { headers, body } = await this.#letter(taken)
      const { status, retryAfterS = 0 } = await endpoint.post(headers, body, this.#abort.signal)
      if (status >= 200 && status < 300) return await this.#over(taken, 'delivered', began)
      // 410 Gone: it was told what it does not want to know (RFC 9110 section 15.5.11)
      if (status === 410) return await this.#over(taken, 'gone', began)
      wait = Math.min(retryAfterS * 1000, LONGEST_WAIT_MS)
      why = `status ${status}`
    } catch (error) {
      if (this.#abort.signal.aborted) return outbox.release(taken)
      why = error instanceof Error ? error.message : String(error)
    }
    if (this.#circuit.failed(clock.now()))
      log.warn({ why }, 'the webhook endpoint does not take events: they wait for it')
    await this.#failed(taken, Math.max(wait, pauseMs(RETRY, taken.failed + 1, this.#options.random())), began, why)
  }

  /** Made anew for each attempt: the signature says when it was sent. */
  async #letter(taken: Taken): Promise<{ headers: Readonly<Record<string, string>>; body: string }> {
    const { clock, secret, freshFacts } = this.#options
    const { id, type, at, data } = taken.hook
    const body = JSON.stringify({ id, type, at, data: { ...data, ...(await freshFacts(taken)) } })
    return {
      body,
      headers: {
        'Content-Type': 'application/json',
        'Carillon-Signature': signatureOf(secret, body, clock.now()),
        'Carillon-Event': type,
        'Carillon-Delivery': id,
        'Carillon-Attempt': String(taken.failed + 1),
      },
    }
  }

  async #over(taken: Taken, outcome: WebhookOutcome, began: number): Promise<void> {
    const { log, outbox } = this.#options
    if (this.#circuit.succeeded()) log.info({}, 'the webhook endpoint takes events again')
    this.#tell(taken, outcome, began)
    await outbox.done(taken)
  }

  async #failed(taken: Taken, waitMs: number, began: number, why: string): Promise<void> {
    const { clock, log, outbox } = this.#options
    const { id, type, at } = taken.hook
    if (clock.now() + waitMs - at > GIVE_UP_MS) {
      this.#tell(taken, 'givenUp', began)
      log.warn(
        { id, type, attempts: taken.failed + 1, why },
        'a webhook is given up: it could not be delivered for a day',
      )
      await outbox.done(taken)
      return
    }
    this.#tell(taken, 'failed', began)
    await outbox.retry(taken, clock.now() + waitMs)
  }

  #tell({ hook }: Taken, outcome: WebhookOutcome, began: number): void {
    const { clock, events } = this.#options
    events.emit('webhook.tried', { event: hook.type, outcome, ms: clock.now() - began })
  }
}
