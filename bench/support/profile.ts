/** A CPU profile of V8 in a few lines: where the time itself was spent, callees not counted. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface CpuProfile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** The `count` most expensive functions of each profile in the folder; idle time does not count. */
export function summaries(folder: string, count: number): string {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => summary(JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile, name, count))
    .join('\n')
}

function summary({ nodes, samples, timeDeltas }: CpuProfile, name: string, count: number): string {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const micros = new Map<string, number>()
  samples.forEach((id, i) => {
    const place = places.get(id) as string
    micros.set(place, (micros.get(place) ?? 0) + (timeDeltas[i] ?? 0))
  })
  micros.delete('(idle)')
  const all = [...micros.values()].reduce((sum, each) => sum + each, 0)
  const top = [...micros].sort(([, a], [, b]) => b - a).slice(0, count)
  return [
    `${name}: self time`,
    ...top.map(([place, each]) => `${((100 * each) / all).toFixed(1).padStart(6)} %  ${place}`),
    '',
  ].join('\n')
}

function placeOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  if (url === '') return name
  return `${name}  ${url.replace(/^.*\/(node_modules|dist|bench)\//, '$1/')}:${lineNumber + 1}`
}
