/**
 * What a measured process has cost so far, by the operating system's accounting, and which core it may use.
 * On a shared machine rates swing with whatever else runs; the CPU time of a process hardly does.
 */

import { type ChildProcess, execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

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

/** A measured process. */
export interface Meter {
  /** With `collect` it collects its garbage first (and has paid for that when it answers). */
  usage(options?: { collect?: boolean }): Promise<Usage>
}

/** Asks a child of Node's that has meter.mjs loaded. Rejected when the child ends without an answer. */
export function meterOf(child: ChildProcess): Meter {
  return {
    usage({ collect = false } = {}) {
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
    },
  }
}

/** Any process on Linux, from outside: the CPU time of all its living threads, in nanoseconds as the scheduler has it. */
export function meterOfPid(pid: number): Meter {
  const tasks = `/proc/${pid}/task`
  return {
    async usage() {
      const nanos = readdirSync(tasks).map((tid) =>
        Number(readFileSync(`${tasks}/${tid}/schedstat`, 'utf8').split(' ')[0]),
      )
      const kib = (field: string) =>
        Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
      return {
        cpuMicros: nanos.reduce((sum, each) => sum + each, 0) / 1000,
        rss: kib('VmRSS') * 1024,
        heapUsed: Number.NaN,
      }
    },
  }
}

/** Several measured processes as one: their costs summed. */
export function together(meters: readonly Meter[]): Meter {
  return {
    async usage(options) {
      const usages = await Promise.all(meters.map((meter) => meter.usage(options)))
      const sum = (field: keyof Usage) => usages.reduce((all, usage) => all + usage[field], 0)
      return { cpuMicros: sum('cpuMicros'), rss: sum('rss'), heapUsed: sum('heapUsed') }
    },
  }
}

/** Runs `load`, which must be over when it is fulfilled, and tells what the process has spent on it. */
export async function costOf<T>(meter: Meter, load: () => Promise<T>): Promise<T & { cpuMicros: number }> {
  const before = await meter.usage()
  const result = await load()
  const after = await meter.usage()
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
  pinProcess(process.pid, core)
}

export function pinProcess(pid: number, core: number): void {
  execFileSync('/usr/bin/taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' })
}
