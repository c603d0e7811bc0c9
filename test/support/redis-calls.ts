import { systemClock } from '../../broker/clock.ts'
import type { BusMessage } from '../../src/adapters/redis/bus.ts'
import { RedisCallStore } from '../../src/adapters/redis/call-store.ts'
import type { RedisLink } from '../../src/adapters/redis/link.ts'
import { type LinkAtHand, linkTo } from './redis-link.ts'

type Handler = (from: string, message: BusMessage) => void

/** A bus between stores of one process: what is sent is there at once, or when the test lets it through. */
export class FakeBuses {
  readonly #handlers = new Map<string, Map<string, Handler>>()
  readonly sent: { to: string; kind: string; facts: unknown }[] = []
  readonly #missing = new Map<string, () => void>()
  /** Nothing passes while it is true, nor afterwards. */
  cut = false

  /** Tells it that something was lost on the way. */
  misses(self: string): void {
    this.#missing.get(self)?.()
  }

  of(self: string) {
    const mine = new Map<string, Handler>()
    this.#handlers.set(self, mine)
    return {
      self,
      onMissing: (handler: () => void) => void this.#missing.set(self, handler),
      handle: (kind: string, handler: Handler) => void mine.set(kind, handler),
      send: (to: string, message: BusMessage) => {
        this.sent.push({ to, kind: message.kind, facts: message.facts })
        if (!this.cut) this.#handlers.get(to)?.get(message.kind)?.(self, message)
      },
    }
  }
}

export interface StoreAtHand extends LinkAtHand {
  readonly store: RedisCallStore
  readonly node: string
  stop(): Promise<void>
}

/** The time of this machine, which is that of a Redis beside it. */
export const redisTime = { redisNow: () => Date.now(), measure: async () => undefined }

export interface StoreOptions {
  readonly node?: string
  readonly buses?: FakeBuses
  readonly variables?: Record<string, string>
  readonly time?: typeof redisTime
  readonly mostAtHand?: number
  /** Puts something between the store and its link. */
  readonly through?: (link: RedisLink) => RedisLink
}

export async function storeAt(url: string, options: StoreOptions = {}): Promise<StoreAtHand> {
  const { node = 'a', buses = new FakeBuses(), variables = {}, time = redisTime, through = (link) => link } = options
  const { mostAtHand } = options
  const at = linkTo(url, variables)
  await at.up()
  const store = new RedisCallStore({
    link: through(at.link),
    bus: buses.of(node),
    clock: systemClock,
    redisTime: time,
    ...(mostAtHand !== undefined && { mostAtHand }),
  })
  return {
    ...at,
    store,
    node,
    async stop() {
      await store.stop()
      await at.link.stop()
    },
  }
}
