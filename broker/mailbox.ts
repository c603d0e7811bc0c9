/**
 * What was lately written to a session, kept so that the session can go on where its connection broke off. The octets
 * of a message are copied into a block of memory, behind those of the one before. There are more and larger blocks with
 * use, until the oldest one is used again: a session that nobody writes to has none, and keeping a message makes no
 * garbage. Bounded for each session, for all together ({@link Mailboxes}), and in time.
 *
 * Knows numbers and octets; who is away, and for how long, is in resumption.ts.
 */

import type { Cancel, Clock } from './clock.ts'
import { HEADROOM, type Memory, type Outgoing } from './frame.ts'

/** A message as it was sent, or would have been. */
export interface KeptFrame {
  readonly seq: number
  readonly isText: boolean
  readonly octets: Buffer
}

const SMALLEST_BLOCK = 1024

/** What a session may have is so many blocks; then the oldest makes room, so at least all but one of them are full. */
const MOST_BLOCKS = 8

/** Before each message: its length with whether it is text, its number within the block (4 octets each), and room. */
const RECORD_HEAD = 8 + HEADROOM

/** Messages one behind the other, in memory that is never cut or moved: they can leave from where they are. */
class Block implements Memory {
  readonly octets: Buffer
  /** Octets that messages have taken. */
  used = 0
  /** A socket still needs what is in it. */
  held = false
  /** Numbers of its first and its last message. */
  #first = 0
  last = 0

  constructor(size: number) {
    // Not from Node's pool: it lives long
    this.octets = Buffer.allocUnsafeSlow(size)
  }

  get size(): number {
    return this.octets.length
  }

  hold(): void {
    this.held = true
  }

  /** There must be room for it. */
  write(seq: number, frame: Outgoing): void {
    const { octets, used } = this
    if (used === 0) this.#first = seq
    octets.writeUInt32LE(frame.length * 2 + (frame.isText ? 1 : 0), used)
    octets.writeUInt32LE(seq - this.#first, used + 4)
    const at = used + RECORD_HEAD
    frame.writeTo(octets, at)
    frame.memory = this
    frame.memoryAt = at
    this.used = at + frame.length
    this.last = seq
  }

  /** Copies of its messages after this one. */
  *after(seq: number): Iterable<KeptFrame> {
    const { octets } = this
    for (let at = 0, end = 0; at < this.used; at = end) {
      const head = octets.readUInt32LE(at)
      const n = this.#first + octets.readUInt32LE(at + 4)
      const from = at + RECORD_HEAD
      end = from + (head >>> 1)
      if (n > seq) yield { seq: n, isText: (head & 1) === 1, octets: Buffer.from(octets.subarray(from, end)) }
    }
  }
}

export class Mailbox {
  readonly #all: Mailboxes
  /** Every message with a higher number is kept here, or was one that may be left out. */
  #keptAfter = 0
  #last = 0
  /** Number of the last message when the room looked last. */
  #lookedAt = 0
  /** Oldest first. */
  #blocks: Block[] = []
  /** The one that is written into. */
  #newest: Block | undefined
  #capacity = 0

  constructor(all: Mailboxes) {
    this.#all = all
  }

  /** Number of the last message. */
  get last(): number {
    return this.#last
  }

  get keptAfter(): number {
    return this.#keptAfter
  }

  /** Octets of memory that it has. */
  get capacity(): number {
    return this.#capacity
  }

  /** Message `seq`, which is the next, is kept. */
  keep(seq: number, frame: Outgoing): void {
    this.#last = seq
    const octets = RECORD_HEAD + frame.length
    let block = this.#newest
    if (block === undefined || block.used + octets > block.size) block = this.#next(octets)
    if (block === undefined) this.forget(seq)
    else block.write(seq, frame)
  }

  /** Message `seq`, which is the next, may be left out, and is not kept. */
  pass(seq: number): void {
    this.#last = seq
  }

  /** Whether everything after this message can be told again. */
  covers(seq: number): boolean {
    return seq >= this.#keptAfter && seq <= this.#last
  }

