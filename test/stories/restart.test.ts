/** The server stops: what becomes of those who ring, who talk, who come just then; and what the next server says. */

import { afterEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { opens, TRANSPORTS, tokenFor, type World } from '../support/story.ts'

const worlds: World[] = []

async function world(): Promise<World> {
  const opened = await opens()
  worlds.push(opened)
  return opened
}

/** Peers that do not read, and so do not notice that they are cut. */
const stuckPeers: WebSocket[] = []

afterEach(async () => {
  for (const peer of stuckPeers.splice(0)) peer.terminate()
  await Promise.all(worlds.splice(0).map((each) => each.closes()))
})

describe.each(TRANSPORTS)('over %s', (transport) => {
  test('what rings is ended, those who talk are told, and all are closed with 1012', async () => {
    const { arrives, server, closes } = await world()
    const [alice, bob, carol, dave] = await Promise.all(
      ['alice', 'bob', 'carol', 'dave'].map((user) => arrives(user, 'phone', { transport })),
    )
    if (!alice || !bob || !carol || !dave) throw new Error('nobody came')
    const talk = await alice.requests('bob')
    await bob.accepts(talk)
    const ring = await carol.requests('dave')
    for (const device of [alice, bob, carol, dave]) await device.forgets()

    const stopped = server.stop()
    for (const device of [alice, bob]) {
      const { body } = await device.hears('/user/queue/errors', { code: 503, callId: talk, retryAfter: 5 })
      expect(body).toMatchObject({ message: expect.stringMatching(/it goes on between you/) })
    }
    for (const device of [carol, dave]) await device.hears('/user/queue/call/hangup', { callId: ring, reason: 'ADMIN' })
    const devices = [alice, bob, carol, dave]
    const codes = devices.map(async (device) => (await device.isCut()).code)
    expect(await Promise.all(codes)).toEqual([1012, 1012, 1012, 1012])
    for (const device of devices) expect(device.unexpected).toEqual([])
    await closes()
    await stopped
  })
})

test('a device that comes back to the next server is told which call is not known there, and can call again', async () => {
  const first = await world()
  const alice = await first.arrives('alice')
  const bob = await first.arrives('bob')
  const call = await alice.requests('bob')
  await bob.accepts(call)
  await first.closes()

  const { arrives } = await world()
  const again = await arrives('alice', 'phone', { token: alice.token })
  const peer = await arrives('bob', 'phone', { token: bob.token })
  const unknown = { code: 404, callId: call, message: expect.stringMatching(/^callId: no such call.*restarted/) }
  await again.signals(call, 'OFFER', 'to repair it')
  await again.hears('/user/queue/errors', unknown)
  await again.hangsUp(call)
  await again.hears('/user/queue/errors', unknown)
  await again.hangsUp()
  await again.hearsNothing()
  const next = await again.requests('bob')
  await peer.hears('/user/queue/call/request', { callId: next })
})

describe('while it stops, for a peer that does not read holds it up', () => {
  async function stopping() {
    const { url, server, clock, arrives } = await world()
    await arrives('alice')
    const stuck = new WebSocket(`${url.replace('http', 'ws')}/imserver/ws`)
    await new Promise((resolve) => stuck.once('open', resolve))
    stuck.pause()
    stuckPeers.push(stuck)
    const stopped = server.stop()
    return { url, clock, stopped }
  }

  test('nobody new comes in: 503 and Retry-After over WebSocket, SockJS and HTTP, and not ready', async () => {
    const { url, clock, stopped } = await stopping()
    const refused = await new Promise<[number | undefined, string | undefined]>((resolve) => {
      new WebSocket(`${url.replace('http', 'ws')}/imserver/ws`).once('unexpected-response', (_request, response) => {
        response.resume()
        resolve([response.statusCode, response.headers['retry-after']])
      })
    })
    const ask = async (path: string, method = 'GET') => {
      const answer = await fetch(url + path, { method, headers: { ide: await tokenFor('bob') } })
      return [answer.status, answer.headers.get('retry-after')]
    }
    expect({
      websocket: refused,
      info: await ask('/imserver/ws/info'),
      polling: await ask('/imserver/ws/000/a-new-session/xhr', 'POST'),
      http: await ask('/imserver/call/hangup', 'POST'),
      ready: (await ask('/readyz'))[0],
      live: (await ask('/livez'))[0],
    }).toEqual({
      websocket: [503, '5'],
      info: [503, '5'],
      polling: [503, '5'],
      http: [503, '2'],
      ready: 503,
      live: 200,
    })
    await clock.advance(11_000)
    await stopped
  })

  test('it is cut after a while, and the server is done', async () => {
    const { clock, stopped } = await stopping()
    let done = false
    void stopped.then(() => {
      done = true
    })
    await clock.advance(4_900)
    expect(done).toBe(false)
    await clock.advance(5_200)
    await stopped
  })
})
