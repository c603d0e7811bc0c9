import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, stompPeer } from '../support/stomp-peer.ts'
import { type TestServer, testServer } from '../support/stomp-server.ts'
import { messages as messagesOf, session } from '../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server.stop())

describe('a session over a WebSocket', () => {
  test('CONNECT is answered with CONNECTED that says version, session, server and user-name', async () => {
    const alice = await stompPeer(server.url, { token: 'alice' })
    const { headers } = await alice.connect()
    expect(headers).toMatchObject({
      version: '1.2',
      server: 'carillon/test',
      'user-name': 'alice',
      'heart-beat': '0,0',
    })
    expect(headers.session).toMatch(/^[\w-]{16,22}$/)
    expect(alice.ws.protocol).toBe('v12.stomp')
    await alice.close()
  })

  test('a client that hopes for its old session is told that this is a new one; others are told nothing', async () => {
    const resumes = await stompPeer(server.url, { token: 'alice' })
    expect((await resumes.connect({ 'resume-id': 'an old one', 'last-seq': '7' })).headers.resumed).toBe('false')
    const plain = await stompPeer(server.url, { token: 'alice' })
    expect((await plain.connect()).headers).not.toHaveProperty('resumed')
    await Promise.all([resumes.close(), plain.close()])
  })

  test('what a handler tells the session comes as a MESSAGE on its subscription, body untouched', async () => {
    const alice = await stompPeer(server.url, { token: 'alice' })
    const connected = await alice.connect()
    await alice.subscribe('/user/queue/echo', 'e1')
    alice.send(frame('SEND', { destination: '/app/echo', 'content-type': 'text/x' }, 'grüß {"a": 1}'))
    const message = await alice.frame('MESSAGE')
    expect(message.body).toBe('grüß {"a": 1}')
    expect({ ...message.headers }).toEqual({
      subscription: 'e1',
      'message-id': `${connected.headers.session}-1`,
      seq: '1',
      destination: '/user/queue/echo',
      'content-type': 'text/x',
      'content-length': '15',
    })
    await alice.close()
  })
})

describe('what the server publishes', () => {
  test('each subscription of a topic gets its own', async () => {
    const peer = await session(server)
    await peer.subscribe('/topic/news', 'a')
    await peer.subscribe('/topic/news', 'b')
    expect(server.broker.publish('/topic/news', { body: '[]' })).toBe(2)
    await peer.settled()
    const messages = messagesOf(peer)
    expect(messages.map(({ headers }) => headers.subscription)).toEqual(['a', 'b'])
    expect(messages[0]?.headers['content-type']).toBe('application/json')
    await peer.close()
  })

  test.each([
    ['1.0', { plain: 'a:b\\c' }],
    ['1.1', { plain: 'a\\cb\\\\c', lf: 'a\\nb', 'na\\cme': 'x', cr: 'a\rb' }],
    ['1.2', { plain: 'a\\cb\\\\c', lf: 'a\\nb', 'na\\cme': 'x', cr: 'a\\rb' }],
  ])('headers are escaped as %s can; what 1.0 cannot say is left out', async (version, headers) => {
    const peer = await session(server, version)
    await peer.subscribe('/topic/news', 'n')
    server.broker.publish('/topic/news', {
      body: '',
      headers: { plain: 'a:b\\c', lf: 'a\nb', 'na:me': 'x', cr: 'a\rb' },
    })
    const message = await peer.frame('MESSAGE')
    const known = ['subscription', 'message-id', 'destination', 'content-type', 'content-length']
    expect(Object.fromEntries(Object.entries(message.headers).filter(([name]) => !known.includes(name)))).toMatchObject(
      headers,
    )
    await peer.close()
  })

  test('a publisher cannot write headers that are the broker’s', async () => {
    const peer = await session(server)
    await peer.subscribe('/topic/news', 'n')
    server.broker.publish('/topic/news', {
      body: 'abc',
      headers: { subscription: 'x', 'content-length': '1', ack: 'x', destination: 'x' },
    })
    const { headers, body } = await peer.frame('MESSAGE')
    expect(headers).toMatchObject({ subscription: 'n', destination: '/topic/news', 'content-length': '3' })
    expect(headers.ack).toBeUndefined()
    expect(body).toBe('abc')
    await peer.close()
  })
})
