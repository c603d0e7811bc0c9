/** The network that tests cut: an echo behind it, and what reaches whom. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { CutProxy } from '../support/cut-proxy.ts'

let echo: Server
let proxy: CutProxy
const sockets: Socket[] = []

beforeEach(async () => {
  echo = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  proxy = await CutProxy.to((echo.address() as AddressInfo).port)
})

afterEach(async () => {
  await proxy.stop()
  for (const socket of sockets.splice(0)) socket.destroy()
  echo.close()
})

async function client(): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Whether it was reset. */
function closes(socket: Socket): Promise<boolean> {
  return new Promise((done) => socket.on('close', done))
}

async function says(socket: Socket, words: string): Promise<string> {
  socket.write(words)
  const [heard] = (await once(socket, 'data')) as [Buffer]
  return heard.toString()
}

test('octets pass in both directions', async () => {
  expect(await says(await client(), 'ding')).toBe('ding')
})

test('a cut resets what stands and what comes, until it is healed', async () => {
  const socket = await client()
  await says(socket, 'ding')
  const reset = closes(socket)
  proxy.cut()
  expect(await reset).toBe(true)
  const refused = connect(proxy.port, '127.0.0.1')
  refused.on('error', () => {})
  expect(await closes(refused)).toBe(true)
  proxy.heal()
  expect(await says(await client(), 'dong')).toBe('dong')
  expect([proxy.attempts, proxy.connections]).toEqual([3, 1])
})

test('what is said in silence arrives when it is over', async () => {
  const socket = await client()
  await says(socket, 'ding')
  proxy.silence()
  const heard = once(socket, 'data')
  socket.write('dong')
  const late = await client()
  const lateHeard = once(late, 'data')
  late.write('late')
  proxy.heal()
  expect(String(await heard)).toBe('dong')
  expect(String(await lateHeard)).toBe('late')
})

test('what is stranded hangs for ever, beside connections that pass', async () => {
  const socket = await client()
  await says(socket, 'ding')
  proxy.strand()
  let heard = false
  socket.on('data', () => {
    heard = true
  })
  socket.write('nobody')
  expect(await says(await client(), 'dong')).toBe('dong')
  proxy.heal()
  expect(await says(await client(), 'dong')).toBe('dong')
  expect([heard, socket.destroyed]).toEqual([false, false])
})

test('one end that leaves takes the other with it', async () => {
  const socket = await client()
  await says(socket, 'ding')
  const [server] = sockets.slice(-1)
  const closed = once(server as Socket, 'close')
  socket.end()
  await closed
  expect(proxy.connections).toBe(0)
})
