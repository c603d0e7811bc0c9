/** A parent of a relay, for the test that kills it. */

import { systemClock } from '../../broker/clock.ts'
import { RelayWorker } from '../../src/adapters/node-turn/worker.ts'

const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const relay = new RelayWorker(
  { listenIps: ['127.0.0.1'], port: 0, publicIps: ['127.0.0.1'], secrets: ['a secret'] },
  { clock: systemClock, log },
)
await relay.start()
process.send?.({ pid: relay.pid, port: relay.ports()?.port })
