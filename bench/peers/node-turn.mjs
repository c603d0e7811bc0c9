/**
 * The reference of the relay: node-turn as it is published, with one user. JavaScript, because nothing may stand between
 * Node and what is measured. Arguments: the port it listens on, the first and the last port it relays from.
 */

import Turn from 'node-turn'

const [port, minPort, maxPort] = process.argv.slice(2).map(Number)

new Turn({
  listeningIps: ['127.0.0.1'],
  relayIps: ['127.0.0.1'],
  listeningPort: port,
  minPort,
  maxPort,
  authMech: 'long-term',
  realm: 'carillon',
  credentials: { bench: 'bench' },
  debugLevel: 'OFF',
}).start()

process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
