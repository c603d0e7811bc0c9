/**
 * The process: environment in, signals, exit codes, and the lines that a person reads after `npm start`.
 */

import { systemClock } from '../broker/index.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { createLog, type Log } from './log.ts'
import { type RunningServer, startServer } from './server.ts'

/** What an operator's service manager sees: 78 is EX_CONFIG of sysexits.h, it makes no sense to try again. */
const EXIT_WRONG_CONFIGURATION = 78

const HOUR_MS = 3_600_000

try {
  process.loadEnvFile('.env')
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') fail(`.env cannot be read: ${(error as Error).message}`)
}
const config = configuration()
const log = createLog(config.log)

process.on('uncaughtException', (error) => {
  log.error({ err: error }, 'a bug that nobody caught; the process ends')
  process.exit(1)
})

for (const warning of config.warnings) log.warn({}, warning)
const starting = startServer(config, { clock: systemClock, log }).catch((error: unknown) => fail(reasonOf(error)))
stopOnSignals(starting, log)
// Timers of the server keep no process alive, and until it listens there may be nothing else: it may be waiting for Redis
const alive = setInterval(() => undefined, HOUR_MS)
const server = await starting
clearInterval(alive)
greet(config, server)

function configuration(): Config {
  try {
    return readConfig(process.env)
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message, EXIT_WRONG_CONFIGURATION)
    throw error
  }
}

function greet({ demo, turn }: Config, { url }: RunningServer): void {
  log.info({ url, demo }, `Carillon listens on ${url}`)
  if (!demo) return
  const lines = [
    '',
    `  Carillon listens on ${url}`,
    '',
    '  Open it in two tabs, choose two names, and call one from the other.',
    '  API documentation:  /docs      Metrics:  /metrics',
    '',
    '  DEMO MODE: no key is configured (AUTH_JWT_SECRET, AUTH_PUBLIC_KEY or AUTH_JWKS_URL),',
    '  so everybody who can reach this port gets a token for any name. Therefore the server',
    '  listens on 127.0.0.1 only, and tokens are worth nothing after a restart.',
    ...(turn.relay ? ['  The bundled relay may reach 127.0.0.0/8, which it refuses otherwise.'] : []),
    '',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** The first signal stops in order (a server that is starting does that first); the second one ends at once. */
function stopOnSignals(starting: Promise<RunningServer>, log: Log): void {
  let stopping = false
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) {
      log.warn({ signal }, 'second signal: ending at once')
      process.exit(1)
    }
    stopping = true
    log.info({ signal }, 'stopping: no new connections; sessions are closed in steps')
    starting
      .then((server) => server.stop())
      .then(
        () => {
          log.info({}, 'stopped')
          process.exit(0)
        },
        (error: unknown) => fail(reasonOf(error)),
      )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  const { host, port } = config.http
  if (code === 'EADDRINUSE') return `${host}:${port} is already in use: stop what listens there, or set another PORT`
  if (code === 'EACCES') return `${host}:${port} may not be used by this account: set a PORT above 1023`
  if (code === 'EADDRNOTAVAIL') return `HOST ${host} is not an address of this machine`
  return `Carillon cannot run: ${message}`
}

function fail(message: string, code = 1): never {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}
