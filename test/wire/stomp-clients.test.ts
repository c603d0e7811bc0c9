/** Clients that were not written here: @stomp/stompjs over WebSocket and over every SockJS transport that works in Node. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Client, type IFrame, type IMessage, Stomp } from '@stomp/stompjs'
import SockJS from 'sockjs-client'
import { WebSocket } from 'ws'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
const queries: unknown[] = []
beforeAll(async () => {
  server = await testServer({
    heartbeat: { sends: 1000, wants: 1000 },
    authenticate: async ({ headers, peer }) => {
      queries.push({ ...peer.query })
      return headers.ide
        ? { principal: { user: headers.ide, token: '' } }
        : { refused: { code: 401, message: 'no token' } }
    },
  })
})
afterAll(() => server.stop())

const http = (): string => `http://127.0.0.1:${server.port}/imserver/ws?userId=alice`

const ways: [string, () => WebSocket | InstanceType<typeof SockJS>][] = [
  ['WebSocket', () => new WebSocket(`${server.url}?userId=alice`, ['v12.stomp', 'v11.stomp'])],
  ['SockJS websocket', () => new SockJS(http(), undefined, { transports: 'websocket' })],
  ['SockJS xhr-streaming', () => new SockJS(http(), undefined, { transports: 'xhr-streaming' })],
  ['SockJS xhr-polling', () => new SockJS(http(), undefined, { transports: 'xhr-polling' })],
]

describe.each(ways)('@stomp/stompjs over %s', (_, open) => {
  async function connected(): Promise<Client> {
    const client = new Client({
      webSocketFactory: open as () => WebSocket,
      connectHeaders: { ide: 'alice' },
      reconnectDelay: 0,
    })
    await new Promise<void>((resolve, reject) => {
      client.onConnect = () => resolve()
      client.onStompError = (frame) => reject(new Error(frame.headers.message))
      client.activate()
    })
    return client
  }

  test('connects, subscribes, sends, receives, and says good-bye', async () => {
    queries.length = 0
    const client = await connected()
    expect(client.connectedVersion).toBe('1.2')
    expect(queries).toEqual([{ userId: 'alice' }])
    const message = new Promise<IMessage>((resolve) => client.subscribe('/user/queue/echo', resolve))
    client.publish({ destination: '/app/echo', body: 'grüß 🎶', headers: { 'content-type': 'text/plain' } })
    expect((await message).body).toBe('grüß 🎶')
    await client.deactivate()
    expect(server.broker.online('alice')).toBe(false)
  })

  test('gets the ERROR of a refused CONNECT before the connection ends', async () => {
    const client = new Client({ webSocketFactory: open as () => WebSocket, reconnectDelay: 0 })
    const closed = new Promise((resolve) => {
      client.onWebSocketClose = resolve
    })
    const error = new Promise<IFrame>((resolve) => {
      client.onStompError = resolve
    })
    client.activate()
    const { headers, body } = await error
    expect(headers.message).toBe('401 no token')
    expect(JSON.parse(body)).toEqual({ code: 401, message: 'no token' })
    await closed
    await client.deactivate()
  })

  test('a hundred messages come in order', async () => {
    const client = await connected()
    const bodies: string[] = []
    const all = new Promise<void>((resolve) => {
      client.subscribe('/topic/open.clients', ({ body }) => {
        if (bodies.push(body) === 100) resolve()
      })
    })
    for (let i = 0; i < 100; i++)
      client.publish({ destination: '/topic/open.clients', body: `${i} ${'x'.repeat(i * 10)}` })
    await all
    expect(bodies.map((body) => Number.parseInt(body, 10))).toEqual(Array.from({ length: 100 }, (_, i) => i))
    await client.deactivate()
  })
})

test('binary bodies go both ways over WebSocket', async () => {
  const client = new Client({
    webSocketFactory: ways[0]?.[1] as () => WebSocket,
    connectHeaders: { ide: 'alice' },
    reconnectDelay: 0,
  })
  await new Promise<void>((resolve) => {
    client.onConnect = () => resolve()
    client.activate()
  })
  const message = new Promise<IMessage>((resolve) => client.subscribe('/user/queue/echo', resolve))
  client.publish({ destination: '/app/echo', binaryBody: new Uint8Array([0, 1, 255, 0, 128]) })
  expect([...(await message).binaryBody]).toEqual([0, 1, 255, 0, 128])
  await client.deactivate()
})

test('large frames that the client splits over several WebSocket messages', async () => {
  const client = new Client({
    webSocketFactory: ways[0]?.[1] as () => WebSocket,
    connectHeaders: { ide: 'alice' },
    reconnectDelay: 0,
    splitLargeFrames: true,
    maxWebSocketChunkSize: 100,
  })
  await new Promise<void>((resolve) => {
    client.onConnect = () => resolve()
    client.activate()
  })
  const message = new Promise<IMessage>((resolve) => client.subscribe('/user/queue/echo', resolve))
  client.publish({ destination: '/app/echo', body: 'x'.repeat(50_000) })
  expect((await message).body).toHaveLength(50_000)
  await client.deactivate()
})

test('the old interface, Stomp.over, over SockJS', async () => {
  const client = Stomp.over(() => new SockJS(http()))
  client.debug = () => undefined
  client.reconnect_delay = 0
  await new Promise<void>((resolve) => client.connect({ ide: 'alice' }, () => resolve()))
  const message = new Promise<IMessage>((resolve) => client.subscribe('/user/queue/echo', resolve))
  client.send('/app/echo', {}, 'hello')
  expect((await message).body).toBe('hello')
  await new Promise<void>((resolve) => client.disconnect(() => resolve()))
})
