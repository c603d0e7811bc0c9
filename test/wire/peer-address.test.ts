/** Behind a trusted proxy a session has the address of its client, whatever carries it. */

import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { frame, stompPeer } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'

let server: TestServer
afterEach(() => server.stop())

const FORWARDED = { 'X-Forwarded-For': 'invented, 192.0.2.1, 127.0.0.2' }
const CONNECT = frame('CONNECT', { 'accept-version': '1.2', host: 'test', ide: 'alice' })

/** Whoever logs in is written down, and refused. */
async function serves(trustedProxies: readonly string[]): Promise<string[]> {
  const addresses: string[] = []
  server = await testServer({
    trustedProxies,
    authenticate: async ({ peer }) => {
      addresses.push(peer.address)
      return { refused: { code: 401, message: 'enough' } }
    },
  })
  return addresses
}

const connects: Readonly<Record<string, () => Promise<unknown>>> = {
  websocket: async () => {
    const peer = await stompPeer(server.url, { headers: FORWARDED })
    peer.send(CONNECT)
    await peer.closed
  },
  'sockjs-websocket': async () => {
    const ws = new WebSocket(`${server.url}/000/${randomUUID()}/websocket`, { headers: FORWARDED })
    ws.on('open', () => ws.send(JSON.stringify([CONNECT])))
    await new Promise((resolve) => ws.once('close', resolve))
  },
  'xhr-polling': async () => {
    const session = `http://127.0.0.1:${server.port}/imserver/ws/000/${randomUUID()}`
    const post = (path: string, headers: Record<string, string>, body = '') =>
      fetch(`${session}/${path}`, { method: 'POST', headers, body }).then((answer) => answer.text())
    await post('xhr', FORWARDED)
    await post('xhr_send', { 'X-Forwarded-For': '192.0.2.99' }, JSON.stringify([CONNECT]))
    await post('xhr', { 'X-Forwarded-For': '192.0.2.99' })
  },
}

test.each(Object.keys(connects))('%s: the rightmost address that is no trusted proxy’s', async (transport) => {
  const addresses = await serves(['127.0.0.0/8'])
  await connects[transport]?.()
  expect(addresses).toEqual(['192.0.2.1'])
})

test.each(Object.keys(connects))('%s: without trusted proxies the socket’s own', async (transport) => {
  const addresses = await serves([])
  await connects[transport]?.()
  expect(addresses).toEqual(['127.0.0.1'])
})
