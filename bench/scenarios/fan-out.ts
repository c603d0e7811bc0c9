/** Fan-out: one message to everybody who listens. The next is published when the last listener has heard this one. */

import { performance } from 'node:perf_hooks'
import { costOf, type Meter } from '../support/cpu.ts'
import { Peer } from '../support/peer.ts'
import {
  type Findings,
  inTurn,
  type Options,
  type Row,
  rowOf,
  type Scenario,
  type Target,
} from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay } from '../support/server.ts'
import { median } from '../support/stats.ts'
import { logIn, sendOf } from '../support/stomp.ts'
import { atMostTimes } from '../support/target.ts'

const TOPIC = '/topic/bench'
const SIZES = [1000, 5000]
const ROUNDS = 3
/** Logins at a time: more only wait in the backlog. */
const AT_ONCE = 50

const BODY = JSON.stringify({ news: 'x'.repeat(189) })

interface Audience {
  readonly publisher: Peer
  readonly listeners: readonly Peer[]
}

export const fanOut: Scenario = {
  name: 'fan-out',
  title: () => `one message of ${BODY.length} octets to all subscribers of an open topic, one under way`,
  async run(options) {
    const rows: Row[] = []
    const targets: Target[] = []
    for (const size of SIZES) {
      const found = await publishTo(size, options)
      rows.push(...found.rows)
      targets.push(...found.targets)
    }
    return { rows, targets }
  },
}

async function publishTo(size: number, { seconds, profile, progress }: Options): Promise<Findings> {
  const raw = await startRawRelay()
  const carillon = await startCarillon({ OPEN_DESTINATIONS: TOPIC }, profile)
  const audiences = { raw: await atRawRelay(raw, size), carillon: await atCarillon(carillon, size) }
  const found = await inTurn(
    ROUNDS,
    { seconds, progress: (text) => progress(`${size} subscribers, ${text}`) },
    {
      raw: (length) => publish(raw, audiences.raw, length),
      carillon: (length) => publish(carillon, audiences.carillon, length),
    },
  )
  const everybody = [audiences.raw, audiences.carillon].flatMap(({ publisher, listeners }) => [publisher, ...listeners])
  await Promise.all(everybody.map((peer) => peer.close()))
  await Promise.all([raw.stop(), carillon.stop()])
  const to = `${size.toLocaleString('en')} subscribers`
  const cpu = rowOf(`server CPU per delivery, ${to}`, 'µs', found, ({ microsPerDelivery }) => microsPerDelivery)
  return {
    rows: [
      cpu,
      rowOf(`rate, ${to}`, 'deliveries/s', found, ({ perSecond }) => perSecond),
      rowOf(`until the last has it, p50, ${to}`, 'ms', found, ({ p50 }) => p50),
    ],
    targets: [atMostTimes(1, 'raw', cpu)],
  }
}

async function atRawRelay({ url }: Measured, size: number): Promise<Audience> {
  const address = url.replace('http', 'ws')
  const listeners = await inBatches(size, () => Peer.open(`${address}/fan/in`))
  return { listeners, publisher: await Peer.open(`${address}/fan/out`) }
}

async function atCarillon({ url }: Measured, size: number): Promise<Audience> {
  const listeners = await inBatches(size, (n) => logIn(url, `listener-${n}`, { subscriptions: [TOPIC] }))
  return { listeners, publisher: await logIn(url, 'publisher', { subscriptions: [] }) }
}

async function inBatches(count: number, open: (n: number) => Promise<Peer>): Promise<Peer[]> {
  const peers: Peer[] = []
  while (peers.length < count) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - peers.length) }, (_, i) => open(peers.length + i))
    peers.push(...(await Promise.all(batch)))
  }
  return peers
}

async function publish(server: Meter, audience: Audience, seconds: number) {
  const { cpuMicros, spans, elapsed } = await costOf(server, () => rounds(audience, seconds))
  const deliveries = spans.length * audience.listeners.length
  return { microsPerDelivery: cpuMicros / deliveries, perSecond: deliveries / elapsed, p50: median(spans) }
}

/** `spans`: of each message, how long until the last listener had it, in milliseconds. */
function rounds({ publisher, listeners }: Audience, seconds: number): Promise<{ spans: number[]; elapsed: number }> {
  const message = sendOf(TOPIC, BODY)
  const tail = Buffer.from(`${BODY}\0`)
  const spans: number[] = []
  const begin = performance.now()
  const end = begin + seconds * 1000
  let sent = begin
  let missing = listeners.length
  return new Promise((resolve) => {
    const heard = (frame: Buffer): void => {
      if (!tail.equals(frame.subarray(-tail.length))) throw new Error(`not what was sent: ${frame.toString()}`)
      if (--missing > 0) return
      const now = performance.now()
      spans.push(now - sent)
      if (now >= end) {
        resolve({ spans, elapsed: (now - begin) / 1000 })
        return
      }
      missing = listeners.length
      sent = now
      publisher.send(message)
    }
    for (const listener of listeners) listener.onMessage = heard
    publisher.send(message)
  })
}
