/**
 * The reference: the least that a relay on the package ws can do. It forwards each message as it came, by `ws.send`,
 * and parses, checks and remembers nothing. Whatever carries messages through ws costs this much.
 * JavaScript, because nothing may stand between Node and what is measured.
 *
 * `/pair/<name>`: what one of two says reaches the other. `/fan/out` speaks to everybody at `/fan/in`, `/fan/<number>`
 * to so many of them, the next time to the next.
 */

import { WebSocketServer } from 'ws'

const waiting = new Map()
const listeners = new Set()

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, clientTracking: false })

server.on('connection', (ws, { url }) => {
  if (url === '/fan/in') {
    listeners.add(ws)
    ws.on('close', () => listeners.delete(ws))
  } else if (url === '/fan/out') {
    ws.on('message', (data, binary) => {
      for (const listener of listeners) listener.send(data, { binary })
    })
  } else if (url?.startsWith('/fan/')) {
    const count = Number(url.slice('/fan/'.length))
    ws.on('message', (data, binary) => {
      for (let i = 0; i < count; i++) next()?.send(data, { binary })
    })
  } else pair(ws, url)
})

server.on('listening', () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`)
})

let turn = listeners.values()

/** Everybody's turn comes; who has just come may have to wait for it. */
function next() {
  const { value, done } = turn.next()
  if (!done) return value
  turn = listeners.values()
  return turn.next().value
}

/** The first of a name waits for the second. */
function pair(ws, name) {
  const partner = waiting.get(name)
  if (partner === undefined) {
    waiting.set(name, ws)
    ws.on('close', () => waiting.delete(name))
    return
  }
  waiting.delete(name)
  forward(ws, partner)
  forward(partner, ws)
}

function forward(from, to) {
  from.on('message', (data, binary) => to.send(data, { binary }))
}
