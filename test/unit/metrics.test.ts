import { describe, expect, test } from '@jest/globals'
import type { SessionView } from '../../broker/index.ts'
import { createMetrics, type MetricsSources } from '../../src/adapters/metrics/metrics.ts'
import type { Call } from '../../src/calls/types.ts'
import { Events } from '../../src/events.ts'
import type { RelayWorkerReport } from '../../src/ports.ts'

const LEG = { user: 'alice', token: 't', heardAt: 0 }

const CALLING: Call = {
  callId: 'c1',
  type: 'VIDEO',
  caller: 'alice',
  callee: 'bob',
  request: {},
  fingerprint: '',
  answer: {},
  origin: LEG,
  status: 'CALLING',
  rung: [],
  declined: [],
  kept: [],
  createdAt: 0,
  ringUntil: 30_000,
  due: 30_000,
  version: 1,
}

const sources: MetricsSources = {
  counts: () => ({ connections: 7, sessions: 5, users: 3, subscriptions: 20, buffered: 1234, away: 2, kept: 4096 }),
  relay: { state: () => 'down' },
}

function start(more: Partial<MetricsSources> = {}) {
  const metrics = createMetrics({ ...sources, ...more })
  const events = new Events((error) => {
    throw error
  })
  metrics.subscribe(events)
  /** The lines of one metric, without its name. */
  const lines = async (name: string) =>
    (await metrics.render())
      .split('\n')
      .filter((line) => new RegExp(`^${name}[{ ]`).test(line))
      .map((line) => line.slice(name.length).trim())
  return { metrics, events, lines }
}

