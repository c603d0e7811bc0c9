/** Many who log in and then do nothing: what the logins cost, what the sessions occupy, what their heart-beats take. */

import { setTimeout as delay } from 'node:timers/promises'
import { costOf } from '../support/cpu.ts'
import { Peer, textMessage } from '../support/peer.ts'
import type { Scenario } from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay } from '../support/server.ts'
import { CALL_QUEUES, logIn, loginOf } from '../support/stomp.ts'
import { atLeast, atMost, timed } from '../support/target.ts'

const SESSIONS = 10_000
const WARM_UP = 1000
const AT_ONCE = 100
/** Who arrives early is silent until the last one is there, and a peer that is silent for two of these is dropped. */
const HEARTBEAT_MS = 20_000
const BEATS_EVERY_MS = 20
const WATCHED_S = 20
/** What was closed or sent is really gone then. */
const SETTLE_MS = 1000

type Open = (n: number) => Promise<Peer>

export const connect: Scenario = {
  name: 'connect',
  title: () =>
    `${SESSIONS.toLocaleString('en')} sessions with ${CALL_QUEUES.length} subscriptions, then heart-beats every ${HEARTBEAT_MS / 1000} s both ways`,
  async run({ profile, progress }) {
    const raw = await startRawRelay()
    progress(`${SESSIONS} raw connections`)
    const address = `${raw.url.replace('http', 'ws')}/fan/in`
    const connections = await arrive(raw, () => Peer.open(address))
    await Promise.all(connections.peers.map((peer) => peer.close()))
    await raw.stop()

    const carillon = await startCarillon(
      { HEARTBEAT_SEND_MS: String(HEARTBEAT_MS), HEARTBEAT_WANT_MS: String(HEARTBEAT_MS) },
      profile,
    )
    progress(`${SESSIONS} sessions`)
    const logins = Array.from({ length: SESSIONS }, (_, n) =>
      loginOf(`user-${n}`, { subscriptions: CALL_QUEUES, heartbeat: `${HEARTBEAT_MS},${HEARTBEAT_MS}` }),
    )
    const sessions = await arrive(carillon, (n) => logIn(carillon.url, logins[n]!))
    progress(`${WATCHED_S} s of heart-beats`)
    const { cpuMicros, beats } = await costOf(carillon, () => beat(sessions.peers, WATCHED_S))
    await Promise.all(sessions.peers.map((peer) => peer.close()))
    await carillon.stop()

    const row = (what: string, unit: string, field: keyof Connections) => ({
      what,
      unit,
      found: { raw: [connections[field]], carillon: [sessions[field]] },
    })
    const beside = (what: string, unit: string, value: number) => ({ what, unit, found: { carillon: [value] } })
    const cpu = row('server CPU per connect', 'µs', 'microsPerLogin')
    const rate = row('connects', 'per s', 'perSecond')
    const above = sessions.kibResident - connections.kibResident
    return {
      rows: [
        row('resident memory per connection', 'KiB', 'kibResident'),
        row('JavaScript heap per connection', 'KiB', 'kibHeap'),
        cpu,
        rate,
        row('server’s core busy meanwhile', '%', 'busy'),
        beside('CPU of all with heart-beats', '% of a core', cpuMicros / WATCHED_S / 1e4),
        beside('heart-beats that the server sent meanwhile', 'per session', beats / SESSIONS),
      ],
      merits: [cpu],
      targets: [
        atMost(25, beside('resident memory per connection above raw', 'KiB', above)),
        timed((row) => atLeast(2000, row), rate),
      ],
    }
  },
}

interface Connections {
  readonly kibResident: number
  readonly kibHeap: number
  readonly microsPerLogin: number
  readonly perSecond: number
  readonly busy: number
}

/** Some come and go first, so that code is compiled and pools are filled; then all come and stay. */
async function arrive(server: Measured, open: Open): Promise<Connections & { peers: Peer[] }> {
  const { peers: first } = await openMany(WARM_UP, open)
  await Promise.all(first.map((peer) => peer.close()))
  await delay(SETTLE_MS)
  const before = await server.usage({ collect: true })
  const { peers, elapsed, cpuMicros } = await costOf(server, () => openMany(SESSIONS, open))
  await delay(SETTLE_MS)
  const after = await server.usage({ collect: true })
  const kibEach = (octets: number) => octets / 1024 / SESSIONS
  return {
    peers,
    kibResident: kibEach(after.rss - before.rss),
    kibHeap: kibEach(after.heapUsed - before.heapUsed),
    microsPerLogin: cpuMicros / SESSIONS,
    perSecond: SESSIONS / elapsed,
    busy: (100 * cpuMicros) / 1e6 / elapsed,
  }
}

async function openMany(count: number, open: Open): Promise<{ peers: Peer[]; elapsed: number }> {
  const begin = performance.now()
  const peers: Peer[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) peers.push(await open(next++))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return { peers, elapsed: (performance.now() - begin) / 1000 }
}

/** Each peer beats once per interval, a few of them at a time; counts what the server sends meanwhile. */
async function beat(peers: readonly Peer[], seconds: number): Promise<{ beats: number }> {
  const heartbeat = textMessage('\n')
  let beats = 0
  for (const peer of peers) peer.onMessage = () => void beats++
  const begin = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - begin) * peers.length) / HEARTBEAT_MS
    while (sent < due) peers[sent++ % peers.length]?.send(heartbeat)
  }, BEATS_EVERY_MS)
  await delay(seconds * 1000)
  clearInterval(timer)
  return { beats }
}
