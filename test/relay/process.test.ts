import { type ChildProcess, fork } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import type { RelaySettings } from '../../src/adapters/node-turn/options.ts'
import { openUdp } from '../../src/adapters/node-turn/ports.ts'
import { RelayWorker, type RelayWorld } from '../../src/adapters/node-turn/worker.ts'
import { mint } from '../../src/turn/credentials.ts'
import { changes } from '../support/changes.ts'
import { TestClock } from '../support/clock.ts'
import { closing, SECRET } from './fixture.ts'
import { CLASS, METHOD, Peer, TurnClient } from './turn-client.ts'

/** Processes start as slowly as the machine is busy. */
jest.setTimeout(60_000)

/** The machine's clock, whose timers fire only when the test moves it on: the child's own clock is the machine's too. */
const startedNow = () => new TestClock(Date.now())

const relays: RelayWorker[] = []
const children: ChildProcess[] = []

afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop()
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

interface Watched {
  readonly relay: RelayWorker
  readonly clock: TestClock
  readonly log: { level: string; message: string; facts: Record<string, unknown> }[]
  readonly states: string[]
  /** Waits until it is in this state. */
  becomes(state: string): Promise<void>
  /** Waits for numbers that satisfy. */
  reports(wanted: (stats: ReturnType<RelayWorker['stats']>) => boolean): Promise<void>
}

function watched(settings: Partial<RelaySettings> = {}, more: Partial<RelayWorld> = {}): Watched {
  const clock = startedNow()
  const log: Watched['log'] = []
  const states: string[] = []
  const { changed, until } = changes()
  const write = (level: string) => (facts: object, message: string) => {
    log.push({ level, message, facts: facts as Record<string, unknown> })
  }
  const world: RelayWorld = {
    clock,
    log: { info: write('info'), warn: write('warn'), error: write('error') },
    reportEveryMs: 20,
    // asked only where a test is about that: its clock does not wait for a child's answer
    askEveryMs: 1e9,
    ...more,
    onStats: changed,
    onState: (state) => {
      states.push(state)
      changed()
    },
  }
  const relay = new RelayWorker(
    {
      listenIps: ['127.0.0.1'],
      port: 0,
      publicIps: ['127.0.0.1'],
      secrets: [SECRET],
      allowPeers: ['127.0.0.0/8'],
      ...settings,
    },
    world,
  )
  relays.push(relay)
  return {
    relay,
    clock,
    log,
    states,
    becomes: (state) => until(() => relay.state() === state),
    reports: (wanted) => until(() => wanted(relay.stats())),
  }
}

const clientOf = async (relay: RelayWorker, user = 'alice') => {
  const { port } = relay.ports() ?? { port: 1 }
  const credential = mint(SECRET, user, Date.now() / 1000 + 600)
  return closing(await TurnClient.open({ address: '127.0.0.1', port }, credential))
}

const gone = (pid: number) => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

