/** Sockets that send at once, and what becomes of a packet that cannot leave at once. */

import { createSocket, type Socket } from 'node:dgram'
import { describe, expect, test } from '@jest/globals'
import { DatagramSocket } from '../../src/adapters/node-turn/datagrams.ts'
import { openUdp } from '../../src/adapters/node-turn/ports.ts'
import { closing, onIPv6 } from './fixture.ts'
import { Peer } from './turn-client.ts'

async function sender(ip = '127.0.0.1'): Promise<DatagramSocket> {
  return closing(new DatagramSocket(await openUdp(ip, 0), 1000))
}

interface Handle {
  send(request: object, list: readonly Buffer[]): number
  onmessage(nread: number, handle: object, data?: Buffer, from?: object): void
}

function handleOf(socket: Socket): Handle {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  const state = symbol && (socket as unknown as Record<symbol, { handle: Handle } | undefined>)[symbol]
  if (!state) throw new Error('no state')
  return state.handle
}

/** A socket whose handle answers as it is told, and keeps what it was given. */
function held(answer: number): { socket: Socket; lists: (readonly Buffer[])[]; requests: object[] } {
  const socket = closing(createSocket('udp4'))
  const [lists, requests]: [(readonly Buffer[])[], object[]] = [[], []]
  handleOf(socket).send = (request: object, list: readonly Buffer[]) => {
    requests.push(request)
    lists.push(list)
    return answer
  }
  return { socket, lists, requests }
}

/** dgram has sent once, and from then on its requests are known. */
async function known(): Promise<void> {
  const [socket, peer] = [await sender(), closing(await Peer.open())]
  socket.send(Buffer.from('first'), peer.local.port, peer.local.address)
  await peer.next()
}

describe('a socket for packets', () => {
  test.each(['127.0.0.1'])('sends over %s from the first packet on, in order, alone and with a header', async (ip) => {
    await sendsAll(ip)
  })

  onIPv6('sends over ::1 as well', () => sendsAll('::1'))

  test('lets alone what is queued: no list, header or request is used twice', async () => {
    await known()
    const { socket, lists, requests } = held(0)
    const packets = new DatagramSocket(socket, 1000)
    expect(packets.sendChannelData(0x4000, Buffer.from('one'), 9, '127.0.0.1')).toBe(true)
    expect(packets.sendChannelData(0x4001, Buffer.from('four'), 9, '127.0.0.1')).toBe(true)
    expect(packets.send(Buffer.from('alone'), 9, '127.0.0.1')).toBe(true)
    expect(packets.send(Buffer.from('alone too'), 9, '127.0.0.1')).toBe(true)
    expect(lists.map((list) => Buffer.concat(list).toString('latin1'))).toEqual([
      '@\0\0\x03one',
      '@\x01\0\x04four',
      'alone',
      'alone too',
    ])
    expect(new Set(lists).size).toBe(4)
    expect(new Set(requests).size).toBe(4)
  })

  test('uses them again when packets leave at once', async () => {
    await known()
    const { socket, lists, requests } = held(5)
    const packets = new DatagramSocket(socket, 1000)
    for (let each = 0; each < 3; each++) packets.send(Buffer.from('four'), 9, '127.0.0.1')
    expect(new Set(lists).size).toBe(1)
    expect(new Set(requests).size).toBe(1)
  })

  test('hears datagrams of any length, and leaves errors to the socket', async () => {
    const [socket, peer] = [await openUdp('127.0.0.1', 0), closing(await Peer.open())]
    const packets = closing(new DatagramSocket(socket, 1000))
    const heard: unknown[] = []
    const errors: string[] = []
    const last = new Promise<void>((resolve) => {
      packets.receive((data, address, port) => {
        heard.push([data.toString(), address, port])
        if (heard.length === 2) resolve()
      })
    })
    socket.on('error', ({ message }) => errors.push(message))
    peer.say(socket.address(), '')
    peer.say(socket.address(), 'four')
    await last
    const { address, port } = peer.local
    expect(heard).toEqual([
      ['', address, port],
      ['four', address, port],
    ])
    const handle = handleOf(socket)
    handle.onmessage(-111, handle)
    expect(errors).toEqual(['recvmsg ECONNREFUSED'])
  })

  test('drops what the system refuses, and everything once it is closed', async () => {
    await known()
    const packets = new DatagramSocket(held(-105).socket, 1000)
    expect(packets.send(Buffer.from('no buffers'), 9, '127.0.0.1')).toBe(false)
    const socket = await sender()
    await new Promise<void>((resolve) => socket.close(resolve))
    expect(socket.send(Buffer.from('closed'), 9, '127.0.0.1')).toBe(false)
    expect(socket.sendChannelData(0x4000, Buffer.from('closed'), 9, '127.0.0.1')).toBe(false)
    await new Promise<void>((resolve) => socket.close(resolve))
  })
})

async function sendsAll(ip: string): Promise<void> {
  const [socket, peer] = [await sender(ip), closing(await Peer.open(ip))]
  const { port, address } = peer.local
  for (let round = 0; round < 3; round++) {
    expect(socket.send(Buffer.from(`alone ${round}`), port, address)).toBe(true)
    expect(socket.sendChannelData(0x4000 + round, Buffer.from('data'), port, address)).toBe(true)
    expect((await peer.next()).bytes.toString()).toBe(`alone ${round}`)
    expect((await peer.next()).bytes).toEqual(Buffer.from([0x40, round, 0, 4, ...Buffer.from('data')]))
  }
}
