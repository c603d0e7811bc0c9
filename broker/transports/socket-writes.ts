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

/** Memory for so many octets that the socket is to be given by {@link writeFrom}, before anything else is written. */
export function memoryFor(socket: Duplex, length: number): Buffer {
  // What waits already would have these wait behind it
  if (length > SLAB_OCTETS || socket.writableLength > 0 || !(socket instanceof Socket))
    return Buffer.allocUnsafe(length)
  if (waiting + length > SLAB_OCTETS) {
    slab = Buffer.allocUnsafeSlow(SLAB_OCTETS)
    waiting = 0
  }
  return slab.subarray(waiting, waiting + length)
}

/** Writes all of what {@link memoryFor} gave, which must not be touched afterwards. */
export function writeFrom(socket: Duplex, octets: Buffer): void {
  socket.write(octets)
  if (octets.buffer === slab.buffer && socket.writableLength > 0) waiting += octets.length
}
