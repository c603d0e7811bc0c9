/** Fuzz runs in processes of their own: they can crash, hang and fill their memory without taking the tests along. */

import { type ChildProcess, spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'

const RUN = fileURLToPath(new URL('run.ts', import.meta.url))
const FLAGS = ['--expose-gc', '--max-old-space-size=512', '--import', 'tsx']

/** Where a run has got to. */
interface Place {
  readonly kind: string
  readonly batch: number
  readonly count: number
}

export class Player {
  /** Fulfilled with what was wrong, or nothing. */
  readonly done: Promise<string>
  readonly #child: ChildProcess
  #place: Place | undefined
  #output = ''

  /** `cases` of these kinds together, unless FUZZ_CASES says otherwise. The seed is printed. */
  constructor(kinds: readonly string[], cases: number) {
    const env = { FUZZ_CASES: String(cases), ...process.env }
    this.#child = spawn(process.execPath, [...FLAGS, RUN, ...kinds], {
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    // Whoever else runs has timers to keep
    if (this.#child.pid !== undefined) setPriority(this.#child.pid, constants.priority.PRIORITY_BELOW_NORMAL)
    this.#child.on('message', (place) => {
      this.#place = place as Place
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.#output += data.toString()
        process.stdout.write(data)
      })
    }
    this.done = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        resolve(code === 0 ? '' : `${this.#output}\nended with ${signal ?? code} ${this.#where()}`)
      })
    })
  }

  /** Ends a run that hangs, and says where it does. */
  end(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    process.stdout.write(`the run hangs ${this.#where()}\n`)
    this.#child.kill('SIGKILL')
  }

  #where(): string {
    if (this.#place === undefined) return 'before its first case'
    const { kind, batch, count } = this.#place
    return `in FUZZ_SEED=${batch} FUZZ_CASES=${count} npm run fuzz -- ${kind}`
  }
}
