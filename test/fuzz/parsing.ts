/**
 * The parser alone: however octets are cut, the same items come out; each takes at least one octet with it; and the
 * octets that it searches and copies are few for each that comes in.
 */

import { FamiliarHeads } from '../../broker/familiar-heads.ts'
import { type Inbound, Parser } from '../../broker/parser.ts'
import { LIMITS } from '../support/stomp-server.ts'
import { noisyOctets } from './octets.ts'
import type { Random } from './random.ts'
import { mutate, RECORDINGS } from './recordings.ts'

const SMALL = { ...LIMITS, frameBytes: 2000, headers: 10, headerBytes: 300 }
const LARGE = { ...LIMITS, frameBytes: 65_536 }

export interface Input {
  readonly octets: Buffer
  readonly version: '1.0' | '1.1' | '1.2' | undefined
  /** Lengths of pieces, taken in turn. */
  readonly cuts: readonly number[]
  readonly limits: typeof SMALL
}

export function input(random: Random): Input {
  const version = random.pick([undefined, '1.0', '1.1', '1.2', '1.2', '1.2'] as const)
  const cuts = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(random.once(2) ? 3 : 100))
  // Now and then a frame as large as may be, in single octets
  if (random.once(3000)) return { octets: large(random), version, cuts: [1], limits: LARGE }
  return { octets: some(random), version, cuts, limits: SMALL }
}

function some(random: Random): Buffer {
  if (random.once(2)) return noisyOctets(random)
  const { frames } = random.pick(RECORDINGS)
  const octets = Buffer.concat([random.pick(frames)[1], random.pick(frames)[1]])
  return random.once(4) ? octets : mutate(octets, random)
}

function large(random: Random): Buffer {
  const length = random.once(2) ? 'content-length:60000\n' : ''
  const body = random.once(2) ? Buffer.alloc(60_000, 'x') : Buffer.alloc(60_000, 'a:b\n')
  return Buffer.concat([Buffer.from(`SEND\n${length}${random.once(4) ? '' : '\n'}`), body, Buffer.of(0)])
}

/** What is wrong, if anything. */
export function inspect({ octets, version, cuts, limits }: Input): string[] {
  const whole = read([octets], version, limits)
  const cut = read(pieces(octets, cuts), version, limits)
  const familiar = new FamiliarHeads()
  read([octets], version, limits, familiar)
  const known = read(pieces(octets, cuts), version, limits, familiar)
  const wrong = [...whole.wrong, ...cut.wrong]
  if (whole.items !== known.items) wrong.push(`read: ${whole.items}\nknown by sight: ${known.items}`)
  if (whole.items !== cut.items) wrong.push(`whole: ${whole.items}\nin pieces: ${cut.items}`)
  return wrong
}

function read(chunks: readonly Buffer[], version: Input['version'], limits: typeof SMALL, familiar?: FamiliarHeads) {
  const parser = new Parser(limits, familiar)
  if (version !== undefined) parser.speak(version, limits.frameBytes)
  const wrong: string[] = []
  const items: string[] = []
  let octets = 0
  const spent = counting(() => {
    for (const chunk of chunks) {
      octets += chunk.length
      // Its own to keep
      parser.push(Buffer.from(chunk))
      for (let item = parser.next(); item !== undefined; item = parser.next()) {
        items.push(shown(item))
        if (items.length > octets + 1) break
      }
    }
  })
  if (items.length > octets + 1) wrong.push(`${items.length} items of ${octets} octets`)
  if (spent > 20 * octets + 20 * 1024) wrong.push(`${spent} octets searched and copied for ${octets}`)
  return { items: items.join('; '), wrong }
}

function shown(item: Inbound): string {
  switch (item.kind) {
    case 'frame':
      return `${item.frame.command} ${JSON.stringify(item.frame.headers)} ${item.frame.body.toString('latin1')}`
    case 'violation':
      return `${item.violation.message} (${item.violation.receipt})`
    case 'heartbeat':
      return ''
  }
}

function pieces(octets: Buffer, cuts: readonly number[]): Buffer[] {
  const result: Buffer[] = []
  for (let at = 0, turn = 0; at < octets.length; turn++) {
    const length = cuts[turn % cuts.length] as number
    result.push(octets.subarray(at, at + length))
    at += length
  }
  return result
}

let searched = 0

/** From here on the octets that buffers search, copy and make text of are counted. */
function meter(): void {
  const { indexOf, copy, toString: text } = Buffer.prototype
  Object.assign(Buffer.prototype, {
    indexOf(this: Buffer, value: number, from = 0, encoding?: BufferEncoding) {
      const found = indexOf.call(this, value, from, encoding)
      searched += (found < 0 ? this.length : found) - from
      return found
    },
    copy(this: Buffer, ...args: Parameters<Buffer['copy']>) {
      const copied = copy.apply(this, args)
      searched += copied
      return copied
    },
    toString(this: Buffer, encoding?: BufferEncoding, from = 0, to = this.length) {
      searched += to - from
      return text.call(this, encoding, from, to)
    },
  })
}

let metered = false

function counting(work: () => void): number {
  if (!metered) meter()
  metered = true
  searched = 0
  work()
  return searched
}
