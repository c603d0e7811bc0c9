/** The configurations of `deploy/`, run: nginx and HAProxy in front of three servers. */

import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { PROXIES, type ReverseProxy, startProxy } from '../support/reverse-proxy.ts'
import { type Server as Node, serverOn } from '../support/several.ts'
import { Device, opens, TRANSPORTS, tokenFor, type World } from '../support/story.ts'

/** How many devices come over each transport: with three servers, nearly surely to each of them. */
const DEVICES = 6

describe.each(PROXIES)('%s', (kind) => {
  let worlds: World[]
  let proxy: ReverseProxy

  beforeAll(async () => {
    const env = { TRUSTED_PROXIES: '127.0.0.1', SOCKJS_RESPONSE_BYTES: '4096' }
    worlds = [await opens(env), await opens(env), await opens(env)]
    proxy = await startProxy(
      kind,
      worlds.map(({ url }) => url),
    )
  }, 30_000)
  afterAll(async () => {
    await proxy.stop()
    await Promise.all(worlds.map((world) => world.closes()))
  })

  const arrives = async (user: string, transport: (typeof TRANSPORTS)[number] = 'websocket') => {
    const device = new Device(proxy.url, user, 'phone', await tokenFor(user), { transport })
    await device.connects()
    return device
  }

  test.each(TRANSPORTS)('lets devices in over %s, and keeps each on its server', async (transport) => {
    const devices = await Promise.all(Array.from({ length: DEVICES }, (_, n) => arrives(`user${n}`, transport)))
    for (const device of devices) {
      // Long enough for several responses of a streaming transport
      for (let n = 0; n < 5; n++) {
        await device.forgets()
        await device.says('/app/user/status', [device.user, ...Array.from({ length: 50 }, (_, k) => `nobody-${k}`)])
        const { body } = await device.hears('/topic/user/status')
        expect(body).toContainEqual({ userId: device.user, status: 'ONLINE' })
      }
    }
    await Promise.all(devices.map((device) => device.leaves()))
  })

  test('brings HTTP to a server, and answers back', async () => {
    const response = await fetch(`${proxy.url}/imserver/user/status`, {
      method: 'POST',
      headers: { ide: await tokenFor('alice') },
      body: '["bob"]',
    })
    expect(await response.json()).toMatchObject({ code: 200, data: [{ userId: 'bob', status: 'OFFLINE' }] })
  })

  test('speaks TLS', async () => {
    const status = await new Promise((resolve, reject) => {
      const options = { rejectUnauthorized: false }
      request(`${proxy.tlsUrl}/imserver/ws/info`, options, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
    expect(status).toBe(200)
  })

  test.each([
    '/metrics',
    '/metrics/',
    '/Metrics?x',
    '/readyz',
    '/livez',
    '/imserver/admin/nodes',
    '/imserver/ADMIN/sessions/revoke',
  ])('keeps %s inside', async (path) => {
    const response = await fetch(proxy.url + path)
    // Not the words of the server
    expect([response.status, await response.text()]).toEqual([404, expect.stringMatching(/<html>/)])
  })

  test('keeps the secret part of SockJS addresses out of its log', async () => {
    await fetch(`${proxy.url}/imserver/ws/000/secret-of-the-session/xhr`, { method: 'POST' })
    while (!proxy.log().includes('/imserver/ws/')) await fetch(`${proxy.url}/imserver/ws/info`)
    expect(proxy.log()).not.toContain('secret-of-the-session')
  })

  test('turns to the others while a server stops, and when it is gone', async () => {
    const [first] = worlds as [World]
    // A peer that does not read keeps it in the state in which it takes nobody new
    const stuck = new WebSocket(`${first.url.replace('http', 'ws')}/imserver/ws`)
    await new Promise((resolve) => stuck.once('open', resolve))
    stuck.pause()
    const stopped = first.server.stop()
    const comeAndGo = async () => {
      const devices = await Promise.all(Array.from({ length: DEVICES }, (_, n) => arrives(`late${n}`)))
      await Promise.all(devices.map((device) => device.leaves()))
    }
    await comeAndGo()
    stuck.terminate()
    await first.closes()
    await stopped
    await comeAndGo()
  })
})

describe.each(PROXIES)('%s in front of three servers that act as one', (kind) => {
  let redis: RedisServer
  let servers: Node[]
  let proxy: ReverseProxy

  beforeAll(async () => {
    redis = await startRedis()
    servers = await Promise.all([1, 2, 3].map(() => serverOn(redis.url, { TRUSTED_PROXIES: '127.0.0.1' })))
    proxy = await startProxy(
      kind,
      servers.map(({ url }) => url),
    )
  }, 30_000)
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stops()))
    await proxy.stop()
    await redis.stop()
  })

  test('lets everybody call everybody, wherever they are connected', async () => {
    const arrives = async (user: string, transport: (typeof TRANSPORTS)[number]) => {
      const device = new Device(proxy.url, user, 'phone', await tokenFor(user), { transport })
      await device.connects()
      return device
    }
    const calls = Array.from({ length: DEVICES }, async (_, n) => {
      const alice = await arrives(`alice${n}`, 'websocket')
      const bob = await arrives(`bob${n}`, n % 2 === 0 ? 'websocket' : 'xhr-polling')
      const call = await alice.requests(bob.user)
      await bob.hears('/user/queue/call/request', { callId: call, caller: alice.user })
      await bob.accepts(call)
      await alice.hears('/user/queue/call/response', { callId: call, type: 'ACCEPT' })
      await alice.signals(call, 'OFFER', 'v=0')
      await bob.hears('/user/queue/rtc/signaling', { payload: 'v=0' })
      await bob.hangsUp(call)
      await alice.hears('/user/queue/call/hangup', { callId: call })
      return [alice, bob]
    })
    const devices = (await Promise.all(calls)).flat()
    expect(await servers[0]?.looks('/imserver/admin/nodes')).toMatchObject({ nodes: [{}, {}, {}] })
    await Promise.all(devices.map((device) => device.leaves()))
    expect(servers.flatMap(({ errors }) => errors)).toEqual([])
  })
})

describe.each(PROXIES)('%s tells the server', (kind) => {
  let servers: Server[]
  let proxy: ReverseProxy
  const heard: IncomingHttpHeaders[] = []

  beforeAll(async () => {
    servers = await Promise.all(
      [1, 2, 3].map(async () => {
        const server = createServer((request, response) => {
          heard.push(request.headers)
          response.writeHead(request.url === '/readyz' ? 503 : 200).end('ok')
        })
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
        return server
      }),
    )
    proxy = await startProxy(
      kind,
      servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    )
  }, 30_000)
  afterAll(async () => {
    await proxy.stop()
    for (const server of servers) server.closeAllConnections()
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  })

  test('who asks, behind whatever the client has made up', async () => {
    heard.length = 0
    await fetch(`${proxy.url}/x`, { headers: { 'X-Forwarded-For': '198.51.100.7' } })
    const headers = heard.find((one) => one['x-forwarded-for'] !== undefined)
    expect(headers?.['x-forwarded-for']).toMatch(/^198\.51\.100\.7, ?127\.0\.0\.1$/)
    expect(headers?.['x-forwarded-proto']).toMatch(/^https?$/)
  })

  test('what clients ask while none is ready: it has the better answer', async () => {
    // nginx does not ask who is ready
    while (kind === 'haproxy' && !/backend carillon has no server available|Running on backup/i.test(proxy.log()))
      await fetch(`${proxy.url}/x`)
    expect(await (await fetch(`${proxy.url}/x`)).text()).toBe('ok')
  })
})
