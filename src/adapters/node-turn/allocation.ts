/**
 * One allocation (RFC 8656, section 2.2): a relayed address, who may send to it, and the channels bound to peers.
 * It carries packets both ways within its bounds. It knows neither STUN messages nor how it came to be.
 */

import type { Socket } from 'node:dgram'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { Caller } from './authentication.ts'
import { type Endpoint, familyOf } from './endpoint.ts'
import { writeChannelData, writeDataIndication } from './framing.ts'

/** RFC 8656, sections 9 and 12: not for anybody to configure. */
const PERMISSION_MS = 300_000
const CHANNEL_MS = 600_000
/** A socket that cannot get rid of so much is not going to in time: voice and video that come late are of no use. */
const MOST_QUEUED = 256 * 1024

export interface AllocationBounds {
  readonly permissions: number
  readonly channels: number
  /** 0: unbounded. */
  readonly bytesPerSecond: number
}

/** Counted over all allocations. */
export interface Traffic {
  packets: number
  bytes: number
  dropped: number
}

/** Where a packet for a peer goes. */
export type Route = { readonly kind: 'socket' } | { readonly kind: 'here'; readonly allocation: Allocation } | undefined

export interface AllocationOptions {
  readonly client: Endpoint
  readonly caller: Caller
  /** The Allocate that made it: a repeat of that one is answered as the first. */
  readonly transaction: string
  /** Bound, and from now on ours. */
  readonly socket: Socket
  readonly relayed: Endpoint
  readonly bounds: AllocationBounds
  readonly clock: Clock
  readonly traffic: Traffic
  /** Sends a datagram to the client. */
  readonly toClient: (datagram: Buffer) => boolean
  readonly route: (peer: Endpoint) => Route
  /** Told once, when it is over, whatever the cause. */
  readonly released: (allocation: Allocation) => void
}

interface Channel {
  readonly number: number
  readonly peer: Endpoint
  until: number
}

export class Allocation {
  readonly #options: AllocationOptions
  /** Address of the peer → until when. */
  readonly #permissions = new Map<string, number>()
  readonly #channels = new Map<number, Channel>()
  readonly #channelsByPeer = new Map<string, Channel>()
  readonly #allowance: Allowance
  #cancel: Cancel = () => undefined
  #lifetime = 0
  #over = false

  constructor(options: AllocationOptions, seconds: number) {
    this.#options = options
    this.#allowance = new Allowance(options.clock, options.bounds.bytesPerSecond)
    // without a listener any trouble of this one socket would end the process
    options.socket.on('error', () => this.release())
    options.socket.on('message', (data, { address, port }) => this.fromPeer(address, port, data))
    this.refresh(seconds)
  }

  get caller(): Caller {
    return this.#options.caller
  }

  get client(): Endpoint {
    return this.#options.client
  }

  get relayed(): Endpoint {
    return this.#options.relayed
  }

  get transaction(): string {
    return this.#options.transaction
  }

  /** Seconds, as last granted. */
  get lifetime(): number {
    return this.#lifetime
  }