describe('the relay’s process', () => {
  test('is up when it listens, relays, tells its numbers, and is gone after stop()', async () => {
    const { relay, reports, states, log } = watched()
    expect(relay.state()).toBe('starting')
    expect(relay.ports()).toBeUndefined()
    await relay.start()
    expect(relay.state()).toBe('up')
    const alice = await clientOf(relay)
    const bob = closing(await Peer.open())
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    alice.channelData(0x4000, 'hello')
    expect(await bob.next()).toEqual({ bytes: Buffer.from('hello'), from: relayed })
    await reports(({ allocations, packets, bytes }) => allocations === 1 && packets === 1 && bytes === 5)
    expect(relay.stats().refused).toEqual({ 401: 1 })
    const pid = relay.pid ?? 0
    await relay.stop()
    expect(relay.state()).toBe('off')
    expect(gone(pid)).toBe(true)
    expect(states).toEqual(['up', 'off'])
    expect(log.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('survives what a peer can send in one datagram (#1)', async () => {
    const { relay, log } = watched()
    await relay.start()
    const pid = relay.pid
    const alice = await clientOf(relay)
    const bob = closing(await Peer.open())
    const relayed = await alice.relayed()
    await alice.permit(bob.local)
    for (const data of ['', '@', '@@', '@@@', 'r2r', '\0', 'last']) bob.say(relayed, data)
    for (const data of ['', '@', '@@', '@@@', 'r2r', '\0', 'last']) {
      expect((await alice.hears()).data.toString()).toBe(data)
    }
    expect(relay.pid).toBe(pid)
    expect(log.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('stops in the middle of a call without a fault (#9)', async () => {
    const { relay, log } = watched()
    await relay.start()
    const alice = await clientOf(relay)
    const bob = closing(await Peer.open())
    const relayed = await alice.relayed()
    await alice.bind(0x4000, bob.local)
    for (let each = 0; each < 100; each++) {
      bob.say(relayed, 'media')
      alice.channelData(0x4000, 'media')
    }
    await relay.stop()
    expect(log.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('that dies is down, is started again after a pause that grows, and the pause is logged', async () => {
    const { relay, clock, becomes, log } = watched()
    await relay.start()
    for (const pauseMs of [1000, 2000, 4000]) {
      const pid = relay.pid ?? 0
      process.kill(pid, 'SIGKILL')
      await becomes('down')
      expect(relay.ports()).toBeUndefined()
      expect(relay.pid).toBeUndefined()
      expect(log.at(-1)).toMatchObject({ level: 'error', facts: { signal: 'SIGKILL', pauseMs } })
      await clock.advance(pauseMs - 1)
      expect(relay.pid).toBeUndefined()
      await clock.advance(1)
      await becomes('up')
      expect(relay.pid).not.toBe(pid)
    }
    expect((await (await clientOf(relay)).allocate()).class).toBe(CLASS.success)
  })

  test('that has worked for a minute is started again after the first pause', async () => {
    const { relay, clock, becomes, log } = watched()
    await relay.start()
    for (const pauseMs of [1000, 1000]) {
      await clock.advance(60_000)
      process.kill(relay.pid ?? 0, 'SIGKILL')
      await becomes('down')
      expect(log.at(-1)).toMatchObject({ facts: { pauseMs } })
      await clock.advance(pauseMs)
      await becomes('up')
    }
  })

  test('that cannot bind its port is down, and up as soon as it can', async () => {
    const blocker = createSocket('udp4')
    blocker.bind(0, '127.0.0.1')
    await once(blocker, 'listening')
    const { port } = blocker.address()
    const { relay, clock, becomes, log } = watched({ port })
    await relay.start()
    expect(relay.state()).toBe('down')
    const { message, facts } = log.find(({ message }) => message.includes('cannot start')) ?? {}
    expect(String(facts?.reason)).toContain('EADDRINUSE')
    expect(message).toContain('one of its ports is taken')
    await new Promise<void>((resolve) => blocker.close(resolve))
    await clock.advance(1000)
    await becomes('up')
    expect(relay.ports()).toMatchObject({ port })
  })

  test('that hangs is killed when three questions have got no answer, and started again', async () => {
    const { relay, clock, becomes, log } = watched({}, { askEveryMs: 3000 })
    await relay.start()
    const pid = relay.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    await clock.advance(11_999)
    expect(relay.state()).toBe('up')
    await clock.advance(1)
    await becomes('down')
    expect(gone(pid)).toBe(true)
    expect(log.find(({ message }) => message.includes('hangs'))).toMatchObject({ level: 'error', facts: { pid } })
    await clock.advance(1000)
    await becomes('up')
    expect(relay.report()).toMatchObject({ state: 'up', restarts: 1 })
  })

  test('that answers is left alone, however long it has been asked', async () => {
    let heard = () => {}
    const { relay, clock } = watched({}, { askEveryMs: 3000, onAlive: () => heard() })
    await relay.start()
    const pid = relay.pid
    for (let each = 0; each < 8; each++) {
      const answered = new Promise<void>((resolve) => {
        heard = resolve
      })
      await clock.advance(3000)
      await answered
    }
    expect(relay.pid).toBe(pid)
    expect(relay.state()).toBe('up')
  })

  test('that hangs is gone two seconds after stop()', async () => {
    const { relay, clock } = watched()
    await relay.start()
    const pid = relay.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    const stopped = relay.stop()
    await clock.advance(1999)
    expect(gone(pid)).toBe(false)
    await clock.advance(1)
    await stopped
    expect(gone(pid)).toBe(true)
  })

  test('is not started again once it has been stopped while it was down', async () => {
    const { relay, clock, becomes } = watched()
    await relay.start()
    process.kill(relay.pid ?? 0, 'SIGKILL')
    await becomes('down')
    await relay.stop()
    await clock.advance(60_000)
    expect(relay.pid).toBeUndefined()
    expect(relay.state()).toBe('off')
  })

  test('that is stopped before it has come up ends', async () => {
    const { relay } = watched()
    const started = relay.start()
    const pid = relay.pid ?? 0
    await relay.stop()
    await started
    expect(gone(pid)).toBe(true)
    expect(relay.state()).toBe('off')
  })

  test('leaves the signals of the terminal and of the service to its parent', async () => {
    const { relay } = watched()
    await relay.start()
    const pid = relay.pid ?? 0
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
    const alice = await clientOf(relay)
    expect((await alice.ask({ method: METHOD.binding })).class).toBe(CLASS.success)
    expect(relay.pid).toBe(pid)
  })

  test('shows neither secrets nor our environment to who looks at the processes', async () => {
    process.env.AUTH_JWT_SECRET = 'not for the relay'
    try {
      const { relay } = watched()
      await relay.start()
      const { readFile } = await import('node:fs/promises')
      const seen = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${relay.pid}/${file}`, 'utf8').catch(() => '')),
      )
      expect(seen.join()).not.toContain(SECRET)
      expect(seen.join()).not.toContain('AUTH_JWT_SECRET')
    } finally {
      delete process.env.AUTH_JWT_SECRET
    }
  })

  test('ends with its parent, even one that was killed', async () => {
    const parent = fork(fileURLToPath(new URL('./parent.ts', import.meta.url)), [], {
      execArgv: ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href],
    })
    children.push(parent)
    const [{ pid, port }] = (await once(parent, 'message')) as [{ pid: number; port: number }]
    expect(gone(pid)).toBe(false)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    // its port is free again as soon as the relay has ended: nothing else tells us of somebody else's child
    for (;;) {
      const socket = await openUdp('127.0.0.1', port).catch(() => undefined)
      if (socket) return void socket.close()
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

  test.each([
    ['publicIps', { publicIps: ['0.0.0.0'] }],
    ['publicIps', { publicIps: ['turn.example.org'] }],
    ['listenIps', { listenIps: ['localhost'] }],
    ['IPv4 or both IPv6', { listenIps: ['::1'] }],
    ['listenIps', { listenIps: [] }],
    ['publicIps', { publicIps: [] }],
    ['two addresses of one family', { publicIps: ['127.0.0.1', '192.0.2.1'] }],
    ['tls.port', { tls: { port: -1, certificate: 'self-made' as const } }],
    ['tls.port', { port: 4000, tls: { port: 4000, certificate: 'self-made' as const } }],
    ['minPort', { minPort: 2000, maxPort: 1999 }],
    ['port', { port: 70_000 }],
    ['secrets', { secrets: [] }],
    ['secrets', { secrets: [''] }],
    ['allowPeers: 10/8', { allowPeers: ['10/8'] }],
    ['denyPeers: 8.8.8', { denyPeers: ['8.8.8'] }],
    ['realm', { realm: '' }],
    ['channels', { channels: 0 }],
    ['maxAllocationSeconds', { allocationSeconds: 600, maxAllocationSeconds: 60 }],
  ])('is not even started with a wrong %s (#18)', (named, settings) => {
    expect(() => watched(settings)).toThrow(RangeError)
    expect(() => watched(settings)).toThrow(named)
  })
})
