/** Sessions for tests of the protocol: each with a user of its own, on a server that the test names. */

import { expect } from '@jest/globals'
import { frame, type ServerFrame, type StompPeer, stompPeer } from './stomp-peer.ts'
import type { TestServer } from './stomp-server.ts'

let users = 0

/** A connection that has not sent CONNECT. */
export function stranger(server: TestServer): Promise<StompPeer> {
  return stompPeer(server.url, { token: `user ${++users}` })
}

/** A connected session, and nothing more. */
export async function session(server: TestServer, version = '1.2'): Promise<StompPeer> {
  const peer = await stranger(server)
  await peer.connect({ 'accept-version': version })
  return peer
}

/** A session that listens to its errors, to its echo (`/app/echo`), and to one open topic (`/topic/open.all`). */
export async function listener(server: TestServer, version = '1.2'): Promise<StompPeer> {
  const peer = await session(server, version)
  await peer.subscribe('/user/queue/errors', 'errors')
  await peer.subscribe('/user/queue/echo', 'echo')
  await peer.subscribe('/topic/open.all', 'all')
  return peer
}

/** The MESSAGEs so far, of one subscription or of all. */
export function messages(peer: StompPeer, subscription?: string): readonly ServerFrame[] {
  return peer.frames.filter(
    ({ command, headers }) =>
      command === 'MESSAGE' && (subscription === undefined || headers.subscription === subscription),
  )
}

export const bodies = (peer: StompPeer, subscription?: string): readonly string[] =>
  messages(peer, subscription).map(({ body }) => body)

/** The receipt ids so far, without those of the test's own bookkeeping. */
export const receipts = (peer: StompPeer): readonly string[] =>
  peer.frames
    .filter(
      ({ command, headers }) => command === 'RECEIPT' && !/^(settled|subscribed)-/.test(headers['receipt-id'] ?? ''),
    )
    .map(({ headers }) => headers['receipt-id'] ?? '')

/**
 * The ERROR that ends the connection: well-formed, the last frame of all, and the connection is closed behind it.
 * What follows on the way in is not answered any more.
 */
export async function fatal(peer: StompPeer): Promise<ServerFrame> {
  if (peer.ws.readyState === peer.ws.OPEN) peer.send(frame('SEND', { destination: '/app/echo' }, 'too late'))
  const error = await peer.frame('ERROR')
  const { code } = await peer.closed
  expect([1002, 1008]).toContain(code)
  expect(peer.frames.at(-1)).toBe(error)
  expect(bodies(peer)).not.toContain('too late')
  expect(error.headers['content-type']).toBe('text/plain;charset=UTF-8')
  expect(error.headers['content-length']).toBe(String(error.octets.length))
  expect(error.octets.length).toBeGreaterThan(10)
  return error
}
