/**
 * One connection to one Redis server, from its opening to its end; it is never opened again. Knows what an answer
 * means (a reply, a redirect, "not now") and when a server that says nothing counts as gone. Which server has what is
 * not known here.
 */

import type { RedisClientOptions } from 'redis'
import { type Cancel, type Clock, Unavailable } from '../../ports.ts'
import { type Argument, Unsent } from './link.ts'

/** Where a server is. */
export interface Server {
  readonly host: string
  readonly port: number
}

/** How servers are spoken to; the same for all of them. */
export interface Access {
  readonly tls: boolean
  readonly username?: string
  readonly password?: string
  readonly database: number
}

/** The server that has this key is another one; the command was not carried out. */
export class Redirect extends Error {
  override readonly name = 'Redirect'
  /** For this command alone, after ASKING; otherwise from now on. */
  readonly once: boolean
  /** Undefined: the address that was asked (Redis leaves the host out when it does not know its own). */
  readonly host: string | undefined
  readonly port: number

  constructor(reply: string) {
    super('the key is on another server')
    const [kind, , address = ''] = reply.split(' ')
    const colon = address.lastIndexOf(':')
    this.once = kind === 'ASK'
    this.host = address.slice(0, colon) || undefined
    this.port = Number(address.slice(colon + 1))
  }
}

export interface ConnectionOptions {
  readonly clock: Clock
  /** How long a server may say nothing while it is asked something. */
  readonly patienceMs: number
  /** Told once, when the connection has ended, by whomever. */
  readonly closed: (connection: Connection, why: Error) => void
  /** Told how long each answer took, in seconds. */
  readonly answered?: ((seconds: number) => void) | undefined
  /** Told of refusals that an operator has to do something about. */
  readonly complain?: ((word: string) => void) | undefined
}

const READ_MS = 50

/** Beyond it commands are refused: something is wrong, and memory is bounded. */
const MOST_WAITING = 100_000

/** Error replies that say: not now, or not here; nothing was carried out. */
const NOT_NOW: ReadonlySet<string> = new Set([
  'LOADING',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'BUSY',
  'OOM',
  'MISCONF',
  'NOREPLICAS',
  'READONLY',
  'UNBLOCKED',
  'NOAUTH',
  'NOPERM',
])

/** This server is no longer the one to write to: the way to it is looked for again. */
const NOT_HERE: ReadonlySet<string> = new Set(['READONLY', 'MASTERDOWN', 'UNBLOCKED'])

/** An operator has to do something. */
const COMPLAINTS: ReadonlySet<string> = new Set(['OOM', 'MISCONF', 'NOREPLICAS', 'NOAUTH', 'NOPERM'])

/** RESP3 types by their marks: `%` maps come as flat arrays, `$` texts as octets where that is asked for. */
const TEXTS = { 37: Array } as const
const OCTETS = { 36: Buffer, 37: Array } as const

/** Loaded with the first connection: a server without Redis does without it. */
type Library = typeof import('redis')
type Client = ReturnType<Library['createClient']>

export class Connection {
  readonly server: Server
  readonly #client: Client
  readonly #isReply: (error: unknown) => error is Error
  readonly #options: ConnectionOptions
  #waiting = 0
  /** When something was heard last, or asked of a server that had answered everything. */
  #heardAt = 0
  #patience: number
  #watching: Cancel | undefined
  #ended = false

  private constructor(server: Server, client: Client, library: Library, options: ConnectionOptions) {
    this.server = server
    this.#client = client
    this.#isReply = (error): error is Error => error instanceof library.ErrorReply
    this.#options = options
    this.#patience = options.patienceMs
  }

