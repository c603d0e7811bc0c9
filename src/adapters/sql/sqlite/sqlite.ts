/**
 * A SQLite file as the server sees it. The thread beside it waits for the disk; the event loop never does. A database in
 * memory waits for nothing, so it needs no thread.
 */

import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Cancel, Clock } from '../../../../broker/index.ts'
import { Unavailable } from '../../../ports.ts'
import { type Database, Overtaken, type Query, Refused, type Result, Unfit } from '../database.ts'
import type { CallRow } from '../rows.ts'
import type { SqliteEngine } from './engine.ts'
import type { Answer, Outcome, Question, Work } from './messages.ts'

/** Longer nobody waits for an answer; what has not been begun by then is not begun. */
const PATIENCE_MS = 5000

/** More that wait for the disk make nothing faster. */
const MOST_WAITING = 1000

type Worked = (outcome: Outcome) => void

export function sqliteDatabase(path: string | undefined, clock: Clock): Database {
  return path === undefined ? inMemory() : inFile(path, clock)
}

function inMemory(): Database {
  const name = 'SQLite in memory'
  let engine: SqliteEngine | undefined
  return databaseOf(name, async (work) => {
    // the library is in the thread when there is one, and not in this one
    engine ??= new (await import('./engine.ts')).SqliteEngine(undefined)
    return resultsOf(name, engine.perform(work))
  })
}

function inFile(path: string, clock: Clock): Database {
  const name = `SQLite file ${resolve(path)}`
  let thread: Thread | undefined
  return databaseOf(name, async (work) => {
    if (work.kind === 'close') {
      await thread?.close()
      thread = undefined
      return []
    }
    if (!thread?.alive) {
      if (work.kind !== 'open') throw new Unavailable(`${name}: its thread has ended`)
      thread = new Thread(path, clock)
    }
    return resultsOf(name, await thread.ask(work))
  })
}

function databaseOf(name: string, perform: (work: Work) => Promise<readonly Result[]>): Database {
  return {
    name,
    dialect: 'sqlite',
    open: async (migrations) => void (await perform({ kind: 'open', migrations })),
    run: (queries: readonly Query[]) => perform({ kind: 'run', queries }),
    write: async (rows: readonly CallRow[]) => void (await perform({ kind: 'write', rows })),
    close: async () => void (await perform({ kind: 'close' })),
  }
}

function resultsOf(name: string, outcome: Outcome): readonly Result[] {
  if ('results' in outcome) {
    return outcome.results.map(({ rows, changed }) => ({ rows: JSON.parse(rows) as unknown[], changed }))
  }
  const { kind, reason } = outcome.failure
  const message = `${name}: ${reason}`
  switch (kind) {
    case 'refused':
      throw new Refused(message)
    case 'overtaken':
      throw new Overtaken(message)
    case 'unfit':
      throw new Unfit(message)
    case 'unavailable':
      throw new Unavailable(message)
  }
}

class Thread {
  readonly #clock: Clock
  readonly #worker: Worker
  readonly #waiting = new Map<number, Worked>()
  readonly #ended: Promise<void>
  #next = 0
  alive = true

  constructor(path: string, clock: Clock) {
    this.#clock = clock
    this.#worker = startWorker(path)
    // a process that has nothing else to do may end; while somebody waits for an answer it may not
    this.#worker.unref()
    this.#worker.on('message', ({ id, ...outcome }: Answer) => this.#settle(id, outcome))
    this.#worker.on('error', (error: Error) => this.#gone(error.message))
    this.#ended = new Promise((resolved) => {
      this.#worker.once('exit', (code) => {
        this.#gone(`its thread has ended (${code})`)
        resolved()
      })
    })
  }

  ask(work: Work): Promise<Outcome> {
    if (!this.alive) return Promise.resolve(unavailable('its thread has ended'))
    if (this.#waiting.size >= MOST_WAITING) return Promise.resolve(unavailable('too much waits for the disk'))
    const cause =
      work.kind === 'open' ? 'it is still being made ready, or the disk is too slow' : 'the disk is too slow'
    const id = this.#next++
    const question: Question = { ...work, id, until: Date.now() + PATIENCE_MS }
    return new Promise((settled) => {
      const cancel: Cancel = this.#clock.after(PATIENCE_MS, () =>
        this.#settle(id, unavailable(`no answer within ${PATIENCE_MS / 1000} s: ${cause}`)),
      )
      if (this.#waiting.size === 0) this.#worker.ref()
      this.#waiting.set(id, (outcome) => {
        cancel()
        settled(outcome)
      })
      this.#worker.postMessage(question)
    })
  }

  async close(): Promise<void> {
    if (!this.alive) return
    const outcome = await this.ask({ kind: 'close' })
    if ('failure' in outcome) await this.#worker.terminate()
    else {
      this.#worker.ref()
      await this.#ended
    }
  }

  #settle(id: number, outcome: Outcome): void {
    const worked = this.#waiting.get(id)
    if (!worked) return
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#worker.unref()
    worked(outcome)
  }

  #gone(reason: string): void {
    this.alive = false
    for (const id of [...this.#waiting.keys()]) this.#settle(id, unavailable(reason))
  }
}

const unavailable = (reason: string): Outcome => ({ failure: { kind: 'unavailable', reason } })

/** Compiled files run as they are; sources need a loader, which a thread does not inherit. */
function startWorker(path: string): Worker {
  const options = { name: 'sqlite', workerData: { path }, execArgv: [], env: {} }
  if (import.meta.url.endsWith('.js')) return new Worker(new URL('./thread.js', import.meta.url), options)
  const loader = new URL('./index.mjs', pathToFileURL(createRequire(import.meta.url).resolve('tsx/esm/api'))).href
  const thread = new URL('./thread.ts', import.meta.url).href
  const script = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register()
    return import(${JSON.stringify(thread)})
  })`
  return new Worker(script, { ...options, eval: true })
}
