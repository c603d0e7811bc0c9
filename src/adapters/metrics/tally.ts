/** A counter for what happens with every frame: a plain number per label, made into a metric when somebody looks. */

import { Counter, type Registry } from 'prom-client'

/** `count(label, by)` counts. The labels must come from a fixed list. */
export function tally<L extends string>(
  registry: Registry,
  { name, help, label }: { name: string; help: string; label: string },
): (value: L, by: number) => void {
  const counts = new Map<L, number>()
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const [value, count] of counts) this.inc({ [label]: value }, count)
    },
  })
  return (value, by) => {
    counts.set(value, (counts.get(value) ?? 0) + by)
  }
}
