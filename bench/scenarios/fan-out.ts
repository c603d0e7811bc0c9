/** Fan-out: one message to everybody who listens. The next is published when the last listener has heard this one. */

import { performance } from 'node:perf_hooks'
import { costOf, type Meter } from '../support/cpu.ts'
import { inBatches } from '../support/pairs.ts'
import { Peer, textMessage } from '../support/peer.ts'
import {
  type Findings,
  inTurn,
  type Options,
  type Row,
  rowOf,
  type Scenario,
  type Target,
} from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay, startSocketIo } from '../support/server.ts'
import { eventOf, openSocketIo } from '../support/socket-io.ts'
import { percentile } from '../support/stats.ts'
import { logIn, loginOf, sendOf } from '../support/stomp.ts'
import { atMostTimes } from '../support/target.ts'

const TOPIC = '/topic/bench'
const SIZES = [1000, 5000]
const ROUNDS = 7

const BODY = JSON.stringify({ news: 'x'.repeat(189) })

interface Audience {
  readonly publisher: Peer
  readonly listeners: readonly Peer[]
  /** What the publisher sends, ready made. */
  readonly says: Buffer
  /** How everything that a listener hears must end. */
  readonly hears: Buffer
}

export const fanOut: Scenario = {
  name: 'fan-out',
  title: () => `one message of ${BODY.length} octets to all subscribers of an open topic, one under way`,
  async run(options) {
    const rows: Row[] = []
    const merits: Row[] = []
    const targets: Target[] = []
    for (const size of SIZES) {
      const found = await publishTo(size, options)
      rows.push(...found.rows)
      merits.push(...found.merits)
      targets.push(...found.targets)
    }
    return { rows, merits, targets }
  },
}

async function publishTo(size: number, { seconds, profile, progress }: Options): Promise<Findings> {
  const to = `${size.toLocaleString('en')} subscribers`
  progress(to)
  const carillon = await startCarillon({ OPEN_DESTINATIONS: TOPIC }, profile)
  const raw = await startRawRelay()
  const sio = await startSocketIo()
  const audiences = {
    carillon: await atCarillon(carillon, size),
    raw: await atRawRelay(raw, size),
    sio: await atSocketIo(sio, size),
  }
  const found = await inTurn(
    ROUNDS,
    { seconds, progress: (text) => progress(`${to}, ${text}`) },
    {
      carillon: (length) => publish(carillon, audiences.carillon, length),
      raw: (length) => publish(raw, audiences.raw, length),
      sio: (length) => publish(sio, audiences.sio, length),
    },
  )
  const everybody = Object.values(audiences).flatMap(({ publisher, listeners }) => [publisher, ...listeners])
  await Promise.all(everybody.map((peer) => peer.close()))
  await Promise.all([carillon, raw, sio].map((server) => server.stop()))
  const cpu = rowOf(`server CPU per delivery, ${to}`, 'µs', found, ({ microsPerDelivery }) => microsPerDelivery)
  const untilAllHaveIt = (what: string, share: number) =>
    rowOf(`until the last has it, ${what}`, 'ms', found, ({ spans }) => percentile(spans, share))
  return {
    rows: [
      cpu,
      rowOf('rate', 'deliveries/s', found, ({ perSecond }) => perSecond),
      untilAllHaveIt('p50', 0.5),
      untilAllHaveIt('p99', 0.99),
      rowOf('server’s core busy', '%', found, ({ busy }) => 100 * busy),
    ],
    merits: [cpu],
    targets: [atMostTimes(1, 'raw', cpu)],
  }
}

async function atRawRelay({ url }: Measured, size: number): Promise<Audience> {
  const address = url.replace('http', 'ws')
  const listeners = await inBatches(size, () => Peer.open(`${address}/fan/in`))
  const publisher = await Peer.open(`${address}/fan/out`)
  return { listeners, publisher, says: sendOf(TOPIC, BODY), hears: Buffer.from(`${BODY}\0`) }
}

async function atCarillon({ url }: Measured, size: number): Promise<Audience> {
  const listeners = await inBatches(size, (n) => logIn(url, loginOf(`listener-${n}`, { subscriptions: [TOPIC] })))
  const publisher = await logIn(url, loginOf('publisher', { subscriptions: [] }))
  return { listeners, publisher, says: sendOf(TOPIC, BODY), hears: Buffer.from(`${BODY}\0`) }
}

async function atSocketIo({ url }: Measured, size: number): Promise<Audience> {
  const listeners = await inBatches(size, async () => {
    const { peer } = await openSocketIo(url)
    peer.send(textMessage(eventOf('listen')))
    return peer
  })
  const { peer: publisher } = await openSocketIo(url)
  const says = textMessage(eventOf('publish', BODY))
  return { listeners, publisher, says, hears: Buffer.from(eventOf('published', BODY)) }
}

interface Round {
  readonly microsPerDelivery: number
  readonly perSecond: number
  readonly busy: number
  /** Of each message, how long until the last listener had it, in milliseconds. */
  readonly spans: readonly number[]
}

async function publish(server: Meter, audience: Audience, seconds: number): Promise<Round> {
  const { cpuMicros, spans, elapsed } = await costOf(server, () => publishAgainAndAgain(audience, seconds))
  const deliveries = spans.length * audience.listeners.length
  return {
    microsPerDelivery: cpuMicros / deliveries,
    perSecond: deliveries / elapsed,
    busy: cpuMicros / elapsed / 1e6,
    spans,
  }
}

function publishAgainAndAgain(
  { publisher, listeners, says, hears }: Audience,
  seconds: number,
): Promise<{ spans: number[]; elapsed: number }> {
  const spans: number[] = []
  const begin = performance.now()
  const end = begin + seconds * 1000
  let sent = begin
  let missing = listeners.length
  return new Promise((resolve) => {
    const heard = (frame: Buffer): void => {
      if (frame.compare(hears, 0, hears.length, frame.length - hears.length) !== 0) {
        throw new Error(`not what was sent: ${frame.toString()}`)
      }
      if (--missing > 0) return
      const now = performance.now()
      spans.push(now - sent)
      if (now >= end) {
        resolve({ spans, elapsed: (now - begin) / 1000 })
        return
      }
      missing = listeners.length
      sent = now
      publisher.send(says)
    }
    for (const listener of listeners) listener.onMessage = heard
    publisher.send(says)
  })
}
