/** Signalling between the bound devices of established calls: what a call broker does all day. */

import type { OtherBroker } from '../support/brokers.ts'
import { exchange, type Pair } from '../support/exchange.ts'
import { closeAll, connectedCalls, otherPairs, rawPairs, socketIoPairs } from '../support/pairs.ts'
import { inTurn, rowOf, type Scenario } from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay, startSocketIo } from '../support/server.ts'
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
    const others: { name: OtherBroker; server: Measured; pairs: Pair[] }[] = []
    for (const { name, start } of options.others) {
      options.progress(`starting ${name}`)
      const server = await start()
      others.push({ name, server, pairs: await otherPairs(server.url, count) })
    }
    options.progress(`${count} calls`)
    const pairs = {
      carillon: await connectedCalls(carillon.url, count),
      raw: await rawPairs(raw.url, count),
      sio: await socketIoPairs(sio.url, count),
    }
    const found = await inTurn(ROUNDS, options, {
      carillon: (seconds) => exchange(carillon, pairs.carillon, seconds),
      raw: (seconds) => exchange(raw, pairs.raw, seconds),
      sio: (seconds) => exchange(sio, pairs.sio, seconds),
      ...Object.fromEntries(
        others.map(({ name, server, pairs: theirs }) => [name, (seconds: number) => exchange(server, theirs, seconds)]),
      ),
    })
    await Promise.all([...Object.values(pairs), ...others.map(({ pairs: theirs }) => theirs)].map(closeAll))
    await Promise.all([carillon, raw, sio, ...others.map(({ server }) => server)].map((server) => server.stop()))
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
