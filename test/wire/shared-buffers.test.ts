/** Real sockets that are read into, and written from, memory which all of them share. */

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type Duplex, PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Connection } from '../../broker/connection.ts'
import { HEARTBEAT } from '../../broker/frame.ts'
import { Again, Mailbox, Mailboxes } from '../../broker/mailbox.ts'
import { readShared } from '../../broker/transports/socket-reads.ts'
import { memoryFor, writeFrom } from '../../broker/transports/socket-writes.ts'
import { webSocketAcceptor } from '../../broker/transports/ws.ts'
import { TestClock } from '../support/clock.ts'
import { RawWebSocket } from '../support/raw-websocket.ts'

let server: Server
const sockets: Duplex[] = []

beforeEach(async () => {
  server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server.close()
})

/** Both ends of a connection that was upgraded. */
async function upgraded(): Promise<[client: Socket, accepted: Duplex]> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  sockets.push(client)
  const upgrade = once(server, 'upgrade')
  client.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
  const [, accepted] = (await upgrade) as [unknown, Duplex]
  // A server does not end what was upgraded
  sockets.push(accepted)
  return [client, accepted]
}

/** Gathers what is read of a socket. */
function reading(accepted: Duplex) {
  const parts: Buffer[] = []
  let more = () => {}
  // Clients are cut off when a test is over
  readShared(accepted, (octets, end) => {
    parts.push(Buffer.from(octets.subarray(0, end)))
    more()
  })
  accepted.on('error', () => {})
  const text = () => Buffer.concat(parts).toString()
  return {
    text,
    async until(length: number) {
      while (text().length < length) await new Promise<void>((resolve) => (more = resolve))
      return text()
    },
  }
}

describe('sockets that are read into the same memory', () => {
  test('read each their own', async () => {
    const ends: (readonly [Socket, Duplex])[] = []
    for (let n = 0; n < 20; n++) ends.push(await upgraded())
    const readers = ends.map(([, accepted]) => reading(accepted))
    for (let round = 0; round < 50; round++)
      for (const [n, [client]] of ends.entries()) client.write(`${String.fromCharCode(65 + n).repeat(100 + round)};`)
    const length = Array.from({ length: 50 }, (_, round) => 101 + round).reduce((a, b) => a + b)
    for (const [n, reader] of readers.entries()) {
      const text = await reader.until(length)
      expect(new Set(text)).toEqual(new Set([String.fromCharCode(65 + n), ';']))
      expect(text).toHaveLength(length)
    }
  })

  test('write, pause, go on, and hear the end', async () => {
    const [client, accepted] = await upgraded()
    const { until, text } = reading(accepted)
    accepted.resume()
    client.write('one')
    await until(3)
    accepted.pause()
    const paused = once(client, 'data')
    client.write('two')
    accepted.write('here')
    await paused
    expect(text()).toBe('one')
    accepted.resume()
    expect(await until(6)).toBe('onetwo')
    client.end()
    await once(accepted, 'end')
    accepted.end()
    await once(client, 'close')
  })

  test('leave nothing to be read by others: no octets are allocated for them', async () => {
    const [client, accepted] = await upgraded()
    const { until } = reading(accepted)
    const data = jest.fn()
    accepted.on('data', data)
    client.write('read into the memory of all')
    await until(27)
    expect(data).not.toHaveBeenCalled()
  })

  test('may be of another kind: these are read as they are', async () => {
    const stream = new PassThrough()
    const { until } = reading(stream)
    stream.write('octets')
    expect(await until(6)).toBe('octets')
  })
})

function writeOnce(socket: Duplex, length: number, fill: (octets: Buffer) => void): void {
  const octets = memoryFor(socket, length)
  fill(octets)
  writeFrom(socket, octets)
}

describe('sockets that are written from the same memory', () => {
  test('keep what waits, whatever others write meanwhile', async () => {
    const [slow, toSlow] = await upgraded()
    const [, toQuick] = await upgraded()
    toQuick.on('error', () => {})
    let expected = ''
    for (let n = 0; toSlow.writableLength === 0; n++) {
      const text = String(n).padStart(8, '.').repeat(1000)
      expected += text
      writeOnce(toSlow, text.length, (octets) => void octets.write(text))
    }
    for (let n = 0; n < 100; n++) writeOnce(toQuick, 8000, (octets) => void octets.fill('x'))
    toSlow.end()
    let heard = ''
    slow.setEncoding('utf8').on('data', (text: string) => (heard += text))
    await once(slow, 'end')
    expect(heard).toBe(expected)
  })
})

describe('messages that leave from the memory in which they are kept', () => {
  /** A peer, the server's end of its connection, and a way to it: each message is kept, then sent, in a turn of its own. */
  async function kept(sessionBytes: number) {
    const accepted = new Promise<Connection>((resolve) => {
      const { accept } = webSocketAcceptor(1_000_000, resolve)
      server.once('upgrade', (request, socket, head) => {
        sockets.push(socket)
        accept(request, socket, head, { transport: 'websocket', address: '', query: {} })
      })
    })
    const peer = await RawWebSocket.opens(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    sockets.push(peer.socket)
    const connection = await accepted
    const limits = { sessionBytes, allBytes: 10_000_000, keepMs: 60_000 }
    const mailbox = new Mailbox(new Mailboxes(new TestClock(), limits))
    const sent: string[] = []
    const sends = async (...texts: string[]) => {
      for (const text of texts) {
        const message = new Again({ isText: true, octets: Buffer.from(text) })
        mailbox.keep(sent.push(text), message)
        connection.send(message)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { peer, connection, mailbox, sent, sends }
  }

  const heard = async (peer: RawWebSocket, sent: readonly string[]) => {
    while (peer.frames.length < sent.length) await once(peer.socket, 'data')
    return peer.frames.map(({ payload }) => payload.toString())
  }

  test.each([1, 125, 126, 1000, 65_535, 65_536])('are whole: %d octets', async (length) => {
    const { peer, sends, sent, mailbox } = await kept(2_500_000)
    await sends('a'.repeat(length))
    await sends('b'.repeat(length), 'c'.repeat(length))
    await sends('d'.repeat(length))
    expect(await heard(peer, sent)).toEqual(sent)
    const again = mailbox.after(0).map(({ seq, octets }) => [seq, octets.toString()])
    expect(again).toEqual(sent.map((text, i) => [i + 1, text]))
  })

  test('stay as they were while they wait for a slow peer, whatever is kept next', async () => {
    const { peer, connection, sends, sent } = await kept(16_384)
    peer.socket.pause()
    for (let n = 0; connection.buffered === 0; n++) await sends(`${n} `.padEnd(1500, '.'))
    for (let n = 0; n < 100; n++) await sends(`late ${n} `.padEnd(1500, ','))
    connection.send(HEARTBEAT)
    peer.socket.resume()
    expect(await heard(peer, [...sent, HEARTBEAT])).toEqual([...sent, HEARTBEAT])
  })
})
