/**
 * Which server has which keys: always the same one, the one that Sentinel names, or the one of the key's slot in a
 * Cluster. Finds out; keeps nothing.
 */

import type { Access, Server } from './connection.ts'
import type { Argument } from './link.ts'

/** Everything there is to know of who has what. */
export interface Layout {
  /** Those that are written to. */
  readonly servers: readonly Server[]
  serverOf(key: string): Server
}

/** Asks one server something, over a connection that is there already or one for this question alone. */
export type Ask = (server: Server, command: readonly Argument[], access?: Access) => Promise<unknown>

/** Rejected when nobody can tell. `known`: servers that may be asked, the likeliest first. */
export type Discover = (ask: Ask, known: readonly Server[]) => Promise<Layout>

/** One server, which has everything. */
export function single(server: Server): Discover {
  const layout = { servers: [server], serverOf: () => server }
  return async () => layout
}

/**
 * The master that the first Sentinel with an opinion names, and that says so itself (Redis documentation, "Guidelines
 * for Redis clients with support for Redis Sentinel"). A Sentinel that does not know our user is asked without one.
 */
export function sentinel(sentinels: readonly Server[], name: string, access: Access): Discover {
  const guest: Access = { tls: access.tls, database: 0 }
  const member: Access = { ...access, database: 0 }
  return async (ask) => {
    const question = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name]
    let problem = new Error('no Sentinel answers')
    for (const one of sentinels) {
      try {
        const answer = await ask(one, question, member).catch((error: unknown) => {
          if (access.password === undefined || !/^(WRONGPASS|NOPERM|NOAUTH|ERR)/.test(wordsOf(error))) throw error
          return ask(one, question, guest)
        })
        if (!Array.isArray(answer)) throw new Error('Sentinel does not know the name')
        const master = { host: String(answer[0]), port: Number(answer[1]) }
        const role = await ask(master, ['ROLE'])
        if (!Array.isArray(role) || role[0] !== 'master') throw new Error('the server that Sentinel names is no master')
        return { servers: [master], serverOf: () => master }
      } catch (error) {
        problem = error as Error
      }
    }
    throw problem
  }
}

/** Of the refusal, or of what was refused when the connection was opened. */
const wordsOf = (error: unknown) => {
  if (!(error instanceof Error)) return ''
  return error.cause instanceof Error ? error.cause.message : error.message
}

export const SLOTS = 16_384

/** The masters of a Cluster by their slots, as the first of its members that can tell has them. */
export function cluster(seeds: readonly Server[]): Discover {
  return async (ask, known) => {
    let problem = new Error('no member of the Cluster answers')
    for (const one of [...known, ...seeds]) {
      try {
        return layoutOf(await ask(one, ['CLUSTER', 'SLOTS']), one)
      } catch (error) {
        problem = error as Error
      }
    }
    throw problem
  }
}

/** CLUSTER SLOTS: `[from, to, [host, port, …], …replicas]` for each range. */
function layoutOf(reply: unknown, asked: Server): Layout {
  if (!Array.isArray(reply)) throw new Error('the answer to CLUSTER SLOTS makes no sense')
  const masters = new Map<string, Server>()
  const bySlot: Server[] = new Array(SLOTS)
  let covered = 0
  for (const [from, to, [host, port]] of reply as [number, number, [string | null, number]][]) {
    const server = { host: host === null || host === '' || host === '?' ? asked.host : host, port }
    const same = masters.get(addressOf(server)) ?? server
    masters.set(addressOf(server), same)
    bySlot.fill(same, from, to + 1)
    covered += to + 1 - from
  }
  if (covered < SLOTS) throw new Error('the Cluster has no server for some of its slots')
  return { servers: [...masters.values()], serverOf: (key) => bySlot[slotOf(key)] as Server }
}

export const addressOf = ({ host, port }: Server): string => `${host}:${port}`

/** CRC16 (XMODEM), as the Cluster specification has it. */
const CRC = Uint16Array.from({ length: 256 }, (_, octet) => {
  let crc = octet << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

/** The slot of a key: of its hash tag, the first `{…}` that is not empty, where it has one. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const octets = Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)
  let crc = 0
  for (const octet of octets) crc = ((crc << 8) ^ (CRC[((crc >> 8) ^ octet) & 0xff] as number)) & 0xffff
  return crc % SLOTS
}
