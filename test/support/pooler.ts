/**
 * What PgBouncer is in transaction mode, with two connections to PostgreSQL for each of its clients: each transaction goes
 * to the one that the last did not go to, and neither hears of statements that the other one keeps. No encryption, no
 * passwords.
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const LETTER_OF_READY = 0x5a
const LETTERS_THAT_END_A_QUESTION: ReadonlySet<number> = new Set([0x51, 0x53])
const IDLE = 0x49

/** Messages of either side, each with its letter, and `undefined` for the first of a client, which has none. */
function messagesOf(
  socket: Socket,
  first: boolean,
  heard: (message: Buffer, letter: number | undefined) => void,
): void {
  let rest: Buffer = Buffer.alloc(0)
  let untold = first
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      const head = untold ? 0 : 1
      if (rest.length < head + 4) return
      const length = head + rest.readUInt32BE(head)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      const letter = untold ? undefined : message[0]
      untold = false
      heard(message, letter)
    }
  })
}

function serve(client: Socket, port: number): void {
  const servers = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')] as const
  const greeted = new Set<Socket>()
  let turn = 0
  let idle = true
  let question: Buffer[] = []
  for (const socket of [client, ...servers]) {
    socket.on('error', () => undefined)
    socket.once('close', () => {
      for (const each of [client, ...servers]) each.destroy()
    })
  }
  messagesOf(client, true, (message, letter) => {
    if (letter === undefined) {
      for (const server of servers) server.write(message)
      return
    }
    question.push(message)
    if (!LETTERS_THAT_END_A_QUESTION.has(letter)) return
    if (idle) turn = 1 - turn
    servers[turn]?.write(Buffer.concat(question))
    question = []
  })
  servers.forEach((server, n) => {
    messagesOf(server, false, (message, letter) => {
      const ready = letter === LETTER_OF_READY
      // of two greetings the client hears one, when both are over
      if (!greeted.has(server)) {
        if (n === 0 && !ready) client.write(message)
        if (ready) greeted.add(server)
        if (ready && greeted.size === 2) client.write(message)
        return
      }
      if (ready) idle = message[5] === IDLE
      client.write(message)
    })
  })
}

/** Between its clients and the PostgreSQL at that port of this machine. */
export async function startPooler(port: number): Promise<{ port: number; stop(): Promise<void> }> {
  const clients = new Set<Socket>()
  const pooler = createServer((client) => {
    clients.add(client)
    client.once('close', () => clients.delete(client))
    serve(client, port)
  }).listen(0, '127.0.0.1')
  await once(pooler, 'listening')
  return {
    port: (pooler.address() as AddressInfo).port,
    async stop() {
      const closed = once(pooler, 'close')
      pooler.close()
      for (const client of clients) client.destroy()
      await closed
    },
  }
}
