/**
 * The part of the configuration that is about Redis: whether there is one, in which form, how it is reached.
 */

import type { Notes, Settings } from './variables.ts'

/** In the words of the link's own settings. */
export interface RedisConfig {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** The server, the Sentinels, or some members of the Cluster. */
  readonly servers: readonly [RedisServer, ...RedisServer[]]
  readonly access: {
    readonly tls: boolean
    readonly username?: string
    readonly password?: string
    readonly database: number
  }
  /** Under which the Sentinels know the master. */
  readonly sentinelName?: string
  readonly prefix: string
}

export interface RedisServer {
  readonly host: string
  readonly port: number
}

const PORT = 6379
const SENTINEL_PORT = 26_379

/** Undefined: one process, on its own. */
export function redisOf(settings: Settings, demo: boolean, notes: Notes): RedisConfig | undefined {
  const { REDIS_URL: urls, REDIS_MODE: mode, REDIS_SENTINEL_NAME: sentinelName, REDIS_PREFIX: prefix } = settings
  if (urls === undefined) {
    if (mode !== 'single') notes.wrong('REDIS_URL', `is needed with REDIS_MODE=${mode}`)
    return undefined
  }
  const [first, ...others] = urls.map((url) => new URL(url))
  if (first === undefined) return undefined
  if (mode === 'single' && others.length > 0) {
    notes.wrong('REDIS_MODE', 'must say what the several servers of REDIS_URL are: cluster or sentinel', 'cluster')
  }
  if (others.some((other) => accessOf(other) !== accessOf(first))) {
    notes.wrong('REDIS_URL', 'must have the same scheme, user, password and database in each address')
  }
  const database = Number(first.pathname.slice(1))
  if (mode === 'cluster' && database !== 0) notes.wrong('REDIS_URL', 'must name no database: a Cluster has only one')
  if (mode === 'sentinel' && sentinelName === undefined) {
    notes.wrong('REDIS_SENTINEL_NAME', 'is needed with REDIS_MODE=sentinel')
  }
  if (mode !== 'sentinel' && sentinelName !== undefined) {
    notes.warn('REDIS_SENTINEL_NAME has no effect without REDIS_MODE=sentinel')
  }
  if (demo) {
    notes.warn('without a key each server makes a secret of its own, and takes no token that another one has made')
  }
  const server = ({ hostname, port }: URL): RedisServer => ({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (mode === 'sentinel' ? SENTINEL_PORT : PORT) : Number(port),
  })
  return {
    mode,
    servers: [server(first), ...others.map(server)],
    access: {
      tls: first.protocol === 'rediss:',
      ...(first.username !== '' && { username: decodeURIComponent(first.username) }),
      ...(first.password !== '' && { password: decodeURIComponent(first.password) }),
      database,
    },
    ...(mode === 'sentinel' && sentinelName !== undefined && { sentinelName }),
    prefix,
  }
}

const accessOf = ({ protocol, username, password, pathname }: URL) =>
  JSON.stringify([protocol, username, password, pathname])
