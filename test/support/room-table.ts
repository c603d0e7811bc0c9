/** One call under the rules alone: devices that hear, a clock in the hand, and no store. */

import { mesh } from '../../src/calls/room-media.ts'
import { decide } from '../../src/calls/transition.ts'
import type { Call, CallCommand, Effect, Feature, Target } from '../../src/calls/types.ts'
import { actor, TIMERS } from './engine.ts'

export interface Said {
  readonly device: string
  readonly queue: string
  readonly body: Record<string, unknown>
  readonly headers?: Readonly<Record<string, string>>
}

type Command = Exclude<CallCommand, { verb: 'request' }>

const userOf = (name: string) => name.split('/')[0] ?? name

export class RoomTable {
  call: Call | undefined
  now = 1_000_000
  /** Users who are in another call. */
  readonly busy = new Set<string>()
  readonly news: string[] = []
  #heard: Said[] = []
  readonly #devices: readonly string[]
  readonly #media: ReturnType<typeof mesh>

  /** `devices`: all that are connected, as `bob/phone`. */
  constructor(devices: readonly string[], most = 4) {
    this.#devices = devices
    this.#media = mesh(most)
  }

  /** A call of these two that is connected. */
  connects(caller: string, callee: string, features: readonly Feature[][] = [['room'], ['room']], more: object = {}) {
    this.does({
      verb: 'request',
      actor: actor(caller),
      callId: 'c1',
      type: 'VIDEO',
      callee: userOf(callee),
      ringMs: 30_000,
      acceptGlare: false,
      unreachable: false,
      request: { callId: 'c1', type: 'VIDEO', callee: userOf(callee), callerUserName: `Mx ${userOf(caller)}`, ...more },
      fingerprint: 'f',
      features: features[0],
    })
    this.accepts(callee, features[1] ?? null)
    // The rules of a call of two keep what its clients can do
    const { origin, winner } = this.call ?? {}
    if (this.call && origin && winner)
      this.call = {
        ...this.call,
        origin: { ...origin, features: features[0] },
        winner: { ...winner, features: features[1] },
      }
    this.forgets()
    return this
  }

  invites(who: string, ...invitees: string[]) {
    return this.does({
      verb: 'invite',
      actor: actor(who),
      invitees,
      ringMs: 30_000,
      media: this.#media.describe(),
      most: this.#media.most,
    })
  }

  accepts = (who: string, features: readonly Feature[] | null = ['room']) =>
    this.does({ verb: 'accept', actor: actor(who), features: features ?? undefined })

  rejects = (who: string, reason: 'DECLINED' | 'BUSY' = 'DECLINED') =>
    this.does({ verb: 'reject', actor: actor(who), reason })

  hangsUp = (who: string) => this.does({ verb: 'hangup', actor: actor(who) })

  signals = (who: string, to?: string, text = 'sdp') =>
    this.does({
      verb: 'signal',
      actor: actor(who),
      to,
      signal: { body: Buffer.from(text), contentType: 'application/json' },
    })

  appears = (device: string) => this.does({ verb: 'appear', user: userOf(device), devices: [device] })

  loses = (device: string, away = false) =>
    this.does({ verb: 'lose', user: userOf(device), device, token: `token of ${device}`, away })

  returns = (device: string) => this.does({ verb: 'return', user: userOf(device), device, token: `token of ${device}` })

  /** Lets so much time pass, and looks. */
  waits(ms: number) {
    this.now += ms
    return this.does({ verb: 'tick' })
  }

  does(command: CallCommand) {
    const taken = 'invitees' in command ? command.invitees.filter((user) => this.busy.has(user)) : []
    const decision = decide({ callId: 'c1', call: this.call, taken }, command as Command, this.now, TIMERS)
    if (decision.write) this.call = { ...decision.write, version: decision.write.version + 1 }
    for (const effect of decision.effects) this.#act(effect)
    return decision.outcome
  }

  /** `queue type reason` of everything that a device heard since it was last asked, in order. */
  hears(device: string): string[] {
    return this.said(device).map(({ queue, body }) =>
      [queue, queue === 'call/room' ? undefined : body.type, body.reason]
        .filter((word) => word !== undefined)
        .join(' '),
    )
  }

  /** The same in full. */
  said(device: string): Said[] {
    const mine = this.#heard.filter((frame) => frame.device === device)
    this.#heard = this.#heard.filter((frame) => frame.device !== device)
    return mine
  }

  forgets() {
    this.#heard = []
    this.news.length = 0
  }

  /** `alice JOINED` of each member. */
  get roster(): string {
    return (this.call?.members ?? []).map(({ user, state }) => `${user} ${state}`).join(', ')
  }

  get status(): string {
    return [this.call?.status, this.call?.reason].filter((word) => word !== undefined).join(' ')
  }

  #act(effect: Effect) {
    if (effect.kind === 'tell') {
      const { to, queue, body, headers } = effect
      for (const device of this.#of(to)) this.#heard.push({ device, queue, body, ...(headers && { headers }) })
    } else if (effect.kind === 'relay') {
      const { to, from, signal, reattached } = effect
      const headers = { from, ...(reattached && { 'peer-reattached': 'true' }) }
      for (const device of this.#of(to))
        this.#heard.push({ device, queue: 'signal', body: { text: String(Buffer.from(signal.body)) }, headers })
    } else if (effect.kind === 'ring') {
      const user = effect.user ?? effect.call.callee
      const devices = this.#devices.filter((device) => userOf(device) === user)
      if (devices.length > 0) this.does({ verb: 'appear', user, devices })
    } else this.news.push([effect.news, effect.kind === 'member' ? effect.user : undefined].filter(Boolean).join(' '))
  }

  #of(to: Target): readonly string[] {
    if ('devices' in to) return to.devices
    return this.#devices.filter((device) => userOf(device) === to.user && device !== to.except)
  }
}
