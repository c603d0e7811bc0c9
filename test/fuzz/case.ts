/** A case: who connects, and what they do, as data. Playing it, and what must hold whatever it is. */

import { Bystanders } from './bystanders.ts'
import { Party } from './party.ts'
import { turn } from './turn.ts'
import { World } from './world.ts'

export type Step =
  | {
      readonly kind: 'send'
      readonly who: number
      readonly octets: Buffer
      /** Length of the pieces that the octets come in; 0: whole. */
      readonly cut: number
      /** What was sent before is worked on first. */
      readonly settles: boolean
    }
  /** Goes, stops reading, reads again. */
  | { readonly kind: 'close' | 'stall' | 'flow'; readonly who: number }
  /** Another connection of the same party, whose octets may go on with its session; the one before is lost, or left open. */
  | { readonly kind: 'again'; readonly who: number; readonly octets: Buffer; readonly loses: boolean }
  /** Its token is revoked. */
  | { readonly kind: 'revoke'; readonly who: number }
  | { readonly kind: 'wait'; readonly ms: number }

export interface Case {
  readonly parties: number
  readonly steps: readonly Step[]
  /** Receipts that each were asked for once. */
  readonly receipts?: readonly string[]
}

/** Cases after which bystanders talk, and the world is looked at. */
const TALK_EVERY = 20

/** Plays cases one after the other in one world. */
export class Stage {
  readonly #world: World
  #bystanders: Bystanders
  #played = 0

  private constructor(world: World) {
    this.#world = world
    this.#bystanders = new Bystanders(world.broker)
  }

  static async opens(world = new World()): Promise<Stage> {
    const stage = new Stage(world)
    await stage.#bystanders.arrive()
    return stage
  }

  /** Everything that was wrong; empty when nothing was. */
  async play(one: Case): Promise<string[]> {
    const { broker, clock, credentials, faults } = this.#world
    const tag = (++this.#played).toString(36).padStart(6, '0')
    const present = Array.from({ length: one.parties }, () => new Party(broker, { tag }))
    const parties = [...present]
    for (const step of one.steps) {
      if (step.kind === 'wait') await clock.advance(step.ms)
      else if (step.kind === 'again') {
        const former = present[step.who] as Party
        if (step.loses) former.leave()
        const party = new Party(broker, { tag, former })
        present[step.who] = party
        parties.push(party)
        party.send(step.octets)
        await turn()
      } else if (step.kind === 'revoke') await credentials.revoke({ sessionId: (present[step.who] as Party).id })
      else await act(present[step.who] as Party, step)
    }
    await turn()
    for (const party of parties) {
      party.end.flow()
      // A transport that cannot get rid of its good-bye is cut in the end
      if (party.closed === undefined) await turn()
      party.judge()
      party.leave()
    }
    await turn()
    const wrong = [...faults.splice(0), ...parties.flatMap((party) => party.faults)]
    for (const party of parties) {
      for (const id of one.receipts ?? [])
        if (party.receipts(id) > 1) wrong.push(`${party.receipts(id)} answers to ${id}`)
    }
    if (broker.counts().connections !== this.#bystanders.count) wrong.push('a connection is left')
    if (this.#played % TALK_EVERY === 0) wrong.push(...(await this.#bystanders.talk()))
    return wrong
  }

  /** Bystanders talk and leave, every timer runs: what is wrong, or left. The stage is as good as new afterwards. */
  async sweep(): Promise<string[]> {
    const wrong = await this.#bystanders.talk()
    wrong.push(...(await this.#bystanders.leave()))
    wrong.push(...(await this.#world.remains()), ...this.#world.faults.splice(0))
    this.#bystanders = new Bystanders(this.#world.broker)
    await this.#bystanders.arrive()
    this.#played = 0
    return wrong
  }
}

async function act(party: Party, step: Exclude<Step, { kind: 'wait' | 'revoke' | 'again' }>): Promise<void> {
  switch (step.kind) {
    case 'send':
      party.send(step.octets, step.cut)
      if (step.settles) await turn()
      break
    case 'close':
      party.leave()
      break
    case 'stall':
      party.end.stall()
      break
    case 'flow':
      party.end.flow()
      break
  }
}
