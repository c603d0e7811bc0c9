/** The real server, as its own process, for one test file. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

export interface RunningServer {
  readonly url: string
  /** What it has said last. */
  readonly log: () => string
  readonly port: number
  /** Ends it in the way an operator does, and waits. */
  stop(): Promise<void>
}

/** Resolves when it listens; fails with all it has said when it does not. */
export async function startServer(env: Record<string, string> = {}): Promise<RunningServer> {
  if (!existsSync(MAIN)) throw new Error('dist/ is missing: npm run build')
  const server = spawn(process.execPath, [MAIN], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      TURN_PORT: String(await freePort()),
      TURN_TLS_PORT: '0',
      DATABASE_URL: 'none',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  const read = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-20_000)
  }
  server.stdout.on('data', read)
  server.stderr.on('data', read)
  const url = await listening(server, () => said)
  return {
    url,
    log: () => said,
    port: Number(new URL(url).port),
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) {
        throw new Error(`the server ended by itself (${server.exitCode ?? server.signalCode}):\n${said}`)
      }
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      await ended
    },
  }
}

function listening(server: ChildProcess, said: () => string): Promise<string> {
  return new Promise((found, failed) => {
    server.stdout?.on('data', () => {
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(said()) ?? []
      if (url) found(url)
    })
    server.once('exit', (code) => failed(new Error(`the server ended with ${code}:\n${said()}`)))
  })
}
