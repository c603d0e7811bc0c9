/** A caller, and a callee with two devices, who make whole calls. */

import type { Peer } from './peer.ts'
import { CALL_QUEUES, destinationOf, logIn, loginOf, sendOf } from './stomp.ts'

/** MESSAGEs of a call: two rings, ringing, response, down, hangup. */
export const MESSAGES_OF_A_CALL = 6

/** SENDs of a call: request, response, hangup. */
export const SENDS_OF_A_CALL = 3

let callsMade = 0

export class Party {
  /** A device of the callee rings. */
  onRing: () => void = () => {}
  /** All have heard all there was to hear of the call. */
  onOver: () => void = () => {}
  readonly #callee: string
  readonly #caller: Peer
  readonly #devices: readonly Peer[]
  #callId = ''
  #missing = 0
  /** Devices of the callee that do not ring yet. */
  #silent = 0

  private constructor(callee: string, caller: Peer, phone: Peer, laptop: Peer) {
    this.#callee = callee
    this.#caller = caller
    this.#devices = [phone, laptop]
    caller.onMessage = (frame) => {
      if (queueOf(frame, 'call/ringing', 'call/response') === 'call/response') this.#say(caller, 'hangup', {})
      this.#heard()
    }
    phone.onMessage = (frame) => {
      if (queueOf(frame, 'call/request', 'call/hangup') === 'call/request') this.#rings()
      this.#heard()
    }
    laptop.onMessage = (frame) => {
      if (queueOf(frame, 'call/request', 'call/down') === 'call/request') this.#rings()
      this.#heard()
    }
  }

  /** `n` tells parties apart. `places`: where the caller and the callee's two devices are, if not all at one address. */
  static async assemble(places: string | readonly [string, string, string], n: number): Promise<Party> {
    const [caller, phone, laptop] = typeof places === 'string' ? [places, places, places] : places
    const callee = `callee-${n}`
    const arrives = (url: string, user: string) => logIn(url, loginOf(user, { subscriptions: CALL_QUEUES }))
    return new Party(
      callee,
      await arrives(caller, `caller-${n}`),
      await arrives(phone, callee),
      await arrives(laptop, callee),
    )
  }

  /** Requests the next call. The one before must be over. */
  call(): void {
    this.#callId = `bench-${++callsMade}`
    this.#missing = MESSAGES_OF_A_CALL
    this.#silent = this.#devices.length
    this.#say(this.#caller, 'request', { callee: this.#callee, callerUserName: 'Bench' })
  }

  async leave(): Promise<void> {
    await Promise.all([this.#caller, ...this.#devices].map((peer) => peer.close()))
  }

  /** The phone answers when both ring: on another node the other one may ring later, or, after an answer, not at all. */
  #rings(): void {
    this.onRing()
    const [phone] = this.#devices
    if (--this.#silent === 0 && phone) this.#say(phone, 'response', { type: 'ACCEPT' })
  }

  #say(peer: Peer, verb: string, fields: object): void {
    peer.send(sendOf(`/app/call/${verb}`, JSON.stringify({ callId: this.#callId, ...fields })))
  }

  #heard(): void {
    if (--this.#missing === 0) this.onOver()
  }
}

/** The queue that a frame is for; it must be one of those. */
function queueOf<Q extends string>(frame: Buffer, ...expected: Q[]): Q {
  const destination = destinationOf(frame)
  const queue = expected.find((each) => destination === `/user/queue/${each}`)
  if (queue === undefined) throw new Error(`expected ${expected.join(' or ')}: ${frame.toString()}`)
  return queue
}
