import { type Clock, systemClock } from '../../broker/clock.ts'
import type { RedisLink } from '../../src/adapters/redis/link.ts'
import { createRedisLink, type LinkObserver } from '../../src/adapters/redis/redis-link.ts'
import { readConfig } from '../../src/config.ts'

/** A link and what it has said. */
export interface LinkAtHand {
  readonly link: RedisLink
  readonly lines: string[]
  /** Fulfilled when the link is up, now or the next time. */
  up(): Promise<void>
  /** Fulfilled when the link is down, now or the next time. */
  down(): Promise<void>
}

let prefixes = 0

/** A link as the variables make it, with keys of its own unless the variables name a prefix. */
export function linkTo(
  url: string,
  more: Record<string, string> = {},
  { clock = systemClock, ...observer }: LinkObserver & { readonly clock?: Clock } = {},
): LinkAtHand {
  const prefix = `t${process.pid}-${prefixes++}:`
  const env = { AUTH_JWT_SECRET: 'a secret of more than thirty-two bytes', REDIS_PREFIX: prefix, ...more }
  const { redis } = readConfig({ ...env, REDIS_URL: url })
  if (redis === undefined) throw new Error('no REDIS_URL')
  const lines: string[] = []
  const say = (facts: object, message: string) => void lines.push(`${message} ${JSON.stringify(facts)}`)
  const link = createRedisLink(redis, { clock, log: { info: say, warn: say }, observer })
  const whenever = (event: 'up' | 'down') =>
    new Promise<void>((resolve) => {
      const off = link.watch({
        [event]: () => {
          off()
          resolve()
        },
      })
    })
  return {
    link,
    lines,
    up: () => (link.up ? Promise.resolve() : whenever('up')),
    down: () => (link.up ? whenever('down') : Promise.resolve()),
  }
}
