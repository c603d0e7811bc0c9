/**
 * The relay: what it listens on, what it relays from, and where each packet goes. Requests are requests.ts's business.
 * It runs in any process; child.ts runs it in one of its own.
 */

import type { Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import { Allocation, type Route, type Traffic } from './allocation.ts'
import { Allocations } from './allocations.ts'
import { Certificate } from './certificate.ts'
import type { Client, ClientTransport } from './client.ts'
import { canonical, type Endpoint, endpoint, type Family, familyOf } from './endpoint.ts'
import { readChannelData } from './framing.ts'
import type { Holding } from './holding.ts'
import { Listeners, type Listening } from './listeners.ts'
import { type RelayOptions, type RelaySettings, relayOptions } from './options.ts'
import { PeerPolicy } from './peers.ts'
import { RelayPorts } from './ports.ts'
import { Requests } from './requests.ts'
import { Reservations } from './reservations.ts'
import type { Arrivals } from './udp.ts'

export type { ClientTransport } from './client.ts'
export type { Listening } from './listeners.ts'

/** Between two attempts to have the port for TLS. */
const TLS_AGAIN_MS = 10_000

export interface RelayStats {
  /** Now. A client that has relayed addresses of both families has two. */
  readonly allocations: number
  /** Now, by how the client reaches the relay. */
  readonly allocationsBy: Readonly<Record<ClientTransport, number>>
  /** Since the start of this process, as is all that follows. */
  readonly allocationsMade: number
  /** Relayed, both directions; handed over inside the process counts once. */
  readonly packets: number
  readonly bytes: number
  /** Packets that were not relayed: no permission, no channel, over a bound. */
  readonly dropped: number
  /** Error responses by code. */
  readonly refused: Readonly<Record<string, number>>
}

/** Whom the relay tells what. */
export interface RelayNews {
  /** Of what should never happen, and of a certificate that cannot be used. */
  readonly report: (error: unknown) => void
  /** A certificate was loaded and is used from now on. */
  readonly certificate?: (validTo: Date) => void
  /** It listens for TLS later than for all else, because there was no usable certificate, or no free port, before. */
  readonly tls?: (listening: Listening) => void
}

export class RelayServer implements Arrivals {
  readonly #options: RelayOptions
  readonly #clock: Clock
  readonly #news: RelayNews
  readonly #allocations: Allocations
  readonly #reservations: Reservations
  readonly #policy: PeerPolicy
  readonly #ports: Readonly<Partial<Record<Family, RelayPorts>>>
  readonly #relayed: Readonly<Partial<Record<Family, string>>>
  /** Whether all of this machine may be reached at the address of relayed addresses; kept, for it is asked per packet. */
  readonly #openToItself: Readonly<Partial<Record<Family, boolean>>>
  readonly #requests: Requests
  readonly #listeners: Listeners
  readonly #certificate: Certificate | undefined
  readonly #traffic: Traffic = { packets: 0, bytes: 0, dropped: 0 }
  #made = 0
  #listening: Listening | undefined
  /** The port for TLS is being tried, or will be tried again: a certificate that comes meanwhile changes nothing. */
  #awaitsTls = false
  #tlsAgain: Cancel | undefined

  /** Throws a RangeError for settings that make no sense. */
  constructor(settings: RelaySettings, clock: Clock, news: RelayNews) {
    const options = relayOptions(settings)
    const { report } = news
    this.#options = options
    this.#clock = clock
    this.#news = news
    const relayed = options.publicIps.map((ip) => endpoint(ip, 0))
    this.#relayed = Object.fromEntries(relayed.map(({ family, address }) => [family, address]))
    this.#ports = Object.fromEntries(relayed.map(({ family }) => [family, portsOf(options, family)]))
    this.#allocations = new Allocations({ perUser: options.allocationsPerUser, most: options.allocations })
    this.#reservations = new Reservations(clock, (user) => this.#allocations.leave(user))
    this.#policy = new PeerPolicy({
      allow: options.allowPeers,
      deny: options.denyPeers,
      relayed: relayed.map(({ address }) => address),
      own: ownAddresses(),
    })
    this.#openToItself = Object.fromEntries(
      relayed.map(({ family, address }) => [family, this.#policy.verdict(address) === 'allowed']),
    )
    this.#requests = new Requests({
      options,
      clock,
      policy: this.#policy,
      report,
      allocating: {
        ports: this.#ports,
        allocations: this.#allocations,
        reservations: this.#reservations,
        open: (holding, socket, family, seconds) => this.#open(holding, socket, family, seconds),
      },
    })
    this.#listeners = new Listeners(options.listenIps, options, { clock, arrivals: this, report })
    this.#certificate =
      options.tls &&
      new Certificate(options.tls.certificate, {
        clock,
        addresses: Object.values(this.#relayed),
        loaded: (validTo) => this.#certified(validTo),
        report,
      })
  }

  /**
   * Resolves with the ports it listens on; rejects when those for UDP and TCP cannot be bound. Without a usable
   * certificate, or a free port for TLS, it starts without TLS, and listens for that as soon as there is one.
   */
  async start(): Promise<Listening> {
    await this.#certificate?.start()
    try {
      this.#listening = { port: await this.#listeners.plain(this.#options.port) }
    } catch (error) {
      await this.stop()
      throw error
    }
    await this.#listenForTls()
    return this.#listening
  }

  /** Releases all allocations and closes every socket. */
  async stop(): Promise<void> {
    this.#listening = undefined
    this.#tlsAgain?.()
    this.#certificate?.close()
    this.#allocations.releaseAll()
    this.#reservations.releaseAll()
    await this.#listeners.close()
  }

  stats(): RelayStats {
    return {
      allocations: this.#allocations.size,
      allocationsBy: this.#allocations.by,
      allocationsMade: this.#made,
      ...this.#traffic,
      refused: this.#requests.refused,
    }
  }

  /** Relayed ports in use, reserved ones included. */
  get portsInUse(): number {
    return Object.values(this.#ports).reduce((sum, { taken }) => sum + taken, 0)
  }

  channelData({ holding }: Client, bytes: Buffer): void {
    const message = readChannelData(bytes)
    if (message && !holding?.throughChannel(message.channel, message.data)) this.#traffic.dropped++
  }

  message(client: Client, bytes: Buffer): boolean {
    return this.#requests.take(client, bytes)
  }

  gone({ holding }: Client): void {
    if (holding) this.#allocations.drop(holding)
  }

  #certified(validTo: Date): void {
    this.#news.certificate?.(validTo)
    if (this.#listening && !this.#awaitsTls) void this.#followWithTls()
  }

  async #followWithTls(): Promise<void> {
    if ((await this.#listenForTls()) && this.#listening) this.#news.tls?.(this.#listening)
  }

  /** Whether it has begun to. A port that cannot be had is tried again: all else works meanwhile. */
  async #listenForTls(): Promise<boolean> {
    const { tls } = this.#options
    const certificate = this.#certificate
    if (!tls || !certificate?.context || !this.#listening || this.#listening.tlsPort !== undefined) return false
    this.#awaitsTls = true
    try {
      const tlsPort = await this.#listeners.tls(tls.port, certificate)
      if (!this.#listening) await this.#listeners.close()
      else this.#listening = { ...this.#listening, tlsPort }
      this.#awaitsTls = false
      return true
    } catch (error) {
      const why = `no TLS on port ${tls.port}, tried again in ${TLS_AGAIN_MS / 1000} s; UDP and TCP work without`
      this.#news.report(new Error(`${why}: ${(error as Error).message}`))
      if (this.#listening) this.#tlsAgain = this.#clock.after(TLS_AGAIN_MS, () => void this.#followWithTls())
      return false
    }
  }

  #open(holding: Holding, socket: Socket, family: Family, seconds: number): void {
    this.#made++
    const allocation = new Allocation(
      {
        client: holding.client,
        socket,
        relayed: endpoint(this.#relayed[family] ?? '', socket.address().port),
        bounds: this.#options,
        clock: this.#clock,
        traffic: this.#traffic,
        route: (peer) => this.#route(peer),
        report: this.#news.report,
        released: (allocation) => this.#allocations.remove(holding, allocation),
      },
      seconds,
    )
    this.#allocations.add(holding, allocation)
  }

  /** Two parties relayed here need no network in between; nothing else of this machine is reached through its own address. */
  #route({ family, address, port }: Endpoint): Route {
    if (address !== this.#relayed[family]) return 'network'
    const allocation = this.#allocations.at(family, port)
    if (allocation) return allocation
    return this.#openToItself[family] || this.#isOfAnother(port) ? 'network' : undefined
  }

  /** Whether another process of this relay has the port for relaying. */
  #isOfAnother(port: number): boolean {
    const { sharedPorts: all, minPort, maxPort } = this.#options
    return all !== undefined && port >= all.min && port <= all.max && (port < minPort || port > maxPort)
  }
}

function portsOf({ listenIps, minPort, maxPort }: RelayOptions, family: Family): RelayPorts {
  const ip = listenIps.find((each) => familyOf(each) === family)
  return new RelayPorts({ ip: ip ?? (family === 4 ? '0.0.0.0' : '::'), min: minPort, max: maxPort })
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => canonical(address) ?? [])
}
