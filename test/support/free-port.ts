import { randomInt } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/**
 * Below what systems give to outgoing connections (Linux: from 32768): there somebody else's connection may sit on the port
 * of a server that is just being restarted. Above what tests name themselves.
 */
const FIRST = 22_000
const BEHIND_LAST = 32_000

/** A port of 127.0.0.1 on which nobody listens, TCP or UDP, and that nobody is given by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, BEHIND_LAST)
    const [tcp, udp] = [createServer(), createSocket('udp4')]
    const free = await Promise.all([
      listens(tcp, () => tcp.listen(port, '127.0.0.1')),
      listens(udp, () => udp.bind(port, '127.0.0.1')),
    ])
    await Promise.all([tcp, udp].map((socket) => closed(socket)))
    if (free.every(Boolean)) return port
  }
}

function listens(socket: Server | Socket, begin: () => void): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('listening', () => resolve(true)).once('error', () => resolve(false))
    begin()
  })
}

async function closed(socket: Server | Socket): Promise<void> {
  const gone = once(socket, 'close')
  // one that never listened says that it cannot be closed
  try {
    socket.close()
  } catch {
    return
  }
  await gone
}
