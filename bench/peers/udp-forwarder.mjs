/**
 * The floor of any relay on Node: a datagram comes in at one socket and leaves at another, by the same short way past
 * dgram that Carillon's relay goes, and nothing is looked at but who sent it. No STUN, no permission, no bound.
 * Arguments: the port clients send to. A client says hello with its peer's port and is told the port that relays for it.
 */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { DatagramSocket } from '../../dist/src/adapters/node-turn/datagrams.js'

const HOST = '127.0.0.1'
const HELLO_OCTETS = 2
const HEAD_OCTETS = 4
const QUEUED_OCTETS = 4 * 1024 * 1024

async function open(port) {
  const socket = createSocket('udp4').bind(port, HOST)
  await once(socket, 'listening')
  socket.setRecvBufferSize(QUEUED_OCTETS / 4)
  return { port: socket.address().port, way: new DatagramSocket(socket, QUEUED_OCTETS) }
}

const clients = new Map()
const { port, way: front } = await open(Number(process.argv[2]))

front.receive((data, _address, from) => {
  const client = clients.get(from)
  if (client) client.way.send(data.subarray(HEAD_OCTETS), client.peer, HOST)
  else if (data.length === HELLO_OCTETS) void welcome(from, data.readUInt16BE(0))
})

async function welcome(client, peer) {
  const { port: relayed, way } = await open(0)
  clients.set(client, { way, peer })
  way.receive((data) => front.send(data, client, HOST))
  const answer = Buffer.alloc(HELLO_OCTETS)
  answer.writeUInt16BE(relayed)
  front.send(answer, client, HOST)
}

process.stdout.write(`${JSON.stringify({ url: `http://${HOST}:${port}` })}\n`)
