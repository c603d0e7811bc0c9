/**
 * The second reference: socket.io doing what the relay does, as its documentation shows it. A client names the peer by
 * its socket id, and `socket.to(id).emit` carries the body there. The engine is ws, the transport WebSocket only.
 */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from 'socket.io'

const http = createServer()

// No pings during a run, as the others have no heart-beats then
const io = new Server(http, { transports: ['websocket'], serveClient: false, pingInterval: 3_600_000 })

io.on('connection', (socket) => {
  socket.on('signal', (to: string, body: unknown) => socket.to(to).emit('signal', body))
})

http.listen(0, '127.0.0.1', () => {
  const { port } = http.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
