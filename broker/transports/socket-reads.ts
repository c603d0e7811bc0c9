/**
 * Reading sockets into one buffer that all of them share. Node allocates 64 KiB for every read, shrinks it to what has
 * come and leaves it to the garbage collector, which is a good part of what a small message costs. It spares that where
 * a socket is told at its creation what to read into (`onread`, in the documentation of `net.Socket`). The sockets of a
 * server are created by Node, so they are told later, in the way in which `onread` does it.
 *
 * That way is not documented. Where it is not what it is in the versions that this was tested with, the socket is read
 * as any other; what is read is the same.
 */

import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net'
import type { Duplex } from 'node:stream'

/** A read takes at most so much at a time. */
const shared = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * From now on `received` gets what is read of a socket that nobody reads yet: octets 0 to `end` of a buffer that the next
 * read overwrites. The socket may have no `data` event; pausing, resuming and its end are as they were.
 */
export function readShared(socket: Duplex, received: (octets: Buffer, end: number) => void): void {
  const sharing = PLACES !== undefined && readsShared(socket, PLACES, received)
  if (!sharing) socket.on('data', (octets: Buffer) => received(octets, octets.length))
}

/** Where Node keeps what `onread` says. */
interface Places {
  readonly buffer: symbol
  readonly callback: symbol
}

const PLACES = placesOfNode()

function placesOfNode(): Places | undefined {
  // Windows begins to read before there is anything to be read
  if (process.platform === 'win32') return undefined
  const options: SocketConstructorOpts & Pick<TcpSocketConnectOpts, 'onread'> = {
    onread: { buffer: shared, callback: accepted },
  }
  const sample = new Socket(options) as unknown as Record<symbol, unknown>
  const symbols = Object.getOwnPropertySymbols(sample)
  const buffer = symbols.find((symbol) => sample[symbol] === shared)
  const callback = symbols.find((symbol) => sample[symbol] === accepted)
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback }
}

function accepted(): boolean {
  return true
}

/** False where that cannot be had: the socket is not a plain one of TCP, or has read something already. */
function readsShared(socket: Duplex, places: Places, received: (octets: Buffer, end: number) => void): boolean {
  if (Object.getPrototypeOf(socket) !== Socket.prototype || socket.readableLength > 0) return false
  const told = socket as unknown as Record<symbol, unknown> & {
    readonly _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null
  }
  const handle = told._handle
  if (typeof handle?.useUserBuffer !== 'function') return false
  // Every socket has these places, which are empty (null) unless it was created with `onread`
  if (told[places.buffer] !== null || told[places.callback] !== null) return false
  told[places.buffer] = shared
  told[places.callback] = (end: number) => {
    received(shared, end)
    return true
  }
  handle.useUserBuffer(shared)
  return true
}
