/**
 * One session under fire: what goes in, and everything that a server owes to whoever sends it. It reads what comes out
 * strictly, with a reader of its own, and keeps what is wrong in `faults`.
 */

import type { Broker } from '../../broker/index.ts'
import { type MemoryPeer, memoryPair } from '../../broker/transports/memory.ts'

/** Stand in whatever is sent for the id of the session, and for six letters that are different in every case. */
export const SESSION = '%SESSION%'
export const TAG = '%TAG__'

/** Stand for what the party's earlier connection was told: its `resume-id`, and the last number that it has heard. */
export const RESUME_ID = '%RESUME%'
export const LAST_SEQ = '%SEQ%'

/** What bystanders say to each other; nobody else may ever hear it. */
export const SECRET = 'for your ears only'

export interface Received {
  readonly command: string
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

const LF = 10
const NUL = 0

/** RFC 6455 and its registry: what a broker may close with. 1006 is a peer that did not take its good-bye in time. */
const CLOSE_CODES = new Set([1000, 1002, 1006, 1008, 1011, 1012, 4001])

export class Party {
  readonly end: MemoryPeer
  readonly faults: string[] = []
  readonly messages: Received[] = []
  id = ''
  resumeId = ''
  lastSeq = 0
  closed: number | undefined
  #error: string | undefined
  /** NULs sent: there cannot have been more frames. */
  #sent = 0
  #answers = 0
  #left = false
  readonly #trusted: boolean
  readonly #tag: string
  readonly #receipts = new Map<string, number>()
  /** The connection that this one may go on with. */
  readonly #former: Party | undefined
  /** The number that it said to have heard. */
  #claimed = 0

  /** `trusted`: may hear the secret, and keeps its messages. */
  constructor(
    broker: Broker,
    { trusted = false, tag = '', former }: { trusted?: boolean; tag?: string; former?: Party | undefined },
  ) {
    this.#former = former
    const { connection, peer } = memoryPair({ address: `address ${tag}` })
    this.#tag = tag
    this.#trusted = trusted
    this.end = peer
    peer.onData = (data) => this.#read(data)
    peer.onPing = () => peer.pong()
    peer.onClose = (code) => {
      this.closed = code
      if (!this.#left && !CLOSE_CODES.has(code)) this.faults.push(`closed with ${code}`)
    }
    broker.accept(connection)
  }

  /** Octets in pieces of `cut` octets; 0: whole. */
  send(octets: Buffer, cut = 0): void {
    const whole = octets.includes('%') ? this.#filledIn(octets) : octets
    if (this.id === '')
      this.#claimed = Number(/\nlast-seq:(\d{1,15})\n/.exec(whole.toString('latin1'))?.[1] ?? this.#claimed)
    for (let at = whole.indexOf(NUL); at >= 0; at = whole.indexOf(NUL, at + 1)) this.#sent++
    if (cut <= 0) this.end.send(whole)
    else for (let at = 0; at < whole.length; at += cut) this.end.send(whole.subarray(at, at + cut))
  }

  /** Goes without a word. */
  leave(): void {
    this.#left = true
    this.end.close(1001)
  }

  /** How often this receipt was given, by RECEIPT or ERROR. */
  receipts(id: string): number {
    return this.#receipts.get(id) ?? 0
  }

  /** Nothing is under way any more: what must have happened has happened. */
  judge(): void {
    if (this.#error !== undefined && this.closed === undefined) this.faults.push(`open after ERROR: ${this.#error}`)
    // A frame that is too large is answered before its NUL has come
    if (this.#answers > this.#sent + 1) this.faults.push(`${this.#answers} answers to ${this.#sent} frames`)
  }

  #read(data: Buffer): void {
    let at = 0
    while (at < data.length) {
      if (this.#error !== undefined) this.faults.push(`written after ERROR: ${data.toString('utf8', at, at + 100)}`)
      if (data[at] === LF) at++
      else at = this.#readFrame(data, at)
    }
  }

  /** Where the frame ends. */
  #readFrame(data: Buffer, from: number): number {
    const blank = data.indexOf('\n\n', from)
    const [command = '', ...lines] = data.toString('utf8', from, blank).split('\n')
    const headers = new Map<string, string>()
    for (const line of lines) {
      const colon = line.indexOf(':')
      if (colon < 1) this.#wrong(`header ${line}`, data)
      const name = line.slice(0, colon)
      if (!headers.has(name)) headers.set(name, line.slice(colon + 1))
    }
    const length = headers.get('content-length')
    const end = length === undefined ? data.indexOf(NUL, blank) : blank + 2 + Number(length)
    if (blank < 0 || data[end] !== NUL) this.#wrong('no frame', data)
    this.#hear({ command, headers, body: data.subarray(blank + 2, end) }, data)
    return end < 0 ? data.length : end + 1
  }

  #hear(frame: Received, data: Buffer): void {
    const { command, headers, body } = frame
    if (!this.#trusted && body.includes(SECRET)) this.#wrong('heard what others say', data)
    const receipt = headers.get('receipt-id')
    switch (command) {
      case 'CONNECTED':
        if (this.id !== '') this.#wrong('CONNECTED twice', data)
        this.id = headers.get('session') ?? ''
        this.resumeId = headers.get('resume-id') ?? ''
        this.#connected(headers.get('resumed'), data)
        break
      case 'MESSAGE':
        if (!headers.get('destination') || !headers.get('message-id')) this.#wrong('lacks headers', data)
        this.#count(Number(headers.get('seq')), data)
        if (this.#trusted) this.messages.push(frame)
        break
      case 'ERROR':
        this.#error = headers.get('message') ?? 'without message'
        this.#answers++
        break
      case 'RECEIPT':
        if (receipt === undefined) this.#wrong('lacks receipt-id', data)
        this.#answers++
        break
      default:
        this.#wrong('unknown command', data)
    }
    if (receipt !== undefined && command !== 'MESSAGE') this.#receipts.set(receipt, this.receipts(receipt) + 1)
  }

  /** Numbers go on where the earlier connection of the session has broken off. */
  #connected(resumed: string | undefined, data: Buffer): void {
    const former = this.#former
    const isSame = former !== undefined && former.id !== '' && this.id === former.id
    if (isSame !== (resumed === 'true')) this.#wrong(`resumed:${resumed} of ${former?.id}`, data)
    if (isSame && this.resumeId !== former.resumeId) this.#wrong('another resume-id', data)
    if (isSame) this.lastSeq = this.#claimed
  }

  #count(seq: number, data: Buffer): void {
    if (!(seq > this.lastSeq)) this.#wrong(`message ${seq} after ${this.lastSeq}`, data)
    this.lastSeq = seq
  }

  #filledIn(octets: Buffer): Buffer {
    const text = octets
      .toString('latin1')
      .replaceAll(TAG, this.#tag)
      .replaceAll(SESSION, this.id)
      .replaceAll(RESUME_ID, this.#former?.resumeId ?? '')
      .replaceAll(LAST_SEQ, String(this.#former?.lastSeq ?? 0))
    return Buffer.from(text, 'latin1')
  }

  #wrong(what: string, data: Buffer): void {
    this.faults.push(`${what}: ${JSON.stringify(data.toString('latin1').slice(0, 300))}`)
  }
}
