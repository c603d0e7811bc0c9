/** A counter for what happens with every frame: a plain number per label, made into a metric when somebody looks. */

import { Counter, type Registry } from 'prom-client'

/** `count(label, by)` counts. The labels must come from a fixed list. */
export function tally<L extends string>(
  registry: Registry,
  { name, help, label }: { name: string; help: string; label: string },
): (value: L, by: number) => void {
  const counts = new Map<L, { n: number }>()
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const [value, { n }] of counts) this.inc({ [label]: value }, n)
    },
  })
  return (value, by) => {
    const count = counts.get(value)
    if (count === undefined) counts.set(value, { n: by })
    else count.n += by
  }
}
