/**
 * Webhooks: what happens here is told to the operator's back end. Listens to the news, puts events into the outbox, and
 * has them delivered. What an event says is hooks.ts, when it is sent delivery.ts.
 */

import type { Events } from '../events.ts'
import { type Clock, type Directory, type KnownDevice, Unavailable, type UserId } from '../ports.ts'
import { Delivery, type DeliveryLog } from './delivery.ts'
import { ofAnswer, ofDeparture, ofEnd, ofInvitation, ofJoining, ofRequest, ofUser } from './hooks.ts'
import type { HookType } from './messages.ts'
import type { Endpoint, Hook, Outbox, Taken } from './ports.ts'

export interface WebhookOptions {
  readonly outbox: Outbox
  readonly endpoint: Endpoint
  readonly secret: string
  /** Those that the back end wants to hear. */
  readonly wanted: readonly HookType[]
  readonly directory: Directory
  readonly clock: Clock
  readonly events: Events
  readonly log: DeliveryLog
  readonly random?: () => number
}

export class Webhooks {
  readonly #options: WebhookOptions
  readonly #wanted: ReadonlySet<HookType>
  readonly #delivery: Delivery

  constructor(options: WebhookOptions) {
    this.#options = options
    this.#wanted = new Set(options.wanted)
    this.#delivery = new Delivery({
      random: Math.random,
      ...options,
      freshFacts: (taken) => this.#freshFacts(taken),
    })
    const { events } = options
    events.on('call.requested', ({ call }) => this.#put(ofRequest(call)))
    events.on('call.connected', ({ call }) => this.#put(ofAnswer(call)))
    events.on('call.ended', ({ call, names }) => this.#put(ofEnd(call, names ?? {})))
    events.on('member.invited', (change) => this.#put(ofInvitation(change)))
    events.on('member.joined', (change) => this.#put(ofJoining(change)))
    events.on('member.gone', (change) => this.#put(ofDeparture(change)))
    events.on('user.online', ({ user, at }) => this.#put(ofUser('user.online', user, at)))
    events.on('user.offline', ({ user, at }) => this.#put(ofUser('user.offline', user, at)))
  }

  start(): void {
    this.#delivery.start()
  }

  /** Takes a few seconds at most. */
  async stop(): Promise<void> {
    await this.#delivery.stop()
    await this.#options.outbox.stop()
  }

  /** For metrics: how many events wait, and for how long the oldest has (0: none does). */
  async backlog(): Promise<{ readonly waiting: number; readonly ageMs: number }> {
    const { outbox, clock } = this.#options
    const { waiting, oldest } = await outbox.backlog()
    return { waiting, ageMs: oldest === undefined ? 0 : Math.max(0, clock.now() - oldest) }
  }

  #put(hooks: readonly Hook[]): void {
    for (const hook of hooks) if (this.#wanted.has(hook.type)) this.#options.outbox.put(hook)
  }

  /** Asked at every attempt: whether a phone must be woken depends on who is there now. */
  async #freshFacts({ hook: { type, data } }: Taken): Promise<Readonly<Record<string, unknown>>> {
    if (type !== 'call.ring') return {}
    const { clock } = this.#options
    const devices = await this.#devicesOf(String(data.callee))
    const rings = devices.filter((device) => device.rings)
    return {
      remainingMs: Math.max(0, Number(data.ringUntil) - clock.now()),
      devices: rings.filter(({ away }) => !away).map(({ id }) => id),
      away: rings.filter(({ away }) => away).map(({ id }) => id),
    }
  }

  /** Who cannot be asked for is not there: a push too many wakes nobody who sleeps well, one too few loses a ring. */
  async #devicesOf(user: UserId): Promise<readonly KnownDevice[]> {
    try {
      return await this.#options.directory.devices(user)
    } catch (error) {
      if (error instanceof Unavailable) return []
      throw error
    }
  }
}
