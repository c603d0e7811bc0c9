/**
 * One reader who stops reading while much is sent to it: what that adds to the server's memory, and what others feel of
 * it. In turn with the same load for a reader who reads.
 */

import { performance } from 'node:perf_hooks'
import type { Pair } from '../support/exchange.ts'
import { closeAll, connectedCalls, rawPairs } from '../support/pairs.ts'
import { Peer } from '../support/peer.ts'
import type { Scenario } from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay } from '../support/server.ts'
import { percentile } from '../support/stats.ts'
import { logIn, loginOf, sendOf } from '../support/stomp.ts'
import { atMost } from '../support/target.ts'

const TOPIC = '/topic/flood'
const MEBIBYTE = 1024 * 1024
const OCTETS = 50_000_000
const BODY_OCTETS = 16_000
const FLOOD_S = 4
const OTHERS = 50
const OTHERS_PER_SECOND = 1000
const ROUNDS = 4

/** LIMIT_BUFFERED_BYTES is half a MiB; the rest is for V8, whose resident set comes and goes by pages and pools. */
const MOST_ADDED_MIB = 4
const SAMPLE_EVERY_MS = 20
/** After the collection of garbage before a round V8 is busy with itself for a moment: that is not counted. */
const SETTLE_MS = 500

interface Flood {
  readonly writer: Peer
  readonly reader: Peer
}

/** One who writes, another who reads, on the same server as the pairs. */
type Dig = () => Promise<Flood>

export const slow: Scenario = {
  name: 'slow',
  title: () =>
    `${OCTETS / 1e6} MB in ${FLOOD_S} s to one who has stopped reading, while ${OTHERS} pairs exchange ${OTHERS_PER_SECOND} messages/s`,
  async run({ profile, progress }) {
    const carillon = await startCarillon({ OPEN_DESTINATIONS: TOPIC }, profile)
    const raw = await startRawRelay()
    const pairs = { carillon: await connectedCalls(carillon.url, OTHERS), raw: await rawPairs(raw.url, OTHERS) }
    const found = {
      carillon: await floods(
        carillon,
        pairs.carillon,
        () => atCarillon(carillon),
        (text) => progress(text),
      ),
      raw: await floods(
        raw,
        pairs.raw,
        () => atRawRelay(raw),
        (text) => progress(`raw, ${text}`),
      ),
    }
    await Promise.all(Object.values(pairs).map(closeAll))
    await Promise.all([carillon.stop(), raw.stop()])
    const row = (what: string, unit: string, value: (rounds: Rounds) => readonly number[]) => ({
      what,
      unit,
      found: { carillon: value(found.carillon), raw: value(found.raw) },
    })
    const peak = (rounds: readonly Round[]) => rounds.map(({ grown }) => grown / MEBIBYTE)
    const growth = row('peak of resident memory, reader stopped', 'MiB above the beginning', ({ stopped }) =>
      peak(stopped),
    )
    const usual = row('peak of resident memory, reader reads', 'MiB above the beginning', ({ reading }) =>
      peak(reading),
    )
    // The largest of the rounds: what was once taken from the operating system is not given back at once
    const added = row('what the stopped reader adds', 'MiB', ({ stopped, reading }) => [
      Math.max(0, Math.max(...peak(stopped)) - Math.max(...peak(reading))),
    ])
    const p99 = row('p99 of the others, reader stopped', 'ms', ({ stopped }) => quantiles(stopped, 0.99))
    const noise = Math.max(...quantiles(found.carillon.reading, 0.99))
    return {
      rows: [
        growth,
        usual,
        added,
        p99,
        row('p99 of the others, reader reads', 'ms', ({ reading }) => quantiles(reading, 0.99)),
        row('p50 of the others, reader stopped', 'ms', ({ stopped }) => quantiles(stopped, 0.5)),
        row('p50 of the others, reader reads', 'ms', ({ reading }) => quantiles(reading, 0.5)),
      ],
      merits: [],
      targets: [
        atMost(MOST_ADDED_MIB, added, 'resident memory that the stopped reader adds'),
        atMost(noise, p99, 'p99 of the others (limit: reader reads)'),
      ],
    }
  },
}

