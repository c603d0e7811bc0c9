/**
 * One SockJS session over HTTP (sockjs-protocol 0.3.3): responses that fetch, one at a time, and requests that send.
 * Counts every octet until the network has taken it: between two polls it waits here, then in a response. Knows nothing
 * of paths and headers.
 */

import type { ServerResponse } from 'node:http'
import type { Clock } from '../../clock.ts'
import { type Connection, type ConnectionHandler, NOBODY, type Peer } from '../../connection.ts'
import { type Outgoing, textOf } from '../../frame.ts'
import type { Room } from './body.ts'
import { closeFrame, HEARTBEAT, messagesFrame, OPEN } from './framing.ts'
import type { Swept } from './sweep.ts'
import type { Wrapping } from './wrapping.ts'

export interface HttpSessionOptions {
  readonly clock: Clock
  /** Octets after which a streaming response ends, so that the browser can forget it. */
  readonly responseBytes: number
  /** A session that is not fetched from for so long is over. */
  readonly disconnectMs: number
  /** A response on which nothing was written for so long gets a heart-beat. */
  readonly heartbeatMs: number
  /** Octets of all bodies that are being received for the session. */
  readonly longestMessage: number
}

/** Requests that may wait while the broker reads nothing more of this session. */
const MOST_HELD = 32

/** A response that has begun, and what it may still carry. */
export class Receiver {
  readonly response: ServerResponse
  readonly #wrapping: Wrapping
  #left: number

  /** Writes the head and the prelude. `bytes`: after so many a streaming response ends. */
  constructor(response: ServerResponse, wrapping: Wrapping, bytes: number) {
    this.response = response
    this.#wrapping = wrapping
    this.#left = wrapping.polling ? 1 : bytes
    response.writeHead(200, { 'Content-Type': wrapping.contentType })
    if (wrapping.prelude !== '') response.write(wrapping.prelude)
  }

  /** Writes a frame; false when the response ended with it. `taken`: the network has it. */
  write(frame: string, taken: () => void, last = false): boolean {
    const octets = Buffer.from(this.#wrapping.wrap(frame))
    this.#left -= octets.length
    const goesOn = this.#left > 0 && !last
    if (goesOn) this.response.write(octets, taken)
    else this.response.end(octets, taken)
    return goesOn
  }
}

export class HttpSession implements Connection, Swept {
  readonly peer: Peer
  handler: ConnectionHandler = NOBODY
  /** For the bodies that are being received. */
  readonly room: Room
  readonly #options: HttpSessionOptions
  readonly #ended: (closeFrame: string) => void
  /** Frames of STOMP that wait for a response, and their octets. */
  #waiting: string[] = []
  #waitingOctets = 0
  #flushing = false
  /** Octets of STOMP that are in a response, and not yet in the network. */
  #leavingOctets = 0
  /** The response that fetches now. */
  #receiver: Receiver | undefined
  /** All responses that have not been delivered, that one included. */
  readonly #responses = new Set<ServerResponse>()
  /** When the last frame was written, or the last response was delivered. */
  #since: number
  /** A sign of life was asked for; the next request to fetch is one. */
  #asked = false
  #paused = false
  readonly #held: (() => void)[] = []
  #closing: { readonly code: number; readonly reason: string } | undefined
  /** The close frame was written. */
  #told = false
  #over = false

  /** `ended` is called once, with the close frame for those who still ask. */
  constructor(peer: Peer, options: HttpSessionOptions, ended: (closeFrame: string) => void) {
    this.peer = peer
    this.#options = options
    this.#ended = ended
    this.#since = options.clock.now()
    this.room = { taken: 0, most: options.longestMessage }
  }

  // What the broker asks

  get buffered(): number {
    return this.#waitingOctets + this.#leavingOctets
  }

  send(frame: string | Outgoing): void {
    if (this.#closing !== undefined || this.#over) return
    const octets = frame.length
    this.#waiting.push(textOf(frame))
    this.#waitingOctets += octets
    // All that one turn has for this peer goes into one frame: of a polling response that is all it can carry
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.#flush()
      // In a response or not, it has not left yet: the network tells when it has
      if (this.buffered > 0) this.handler.stalled()
    })
  }

