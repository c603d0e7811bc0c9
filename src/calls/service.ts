/**
 * Carries out what the rules decide: load, decide, commit by compare-and-set, and only then tell (design: "decide →
 * compare-and-set → act"). Every face calls this one service; a refusal is a value, a throw is a bug.
 *
 * In this process the commands of one call go one after the other, so that what is told keeps the order of the
 * commits. Between processes the store alone decides. With a store that answers at once a command is carried out at
 * once: whoever asked has the answer when the call returns.
 */

import { hash } from 'node:crypto'
import { accepted, type Outcome, refuse } from '../errors.ts'
import type { Events } from '../events.ts'
import type { CallStore, Cancel, Clock, DeviceId, Devices, Message, UserId } from '../ports.ts'
import { type Awaitable, perform, type Steps, wait, waitForAll } from '../steps.ts'
import { Lines } from './lines.ts'
import type { CallHangup, CallRequest, CallResponse, CallRinging, Signal } from './messages.ts'
import { type Decision, decide, type Situation } from './transition.ts'
import type { Actor, Call, CallCommand, CallId, CallQueue, CallTimers, Effect, SignalFrame, Target } from './types.ts'

/** Lost compare-and-sets before giving up; each means that somebody else's command went through. */
const MOST_TRIES = 64

/** Calls whose deadlines are looked at in one go. */
const DUE_AT_ONCE = 256

/** The longest time between two looks at the store for deadlines. */
const LONGEST_LOOK_MS = 60_000

export interface CallOptions {
  readonly store: CallStore
  readonly devices: Devices
  readonly clock: Clock
  readonly events: Events
  readonly timers: CallTimers
  /** How long a call rings unless its request says otherwise. */
  readonly ringMs: number
  /** What happens to a request for a user without any connected device: it waits for one, or is refused with 1003. */
  readonly offline: 'wait' | 'fail'
  /** Told of bugs found outside any command, where nobody waits for an answer. */
  readonly report: (error: unknown) => void
}

export class CallService {
  readonly #options: CallOptions
  readonly #lines = new Lines()
  #timer: { readonly at: number; readonly cancel: Cancel } | undefined
  #stopped = false
  #shuttingDown = false

  constructor(options: CallOptions) {
    this.#options = options
  }

