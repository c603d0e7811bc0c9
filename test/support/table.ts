import { type CallRequest, CallTransfer } from '../../src/calls/messages.ts'
import type { Call, CallId } from '../../src/calls/types.ts'
import { actor, engine, requestOf } from './engine.ts'

/** One engine, with everybody at the table: a command of a device, and what the devices hear of it, in a line each. */
export class Table {
  readonly world: ReturnType<typeof engine>

  constructor(devices: readonly string[], options: Parameters<typeof engine>[0] = {}) {
    this.world = engine(options)
    for (const device of devices) this.world.devices.connect(userOf(device), device)
  }

  requests(who: string, callee: string, callId: CallId, more: Partial<CallRequest> = {}) {
    return this.world.calls.request(actor(who), requestOf(callee, callId, more))
  }

  accepts(who: string, callId: CallId, features?: readonly string[]) {
    const more = features ? { features: [...features] } : {}
    return this.world.calls.respond(actor(who), { callId, type: 'ACCEPT', reason: 'DECLINED', ...more })
  }

  rejects(who: string, callId: CallId, reason: 'DECLINED' | 'BUSY' = 'DECLINED') {
    return this.world.calls.respond(actor(who), { callId, type: 'REJECT', reason })
  }

  hangs(who: string, callId?: CallId) {
    return this.world.calls.hangup(actor(who), callId === undefined ? {} : { callId })
  }

  holds(who: string, callId: CallId, hold = true) {
    return this.world.calls.hold(actor(who), { callId, hold })
  }

  transfers(who: string, callId: CallId, target: string, withCallId?: CallId) {
    const mode = withCallId === undefined ? 'BLIND' : 'ATTENDED'
    return this.world.calls.transfer(actor(who), CallTransfer.parse({ callId, target, mode, withCallId }))
  }

  /** A connected call of these two devices, whose clients can do everything; nobody remembers what was heard of it. */
  async connects(caller: string, callee: string, callId: CallId, features: readonly string[] = ALL): Promise<void> {
    await this.requests(caller, userOf(callee), callId, { features: [...features], callerUserName: userOf(caller) })
    await this.accepts(callee, callId, features)
    this.world.devices.forgetHeard()
  }

  async leaves(device: string) {
    this.world.devices.disconnect(device)
    await this.world.calls.lost(userOf(device), device, `token of ${device}`)
  }

  hears(device: string): string[] {
    return this.world.devices.ofCalls(device)
  }

  call(callId: CallId): Promise<Call | undefined> {
    return Promise.resolve(this.world.store.load(callId))
  }

  /** `STATUS REASON` of a call. */
  async is(callId: CallId): Promise<string> {
    const call = await this.call(callId)
    return [call?.status, call?.reason].filter((word) => word !== undefined).join(' ')
  }

  async line(user: string): Promise<CallId[]> {
    return (await this.world.store.line(user)).map(({ callId }) => callId).sort()
  }
}

const ALL = ['hold', 'transfer', 'room']

const userOf = (device: string): string => device.split('/')[0] ?? device
