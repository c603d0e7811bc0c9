/**
 * Several messages as one entry of a stream: a head in JSON, and behind it the octets of their bodies, untouched.
 * Knows nothing of what the messages say.
 */

import type { NodeId } from '../../ports.ts'
import type { BusMessage } from './bus.ts'

/** What one process sends another at one time. */
export interface Parcel {
  readonly from: NodeId
  /** Grows with every parcel of this sender: what comes twice is known. */
  readonly number: number
  /** The number of the one before to the same receiver: what is missing is known. 0: there was none. */
  readonly after: number
  readonly messages: readonly BusMessage[]
}

const VERSION = 1

/** Length of the head in JSON, big-endian. */
const PREAMBLE_BYTES = 4

const NO_BODY = -1

interface Head {
  readonly v: number
  readonly f: NodeId
  readonly n: number
  readonly a: number
  /** Kind, facts, length of the body. */
  readonly m: readonly (readonly [string, unknown, number])[]
}

export function pack({ from, number, after, messages }: Parcel): Buffer {
  const m = messages.map(({ kind, facts, body }) => [kind, facts, body?.length ?? NO_BODY] as const)
  const head = Buffer.from(JSON.stringify({ v: VERSION, f: from, n: number, a: after, m } satisfies Head))
  const preamble = Buffer.allocUnsafe(PREAMBLE_BYTES)
  preamble.writeUInt32BE(head.length)
  return Buffer.concat([preamble, head, ...messages.flatMap(({ body }) => body ?? [])])
}

/** Undefined: nothing that we would have written. Bodies are views of `octets`. */
export function unpack(octets: Buffer): Parcel | undefined {
  try {
    const end = PREAMBLE_BYTES + octets.readUInt32BE()
    const { v, f, n, a, m } = JSON.parse(octets.toString('utf8', PREAMBLE_BYTES, end)) as Head
    if (v !== VERSION) return undefined
    let at = end
    const messages = m.map(([kind, facts, length]): BusMessage => {
      if (length === NO_BODY) return { kind, facts }
      const body = octets.subarray(at, at + length)
      at += length
      return { kind, facts, body }
    })
    return at === octets.length ? { from: f, number: n, after: a, messages } : undefined
  } catch {
    return undefined
  }
}
