/** What a scenario is given, and what it finds. */

export interface Options {
  /** Pairs of devices (or of users, where a call has three devices) that work at the same time. */
  readonly pairs: number
  /** How long a round lasts. */
  readonly seconds: number
  /** A folder for a CPU profile of Carillon. */
  readonly profile: string | undefined
  /** Tells the person who waits. */
  readonly progress: (text: string) => void
}

/** One row of the table: a number per round. */
export interface Measure {
  readonly what: string
  readonly unit: string
  readonly carillon: readonly number[]
  /** The reference, measured in turn with Carillon. */
  readonly raw?: readonly number[]
}

export interface Scenario {
  readonly name: string
  /** What happens, in one line for the table's head. */
  readonly title: (options: Options) => string
  run(options: Options): Promise<readonly Measure[]>
}

/** V8 compiles what runs often only after a while; until then the numbers speak of V8. */
const WARM_UP_S = 5

/**
 * Raw, Carillon, raw, Carillon …: what disturbs the machine for a while disturbs both. Each round is told how many
 * seconds it may last; the first of each warms up and does not count.
 */
export async function inTurn<R, C>(
  rounds: number,
  { seconds, progress }: Pick<Options, 'seconds' | 'progress'>,
  raw: (seconds: number) => Promise<R>,
  carillon: (seconds: number) => Promise<C>,
): Promise<{ raw: R[]; carillon: C[] }> {
  const found: { raw: R[]; carillon: C[] } = { raw: [], carillon: [] }
  progress('warming up')
  await raw(WARM_UP_S)
  await carillon(WARM_UP_S)
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`)
    found.raw.push(await raw(seconds))
    found.carillon.push(await carillon(seconds))
  }
  return found
}
