/** The kinds of cases, each with the stage that it is played on, and how to find a smaller case that fails as well. */

import fc from 'fast-check'
import { type Body, body, inspectBody } from './bodies.ts'
import { type Case, Stage, type Step } from './case.ts'
import { conversation } from './frames.ts'
import { noise } from './octets.ts'
import { type Input, input, inspect } from './parsing.ts'
import { Random } from './random.ts'
import { mutated } from './recordings.ts'
import { type Packet, packet, RelayScene, shownPacket } from './relay.ts'
import { type Visit, visit, WebStage } from './web.ts'

/** Where cases are played one after the other; each answer says what was wrong. */
export interface Scene<C> {
  play(one: C): Promise<string[]> | string[]
  /** What is wrong, or left, behind many cases. */
  sweep(): Promise<string[]>
}

export interface Kind<C = unknown> {
  readonly name: string
  /** In proportion to the others'. */
  readonly share: number
  /** The same for the same seed. */
  cases(seed: number, count: number): readonly C[]
  opens(): Promise<Scene<C>>
  /** The smallest case found that fails; undefined when none fails by itself. */
  smallest(seed: number, count: number, fails: (one: C) => Promise<boolean>): Promise<C | undefined>
  shown(one: C): string
}

const SHRINKING_MS = 30_000

const octets = fc.uint8Array().map(
  (array) => Buffer.from(array),
  (value) => new Uint8Array(value as Buffer),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('send' as const), who: fc.nat(), octets, cut: fc.nat(), settles: fc.boolean() }),
  fc.record({ kind: fc.constantFrom('close', 'stall', 'flow', 'revoke' as const), who: fc.nat() }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.nat() }),
)
const anyCase: fc.Arbitrary<Case> = fc.record({ parties: fc.nat(), steps: fc.array(step) })
const anyInput: fc.Arbitrary<Input> = fc.record({
  octets,
  version: fc.constantFrom(undefined, '1.0', '1.1', '1.2'),
  cuts: fc.array(fc.integer({ min: 1 }), { minLength: 1 }),
  limits: fc.record({ frameBytes: fc.nat() }) as fc.Arbitrary<Input['limits']>,
})

/** Tries each case by itself; the first that fails is made smaller by fast-check. */
function byItself<C>(make: (random: Random) => C, arbitrary?: fc.Arbitrary<C>): Pick<Kind<C>, 'cases' | 'smallest'> {
  const cases = (seed: number, count: number): C[] => {
    const random = new Random(seed)
    return Array.from({ length: count }, () => make(random))
  }
  return {
    cases,
    async smallest(seed, count, fails) {
      for (const one of cases(seed, count)) {
        if (!(await fails(one))) continue
        if (arbitrary === undefined) return one
        const property = fc.asyncProperty(arbitrary, async (each) => !(await fails(each)))
        const details = await fc.check(property, {
          examples: [[one]],
          numRuns: 1,
          interruptAfterTimeLimit: SHRINKING_MS,
        })
        return details.counterexample?.[0] ?? one
      }
      return undefined
    },
  }
}

const frames: Kind<Case> = {
  name: 'frames',
  share: 0.05,
  cases: (seed, numRuns) => fc.sample(conversation, { seed, numRuns }),
  opens: () => Stage.opens(),
  async smallest(seed, numRuns, fails) {
    const property = fc.asyncProperty(conversation, async (each) => !(await fails(each)))
    const details = await fc.check(property, { seed, numRuns, interruptAfterTimeLimit: SHRINKING_MS })
    return details.counterexample?.[0]
  },
  shown: showCase,
}

const recordings: Kind<Case> = {
  name: 'recordings',
  share: 0.05,
  ...byItself(mutated, anyCase),
  opens: () => Stage.opens(),
  shown: showCase,
}

const noises: Kind<Case> = {
  name: 'octets',
  share: 0.18,
  ...byItself(noise, anyCase),
  opens: () => Stage.opens(),
  shown: showCase,
}

const parsing: Kind<Input> = {
  name: 'parsing',
  share: 0.38,
  ...byItself(input, anyInput),
  opens: async () => ({ play: inspect, sweep: async () => [] }),
  shown: (one) => `${one.version} in pieces of ${one.cuts.join(', ')}: ${text(one.octets)}`,
}

const bodies: Kind<Body> = {
  name: 'bodies',
  share: 0.32,
  ...byItself(body),
  opens: async () => ({ play: inspectBody, sweep: async () => [] }),
  shown: (one) => `${one.schema}: ${text(one.octets)}`,
}

const web: Kind<Visit> = {
  name: 'web',
  share: 0.02,
  ...byItself(visit),
  opens: async () => new WebStage(),
  shown: (one) => one.requests.map(text).join('\n'),
}

const relay: Kind<Packet> = {
  name: 'relay',
  share: 0.2,
  ...byItself(packet),
  opens: () => RelayScene.opens(),
  shown: shownPacket,
}

/** The most work first. */
export const KINDS: readonly Kind[] = [
  frames,
  recordings,
  noises,
  web,
  parsing,
  bodies,
  relay,
] as unknown as readonly Kind[]

function showCase({ steps }: Case): string {
  return steps.map(showStep).join('\n')
}

function showStep(each: Step): string {
  if (each.kind === 'wait') return `${each.ms} ms go by`
  if (each.kind !== 'send') return `${each.who}: ${each.kind}`
  const cut = each.cut > 0 ? ` in pieces of ${each.cut}` : ''
  return `${each.who} sends ${text(each.octets)}${cut}${each.settles ? ', and waits' : ''}`
}

function text(value: Buffer): string {
  const latin1 = value.toString('latin1')
  return JSON.stringify(latin1.length > 2000 ? `${latin1.slice(0, 2000)}… (${latin1.length} octets)` : latin1)
}
