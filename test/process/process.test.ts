/** The process as an operator meets it: starting, refusing to start, stopping. */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { ServerProcess } from '../support/process.ts'
import { SECRET, tokenFor } from '../support/story.ts'

const running: ServerProcess[] = []

function starts(env: Record<string, string> = {}): ServerProcess {
  const server = new ServerProcess(env)
  running.push(server)
  return server
}

const keyed = { HOST: '127.0.0.1', AUTH_JWT_SECRET: SECRET, TURN_ENABLED: 'false' }

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.ends()))
})

async function connects(url: string, user: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/imserver/ws`)
  await once(socket, 'open')
  socket.send(`CONNECT\naccept-version:1.2\nhost:x\nide:${await tokenFor(user)}\n\n\0`)
  const [frame] = (await once(socket, 'message')) as [Buffer]
  expect(frame.toString()).toMatch(/^CONNECTED\n/)
  return socket
}

test('a Redis that cannot be reached is waited for: the process goes on', async () => {
  let asked = 0
  const refuses = createServer((socket) => {
    asked++
    socket.destroy()
  })
  await once(refuses.listen(0, '127.0.0.1'), 'listening')
  refuses.unref()
  const { port } = refuses.address() as AddressInfo
  const server = starts({ ...keyed, REDIS_URL: `redis://127.0.0.1:${port}` })
  const again = (async () => {
    while (asked < 3) await once(refuses, 'connection')
    return 'it asks again'
  })()
  expect(await Promise.race([again, server.exited])).toBe('it asks again')
  await server.ends()
  refuses.close()
})

describe('without a key', () => {
  test('it says in plain words that it is a demo, on 127.0.0.1, and gives tokens to anybody', async () => {
    const server = starts()
    const url = await server.url()
    await server.says(/DEMO MODE: no key is configured/)
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const answer = await fetch(`${url}/demo/token`, { method: 'POST', body: '{"userId":"alice"}' })
    const { data } = (await answer.json()) as { data: { token: string } }
    const turn = await fetch(`${url}/imserver/turn/get-turn-credentials`, { headers: { ide: data.token } })
    expect(await turn.json()).toMatchObject({
      data: {
        iceServers: [
          { url: expect.stringMatching(/^stun:127\.0\.0\.1:/) },
          { url: expect.stringMatching(/^turn:127.*udp$/) },
          { url: expect.stringMatching(/^turn:127.*tcp$/) },
        ],
      },
    })
    expect(server.output).not.toContain(data.token)
  }, 20_000)

  test('it refuses to start in production and says what to set', async () => {
    const server = starts({ NODE_ENV: 'production' })
    expect(await server.exited).toBe(78)
    expect(server.output).toMatch(/set AUTH_JWT_SECRET, AUTH_PUBLIC_KEY or AUTH_JWKS_URL/)
  })
})

describe('with a key', () => {
  test('there is no demo token', async () => {
    const url = await starts(keyed).url()
    expect((await fetch(`${url}/demo/token`, { method: 'POST', body: '{"userId":"a"}' })).status).toBe(404)
  })

  test('every wrong variable is named in one message', async () => {
    const server = starts({ ...keyed, PORT: 'http', RING_TIMEOUT_MS: '-1', PRESENCE_SCOPE: 'some' })
    expect(await server.exited).toBe(78)
    for (const name of ['PORT', 'RING_TIMEOUT_MS', 'PRESENCE_SCOPE']) expect(server.output).toContain(`${name}: `)
  })

  test('a port that is taken is said plainly', async () => {
    const first = starts(keyed)
    const { port } = new URL(await first.url())
    const second = starts({ ...keyed, PORT: port })
    expect(await second.exited).toBe(1)
    expect(second.output).toContain(`127.0.0.1:${port} is already in use`)
  })

  test('tokens, SDP and credentials are not in the log, even at its most talkative', async () => {
    const server = starts({ ...keyed, LOG_LEVEL: 'trace' })
    const url = await server.url()
    const token = await tokenFor('alice')
    const post = (path: string, body: object, ide = token) =>
      fetch(url + path, { method: 'POST', headers: { ide }, body: JSON.stringify(body) })
    const bob = await tokenFor('bob')
    await post('/imserver/call/request', { callId: 'c', callee: 'bob', callerUserName: 'A' })
    await post('/imserver/call/response', { callId: 'c', type: 'ACCEPT' }, bob)
    await post('/imserver/rtc/signaling', { callId: 'c', type: 'OFFER', payload: 'v=0 secret-sdp' })
    await post('/imserver/rtc/signaling', { callId: 'c', type: 'NONSENSE', payload: 'v=0 secret-sdp' })
    await fetch(`${url}/imserver/call/hangup?ide=${token}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}x` },
    })
    const socket = await connects(url, 'alice')
    socket.close()
    await server.says(/session ended/)
    expect(server.output).not.toContain(token.slice(-20))
    expect(server.output).not.toContain('secret-sdp')
  })
})

