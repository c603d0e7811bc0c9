/** Media through the relay: what a packet costs, and what an allocation weighs. */

import { inTurn, type Row, rowOf, type Scenario } from '../support/scenario.ts'
import { median } from '../support/stats.ts'
import { atMostTimes } from '../support/target.ts'
import {
  bothRelayed,
  type Flood,
  flood,
  forwarded,
  halfRelayed,
  memoryPerAllocation,
  type Pair,
} from '../support/turn-load.ts'
import {
  type MeasuredRelay,
  startCarillonRelay,
  startCoturnRelay,
  startNodeTurn,
  startUdpForwarder,
} from '../support/turn-relays.ts'

const RATE = 15_000
const PAIRS = 50
const ROUNDS = 11
const ALLOCATIONS = 1000

/** A packet every 20 ms each way. */
const VOICE_PACKETS = 100
/** 1.5 Mbit/s each way. */
const VIDEO_PACKETS = 2 * 156

type Name = 'carillon' | 'nodeTurn' | 'coturn'

interface Contestant {
  readonly name: Name
  readonly relay: MeasuredRelay
  readonly half: Pair[]
  readonly both: Pair[]
}

interface Round {
  readonly small: Flood
  readonly large: Flood
  readonly back: Flood
  readonly both: Flood
}

export const turn: Scenario = {
  name: 'turn',
  title: ({ pairs = PAIRS }) =>
    `${RATE.toLocaleString('en')} packets/s of media through ${pairs} allocations, channel data over UDP`,
  async run(options) {
    const { pairs: count = PAIRS, progress } = options
    const relays: [Name, MeasuredRelay | undefined][] = [
      ['carillon', await startCarillonRelay(options.profile)],
      ['nodeTurn', await startNodeTurn()],
      ['coturn', await startCoturnRelay()],
    ]
    const contestants: Contestant[] = []
    const memory: Partial<Record<Name, readonly number[]>> = {}
    for (const [name, relay] of relays) {
      if (!relay) {
        progress(`${name} is not installed`)
        continue
      }
      progress(`${ALLOCATIONS} allocations of ${name}`)
      memory[name] = [(await memoryPerAllocation(relay, ALLOCATIONS)) / 1024]
      const half = await halfRelayed(relay, count)
      contestants.push({ name, relay, half, both: await bothRelayed(relay, count / 2) })
    }
    const plays: Partial<Record<Name | 'udp', (seconds: number) => Promise<Round>>> = {}
    for (const { name, relay, half, both } of contestants) {
      plays[name] = async (seconds) => {
        const share = { rate: RATE, seconds: seconds / 2 }
        return {
          small: await flood(relay, half, { ...share, octets: 160 }),
          large: await flood(relay, half, { ...share, octets: 1200 }),
          back: await flood(relay, half, { ...share, octets: 160, backOnly: true }),
          both: await flood(relay, both, { ...share, octets: 160 }),
        }
      }
    }
    const floor = await startUdpForwarder()
    const floorPairs = await forwarded(floor.port, count)
    plays.udp = async (seconds) => {
      const share = { rate: RATE, seconds: seconds / 2 }
      const small = await flood(floor, floorPairs, { ...share, octets: 160 })
      const back = await flood(floor, floorPairs, { ...share, octets: 160, backOnly: true })
      // between two clients it makes no difference to who decides nothing
      return { small, large: await flood(floor, floorPairs, { ...share, octets: 1200 }), back, both: small }
    }
    const found = await inTurn(ROUNDS, options, plays)
    for (const { relay, half, both } of contestants) {
      for (const pair of [...half, ...both]) pair.close()
      await relay.stop()
    }
    for (const pair of floorPairs) pair.close()
    await floor.stop()
    const small = rowOf('relay CPU per packet, 160 octets', 'µs', found, (round) => round.small.microsPerPacket)
    const large = rowOf('relay CPU per packet, 1,200 octets', 'µs', found, (round) => round.large.microsPerPacket)
    const micros = 'µs'
    return {
      rows: [
        small,
        large,
        rowOf('the same, from peer to client only, 160 octets', micros, found, (round) => round.back.microsPerPacket),
        rowOf(
          'the same, between two clients of this relay, 160 octets',
          micros,
          found,
          (round) => round.both.microsPerPacket,
        ),
        rowOf('packets that arrived, 160 octets', 'per s', found, (round) => round.small.perSecond),
        rowOf('packets lost, 160 octets', '%', found, (round) => 100 * round.small.lost),
        rowOf('packets lost, 1,200 octets', '%', found, (round) => 100 * round.large.lost),
        rowOf('relay’s core busy, 160 octets', '%', found, (round) => 100 * round.small.busy),
        { what: 'resident memory per allocation', unit: 'KiB', found: memory },
        perCore('voice, one party relayed', small, VOICE_PACKETS),
        perCore('video at 1.5 Mbit/s, one party relayed', large, VIDEO_PACKETS),
      ],
      merits: [],
      targets: [small, large].flatMap((row) => [atMostTimes(0.6, 'nodeTurn', row), atMostTimes(1.3, 'coturn', row)]),
    }
  },
}

/** How many calls would fill a core: not measured, but what the cost of a packet comes to. */
function perCore(what: string, { found }: Row, packetsPerSecond: number): Row {
  const calls = Object.entries(found).map(([name, micros]) => [name, [1e6 / (median(micros) * packetsPerSecond)]])
  return { what, unit: 'calls per core, computed', found: Object.fromEntries(calls) as Row['found'] }
}
