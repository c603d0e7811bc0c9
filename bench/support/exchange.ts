/**
 * Messages to and fro between pairs, in a closed loop: each answers as soon as it hears, so that one message of each
 * pair is always under way. Checks that every body arrives whole.
 */

import { performance } from 'node:perf_hooks'
import { costOf, type Meter } from './cpu.ts'
import type { Peer } from './peer.ts'
import { median, percentile } from './stats.ts'

/** One side of a pair. */
export interface Side {
  readonly peer: Peer
  /** What it sends, ready made. */
  readonly says: Buffer
  /** How everything that it hears must end. */
  readonly hears: Buffer
}

export type Pair = readonly [Side, Side]

export interface Round {
  /** That were delivered. */
  readonly messages: number
  /** Of the server, for each delivered message. */
  readonly microsPerMessage: number
  readonly perSecond: number
  /** Milliseconds from SEND to MESSAGE. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Of the server's core, 0 to 1. Near 1 the server is what limits the rate. */
  readonly busy: number
}

/** One round of so many seconds with an idle server before and after it. */
export async function exchange(server: Meter, pairs: readonly Pair[], seconds: number): Promise<Round> {
  const { cpuMicros, latencies, elapsed } = await costOf(server, () => talk(pairs, seconds))
  return {
    messages: latencies.length,
    microsPerMessage: cpuMicros / latencies.length,
    perSecond: latencies.length / elapsed,
    p50: median(latencies),
    p99: percentile(latencies, 0.99),
    p999: percentile(latencies, 0.999),
    busy: cpuMicros / elapsed / 1e6,
  }
}

function talk(pairs: readonly Pair[], seconds: number): Promise<{ latencies: number[]; elapsed: number }> {
  const latencies: number[] = []
  const begin = performance.now()
  const end = begin + seconds * 1000
  let talking = pairs.length
  return new Promise((resolve) => {
    for (const [one, other] of pairs) {
      let sent = 0
      const answers = ({ peer, says, hears }: Side): void => {
        peer.onMessage = (frame) => {
          if (!endsWith(frame, hears)) throw new Error(`not what was sent: ${frame.toString()}`)
          const now = performance.now()
          latencies.push(now - sent)
          if (now < end) {
            sent = now
            peer.send(says)
          } else if (--talking === 0) resolve({ latencies, elapsed: (now - begin) / 1000 })
        }
      }
      answers(one)
      answers(other)
      sent = performance.now()
      one.peer.send(one.says)
    }
  })
}

/** Without a new Buffer for each message. */
function endsWith(frame: Buffer, end: Buffer): boolean {
  return frame.length >= end.length && frame.compare(end, 0, end.length, frame.length - end.length) === 0
}
