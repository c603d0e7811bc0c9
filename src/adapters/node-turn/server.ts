/**
 * The relay: its listening socket, and who answers what arrives there. node-turn's server stays the hub on which a
 * message finds its method; its network, authentication and methods are ours (README.md says why for each).
 * It runs in any process; child.ts runs it in one of its own.
 */

import type { Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import type { Clock } from '../../../broker/clock.ts'
import { Allocation, type Route, type Traffic } from './allocation.ts'
import { Allocations } from './allocations.ts'
import { Authenticator, type Caller } from './authentication.ts'
import { Challenges } from './challenges.ts'
import { canonical, type Endpoint, endpoint, toNodeTurn } from './endpoint.ts'
import { type ErrorCode, Exchange } from './exchange.ts'
import { kindOf, readChannelData } from './framing.ts'
import { type Inbound, readMessage } from './message.ts'
import { type AllocateNeeds, allocate } from './methods/allocate.ts'
import { channelBind } from './methods/channel-bind.ts'
import { createPermission } from './methods/create-permission.ts'
import { refresh } from './methods/refresh.ts'
import { send } from './methods/send.ts'
import { CONSTANTS, type NodeTurnServer, Server, Transport } from './node-turn.ts'
import { Nonces } from './nonces.ts'
import { type RelayOptions, type RelaySettings, relayOptions } from './options.ts'
import { PeerPolicy } from './peers.ts'
import { openUdp, RelayPorts } from './ports.ts'

const { METHOD, TRANSPORT } = CONSTANTS
/** All calls share the way to the clients; beyond this it does not keep up, and late media is of no use. */
const MOST_QUEUED = 4 * 1024 * 1024

export type ClientTransport = 'udp' | 'tcp' | 'tls'

export interface RelayStats {
  /** Now. */
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

/** Told of what should never happen. */
export type Report = (error: unknown) => void

export class RelayServer {
  readonly #options: RelayOptions
  readonly #clock: Clock
  readonly #report: Report
  readonly #hub: NodeTurnServer
  readonly #allocations: Allocations
  readonly #authenticator: Authenticator
  readonly #nonces: Nonces
  readonly #challenges: Challenges
  readonly #policy: PeerPolicy
  readonly #ports: RelayPorts
  readonly #relayed: string
  readonly #traffic: Traffic = { packets: 0, bytes: 0, dropped: 0 }
  readonly #refused = new Map<number, number>()
  #made = 0
  #socket: Socket | undefined
  #bound: Endpoint | undefined

  /** Throws a RangeError for settings that make no sense. */
  constructor(settings: RelaySettings, clock: Clock, report: Report) {
    const options = relayOptions(settings)
    this.#options = options
    this.#clock = clock
    this.#report = report
    this.#relayed = endpoint(options.publicIps[0] ?? '', 0).address
    this.#allocations = new Allocations({ perUser: options.allocationsPerUser, most: options.allocations })
    this.#nonces = new Nonces(clock, options.nonceSeconds)
    this.#authenticator = new Authenticator(options, { nonces: this.#nonces, clock })
    this.#challenges = new Challenges(clock, options.challengesPerSecond)
    this.#policy = new PeerPolicy({ allow: options.allowPeers, relayed: this.#relayed, own: ownAddresses() })
    this.#ports = new RelayPorts({ ip: options.listenIps[0] ?? '', min: options.minPort, max: options.maxPort })
    this.#hub = this.#connect()
  }

  /** Resolves with where it listens; rejects when that cannot be bound. */
  async start(): Promise<Endpoint> {
    const socket = await openUdp(this.#options.listenIps[0] ?? '', this.#options.port)
    this.#socket = socket
    this.#bound = endpoint(this.#options.listenIps[0] ?? '', socket.address().port)
    socket.on('error', this.#report)
    socket.on('message', (datagram, { family, address, port }) => {
      try {
        // sockets name their peers canonically; a link-local address keeps its zone, or it could not be answered
        this.#receive(datagram, { family: family === 'IPv4' ? 4 : 6, address, port })
      } catch (error) {
        this.#report(error)
      }
    })
    return this.#bound
  }

  /** Releases all allocations and closes every socket. */
  async stop(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    this.#allocations.releaseAll()
    if (socket) await new Promise<void>((resolve) => socket.close(resolve))
  }

  stats(): RelayStats {
    return {
      allocations: this.#allocations.size,
      allocationsBy: { udp: this.#allocations.size, tcp: 0, tls: 0 },
      allocationsMade: this.#made,
      ...this.#traffic,
      refused: Object.fromEntries(this.#refused),
    }
  }

  /** Relayed ports in use. */
  get portsInUse(): number {
    return this.#ports.taken
  }

  /** node-turn's server with our methods in the place of its own; its answer to Binding is right and stays. */
  #connect(): NodeTurnServer {
    const { realm, allocationSeconds, maxAllocationSeconds } = this.#options
    const hub = new Server({
      realm,
      authMech: 'long-term',
      debugLevel: 'OFF',
      listeningIps: [],
      credentials: Object.create(null) as Record<string, string>,
    })
    for (const method of ['message', 'allocate', 'refresh', 'create_permission', 'channel_bind', 'send']) {
      hub.removeAllListeners(method)
    }
    const lifetimes = { allocationSeconds, maxAllocationSeconds }
    const needs: AllocateNeeds = {
      lifetimes,
      family: endpoint(this.#relayed, 0).family,
      allocations: this.#allocations,
      ports: this.#ports,
      open: (exchange, socket, seconds) => this.#open(exchange, socket, seconds),
    }
    return hub
      .on('allocate', (exchange: Exchange) => {
        allocate(exchange, needs)
          .then((answer) => exchange.answer(answer))
          .catch(this.#report)
      })
      .on('refresh', (exchange: Exchange, allocation: Allocation) => {
        exchange.answer(refresh(exchange, allocation, lifetimes))
      })
      .on('create_permission', (exchange: Exchange, allocation: Allocation) => {
        exchange.answer(createPermission(exchange, allocation, this.#policy))
      })
      .on('channel_bind', (exchange: Exchange, allocation: Allocation) => {
        exchange.answer(channelBind(exchange, allocation, this.#policy))
      })
      .on('send', send)
  }

  #receive(datagram: Buffer, client: Endpoint): void {
    switch (kindOf(datagram)) {
      case 'channel': {
        const message = readChannelData(datagram)
        if (message) this.#allocations.of(client)?.throughChannel(message.channel, message.data)
        return
      }
      case 'stun': {
        const message = readMessage(this.#hub, this.#transport(client), datagram)
        if (message?.isRequest) this.#answer(message, client)
        else if (message?.isIndication) this.#indicated(message, client)
        // responses are never answered: two servers could go on doing so for ever
        return
      }
      case 'neither':
    }
  }

  #transport(client: Endpoint): InstanceType<typeof Transport> {
    const sink = { send: (bytes: Buffer) => void this.#toClient(client, bytes) }
    return new Transport(TRANSPORT.PROTOCOL.UDP, toNodeTurn(client), toNodeTurn(this.#bound ?? client), sink)
  }

  #indicated(message: Inbound, client: Endpoint): void {
    if (message.method !== METHOD.SEND || message.malformed || message.unknown.length > 0) return
    const allocation = this.#allocations.of(client)
    if (allocation) this.#hub.emit('send', message, allocation)
  }

  #answer(request: Inbound, client: Endpoint): void {
    const exchange = new Exchange(request, client, (code) =>
      this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1),
    )
    if (request.method === METHOD.BINDING) {
      if (request.unknown.length === 0) this.#hub.emit('binding', request, request.reply())
      else if (this.#challenges.allow(client.address)) exchange.answer(420)
      return
    }
    if (!AUTHENTICATED.has(request.method)) return

    const allocation = this.#allocations.of(client)
    const known = this.#authenticator.authenticate(request, client)
    if (!known.ok) this.#challenge(exchange, known.code)
    else if (this.#expired(known.caller, request, allocation)) this.#challenge(exchange, 401)
    else {
      exchange.signAs(known.caller)
      const refusal = refusalOf(exchange, allocation)
      if (refusal === undefined) this.#hub.emit(request.getMethodName(), exchange, allocation)
      else exchange.answer(refusal)
    }
  }

  #challenge(exchange: Exchange, code: 400 | 401 | 438): void {
    const { client } = exchange
    if (!this.#challenges.allow(client.address)) return
    if (code === 400) exchange.answer(400)
    else exchange.challenge(code, this.#options.realm, this.#nonces.issue(client))
  }

  /** Expired names make no new allocation; one that exists may be kept up for a while, so that calls can end as people like. */
  #expired({ expiresAt }: Caller, request: Inbound, allocation: Allocation | undefined): boolean {
    const goesOn = allocation !== undefined && request.method !== METHOD.ALLOCATE
    return this.#clock.now() / 1000 >= expiresAt + (goesOn ? this.#options.graceSeconds : 0)
  }

  #open(exchange: Exchange, socket: Socket, seconds: number): Allocation | undefined {
    const { client, caller, request } = exchange
    if (!this.#socket) {
      socket.close()
      return undefined
    }
    this.#made++
    return new Allocation(
      {
        client,
        caller,
        transaction: request.transactionID ?? '',
        socket,
        relayed: endpoint(this.#relayed, socket.address().port),
        bounds: this.#options,
        clock: this.#clock,
        traffic: this.#traffic,
        toClient: (datagram) => this.#toClient(client, datagram),
        route: (peer) => this.#route(peer),
        released: (allocation) => this.#allocations.remove(allocation),
      },
      seconds,
    )
  }

  /** Two parties relayed here need no network in between; nothing else of this machine is reached through its own address. */
  #route(peer: Endpoint): Route {
    if (peer.address === this.#relayed) {
      const allocation = this.#allocations.at(peer.port)
      if (allocation) return { kind: 'here', allocation }
      if (this.#policy.verdict(peer.address) !== 'allowed') return undefined
    }
    return { kind: 'socket' }
  }

  #toClient({ address, port }: Endpoint, datagram: Buffer): boolean {
    const socket = this.#socket
    if (!socket || socket.getSendQueueSize() > MOST_QUEUED) return false
    socket.send(datagram, port, address)
    return true
  }
}

/** What is wrong with an authenticated request, whatever its method (RFC 8489, section 6.3.1; RFC 8656, section 5). */
function refusalOf({ request, caller }: Exchange, allocation: Allocation | undefined): ErrorCode | undefined {
  if (request.unknown.length > 0) return 420
  if (request.malformed) return 400
  if (request.method === METHOD.ALLOCATE) return undefined
  if (!allocation) return 437
  return allocation.caller.username === caller.username ? undefined : 441
}

/** Requests that need credentials. */
const AUTHENTICATED: ReadonlySet<number | null> = new Set([
  METHOD.ALLOCATE,
  METHOD.REFRESH,
  METHOD.CREATE_PERMISSION,
  METHOD.CHANNEL_BIND,
])

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => canonical(address) ?? [])
}
