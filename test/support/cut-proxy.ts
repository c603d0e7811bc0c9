/**
 * A network in the hands of a test: TCP between a client and a server that can be cut, silenced, and healed. Knows
 * octets, not what they mean; what is on its way when it is cut is lost, as with a cable.
 */

import { EventEmitter, once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * `whole`: octets pass. `cut`: every connection is reset, and so is every new one. `silent`: nothing passes and nobody is
 * told, as behind a wall or in a lift; connections that are made meanwhile hang as well.
 */
export type NetworkState = 'whole' | 'cut' | 'silent'

export class CutProxy {
  readonly #server: Server
  #to: { readonly host: string; readonly port: number }
  readonly #wires = new Set<Wire>()
  readonly #news = new EventEmitter()
  #state: NetworkState = 'whole'
  #accepted = 0
  #cuts = 0

  private constructor(server: Server, to: { host: string; port: number }) {
    this.#server = server
    this.#to = to
    server.on('connection', (socket) => this.#accept(socket))
  }

  /** Listens on a free port of 127.0.0.1 and forwards to `port` there (or on `host`). */
  static async to(port: number, host = '127.0.0.1'): Promise<CutProxy> {
    const server = createServer({ noDelay: true })
    const proxy = new CutProxy(server, { host, port })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  get state(): NetworkState {
    return this.#state
  }

  /** Connections that stand now, whatever becomes of their octets. */
  get connections(): number {
    return this.#wires.size
  }

  /** How many were ever tried, those that were refused included. */
  get attempts(): number {
    return this.#accepted
  }

  /** How often it was cut. */
  get cuts(): number {
    return this.#cuts
  }

  /** Fulfilled when somebody next tries to connect, whatever the state. */
  async attempt(): Promise<void> {
    await once(this.#news, 'attempt')
  }

  /** New connections go to this port from now on, as a load balancer sends them to another server; what stands stays. */
  leadTo(port: number): void {
    this.#to = { ...this.#to, port }
  }

  /** Resets all that stands, and whatever comes until {@link heal}. */
  cut(): void {
    this.#state = 'cut'
    this.#cuts++
    for (const wire of [...this.#wires]) wire.reset()
  }

  /** Resets all that stands; new connections are welcome: a proxy that was restarted. */
  drop(): void {
    for (const wire of [...this.#wires]) wire.reset()
  }

  /** Nothing passes any more, in either direction, and nothing is closed: both ends must find out by themselves. */
  silence(): void {
    this.#state = 'silent'
    for (const wire of this.#wires) wire.hold()
  }

  /** What stands now hangs for ever; new connections pass: a phone that has changed from one network to another. */
  strand(): void {
    for (const wire of this.#wires) wire.strand()
  }

  /** All is well again. What hung in silence goes on where it was, as TCP does. */
  heal(): void {
    this.#state = 'whole'
    for (const wire of this.#wires) wire.release()
  }

  /** Ends it, and every connection. */
  async stop(): Promise<void> {
    this.cut()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(socket: Socket): void {
    this.#accepted++
    if (this.#state === 'cut') {
      socket.on('error', () => {})
      socket.resetAndDestroy()
    } else {
      const wire = new Wire(socket, connect(this.#to), () => this.#wires.delete(wire))
      this.#wires.add(wire)
      if (this.#state === 'silent') wire.hold()
    }
    this.#news.emit('attempt')
  }
}

/** One connection: two sockets, each of which hears what the other says. */
class Wire {
  readonly #ends: readonly [Socket, Socket]
  #held = false
  #stranded = false

  constructor(client: Socket, server: Socket, gone: () => void) {
    this.#ends = [client, server]
    server.setNoDelay(true)
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('data', (octets) => {
        // A reader that is too slow slows down the writer, as without a proxy
        if (!to.write(octets)) from.pause()
      })
      to.on('drain', () => {
        if (!this.#held) from.resume()
      })
      from.on('end', () => to.end())
      from.on('error', () => {})
      from.on('close', (broken) => {
        // What is held stays at the other end, until somebody resets it
        if (!this.#held || to.destroyed) gone()
        if (this.#held) return
        if (broken) to.resetAndDestroy()
        else to.destroySoon()
      })
    }
  }

  hold(): void {
    this.#held = true
    for (const end of this.#ends) end.pause()
  }

  strand(): void {
    this.#stranded = true
    this.hold()
  }

  release(): void {
    if (this.#stranded) return
    this.#held = false
    for (const end of this.#ends) {
      if (end.destroyed) this.reset()
      else end.resume()
    }
  }

  reset(): void {
    this.#held = false
    for (const end of this.#ends) end.resetAndDestroy()
  }
}
