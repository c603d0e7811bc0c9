/** Signalling between the bound devices of established calls: what a call broker does all day. */

import { exchange } from '../support/exchange.ts'
import { closeAll, connectedCalls, rabbitmqPairs, rawPairs, socketIoPairs } from '../support/pairs.ts'
import { startRabbitmq } from '../support/rabbitmq.ts'
import { inTurn, rowOf, type Scenario } from '../support/scenario.ts'
import { startCarillon, startRawRelay, startSocketIo } from '../support/server.ts'
import { atMostTimes, timesBetter } from '../support/target.ts'

const CALLS = 500
const ROUNDS = 11

export const relay: Scenario = {
  name: 'relay',
  title: ({ pairs = CALLS }) => `${pairs} established calls, 700-octet bodies to and fro, one under way in each`,
  async run(options) {
    const { pairs: count = CALLS, profile } = options
    const carillon = await startCarillon({}, profile)
    const raw = await startRawRelay()
    const sio = await startSocketIo()
    const rabbitmq = options.rabbitmq === undefined ? undefined : await startRabbitmq(options.rabbitmq)
    options.progress(`${count} calls`)
    const pairs = {
      carillon: await connectedCalls(carillon.url, count),
      raw: await rawPairs(raw.url, count),
      sio: await socketIoPairs(sio.url, count),
      rabbitmq: rabbitmq ? await rabbitmqPairs(rabbitmq.url, count) : [],
    }
    const found = await inTurn(ROUNDS, options, {
      carillon: (seconds) => exchange(carillon, pairs.carillon, seconds),
      raw: (seconds) => exchange(raw, pairs.raw, seconds),
      sio: (seconds) => exchange(sio, pairs.sio, seconds),
      ...(rabbitmq && { rabbitmq: (seconds) => exchange(rabbitmq, pairs.rabbitmq, seconds) }),
    })
    await Promise.all(Object.values(pairs).map(closeAll))
    await Promise.all([carillon, raw, sio, rabbitmq].map((server) => server?.stop()))
    const cpu = rowOf('server CPU per message', 'µs', found, ({ microsPerMessage }) => microsPerMessage)
    return {
      rows: [
        cpu,
        rowOf('rate', 'messages/s', found, ({ perSecond }) => perSecond),
        rowOf('latency p50', 'ms', found, ({ p50 }) => p50),
        rowOf('latency p99', 'ms', found, ({ p99 }) => p99),
        rowOf('latency p99.9', 'ms', found, ({ p999 }) => p999),
        rowOf('server’s core busy', '%', found, ({ busy }) => 100 * busy),
      ],
      merits: [cpu],
      targets: [atMostTimes(1.25, 'raw', cpu), timesBetter(2, 'sio', cpu), timesBetter(10, 'rabbitmq', cpu)],
    }
  },
}
