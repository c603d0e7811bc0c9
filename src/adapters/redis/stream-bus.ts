/**
 * The bus over streams: each process has one, which it alone reads and makes. What is sent to the same process while
 * the last parcel is on its way goes into the next one, so that the load itself makes the parcels larger.
 *
 * A parcel that Redis has not acknowledged is sent again when it is back; its number tells the receiver what it has had.
 * The reader goes on where it was; where the stream was lost, or has fallen back behind what was read (a replica that
 * was behind has become the master), it reads all that is there.
 */

import type { Cancel, Clock, NodeId } from '../../ports.ts'
import type { Bus, BusMessage } from './bus.ts'
import type { RedisLink, Script } from './link.ts'
import { pack, unpack } from './parcel.ts'

export interface BusLog {
  debug(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface BusOptions {
  readonly self: NodeId
  readonly link: RedisLink
  /** The machine's own. */
  readonly clock: Clock
  readonly log: BusLog
  /** Every living process, this one included, as far as is known. */
  readonly living: () => ReadonlySet<NodeId>
  /** A process was heard of that may not have been known. */
  readonly met?: (node: NodeId) => void
  readonly bounds?: Partial<BusBounds>
}

export interface BusBounds {
  /** Messages that wait for one process, and their octets: beyond either the oldest are dropped. */
  readonly messages: number
  readonly bytes: number
  /** How long a message may wait. */
  readonly waitMs: number
  /** Entries of an inbox that nobody reads, about. */
  readonly inbox: number
  /** Messages and octets of one parcel, about. */
  readonly parcelMessages: number
  readonly parcelBytes: number
}

const BOUNDS: BusBounds = {
  messages: 20_000,
  bytes: 16 * 1024 * 1024,
  waitMs: 30_000,
  inbox: 10_000,
  parcelMessages: 1000,
  parcelBytes: 512 * 1024,
}

/** What has happened since the start, and what is now. */
export interface BusCounts {
  /** Messages that wait to be sent. */
  readonly waiting: number
  readonly sent: number
  readonly parcels: number
  readonly received: number
  /** Messages given up: too many, too old, or for a process that is gone. */
  readonly dropped: number
  /** Parcels that never arrived. */
  readonly missing: number
}

/** How long the reader waits for news in one go; an idle reader then makes sure that its stream is still there. */
const BLOCK_MS = 2000

const READ_AT_ONCE = 64

/** Read entries stay for this many before they are trimmed. */
const TRIM_EVERY = 128

/** The stream of a process that is gone, and has no heir, goes by itself. */
const STREAM_TTL_MS = 120_000

/** Between two attempts when Redis refuses, or the receiver has no stream just now. */
const PAUSE_MS = 100

/** Until what waits has been sent, at a stop. */
const LAST_MS = 1000

/** Senders whose last number is remembered; those that are gone are forgotten beyond it. */
const MOST_SENDERS = 1000

/**
 * Makes the stream where it is not there. ARGV: how long it may live without its process. Answer: the last id that it
 * knows, and whether it is new.
 */
const OPEN: Script = {
  name: 'bus.open',
  source: `
if redis.call('EXISTS', KEYS[1]) == 0 then
  local first = redis.call('XADD', KEYS[1], '*', 'begin', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return { first, 1 }
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then return { info[i + 1], 0 } end
end
return { '0-0', 0 }
`,
}

/** What waits for one process. */
interface Outbox {
  readonly to: NodeId
  waiting: { readonly message: BusMessage; readonly bytes: number; readonly at: number }[]
  bytes: number
  /** The number of the last parcel made for it. */
  number: number
  /** Sent and not acknowledged. */
  parcel: { readonly octets: Buffer; readonly messages: readonly BusMessage[]; readonly at: number } | undefined
  sending: boolean
}

export class StreamBus implements Bus {
  readonly self: NodeId
  readonly #options: BusOptions
  readonly #bounds: BusBounds
  readonly #handlers = new Map<string, (from: NodeId, message: BusMessage) => void>()
  readonly #missing: (() => void)[] = []
  readonly #undelivered: ((messages: readonly BusMessage[]) => void)[] = []
  readonly #outboxes = new Map<NodeId, Outbox>()
  /** The number of the last parcel of each sender. */
  readonly #last = new Map<NodeId, number>()
  readonly #counts = { sent: 0, parcels: 0, received: 0, dropped: 0, missing: 0 }
  /** Parcels made. */
  #parcels = 0
  #lastId = ''
  #untrimmed = 0
  #unwatch: Cancel | undefined
  readonly #pauses = new Set<() => void>()
  #stopped = false

  constructor(options: BusOptions) {
    this.self = options.self
    this.#options = options
    this.#bounds = { ...BOUNDS, ...options.bounds }
  }

  /** Fulfilled when the inbox is there, or when Redis could not be reached: it goes on trying then. */
  async start(): Promise<void> {
    this.#unwatch = this.#options.link.watch({ up: () => this.#endPauses() })
    await this.#open().catch(() => undefined)
    void this.#read()
    this.broadcast({ kind: HELLO, facts: null })
  }

  /** Sends what waits, for a moment, and reads no more. What others send from now on is lost. */
  async stop(): Promise<void> {
    const { clock, link } = this.#options
    let late = false
    const cancel = clock.after(LAST_MS, () => {
      late = true
      this.#endPauses()
    })
    while (!late && link.up && [...this.#outboxes.values()].some(({ sending }) => sending)) await this.#pause(10)
    cancel()
    this.#stopped = true
    this.#unwatch?.()
    this.#endPauses()
    await link.run(this.#inboxOf(this.self), ['DEL', this.#inboxOf(this.self)]).catch(() => undefined)
  }

  counts(): BusCounts {
    let waiting = 0
    for (const outbox of this.#outboxes.values())
      waiting += outbox.waiting.length + (outbox.parcel?.messages.length ?? 0)
    return { waiting, ...this.#counts }
  }

  send(to: NodeId, message: BusMessage): void {
    if (this.#stopped) return
    if (to === this.self) {
      queueMicrotask(() => this.#hand(this.self, message))
      return
    }
    let outbox = this.#outboxes.get(to)
    if (outbox === undefined) {
      outbox = { to, waiting: [], bytes: 0, number: 0, parcel: undefined, sending: false }
      this.#outboxes.set(to, outbox)
    }
    const bytes = sizeOf(message)
    outbox.waiting.push({ message, bytes, at: this.#options.clock.now() })
    outbox.bytes += bytes
    while (outbox.waiting.length > this.#bounds.messages || outbox.bytes > this.#bounds.bytes) this.#dropOldest(outbox)
    if (outbox.sending) return
    outbox.sending = true
    const chosen = outbox
    // What the same turn still sends goes along
    queueMicrotask(() => void this.#empty(chosen))
  }

  broadcast(message: BusMessage): void {
    for (const node of this.#options.living()) if (node !== this.self) this.send(node, message)
  }

  handle(kind: string, handler: (from: NodeId, message: BusMessage) => void): void {
    this.#handlers.set(kind, handler)
  }

  onMissing(handler: () => void): void {
    this.#missing.push(handler)
  }

  onUndelivered(handler: (messages: readonly BusMessage[]) => void): void {
    this.#undelivered.push(handler)
  }

  /** The heir of a process removes its inbox. */
  async forget(dead: NodeId): Promise<void> {
    this.#giveUp(dead)
    await this.#options.link.run(this.#inboxOf(dead), ['DEL', this.#inboxOf(dead)])
  }

  #inboxOf(node: NodeId): string {
    return `${this.#options.link.prefix}{inbox:${node}}`
  }

  /** One parcel after the other, until nothing waits. */
  async #empty(outbox: Outbox): Promise<void> {
    const { link, clock } = this.#options
    while (!this.#stopped) {
      this.#dropLate(outbox)
      outbox.parcel ??= this.#nextParcel(outbox)
      if (outbox.parcel === undefined) break
      const key = this.#inboxOf(outbox.to)
      const command = ['XADD', key, 'NOMKSTREAM', 'MAXLEN', '~', String(this.#bounds.inbox), '*', 'm']
      try {
        const id = await link.run(key, [...command, outbox.parcel.octets])
        if (id !== null) {
          this.#counts.sent += outbox.parcel.messages.length
          this.#counts.parcels++
          outbox.parcel = undefined
          continue
        }
        // It has no stream: gone, or about to make a new one
        if (!this.#options.living().has(outbox.to)) {
          this.#giveUp(outbox.to)
          return
        }
      } catch {
        // It waits until Redis is back
      }
      await this.#pause(PAUSE_MS)
      if (outbox.parcel && clock.now() - outbox.parcel.at > this.#bounds.waitMs) {
        this.#dropped(outbox.parcel.messages.length, outbox.to)
        outbox.parcel = undefined
      }
    }
    outbox.sending = false
    if (!this.#stopped && outbox.waiting.length === 0 && !this.#options.living().has(outbox.to)) this.#giveUp(outbox.to)
  }

  #nextParcel(outbox: Outbox): Outbox['parcel'] {
    const [first] = outbox.waiting
    if (first === undefined) return undefined
    let bytes = 0
    let count = 0
    for (const one of outbox.waiting) {
      if (count > 0 && (count >= this.#bounds.parcelMessages || bytes + one.bytes > this.#bounds.parcelBytes)) break
      bytes += one.bytes
      count++
    }
    const taken = count === outbox.waiting.length ? outbox.waiting : outbox.waiting.slice(0, count)
    outbox.waiting = count === outbox.waiting.length ? [] : outbox.waiting.slice(count)
    outbox.bytes -= bytes
    const messages = taken.map(({ message }) => message)
    const after = outbox.number
    outbox.number = ++this.#parcels
    return {
      octets: pack({ from: this.self, number: outbox.number, after, messages }),
      messages,
      at: first.at,
    }
  }

  #dropOldest(outbox: Outbox): void {
    const oldest = outbox.waiting.shift()
    if (oldest === undefined) return
    outbox.bytes -= oldest.bytes
    this.#dropped(1, outbox.to)
  }

  #dropLate(outbox: Outbox): void {
    const before = this.#options.clock.now() - this.#bounds.waitMs
    for (let first = outbox.waiting[0]; first && first.at < before; first = outbox.waiting[0]) this.#dropOldest(outbox)
  }

  /** Nobody will ever read it. */
  #giveUp(node: NodeId): void {
    const outbox = this.#outboxes.get(node)
    if (outbox === undefined) return
    const lost = [...(outbox.parcel?.messages ?? []), ...outbox.waiting.map(({ message }) => message)]
    if (lost.length > 0) this.#dropped(lost.length, node)
    outbox.waiting = []
    outbox.bytes = 0
    outbox.parcel = undefined
    outbox.sending = false
    if (!this.#options.living().has(node)) this.#outboxes.delete(node)
    if (lost.length > 0) for (const handler of this.#undelivered) handler(lost)
  }

  #dropped(messages: number, to: NodeId): void {
    this.#counts.dropped += messages
    this.#options.log.debug({ node: to, messages }, 'messages to another server are given up')
  }

  async #open(): Promise<void> {
    const { link } = this.#options
    const key = this.#inboxOf(this.self)
    const [id, fresh] = (await link.script(OPEN, [key], [String(STREAM_TTL_MS)])) as [string, number]
    if (fresh === 1 || this.#lastId === '') this.#lastId = id
    // What of it was read already is known by its numbers
    else if (isBefore(id, this.#lastId)) this.#lastId = '0-0'
  }

  async #read(): Promise<void> {
    const { link, log } = this.#options
    const key = this.#inboxOf(this.self)
    let sure = this.#lastId !== ''
    let openedAt = this.#options.clock.now()
    while (!this.#stopped) {
      try {
        if (!sure || this.#options.clock.now() - openedAt > STREAM_TTL_MS / 4) {
          await this.#open()
          openedAt = this.#options.clock.now()
        }
        const command = [
          'XREAD',
          'COUNT',
          String(READ_AT_ONCE),
          'BLOCK',
          String(BLOCK_MS),
          'STREAMS',
          key,
          this.#lastId,
        ]
        const reply = await link.blocking(key, command)
        sure = reply !== null
        if (reply !== null) this.#take(reply as [Buffer, Entry[]])
      } catch (error) {
        sure = false
        if (link.up && !this.#stopped) log.debug({ err: error }, 'the inbox of this server could not be read')
        if (!this.#stopped) await this.#pause(PAUSE_MS)
      }
    }
  }

  #take([, entries]: readonly [Buffer, readonly Entry[]]): void {
    for (const [id, fields] of entries) {
      this.#lastId = id.toString()
      const [name, octets] = fields
      if (octets !== undefined && name?.toString() === 'm') this.#unpack(octets)
    }
    this.#untrimmed += entries.length
    if (this.#untrimmed < TRIM_EVERY) return
    this.#untrimmed = 0
    const key = this.#inboxOf(this.self)
    this.#options.link.run(key, ['XTRIM', key, 'MINID', '~', this.#lastId]).catch(() => undefined)
  }

  #unpack(octets: Buffer): void {
    const { log, met } = this.#options
    const parcel = unpack(octets)
    if (parcel === undefined) {
      log.warn({ bytes: octets.length }, 'a message of another server makes no sense')
      return
    }
    const { from, number, after, messages } = parcel
    const last = this.#last.get(from) ?? 0
    // Sent again, because Redis took it without being able to say so
    if (number <= last) return
    this.#last.set(from, number)
    if (after > last) {
      this.#counts.missing++
      for (const handler of this.#missing) handler()
    }
    if (this.#last.size > MOST_SENDERS) this.#forgetSenders()
    met?.(from)
    for (const message of messages) this.#hand(from, message)
  }

  #forgetSenders(): void {
    const living = this.#options.living()
    for (const node of this.#last.keys()) if (!living.has(node)) this.#last.delete(node)
  }

  #hand(from: NodeId, message: BusMessage): void {
    this.#counts.received++
    const handler = this.#handlers.get(message.kind)
    if (handler === undefined) {
      // Of a newer version, perhaps
      if (message.kind !== HELLO) this.#options.log.debug({ kind: message.kind }, 'a message of an unknown kind')
      return
    }
    try {
      handler(from, message)
    } catch (error) {
      this.#options.log.error({ err: error, kind: message.kind }, 'a bug: please report it')
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        this.#pauses.delete(end)
        resolve()
      }
      const cancel = this.#options.clock.after(ms, end)
      this.#pauses.add(end)
    })
  }

  #endPauses(): void {
    for (const end of [...this.#pauses]) end()
  }
}

/** Says nothing but that the sender lives. */
const HELLO = 'hello'

type Entry = readonly [id: Buffer, fields: readonly Buffer[]]

/** About, without writing it down: facts are small. */
const FACTS_BYTES = 200
const sizeOf = ({ body }: BusMessage) => FACTS_BYTES + (body?.length ?? 0)

/** Of two stream ids, `milliseconds-number`. */
function isBefore(a: string, b: string): boolean {
  const [ms = 0, n = 0] = a.split('-').map(Number)
  const [otherMs = 0, otherN = 0] = b.split('-').map(Number)
  return ms < otherMs || (ms === otherMs && n < otherN)
}
