/** The whole server, two people who call each other in peace, and numbers that say whether anything is left of others. */

import { frame } from './stomp-peer.ts'
import { type Device, opens, tokenFor, type World } from './story.ts'

/** Longer than the broker waits for the end of a connection that it has closed. */
const FAREWELL_MS = 6_000

const PATIENCE = 60

export class Siege {
  readonly world: World
  readonly #alice: Device
  readonly #bob: Device
  #over = false

  private constructor(world: World, alice: Device, bob: Device) {
    this.world = world
    this.#alice = alice
    this.#bob = bob
  }

  static async begins(env: Record<string, string> = {}): Promise<Siege> {
    const world = await opens(env)
    return new Siege(world, await world.arrives('alice'), await world.arrives('bob'))
  }

  get url(): string {
    return this.world.url
  }

  /** CONNECT of this user. */
  async login(user: string, headers: Record<string, string> = {}): Promise<string> {
    return frame('CONNECT', { 'accept-version': '1.2', host: 'x', ide: await tokenFor(user), ...headers })
  }

  /** A call of the bystanders, from the ring to the hang-up. */
  async callGoesThrough(): Promise<void> {
    const call = await this.#alice.requests('bob')
    await this.#bob.hears('/user/queue/call/request', { callId: call })
    await this.#bob.accepts(call)
    await this.#alice.hears('/user/queue/call/response', { callId: call, type: 'ACCEPT' })
    await this.#alice.signals(call, 'OFFER', 'v=0')
    await this.#bob.hears('/user/queue/rtc/signaling', { callId: call })
    await this.#bob.hangsUp(call)
    await this.#alice.hears('/user/queue/call/hangup', { callId: call })
    await this.#alice.forgets()
    await this.#bob.forgets()
  }

  /** One of the server's own numbers. */
  async number(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    return Number(new RegExp(`^carillon_${name} (.+)$`, 'm').exec(text)?.[1])
  }

  /** Fulfilled when nobody but the bystanders is connected, and nothing waits for anybody. */
  async calm(): Promise<void> {
    for (let looks = 0; !(await this.#isCalm()); looks++) {
      if (this.#over) throw new Error('the siege is over, and the server was not calm yet')
      // Who does not take the good-bye is cut off after a while: some time must pass for that, and no more
      if (looks < PATIENCE) await this.world.clock.advance(FAREWELL_MS / PATIENCE)
    }
    await this.callGoesThrough()
  }

  async #isCalm(): Promise<boolean> {
    return (await this.number('connections')) === 2 && (await this.number('buffered_bytes')) === 0
  }

  async ends(): Promise<void> {
    this.#over = true
    await this.world.closes()
  }
}
