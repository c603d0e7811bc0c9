/** Real sockets that are read into, and written from, memory which all of them share. */

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type Duplex, PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { readShared } from '../../broker/transports/socket-reads.ts'
import { writeOnce } from '../../broker/transports/socket-writes.ts'

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
