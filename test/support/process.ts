/** The real server as a process of its own, from `dist/`, as `npm start` runs it. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

export class ServerProcess {
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
  output = ''
  #wake: (() => void)[] = []

  /** Nothing of this process's own environment but PATH; a working directory without a `.env`; no history. */
  constructor(env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [MAIN], {
      cwd: mkdtempSync(join(tmpdir(), 'carillon-')),
      env: { PATH: process.env.PATH ?? '', PORT: '0', TURN_PORT: '0', DATABASE_URL: 'none', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.output += data.toString()
        this.#tell()
      })
    }
    this.exited = new Promise((resolve) => {
      this.child.once('close', (code) => {
        resolve(code)
        this.#tell()
      })
    })
  }

  /** Fulfilled with the first match in the output (behind `from`); rejected when the process ends without one. */
  async says(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output.slice(from))
      if (match) return match
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the server ended without saying ${pattern}:\n${this.output}`)
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** The address it listens on. */
  async url(): Promise<string> {
    return (await this.says(/Carillon listens on (http:\/\/[^\s"]+)/))[1] ?? ''
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  async ends(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
