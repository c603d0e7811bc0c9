/**
 * STUN messages from clients, and who answers them: node-turn's server stays the hub on which a message finds its
 * method; its authentication and methods are ours (README.md says why for each).
 */

import type { Clock } from '../../../broker/clock.ts'
import { Authenticator, type Caller } from './authentication.ts'
import { Challenges } from './challenges.ts'
import type { Client } from './client.ts'
import { toNodeTurn } from './endpoint.ts'
import { type ErrorCode, Exchange } from './exchange.ts'
import type { Holding } from './holding.ts'
import { type Inbound, readMessage } from './message.ts'
import { type AllocateNeeds, allocate } from './methods/allocate.ts'
import { channelBind } from './methods/channel-bind.ts'
import { createPermission } from './methods/create-permission.ts'
import { refresh } from './methods/refresh.ts'
import { send } from './methods/send.ts'
import { CONSTANTS, type NodeTurnServer, Server, Transport } from './node-turn.ts'
import { Nonces } from './nonces.ts'
import type { RelayOptions } from './options.ts'
import type { PeerPolicy } from './peers.ts'

const { METHOD, TRANSPORT } = CONSTANTS

export interface RequestsWorld {
  readonly options: RelayOptions
  readonly clock: Clock
  readonly policy: PeerPolicy
  readonly allocating: Omit<AllocateNeeds, 'lifetimes'>
  /** Told of what should never happen. */
  readonly report: (error: unknown) => void
}

export class Requests {
  readonly #options: RelayOptions
  readonly #clock: Clock
  readonly #hub: NodeTurnServer
  readonly #authenticator: Authenticator
  readonly #nonces: Nonces
  readonly #challenges: Challenges
  readonly #refused = new Map<number, number>()

  constructor(world: RequestsWorld) {
    const { options, clock } = world
    this.#options = options
    this.#clock = clock
    this.#nonces = new Nonces(clock, options.nonceSeconds)
    this.#authenticator = new Authenticator(options, { nonces: this.#nonces, clock })
    this.#challenges = new Challenges(clock, options.challengesPerSecond)
    this.#hub = connect(world)
  }

  /** Error responses so far, by code. */
  get refused(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#refused)
  }

  /** False when it is no STUN message. */
  take(client: Client, bytes: Buffer): boolean {
    const message = readMessage(this.#hub, transportOf(client), bytes)
    if (message?.isRequest) this.#answer(message, client)
    else if (message?.isIndication) this.#indicated(message, client)
    // responses are never answered: two servers could go on doing so for ever
    return message !== undefined
  }

  #indicated(message: Inbound, { holding }: Client): void {
    if (message.method !== METHOD.SEND || message.malformed || message.unknown.length > 0) return
    if (holding) this.#hub.emit('send', message, holding)
  }

  #answer(request: Inbound, client: Client): void {
    const exchange = new Exchange(request, client, (code) =>
      this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1),
    )
    if (request.method === METHOD.BINDING) {
      if (request.unknown.length === 0) this.#hub.emit('binding', request, request.reply())
      else if (this.#challenges.allow(client.remote.address)) exchange.answer(420)
      return
    }
    if (!AUTHENTICATED.has(request.method)) return

    const { holding } = client
    const known = this.#authenticator.authenticate(request, client.remote)
    if (!known.ok) this.#challenge(exchange, known.code)
    else if (this.#expired(known.caller, request, holding)) this.#challenge(exchange, 401)
    else {
      exchange.signAs(known.caller)
      const refusal = refusalOf(exchange, holding)
      if (refusal === undefined) this.#hub.emit(request.getMethodName(), exchange, holding)
      else exchange.answer(refusal)
    }
  }

  #challenge(exchange: Exchange, code: 400 | 401 | 438): void {
    const { remote } = exchange.client
    if (!this.#challenges.allow(remote.address)) return
    if (code === 400) exchange.answer(400)
    else exchange.challenge(code, this.#options.realm, this.#nonces.issue(remote))
  }

  /** Expired names make no new allocation; one that exists may be kept up for a while, so that calls can end as people like. */
  #expired({ expiresAt }: Caller, request: Inbound, holding: Holding | undefined): boolean {
    const goesOn = holding !== undefined && request.method !== METHOD.ALLOCATE
    return this.#clock.now() / 1000 >= expiresAt + (goesOn ? this.#options.graceSeconds : 0)
  }
}

/** node-turn's server with our methods in the place of its own; its answer to Binding is right and stays. */
function connect({ options, policy, allocating, report }: RequestsWorld): NodeTurnServer {
  const { realm, allocationSeconds, maxAllocationSeconds } = options
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
  return hub
    .on('allocate', (exchange: Exchange) => {
      allocate(exchange, { ...allocating, lifetimes })
        .then((answer) => exchange.answer(answer))
        .catch(report)
    })
    .on('refresh', (exchange: Exchange, holding: Holding) => {
      exchange.answer(refresh(exchange, holding, lifetimes))
    })
    .on('create_permission', (exchange: Exchange, holding: Holding) => {
      exchange.answer(createPermission(exchange, holding, policy))
    })
    .on('channel_bind', (exchange: Exchange, holding: Holding) => {
      exchange.answer(channelBind(exchange, holding, policy))
    })
    .on('send', send)
}

/** What node-turn needs to know of where a message came from and where the answer goes. */
function transportOf(client: Client): InstanceType<typeof Transport> {
  const sink = { send: (bytes: Buffer) => void client.send(bytes) }
  return new Transport(TRANSPORT.PROTOCOL.UDP, toNodeTurn(client.remote), toNodeTurn(client.local), sink)
}

/** What is wrong with an authenticated request, whatever its method (RFC 8489, section 6.3.1; RFC 8656, section 5). */
function refusalOf({ request, caller }: Exchange, holding: Holding | undefined): ErrorCode | undefined {
  if (request.unknown.length > 0) return 420
  if (request.malformed) return 400
  if (request.method === METHOD.ALLOCATE) return undefined
  // one that is only being made is none yet
  if (!holding || holding.allocations.length === 0) return 437
  return holding.caller.username === caller.username ? undefined : 441
}

/** Requests that need credentials. */
const AUTHENTICATED: ReadonlySet<number | null> = new Set([
  METHOD.ALLOCATE,
  METHOD.REFRESH,
  METHOD.CREATE_PERMISSION,
  METHOD.CHANNEL_BIND,
])
