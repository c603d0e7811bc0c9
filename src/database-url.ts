/** What a `DATABASE_URL` says. Knows neither databases nor where the text comes from. */

export type DatabaseUrl =
  | { readonly kind: 'none' }
  /** `path` undefined: in memory, gone with the process. */
  | { readonly kind: 'sqlite'; readonly path: string | undefined }
  | ({ readonly kind: 'postgres' } & PostgresUrl)

export interface PostgresUrl {
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string | undefined
  readonly password: string | undefined
  readonly ssl: SslMode
  /** A file with the certificates of those who may sign the server's. */
  readonly rootCertificate: string | undefined
  /** Statements that come again and again may be kept by a connection, and planned once. */
  readonly plansAhead: boolean
}

const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof SSL_MODES)[number]

const FORMS = 'sqlite:<file>, sqlite::memory:, postgres://user:password@host/database, or none'

/**
 * `sqlite:./data/carillon.db` (from the working directory), `sqlite:/var/lib/carillon.db`, `sqlite::memory:`,
 * `postgres://user:password@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem`, `none`. `pgbouncer=true`: a pooler is between
 * that gives each transaction to another connection, and keeps no statements for us.
 * Throws an Error whose message says what is wrong with the text, without repeating it: it may hold a password.
 */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  if (text === 'none') return { kind: 'none' }
  if (text.startsWith('sqlite:')) return sqlite(text.slice('sqlite:'.length))
  if (/^postgres(ql)?:\/\//.test(text)) return { kind: 'postgres', ...postgres(text) }
  throw new Error(`must be ${FORMS}`)
}

function sqlite(rest: string): DatabaseUrl {
  if (rest === ':memory:') return { kind: 'sqlite', path: undefined }
  // sqlite:///var/lib/x.db is sqlite:/var/lib/x.db
  const path = rest.replace(/^\/\/(?=\/)/, '')
  if (path === '' || path.startsWith('//'))
    throw new Error('sqlite: a file is missing, as in sqlite:./data/carillon.db')
  if (/[?#\0]/.test(path)) throw new Error('sqlite: what follows is the name of a file; it has no parameters')
  return { kind: 'sqlite', path }
}

function postgres(text: string): PostgresUrl {
  if (!URL.canParse(text)) throw new Error('postgres: is not a URL; write @, : and / in a password as %40, %3A and %2F')
  const url = new URL(text)
  const parameters = new Map(url.searchParams)
  const take = (name: string) => {
    const value = parameters.get(name)
    parameters.delete(name)
    return value === '' ? undefined : value
  }
  const ssl = take('sslmode') ?? 'disable'
  const pooler = take('pgbouncer') ?? 'false'
  if (pooler !== 'true' && pooler !== 'false') throw new Error('postgres: pgbouncer must be true or false')
  if (!isSslMode(ssl)) throw new Error(`postgres: sslmode must be one of ${SSL_MODES.join(', ')}`)
  const found: PostgresUrl = {
    host: take('host') ?? (url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost'),
    port: Number(take('port') ?? (url.port || 5432)),
    database: decoded(url.pathname.slice(1)),
    user: decoded(url.username) || undefined,
    password: decoded(url.password) || undefined,
    ssl,
    rootCertificate: take('sslrootcert'),
    plansAhead: pooler === 'false',
  }
  if (found.database === '')
    throw new Error('postgres: the name of the database is missing, as in postgres://host/carillon')
  if (!Number.isInteger(found.port) || found.port < 1 || found.port > 65_535) throw new Error('postgres: no such port')
  const [unknown] = parameters.keys()
  if (unknown !== undefined)
    throw new Error(`postgres: there are sslmode, sslrootcert, pgbouncer, host and port; not ${unknown}`)
  return found
}

function isSslMode(text: string): text is SslMode {
  return (SSL_MODES as readonly string[]).includes(text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('postgres: a % must be written as %25')
  }
}
