/**
 * SockJS alone, without a broker, on a real port with a clock in the hand: what its sessions get and how they end is
 * kept. `echo` gives back what comes; `close` ends a session as soon as it is open.
 */

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Connection, Peer } from '../../broker/connection.ts'
import { queryOf } from '../../broker/transports/query.ts'
import { type SockJsAcceptor, type SockJsOptions, sockJsAcceptor } from '../../broker/transports/sockjs.ts'
import { TestClock } from './clock.ts'

export interface SockJsServer {
  readonly clock: TestClock
  readonly sockJs: SockJsAcceptor
  /** `http://127.0.0.1:<port>/a` */
  readonly url: string
  readonly port: number
  /** Every session so far, in the order in which they were opened. */
  readonly connections: readonly Connection[]
  /** How often a session was told that something has left. */
  readonly drained: number
  /** `1006 not fetched from any more`, in the order in which sessions ended. */
  readonly ends: readonly string[]
  /** Fulfilled when so many sessions have ended. */
  ended(count: number): Promise<void>
  stop(): Promise<void>
}

const PATH = '/a'

export async function sockJsServer(
  behaves: 'echo' | 'close',
  options: Partial<SockJsOptions> = {},
): Promise<SockJsServer> {
  const clock = new TestClock()
  const connections: Connection[] = []
  const ends: string[] = []
  let wake: (() => void)[] = []
  let drained = 0
  const defaults: SockJsOptions = { path: PATH, clientUrl: '/sockjs.js', clock, longestMessage: 400_000 }
  const sockJs = sockJsAcceptor({ ...defaults, ...options }, (connection) => {
    connections.push(connection)
    connection.handler = {
      data: (octets) => connection.send(octets.toString()),
      alive: () => undefined,
      stalled: () => undefined,
      drained: () => void drained++,
      closed(code, reason) {
        ends.push(`${code} ${reason}`)
        for (const each of wake) each()
        wake = []
      },
    }
    if (behaves === 'close') connection.close(3000, 'Go away!')
  })
  const peerOf = (request: IncomingMessage): Peer => ({
    transport: 'sockjs',
    address: '127.0.0.1',
    query: queryOf(request.url ?? ''),
  })
  const server = createServer((request, response) => sockJs.request(request, response, peerOf(request)))
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    sockJs.upgrade(request, socket, head, peerOf(request))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    clock,
    sockJs,
    url: `http://127.0.0.1:${port}${PATH}`,
    port,
    connections,
    get drained() {
      return drained
    },
    ends,
    async ended(count) {
      while (ends.length < count) await new Promise<void>((resolve) => wake.push(resolve))
    },
    async stop() {
      server.closeAllConnections()
      for (const connection of connections) connection.terminate()
      server.close()
      await once(server, 'close')
    },
  }
}
