/** The ports of relayed addresses: bound at random from the configured range, and free again once their socket closes. */

import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { familyOf } from './endpoint.ts'

/** Other programs may hold ports of the range; after so many of them in a row the machine is as good as full. */
const MOST_ATTEMPTS = 16

export class RelayPorts {
  readonly #ip: string
  readonly #min: number
  readonly #count: number
  readonly #taken = new Set<number>()

  /** Both ends of the range are included. */
  constructor({ ip, min, max }: { ip: string; min: number; max: number }) {
    this.#ip = ip
    this.#min = min
    this.#count = max - min + 1
  }

  /** How many are in use. */
  get taken(): number {
    return this.#taken.size
  }

  /**
   * A bound socket, and where it is asked for the one of the next port after it (RFC 8656, section 18.6); empty when
   * there is none left.
   */
  async bind(which: 'any' | 'even' | 'even and the next'): Promise<Socket[]> {
    let attempts = 0
    for (const port of this.#candidates(which)) {
      if (++attempts > MOST_ATTEMPTS) return []
      const socket = await this.#open(port)
      if (!socket) continue
      if (which !== 'even and the next') return [socket]
      const next = await this.#open(port + 1)
      if (next) return [socket, next]
      socket.close()
    }
    return []
  }

  async #open(port: number): Promise<Socket | undefined> {
    // also by another Allocate, while this one was waiting
    if (this.#taken.has(port)) return undefined
    this.#taken.add(port)
    const socket = await openUdp(this.#ip, port).catch(() => undefined)
    if (!socket) this.#taken.delete(port)
    return socket?.once('close', () => this.#taken.delete(port))
  }

  /** Ports not in use, from a random one on and round the range once. */
  *#candidates(which: 'any' | 'even' | 'even and the next'): Generator<number> {
    if (this.#taken.size >= this.#count) return
    const start = randomInt(this.#count)
    for (let step = 0; step < this.#count; step++) {
      const port = this.#min + ((start + step) % this.#count)
      if (this.#taken.has(port) || (which !== 'any' && port % 2 !== 0)) continue
      if (which !== 'even and the next' || this.#free(port + 1)) yield port
    }
  }

  #free(port: number): boolean {
    return port < this.#min + this.#count && !this.#taken.has(port)
  }
}

/** What the system keeps for us while this process does something else; it gives less where it is told to. */
export function receiveBuffer(socket: Socket, octets: number): void {
  try {
    socket.setRecvBufferSize(octets)
  } catch {
    // some systems refuse what others cut down; the size they have is a good one
  }
}

/** A UDP socket that is bound, or a rejection. Its addresses are always numbers, so nothing is ever looked up. */
export async function openUdp(ip: string, port: number): Promise<Socket> {
  const six = familyOf(ip) === 6
  const socket = createSocket({
    type: six ? 'udp6' : 'udp4',
    // `::` must not take IPv4 in as well: mapped addresses would be a second spelling of every peer
    ipv6Only: six,
    lookup: (hostname, _options, done) => done(null, hostname, six ? 6 : 4),
  })
  try {
    // before bind: without a real lookup it is through before it returns
    const listening = once(socket, 'listening')
    socket.bind({ address: ip, port, exclusive: true })
    await listening
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}
