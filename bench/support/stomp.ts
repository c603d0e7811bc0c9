/** Sessions of Carillon as a load generator needs them: logged in, subscribed, and frames made by hand. */

import { createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Peer, textMessage } from './peer.ts'

/** What the measured server checks tokens with. It lives as long as a run and guards nothing. */
export const SECRET = 'a secret for the benchmark and nothing else'

/** Whoever has not sent a receipt by then will not send one. */
const NO_RECEIPT_MS = 500

/** Where a device hears of calls: all that the client of the field subscribes to. */
export const CALL_QUEUES = [
  '/user/queue/call/request',
  '/user/queue/call/response',
  '/user/queue/call/down',
  '/user/queue/call/hangup',
  '/user/queue/call/timeout',
  '/user/queue/call/ringing',
  '/user/queue/rtc/signaling',
  '/user/queue/errors',
] as const

/** A SEND as a message that can be sent again and again. */
export function sendOf(destination: string, body: string): Buffer {
  const length = Buffer.byteLength(body)
  return textMessage(
    `SEND\ndestination:${destination}\ncontent-type:application/json\ncontent-length:${length}\n\n${body}\0`,
  )
}

/** The `destination` of a MESSAGE; empty for other frames and heart-beats. */
export function destinationOf(frame: Buffer): string {
  const from = frame.indexOf('\ndestination:') + '\ndestination:'.length
  return from < '\ndestination:'.length ? '' : frame.toString('utf8', from, frame.indexOf(10, from))
}

export interface Wish {
  readonly subscriptions: readonly string[]
  /** `heart-beat` of CONNECT. */
  readonly heartbeat?: string
}

/** All that a login sends, ready made. */
export interface Login {
  readonly path: string
  readonly connect: Buffer
  /** All SUBSCRIBEs in one piece, the last of them with a receipt; undefined when there are none. */
  readonly subscribe: Buffer | undefined
}

/** A login with a token of its own. */
export function loginOf(user: string, { subscriptions, heartbeat = '0,0' }: Wish): Login {
  const frames = subscriptions.map((destination, i) => {
    const receipt = i === subscriptions.length - 1 ? 'receipt:subscribed\n' : ''
    return textMessage(`SUBSCRIBE\nid:${i}\ndestination:${destination}\n${receipt}\n\0`)
  })
  return {
    path: `/imserver/ws?userId=${encodeURIComponent(user)}`,
    connect: textMessage(
      `CONNECT\naccept-version:1.2\nhost:bench\nheart-beat:${heartbeat}\nide:${tokenOf(user)}\n\n\0`,
    ),
    subscribe: frames.length === 0 ? undefined : Buffer.concat(frames),
  }
}

/** Connects, and waits until every subscription is in effect. */
export async function logIn(url: string, { path, connect, subscribe }: Login): Promise<Peer> {
  const peer = await Peer.open(`${url.replace('http', 'ws')}${path}`)
  const connected = peer.hears((frame) => startsWith(frame, 'CONNECTED') || failed(frame))
  peer.send(connect)
  await connected
  if (subscribe === undefined) return peer
  const subscribed = peer.hears((frame) => startsWith(frame, 'RECEIPT') || failed(frame))
  peer.send(subscribe)
  await subscribed
  return peer
}

/** Connects to another broker, hears what is sent to `/topic/NAME` there, and waits until that is in effect. */
export async function logInElsewhere(url: string, name: string): Promise<Peer> {
  const peer = await Peer.open(`${url.replace('http', 'ws')}/ws`)
  const connected = peer.hears((frame) => startsWith(frame, 'CONNECTED'))
  peer.send(textMessage('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0'))
  await connected
  // Not all of them know receipts for SUBSCRIBE, nor do all tell a sender what it has sent itself
  const subscribed = peer.hears((frame) => startsWith(frame, 'RECEIPT'))
  peer.send(textMessage(`SUBSCRIBE\nid:0\ndestination:/topic/${name}\nreceipt:subscribed\n\n\0`))
  await Promise.race([subscribed, delay(NO_RECEIPT_MS)])
  return peer
}

function startsWith(frame: Buffer, command: string): boolean {
  return frame.toString('latin1', 0, command.length) === command
}

/** Throws what the server complains of. */
function failed(frame: Buffer): false {
  if (startsWith(frame, 'ERROR') || destinationOf(frame) === '/user/queue/errors') throw new Error(frame.toString())
  return false
}

/** A JSON Web Token (RFC 7519), HS256, good for an hour. */
function tokenOf(user: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: user, iat: now, exp: now + 3600 })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}
