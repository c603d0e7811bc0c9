import type { Writable } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import * as ws from 'ws'
import { PlainMessages } from '../../broker/transports/plain-messages.ts'

const MOST = 1_000_000

/** Its types do not know that ws exports it. */
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable }

interface Frame {
  readonly first: number
  readonly payload: Buffer
  readonly mask: Buffer | undefined
  /** The length is written longer than it need be. */
  readonly long: boolean
}

function frameOf({ first, payload, mask, long }: Frame): Buffer {
  const masked = mask === undefined ? 0 : 0x80
  const { length } = payload
  const head =
    length > 65_535
      ? [first, masked | 127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255]
      : length > 125 || long
        ? [first, masked | 126, length >> 8, length & 255]
        : [first, masked | length]
  const body = mask === undefined ? payload : payload.map((octet, i) => octet ^ (mask[i % 4] as number))
  return Buffer.concat([Buffer.from(head), mask ?? Buffer.alloc(0), body])
}

type Heard = readonly [what: string, octets: string]

/** What ws makes of it alone, or after messages were read the short way. */
async function heardBy(chunks: readonly Buffer[], short: boolean): Promise<{ heard: Heard[]; shortly: number }> {
  const heard: Heard[] = []
  const receiver = new Receiver({ isServer: true, maxPayload: MOST, allowSynchronousEvents: true })
  const note = (what: string) => (octets: Buffer) => heard.push([what, octets.toString('latin1')])
  let shortly = 0
  const plain = new PlainMessages({
    message(octets) {
      shortly++
      note('message')(octets)
    },
    other: (octets) => void receiver.write(octets),
  })
  receiver.on('message', note('message')).on('ping', note('ping')).on('pong', note('pong'))
  receiver.on('conclude', (code: number, reason: Buffer) => heard.push(['close', `${code} ${reason}`]))
  receiver.on('error', (error: Error) => {
    plain.stop()
    heard.push(['error', (error as Error & { code: string }).code])
  })
  // As sockets do it: every chunk comes in a turn of its own, all of them in the same memory
  const shared = Buffer.alloc(chunks.reduce((most, { length }) => Math.max(most, length), 200_000))
  for (const chunk of chunks) {
    chunk.copy(shared)
    if (!short) receiver.write(Buffer.from(chunk))
    else plain.receive(shared, chunk.length)
    await new Promise((resolve) => setImmediate(resolve))
    if (heard.at(-1)?.[0] === 'error') break
  }
  return { heard, shortly }
}

const TEXT = 0x81
const BINARY = 0x82

const kind = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(TEXT, BINARY) },
  // Fragments, control frames; reserved bits and opcodes
  { weight: 2, arbitrary: fc.constantFrom(0x01, 0x02, 0x00, 0x80, 0x89, 0x8a) },
  { weight: 1, arbitrary: fc.constantFrom(0x88, 0xc1, 0x83, 0x09, 0x8f) },
)
const payload = fc.oneof(
  fc.string({ maxLength: 40 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 40 }).map((octets) => Buffer.from(octets)),
  fc.integer({ min: 100, max: 300 }).map((length) => Buffer.alloc(length, 'abc')),
  fc.constantFrom(5_000, 65_535, 66_000).map((length) => Buffer.alloc(length, 'é')),
)
const mask = fc.oneof(
  { weight: 20, arbitrary: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((octets) => Buffer.from(octets)) },
  { weight: 1, arbitrary: fc.constant(undefined) },
)
const frame = fc.record({ first: kind, payload, mask, long: fc.boolean() })

function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (octets.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, i) => octets.subarray(from, at[i] ?? octets.length))
}

describe('messages that are read the short way', () => {
  test('are what the whole protocol makes of the same octets, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 5 }),
        async (frames, places) => {
          const chunks = cut(Buffer.concat(frames.map(frameOf)), places)
          const [long, short] = await Promise.all([heardBy(chunks, false), heardBy(chunks, true)])
          expect(short.heard).toEqual(long.heard)
        },
      ),
      { numRuns: 300 },
    )
  })

  const key = Buffer.from([1, 2, 3, 4])
  const message = (text: string) => frameOf({ first: TEXT, payload: Buffer.from(text), mask: key, long: false })

  test('are whole ones, several at a time', async () => {
    const { heard, shortly } = await heardBy(
      [Buffer.concat([message('a'), message('é'.repeat(100)), message('')])],
      true,
    )
    expect(heard.map(([, octets]) => octets.length)).toEqual([1, 200, 0])
    expect(shortly).toBe(3)
  })

  test('come again once a frame in pieces is complete', async () => {
    const octets = message('in pieces')
    const chunks = [octets.subarray(0, 1), octets.subarray(1, 7), octets.subarray(7), message('whole')]
    const { heard, shortly } = await heardBy(chunks, true)
    expect(heard).toEqual([
      ['message', 'in pieces'],
      ['message', 'whole'],
    ])
    expect(shortly).toBe(1)
  })

  test('end with the close frame', async () => {
    const close = frameOf({ first: 0x88, payload: Buffer.from([3, 232]), mask: key, long: false })
    const { heard } = await heardBy([close, message('too late')], true)
    expect(heard).toEqual([['close', '1000 ']])
  })
})
