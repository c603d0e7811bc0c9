/**
 * Records that wait for the database, in a file: one line of JSON each, appended. It outlives the process, a kill in the
 * middle of a line too: what is not whole is dropped, and counted. Answers the {@link Spool} port.
 *
 * Each process has a file of its own, `spool.<host>.<pid>.<random>.jsonl`, made when there is something to put into it.
 * Files of processes that are gone are adopted: renamed first, which only one process can do, and then taken over line by
 * line. Gone is a process of this host that does not run, or one whose file nobody has touched for a while (in containers
 * all have the same pid, and another host's cannot be asked).
 */

import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Spool } from '../../history/ports.ts'
import type { CallRecord } from '../../history/types.ts'
import type { Cancel, Clock } from '../../ports.ts'

export interface FileSpoolLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
}

export interface FileSpoolOptions {
  readonly folder: string
  /** What may wait, in octets. */
  readonly mostBytes: number
  readonly clock: Clock
  readonly log: FileSpoolLog
  /** This process; a test has others. */
  readonly host: string
  readonly pid?: number
}

/** The owner of a file says so often that it is there; nobody adopts one that was touched lately. */
const TOUCH_MS = 10_000
const GONE_MS = 60_000

const CHUNK = 256 * 1024

/** A file with so much at its front that is done with is written anew. */
const COMPACT_BYTES = 8 * 1024 * 1024

/** A record is far smaller: a line that is longer is none. */
const LONGEST_LINE = 4 * 1024 * 1024

const NAME = /^spool\.([\w-]+)\.(\d+)\.([\w-]+)\.jsonl$/
const NEWLINE = 0x0a

export class FileSpool implements Spool {
  /** Lines that were not whole. */
  torn = 0
  readonly #options: FileSpoolOptions
  readonly #name: string
  #file: FileHandle | undefined
  /** Of the file, and of what is done with at its front. */
  #bytes = 0
  #offset = 0
  #records = 0
  /** What {@link peek} has returned last. */
  #peeked: { readonly count: number; readonly until: number } | undefined
  /** One step after the other. */
  #line: Promise<unknown> = Promise.resolve()
  #touch: Cancel | undefined
  #halfLine = false
  #complained = false
  #stopped = false

  constructor(options: FileSpoolOptions) {
    this.#options = options
    this.#name = nameOf(options.host, options.pid ?? process.pid)
    this.#touchLater()
  }

  /** Takes over what processes that are gone have left. Never rejected. */
  start(): Promise<void> {
    return this.#inTurn(() => this.#adopt()).catch((error: unknown) => this.#complain(error))
  }

