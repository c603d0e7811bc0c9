/** Allocate (RFC 8656, section 7.2). */

import type { Socket } from 'node:dgram'
import type { Allocation } from '../allocation.ts'
import type { Allocations } from '../allocations.ts'
import { type Family, toNodeTurn } from '../endpoint.ts'
import type { Answer, ErrorCode, Exchange } from '../exchange.ts'
import { type Inbound, REQUESTED_ADDRESS_FAMILY } from '../message.ts'
import { CONSTANTS } from '../node-turn.ts'
import type { RelayPorts } from '../ports.ts'
import { grant, type Lifetimes } from './lifetime.ts'

const { ATTR, TRANSPORT } = CONSTANTS

export interface AllocateNeeds {
  readonly lifetimes: Lifetimes
  /** The family of relayed addresses. */
  readonly family: Family
  readonly allocations: Allocations
  readonly ports: RelayPorts
  /** Makes the allocation; the socket is its own from then on. Undefined when the relay is stopping. */
  readonly open: (exchange: Exchange, socket: Socket, seconds: number) => Allocation | undefined
}

/** Resolves with the answer; the port is bound by then. */
export async function allocate(exchange: Exchange, needs: AllocateNeeds): Promise<Answer> {
  const { allocations, ports } = needs
  const { client, request, caller } = exchange
  const transaction = request.transactionID ?? ''

  const existing = allocations.of(client)
  if (existing) {
    const repeat = existing.transaction === transaction && existing.caller.username === caller.username
    return repeat ? describe(exchange, existing) : 437
  }
  const underWay = allocations.pending(client)
  if (underWay !== undefined) return underWay === transaction ? 'silence' : 437
  const refusal = refusalOf(request, needs.family)
  if (refusal !== undefined) return refusal

  const place = allocations.reserve(client, caller.user, transaction)
  if (place !== 'reserved') return place === 'quota' ? 486 : 508
  const socket = await ports.bind({ even: request.octetsOf(ATTR.EVEN_PORT ?? 0) !== undefined })
  const allocation = socket && needs.open(exchange, socket, grant(request.number('lifetime'), needs.lifetimes))
  if (!allocation) {
    allocations.giveUp(client, caller.user)
    return 508
  }
  allocations.add(allocation)
  return describe(exchange, allocation)
}

function describe(exchange: Exchange, { relayed, lifetime, client }: Allocation): Answer {
  exchange
    .add('xor-relayed-address', toNodeTurn(relayed))
    .add('lifetime', lifetime)
    .add('xor-mapped-address', toNodeTurn(client))
  return 'success'
}

/** What the attributes alone forbid, in the order of section 7.2. */
function refusalOf(request: Inbound, ours: Family): ErrorCode | undefined {
  const transport = request.number('requested-transport')
  if (transport === undefined) return 400
  if (transport !== TRANSPORT.PROTOCOL.UDP) return 442
  const family = request.octetsOf(REQUESTED_ADDRESS_FAMILY)?.[0]
  const even = request.octetsOf(ATTR.EVEN_PORT ?? 0)?.[0]
  // we reserve no second port (the R bit), so there is no token that could be good
  if (request.octetsOf(ATTR.RESERVATION_TOKEN ?? 0)) return family === undefined && even === undefined ? 508 : 400
  // absent means IPv4
  if ((family ?? 1) !== (ours === 4 ? 1 : 2)) return 440
  return ((even ?? 0) & 0x80) === 0 ? undefined : 508
}
