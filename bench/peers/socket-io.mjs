/**
 * The second reference: socket.io doing what the relay does, as its documentation shows it. A client names the peer by
 * its socket id, and `socket.to(id).emit` carries the body there; what is said to `publish` reaches all in a room. The
 * engine is ws, the transport WebSocket only. JavaScript, because nothing may stand between Node and what is measured.
 */

import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()

// No pings during a run, as the others have no heart-beats then
const io = new Server(http, { transports: ['websocket'], serveClient: false, pingInterval: 3_600_000 })

io.on('connection', (socket) => {
  socket.on('signal', (to, body) => socket.to(to).emit('signal', body))
  socket.on('listen', () => socket.join('listeners'))
  socket.on('publish', (body) => io.to('listeners').emit('published', body))
})

http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${http.address().port}` })}\n`)
})
