/** What a scenario is given, and what it finds. */

import type { Installed } from './brokers.ts'

/** Who is measured, in the order of the table's columns. */
export const CONTENDERS = [
  'carillon',
  'raw',
  'sio',
  'stompBrokerJs',
  'rabbitmq',
  'nodeTurn',
  'coturn',
  'udp',
  'alone',
  'within',
  'two',
  'three',
  'plain',
] as const

export type Contender = (typeof CONTENDERS)[number]

export interface Options {
  /** Pairs of devices (or of users, where a call has three devices) that work at the same time; undefined: as many as the scenario is about. */
  readonly pairs: number | undefined
  /** How long a round lasts. */
  readonly seconds: number
  /** A folder for a CPU profile of Carillon. */
  readonly profile: string | undefined
  /** Brokers that are to be measured too. */
  readonly others: readonly Installed[]
  /** Tells the person who waits. */
  readonly progress: (text: string) => void
}

/** One line of the table: for each contender a number per round. */
export interface Row {
  readonly what: string
  readonly unit: string
  readonly found: Readonly<Partial<Record<Contender, readonly number[]>>>
}

/** What must be reached, and what was. */
export interface Target {
  readonly what: string
  readonly wanted: string
  /** What was found, for people; undefined when it was not measured. */
  readonly found: string | undefined
  readonly met: boolean
  /** How much of what is wanted is reached: 1 and more will do. */
  readonly reached: number | undefined
  /** What it would be on a machine that is so many times as fast. Absent where that changes nothing. */
  readonly onFaster?: (times: number) => Pick<Target, 'found' | 'met'>
}

export interface Findings {
  readonly rows: readonly Row[]
  /** Rows whose ratio to raw is what it is about: they are drawn. */
  readonly merits: readonly Row[]
  readonly targets: readonly Target[]
}

export interface Scenario {
  readonly name: string
  /** What happens, in one line for the table's head. */
  readonly title: (options: Options) => string
  /** What has to be installed before it can be measured; undefined when all is there. */
  readonly missing?: () => string | undefined
  run(options: Options): Promise<Findings>
}

/** V8 compiles what runs often only after a while; until then the numbers speak of V8. */
const WARM_UP_S = 5

type Play<R> = (seconds: number) => Promise<R>

/**
 * Raw, Carillon, raw, Carillon …: what disturbs the machine for a while disturbs all. Each round is told how many
 * seconds it may last; the first of each warms up and does not count.
 */
export async function inTurn<R>(
  rounds: number,
  { seconds, progress }: Pick<Options, 'seconds' | 'progress'>,
  plays: Readonly<Partial<Record<Contender, Play<R>>>>,
): Promise<Partial<Record<Contender, R[]>>> {
  const found: Partial<Record<Contender, R[]>> = {}
  for (const [name, play] of entriesOf(plays)) {
    progress(`warming up ${name}`)
    await play(WARM_UP_S)
    found[name] = []
  }
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`)
    for (const [name, play] of entriesOf(plays)) found[name]?.push(await play(seconds))
  }
  return found
}

/** One field of every round, as a line of the table. */
export function rowOf<R>(
  what: string,
  unit: string,
  found: Readonly<Partial<Record<Contender, readonly R[]>>>,
  field: (round: R) => number,
): Row {
  const columns = entriesOf(found).map(([name, rounds]) => [name, rounds.map(field)])
  return { what, unit, found: Object.fromEntries(columns) as Row['found'] }
}

function entriesOf<V>(record: Readonly<Partial<Record<Contender, V>>>): [Contender, V][] {
  return CONTENDERS.flatMap((name) => {
    const value = record[name]
    return value === undefined ? [] : [[name, value]]
  })
}
