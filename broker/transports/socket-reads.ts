/**
 * Reading sockets into one buffer that all of them share. Node allocates 64 KiB for every read, shrinks it to what has
 * come and leaves it to the garbage collector, which is a good part of what a small message costs. It spares that where
 * a socket is told at its creation what to read into (`onread`, in the documentation of `net.Socket`); the sockets of a
 * server are created by Node, so their handle moves into a socket that was told. Nothing else uses the old one.
 *
 * The handle is not documented. Where it is not what it is in the versions that this was tested with, the socket is read
 * as any other; what is read is the same.
 */

import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from 'node:net'
import type { Duplex } from 'node:stream'

/** A read takes at most so much at a time. */
const shared = Buffer.allocUnsafeSlow(64 * 1024)

interface Handle {
  useUserBuffer(buffer: Uint8Array): void
}

type WithHandle = { _handle: Handle | null }
type Options = SocketConstructorOpts & Pick<TcpSocketConnectOpts, 'onread'> & { readonly handle: Handle }

/**
 * The socket that stands for `socket` from now on (it may be the same). `received` gets what is read, octets 0 to `end`
 * of a buffer that the next read overwrites; the socket has no `data` event.
 */
export function readShared(socket: Duplex, received: (octets: Buffer, end: number) => void): Duplex {
  const handle = handleOf(socket)
  if (handle === undefined) {
    socket.on('data', (octets: Buffer) => received(octets, octets.length))
    return socket
  }
  const callback = (end: number): boolean => {
    received(shared, end)
    return true
  }
  const options: Options = { handle, allowHalfOpen: true, onread: { buffer: shared, callback } }
  ;(socket as unknown as WithHandle)._handle = null
  const next = new Socket(options)
  // Without its handle it has nothing to close; its server counts it no more
  socket.destroy()
  return next
}

/** Of a plain TCP socket that has read nothing which nobody has taken. Not on Windows, which reads before it is asked to. */
function handleOf(socket: Duplex): Handle | undefined {
  const plain = Object.getPrototypeOf(socket) === Socket.prototype
  if (process.platform === 'win32' || !plain || socket.readableLength > 0) return undefined
  const { _handle: handle } = socket as unknown as Partial<WithHandle>
  return typeof handle?.useUserBuffer === 'function' ? handle : undefined
}
