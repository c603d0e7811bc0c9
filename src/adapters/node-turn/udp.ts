/**
 * Clients that come over UDP: a listening socket, and which of the addresses that it hears from hold something here.
 * Only those are remembered; anybody else is a stranger again with the next packet.
 */

import type { Socket } from 'node:dgram'
import { Client } from './client.ts'
import { DatagramSocket } from './datagrams.ts'
import { type Endpoint, endpoint, familyOf } from './endpoint.ts'
import { isChannelData } from './framing.ts'
import { receiveBuffer } from './ports.ts'

/** All calls share the way to the clients; beyond this it does not keep up, and late media is of no use. */
const MOST_QUEUED = 4 * 1024 * 1024
/** All calls share the way from the clients, too: some hundredths of a second of a Gbit/s. */
const RECEIVE_BUFFER = 4 * 1024 * 1024

/** What is done with what arrives; nothing of it may throw. */
export interface Arrivals {
  /** ChannelData of a client that holds something. The buffer is the receiver's to keep. */
  channelData(client: Client, message: Buffer): void
  /** What may be a STUN message. False when it is none. */
  message(client: Client, message: Buffer): boolean
  /** The client's connection is closed. */
  gone(client: Client): void
}

export class UdpListener {
  readonly local: Endpoint
  readonly #socket: DatagramSocket
  readonly #arrivals: Arrivals
  /** By port, then by address: a packet tells both, and no key has to be made of them. */
  readonly #clients = new Map<number, Map<string, UdpClient>>()

  /** The socket is bound, and from now on ours. */
  constructor(socket: Socket, ip: string, arrivals: Arrivals, report: (error: unknown) => void) {
    this.#socket = new DatagramSocket(socket, MOST_QUEUED)
    this.#arrivals = arrivals
    this.local = endpoint(ip, socket.address().port)
    receiveBuffer(socket, RECEIVE_BUFFER)
    socket.on('error', report)
    this.#socket.receive((datagram, address, port) => {
      try {
        this.#receive(datagram, address, port)
      } catch (error) {
        report(error)
      }
    })
  }

  #receive(datagram: Buffer, address: string, port: number): void {
    const known = this.#clients.get(port)?.get(address)
    if (isChannelData(datagram)) {
      if (known) this.#arrivals.channelData(known, datagram)
    } else if (datagram.length > 0) {
      // sockets name their peers canonically; a link-local address keeps its zone, or it could not be answered
      const client = known ?? new UdpClient(this, { family: familyOf(address), address, port })
      this.#arrivals.message(client, datagram)
    }
  }

  send(datagram: Buffer, { port, address }: Endpoint): boolean {
    return this.#socket.send(datagram, port, address)
  }

  sendChannelData(channel: number, data: Buffer, { port, address }: Endpoint): boolean {
    return this.#socket.sendChannelData(channel, data, port, address)
  }

  keep(client: UdpClient): void {
    const { address, port } = client.remote
    const there = this.#clients.get(port)
    if (there) there.set(address, client)
    else this.#clients.set(port, new Map([[address, client]]))
  }

  forget(client: UdpClient): void {
    const { address, port } = client.remote
    const there = this.#clients.get(port)
    if (there?.get(address) !== client) return
    there.delete(address)
    if (there.size === 0) this.#clients.delete(port)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve))
  }
}

class UdpClient extends Client {
  readonly #listener: UdpListener

  constructor(listener: UdpListener, remote: Endpoint) {
    super('udp', remote, listener.local)
    this.#listener = listener
  }

  override send(message: Buffer): boolean {
    return this.#listener.send(message, this.remote)
  }

  override sendChannelData(channel: number, data: Buffer): boolean {
    return this.#listener.sendChannelData(channel, data, this.remote)
  }

  override keep(): void {
    this.#listener.keep(this)
  }

  override forget(): void {
    this.#listener.forget(this)
  }
}
