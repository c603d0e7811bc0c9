/**
 * What must reach the server although connections break: in order, each with a receipt, and again on the next connection
 * as long as none has come. The server answers a repeat as it answered the first, so that twice does no harm. Knows
 * neither sockets nor what the messages are about.
 */

import type { Clock } from './clock.ts'
import { CallError } from './errors.ts'
import { CODE } from './wire.ts'

export interface OutboxOptions {
  readonly clock: Clock
  /** How long the server may take to answer, the time without a connection not counted. */
  readonly patienceMs: number
  /** Another one every time. */
  newReceipt(): string
  write(destination: string, body: string, receipt: string): void
  /** Something waits for its answer (true), or nothing any more. */
  waits(on: boolean): void
}

export interface Letter {
  readonly destination: string
  readonly body: unknown
  /** What it is about, for {@link Outbox.forget}. */
  readonly about?: string | undefined
  /** Said again when the server cannot do it just now (503, 429): it must be done, and its place in the order is free. */
  readonly insists?: boolean | undefined
}

interface Item {
  readonly destination: string
  readonly body: string
  readonly about: string | undefined
  readonly receipt: string
  readonly waiting: { fulfil(): void; fail(error: CallError): void } | undefined
  /** Milliseconds that are left for its answer. */
  leftMs: number
  /** Stops them from running out. */
  cancel: (() => void) | undefined
  /** Not sent again, but whoever waits hears the answer if it comes. */
  forgotten: boolean
  /** How often it may still be said again. */
  again: number
}

/** More is dropped, the oldest first. */
const MOST_ITEMS = 256
/** After a refusal that is not for ever, unless the server says when: half a minute in all, at least. */
const MOST_AGAIN = 15
const AGAIN_MS = 2_000
const LONGEST_AGAIN_MS = 10_000

export class Outbox {
  readonly #options: OutboxOptions
  readonly #items = new Map<string, Item>()
  #open = false

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Now, or as soon as {@link open} says so; nobody waits for it. */
  post(letter: Letter): void {
    this.#add(letter, undefined)
  }

  /**
   * The same, fulfilled when the server has done it. Fails with its refusal, with `timeout` when it does not answer, and
   * with `offline` when it is forgotten or dropped before it was answered.
   */
  deliver(letter: Letter): Promise<void> {
    return new Promise((fulfil, fail) => this.#add(letter, { fulfil, fail }))
  }

  /** The connection stands: all that is unanswered goes out, in the order in which it came. */
  open(): void {
    this.#open = true
    for (const item of this.#items.values()) this.#write(item)
  }

  /** The connection is gone; everything waits for the next. */
  close(): void {
    this.#open = false
    for (const item of [...this.#items.values()]) {
      item.cancel?.()
      item.cancel = undefined
      if (item.forgotten) this.#giveUp(item, given())
    }
  }

  /** The server has done what this receipt belongs to, or refuses it. Returns whether it was one of these. */
  settle(receipt: string, refusal?: CallError): 'unknown' | 'told' | 'nobody-waits' {
    const item = this.#items.get(receipt)
    if (!item) return 'unknown'
    if (
      refusal &&
      item.again > 0 &&
      !item.forgotten &&
      (refusal.code === CODE.unavailable || refusal.code === CODE.tooMany)
    ) {
      this.#sayAgain(item, refusal)
      return 'told'
    }
    this.#remove(item)
    if (!item.waiting) return 'nobody-waits'
    if (refusal) item.waiting.fail(refusal)
    else item.waiting.fulfil()
    return 'told'
  }

  /** What is about this is of no interest any more. */
  forget(about: string): void {
    for (const item of [...this.#items.values()]) {
      if (item.about !== about) continue
      if (this.#open && item.waiting) item.forgotten = true
      else this.#giveUp(item, given())
    }
  }

  /** Nothing will be sent any more. */
  clear(why: CallError): void {
    this.close()
    for (const item of [...this.#items.values()]) this.#giveUp(item, why)
  }

  #add({ destination, body, about, insists = false }: Letter, waiting: Item['waiting']): void {
    const receipt = this.#options.newReceipt()
    const item: Item = {
      destination,
      body: JSON.stringify(body),
      about,
      receipt,
      waiting,
      leftMs: this.#options.patienceMs,
      cancel: undefined,
      forgotten: false,
      again: insists ? MOST_AGAIN : 0,
    }
    this.#items.set(receipt, item)
    if (this.#items.size === 1) this.#options.waits(true)
    const [oldest] = this.#items.values()
    if (this.#items.size > MOST_ITEMS && oldest) {
      this.#giveUp(oldest, new CallError('offline', 'too much waits for the server'))
    }
    if (this.#open) this.#write(item)
  }

  #write(item: Item): void {
    if (item.waiting) this.#count(item)
    this.#options.write(item.destination, item.body, item.receipt)
  }

  #count(item: Item): void {
    const { clock, patienceMs } = this.#options
    const since = clock.now()
    const cancel = clock.after(item.leftMs, () => {
      const seconds = Math.round(patienceMs / 1000)
      this.#giveUp(item, new CallError('timeout', `the server did not answer within ${seconds} seconds`))
    })
    item.cancel = () => {
      cancel()
      item.leftMs -= clock.now() - since
    }
  }

  #sayAgain(item: Item, { refusal }: CallError): void {
    item.again--
    item.cancel?.()
    const askedMs = (refusal?.retryAfter ?? 0) * 1000
    const inMs = askedMs > 0 ? Math.min(askedMs, LONGEST_AGAIN_MS) : AGAIN_MS
    item.cancel = this.#options.clock.after(inMs, () => this.#write(item))
  }

  #giveUp(item: Item, why: CallError): void {
    this.#remove(item)
    item.waiting?.fail(why)
  }

  #remove(item: Item): void {
    item.cancel?.()
    this.#items.delete(item.receipt)
    if (this.#items.size === 0) this.#options.waits(false)
  }
}

const given = (): CallError => new CallError('offline', 'it was given up before the server had answered')
