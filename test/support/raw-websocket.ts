/**
 * A WebSocket peer that masks, counts and closes by hand (RFC 6455 section 5), so that tests can break every rule of it.
 * What comes back is read properly.
 */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface FrameShape {
  readonly fin?: boolean
  /** The three reserved bits, 4 for RSV1. */
  readonly rsv?: number
  readonly masked?: boolean
  /** What the frame says of its length, whatever it has. */
  readonly announces?: bigint
}

export const CONTINUATION = 0
export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

/** One frame of a client. */
export function webSocketFrame(opcode: number, payload: Buffer | string = '', shape: FrameShape = {}): Buffer {
  const { fin = true, rsv = 0, masked = true, announces } = shape
  const octets = Buffer.from(payload)
  const length = announces ?? BigInt(octets.length)
  const maskBit = masked ? 0x80 : 0
  const head = Buffer.alloc(length < 126n ? 2 : length < 65_536n ? 4 : 10)
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  if (head.length === 2) head[1] = maskBit | Number(length)
  else if (head.length === 4) {
    head[1] = maskBit | 126
    head.writeUInt16BE(Number(length), 2)
  } else {
    head[1] = maskBit | 127
    head.writeBigUInt64BE(length, 2)
  }
  // A mask of zeros masks nothing
  return Buffer.concat([head, masked ? Buffer.alloc(4) : Buffer.alloc(0), octets])
}

/** A close frame's payload. */
export function closing(code: number, reason: string | Buffer = ''): Buffer {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return Buffer.concat([payload, Buffer.from(reason)])
}

/** What the server sent: `101`, then frames in order, then the end. */
export class RawWebSocket {
  readonly socket: Socket
  /** Opcode and payload of every frame. */
  readonly frames: { opcode: number; payload: Buffer }[] = []
  /** Fulfilled at the end of the connection with the code of the server's close frame; undefined: there was none. */
  readonly closed: Promise<number | undefined>
  #octets: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  #wake: (() => void)[] = []
  #over = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    this.closed = once(socket, 'close').then(() => {
      this.#over = true
      this.#tell()
      const close = this.frames.find(({ opcode }) => opcode === CLOSE)
      return close && close.payload.length >= 2 ? close.payload.readUInt16BE(0) : undefined
    })
  }

  /** `address`: such as `http://127.0.0.1:80`. */
  static async opens(address: string, path = '/imserver/ws', headers: readonly string[] = []): Promise<RawWebSocket> {
    const { port } = new URL(address)
    const socket = connect(Number(port), '127.0.0.1')
    const peer = new RawWebSocket(socket)
    const lines = [
      `GET ${path} HTTP/1.1`,
      'Host: 127.0.0.1',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    ]
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    await peer.#upgraded()
    socket.on('data', (octets: Buffer) => peer.#read(octets))
    return peer
  }

  /** Octets as they are. */
  write(octets: Buffer): void {
    this.socket.write(octets)
  }

  send(opcode: number, payload: Buffer | string = '', shape: FrameShape = {}): void {
    this.write(webSocketFrame(opcode, payload, shape))
  }

  /** The first text or binary message that begins so; rejected when the connection ends without it. */
  async hears(beginning: string): Promise<string> {
    for (;;) {
      const heard = this.#messages().find((text) => text.startsWith(beginning))
      if (heard !== undefined) return heard
      if (this.#over) throw new Error(`the connection ended without ${beginning}: ${this.#messages().join('\n')}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** Fulfilled when the network has taken everything. */
  async taken(): Promise<void> {
    if (this.socket.writableLength > 0) await once(this.socket, 'drain')
  }

  #messages(): string[] {
    return this.frames.filter(({ opcode }) => opcode < CLOSE).map(({ payload }) => payload.toString())
  }

  async #upgraded(): Promise<void> {
    let head = ''
    while (!head.includes('\r\n\r\n')) {
      const [octets] = (await once(this.socket, 'data')) as [Buffer]
      head += octets.toString('latin1')
    }
    if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`no upgrade: ${head}`)
    this.#read(Buffer.from(head.slice(head.indexOf('\r\n\r\n') + 4), 'latin1'))
  }

  #read(octets: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, octets])
    for (;;) {
      const [first, second] = this.#octets
      if (first === undefined || second === undefined) break
      const at = second < 126 ? 2 : second === 126 ? 4 : 10
      if (this.#octets.length < at) break
      const length =
        at === 2 ? second : at === 4 ? this.#octets.readUInt16BE(2) : Number(this.#octets.readBigUInt64BE(2))
      if (this.#octets.length < at + length) break
      this.frames.push({ opcode: first & 15, payload: this.#octets.subarray(at, at + length) })
      this.#octets = this.#octets.subarray(at + length)
    }
    this.#tell()
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
