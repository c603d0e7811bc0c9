/**
 * The octets of what passes through on the fast path: ChannelData (RFC 8656, section 12.4) and Data indications
 * (section 11.3). Written by hand, because this is done for every packet of every call.
 */

import { randomFillSync } from 'node:crypto'
import { type Endpoint, octets } from './endpoint.ts'
import { CONSTANTS } from './node-turn.ts'

/** RFC 8656, section 12: numbers above are reserved, and below are other protocols on the same port. */
export const FIRST_CHANNEL = 0x4000
export const LAST_CHANNEL = 0x4fff

/** Whether what starts here is ChannelData, by its first octet (RFC 8656, section 12). */
export function isChannelData(octets: Buffer, at = 0): boolean {
  const first = octets[at]
  return first !== undefined && first >= FIRST_CHANNEL >> 8 && first <= LAST_CHANNEL >> 8
}

/** The number and data of a ChannelData message; undefined when it is cut short. Octets after the data are padding. */
export function readChannelData(datagram: Buffer): { channel: number; data: Buffer } | undefined {
  if (datagram.length < 4) return undefined
  const length = datagram.readUInt16BE(2)
  if (4 + length > datagram.length) return undefined
  return { channel: datagram.readUInt16BE(0), data: datagram.subarray(4, 4 + length) }
}

/** Into the first four octets (section 12.4). Octet by octet: every packet to a client passes here. */
export function writeChannelHeader(into: Buffer, channel: number, length: number): void {
  into[0] = channel >> 8
  into[1] = channel
  into[2] = length >> 8
  into[3] = length
}

/** `padding` octets follow the data: none in a datagram, up to the next multiple of four in a stream (section 12.5). */
export function writeChannelData(channel: number, data: Buffer, padding = 0): Buffer {
  const { length } = data
  const message = Buffer.allocUnsafe(4 + length + padding)
  writeChannelHeader(message, channel, length)
  message.set(data, 4)
  if (padding > 0) message.fill(0, 4 + length)
  return message
}

const DATA_INDICATION = 0x0017
const XOR_PEER_ADDRESS = 0x0012
const DATA = 0x0013

/** What a peer sent, for a client that has bound no channel to it. */
export function writeDataIndication(peer: Endpoint, data: Buffer): Buffer {
  const address = octets(peer)
  const padding = -data.length & 3
  const length = 8 + address.length + 4 + data.length + padding
  const message = Buffer.allocUnsafe(20 + length)
  message.writeUInt16BE(DATA_INDICATION, 0)
  message.writeUInt16BE(length, 2)
  message.writeUInt32BE(CONSTANTS.MAGIC_COOKIE, 4)
  // at once, not through the thread pool: packets must leave in the order in which they came
  randomFillSync(message, 8, 12)
  message.writeUInt16BE(XOR_PEER_ADDRESS, 20)
  message.writeUInt16BE(4 + address.length, 22)
  message.writeUInt16BE(peer.family === 4 ? 1 : 2, 24)
  message.writeUInt16BE(peer.port ^ (CONSTANTS.MAGIC_COOKIE >>> 16), 26)
  // the key is the cookie followed by the transaction id: the very octets 4 to 19 of this message (RFC 8489, 14.2)
  for (let at = 0; at < address.length; at++) message[28 + at] = (address[at] ?? 0) ^ (message[4 + at] ?? 0)
  const start = 28 + address.length
  message.writeUInt16BE(DATA, start)
  message.writeUInt16BE(data.length, start + 2)
  data.copy(message, start + 4)
  message.fill(0, start + 4 + data.length)
  return message
}
