/**
 * A client that comes over TCP, or over TLS in it (RFC 8656, section 3.1). Its connection is its 5-tuple: when the one
 * is gone, so is the other with all it held. A connection costs us something from its first octet, so there are bounds
 * on everything that it may leave undone.
 */

import type { Socket } from 'node:net'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import { Client } from './client.ts'
import type { Endpoint } from './endpoint.ts'
import { isChannelData, writeChannelData } from './framing.ts'
import { StreamReader } from './stream.ts'
import type { Arrivals } from './udp.ts'

/** Octets that wait for a slow reader; what comes then is dropped, for late media is of no use. */
const MOST_WAITING = 256 * 1024
/** Username, realm and nonce of their greatest lengths, and all else that a request may carry. */
const LARGEST_REQUEST = 4096
/** How often a connection is looked at, and how long it may leave a message unfinished or take nothing from us. */
const LOOK_MS = 10_000
/** How long somebody may stay who has no allocation. RFC 8489, section 6.2.2, lets clients have 40 seconds. */
const STRANGER_MS = 60_000

export interface ConnectionOptions {
  /** Open, and for TLS with the handshake behind it; from now on ours. */
  readonly socket: Socket
  readonly transport: 'tcp' | 'tls'
  readonly remote: Endpoint
  readonly local: Endpoint
  readonly clock: Clock
  readonly arrivals: Arrivals
  readonly report: (error: unknown) => void
}

export class Connection extends Client {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #arrivals: Arrivals
  readonly #reader = new StreamReader()
  #cancel: Cancel = () => undefined
  /** Since when it has held nothing. */
  #strangerSince: number
  /** What it had left undone when it was last looked at. */
  #midway = false
  #taken = -1
  #messages = 0
  #messagesSeen = 0

  constructor({ socket, transport, remote, local, clock, arrivals, report }: ConnectionOptions) {
    super(transport, remote, local)
    this.#socket = socket
    this.#clock = clock
    this.#arrivals = arrivals
    this.#strangerSince = clock.now()
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      try {
        if (!this.#reader.read(chunk, this.#reading)) socket.destroy()
      } catch (error) {
        socket.destroy()
        report(error)
      }
    })
    // whoever says no more does not listen either: what still waits is media
    socket.once('end', () => socket.destroy())
    socket.once('close', () => {
      this.#cancel()
      arrivals.gone(this)
    })
    this.#cancel = clock.after(LOOK_MS, () => this.#look())
  }

  readonly #reading = {
    // what begins with letters, such as a request of HTTP, would be ChannelData of 8 KiB at the least
    fits: (size: number) => this.holding !== undefined || size <= LARGEST_REQUEST,
    take: (message: Buffer) => {
      // a connection that was closed in the middle of a chunk says nothing more
      if (this.#socket.destroyed) return true
      this.#messages++
      if (!isChannelData(message)) return this.#arrivals.message(this, message)
      this.#arrivals.channelData(this, message)
      return true
    },
  }

  override send(message: Buffer): boolean {
    if (!this.#keepsUp()) return false
    this.#socket.write(message)
    return true
  }

  override sendChannelData(channel: number, data: Buffer): boolean {
    if (!this.#keepsUp()) return false
    this.#socket.write(writeChannelData(channel, data, -data.length & 3))
    return true
  }

  #keepsUp(): boolean {
    return this.#socket.writable && this.#socket.writableLength <= MOST_WAITING
  }

  override keep(): void {}

  override forget(): void {
    this.#strangerSince = this.#clock.now()
  }

  #look(): void {
    const socket = this.#socket
    const now = this.#clock.now()
    const taken = socket.bytesWritten - socket.writableLength
    const stuck = socket.writableLength > 0 && taken === this.#taken
    const unfinished = this.#reader.midway && this.#midway && this.#messages === this.#messagesSeen
    const idle = this.holding === undefined && now - this.#strangerSince >= STRANGER_MS
    if (stuck || unfinished || idle) {
      socket.destroy()
      return
    }
    this.#taken = taken
    this.#midway = this.#reader.midway
    this.#messagesSeen = this.#messages
    this.#cancel = this.#clock.after(LOOK_MS, () => this.#look())
  }

  /** Ends it at once. */
  close(): void {
    this.#socket.destroy()
  }
}