  /** It lives for so long from now on. */
  refresh(seconds: number): void {
    if (this.#over) return
    this.#cancel()
    this.#lifetime = seconds
    this.#cancel = this.#options.clock.after(seconds * 1000, () => this.release())
  }

  /** Nothing passes any more, and the port is free. */
  release(): void {
    if (this.#over) return
    this.#over = true
    this.#cancel()
    this.#permissions.clear()
    this.#channels.clear()
    this.#channelsByPeer.clear()
    this.#options.socket.close()
    this.#options.released(this)
  }

  /** Installs or renews the permissions, all or, when they are too many, none. */
  permit(addresses: readonly string[]): boolean {
    const now = this.#options.clock.now()
    const all = new Set(addresses)
    const fresh = [...all].filter((address) => !this.#permissions.has(address)).length
    if (this.#permissions.size + fresh > this.#options.bounds.permissions) {
      for (const [address, until] of this.#permissions) {
        if (until <= now && !all.has(address)) this.#permissions.delete(address)
      }
      if (this.#permissions.size + fresh > this.#options.bounds.permissions) return false
    }
    for (const address of all) this.#permissions.set(address, now + PERMISSION_MS)
    return true
  }

  /** Binds or renews a channel, and with it the permission (RFC 8656, section 12.2). */
  bind(number: number, peer: Endpoint): 'bound' | 'taken' | 'full' {
    const now = this.#options.clock.now()
    for (const channel of [...this.#channels.values()]) if (channel.until <= now) this.#unbind(channel)
    const channel = this.#channels.get(number)
    const other = this.#channelsByPeer.get(keyOf(peer.address, peer.port))
    if (channel !== other) return 'taken'
    if (!channel && this.#channels.size >= this.#options.bounds.channels) return 'full'
    if (!this.permit([peer.address])) return 'full'
    if (channel) channel.until = now + CHANNEL_MS
    else {
      const bound = { number, peer, until: now + CHANNEL_MS }
      this.#channels.set(number, bound)
      this.#channelsByPeer.set(keyOf(peer.address, peer.port), bound)
    }
    return 'bound'
  }

  #unbind({ number, peer }: Channel): void {
    this.#channels.delete(number)
    this.#channelsByPeer.delete(keyOf(peer.address, peer.port))
  }

  /** ChannelData from the client. */
  throughChannel(number: number, data: Buffer): void {
    const channel = this.#channels.get(number)
    if (channel && channel.until > this.#options.clock.now()) this.toPeer(channel.peer, data)
    else this.#options.traffic.dropped++
  }

  /** Sends the data from the relayed address, if there is a permission for the peer. */
  toPeer(peer: Endpoint, data: Buffer): void {
    const { socket, relayed, route, traffic } = this.#options
    const way = this.#permitted(peer.address) ? route(peer) : undefined
    if (way === undefined || !this.#allowance.take(data.length)) {
      traffic.dropped++
    } else if (way.kind === 'here') {
      way.allocation.fromPeer(relayed.address, relayed.port, data)
    } else if (socket.getSendQueueSize() > MOST_QUEUED) {
      traffic.dropped++
    } else {
      socket.send(data, peer.port, peer.address)
      this.#count(data)
    }
  }

  /** A datagram has reached the relayed address. Whatever it contains is the peer's business and passed on as it is. */
  fromPeer(address: string, port: number, data: Buffer): void {
    const { traffic, clock, toClient } = this.#options
    const channel = this.#channelsByPeer.get(keyOf(address, port))
    const datagram =
      this.#permitted(address) && this.#allowance.take(data.length)
        ? channel && channel.until > clock.now()
          ? writeChannelData(channel.number, data)
          : writeDataIndication({ family: familyOf(address), address, port }, data)
        : undefined
    if (datagram && toClient(datagram)) this.#count(data)
    else traffic.dropped++
  }

  #permitted(address: string): boolean {
    return (this.#permissions.get(address) ?? 0) > this.#options.clock.now()
  }

  #count(data: Buffer): void {
    this.#options.traffic.packets++
    this.#options.traffic.bytes += data.length
  }
}

const keyOf = (address: string, port: number) => `${address}/${port}`

/** So many bytes in a second, and at most one second's worth at once. */
class Allowance {
  readonly #clock: Clock
  readonly #perSecond: number
  #left: number
  #at: number

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#left = perSecond
    this.#at = clock.now()
  }

  take(bytes: number): boolean {
    if (this.#perSecond === 0) return true
    const now = this.#clock.now()
    // a clock set back must not take anything away
    this.#left = Math.min(this.#perSecond, this.#left + (Math.max(0, now - this.#at) * this.#perSecond) / 1000)
    this.#at = now
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }
}
