/** Signalling between the bound devices of established calls: what a call broker does all day. */

import { exchange } from '../support/exchange.ts'
import { closeAll, connectedCalls, rawPairs } from '../support/pairs.ts'
import { inTurn, type Scenario } from '../support/scenario.ts'
import { startCarillon, startRawRelay } from '../support/server.ts'

const ROUNDS = 5

export const signalling: Scenario = {
  name: 'signalling',
  title: ({ pairs }) => `${pairs} established calls, 700-octet bodies to and fro, one under way in each`,
  async run(options) {
    const { pairs: count, profile } = options
    const raw = await startRawRelay()
    const carillon = await startCarillon({}, profile)
    const pairs = { raw: await rawPairs(raw.url, count), carillon: await connectedCalls(carillon.url, count) }
    const found = await inTurn(
      ROUNDS,
      options,
      (seconds) => exchange(raw.child, pairs.raw, seconds),
      (seconds) => exchange(carillon.child, pairs.carillon, seconds),
    )
    await Promise.all([closeAll(pairs.raw), closeAll(pairs.carillon)])
    await Promise.all([raw.stop(), carillon.stop()])
    const row = (what: string, unit: string, field: keyof (typeof found.raw)[number]) => ({
      what,
      unit,
      carillon: found.carillon.map((round) => round[field]),
      raw: found.raw.map((round) => round[field]),
    })
    return [
      row('server CPU per message', 'µs', 'microsPerMessage'),
      row('rate', 'messages/s', 'perSecond'),
      row('latency p50', 'ms', 'p50'),
      row('latency p99', 'ms', 'p99'),
    ]
  },
}
