/**
 * The relay's own process, forked by relay.ts: a crash here, its memory and its event loop are no matter of the
 * broker's. It is told everything over the channel to its parent, and it lives no longer than that channel.
 */

import { systemClock } from '../../../broker/clock.ts'
import type { FromChild, ToChild } from './ipc.ts'
import { RelayServer } from './server.ts'

let server: RelayServer | undefined
let lastTrouble = 0

function tell(message: FromChild, done: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, undefined, done)
  else done()
}

/** One a second at most: what one packet can cause, a million can. */
function trouble(error: unknown): void {
  const now = systemClock.now()
  if (Math.abs(now - lastTrouble) < 1000) return
  lastTrouble = now
  tell({ type: 'trouble', reason: reasonOf(error) })
}

const reasonOf = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))

async function start({ settings, reportEveryMs }: ToChild & { type: 'start' }): Promise<void> {
  const relay = new RelayServer(settings, systemClock, {
    report: trouble,
    certificate: (validTo) => tell({ type: 'certificate', validTo: validTo.toISOString() }),
    tls: (listening) => tell({ type: 'listening', ...listening }),
  })
  const listening = await relay.start()
  server = relay
  tell({ type: 'listening', ...listening })
  setInterval(() => tell({ type: 'stats', stats: relay.stats() }), reportEveryMs).unref()
}

process.on('message', (message: ToChild) => {
  switch (message.type) {
    case 'start':
      start(message).catch((error: unknown) => {
        tell({ type: 'failed', reason: error instanceof Error ? error.message : String(error) }, () => process.exit(1))
      })
      return
    case 'ask':
      tell({ type: 'alive' })
      return
    case 'stop':
      // not waiting for anything: relayed ports and allocations die with the process
      void (server?.stop() ?? Promise.resolve()).finally(() => process.exit(0))
  }
})

tell({ type: 'ready' })

// The parent has ended, be it by kill -9: nobody would ever stop this process.
process.on('disconnect', () => process.exit(0))

// Ctrl-C and a service's stop reach the whole group of processes; the parent decides when calls lose their relay.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