  /** Rings the callee. Answered when the call is committed and every listening device of the callee was told. */
  request(actor: Actor, message: CallRequest): Awaitable<Outcome<unknown>> {
    const { devices, offline, ringMs } = this.#options
    return this.#perform(message.callId, {
      verb: 'request',
      actor,
      callId: message.callId,
      type: message.type,
      callee: message.callee,
      ringMs: message.timeout == null ? ringMs : message.timeout * 1000,
      acceptGlare: message.glare === 'accept',
      unreachable: offline === 'fail' && devices.connected(message.callee).length === 0,
      request: message,
      fingerprint: hash('sha256', JSON.stringify(message), 'base64url'),
    })
  }

  respond(actor: Actor, { callId, type, reason }: CallResponse): Awaitable<Outcome<unknown>> {
    return this.#perform(callId, type === 'ACCEPT' ? { verb: 'accept', actor } : { verb: 'reject', actor, reason })
  }

  /** Without a callId: the user's one live call; when there is none that is fine, a repeat must be harmless. */
  hangup(actor: Actor, { callId }: CallHangup): Awaitable<Outcome<unknown>> {
    if (callId != null) return this.#perform(callId, { verb: 'hangup', actor })
    return this.#withCurrent(actor.user, () => ({ verb: 'hangup', actor }))
  }

  /** This device shows the call now. */
  ringing(actor: Actor, { callId }: CallRinging): Awaitable<Outcome<unknown>> {
    return this.#perform(callId, { verb: 'ringing', actor })
  }

  /** Carries a signalling frame to the other party's bound device, its octets untouched. */
  signal(actor: Actor, { callId }: Pick<Signal, 'callId'>, frame: SignalFrame): Awaitable<Outcome<unknown>> {
    const command: CallCommand = { verb: 'signal', actor, signal: frame }
    return this.#withoutChange(callId, command) ?? this.#perform(callId, command)
  }

  /** A device of the user subscribes to `call/request`: a call that waits for the user rings there too. */
  appeared(user: UserId, device: DeviceId): Awaitable<void> {
    return quietly(
      this.#withCurrent(user, (call) =>
        call.callee === user ? { verb: 'appear', user, devices: [device] } : undefined,
      ),
    )
  }

  /** A device of the user subscribes to signalling: it hears what was kept for a user who answered without one. */
  listens(user: UserId, device: DeviceId): Awaitable<void> {
    return quietly(
      this.#withCurrent(user, (call) => (call.kept.length > 0 ? { verb: 'listen', user, device } : undefined)),
    )
  }

  /** A session of the user has ended. `token`: fingerprint of the one it had in the end; `former`: of those before it. */
  lost(user: UserId, device: DeviceId, token?: string, former?: readonly string[]): Awaitable<void> {
    return quietly(this.#withCurrent(user, () => ({ verb: 'lose', user, device, token, former })))
  }

  /** An operator has shut out the user, or this device alone: the live call that they are in ends (ADMIN). */
  shutOut(user: UserId, device?: DeviceId): Awaitable<void> {
    return quietly(this.#withCurrent(user, () => ({ verb: 'shutOut', user, device })))
  }

  /** Whether a live call goes over this very device of the user: it has called, or answered. */
  async occupies(user: UserId, device: DeviceId): Promise<boolean> {
    const call = await this.#options.store.current(user)
    return call !== undefined && [call.origin, call.winner].some((leg) => leg?.user === user && leg.device === device)
  }

  /** The user asked something over HTTP: that keeps a leg without a device alive. */
  heard(user: UserId): Awaitable<void> {
    return quietly(
      this.#withCurrent(user, (call) =>
        [call.origin, call.winner].some((leg) => leg?.user === user && leg.device === undefined)
          ? { verb: 'hear', user }
          : undefined,
      ),
    )
  }

  /** Takes up the deadlines that the store holds. Call it once, at the start. */
  async start(): Promise<void> {
    await this.#look()
  }

  /**
   * The process stops, while its devices can still be told. Where the calls end with it, no call begins any more, what
   * rings is ended, and those who talk are told that they are on their own. Fulfilled when everybody was told.
   */
  async shutDown(): Promise<void> {
    const { store } = this.#options
    if (store.outlives) return
    this.#shuttingDown = true
    await Promise.all((await store.live()).map((callId) => this.#perform(callId, { verb: 'shutDown' })))
  }

  /** No deadline fires any more. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #perform(callId: CallId, command: CallCommand): Awaitable<Outcome<unknown>> {
    return this.#lines.run(callId, () => perform(this.#attempt(callId, command)))
  }

  /**
   * The short way of most signalling frames: nothing is committed, and nobody is waited for. Undefined when this one
   * must take the long way; then nothing was done.
   */
  #withoutChange(callId: CallId, command: CallCommand): Outcome<unknown> | undefined {
    if (this.#lines.busy(callId)) return undefined
    const { store, clock, timers } = this.#options
    const call = store.atHand?.(callId)
    if (call === undefined) return undefined
    const { outcome, effects, write, others, forget } = decide({ callId, call }, command, clock.now(), timers)
    if (write !== undefined || others !== undefined || forget || !effects.every(isRelay)) return undefined
    for (const { to, from, signal } of effects) this.#relay(to, from, signal)
    return outcome
  }

  /** A command for the user's one live call, if there is one. */
  #withCurrent(user: UserId, commandFor: (call: Call) => CallCommand | undefined): Awaitable<Outcome<unknown>> {
    const found = this.#options.store.current(user)
    const go = (call: Call | undefined): Awaitable<Outcome<unknown>> => {
      const command = call && commandFor(call)
      return call && command ? this.#perform(call.callId, command) : accepted
    }
    return found instanceof Promise ? found.then(go) : go(found)
  }

  *#attempt(callId: CallId, command: CallCommand): Steps<Outcome<unknown>> {
    const { store, clock, timers } = this.#options
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const situation = yield* this.#situation(callId, command)
      if (this.#shuttingDown && command.verb === 'request') return restarting(callId)
      const decision = decide(situation, command, clock.now(), timers)
      const writes = writesOf(decision)
      if (writes.length > 0 && !(yield* this.#commit(writes))) continue
      // Other calls are told of in their own lines: after whatever was committed about them before. That cannot
      // deadlock: their lines wait for this one only if they were begun by ending this call, which is just beginning.
      for (const { call, effects } of decision.others ?? [])
        yield* wait(this.#lines.run(call.callId, () => perform(this.#act(effects))))
      yield* this.#act(decision.effects)
      if (writes.length > 0) yield* this.#lostMeanwhile(command, writes)
      if (decision.forget && situation.call) yield* wait(store.forget(callId, situation.call.version))
      return decision.outcome
    }
    return refuse('unavailable', 'too many commands for this call at the same time; try again', {
      callId,
      retryAfter: 1,
    })
  }

  *#situation(callId: CallId, command: CallCommand): Steps<Situation> {
    const { store } = this.#options
    if (command.verb !== 'request') return { callId, call: yield* wait(store.load(callId)) }
    const answers = [store.load(callId), store.current(command.actor.user), store.current(command.callee)] as const
    const [call, mine, theirs] = yield* waitForAll(answers)
    return { callId, call, mine, theirs }
  }

  *#commit(writes: readonly Call[]): Steps<boolean> {
    const done = yield* wait(this.#options.store.commit(writes.map((call) => ({ call, expected: call.version }))))
    if (done) for (const call of writes) this.#wake(call.due)
    return done
  }

  /** The device may have died between its command and the commit: then its loss found no call to be noted in. */
  *#lostMeanwhile(command: CallCommand, writes: readonly Call[]): Steps<void> {
    if (!('actor' in command) || command.actor.device === undefined) return
    const { user, device } = command.actor
    if (this.#options.devices.connected(user).includes(device)) return
    for (const { callId, endedAt } of writes)
      if (endedAt === undefined) yield* this.#attempt(callId, { verb: 'lose', user, device })
  }

  *#act(effects: readonly Effect[]): Steps<void> {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'tell':
          this.#tell(effect)
          break
        case 'relay':
          this.#relay(effect.to, effect.from, effect.signal)
          break
        case 'news':
          this.#options.events.emit(effect.news, { call: effect.call })
          break
        case 'ring':
          yield* this.#ring(effect.call)
          break
      }
    }
  }

  /** After the commit, so that a device that subscribes just now is either found here or finds the call itself. */
  *#ring({ callId, callee }: Call): Steps<void> {
    const devices = this.#options.devices.listening(callee, RINGS_ON)
    if (devices.length > 0) yield* this.#attempt(callId, { verb: 'appear', user: callee, devices })
  }

  #tell({ to, queue: name, body, headers }: Extract<Effect, { kind: 'tell' }>): void {
    this.#send(to, queue(name), { body: JSON.stringify(body), ...(headers && { headers }) })
  }

  #relay(to: Target, from: UserId, { body, contentType }: SignalFrame): void {
    this.#send(to, SIGNALS_ON, { body, contentType, headers: { from } })
  }

  #send(to: Target, destination: string, message: Message): void {
    const { devices } = this.#options
    const those =
      'devices' in to ? to.devices : devices.reachable(to.user, destination).filter((device) => device !== to.except)
    for (const device of those) devices.tell(device, destination, message)
  }

  /** Makes sure that somebody looks at the store at `at`. */
  #wake(at: number): void {
    const { clock } = this.#options
    const wanted = Math.min(at, clock.now() + LONGEST_LOOK_MS)
    if (this.#stopped || (this.#timer && this.#timer.at <= wanted)) return
    this.#timer?.cancel()
    const cancel = clock.after(wanted - clock.now(), () => {
      this.#timer = undefined
      this.#look().catch(this.#options.report)
    })
    this.#timer = { at: wanted, cancel }
  }

  /** Fires what is due, then sleeps until the next deadline. */
  async #look(): Promise<void> {
    const { store, clock } = this.#options
    const due = await store.due(clock.now(), DUE_AT_ONCE)
    await Promise.all(due.map((callId) => this.#perform(callId, { verb: 'tick' })))
    const next = await store.nextDue()
    if (next !== undefined) this.#wake(next)
  }
}

const isRelay = (effect: Effect): effect is Extract<Effect, { kind: 'relay' }> => effect.kind === 'relay'

/** For those to whom the answer says nothing. */
function quietly(done: Awaitable<unknown>): Awaitable<void> {
  return done instanceof Promise ? done.then(() => undefined) : undefined
}

const writesOf = ({ write, others = [] }: Decision): readonly Call[] => [
  ...others.map(({ call }) => call),
  ...(write ? [write] : []),
]

const restarting = (callId: CallId) =>
  refuse('unavailable', 'the server restarts: call again in a moment', { callId, retryAfter: 5 })

const queue = (name: CallQueue | 'errors'): string => `/user/queue/${name}`

/** Who subscribes here is to be told with {@link CallService.appeared}, and here with {@link CallService.listens}. */
export const RINGS_ON = queue('call/request')
export const SIGNALS_ON = '/user/queue/rtc/signaling'
