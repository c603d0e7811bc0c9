/**
 * Plays cases of some kinds: `FUZZ_SEED=1 FUZZ_CASES=1000 npm run fuzz -- frames`; without a name, of all kinds, each its
 * share. Cases come in batches, each with a seed of its own that follows the last one's, so that a batch that fails can
 * be played again by itself. Ends with 1, and with words that say how to see it again, when something was wrong.
 */

import { randomInt } from 'node:crypto'
import { KINDS, type Kind, type Scene } from './kinds.ts'

const BATCH = 250

/** What lives on for a good reason (compiled code, caches) stays below this. */
const HEAP_OCTETS = 4 * 1024 * 1024
const HEAP_OCTETS_PER_CASE = 40

/** Whatever escapes every session. */
const strays: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (error: unknown) => strays.push(`${event}: ${error instanceof Error ? error.stack : error}`))

const named = process.argv.slice(2)
const kinds = named.length === 0 ? KINDS : KINDS.filter(({ name }) => named.includes(name))
if (kinds.length < named.length) {
  say(`usage: npm run fuzz -- [${KINDS.map(({ name }) => name).join(' | ')}]`)
  process.exit(2)
}
const seed = Number(process.env.FUZZ_SEED || randomInt(2 ** 30))
const total = Number(process.env.FUZZ_CASES || 10_000)
const shares = kinds.reduce((sum, { share }) => sum + share, 0)
let sound = true
for (const kind of kinds) sound = (await run(kind, Math.round((total * kind.share) / shares))) && sound
// What was said has to get out first
process.stdout.write('', () => process.exit(sound ? 0 : 1))

async function run(which: Kind, cases: number): Promise<boolean> {
  const { name } = which
  say(`${name}: ${cases} cases from seed ${seed}`)
  const scene = await which.opens()
  let before: { heap: number; played: number } | undefined
  for (let played = 0, batch = seed; played < cases; batch++) {
    const count = Math.min(BATCH, cases - played)
    process.send?.({ kind: name, batch, count })
    const wrong = await play(which, scene, batch, count)
    if (wrong.length > 0) {
      await report(which, batch, count, wrong)
      return false
    }
    played += count
    if (before === undefined && played >= cases / 5) before = { heap: heap(), played }
  }
  const grown = heap() - (before?.heap ?? 0)
  const most = HEAP_OCTETS + HEAP_OCTETS_PER_CASE * (cases - (before?.played ?? 0))
  say(`${name}: ${cases} cases from seed ${seed} are done; the heap has grown by ${Math.round(grown / 1024)} KiB`)
  if (grown > most) say(`${name}: the heap may grow by ${Math.round(most / 1024)} KiB`)
  return grown <= most
}

/** The first things that were wrong. */
async function play<C>(which: Kind<C>, scene: Scene<C>, batch: number, count: number): Promise<string[]> {
  for (const one of which.cases(batch, count)) {
    const wrong = [...(await scene.play(one)), ...strays.splice(0)]
    if (wrong.length > 0) return wrong
  }
  return [...(await scene.sweep()), ...strays.splice(0)]
}

async function report<C>(which: Kind<C>, batch: number, count: number, wrong: readonly string[]): Promise<void> {
  say(`${which.name}: wrong: ${wrong.slice(0, 5).join('\n')}`)
  say(`${which.name}: again: FUZZ_SEED=${batch} FUZZ_CASES=${count} npm run fuzz -- ${which.name}`)
  const small = await which.smallest(batch, count, async (one) => (await alone(which, one)).length > 0)
  if (small === undefined) say('No case of the batch fails by itself.')
  else say(`The smallest case found:\n${which.shown(small)}\nwhich gives: ${(await alone(which, small)).join('\n')}`)
}

/** What a case does wrong with a stage of its own. */
async function alone<C>(which: Kind<C>, one: C): Promise<string[]> {
  const scene = await which.opens()
  return [...(await scene.play(one)), ...(await scene.sweep()), ...strays.splice(0)]
}

function heap(): number {
  const { gc } = globalThis as { gc?: () => void }
  if (gc === undefined) return 0
  gc()
  gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
