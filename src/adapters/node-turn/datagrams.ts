/**
 * A bound UDP socket for packets in great numbers. dgram puts every datagram that is sent off to the next tick, with
 * closures and a request object of its own, and makes an event of every one that comes; for a relay that is a third of
 * all its work. The handle beneath it sends at once, so where it is as we know it (Node 20 to 24) that is used, and dgram
 * everywhere else: slower, but the same.
 */

import type { Socket } from 'node:dgram'
import { writeChannelData, writeChannelHeader } from './framing.ts'

const KNOWN_VERSIONS = [20, 22, 24]

/** What we need of the handle; `udp_wrap.cc` in Node's sources. */
interface Handle {
  /**
   * More than 0: all octets have left. 0: they are queued, and buffers, list and request must be let alone until they
   * have left. Less: an error. The request is looked at only when they are queued.
   */
  send(request: object, list: readonly Buffer[], count: number, port: number, address: string, tell: boolean): number
  /** Called with each datagram, or with an error (`nread` below 0); dgram's own makes events of them. */
  onmessage?: (nread: number, handle: object, data: Buffer | undefined, from: From | undefined) => void
}

interface From {
  readonly address: string
  readonly port: number
}

type NewRequest = new () => object

/** dgram's own class of requests. It is not to be had but from a first request that dgram makes. */
let learnt: NewRequest | undefined

export class DatagramSocket {
  readonly #socket: Socket
  readonly #mostQueued: number
  readonly #handle: Handle | undefined
  #request: object | undefined
  /** Reused for as long as packets leave at once. */
  #alone: [Buffer] = [NOTHING]
  #behind: [Buffer, Buffer] = [Buffer.allocUnsafeSlow(4), NOTHING]
  /** Whether something may be waiting to leave. */
  #queued = false
  #closed = false

  /** The socket is bound, and from now on ours. While more than `mostQueued` octets wait to leave, others are dropped. */
  constructor(socket: Socket, mostQueued: number) {
    this.#socket = socket
    this.#mostQueued = mostQueued
    this.#handle = handleOf(socket)
    if (this.#handle && learnt === undefined) learnFrom(this.#handle)
  }

  /** `take` is told of every datagram from now on; it must not throw. */
  receive(take: (data: Buffer, address: string, port: number) => void): void {
    const handle = this.#handle
    const events = handle?.onmessage
    if (!handle || !events) {
      this.#socket.on('message', (data, { address, port }) => take(data, address, port))
      return
    }
    handle.onmessage = (nread, source, data, from) => {
      if (nread < 0 || data === undefined || from === undefined) events(nread, source, data, from)
      else take(data, from.address, from.port)
    }
  }

  /** False when it was dropped. The data must not be changed afterwards: it may leave later. */
  send(data: Buffer, port: number, address: string): boolean {
    if (!this.#keepsUp()) return false
    const request = this.#ready()
    if (!request) return this.#slowly(data, port, address)
    const list = this.#alone
    list[0] = data
    return this.#outcome(this.#handle?.send(request, list, 1, port, address, false))
  }

  /** The same, as ChannelData: its header goes before the data without a copy of that. */
  sendChannelData(channel: number, data: Buffer, port: number, address: string): boolean {
    if (!this.#keepsUp()) return false
    const request = this.#ready()
    if (!request) return this.#slowly(writeChannelData(channel, data), port, address)
    const list = this.#behind
    writeChannelHeader(list[0], channel, data.length)
    list[1] = data
    return this.#outcome(this.#handle?.send(request, list, 2, port, address, false))
  }

  close(done: () => void = () => undefined): void {
    if (this.#closed) done()
    else this.#socket.close(done)
    this.#closed = true
  }

  #keepsUp(): boolean {
    if (this.#closed) return false
    if (!this.#queued) return true
    const waiting = this.#socket.getSendQueueSize()
    if (waiting === 0) this.#queued = false
    return waiting <= this.#mostQueued
  }

  #ready(): object | undefined {
    if (this.#request === undefined && this.#handle !== undefined && learnt !== undefined) this.#request = new learnt()
    return this.#request
  }

  #outcome(result = -1): boolean {
    if (result > 0) return true
    if (result < 0) return false
    // they belong to what is queued now
    this.#queued = true
    this.#request = undefined
    this.#alone = [NOTHING]
    this.#behind = [Buffer.allocUnsafeSlow(4), NOTHING]
    return true
  }

  #slowly(data: Buffer, port: number, address: string): boolean {
    this.#socket.send(data, port, address)
    this.#queued = true
    return true
  }
}

const NOTHING = Buffer.alloc(0)

/** The handle of a socket, where Node is one that we know; undefined otherwise. */
function handleOf(socket: Socket): Handle | undefined {
  if (!KNOWN_VERSIONS.includes(Number.parseInt(process.versions.node, 10))) return undefined
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  const state =
    symbol && (socket as unknown as Readonly<Record<symbol, { handle?: Handle | null } | undefined>>)[symbol]
  return typeof state?.handle?.send === 'function' ? state.handle : undefined
}

/** Looks on when dgram sends for the first time. */
function learnFrom(handle: Handle): void {
  const { send } = handle
  handle.send = (request, ...rest) => {
    handle.send = send
    if (request.constructor.name === 'SendWrap') learnt = request.constructor as NewRequest
    return send.call(handle, request, ...rest)
  }
}
