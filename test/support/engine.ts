import { MemoryCallStore } from '../../src/adapters/memory/call-store.ts'
import { CallRequest } from '../../src/calls/messages.ts'
import { mesh } from '../../src/calls/room-media.ts'
import { CallService } from '../../src/calls/service.ts'
import type { Actor, CallTimers } from '../../src/calls/types.ts'
import { Events } from '../../src/events.ts'
import type { CallStore, Directory, Routes } from '../../src/ports.ts'
import { TestClock } from './clock.ts'
import { FakeDevices } from './devices.ts'

export const TIMERS: CallTimers = {
  callerGraceMs: 10_000,
  graceMs: 30_000,
  httpLegMs: 120_000,
  longestCallMs: 12 * 3_600_000,
  tombstoneMs: 600_000,
  lateSignalMs: 10_000,
}

/** The call engine with a clock in the hand, a store, and devices without sockets. */
export function engine(
  options: {
    store?: CallStore
    devices?: FakeDevices
    clock?: TestClock
    offline?: 'wait' | 'fail'
    routes?: Routes
    directory?: Directory
    timers?: CallTimers
    /** People in a room. */
    most?: number
    callWaiting?: boolean
  } = {},
) {
  const store = options.store ?? new MemoryCallStore()
  const devices = options.devices ?? new FakeDevices()
  const clock = options.clock ?? new TestClock()
  const bugs: unknown[] = []
  const events = new Events((error) => bugs.push(error))
  const calls = new CallService({
    store,
    devices,
    routes: options.routes,
    directory: options.directory,
    clock,
    events,
    timers: options.timers ?? TIMERS,
    ringMs: 30_000,
    offline: options.offline ?? 'wait',
    roomMedia: mesh(options.most ?? 4),
    callWaiting: options.callWaiting,
    report: (error) => bugs.push(error),
  })
  return { store, devices, clock, events, calls, bugs }
}

/** `bob/phone` is device `bob/phone` of user `bob`; `bob` alone is the user over HTTP. */
export function actor(name: string, token = `token of ${name}`): Actor {
  const user = name.split('/')[0] ?? name
  return name.includes('/') ? { user, device: name, token } : { user, token, overHttp: true }
}

export function requestOf(callee: string, callId: string, more: Record<string, unknown> = {}): CallRequest {
  return CallRequest.parse({ callId, callee, callerUserName: 'Somebody', ...more })
}
