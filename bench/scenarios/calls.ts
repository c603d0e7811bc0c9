/**
 * Whole calls: request, ringing on two devices, answer by one, hang-up. First as many as the server can do, then half
 * of what it must be able to do, begun on schedule: whoever has to wait, waits on the clock of the schedule.
 */

import { performance } from 'node:perf_hooks'
import { costOf, type Meter } from '../support/cpu.ts'
import { exchange } from '../support/exchange.ts'
import { closeAll, inBatches, rawPairs } from '../support/pairs.ts'
import { MESSAGES_OF_A_CALL, Party, SENDS_OF_A_CALL } from '../support/party.ts'
import { inTurn, rowOf, type Scenario } from '../support/scenario.ts'
import { startCarillon, startRawRelay } from '../support/server.ts'
import { median, percentile } from '../support/stats.ts'
import { atLeast, atMost, timed } from '../support/target.ts'

const CALLS_AT_A_TIME = 100
const ROUNDS = 5
const WANTED_PER_SECOND = 3000
const SCHEDULED_ROUNDS = 5
/** Calls on schedule find a free caller even when some calls take long. */
const PARTIES = 300

export const calls: Scenario = {
  name: 'calls',
  title: ({ pairs = CALLS_AT_A_TIME }) =>
    `whole calls (${SENDS_OF_A_CALL} SENDs, ${MESSAGES_OF_A_CALL} MESSAGEs), two devices ring, ${pairs} at a time`,
  async run(options) {
    const { pairs: atATime = CALLS_AT_A_TIME, profile, progress } = options
    const raw = await startRawRelay()
    // Ended calls are forgotten during the run, as they are all day: that is part of what a call costs
    const carillon = await startCarillon({ CALL_TOMBSTONE_MS: '10000' }, profile)
    const reference = await rawPairs(raw.url, atATime)
    const parties = await inBatches(Math.max(atATime, PARTIES), (n) => Party.assemble(carillon.url, n))
    const { raw: relayed = [], carillon: called = [] } = await inTurn<Round>(ROUNDS, options, {
      raw: async (seconds) => {
        const { microsPerMessage, perSecond } = await exchange(raw, reference, seconds)
        return { calls: 0, microsPerMessage, perSecond, microsPerCall: Number.NaN, rings: [] }
      },
      carillon: (seconds) => callAll(carillon, parties.slice(0, atATime), seconds),
    })
    const load = Math.round(Math.min(WANTED_PER_SECOND, median(called.map(({ perSecond }) => perSecond))) / 2)
    const scheduled: Round[] = []
    for (let round = 1; round <= SCHEDULED_ROUNDS; round++) {
      progress(`${load} calls per second, round ${round} of ${SCHEDULED_ROUNDS}`)
      scheduled.push(await callOnSchedule(carillon, parties, load, 2 * options.seconds))
    }
    await Promise.all([closeAll(reference), ...parties.map((party) => party.leave())])
    await Promise.all([raw.stop(), carillon.stop()])

    const cpu = rowOf(
      'server CPU per delivered message',
      'µs',
      { carillon: called, raw: relayed },
      (round) => round.microsPerMessage,
    )
    const rate = rowOf('rate', 'calls/s', { carillon: called }, ({ perSecond }) => perSecond)
    const ring = (what: string, share: number) =>
      rowOf(`request to ring ${what}, at ${load} calls/s`, 'ms', { carillon: scheduled }, ({ rings }) =>
        percentile(rings, share),
      )
    const p99 = ring('p99', 0.99)
    return {
      rows: [
        cpu,
        rowOf('server CPU per call', 'µs', { carillon: called }, ({ microsPerCall }) => microsPerCall),
        rate,
        ring('p50', 0.5),
        p99,
        ring('p99.9', 0.999),
        rowOf(
          `server CPU at ${load} calls/s`,
          '% of a core',
          { carillon: scheduled },
          (round) => (round.perSecond * round.microsPerCall) / 1e4,
        ),
      ],
      merits: [cpu],
      targets: [
        timed((row) => atLeast(WANTED_PER_SECOND, row, 'whole calls on one core'), rate),
        timed((row) => atMost(10, row), p99),
      ],
    }
  },
}

export interface Round {
  /** That were made. */
  readonly calls: number
  readonly microsPerCall: number
  readonly microsPerMessage: number
  readonly perSecond: number
  /** Milliseconds from request to ring, of each device that rang. */
  readonly rings: readonly number[]
}

/** A closed loop: each party calls again when its call is over. */
export function callAll(server: Meter, parties: readonly Party[], seconds: number): Promise<Round> {
  return measured(server, (rings) => {
    const begin = performance.now()
    const end = begin + seconds * 1000
    let calls = 0
    let calling = parties.length
    return new Promise((resolve) => {
      for (const party of parties) {
        let requested = 0
        const call = (now: number): void => {
          requested = now
          party.call()
        }
        party.onRing = () => void rings.push(performance.now() - requested)
        party.onOver = () => {
          calls++
          const now = performance.now()
          if (now < end) call(now)
          else if (--calling === 0) resolve({ calls, elapsed: now - begin })
        }
        call(performance.now())
      }
    })
  })
}

/**
 * An open loop: calls begin when it is their time, whether others are over or not. A call that finds nobody free waits,
 * and its ring is counted from when it should have begun.
 */
function callOnSchedule(server: Meter, parties: readonly Party[], perSecond: number, seconds: number): Promise<Round> {
  return measured(server, (rings) => {
    const begin = performance.now()
    const wanted = Math.round(perSecond * seconds)
    const free = [...parties]
    let begun = 0
    let over = 0
    return new Promise((resolve) => {
      const beginDue = (): void => {
        const due = Math.min(wanted, ((performance.now() - begin) * perSecond) / 1000)
        while (begun < due) {
          const party = free.pop()
          if (party === undefined) return
          const scheduled = begin + (begun++ * 1000) / perSecond
          party.onRing = () => void rings.push(performance.now() - scheduled)
          party.call()
        }
      }
      for (const party of parties) {
        party.onOver = () => {
          free.push(party)
          if (++over < wanted) return
          clearInterval(timer)
          resolve({ calls: wanted, elapsed: performance.now() - begin })
        }
      }
      const timer = setInterval(beginDue, 1)
    })
  })
}

/** `load` reports its calls and the milliseconds they took together. */
async function measured(
  server: Meter,
  load: (rings: number[]) => Promise<{ calls: number; elapsed: number }>,
): Promise<Round> {
  const rings: number[] = []
  const { cpuMicros, calls, elapsed } = await costOf(server, () => load(rings))
  return {
    calls,
    microsPerCall: cpuMicros / calls,
    microsPerMessage: cpuMicros / calls / MESSAGES_OF_A_CALL,
    perSecond: (1000 * calls) / elapsed,
    rings,
  }
}
