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

/**
 * Raw, Carillon, raw, Carillon …: what disturbs the machine for a while disturbs both. The first round of each warms
 * up and does not count.
 */
export async function inTurn<T>(
  rounds: number,
  raw: () => Promise<T>,
  carillon: () => Promise<T>,
  progress: (text: string) => void,
): Promise<{ raw: T[]; carillon: T[] }> {
  const found: { raw: T[]; carillon: T[] } = { raw: [], carillon: [] }
  await raw()
  await carillon()
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`)
    found.raw.push(await raw())
    found.carillon.push(await carillon())
  }
  return found
}
