/** A raw STOMP peer beside the broker, without sockets: for tests that hold the clock in their hand. */

import type { Broker } from '../../broker/index.ts'
import { type MemoryPeer, memoryPair } from '../../broker/transports/memory.ts'
import { settled } from './clock.ts'
import { frame, Inbox, type ServerFrame, type Wanted } from './stomp-peer.ts'

export interface MemoryStompPeer {
  readonly end: MemoryPeer
  readonly frames: readonly ServerFrame[]
  readonly heartbeats: number
  /** Set when the connection is over. */
  readonly over: { code: number; reason: string } | undefined
  readonly pings: number
  send(...data: (string | Buffer)[]): Promise<void>
  /** The first frame that is wanted and was not given out before. */
  frame(wanted: Wanted): Promise<ServerFrame>
  connect(user: string, headers?: Readonly<Record<string, string>>): Promise<ServerFrame>
}

export function memoryStompPeer(broker: Broker, about: Parameters<typeof memoryPair>[0] = {}): MemoryStompPeer {
  const { connection, peer: end } = memoryPair(about)
  const inbox = new Inbox()
  let over: { code: number; reason: string } | undefined
  let pings = 0
  end.onData = (data) => inbox.receive(data, false)
  end.onPing = () => void pings++
  end.onClose = (code, reason) => {
    over = { code, reason }
    inbox.end(`${code} ${reason}`)
  }
  broker.accept(connection)
  return {
    end,
    get frames() {
      return inbox.frames
    },
    get heartbeats() {
      return inbox.heartbeats
    },
    get over() {
      return over
    },
    get pings() {
      return pings
    },
    async send(...data) {
      for (const octets of data) end.send(octets)
      await settled()
    },
    frame: (wanted) => inbox.frame(wanted),
    async connect(user, headers = {}) {
      end.send(frame('CONNECT', { 'accept-version': '1.2', host: 'test', ide: user, ...headers }))
      return inbox.frame('CONNECTED')
    },
  }
}
