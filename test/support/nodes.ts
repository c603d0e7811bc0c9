import { systemClock } from '../../broker/clock.ts'
import type { BusMessage } from '../../src/adapters/redis/bus.ts'
import { LeasedMembers } from '../../src/adapters/redis/members.ts'
import { type BusBounds, StreamBus } from '../../src/adapters/redis/stream-bus.ts'
import { type LinkAtHand, linkTo } from './redis-link.ts'

/** What several processes share, as far as it is below the domain; each in this process, with a link of its own. */
export interface NodeAtHand extends LinkAtHand {
  readonly id: string
  readonly bus: StreamBus
  readonly members: LeasedMembers
  /** Everything of the kind `say` that has arrived: `from text`. */
  readonly heard: string[]
  /** Fulfilled when so many have arrived. */
  hears(count: number): Promise<string[]>
  says(to: string, text: string): void
  /** Gone without a word: its connections are cut, its lease runs out. */
  dies(): Promise<void>
  stop(): Promise<void>
}

export const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

export interface NodeOptions {
  readonly url: string
  readonly prefix: string
  readonly mode?: string
  readonly leaseMs?: number
  readonly renewMs?: number
  readonly bounds?: Partial<BusBounds>
}

let nodes = 0

/** Members and bus, running. */
export async function nodeAt({ url, prefix, mode = 'single', bounds, ...lease }: NodeOptions): Promise<NodeAtHand> {
  const id = `node${nodes++}`
  const at = linkTo(url, { REDIS_PREFIX: prefix, REDIS_MODE: mode })
  await at.up()
  const world = { self: id, link: at.link, clock: systemClock, log: quiet }
  const members = new LeasedMembers({
    ...world,
    ...lease,
    facts: () => ({ name: `called ${id}`, version: '0', startedAt: 1 }),
  })
  const bus = new StreamBus({
    ...world,
    living: () => members.living(),
    met: (node) => members.met(node),
    ...(bounds && { bounds }),
  })
  const heard: string[] = []
  let wake: (() => void)[] = []
  bus.handle('say', (from, { facts, body }: BusMessage) => {
    heard.push(`${from} ${body?.toString() ?? String(facts)}`)
    for (const one of wake.splice(0)) one()
  })
  await members.start()
  await bus.start()
  return {
    ...at,
    id,
    bus,
    members,
    heard,
    async hears(count) {
      while (heard.length < count) await new Promise<void>((resolve) => wake.push(resolve))
      return heard
    },
    says: (to, text) => bus.send(to, { kind: 'say', facts: text }),
    async dies() {
      wake = []
      await at.link.stop()
      await members.stop()
      await bus.stop()
    },
    async stop() {
      await bus.stop()
      await members.stop()
      await at.link.stop()
    },
  }
}