  close(code: number, reason: string): void {
    if (this.#closing !== undefined || this.#over) return
    this.#closing = { code, reason }
    this.resume()
    this.#flush()
  }

  terminate(): void {
    queueMicrotask(() => this.#end(this.#closing ?? { code: 1006, reason: '' }))
  }

  pause(): boolean {
    this.#paused = true
    return true
  }

  resume(): void {
    this.#paused = false
    while (!this.#paused) {
      const next = this.#held.shift()
      if (next === undefined) return
      next()
    }
  }

  /** Lets the response end: whoever is there comes with the next request. */
  ping(): boolean {
    this.#asked = true
    if (this.#receiver !== undefined) this.#write(HEARTBEAT, 0, true)
    return true
  }

  // What requests bring

  /** A response that fetches begins, the first one included. */
  fetch(response: ServerResponse, wrapping: Wrapping): void {
    const receiver = new Receiver(response, wrapping, this.#options.responseBytes)
    if (this.#receiver !== undefined) {
      receiver.write(closeFrame(2010, 'Another connection still open'), ignore, true)
      return
    }
    if (this.#told) {
      receiver.write(this.#closeFrame(), ignore, true)
      return
    }
    this.#receiver = receiver
    this.#responses.add(response)
    response.on('close', () => this.#delivered(response))
    if (this.#asked) {
      this.#asked = false
      this.handler.alive()
    }
    this.#flush()
  }

  /** Says that the session is open. */
  open(): void {
    this.#write(OPEN, 0)
  }

  /** Octets of STOMP. */
  receive(text: string): void {
    if (text !== '' && this.#closing === undefined && !this.#over) this.handler.data(Buffer.from(text))
  }

  /** Goes on with a request that sends: at once, or when the broker reads again. False: too many wait already. */
  admit(request: () => void): boolean {
    if (!this.#paused) request()
    else if (this.#held.length < MOST_HELD) this.#held.push(request)
    else return false
    return true
  }

  // What time brings

  look(now: number): void {
    const { disconnectMs, heartbeatMs } = this.#options
    const idle = now - this.#since
    if (this.#receiver !== undefined) {
      if (idle >= heartbeatMs) this.#write(HEARTBEAT, 0)
    } else if (this.#responses.size === 0 && idle >= disconnectMs) this.#end(this.#closing ?? ABSENT)
  }

  // Writing

  #flush(): void {
    if (this.#receiver === undefined) return
    if (this.#waiting.length > 0) {
      const frame = messagesFrame(this.#waiting)
      const octets = this.#waitingOctets
      this.#waiting = []
      this.#waitingOctets = 0
      this.#write(frame, octets)
    }
    if (this.#receiver === undefined || this.#closing === undefined) return
    this.#told = true
    this.#write(this.#closeFrame(), 0, true)
  }

  #write(frame: string, octets: number, last = false): void {
    this.#since = this.#options.clock.now()
    this.#leavingOctets += octets
    const taken = (): void => {
      this.#leavingOctets -= octets
      if (octets > 0 && !this.#over) this.handler.drained()
    }
    if (this.#receiver?.write(frame, taken, last) === false) this.#receiver = undefined
  }

  /** A response is done with: everything that was in it has left, or it was cut off. */
  #delivered(response: ServerResponse): void {
    if (!this.#responses.delete(response)) return
    this.#since = this.#options.clock.now()
    // What was on its way is lost: "we're in an undefined state" (HandlingClose)
    if (!response.writableFinished) this.#end(this.#closing ?? INTERRUPTED)
    else if (this.#told && this.#closing && this.#responses.size === 0) this.#end(this.#closing)
  }

  #closeFrame(): string {
    const { code, reason } = this.#closing ?? INTERRUPTED
    return closeFrame(code, reason)
  }

  #end(why: { readonly code: number; readonly reason: string }): void {
    if (this.#over) return
    this.#over = true
    this.#closing ??= why
    this.#waiting = []
    this.#waitingOctets = 0
    this.resume()
    const responses = [...this.#responses]
    this.#responses.clear()
    this.#receiver = undefined
    for (const response of responses) response.destroy()
    this.#ended(this.#closeFrame())
    this.handler.closed(why.code, why.reason)
  }
}

/** Nobody fetched in time. */
const ABSENT = { code: 1006, reason: 'not fetched from any more' }
const INTERRUPTED = { code: 1002, reason: 'Connection interrupted' }

function ignore(): void {}
