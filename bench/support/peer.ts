/**
 * One end of a WebSocket (RFC 6455) for making load: as cheap as it can be, so that the load generator is not what is
 * measured. Frames are built and masked once and sent many times; the mask is an ordinary one, because servers skip
 * the work for a mask of zeros. It trusts the server with everything that does not matter here (the accept key,
 * fragments: none of the servers measured sends them).
 *
 * A connection that ends by itself ends the whole run: there is no result then.
 */

import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const TEXT = 1
const CLOSE = 8
const PING = 9
const PONG = 10

/** RFC 6455 section 5.1: a client masks every frame. */
const MASK = Buffer.from('5ac3961f', 'hex')

/** A whole text message, masked, ready to be sent any number of times. */
export function textMessage(payload: string | Buffer): Buffer {
  return clientFrame(TEXT, Buffer.from(payload))
}

function clientFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  if (length > 0xffff) throw new RangeError('longer than any message of the benchmark')
  const head =
    length < 126 ? Buffer.of(0x80 | opcode, 0x80 | length) : Buffer.of(0x80 | opcode, 0xfe, length >> 8, length)
  const masked = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) masked[i] = payload[i]! ^ MASK[i & 3]!
  return Buffer.concat([head, MASK, masked])
}

const NOTHING: Buffer = Buffer.alloc(0)

export class Peer {
  /** Told of each text or binary message; the octets are good until it returns. */
  onMessage: (payload: Buffer) => void = () => {}
  readonly #socket: Socket
  readonly #url: string
  #rest = NOTHING
  #closing = false

  private constructor(socket: Socket, url: string) {
    this.#socket = socket
    this.#url = url
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#lost(error.message))
    socket.on('close', () => this.#lost('closed'))
  }

  /** Opens `ws://127.0.0.1:port/path`. Rejected when the server refuses the upgrade. */
  static open(url: string): Promise<Peer> {
    const { hostname, port, pathname, search } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    return new Promise((resolve, reject) => {
      let answer = NOTHING
      const read = (chunk: Buffer): void => {
        answer = Buffer.concat([answer, chunk])
        const end = answer.indexOf('\r\n\r\n')
        if (end < 0) return
        socket.off('data', read)
        socket.off('error', reject)
        const status = answer.toString('latin1', 0, answer.indexOf('\r\n'))
        if (!status.startsWith('HTTP/1.1 101')) {
          reject(new Error(`${url}: ${status}`))
          return
        }
        const peer = new Peer(socket, url)
        resolve(peer)
        if (answer.length > end + 4) peer.#read(answer.subarray(end + 4))
      }
      socket.on('data', read)
      socket.once('error', reject)
      socket.write(
        `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
      )
    })
  }

  /** Sends what {@link textMessage} has made. */
  send(message: Buffer): void {
    this.#socket.write(message)
  }

  /** The next message that passes the test; others are passed over. For setting up only: it takes `onMessage`. */
  hears(wanted: (payload: Buffer) => boolean): Promise<Buffer> {
    return new Promise((resolve) => {
      this.onMessage = (payload) => {
        if (!wanted(payload)) return
        this.onMessage = () => {}
        resolve(Buffer.from(payload))
      }
    })
  }

  /** From now on nothing is read, and the server may close it. */
  stopReading(): void {
    this.#closing = true
    this.#socket.pause()
  }

  /** Gone without a word. */
  abandon(): void {
    this.#closing = true
    this.#socket.destroy()
  }

  async close(): Promise<void> {
    this.#closing = true
    const closed = new Promise((resolve) => this.#socket.once('close', resolve))
    this.#socket.write(clientFrame(CLOSE, Buffer.of(0x03, 0xe8)))
    await closed
  }

  #read(chunk: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    while (data.length - at >= 2) {
      let length = data[at + 1]! & 0x7f
      let from = at + 2
      if (length === 126) {
        if (data.length - at < 4) break
        length = data.readUInt16BE(from)
        from += 2
      } else if (length === 127) throw new RangeError(`${this.#url}: a message longer than any of the benchmark`)
      if (data.length < from + length) break
      this.#take(data[at]! & 0x0f, data.subarray(from, from + length))
      at = from + length
    }
    this.#rest = at === data.length ? NOTHING : data.subarray(at)
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === PING) this.#socket.write(clientFrame(PONG, payload))
    else if (opcode !== CLOSE) this.onMessage(payload)
    else if (this.#closing) this.#socket.end()
    else this.#lost(`closed with ${payload.readUInt16BE(0)} ${payload.toString('utf8', 2)}`)
  }

  #lost(why: string): void {
    if (!this.#closing) throw new Error(`${this.#url}: ${why}`)
  }
}
