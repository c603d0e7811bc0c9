/** Whole calls: request, ringing on two devices, answer by one, hang-up; the next begins when all have heard all. */

import { performance } from 'node:perf_hooks'
import { costOf, type Meter } from '../support/cpu.ts'
import type { Peer } from '../support/peer.ts'
import { inTurn, rowOf, type Scenario } from '../support/scenario.ts'
import { startCarillon } from '../support/server.ts'
import { median, percentile } from '../support/stats.ts'
import { CALL_QUEUES, destinationOf, logIn, sendOf } from '../support/stomp.ts'
import { bounded } from '../support/target.ts'

const ROUNDS = 4
const PARTIES = 100

/** MESSAGEs of a call: two rings, ringing, response, down, hangup. */
const FRAMES_OF_A_CALL = 6

interface Party {
  readonly callee: string
  readonly caller: Peer
  readonly phone: Peer
  readonly laptop: Peer
}

export const calls: Scenario = {
  name: 'calls',
  title: ({ pairs = PARTIES }) =>
    `whole calls (3 SENDs, ${FRAMES_OF_A_CALL} MESSAGEs), ${pairs} at a time, two devices ring`,
  async run(options) {
    const { pairs = PARTIES, profile } = options
    // Ended calls are forgotten during the run, as they are all day: that is part of what a call costs
    const carillon = await startCarillon({ CALL_TOMBSTONE_MS: '10000' }, profile)
    const parties = await Promise.all(Array.from({ length: pairs }, (_, n) => assemble(carillon.url, n)))
    const found = await inTurn(ROUNDS, options, {
      carillon: (seconds) => callAll(carillon, parties, seconds),
    })
    const devices = parties.flatMap(({ caller, phone, laptop }) => [caller, phone, laptop])
    await Promise.all(devices.map((device) => device.close()))
    await carillon.stop()
    const rate = rowOf('rate', 'calls/s', found, ({ perSecond }) => perSecond)
    return {
      rows: [
        rowOf('server CPU per call', 'µs', found, ({ microsPerCall }) => microsPerCall),
        rate,
        rowOf('request to ring p50, at that rate', 'ms', found, ({ p50 }) => p50),
        rowOf('request to ring p99, at that rate', 'ms', found, ({ p99 }) => p99),
      ],
      targets: [bounded('whole calls on one core', 'calls/s', '≥', 3000, median(rate.found.carillon ?? []))],
    }
  },
}

async function assemble(url: string, n: number): Promise<Party> {
  const callee = `callee-${n}`
  const arrives = (user: string) => logIn(url, user, { subscriptions: CALL_QUEUES })
  return { callee, caller: await arrives(`caller-${n}`), phone: await arrives(callee), laptop: await arrives(callee) }
}

async function callAll(server: Meter, parties: readonly Party[], seconds: number) {
  const { cpuMicros, rings, elapsed } = await costOf(server, async () => {
    const begin = performance.now()
    const times = await Promise.all(parties.map((party) => callAgainAndAgain(party, begin + seconds * 1000)))
    return { rings: times.flat(), elapsed: (performance.now() - begin) / 1000 }
  })
  return {
    microsPerCall: cpuMicros / rings.length,
    perSecond: rings.length / elapsed,
    p50: median(rings),
    p99: percentile(rings, 0.99),
  }
}

let callsMade = 0

/** Calls until `end`; from request to ring took so many milliseconds each. */
function callAgainAndAgain({ callee, caller, phone, laptop }: Party, end: number): Promise<number[]> {
  const rings: number[] = []
  let callId = ''
  let requested = 0
  let missing = 0
  return new Promise((resolve) => {
    const call = (): void => {
      callId = `bench-${++callsMade}`
      missing = FRAMES_OF_A_CALL
      requested = performance.now()
      caller.send(sendOf('/app/call/request', JSON.stringify({ callId, callee, callerUserName: 'Bench' })))
    }
    const heard = (): void => {
      if (--missing > 0) return
      if (performance.now() < end) call()
      else resolve(rings)
    }
    caller.onMessage = (frame) => {
      const queue = queueOf(frame, 'call/ringing', 'call/response')
      if (queue === 'call/response') caller.send(sendOf('/app/call/hangup', JSON.stringify({ callId })))
      heard()
    }
    phone.onMessage = (frame) => {
      if (queueOf(frame, 'call/request', 'call/hangup') === 'call/request') {
        rings.push(performance.now() - requested)
        phone.send(sendOf('/app/call/response', JSON.stringify({ callId, type: 'ACCEPT' })))
      }
      heard()
    }
    laptop.onMessage = (frame) => {
      queueOf(frame, 'call/request', 'call/down')
      heard()
    }
    call()
  })
}

/** The queue that a frame is for; it must be one of those. */
function queueOf<Q extends string>(frame: Buffer, ...expected: Q[]): Q {
  const destination = destinationOf(frame)
  const queue = expected.find((each) => destination === `/user/queue/${each}`)
  if (queue === undefined) throw new Error(`expected ${expected.join(' or ')}: ${frame.toString()}`)
  return queue
}
