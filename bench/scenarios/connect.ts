/** Sessions that do nothing: what their logins cost, what they occupy, and what their heart-beats take. */

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { costOf } from '../support/cpu.ts'
import { Peer, textMessage } from '../support/peer.ts'
import type { Scenario } from '../support/scenario.ts'
import { type Measured, startCarillon, startRawRelay } from '../support/server.ts'
import { CALL_QUEUES, logIn } from '../support/stomp.ts'
import { atLeast, atMost } from '../support/target.ts'

const SESSIONS = 2000
const WARM_UP = 200
const AT_ONCE = 50
const HEARTBEAT_MS = 10_000
const BEATS_EVERY_MS = 100
const WATCHED_S = 15
/** What was closed or sent is really gone then. */
const SETTLE_MS = 1000

type Open = (n: number) => Promise<Peer>

export const connect: Scenario = {
  name: 'connect',
  title: () => `${SESSIONS} sessions with ${CALL_QUEUES.length} subscriptions, heart-beats every 10 s both ways`,
  async run({ profile, progress }) {
    const raw = await startRawRelay()
    progress(`${SESSIONS} raw connections`)
    const address = raw.url.replace('http', 'ws')
    const connections = await arrive(raw, () => Peer.open(`${address}/fan/in`))
    await Promise.all(connections.peers.map((peer) => peer.close()))
    await raw.stop()

    const carillon = await startCarillon(
      { HEARTBEAT_SEND_MS: String(HEARTBEAT_MS), HEARTBEAT_WANT_MS: String(HEARTBEAT_MS) },
      profile,
    )
    progress(`${SESSIONS} sessions`)
    const login = { subscriptions: CALL_QUEUES, heartbeat: `${HEARTBEAT_MS},${HEARTBEAT_MS}` }
    const sessions = await arrive(carillon, (n) => logIn(carillon.url, `user-${n}`, login))
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
    return {
      rows: [
        row('memory per session, resident', 'KiB', 'kibResident'),
        row('memory per session, JavaScript heap', 'KiB', 'kibHeap'),
        row('server CPU per login', 'µs', 'microsPerLogin'),
        row('logins', 'per s', 'perSecond'),
        beside(`CPU of all ${SESSIONS} with heart-beats`, '% of a core', cpuMicros / WATCHED_S / 1e4),
        beside('heart-beats heard by a client in that time', 'per session', beats / SESSIONS),
      ],
      targets: [
        atMost(
          25,
          beside('resident memory per session above raw', 'KiB', sessions.kibResident - connections.kibResident),
        ),
        atLeast(2000, row('logins', 'per s', 'perSecond')),
      ],
    }
  },
}

interface Connections {
  readonly kibResident: number
  readonly kibHeap: number
  readonly microsPerLogin: number
  readonly perSecond: number
}

async function arrive(server: Measured, open: Open): Promise<Connections & { peers: Peer[] }> {
  const first = await openMany(WARM_UP, open)
  await Promise.all(first.map((peer) => peer.close()))
  await delay(SETTLE_MS)
  const before = await server.usage({ collect: true })
  const begin = performance.now()
  const { peers, cpuMicros } = await costOf(server, async () => ({ peers: await openMany(SESSIONS, open) }))
  const elapsed = (performance.now() - begin) / 1000
  await delay(SETTLE_MS)
  const after = await server.usage({ collect: true })
  const kibEach = (octets: number) => octets / 1024 / SESSIONS
  return {
    peers,
    kibResident: kibEach(after.rss - before.rss),
    kibHeap: kibEach(after.heapUsed - before.heapUsed),
    microsPerLogin: cpuMicros / SESSIONS,
    perSecond: SESSIONS / elapsed,
  }
}

async function openMany(count: number, open: Open): Promise<Peer[]> {
  const peers: Peer[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) peers.push(await open(next++))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return peers
}

/** Each peer beats once per interval, a few of them at a time; counts what the server sends meanwhile. */
async function beat(peers: readonly Peer[], seconds: number): Promise<{ beats: number }> {
  const heartbeat = textMessage('\n')
  let beats = 0
  for (const peer of peers) peer.onMessage = () => void beats++
  const atOnce = Math.ceil((peers.length * BEATS_EVERY_MS) / HEARTBEAT_MS)
  let next = 0
  const timer = setInterval(() => {
    for (let i = 0; i < atOnce; i++) peers[next++ % peers.length]!.send(heartbeat)
  }, BEATS_EVERY_MS)
  await delay(seconds * 1000)
  clearInterval(timer)
  return { beats }
}
