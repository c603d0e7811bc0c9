/**
 * A load balancer as simple as can be: each connection goes to the next node that takes it. No health checks, no sticky
 * sessions; a node that refuses is passed over.
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class Balancer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #ports: readonly number[]
  #next = 0

  private constructor(server: Server, ports: readonly number[]) {
    this.#server = server
    this.#ports = ports
    server.on('connection', (socket) => {
      this.#keep(socket)
      this.#pass(socket, this.#ports.length)
    })
  }

  static async before(urls: readonly string[]): Promise<Balancer> {
    const server = createServer({ noDelay: true })
    const balancer = new Balancer(server, urls.map(portOf))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return balancer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A node that takes connections from now on. */
  add(url: string): void {
    this.#ports = [...this.#ports, portOf(url)]
  }

  /** No new connections for this node; those that stand are left alone. */
  remove(url: string): void {
    this.#ports = this.#ports.filter((port) => port !== portOf(url))
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #pass(client: Socket, tries: number): void {
    const port = this.#ports[this.#next++ % this.#ports.length]
    if (port === undefined || tries === 0) {
      client.destroy()
      return
    }
    const node = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#keep(node)
    const passedOver = () => this.#pass(client, tries - 1)
    node.once('error', passedOver)
    node.once('connect', () => {
      node.off('error', passedOver)
      client.pipe(node).pipe(client)
      node.on('close', () => client.destroy())
      client.on('close', () => node.destroy())
    })
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

const portOf = (url: string) => Number(new URL(url).port)
