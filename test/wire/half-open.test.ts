/**
 * Peers that vanish without a word: the network keeps their connection open on our side, and nothing ever comes from
 * it. Real sockets whose client end is not read any more, and a clock in the hand.
 */

import { randomUUID } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { settled, TestClock } from '../support/clock.ts'
import { frame } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let clock: TestClock
let server: TestServer

beforeEach(async () => {
  clock = new TestClock()
  server = await testServer({ clock, heartbeat: { sends: 10_000, wants: 10_000 } })
})

afterEach(async () => {
  const stopped = server.stop()
  await clock.advance(1000)
  await stopped
})

interface Vanishing {
  /** From here on nothing is read, and nothing answered. */
  vanishes(): void
  /** Lets go of what the test holds. */
  ends(): void
}

/** Logs in as alice, promising these heart-beats. */
type Arrival = (heartbeat: string) => Promise<Vanishing>

const connect = (heartbeat: string) =>
  frame('CONNECT', { 'accept-version': '1.2', host: 'test', ide: 'alice', 'heart-beat': heartbeat })

async function overWebSocket(url: string, words: string): Promise<Vanishing> {
  const ws = new WebSocket(url)
  ws.on('error', () => undefined)
  await new Promise((resolve) => ws.once('open', resolve))
  ws.send(words)
  await arrived()
  return { vanishes: () => ws.pause(), ends: () => ws.terminate() }
}

async function arrived(): Promise<void> {
  while (!server.broker.online('alice')) await settled()
}

const arrivals: Readonly<Record<string, Arrival>> = {
  websocket: (heartbeat) => overWebSocket(server.url, connect(heartbeat)),
  'sockjs-websocket': (heartbeat) =>
    overWebSocket(`${server.url}/000/${randomUUID()}/websocket`, JSON.stringify([connect(heartbeat)])),
  'xhr-streaming': async (heartbeat) => {
    const session = `http://127.0.0.1:${server.port}/imserver/ws/000/${randomUUID()}`
    const response = await new Promise<IncomingMessage>((resolve) => {
      request(`${session}/xhr_streaming`, { method: 'POST', agent: false }, resolve).end()
    })
    response.on('error', () => undefined).resume()
    await fetch(`${session}/xhr_send`, { method: 'POST', body: JSON.stringify([connect(heartbeat)]) })
    await arrived()
    return { vanishes: () => response.socket.pause(), ends: () => response.destroy() }
  },
}

const expelled = () => server.news.filter((news) => news.startsWith('disconnected alice') || /heart-beat/.test(news))

describe.each(Object.keys(arrivals))('over %s', (transport) => {
  const arrive: Arrival = (heartbeat) => (arrivals[transport] as Arrival)(heartbeat)

  test('a peer that promised heart-beats and vanishes is noticed within two intervals', async () => {
    const peer = await arrive('10000,10000')
    peer.vanishes()
    await clock.advance(14_000)
    expect(server.broker.online('alice')).toBe(true)
    await clock.advance(6_000)
    expect(expelled()).toEqual([
      expect.stringMatching(/^expelled heart-beat: no sign of life for \d+ ms$/),
      expect.stringMatching(/^disconnected alice: no sign of life/),
    ])
    peer.ends()
  })

  test('a peer that promised none and vanishes is asked for a sign of life, and noticed', async () => {
    const peer = await arrive('0,0')
    peer.vanishes()
    await clock.advance(29_000)
    expect(server.broker.online('alice')).toBe(true)
    await clock.advance(40_000)
    expect(server.broker.online('alice')).toBe(false)
    peer.ends()
  })

  test('what is left of its connection is cut soon after, and nothing of it remains', async () => {
    const peer = await arrive('10000,10000')
    peer.vanishes()
    await clock.advance(20_000)
    await clock.advance(6_000)
    expect(server.broker.counts()).toMatchObject({ connections: 0, sessions: 0, users: 0, buffered: 0 })
    peer.ends()
  })
})

test.each(['websocket', 'sockjs-websocket'])('%s: a peer that promised none and answers stays', async (transport) => {
  const peer = await (arrivals[transport] as Arrival)('0,0')
  await clock.advance(600_000)
  expect(server.broker.online('alice')).toBe(true)
  peer.ends()
})
