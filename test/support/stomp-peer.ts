/**
 * A raw STOMP peer for tests: real sockets, frames written by hand, everything that comes back kept in order.
 * It knows just enough STOMP to cut frames; it never helps, so that tests can break every rule.
 */

import { WebSocket } from 'ws'

/** A frame of the server, as it came. */
export interface ServerFrame {
  readonly command: string
  /** First of each repeated header, escapes as they are on the wire. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly octets: Buffer
  /** Whether it came in a binary WebSocket message. */
  readonly binary: boolean
}

export type Wanted = string | ((frame: ServerFrame) => boolean)

/** `frame('SEND', { destination: '/a' }, 'body')`: text of a frame, nothing escaped, nothing added. */
export function frame(command: string, headers: Readonly<Record<string, string | number>> = {}, body = ''): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
  return `${command}\n${lines.join('')}\n${body}\0`
}

/** Reads what one message of the server carries: one frame, or a heart-beat (undefined). */
export function readServerFrame(octets: Buffer, binary: boolean): ServerFrame | undefined {
  if (octets.length === 1 && octets[0] === 10) return undefined
  const blank = octets.indexOf('\n\n')
  const [command = '', ...lines] = octets.toString('utf8', 0, blank).split('\n')
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon)
    if (!(name in headers)) headers[name] = line.slice(colon + 1)
  }
  const body = octets.subarray(blank + 2, -1)
  return { command, headers, body: body.toString('utf8'), octets: body, binary }
}

interface Waiter {
  readonly test: (frame: ServerFrame) => boolean
  readonly give: (frame: ServerFrame) => void
  readonly reject: (error: Error) => void
}

/** What came in, in order, and who waits for what. The same for every transport. */
export class Inbox {
  readonly frames: ServerFrame[] = []
  heartbeats = 0
  readonly #given = new Set<ServerFrame>()
  #waiting: Waiter[] = []
  #over: Error | undefined

  receive(octets: Buffer, binary: boolean): void {
    const received = readServerFrame(octets, binary)
    if (received === undefined) {
      this.heartbeats++
      return
    }
    this.frames.push(received)
    const waiter = this.#waiting.find(({ test }) => test(received))
    if (waiter === undefined) return
    this.#waiting = this.#waiting.filter((each) => each !== waiter)
    this.#given.add(received)
    waiter.give(received)
  }

  /** The first frame that is wanted and was not given out before. Rejected when the connection ends without it. */
  frame(wanted: Wanted): Promise<ServerFrame> {
    const test = typeof wanted === 'string' ? ({ command }: ServerFrame) => command === wanted : wanted
    const received = this.frames.find((each) => !this.#given.has(each) && test(each))
    if (received !== undefined) {
      this.#given.add(received)
      return Promise.resolve(received)
    }
    if (this.#over) return Promise.reject(this.#over)
    return new Promise((give, reject) => this.#waiting.push({ test, give, reject }))
  }

  end(why: string): void {
    const got = this.frames.map(({ command, headers }) => `${command} ${headers.message ?? headers.destination ?? ''}`)
    this.#over = new Error(`the connection ended (${why}); received: ${got.join(', ')}`)
    for (const { reject } of this.#waiting) reject(this.#over)
  }
}

export interface StompPeer {
  readonly ws: WebSocket
  /** Everything that came, in order. */
  readonly frames: readonly ServerFrame[]
  readonly heartbeats: number
  /** Fulfilled when the connection is over, whoever ended it. */
  readonly closed: Promise<{ code: number; reason: string }>
  /** Sends octets as they are: a string as a text message, a buffer as a binary one. */
  send(data: string | Buffer): void
  /** The first frame that is wanted (a command, or a test) and was not given out before. Rejected when the connection ends without it. */
  frame(wanted: Wanted): Promise<ServerFrame>
  /** Sends CONNECT and waits for CONNECTED; `headers` are added to `accept-version` and `host`. */
  connect(headers?: Readonly<Record<string, string>>): Promise<ServerFrame>
  /** Sends a frame with a receipt, and waits for it: everything before is done, and what it caused has been sent. */
  settled(): Promise<void>
  subscribe(destination: string, id?: string, headers?: Readonly<Record<string, string>>): Promise<void>
  close(): Promise<void>
}

let receipts = 0

/** Opens a WebSocket to `url` (`ws://127.0.0.1:…/imserver/ws?userId=…`); rejected when the server refuses the upgrade. */
export async function stompPeer(
  url: string,
  options: { protocols?: string[]; headers?: Readonly<Record<string, string>>; token?: string } = {},
): Promise<StompPeer> {
  const ws = new WebSocket(url, options.protocols ?? ['v12.stomp', 'v11.stomp', 'v10.stomp'], {
    headers: { ...options.headers },
  })
  const inbox = new Inbox()
  ws.on('message', (data: Buffer, binary) => inbox.receive(data, binary))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => {
      inbox.end(`${code} ${reason.toString()}`)
      resolve({ code, reason: reason.toString() })
    })
  })
  await new Promise((resolve, reject) => {
    ws.once('open', resolve)
    ws.once('error', reject)
  })
  ws.on('error', () => undefined)
  const peer: StompPeer = {
    ws,
    closed,
    get frames() {
      return inbox.frames
    },
    get heartbeats() {
      return inbox.heartbeats
    },
    send: (data) => ws.send(data),
    frame: (wanted) => inbox.frame(wanted),
    connect(headers = {}) {
      const token = options.token === undefined ? {} : { ide: options.token }
      ws.send(frame('CONNECT', { 'accept-version': '1.0,1.1,1.2', host: 'test', ...token, ...headers }))
      return inbox.frame('CONNECTED')
    },
    async settled() {
      const receipt = `settled-${++receipts}`
      ws.send(frame('BEGIN', { transaction: receipt }))
      ws.send(frame('ABORT', { transaction: receipt, receipt }))
      await waitForReceipt(inbox, receipt)
    },
    async subscribe(destination, id = destination, headers = {}) {
      const receipt = `subscribed-${++receipts}`
      ws.send(frame('SUBSCRIBE', { destination, id, receipt, ...headers }))
      await waitForReceipt(inbox, receipt)
    },
    async close() {
      ws.close()
      await closed
    },
  }
  return peer
}

async function waitForReceipt(inbox: Inbox, receipt: string): Promise<void> {
  await inbox.frame(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === receipt)
}