interface Round {
  readonly latencies: readonly number[]
  /** The highest resident set during the round, above the one before it, in octets. */
  readonly grown: number
}

interface Rounds {
  readonly reading: readonly Round[]
  readonly stopped: readonly Round[]
}

const quantiles = (rounds: readonly Round[], share: number) =>
  rounds.map(({ latencies }) => percentile(latencies, share))

async function floods(
  server: Measured,
  pairs: readonly Pair[],
  dig: Dig,
  progress: (text: string) => void,
): Promise<Rounds> {
  const reading: Round[] = []
  const stopped: Round[] = []
  progress('warming up')
  await flood(server, pairs, await dig())
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`round ${round} of ${ROUNDS}`)
    const { writer, reader } = await dig()
    reader.stopReading()
    stopped.push(await flood(server, pairs, { writer, reader }))
    reading.push(await flood(server, pairs, await dig()))
  }
  return { reading, stopped }
}

async function flood(server: Measured, pairs: readonly Pair[], { writer, reader }: Flood): Promise<Round> {
  const before = await server.usage({ collect: true })
  const message = sendOf(TOPIC, 'x'.repeat(BODY_OCTETS))
  let highest = before.rss
  const sample = async () => {
    highest = Math.max(highest, (await server.usage()).rss)
  }
  const sampler = setInterval(() => void sample(), SAMPLE_EVERY_MS)
  const [latencies] = await Promise.all([
    talk(pairs),
    onSchedule(OCTETS / BODY_OCTETS / FLOOD_S, FLOOD_S, () => writer.send(message)),
  ])
  clearInterval(sampler)
  const after = await server.usage()
  reader.abandon()
  await writer.close()
  return { latencies, grown: Math.max(highest, after.rss) - before.rss }
}

/** The first of each pair speaks when it is due. Fulfilled with the milliseconds from then until the other hears. */
function talk(pairs: readonly Pair[]): Promise<number[]> {
  const latencies: number[] = []
  const begin = performance.now()
  let missing = OTHERS_PER_SECOND * FLOOD_S
  const due: number[][] = pairs.map(() => [])
  let next = 0
  return new Promise((resolve, reject) => {
    pairs.forEach(([, { peer }], i) => {
      peer.onMessage = () => {
        const scheduled = due[i]!.shift()!
        if (scheduled - begin > SETTLE_MS) latencies.push(performance.now() - scheduled)
        if (--missing === 0) resolve(latencies)
      }
    })
    onSchedule(OTHERS_PER_SECOND, FLOOD_S, (scheduled) => {
      const i = next++ % pairs.length
      due[i]!.push(scheduled)
      pairs[i]![0].peer.send(pairs[i]![0].says)
    }).catch(reject)
  })
}

/** So many times per second, each told when it was due. */
function onSchedule(perSecond: number, seconds: number, act: (scheduled: number) => void): Promise<void> {
  const begin = performance.now()
  const wanted = Math.floor(perSecond * seconds)
  let done = 0
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(wanted, ((performance.now() - begin) * perSecond) / 1000)
      while (done < due) act(begin + (done++ * 1000) / perSecond)
      if (done < wanted) return
      clearInterval(timer)
      resolve()
    }, 1)
  })
}

let floodsDug = 0

async function atCarillon({ url }: Measured): Promise<Flood> {
  const n = ++floodsDug
  const reader = await logIn(url, loginOf(`reader-${n}`, { subscriptions: [TOPIC] }))
  return { reader, writer: await logIn(url, loginOf(`writer-${n}`, { subscriptions: [] })) }
}

async function atRawRelay({ url }: Measured): Promise<Flood> {
  const address = `${url.replace('http', 'ws')}/pair/flood-${++floodsDug}`
  return { reader: await Peer.open(address), writer: await Peer.open(address) }
}
