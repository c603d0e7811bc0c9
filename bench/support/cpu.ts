/**
 * What a measured process has cost so far, by the operating system's accounting, and which core it may use.
 * On a shared machine rates swing with whatever else runs; the CPU time of a process hardly does.
 */

import { type ChildProcess, execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

export interface Usage {
  /** User and system time of all threads since the process began, in microseconds. */
  readonly cpuMicros: number
  /** Resident set, in octets. */
  readonly rss: number
  /** Used JavaScript heap, in octets. */
  readonly heapUsed: number
}

interface Answer extends Usage {
  readonly id: number
}

let questions = 0

/**
 * Asks a child that has meter.mjs loaded. With `collect` it collects its garbage first (and has paid for that when it
 * answers). Rejected when the child ends without an answer.
 */
export function usageOf(child: ChildProcess, { collect = false } = {}): Promise<Usage> {
  const id = ++questions
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the measured process has ended'))
    const answered = (answer: unknown) => {
      if ((answer as Answer).id !== id) return
      child.off('message', answered)
      child.off('exit', ended)
      resolve(answer as Answer)
    }
    child.on('message', answered)
    child.once('exit', ended)
    child.send({ id, collect })
  })
}

/** Runs `load`, which must be over when it is fulfilled, and tells what the child has spent on it. */
export async function costOf<T>(child: ChildProcess, load: () => Promise<T>): Promise<T & { cpuMicros: number }> {
  const before = await usageOf(child)
  const result = await load()
  const after = await usageOf(child)
  return { ...result, cpuMicros: after.cpuMicros - before.cpuMicros }
}

export interface Cores {
  readonly server: number
  readonly load: number
}

/**
 * Two cores to pin to: one for the measured process, one for the load. Undefined where that cannot be had (needs Linux,
 * taskset, two cores). Asked once, at the start: a process that has pinned itself sees its own core only.
 */
export const cores: Cores | undefined = twoCores()

function twoCores(): Cores | undefined {
  if (!existsSync('/usr/bin/taskset') || !existsSync('/proc/self/status')) return undefined
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const [server, load] = list.split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })
  return server === undefined || load === undefined ? undefined : { server, load }
}

/** Keeps this process, all its threads, on one core. */
export function pinThisProcess(core: number): void {
  execFileSync('/usr/bin/taskset', ['-acp', String(core), String(process.pid)], { stdio: 'ignore' })
}