  /** Copies of all messages after this one, in order. Numbers are missing where messages may be left out. */
  after(seq: number): readonly KeptFrame[] {
    const from = Math.max(seq, this.#keptAfter)
    return this.#blocks.flatMap((block) => [...block.after(from)])
  }

  /** Takes over what another mailbox has kept. */
  restore(from: { readonly lastSeq: number; readonly keptAfter: number; readonly frames: Iterable<KeptFrame> }): void {
    this.forget(from.lastSeq)
    this.#keptAfter = from.keptAfter
    for (const frame of from.frames) if (frame.seq <= from.lastSeq) this.keep(frame.seq, new Again(frame))
    this.#last = from.lastSeq
  }

  /** Messages up to this one are kept no longer; blocks without any other are given back. */
  forget(seq: number): void {
    for (let oldest = this.#blocks[0]; oldest !== undefined && oldest.last <= seq; oldest = this.#blocks[0]) {
      this.#blocks.shift()
      this.#giveBack(oldest)
    }
    this.#newest = this.#blocks.at(-1)
    this.#keptAfter = Math.max(this.#keptAfter, seq)
    this.#last = Math.max(this.#last, seq)
  }

  /** Forgets what was there already when this was asked last. */
  growOlder(): void {
    this.forget(this.#lookedAt)
    this.#lookedAt = this.#last
  }

  /** A block with room for so many octets; undefined: there is none. It may be the oldest one, which is forgotten then. */
  #next(octets: number): Block | undefined {
    const most = this.#all.sessionBytes
    if (octets > most) return undefined
    const largest = Math.floor(most / MOST_BLOCKS)
    // It grows by as much as it has. A message that is larger than blocks are has one to itself
    const wanted = Math.max(octets, Math.min(Math.max(this.#capacity, SMALLEST_BLOCK), largest))
    for (;;) {
      const may = this.#capacity + wanted <= most
      if (may && this.#all.takes(this, wanted)) return this.#write(new Block(wanted), wanted)
      const oldest = this.#blocks.shift()
      if (oldest === undefined) return undefined
      this.#keptAfter = oldest.last
      if (oldest.size >= (may ? octets : wanted) && oldest.size <= largest && !oldest.held) {
        oldest.used = 0
        return this.#write(oldest, 0)
      }
      this.#giveBack(oldest)
    }
  }

  /** Into this block from now on, which has so many octets that it had not before. */
  #write(block: Block, more: number): Block {
    this.#capacity += more
    this.#blocks.push(block)
    this.#newest = block
    return block
  }

  #giveBack({ size }: Block): void {
    this.#capacity -= size
    this.#all.gaveBack(this, size)
  }
}

/** When a block is asked for and there is no room, so much of it all is given up: seldom, and not for each message. */
const LEFT_AFTER_EVICTION = 0.75

/** All mailboxes: what they have together, and for how long. */
export class Mailboxes {
  /** Octets that one of them may have. */
  readonly sessionBytes: number
  readonly #allBytes: number
  readonly #keepMs: number
  readonly #clock: Clock
  /** Those with a block, in the order in which they got their first. */
  readonly #used = new Set<Mailbox>()
  #bytes = 0
  #timer: Cancel | undefined

  /** What is older than `keepMs` is forgotten, at the latest after twice that time. */
  constructor(
    clock: Clock,
    limits: { readonly sessionBytes: number; readonly allBytes: number; readonly keepMs: number },
  ) {
    this.sessionBytes = limits.sessionBytes
    this.#allBytes = limits.allBytes
    this.#keepMs = limits.keepMs
    this.#clock = clock
  }

  /** Octets of memory that all of them have. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Whether the mailbox may have so many octets more. When there is no room for them, one that has less than most takes
   * it from the large ones; others make do with what they have.
   */
  takes(mailbox: Mailbox, octets: number): boolean {
    if (this.#bytes + octets > this.#allBytes) this.#makeRoom(mailbox, octets)
    if (this.#bytes + octets > this.#allBytes) return false
    this.#bytes += octets
    this.#used.add(mailbox)
    this.#timer ??= this.#later()
    return true
  }

  /** The mailbox has so many less. */
  gaveBack(mailbox: Mailbox, octets: number): void {
    this.#bytes -= octets
    if (mailbox.capacity === 0 && this.#used.delete(mailbox) && this.#used.size === 0) this.stop()
  }

  /** Nothing grows older any more. */
  stop(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  /** Nobody who floods takes from those that have little. */
  #makeRoom(asking: Mailbox, octets: number): void {
    const average = this.#bytes / this.#used.size
    if (asking.capacity + octets > average) return
    const until = this.#allBytes * LEFT_AFTER_EVICTION - octets
    for (const mailbox of this.#used) {
      if (this.#bytes <= until) return
      if (mailbox !== asking && mailbox.capacity >= average) mailbox.forget(mailbox.last)
    }
  }

  #later(): Cancel {
    return this.#clock.after(this.#keepMs, () => {
      this.#timer = this.#later()
      for (const mailbox of this.#used) mailbox.growOlder()
    })
  }
}

/** A kept message on its way out, once more. */
export class Again implements Outgoing {
  readonly #frame: Pick<KeptFrame, 'isText' | 'octets'>

  constructor(frame: Pick<KeptFrame, 'isText' | 'octets'>) {
    this.#frame = frame
  }

  get length(): number {
    return this.#frame.octets.length
  }

  get isText(): boolean {
    return this.#frame.isText
  }

  writeTo(octets: Buffer, at: number): void {
    octets.set(this.#frame.octets, at)
  }

  get text(): string {
    const { octets } = this.#frame
    if (this.#frame.isText) return octets.toString()
    // Its content-length, which is the last header, counts what is there in the place of what is no text
    const blank = octets.indexOf('\n\n')
    const head = octets.toString('utf8', 0, octets.lastIndexOf('content-length:', blank))
    const body = octets.toString('utf8', blank + 2, octets.length - 1)
    return `${head}content-length:${Buffer.byteLength(body)}\n\n${body}\0`
  }
}
