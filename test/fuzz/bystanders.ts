/** Two peaceful people who call each other now and then, while others do what they do. */

import type { Broker } from '../../broker/index.ts'
import { frame } from '../support/stomp-peer.ts'
import { Party, SECRET } from './party.ts'
import { turn } from './turn.ts'
import { OPEN_QUEUES } from './world.ts'

/** Names that nobody hits upon. */
const [ANNA, BERT] = ['anna, a bystander', 'bert, a bystander']

export class Bystanders {
  readonly #anna: Party
  readonly #bert: Party
  #talks = 0

  constructor(broker: Broker) {
    this.#anna = new Party(broker, { trusted: true })
    this.#bert = new Party(broker, { trusted: true })
  }

  get count(): number {
    return 2
  }

  async arrive(): Promise<void> {
    for (const [party, ide] of [
      [this.#anna, ANNA],
      [this.#bert, BERT],
    ] as const) {
      party.send(Buffer.from(frame('CONNECT', { 'accept-version': '1.2', host: 'x', ide })))
      for (const queue of ['call/request', 'call/response', 'call/hangup', 'rtc/signaling', 'errors'])
        party.send(Buffer.from(frame('SUBSCRIBE', { destination: `/user/queue/${queue}`, id: queue })))
    }
    await turn()
  }

  /** A whole call; what did not go through. */
  async talk(): Promise<string[]> {
    const callId = `talk ${++this.#talks} of ${this.#anna.id}`
    await this.#says(this.#anna, 'call/request', { callId, callee: BERT, callerUserName: SECRET })
    await this.#says(this.#bert, 'call/response', { callId, type: 'ACCEPT' })
    await this.#says(this.#anna, 'rtc/signaling', { callId, type: 'OFFER', payload: SECRET })
    await this.#says(this.#bert, 'call/hangup', { callId })
    const heard = (party: Party): string =>
      party.messages
        .splice(0)
        .map(({ headers, body }) => `${headers.get('subscription')} ${body.includes(callId)}`)
        .join(', ')
    const [anna, bert] = [heard(this.#anna), heard(this.#bert)]
    const wrong = [...this.#anna.faults.splice(0), ...this.#bert.faults.splice(0)]
    if (anna !== 'call/response true, call/hangup true') wrong.push(`a bystander heard: ${anna}`)
    if (bert !== 'call/request true, rtc/signaling true') wrong.push(`a bystander heard: ${bert}`)
    return wrong
  }

  /** They take along what waits in open queues, which is there to be fetched. */
  async leave(): Promise<string[]> {
    for (const destination of OPEN_QUEUES)
      this.#anna.send(Buffer.from(frame('SUBSCRIBE', { destination, id: destination })))
    await turn()
    for (const party of [this.#anna, this.#bert]) party.send(Buffer.from(frame('DISCONNECT', { receipt: 'bye' })))
    await turn()
    return [this.#anna, this.#bert].flatMap((party) => {
      party.judge()
      if (party.closed !== 1000 || party.receipts('bye') !== 1) party.faults.push('a bystander was not let go')
      return party.faults
    })
  }

  async #says(party: Party, what: string, body: object): Promise<void> {
    party.send(Buffer.from(frame('SEND', { destination: `/app/${what}` }, JSON.stringify(body))))
    await turn()
  }
}