  /** Rejected with `Unavailable` (its cause says why) when the server cannot be reached, or does not let us in, in time. */
  static async open(server: Server, access: Access, options: ConnectionOptions): Promise<Connection> {
    const library = await import('redis')
    const client = library.createClient(clientOptions(server, access, options))
    let connection: Connection | undefined
    let refused: (error: Error) => void = () => undefined
    const failure = new Promise<never>((_, reject) => {
      refused = reject
    })
    // An error without a listener would end the process
    client.on('error', (error: Error) => {
      refused(error)
      connection?.close(error)
    })
    client.on('end', () => connection?.close(new Error('the connection was closed')))
    const cancel = afterReading(options.clock, options.patienceMs, () =>
      refused(new Error('no answer to the greeting')),
    )
    try {
      await Promise.race([client.connect(), failure])
    } catch (error) {
      client.destroy()
      throw new Unsent('Redis cannot be reached', { cause: error })
    } finally {
      cancel()
    }
    connection = new Connection(server, client, library, options)
    if (!client.isReady) connection.close(new Error('the connection was closed'))
    return connection
  }

  get open(): boolean {
    return !this.#ended
  }

  /** Nothing is on the way. */
  get idle(): boolean {
    return this.#waiting === 0
  }

  /**
   * Commands are sent in the order of the calls. Rejected with `Unavailable`, with a {@link Redirect}, or with what the
   * server says about a command that is wrong. `patienceMs`: for one that blocks.
   */
  send(command: readonly Argument[], octets: boolean, patienceMs = this.#options.patienceMs): Promise<unknown> {
    if (this.#ended) return Promise.reject(new Unsent('Redis is away'))
    const { clock, answered } = this.#options
    if (this.#waiting++ === 0) {
      this.#heardAt = clock.now()
      this.#patience = patienceMs
      this.#watch()
    }
    const sentAt = performance.now()
    return this.#client.sendCommand(command as Argument[], { typeMapping: octets ? OCTETS : TEXTS }).then(
      (reply: unknown) => {
        this.#heard()
        answered?.((performance.now() - sentAt) / 1000)
        return reply
      },
      (error: unknown) => {
        this.#heard()
        throw this.#meaning(error)
      },
    )
  }

  /** Whatever is on the way is rejected with `Unavailable`. */
  close(why: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#watching?.()
    this.#client.destroy()
    this.#options.closed(this, why)
  }

  #heard(): void {
    this.#waiting--
    this.#heardAt = this.#options.clock.now()
  }

  /** One timer for all that is on the way: a server answers in order, so silence concerns them all. */
  #watch(): void {
    if (this.#watching !== undefined) return
    const { clock } = this.#options
    const look = () => {
      this.#watching = undefined
      if (this.#waiting === 0 || this.#ended) return
      const left = this.#heardAt + this.#patience - clock.now()
      if (left <= 0) this.close(new Error('no answer'))
      else this.#watching = afterReading(clock, left, look)
    }
    this.#watching = afterReading(clock, this.#patience, look)
  }

  #meaning(error: unknown): Error {
    if (!this.#isReply(error)) return new Unavailable('Redis does not answer')
    const [word = ''] = error.message.split(' ', 1)
    if (word === 'MOVED' || word === 'ASK') return new Redirect(error.message)
    if (!NOT_NOW.has(word)) return error
    if (COMPLAINTS.has(word)) this.#options.complain?.(word)
    if (NOT_HERE.has(word)) queueMicrotask(() => this.close(new Error(`the server says ${word}`)))
    return new Unsent(`Redis says ${word}`)
  }
}

/** A process that was busy itself finds its timers due before it has read what has come meanwhile: that is read first. */
function afterReading(clock: Clock, ms: number, work: () => void): Cancel {
  let cancel = clock.after(ms, () => {
    cancel = clock.after(READ_MS, work)
  })
  return () => cancel()
}

function clientOptions(server: Server, access: Access, { patienceMs }: ConnectionOptions): RedisClientOptions {
  const { tls, username, password, database } = access
  const reach = { host: server.host, port: server.port, connectTimeout: patienceMs, reconnectStrategy: false as const }
  return {
    RESP: 3,
    socket: tls ? { ...reach, tls: true } : reach,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    database,
    name: 'carillon',
    // A user who may do only what is needed may not name his library
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: MOST_WAITING,
    // Its own timer per command costs more than the command; see #watch
    commandOptions: { timeout: 0 },
    maintNotifications: 'disabled',
  }
}
