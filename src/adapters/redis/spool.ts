/**
 * Records that wait for the database, in Redis: all processes share them, and whichever finds the database again writes
 * them, one process at a time. Answers the {@link Spool} port. On the keys `{history}…`:
 *
 *     spool   list    records, the oldest first
 *     bytes   number  their octets
 *     lock    text    the process that is at it, for a while
 */

import type { Spool } from '../../history/ports.ts'
import type { CallRecord } from '../../history/types.ts'
import type { NodeId } from '../../ports.ts'
import type { RedisLink, Script } from './link.ts'

export interface RedisSpoolOptions {
  readonly link: RedisLink
  readonly self: NodeId
  readonly mostBytes: number
}

/** Who has peeked and does not come back: another one goes on after that. */
const LOCK_MS = 10_000

export class RedisSpool implements Spool {
  readonly #options: RedisSpoolOptions
  readonly #keys: readonly [string, string, string]

  constructor(options: RedisSpoolOptions) {
    this.#options = options
    const key = (name: string) => `${options.link.prefix}{history}${name}`
    this.#keys = [key('spool'), key('bytes'), key('lock')]
  }

  async put(records: readonly CallRecord[]): Promise<boolean> {
    const { link, mostBytes } = this.#options
    const texts = records.map((record) => JSON.stringify(record))
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    return (await link.script(PUT, this.#keys, [String(mostBytes), String(bytes), ...texts])) === 1
  }

  /** Nothing, while another process is at it. */
  async peek(atMost: number): Promise<readonly CallRecord[]> {
    const { link, self } = this.#options
    const found = await link.script(PEEK, this.#keys, [self, String(LOCK_MS), String(atMost)])
    return (found as readonly string[]).map((text) => JSON.parse(text) as CallRecord)
  }

  async done(records: readonly CallRecord[]): Promise<void> {
    const { link, self } = this.#options
    await link.script(DONE, this.#keys, [self, String(records.length)])
  }

  async size(): Promise<{ readonly records: number; readonly bytes: number }> {
    const { link } = this.#options
    const [records, bytes] = (await link.script(SIZE, this.#keys, [])) as readonly [number, string]
    return { records, bytes: Number(bytes) }
  }

  stop(): void {}
}

const PUT: Script = {
  name: 'history.put',
  source: `
local most, more = tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
if bytes + more > most then return 0 end
for at = 3, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[at]) end
redis.call('SET', KEYS[2], bytes + more)
return 1
`,
}

/** Whoever asks again without having been done could not write them: others, who perhaps can, have their turn first. */
const PEEK: Script = {
  name: 'history.peek',
  source: `
local holder = redis.call('GET', KEYS[3])
if holder then
  if holder == ARGV[1] then redis.call('DEL', KEYS[3]) end
  return {}
end
local found = redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
if #found > 0 then redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2]) end
return found
`,
}

/** Whose time was over must not take away what another one has peeked: it is written again then. */
const DONE: Script = {
  name: 'history.done',
  source: `
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
local count = tonumber(ARGV[2])
local bytes = tonumber(redis.call('GET', KEYS[2]) or '0')
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, count - 1)) do bytes = bytes - string.len(text) end
redis.call('LTRIM', KEYS[1], count, -1)
redis.call('DEL', KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], math.max(bytes, 0)) end
return 1
`,
}

const SIZE: Script = {
  name: 'history.size',
  source: `return { redis.call('LLEN', KEYS[1]), redis.call('GET', KEYS[2]) or '0' }`,
}
