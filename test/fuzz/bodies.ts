/** Bodies of messages: whatever they are, they are taken or refused in words, and what was taken can be written again. */

import { CallHangup, CallRequest, CallResponse, CallRinging, Signal } from '../../src/calls/messages.ts'
import { StatusQuery } from '../../src/presence/messages.ts'
import { parseBody } from '../../src/validation.ts'
import type { Random } from './random.ts'
import { mutate } from './recordings.ts'

const SCHEMAS = { CallRequest, CallResponse, CallHangup, CallRinging, Signal, StatusQuery }

const SEEDS = [
  '{"callId":"c","type":"VIDEO","callee":"bob","callerUserName":"Alice","timeout":30,"glare":"accept","x":{"y":[1]}}',
  '{"callId":"c","type":"ACCEPT","reason":null}',
  '{"callId":"c","type":"REJECT","reason":"BUSY"}',
  '{"callId":"c"}',
  '{"callId":"c","type":"OFFER","payload":"v=0\\r\\n"}',
  '{"callId":"c","type":"ICE_CANDIDATE","payload":{"candidate":"","sdpMid":"0","sdpMLineIndex":0}}',
  '["alice","bob"]',
].map((text) => Buffer.from(text))

const INSERTS = [
  '"__proto__":{"callId":"x"},', '"constructor":1,', '"toString":null,', '"callId":"d",', '"type":"OFFER",', '[[[[',
  '{"a":', '\\ud800', '\\u0000', '1e999', '-0', '\ud83d', 'null', '"\u2028"', '\ufeff', '9'.repeat(400),
].map((text) => Buffer.from(text)) // biome-ignore format: a table of words

const BOMBS = [
  Buffer.from('['.repeat(100_000)),
  Buffer.from(`{"callId":"c","callee":"b","callerUserName":"a","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}`),
  Buffer.from(`[${'1,'.repeat(100_000)}1]`),
  Buffer.from(`{"callId":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`),
]

export interface Body {
  readonly schema: keyof typeof SCHEMAS
  readonly octets: Buffer
}

export function body(random: Random): Body {
  const schema = random.pick(Object.keys(SCHEMAS) as (keyof typeof SCHEMAS)[])
  if (random.once(2000)) return { schema, octets: random.pick(BOMBS) }
  return { schema, octets: bodyOctets(random) }
}

export function bodyOctets(random: Random): Buffer {
  let octets: Buffer = random.pick(SEEDS)
  const changes = random.below(4)
  for (let change = 0; change < changes && octets.length > 0; change++) {
    const at = random.below(octets.length + 1)
    octets = random.once(2)
      ? mutate(octets, random)
      : Buffer.concat([octets.subarray(0, at), random.pick(INSERTS), octets.subarray(at)])
  }
  return octets
}

/** What is wrong, if anything. */
export function inspectBody({ schema, octets }: Body): string[] {
  const outcome = parseBody(SCHEMAS[schema], octets)
  if (outcome.ok) {
    // Messages are written again for the devices that they ring, and compared by what is written
    JSON.stringify(outcome.data)
    return []
  }
  const wrong: string[] = []
  if (outcome.code !== 400) wrong.push(`refused with ${outcome.code}`)
  // What is said back is bounded by what came
  if (outcome.message.length > 1000 + 100 * octets.length) wrong.push(`${outcome.message.length} characters of refusal`)
  return wrong
}
