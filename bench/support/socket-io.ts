/** Clients of socket.io by hand: Engine.IO protocol 4 over WebSocket, Socket.IO protocol 5. */

import { Peer, textMessage } from './peer.ts'

/** Engine.IO "message" (4) with a Socket.IO "connect" (0), and the same with an "event" (2). */
const CONNECT = '40'
const EVENT = '42'

export interface SocketIoClient {
  readonly peer: Peer
  /** By which others reach it. */
  readonly id: string
}

/** Connects to the main namespace. */
export async function openSocketIo(url: string): Promise<SocketIoClient> {
  const peer = await Peer.open(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`)
  const connected = peer.hears((message) => message.toString('latin1', 0, CONNECT.length) === CONNECT)
  peer.send(textMessage(CONNECT))
  const { sid } = JSON.parse((await connected).toString('utf8', CONNECT.length)) as { sid: string }
  return { peer, id: sid }
}

/** An event with ready made JSON as its arguments. */
export function eventOf(name: string, ...args: string[]): string {
  return `${EVENT}[${[JSON.stringify(name), ...args].join(',')}]`
}
