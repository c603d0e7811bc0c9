/**
 * Clients that come over TCP and TLS: a listening socket for each address, the handshake, and how many connections there
 * may be in all and from one address. What is said over a connection is connection.ts's business.
 */

import { createServer, type Server, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { Clock } from '../../../broker/clock.ts'
import { Connection } from './connection.ts'
import { type Endpoint, endpoint, familyOf, groups } from './endpoint.ts'
import type { Arrivals } from './udp.ts'

/** Most handshakes take two round trips; a client that has not got there by now never will. */
const HANDSHAKE_MS = 10_000

export interface ConnectionBounds {
  /** In all, over all listeners. */
  readonly connections: number
  readonly connectionsPerAddress: number
}

/** How many connections there are, counted over all listeners. */
export class ConnectionCount {
  readonly #bounds: ConnectionBounds
  /** Never more entries than connections. */
  readonly #byAddress = new Map<string, number>()
  #all = 0

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds
  }

  /** Takes a place, or none when there is none left: the answer gives it back. */
  enter(address: string): (() => void) | undefined {
    const source = sourceOf(address)
    const count = this.#byAddress.get(source) ?? 0
    if (this.#all >= this.#bounds.connections || count >= this.#bounds.connectionsPerAddress) return undefined
    this.#all++
    this.#byAddress.set(source, count + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      this.#all--
      const rest = (this.#byAddress.get(source) ?? 1) - 1
      if (rest > 0) this.#byAddress.set(source, rest)
      else this.#byAddress.delete(source)
    }
  }
}

/** Whoever has one IPv6 address has all of its /64. */
function sourceOf(address: string): string {
  return familyOf(address) === 4 ? address : groups(address).slice(0, 4).join(':')
}

export interface StreamWorld {
  readonly clock: Clock
  readonly arrivals: Arrivals
  readonly count: ConnectionCount
  readonly report: (error: unknown) => void
}

export class StreamListener {
  readonly #server: Server
  readonly #world: StreamWorld
  readonly #context: (() => SecureContext | undefined) | undefined
  readonly #sockets = new Set<Socket>()

  /** With `context` it speaks TLS: it is asked for each connection, so that a new certificate counts at once. */
  constructor(world: StreamWorld, context?: () => SecureContext | undefined) {
    this.#world = world
    this.#context = context
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Resolves with the port; rejects when it cannot be bound. */
  listen(ip: string, port: number): Promise<number> {
    const server = this.#server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      // `::` must not take IPv4 in as well: the mapped addresses would be a second spelling of every client
      server.listen({ host: ip, port, exclusive: true, ipv6Only: familyOf(ip) === 6 }, () => {
        server.off('error', reject)
        server.on('error', this.#world.report)
        const address = server.address()
        resolve(typeof address === 'object' && address ? address.port : port)
      })
    })
  }

  /** Ends all its connections. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort, localAddress, localPort } = socket
    const leave = remoteAddress === undefined ? undefined : this.#world.count.enter(remoteAddress)
    const context = this.#context?.()
    if (!leave || remoteAddress === undefined || remotePort === undefined || (this.#context && !context)) {
      leave?.()
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    // whatever goes wrong on a connection ends in `close`
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      this.#sockets.delete(socket)
      leave()
    })
    const remote = { family: familyOf(remoteAddress), address: remoteAddress, port: remotePort }
    const local = endpoint(localAddress ?? '0.0.0.0', localPort ?? 0)
    if (context) this.#handshake(socket, context, { remote, local })
    else this.#connected(socket, 'tcp', { remote, local })
  }

  #handshake(raw: Socket, secureContext: SecureContext, between: { remote: Endpoint; local: Endpoint }): void {
    const socket = new TLSSocket(raw, { isServer: true, secureContext })
    const cancel = this.#world.clock.after(HANDSHAKE_MS, () => raw.destroy())
    socket.on('error', () => raw.destroy())
    socket.once('close', () => {
      cancel()
      raw.destroy()
    })
    socket.once('secure', () => {
      cancel()
      this.#connected(socket, 'tls', between)
    })
  }

  #connected(socket: Socket, transport: 'tcp' | 'tls', between: { remote: Endpoint; local: Endpoint }): void {
    const { clock, arrivals, report } = this.#world
    new Connection({ socket, transport, ...between, clock, arrivals, report })
  }
}
