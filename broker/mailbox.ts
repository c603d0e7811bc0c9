/**
 * What was lately written to a session, kept so that the session can go on where its connection broke off. The octets
 * of a message are copied into a ring that grows with use: a session that nobody writes to has none, and keeping a
 * message makes no garbage. Bounded for each session, for all together ({@link Mailboxes}), and in time.
 *
 * Knows numbers and octets; who is away, and for how long, is in resumption.ts.
 */

import type { Cancel, Clock } from './clock.ts'
import type { Outgoing } from './frame.ts'

/** A message as it was sent, or would have been. */
export interface KeptFrame {
  readonly seq: number
  readonly isText: boolean
  readonly octets: Buffer
}

const SMALLEST_RING = 1024

/** Before each message: its length with whether it is text (4 octets), and its number (8). */
const RECORD_HEAD = 12

export class Mailbox {
  readonly #all: Mailboxes
  /** Every message with a higher number is kept here, or was one that may be left out. */
  #keptAfter = 0
  #last = 0
  /** Number of the last message when the room looked last. */
  #lookedAt = 0
  #count = 0
  #ring: Buffer | undefined
  /** Where the oldest message is, and where the next one goes. */
  #head = 0
  #tail = 0
  /** Where the messages before the beginning of the ring end, while they go on from there. */
  #wrapsAt: number | undefined

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
    return this.#ring?.length ?? 0
  }

  /** Message `seq`, which is the next, is kept. */
  keep(seq: number, frame: Outgoing): void {
    this.#last = seq
    const octets = RECORD_HEAD + frame.length
    const at = this.#placeFor(octets)
    const ring = this.#ring
    if (at === undefined || ring === undefined) {
      this.forget(seq)
      return
    }
    ring.writeUInt32LE(frame.length * 2 + (frame.isText ? 1 : 0), at)
    ring.writeDoubleLE(seq, at + 4)
    frame.writeTo(ring, at + RECORD_HEAD)
    this.#tail = at + octets
    this.#count++
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
    const frames: KeptFrame[] = []
    const ring = this.#ring
    let at = this.#head
    for (let i = 0; i < this.#count && ring !== undefined; i++) {
      if (at === this.#wrapsAt) at = 0
      const head = ring.readUInt32LE(at)
      const n = ring.readDoubleLE(at + 4)
      const from = at + RECORD_HEAD
      at = from + (head >>> 1)
      if (n > seq) frames.push({ seq: n, isText: (head & 1) === 1, octets: Buffer.from(ring.subarray(from, at)) })
    }
    return frames
  }

  /** Takes over what another mailbox has kept. */
  restore(from: { readonly lastSeq: number; readonly keptAfter: number; readonly frames: Iterable<KeptFrame> }): void {
    this.forget(from.lastSeq)
    this.#keptAfter = from.keptAfter
    for (const frame of from.frames) if (frame.seq <= from.lastSeq) this.keep(frame.seq, new Again(frame))
    this.#last = from.lastSeq
  }

  /** Messages up to this one are kept no longer; without any there is no ring. */
  forget(seq: number): void {
    while (this.#count > 0 && this.#ring !== undefined && this.#ring.readDoubleLE(this.#head + 4) <= seq)
      this.#dropOldest()
    this.#keptAfter = Math.max(this.#keptAfter, seq)
    this.#last = Math.max(this.#last, seq)
    if (this.#count > 0 || this.#ring === undefined) return
    this.#all.gaveBack(this, this.#ring.length)
    this.#ring = undefined
    this.#head = this.#tail = 0
    this.#wrapsAt = undefined
  }

  /** Forgets what was there already when this was asked last. */
  growOlder(): void {
    this.forget(this.#lookedAt)
    this.#lookedAt = this.#last
  }

  /** Where so many octets go; undefined: nowhere. What is oldest makes room for them. */
  #placeFor(octets: number): number | undefined {
    const most = this.#all.sessionBytes
    if (octets > most) return undefined
    for (;;) {
      const place = this.#freePlace(octets)
      if (place !== undefined) return place
      if (this.capacity < most && this.#grow(octets)) continue
      if (this.#count === 0) return undefined
      this.#dropOldest()
    }
  }

  /** A message is never cut: one that does not fit before the end of the ring goes to its beginning. */
  #freePlace(octets: number): number | undefined {
    if (this.#count === 0) {
      this.#head = this.#tail = 0
      this.#wrapsAt = undefined
    }
    const end = this.#wrapsAt === undefined ? this.capacity : this.#head
    if (this.#tail + octets <= end) return this.#tail
    if (this.#wrapsAt !== undefined || octets > this.#head) return undefined
    this.#wrapsAt = this.#tail
    return 0
  }

  #grow(octets: number): boolean {
    const { capacity } = this
    let wanted = Math.max(2 * capacity, SMALLEST_RING)
    while (wanted < capacity + octets) wanted *= 2
    const larger = Math.min(wanted, this.#all.sessionBytes)
    if (!this.#all.takes(this, larger - capacity)) return false
    // Not from Node's pool: it lives long
    const ring = Buffer.allocUnsafeSlow(larger)
    const end = this.#wrapsAt ?? this.#tail
    let used = this.#ring?.copy(ring, 0, this.#head, end) ?? 0
    if (this.#wrapsAt !== undefined) used += this.#ring?.copy(ring, used, 0, this.#tail) ?? 0
    this.#ring = ring
    this.#head = 0
    this.#tail = used
    this.#wrapsAt = undefined
    return true
  }

  #dropOldest(): void {
    const ring = this.#ring
    if (ring === undefined || this.#count === 0) return
    this.#keptAfter = ring.readDoubleLE(this.#head + 4)
    this.#head += RECORD_HEAD + (ring.readUInt32LE(this.#head) >>> 1)
    this.#count--
    if (this.#head !== this.#wrapsAt) return
    this.#head = 0
    this.#wrapsAt = undefined
  }
}

/** When a ring is asked for and there is no room, so much of it all is given up: seldom, and not for each message. */
const LEFT_AFTER_EVICTION = 0.75

/** All mailboxes: what they have together, and for how long. */
export class Mailboxes {
  /** Octets that one of them may have. */
  readonly sessionBytes: number
  readonly #allBytes: number
  readonly #keepMs: number
  readonly #clock: Clock
  /** Those with a ring, in the order in which they got it. */
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

  /** The mailbox has none any more. */
  gaveBack(mailbox: Mailbox, octets: number): void {
    if (!this.#used.delete(mailbox)) return
    this.#bytes -= octets
    if (this.#used.size === 0) this.stop()
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
