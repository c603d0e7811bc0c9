/** A parent of a relay, for the test that kills it. */

import { systemClock } from '../../broker/clock.ts'
import { BundledRelay } from '../../src/adapters/node-turn/relay.ts'

const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const relay = new BundledRelay(
  { listenIps: ['127.0.0.1'], port: 0, publicIps: ['127.0.0.1'], secrets: ['a secret'] },
  { clock: systemClock, log },
)
await relay.start()
process.send?.({ pid: relay.pid, port: relay.address()?.port })
