/**
 * Writing to sockets from one buffer that all of them share. What a socket can take at once is with the system when
 * `write` returns, and its memory can be used again; only what has to wait keeps it.
 */

import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const SLAB_OCTETS = 64 * 1024

let slab = Buffer.allocUnsafeSlow(SLAB_OCTETS)
/** Octets of it that wait in sockets. */
let waiting = 0

/** Writes `length` octets, which `fill` puts into the buffer that it is given, from its beginning on. */
export function writeOnce(socket: Duplex, length: number, fill: (octets: Buffer) => void): void {
  // What waits already would have these wait behind it
  if (length > SLAB_OCTETS || socket.writableLength > 0 || !(socket instanceof Socket)) {
    const octets = Buffer.allocUnsafe(length)
    fill(octets)
    socket.write(octets)
    return
  }
  if (waiting + length > SLAB_OCTETS) {
    slab = Buffer.allocUnsafeSlow(SLAB_OCTETS)
    waiting = 0
  }
  const octets = slab.subarray(waiting, waiting + length)
  fill(octets)
  socket.write(octets)
  if (socket.writableLength > 0) waiting += length
}
