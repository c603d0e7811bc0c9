/**
 * A process that has a history open, as a server has: writes calls on schedule, and asks for pages, as it is told over the
 * IPC channel. JavaScript on the built files, so that nothing stands between Node and what is measured.
 */

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '../../dist/broker/clock.js'
import { openHistory } from '../../dist/src/adapters/sql/index.js'

const { url, users } = JSON.parse(process.argv[2])
const say = (facts, message) => process.stderr.write(`${message} ${JSON.stringify(facts)}\n`)
const history = openHistory(url, { clock: systemClock, log: { info: () => undefined, warn: say, error: say } })

const anybody = () => `user-${1 + Math.floor(Math.random() * (users - 1))}`

/** Calls that end now, three in twenty of them missed; made beforehand, since a server has them already. */
function calls(count) {
  return Array.from({ length: count }, (_, n) => {
    const endedAt = Date.now() + n
    const missed = n % 20 < 3
    return {
      callId: crypto.randomUUID(),
      type: n % 3 === 0 ? 'AUDIO' : 'VIDEO',
      caller: anybody(),
      callee: anybody(),
      callerName: 'Alice Example',
      calleeName: 'Bob Example',
      status: missed ? 'MISSED' : 'COMPLETED',
      reason: missed ? 'NO_ANSWER' : 'HANGUP',
      createdAt: endedAt - 60_000,
      ringingAt: endedAt - 59_000,
      ...(!missed && { connectedAt: endedAt - 50_000 }),
      endedAt,
    }
  })
}

let prepared = []

const WORK = {
  ready: () => history.ready,
  stop: async () => {
    await history.stop()
    process.exit()
  },
  prepare({ count, size }) {
    const all = calls(count)
    prepared = Array.from({ length: Math.ceil(count / size) }, (_, n) => all.slice(n * size, (n + 1) * size))
  },
  /** What has been prepared, a batch each `everyMs`; how long the slowest took. */
  async write({ everyMs }) {
    const begin = performance.now()
    const took = await Promise.all(
      prepared.map(async (batch, n) => {
        await delay(Math.max(0, begin + n * everyMs - performance.now()))
        const asked = performance.now()
        await history.write(batch)
        return performance.now() - asked
      }),
    )
    return { took, elapsed: (performance.now() - begin) / 1000 }
  },
  /** Pages of 20, one after the other, of anybody or of one: what each took, in milliseconds. */
  async pages({ count, user, filter, behind }) {
    const took = []
    for (let n = 0; n < count; n++) {
      const who = user ?? anybody()
      const [last] = behind ? (await history.page(who, filter, { size: 20 })).slice(-1) : []
      const asked = performance.now()
      await history.page(who, filter, { size: 20, ...(last && { after: last }) })
      took.push(performance.now() - asked)
    }
    return took
  },
}

// A history keeps no process alive, and neither does the meter
process.channel.ref()

async function perform({ work, question, ...more }) {
  process.send({ question, answer: await WORK[work](more) })
}

process.on('message', (message) => {
  if (message.work !== undefined) void perform(message)
})

// What was sent before has been heard by the meter alone
process.send({ listening: true })
