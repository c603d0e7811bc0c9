/** The package stomp-broker-js as it comes: a STOMP broker on ws, in JavaScript. Measured only where it is installed. */

import { createServer } from 'node:http'
import StompServer from 'stomp-broker-js'

const http = createServer()

new StompServer({ server: http, path: '/ws', heartbeat: [0, 0], debug() {} })

http.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${http.address().port}` })}\n`)
})
