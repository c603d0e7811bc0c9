/**
 * Everything the relay listens on: for each address UDP and TCP on one port, and TLS on another. It knows which ports,
 * and nothing of what comes in.
 */

import type { Certificate } from './certificate.ts'
import { type ConnectionBounds, ConnectionCount, StreamListener, type StreamWorld } from './connections.ts'
import { openUdp } from './ports.ts'
import { UdpListener } from './udp.ts'

/** A port that is free for one protocol may be taken for the other; so often another one is tried. */
const MOST_ATTEMPTS = 20

export interface Listening {
  /** UDP and TCP. */
  readonly port: number
  readonly tlsPort?: number
}

type Closing = { close(): Promise<void> }

export class Listeners {
  readonly #ips: readonly string[]
  readonly #world: StreamWorld
  readonly #open: Closing[] = []

  constructor(ips: readonly string[], bounds: ConnectionBounds, world: Omit<StreamWorld, 'count'>) {
    this.#ips = ips
    this.#world = { ...world, count: new ConnectionCount(bounds) }
  }

  /** Resolves with the port; rejects when it cannot be bound on every address and for both protocols. */
  plain(port: number): Promise<number> {
    return this.#everywhere(port, async (ip, wanted, opened) => {
      const { arrivals, report } = this.#world
      const udp = new UdpListener(await openUdp(ip, wanted), ip, arrivals, report)
      opened.push(udp)
      return this.#stream(ip, udp.local.port, opened)
    })
  }

  /** As {@link plain}, for TLS. */
  tls(port: number, certificate: Certificate): Promise<number> {
    return this.#everywhere(port, (ip, wanted, opened) => this.#stream(ip, wanted, opened, certificate))
  }

  /** Closes all of them and all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((each) => each.close()))
  }

  async #stream(ip: string, port: number, opened: Closing[], certificate?: Certificate): Promise<number> {
    const listener = new StreamListener(this.#world, certificate && (() => certificate.context))
    const bound = await listener.listen(ip, port)
    opened.push(listener)
    return bound
  }

  /** The same port on every address: the first one chooses, where any will do, until all others have it free as well. */
  async #everywhere(
    port: number,
    open: (ip: string, port: number, opened: Closing[]) => Promise<number>,
  ): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const opened: Closing[] = []
      try {
        let bound = port
        for (const ip of this.#ips) bound = await open(ip, bound, opened)
        this.#open.push(...opened)
        return bound
      } catch (error) {
        await Promise.all(opened.map((each) => each.close()))
        const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (port !== 0 || !taken || attempt === MOST_ATTEMPTS) throw error
      }
    }
  }
}