describe('the bundled relay', () => {
  const relayed = { HOST: '127.0.0.1', AUTH_JWT_SECRET: SECRET }
  const get = async (address: string, ide = '') => (await fetch(address, { headers: { ide } })).json()

  test('is not named while its process is dead, which /readyz and the log say, and is named again when it is back', async () => {
    const server = starts(relayed)
    const url = await server.url()
    const pid = Number((await server.says(/"pid":(\d+),"msg":"relay listens"/))[1])
    const token = await tokenFor('alice')
    const urls = async () => {
      const { data } = (await get(`${url}/imserver/turn/get-turn-credentials`, token)) as {
        data: { iceServers: { url: string }[] }
      }
      return data.iceServers.map((one) => one.url.replace(/\d+(\?|$)/, '…$1'))
    }
    const named = ['stun:127.0.0.1:…', 'turn:127.0.0.1:…?transport=udp', 'turn:127.0.0.1:…?transport=tcp']
    expect(await urls()).toEqual(named)
    process.kill(pid, 'SIGKILL')
    await server.says(/"signal":"SIGKILL","pauseMs":1000,"msg":"relay has ended/)
    expect(await urls()).toEqual([])
    expect(await get(`${url}/readyz`)).toEqual({ status: 'ready', relay: 'down' })
    await server.says(new RegExp(`"pid":(?!${pid},)\\d+,"msg":"relay listens"`))
    expect(await urls()).toEqual(named)
    expect(await get(`${url}/readyz`)).toEqual({ status: 'ready', relay: 'up' })
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toContain('carillon_relay_restarts_total{worker="0"} 1')
  })

  test('of several processes goes on with the others when one cannot have its port, which the log says plainly', async () => {
    const blocker = createSocket('udp4')
    blocker.bind(0, '127.0.0.1')
    await once(blocker, 'listening')
    const taken = blocker.address().port
    // the one before it belongs to nobody, or to somebody else: either way the second process finds its own taken
    const server = starts({ ...relayed, TURN_PORT: String(taken - 1), TURN_WORKERS: '2' })
    const url = await server.url()
    await server.says(/"worker":1,.*EADDRINUSE.*relay cannot start: one of its ports is taken/)
    const { relay, relayWorkers } = (await get(`${url}/readyz`)) as { relay: string; relayWorkers: string[] }
    expect(relayWorkers[1]).toBe('down')
    expect(relay).toBe(relayWorkers[0])
    blocker.close()
  })
})

describe('stopping', () => {
  test('SIGTERM closes sessions with 1012 and ends with 0', async () => {
    const server = starts(keyed)
    const url = await server.url()
    const sockets = await Promise.all(['a', 'b', 'c'].map((user) => connects(url, user)))
    const closed = sockets.map((socket) => once(socket, 'close'))
    server.signal('SIGTERM')
    const codes = (await Promise.all(closed)).map(([code]) => code)
    expect(codes).toEqual([1012, 1012, 1012])
    expect(await server.exited).toBe(0)
    expect(server.output).toMatch(/stopped/)
  })

  test('the relay ends with the server', async () => {
    const server = starts({ HOST: '127.0.0.1', AUTH_JWT_SECRET: SECRET })
    const pid = Number((await server.says(/"pid":(\d+),"msg":"relay listens"/))[1])
    // Before it listens: a stop that comes while it starts is no different.
    server.signal('SIGTERM')
    expect(await server.exited).toBe(0)
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
  })

  test('a second SIGTERM ends it at once', async () => {
    const server = starts(keyed)
    const url = await server.url()
    // A peer that never answers the close holds up an orderly stop.
    const socket = await connects(url, 'a')
    socket.pause()
    server.signal('SIGTERM')
    await server.says(/stopping/)
    server.signal('SIGTERM')
    expect(await server.exited).toBe(1)
    expect(server.output).toMatch(/second signal/)
    socket.terminate()
  })
})