  put(records: readonly CallRecord[]): Promise<boolean> {
    return this.#inTurn(async () => {
      const octets = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
      if (this.#bytes - this.#offset + octets.length > this.#options.mostBytes) return false
      return this.#append(octets, records.length)
    })
  }

  peek(atMost: number): Promise<readonly CallRecord[]> {
    return this.#inTurn(async () => {
      const found: CallRecord[] = []
      const done = await this.#eachLine(this.#offset, (line) => {
        const record = readRecord(line)
        if (record) found.push(record)
        else this.torn++
        return found.length < atMost
      })
      this.#peeked = { count: found.length, until: done }
      if (found.length > 0) return found
      // Nothing but lines that are none
      await this.#clear()
      return found
    })
  }

  done(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#peeked === undefined) return
      const { count, until } = this.#peeked
      this.#peeked = undefined
      this.#offset = until
      this.#records = Math.max(0, this.#records - count)
      if (this.#offset >= this.#bytes) await this.#clear()
      else if (this.#offset > COMPACT_BYTES && this.#offset > this.#bytes / 2) await this.#compact()
    })
  }

  size(): { readonly records: number; readonly bytes: number } {
    return { records: this.#records, bytes: this.#bytes - this.#offset }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#touch?.()
    await this.#inTurn(async () => {
      const file = this.#file
      this.#file = undefined
      await file?.close()
      if (file && this.#bytes === this.#offset) await unlink(this.#path(this.#name))
    })
  }

  /** False: the disk does not take it, and has none of it. */
  async #append(lines: Uint8Array, records: number): Promise<boolean> {
    let octets = lines
    try {
      this.#file ??= await this.#create()
      if (this.#halfLine) octets = Buffer.concat([Buffer.from('\n'), octets])
      await this.#file.appendFile(octets)
    } catch (error) {
      this.#complain(error)
      await this.#withoutTheRest()
      return false
    }
    this.#complained = false
    this.#halfLine = false
    this.#bytes += octets.length
    this.#records += records
    return true
  }

  /** Half a line may have been written, on a disk that is full: the next one must not be glued to it. */
  async #withoutTheRest(): Promise<void> {
    try {
      await this.#file?.truncate(this.#bytes)
    } catch {
      this.#bytes = (await this.#file?.stat().catch(() => undefined))?.size ?? this.#bytes
      this.#halfLine = true
    }
  }

  async #create(): Promise<FileHandle> {
    const { folder } = this.#options
    await mkdir(folder, { recursive: true })
    // Who calls whom is nobody else's business
    return open(this.#path(this.#name), 'a+', 0o600)
  }

  /** Reads whole lines from there on while they are wanted. Where the first one begins that was not. */
  async #eachLine(from: number, wanted: (line: Buffer) => boolean): Promise<number> {
    let done = from
    let rest: Buffer = Buffer.alloc(0)
    for (let at = from; this.#file && at < this.#bytes; ) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, at)
      if (bytesRead === 0) return this.#bytes
      at += bytesRead
      const chunk: Buffer = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      let begin = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, begin)) {
        const line = chunk.subarray(begin, end)
        begin = end + 1
        done += line.length + 1
        if (!wanted(line)) return done
      }
      rest = chunk.subarray(begin)
      if (rest.length > LONGEST_LINE) return this.#bytes
    }
    return this.#bytes
  }

  async #clear(): Promise<void> {
    await this.#file?.truncate(0)
    this.#bytes = 0
    this.#offset = 0
    this.#records = 0
  }

  /** What is left goes into a new file, which then takes the name of the old one. */
  async #compact(): Promise<void> {
    const path = this.#path(this.#name)
    const fresh = await open(`${path}.new`, 'w+', 0o600)
    let written = 0
    for (let at = this.#offset; this.#file && at < this.#bytes; ) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, at)
      if (bytesRead === 0) break
      await fresh.write(buffer, 0, bytesRead)
      at += bytesRead
      written += bytesRead
    }
    await fresh.close()
    await rename(`${path}.new`, path)
    await this.#file?.close()
    this.#file = await open(path, 'a+', 0o600)
    this.#bytes = written
    this.#offset = 0
  }

  async #adopt(): Promise<void> {
    const names = await readdir(this.#options.folder).catch(() => [])
    for (const name of names) if (await this.#isOrphan(name)) await this.#takeOver(name)
  }

  async #isOrphan(name: string): Promise<boolean> {
    const [, host, pid] = NAME.exec(name) ?? []
    if (host === undefined || name === this.#name) return false
    const { host: own, pid: ownPid = process.pid, clock } = this.#options
    if (host === hostFor(own) && Number(pid) !== ownPid && !isRunning(Number(pid))) return true
    const { mtimeMs } = await stat(this.#path(name)).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    return clock.now() - mtimeMs > GONE_MS
  }

  async #takeOver(name: string): Promise<void> {
    const { host, pid = process.pid, log } = this.#options
    const mine = nameOf(host, pid)
    try {
      await rename(this.#path(name), this.#path(mine))
    } catch {
      // Somebody else was faster
      return
    }
    const file = await open(this.#path(mine), 'r')
    const before = { records: this.#records, torn: this.torn }
    let rest: Buffer = Buffer.alloc(0)
    let complete = true
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null)
      if (bytesRead === 0) break
      const chunk: Buffer = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      const end = chunk.lastIndexOf(NEWLINE) + 1
      const lines = chunk.subarray(0, end)
      complete = complete && (lines.length === 0 || (await this.#append(lines, count(lines))))
      rest = chunk.subarray(end)
    }
    if (rest.length > 0) this.torn++
    await file.close()
    if (complete) await unlink(this.#path(mine))
    const facts = { file: name, calls: this.#records - before.records, torn: this.torn - before.torn }
    log.info(facts, 'calls that a process before has left are written into the history')
  }

  #touchLater(looks = 1): void {
    if (this.#stopped) return
    this.#touch = this.#options.clock.after(TOUCH_MS, () => {
      const now = new Date(this.#options.clock.now())
      void this.#inTurn(async () => {
        if (this.#file) await utimes(this.#path(this.#name), now, now)
        if ((looks * TOUCH_MS) % GONE_MS === 0) await this.#adopt()
      })
        .catch((error: unknown) => this.#complain(error))
        .finally(() => this.#touchLater(looks + 1))
    })
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#line.then(step)
    this.#line = done.catch(() => undefined)
    return done
  }

  #complain(error: unknown): void {
    if (this.#complained) return
    this.#complained = true
    this.#options.log.warn({ err: error }, 'calls that wait for the database cannot be kept on disk')
  }

  #path(name: string): string {
    return join(this.#options.folder, name)
  }
}

const hostFor = (host: string): string => host.replace(/[^\w-]/g, '_').slice(0, 60) || '_'

const nameOf = (host: string, pid: number): string =>
  `spool.${hostFor(host)}.${pid}.${randomBytes(6).toString('base64url')}.jsonl`

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // It is there, and somebody else's
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function count(lines: Buffer): number {
  let found = 0
  for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) found++
  return found
}

/** Written by us, so it is one when it is whole. */
function readRecord(line: Buffer): CallRecord | undefined {
  try {
    const read: unknown = JSON.parse(line.toString())
    const { callId, endedAt } = (read ?? {}) as { callId?: unknown; endedAt?: unknown }
    return typeof callId === 'string' && typeof endedAt === 'number' ? (read as CallRecord) : undefined
  } catch {
    return undefined
  }
}
