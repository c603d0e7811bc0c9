/** Octets that make no sense, or nearly some: before a login, behind one, or in the middle of a frame. */

import type { Case, Step } from './case.ts'
import { TAG } from './party.ts'
import type { Random } from './random.ts'

/** What frames are made of. */
const WORDS = [
  '\0', '\0', '\n', '\n', '\n\n', '\r\n', '\r', ':', '\\', '\\n', '\\c', '\\x', ',', ' ', '/', '[', '{', '"',
  'SEND\n', 'CONNECT\n', 'SUBSCRIBE\n', 'BEGIN\n', 'COMMIT\n', 'ACK\n', 'DISCONNECT\n\n\0', 'STOMP\n', 'MESSAGE\n',
  'destination:', 'id:', 'receipt:', 'content-length:', 'transaction:', 'accept-version:', 'heart-beat:',
  '/app/call/request', '/topic/open.a', '/queue/open.a', '/user/queue/errors', '1.2', '10', '0', '-1',
  '4294967296', '__proto__', '\xff\xfe', '\xed\xa0\x80', '\xc0\x80', '\xef\xbb\xbf', '\xf0\x9f\x93\x9e',
].map((word) => Buffer.from(word, 'latin1')) // biome-ignore format: a table of words

const LOGIN = Buffer.from(`CONNECT\naccept-version:1.2\nhost:x\nide:u${TAG}\n\n\0`)
const OPENINGS = [
  'SEND\ndestination:/app/call/request\ncontent-length:20\n\n{"ca',
  'SEND\ndestination:/topic/open.a\n',
  'SUBSCRIBE\nid:a\ndestination:/topic/op',
  'SEND\ndestination:/queue/open.a\n\n',
  '\n\n\n',
].map((text) => Buffer.from(text))

/** One session, or none, and noise. */
export function noise(random: Random): Case {
  const steps: Step[] = []
  if (!random.once(4)) steps.push(send(LOGIN, random.once(8) ? 1 : 0, random.once(2)))
  if (random.once(3)) steps.push(send(random.pick(OPENINGS), 0, false))
  const pieces = 1 + random.below(3)
  for (let piece = 0; piece < pieces; piece++) {
    const octets = random.once(3) ? blindOctets(random) : wordOctets(random)
    steps.push(send(octets, random.once(4) ? 1 + random.below(9) : 0, random.once(4)))
  }
  return { parties: 1, steps }
}

/** The same octets, for whoever wants nothing else. */
export function noisyOctets(random: Random): Buffer {
  return random.once(3) ? blindOctets(random) : wordOctets(random)
}

function send(octets: Buffer, cut: number, settles: boolean): Step {
  return { kind: 'send', who: 0, octets, cut, settles }
}

function blindOctets(random: Random): Buffer {
  // Once in a while more than a frame may have
  const octets = Buffer.allocUnsafe(random.once(100) ? random.below(10_000) : random.below(120))
  for (let at = 0; at < octets.length; at++) octets[at] = random.bits()
  return octets
}

function wordOctets(random: Random): Buffer {
  const words = Array.from({ length: random.below(20) }, () => random.pick(WORDS))
  return Buffer.concat(words)
}
