/**
 * One relayed address (RFC 8656, section 2.2): who may send to it, and the channels bound to peers.
 * It carries packets both ways within its bounds. It knows neither STUN messages nor how it came to be.
 */

import type { Socket } from 'node:dgram'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { Client } from './client.ts'
import { DatagramSocket } from './datagrams.ts'
import { type Endpoint, familyOf } from './endpoint.ts'
import { writeDataIndication } from './framing.ts'

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

/** Where a packet for a peer goes: to the network, to somebody who is relayed here, or nowhere. */
export type Route = 'network' | Allocation | undefined

export interface AllocationOptions {
  /** Bound, and from now on ours. */
  readonly socket: Socket
  readonly relayed: Endpoint
  readonly bounds: AllocationBounds
  readonly clock: Clock
  readonly traffic: Traffic
  readonly client: Pick<Client, 'send' | 'sendChannelData'>
  readonly route: (peer: Endpoint) => Route
  /** Told of what should never happen. */
  readonly report: (error: unknown) => void
  /** Told once, when it is over, whatever the cause. */
  readonly released: (allocation: Allocation) => void
}

/** An address that may send to us, or that has channels. Found by its address, for that is all a packet brings along. */
interface Correspondent {
  /** Until when there is a permission. */
  until: number
  /** By port. */
  readonly channels: Map<number, Channel>
}

interface Channel {
  readonly number: number
  readonly peer: Endpoint
  readonly correspondent: Correspondent
  until: number
}

export class Allocation {
  readonly #options: AllocationOptions
  readonly #correspondents = new Map<string, Correspondent>()
  readonly #channels = new Map<number, Channel>()
  readonly #socket: DatagramSocket
  readonly #allowance: Allowance
  #cancel: Cancel = () => undefined
  #lifetime = 0
  #over = false

  constructor(options: AllocationOptions, seconds: number) {
    this.#options = options
    this.#allowance = new Allowance(options.clock, options.bounds.bytesPerSecond)
    this.#socket = new DatagramSocket(options.socket, MOST_QUEUED)
    // without a listener any trouble of this one socket would end the process
    options.socket.on('error', () => this.release())
    this.#socket.receive((data, address, port) => {
      try {
        this.fromPeer(address, port, data)
      } catch (error) {
        options.report(error)
      }
    })
    this.refresh(seconds)
  }

  get relayed(): Endpoint {
    return this.#options.relayed
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
    this.#correspondents.clear()
    this.#channels.clear()
    this.#socket.close()
    this.#options.released(this)
  }

  /** Whether so many more may be permitted; lapsed ones make room. */
  hasRoomFor(addresses: readonly string[]): boolean {
    const now = this.#options.clock.now()
    const wanted = new Set(addresses)
    let count = wanted.size
    for (const [address, { until, channels }] of this.#correspondents) {
      if (until > now) count += wanted.has(address) ? 0 : 1
      else if (channels.size === 0) this.#correspondents.delete(address)
    }
    return count <= this.#options.bounds.permissions
  }

  /** Installs or renews the permissions, all or, when they are too many, none. */
  permit(addresses: readonly string[]): boolean {
    if (!this.hasRoomFor(addresses)) return false
    const until = this.#options.clock.now() + PERMISSION_MS
    for (const address of addresses) this.#correspondent(address).until = until
    return true
  }

  #correspondent(address: string): Correspondent {
    const known = this.#correspondents.get(address)
    if (known) return known
    const correspondent = { until: 0, channels: new Map<number, Channel>() }
    this.#correspondents.set(address, correspondent)
    return correspondent
  }

  /** Whether the channel is bound, to whomever. */
  binds(number: number): boolean {
    return (this.#channels.get(number)?.until ?? 0) > this.#options.clock.now()
  }

  /** Binds or renews a channel, and with it the permission (RFC 8656, section 12.2). */
  bind(number: number, peer: Endpoint): 'bound' | 'taken' | 'full' {
    const now = this.#options.clock.now()
    for (const channel of [...this.#channels.values()]) if (channel.until <= now) this.#unbind(channel)
    const channel = this.#channels.get(number)
    const other = this.#correspondents.get(peer.address)?.channels.get(peer.port)
    if (channel !== other) return 'taken'
    if (!channel && this.#channels.size >= this.#options.bounds.channels) return 'full'
    if (!this.permit([peer.address])) return 'full'
    if (channel) channel.until = now + CHANNEL_MS
    else {
      const correspondent = this.#correspondent(peer.address)
      const bound = { number, peer, correspondent, until: now + CHANNEL_MS }
      this.#channels.set(number, bound)
      correspondent.channels.set(peer.port, bound)
    }
    return 'bound'
  }

  #unbind({ number, peer, correspondent }: Channel): void {
    this.#channels.delete(number)
    correspondent.channels.delete(peer.port)
  }

  /** ChannelData from the client; false when no such channel is bound here. */
  throughChannel(number: number, data: Buffer): boolean {
    const channel = this.#channels.get(number)
    const now = this.#options.clock.now()
    if (channel === undefined || channel.until <= now) return false
    this.#send(channel.peer, channel.correspondent, data, now)
    return true
  }

  /** Sends the data from the relayed address, if there is a permission for the peer. */
  toPeer(peer: Endpoint, data: Buffer): void {
    this.#send(peer, this.#correspondents.get(peer.address), data, this.#options.clock.now())
  }

  #send(peer: Endpoint, correspondent: Correspondent | undefined, data: Buffer, now: number): void {
    const { relayed, route, traffic } = this.#options
    const way = correspondent !== undefined && correspondent.until > now ? route(peer) : undefined
    if (way === undefined || !this.#allowance.take(data.length, now)) {
      traffic.dropped++
    } else if (way !== 'network') {
      way.fromPeer(relayed.address, relayed.port, data)
    } else if (this.#socket.send(data, peer.port, peer.address)) {
      this.#count(data)
    } else {
      traffic.dropped++
    }
  }

  /** A datagram has reached the relayed address. Whatever it contains is the peer's business and passed on as it is. */
  fromPeer(address: string, port: number, data: Buffer): void {
    const { traffic, clock, client } = this.#options
    const now = clock.now()
    const correspondent = this.#correspondents.get(address)
    if (correspondent === undefined || correspondent.until <= now || !this.#allowance.take(data.length, now)) {
      traffic.dropped++
      return
    }
    const channel = correspondent.channels.get(port)
    const sent =
      channel !== undefined && channel.until > now
        ? client.sendChannelData(channel.number, data)
        : client.send(writeDataIndication({ family: familyOf(address), address, port }, data))
    if (sent) this.#count(data)
    else traffic.dropped++
  }

  #count(data: Buffer): void {
    this.#options.traffic.packets++
    this.#options.traffic.bytes += data.length
  }
}

/** So many bytes in a second, and at most one second's worth at once. */
class Allowance {
  readonly #perSecond: number
  #left: number
  #at: number

  constructor(clock: Clock, perSecond: number) {
    this.#perSecond = perSecond
    this.#left = perSecond
    this.#at = clock.now()
  }

  /** `now` in milliseconds, as the clock says. */
  take(bytes: number, now: number): boolean {
    if (this.#perSecond === 0) return true
    if (now !== this.#at) {
      // a clock set back must not take anything away
      this.#left = Math.min(this.#perSecond, this.#left + (Math.max(0, now - this.#at) * this.#perSecond) / 1000)
      this.#at = now
    }
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }
}
