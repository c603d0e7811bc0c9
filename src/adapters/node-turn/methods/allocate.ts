/** Allocate (RFC 8656, section 7.2). */

import type { Socket } from 'node:dgram'
import type { Allocations } from '../allocations.ts'
import { type Family, toNodeTurn } from '../endpoint.ts'
import type { Answer, ErrorCode, Exchange } from '../exchange.ts'
import type { Holding } from '../holding.ts'
import { ADDITIONAL_ADDRESS_FAMILY, type Inbound, REQUESTED_ADDRESS_FAMILY } from '../message.ts'
import { CONSTANTS } from '../node-turn.ts'
import type { RelayPorts } from '../ports.ts'
import type { Reservations } from '../reservations.ts'
import { grant, type Lifetimes } from './lifetime.ts'

const { TRANSPORT } = CONSTANTS
/** Typed here: node-turn's table is open, but these it has. */
const ATTR = CONSTANTS.ATTR as Record<'EVEN_PORT' | 'RESERVATION_TOKEN', number>
const ADDRESS_ERROR_CODE = 0x8001

export interface AllocateNeeds {
  readonly lifetimes: Lifetimes
  /** Of the families that relayed addresses can have. */
  readonly ports: Readonly<Partial<Record<Family, RelayPorts>>>
  readonly allocations: Allocations
  readonly reservations: Reservations
  /** Makes an allocation, for which a place has been taken; the socket is its own from then on. */
  readonly open: (holding: Holding, socket: Socket, family: Family, seconds: number) => void
}

/** What a client asks for. */
type Wish =
  | { readonly token: Buffer }
  /** `alone`: of this family or not at all. */
  | { readonly family: Family; readonly port: 'any' | 'even' | 'even and the next' }
  /** Of both families, or of the one that there is. */
  | { readonly family: 'both'; readonly port: 'any' | 'even' }

/** Resolves with the answer; the ports are bound by then. */
export async function allocate(exchange: Exchange, needs: AllocateNeeds): Promise<Answer> {
  const { client, request, caller } = exchange
  const transaction = request.transactionID ?? ''

  const existing = client.holding
  if (existing) {
    if (existing.transaction !== transaction || existing.caller.username !== caller.username) return 437
    // the first of the two is still being answered
    return existing.allocations.length === 0 ? 'silence' : describe(exchange, existing)
  }
  const wish = wishOf(request)
  if (typeof wish === 'number') return wish
  if (!('token' in wish) && wish.family !== 'both' && !needs.ports[wish.family]) return 440

  const holding = needs.allocations.hold(client, caller, transaction)
  const refusal = await fulfil(holding, wish, needs, grant(request.number('lifetime'), needs.lifetimes))
  if (refusal === undefined && holding.allocations.length > 0) return describe(exchange, holding)
  needs.allocations.drop(holding)
  return refusal ?? 508
}

/** Why there is no allocation; undefined when there is one, or the client is gone. */
async function fulfil(
  holding: Holding,
  wish: Wish,
  needs: AllocateNeeds,
  seconds: number,
): Promise<ErrorCode | undefined> {
  if ('token' in wish) {
    const reserved = needs.reservations.take(wish.token, holding.caller.user)
    if (!reserved) return 508
    needs.open(holding, reserved.socket, reserved.family, seconds)
    return undefined
  }
  if (wish.family !== 'both') return openOne(holding, wish.family, wish.port, needs, seconds)
  const four = await openOne(holding, 4, wish.port, needs, seconds)
  const six = await openOne(holding, 6, wish.port, needs, seconds)
  if (four !== undefined && six !== undefined) return four === 486 ? 486 : 508
  // the answer says which one is missing, with one of two codes
  if (four !== undefined) holding.missing = { family: 4, code: four === 440 ? 440 : 508 }
  if (six !== undefined) holding.missing = { family: 6, code: six === 440 ? 440 : 508 }
  return undefined
}

async function openOne(
  holding: Holding,
  family: Family,
  port: 'any' | 'even' | 'even and the next',
  { ports, allocations, reservations, open }: AllocateNeeds,
  seconds: number,
): Promise<ErrorCode | undefined> {
  const range = ports[family]
  if (!range) return 440
  const { user } = holding.caller
  const places = port === 'even and the next' ? 2 : 1
  const place = allocations.enter(user, places)
  if (place !== 'entered') return place === 'quota' ? 486 : 508
  const [socket, next] = await range.bind(port)
  // its connection may have been closed meanwhile, or the relay stopped
  if (!socket || !allocations.has(holding)) {
    socket?.close()
    next?.close()
    allocations.leave(user, places)
    return 508
  }
  if (next) holding.reservation = reservations.keep({ socket: next, family, user })
  open(holding, socket, family, seconds)
  return undefined
}

function describe(exchange: Exchange, { allocations, client, reservation, missing }: Holding): Answer {
  for (const { relayed } of allocations) exchange.add('xor-relayed-address', toNodeTurn(relayed))
  exchange.add('lifetime', allocations[0]?.lifetime ?? 0).add('xor-mapped-address', toNodeTurn(client.remote))
  if (reservation) exchange.addRaw(ATTR.RESERVATION_TOKEN, reservation)
  if (missing) {
    const { family, code } = missing
    exchange.addRaw(ADDRESS_ERROR_CODE, Buffer.from([family === 4 ? 1 : 2, 0, Math.floor(code / 100), code % 100]))
  }
  return 'success'
}

/** What the attributes ask for, or why they must not; in the order of section 7.2. */
function wishOf(request: Inbound): Wish | ErrorCode {
  const transport = request.number('requested-transport')
  if (transport === undefined) return 400
  if (transport !== TRANSPORT.PROTOCOL.UDP) return 442
  const family = request.octetsOf(REQUESTED_ADDRESS_FAMILY)?.[0]
  const additional = request.octetsOf(ADDITIONAL_ADDRESS_FAMILY)?.[0]
  const even = request.octetsOf(ATTR.EVEN_PORT)?.[0]
  const pair = ((even ?? 0) & 0x80) !== 0
  const token = request.octetsOf(ATTR.RESERVATION_TOKEN)
  if (token) return family === undefined && additional === undefined && even === undefined ? { token } : 400
  if (additional !== undefined) {
    if (family !== undefined || pair || additional !== 2) return 400
    return { family: 'both', port: even === undefined ? 'any' : 'even' }
  }
  // absent means IPv4
  if (family !== undefined && family !== 1 && family !== 2) return 440
  return { family: family === 2 ? 6 : 4, port: even === undefined ? 'any' : pair ? 'even and the next' : 'even' }
}
