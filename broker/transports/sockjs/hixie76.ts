/**
 * The WebSockets of 2010 (draft-hixie-thewebsocketprotocol-76), which sockjs-protocol still asks for: a handshake whose
 * last eight octets may come after its answer, and text between 0x00 and 0xFF.
 */

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../clock.ts'
import type { AcceptWebSocket } from './rfc6455.ts'
import type { TextSocket, TextSocketListener } from './socket.ts'

/** Whether the request speaks this draft and no later version. */
export function isHixie76({ headers }: IncomingMessage): boolean {
  return headers['sec-websocket-version'] === undefined && headers['sec-websocket-key1'] !== undefined
}

/** How long the last octets of the handshake may take. */
const NONCE_MS = 10_000
const NONCE_OCTETS = 8

/** `longestMessage`: octets of one message; a longer one ends the connection. */
export function hixie76Accepter(longestMessage: number, clock: Clock): AcceptWebSocket {
  return (request, socket, head, accepted) => {
    const numbers = ['1', '2'].map((which) => keyNumber(request.headers[`sec-websocket-key${which}`]))
    if (numbers.includes(undefined)) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
      return
    }
    // "must support writing response headers before receiving -76 nonce" (Websocket.test_haproxy)
    socket.write(
      `HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n${addressLines(request)}\r\n`,
    )
    const tooLate = clock.after(NONCE_MS, () => socket.destroy())
    socket.on('close', tooLate)
    let nonce = head
    const read = (): void => {
      for (let piece: Buffer | null = socket.read(); piece !== null; piece = socket.read())
        nonce = Buffer.concat([nonce, piece])
      if (nonce.length < NONCE_OCTETS) return
      socket.off('readable', read)
      tooLate()
      socket.write(challengeAnswer(numbers as number[], nonce.subarray(0, NONCE_OCTETS)))
      const opened = new Hixie76Socket(socket, longestMessage)
      accepted(opened)
      opened.start(nonce.subarray(NONCE_OCTETS))
    }
    socket.on('readable', read)
    read()
  }
}

/** "Let /key-number_n/ be the digits ... divided by the number of spaces": undefined when it is no such key. */
function keyNumber(key: string | string[] | undefined): number | undefined {
  if (typeof key !== 'string') return undefined
  const digits = Number(key.replace(/\D/g, ''))
  const spaces = key.split(' ').length - 1
  const number = digits / spaces
  return Number.isInteger(number) && number <= 0xffff_ffff ? number : undefined
}

function challengeAnswer(numbers: readonly number[], nonce: Buffer): Buffer {
  const challenge = Buffer.alloc(16)
  numbers.forEach((number, i) => {
    challenge.writeUInt32BE(number, 4 * i)
  })
  nonce.copy(challenge, 8)
  return createHash('md5').update(challenge).digest()
}

function addressLines({ headers, url, socket }: IncomingMessage): string {
  const secure = 'encrypted' in socket || headers['x-forwarded-proto'] === 'https'
  const location = `Sec-WebSocket-Location: ${secure ? 'wss' : 'ws'}://${headers.host ?? ''}${url ?? ''}\r\n`
  return headers.origin === undefined ? location : `Sec-WebSocket-Origin: ${headers.origin}\r\n${location}`
}

const TEXT = Buffer.of(0x00)
const END = 0xff
const END_OCTET = Buffer.of(END)
/** An empty frame of the type 0xFF: the good-bye. */
const CLOSE = Buffer.of(0xff, 0x00)

class Hixie76Socket implements TextSocket {
  listener: TextSocketListener = { message() {}, pong() {}, closed() {} }
  readonly #socket: Duplex
  readonly #longest: number
  /** A frame that has not ended, in the pieces it came in. */
  #pieces: Buffer[] = []
  #octets = 0
  /** How it ended, when that is known. */
  #why: { readonly code: number; readonly reason: string } | undefined

  constructor(socket: Duplex, longest: number) {
    this.#socket = socket
    this.#longest = longest
    socket.on('close', () => {
      const { code, reason } = this.#why ?? { code: 1006, reason: '' }
      this.listener.closed(code, reason)
    })
  }

  start(first: Buffer): void {
    this.#read(first)
    this.#socket.on('data', (octets: Buffer) => this.#read(octets))
    this.#socket.on('end', () => this.#socket.end())
  }

  send(text: string, taken: () => void): void {
    if (this.#why === undefined && this.#socket.writable)
      this.#socket.write(Buffer.concat([TEXT, Buffer.from(text), END_OCTET]), taken)
  }

  close(code: number, reason: string): void {
    if (this.#why !== undefined) return
    this.#why = { code, reason }
    this.#socket.end(CLOSE)
  }

  terminate(): void {
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  ping(): boolean {
    return false
  }

  #read(octets: Buffer): void {
    let rest = octets
    while (rest.length > 0 && this.#why === undefined) {
      if (this.#octets === 0 && rest[0] !== TEXT[0]) {
        // The good-bye; or a frame of a kind that nobody ever defined
        this.close(rest[0] === END ? 1005 : 1003, '')
        return
      }
      const end = rest.indexOf(END)
      const piece = end < 0 ? rest : rest.subarray(0, end)
      this.#octets += piece.length
      if (this.#octets > this.#longest) {
        this.close(1009, 'the message is too long')
        return
      }
      this.#pieces.push(piece)
      if (end < 0) return
      rest = rest.subarray(end + 1)
      this.#message()
    }
  }

  #message(): void {
    const text = Buffer.concat(this.#pieces, this.#octets).subarray(1)
    this.#pieces = []
    this.#octets = 0
    if (isUtf8(text)) this.listener.message(text.toString())
    else this.close(1007, 'the message is not UTF-8')
  }
}
