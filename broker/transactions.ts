/**
 * Transactions of one session (STOMP 1.2, BEGIN, COMMIT, ABORT): frames are held until COMMIT and then handled in
 * order, or dropped by ABORT or the end of the connection. Bounded in number, frames and octets.
 */

import { broken, exceeded, type Violation } from './errors.ts'
import { type ClientFrame, costOf } from './frame.ts'

export interface TransactionLimits {
  /** Transactions open at a time, and frames held in all of them. */
  readonly transactions: number
  readonly transactionFrames: number
  /** Octets held in all of them. */
  readonly queuedBytes: number
}

export class Transactions {
  readonly #limits: TransactionLimits
  /** Most sessions never have any. */
  #open: Map<string, ClientFrame[]> | undefined
  #frames = 0
  #bytes = 0

  constructor(limits: TransactionLimits) {
    this.#limits = limits
  }

  begin(id: string): Violation | undefined {
    if (this.#open?.has(id))
      return broken(
        'transaction begun twice',
        'A BEGIN with this transaction id came before, and neither COMMIT nor ABORT.',
      )
    this.#open ??= new Map()
    if (this.#open.size >= this.#limits.transactions)
      return exceeded(
        `more than ${this.#limits.transactions} transactions`,
        `A session may have ${this.#limits.transactions} transactions open at a time here.`,
      )
    this.#open.set(id, [])
    return undefined
  }

  /** Holds a frame that names this transaction. */
  hold(id: string, frame: ClientFrame): Violation | undefined {
    const frames = this.#open?.get(id)
    if (frames === undefined) return unknownTransaction()
    const { transactionFrames, queuedBytes } = this.#limits
    if (this.#frames + 1 > transactionFrames)
      return exceeded(
        `more than ${transactionFrames} frames in transactions`,
        `The open transactions of a session may hold ${transactionFrames} frames here.`,
      )
    const bytes = costOf(frame.headers, frame.body)
    // One frame fits, however large it may be here
    if (this.#frames > 0 && this.#bytes + bytes > queuedBytes)
      return exceeded(
        `more than ${queuedBytes} octets in transactions`,
        `The open transactions of a session may hold ${queuedBytes} octets here.`,
      )
    this.#frames++
    this.#bytes += bytes
    // The body is a slice of what was received: a copy lets go of the rest
    frames.push({ ...frame, body: Buffer.from(frame.body) })
    return undefined
  }

  /** Ends a transaction; its frames in order, for COMMIT to apply and for ABORT to forget. */
  end(id: string): readonly ClientFrame[] | Violation {
    const frames = this.#open?.get(id)
    if (frames === undefined) return unknownTransaction()
    this.#open?.delete(id)
    this.#frames -= frames.length
    for (const frame of frames) this.#bytes -= costOf(frame.headers, frame.body)
    return frames
  }
}

function unknownTransaction(): Violation {
  return broken(
    'unknown transaction',
    'No transaction with this id is open: BEGIN comes first, and COMMIT and ABORT end it.',
  )
}