describe('metrics', () => {
  test('show what the broker holds now', async () => {
    const { lines } = start()
    const shown = await Promise.all(
      ['connections', 'sessions', 'users', 'subscriptions', 'buffered_bytes'].map((name) => lines(`carillon_${name}`)),
    )
    expect(shown).toEqual([['7'], ['5'], ['3'], ['20'], ['1234']])
  })

  test('count frames by command, and sessions by version and transport', async () => {
    const { metrics, lines } = start()
    const session = { version: '1.2', peer: { transport: 'sockjs' } } as SessionView
    metrics.observer.connected(session)
    metrics.observer.disconnected(session, 'bye')
    metrics.observer.frameIn('SEND')
    metrics.observer.frameOut('MESSAGE', 1000)
    metrics.observer.frameOut('MESSAGE', 1)
    metrics.observer.expelled('slow-reader', 'alice is slow')
    metrics.observer.failed(new Error('x'), 'here')
    expect(await lines('carillon_sessions_connected_total')).toEqual(['{version="1.2",transport="sockjs"} 1'])
    expect(await lines('carillon_sessions_disconnected_total')).toEqual(['1'])
    expect(await lines('carillon_frames_in_total')).toEqual(['{command="SEND"} 1'])
    expect(await lines('carillon_frames_out_total')).toEqual(['{command="MESSAGE"} 1001'])
    expect(await lines('carillon_expelled_total')).toEqual(['{cause="slow-reader"} 1'])
    expect(await lines('carillon_faults_total')).toEqual(['1'])
  })

  test('count refusals of both faces by code', async () => {
    const { events, lines } = start()
    events.emit('refused', { code: 1001, face: 'stomp' })
    events.emit('refused', { code: 1001, face: 'stomp' })
    events.emit('refused', { code: 401, face: 'http' })
    expect(await lines('carillon_refusals_total')).toEqual([
      '{code="1001",face="stomp"} 2',
      '{code="401",face="http"} 1',
    ])
  })

  test('count who has met which bound', async () => {
    const { events, lines } = start()
    for (const limit of ['failed-connect', 'session', 'session', 'http'] as const) events.emit('limited', { limit })
    expect(await lines('carillon_limited_total')).toEqual([
      '{limit="failed-connect"} 1',
      '{limit="session"} 2',
      '{limit="http"} 1',
    ])
  })

  test('follow a call from its request to its end', async () => {
    const { events, lines } = start()
    const now = () => lines('carillon_calls')
    events.emit('call.requested', { call: CALLING })
    expect(await now()).toEqual(['{status="CALLING"} 1', '{status="RINGING"} 0', '{status="CONNECTED"} 0'])
    const ringing: Call = { ...CALLING, status: 'RINGING', ringingAt: 1000 }
    events.emit('call.ringing', { call: ringing })
    expect(await now()).toEqual(['{status="CALLING"} 0', '{status="RINGING"} 1', '{status="CONNECTED"} 0'])
    const connected: Call = { ...ringing, status: 'CONNECTED', connectedAt: 5000 }
    events.emit('call.connected', { call: connected })
    expect(await now()).toEqual(['{status="CALLING"} 0', '{status="RINGING"} 0', '{status="CONNECTED"} 1'])
    events.emit('call.ended', { call: { ...connected, status: 'COMPLETED', reason: 'HANGUP', endedAt: 65_000 } })
    expect(await now()).toEqual(['{status="CALLING"} 0', '{status="RINGING"} 0', '{status="CONNECTED"} 0'])
    expect(await lines('carillon_calls_ended_total')).toEqual(['{type="VIDEO",status="COMPLETED",reason="HANGUP"} 1'])
    expect(await lines('carillon_ring_seconds_sum')).toEqual(['{outcome="ANSWERED"} 4'])
    expect(await lines('carillon_ring_seconds_count')).toEqual(['{outcome="ANSWERED"} 1'])
    expect(await lines('carillon_call_seconds_sum')).toEqual(['{type="VIDEO"} 60'])
  })

  test('show the calls that several processes share as they are, whoever has decided what about them', async () => {
    const known: { status: Call['status'] }[] = [{ status: 'RINGING' }, { status: 'CONNECTED' }]
    const { events, lines } = start({ calls: () => known })
    events.emit('call.requested', { call: CALLING })
    expect(await lines('carillon_calls')).toEqual([
      '{status="CALLING"} 0',
      '{status="RINGING"} 1',
      '{status="CONNECTED"} 1',
    ])
    known.length = 0
    expect(await lines('carillon_calls')).toContain('{status="RINGING"} 0')
  })

  test('show how quickly Redis answers, and how often it was lost', async () => {
    const { metrics, lines } = start()
    const counts = {
      up: true,
      nodes: 2,
      devices: 3,
      skewMs: 1500,
      routes: { sent: 1, received: 2, forwarded: 3, lost: 4, lookups: 5 },
      handover: { fetched: 0, unparked: 0, given: 0, parked: 0, refused: 0, silent: 0 },
      bus: { waiting: 1, parcels: 2, dropped: 3, missing: 4 },
      calls: { atHand: 1, hits: 2, misses: 3, untold: 4 },
    }
    const observer = metrics.cluster('a-1', 'a', () => counts)
    observer.answered(0.003)
    observer.lost()
    expect(await lines('carillon_redis_seconds_sum')).toEqual(['0.003'])
    expect(await lines('carillon_redis_lost_total')).toEqual(['1'])
    expect(await lines('carillon_bus_dropped_total')).toEqual(['7'])
    expect(await lines('carillon_clock_skew_seconds')).toEqual(['1.5'])
  })

  test('tell how long it rang in vain, and count a busy call that never rang', async () => {
    const { events, lines } = start()
    const missed: Call = { ...CALLING, status: 'MISSED', reason: 'NO_ANSWER', ringingAt: 500, endedAt: 30_000 }
    events.emit('call.ended', { call: missed })
    events.emit('call.ended', { call: { ...CALLING, callId: 'c2', status: 'REJECTED', reason: 'BUSY', endedAt: 0 } })
    expect(await lines('carillon_ring_seconds_sum')).toEqual(['{outcome="MISSED"} 29.5'])
    expect(await lines('carillon_call_seconds_count')).toEqual([])
    expect(await lines('carillon_calls_ended_total')).toHaveLength(2)
  })

  test('show how each process of the relay is doing, its totals starting again with it', async () => {
    const up: RelayWorkerReport = {
      state: 'up',
      restarts: 1,
      allocations: 3,
      allocationsBy: { udp: 2, tcp: 1, tls: 0 },
      allocationsMade: 9,
      packets: 100,
      bytes: 9000,
      dropped: 1,
      refused: { 401: 5, 486: 1, 'made up': 1 },
      certificateEnds: Date.UTC(2027, 0, 1) + 999,
    }
    const { certificateEnds: _, ...down } = { ...up, state: 'down' as const }
    let reports: readonly RelayWorkerReport[] = [up, down]
    const { lines } = start({ relay: { state: () => 'up', workers: () => reports } })
    const shown = (name: string) => lines(`carillon_relay_${name}`)
    expect(await shown('state')).toEqual(expect.arrayContaining(['{state="up"} 1', '{state="down"} 0']))
    expect(await shown('worker_up')).toEqual(['{worker="0"} 1', '{worker="1"} 0'])
    expect(await shown('restarts_total')).toEqual(['{worker="0"} 1', '{worker="1"} 1'])
    expect((await shown('allocations')).slice(0, 3)).toEqual([
      '{worker="0",transport="udp"} 2',
      '{worker="0",transport="tcp"} 1',
      '{worker="0",transport="tls"} 0',
    ])
    expect((await shown('refused_total')).slice(0, 2)).toEqual([
      '{worker="0",code="401"} 5',
      '{worker="0",code="486"} 1',
    ])
    expect(await shown('refused_total')).toHaveLength(4)
    expect(await shown('certificate_end_seconds')).toEqual([`{worker="0"} ${Date.UTC(2027, 0, 1) / 1000}`])
    expect(await shown('packets_total')).toEqual(['{worker="0"} 100', '{worker="1"} 100'])
    reports = [{ ...up, packets: 3 }]
    expect(await shown('packets_total')).toEqual(['{worker="0"} 3'])
  })

  test('say nothing of a relay that is not ours', async () => {
    const { metrics } = start()
    expect(await metrics.render()).not.toContain('carillon_relay_packets')
  })

  test('count HTTP requests by route; methods that somebody made up are one', async () => {
    const { metrics, lines } = start()
    metrics.served({ route: '/imserver/call/request', method: 'POST', status: 200, seconds: 0.003 })
    metrics.served({ route: 'unknown', method: 'PROPFIND', status: 404, seconds: 0 })
    expect(await lines('carillon_http_requests_total')).toEqual([
      '{route="/imserver/call/request",method="POST",status="200"} 1',
      '{route="unknown",method="other",status="404"} 1',
    ])
    expect(await lines('carillon_http_request_seconds_count')).toContain('{route="/imserver/call/request"} 1')
  })

  test('include the delay of the event loop', async () => {
    expect(await start().lines('nodejs_eventloop_lag_p99_seconds')).toHaveLength(1)
  })

  test('of two servers in one process do not mix', async () => {
    const [one, two] = [start(), start()]
    one.metrics.observer.frameIn('SEND')
    expect(await two.lines('carillon_frames_in_total')).toEqual([])
  })
})
