/**
 * Carries out what the rules decide: load, decide, commit by compare-and-set, and only then tell (design: "decide →
 * compare-and-set → act"). Every face calls this one service; a refusal is a value, a throw is a bug.
 *
 * In this process the commands of one call go one after the other, so that what is told keeps the order of the
 * commits. Between processes the store alone decides. With a store that answers at once a command is carried out at
 * once: whoever asked has the answer when the call returns.
 */

import { hash, randomUUID } from 'node:crypto'
import { accepted, CODES, type Outcome, refuse } from '../errors.ts'
import type { Events } from '../events.ts'
import { Lines } from '../lines.ts'
import {
  type CallStore,
  type CallWrite,
  type Cancel,
  type Clock,
  type DeviceId,
  type Devices,
  type Directory,
  type Message,
  type Routes,
  Unavailable,
  type UserId,
} from '../ports.ts'
import { type Awaitable, perform, type Steps, wait, waitForAll } from '../steps.ts'
import { foregroundOf, legIn } from './line.ts'
import {
  type CallHangup,
  type CallHold,
  type CallInvite,
  type CallRequest,
  type CallResponse,
  type CallRinging,
  type CallTransfer,
  featuresOf,
  type Signal,
} from './messages.ts'
import type { RoomMedia } from './room-media.ts'
import { type Change, type Decision, decide, linksOf, type Situation } from './transition.ts'
import type {
  Actor,
  Call,
  CallCommand,
  CallId,
  CallQueue,
  CallTimers,
  Effect,
  Rejection,
  SignalFrame,
  Target,
} from './types.ts'
import { Watched } from './watched.ts'

/** Calls that one command may change together. */
const MOST_CALLS_AT_ONCE = 64

const NO_CHANGES: readonly Change[] = []

/** Lost compare-and-sets before giving up; each means that somebody else's command went through. */
const MOST_TRIES = 64

/** Calls whose deadlines are looked at in one go. */
const DUE_AT_ONCE = 256

/** The longest time between two looks at the store for deadlines. */
const LONGEST_LOOK_MS = 60_000

/** The same where others commit to the store as well, who may die with the deadlines that they meant to look after. */
const LONGEST_LOOK_FOR_OTHERS_MS = 1_000

/** Seconds after which it makes sense to ask again when the store could not be reached. */
const STORE_BACK_AFTER_S = 2

export interface CallOptions {
  readonly store: CallStore
  readonly devices: Devices
  /** The way to devices of other processes, and who is connected there. Both or none. */
  readonly routes?: Routes | undefined
  readonly directory?: Directory | undefined
  readonly clock: Clock
  readonly events: Events
  readonly timers: CallTimers
  /** How long a call rings unless its request says otherwise. */
  readonly ringMs: number
  /** Whether a user who is in a call is shown a second one; it is refused with 1001 otherwise. */
  readonly callWaiting?: boolean | undefined
  /** What happens to a request for a user without any connected device: it waits for one, or is refused with 1003. */
  readonly offline: 'wait' | 'fail'
  /** What carries the media of rooms. */
  readonly roomMedia: RoomMedia
  /** Told of bugs found outside any command, where nobody waits for an answer. */
  readonly report: (error: unknown) => void
}

/** NO_ANSWER is said by those who answer for a phone, never by the phone itself. */
type Response = Pick<CallResponse, 'callId' | 'type' | 'features'> & { readonly reason: Rejection }

/** Effects that a call was committed with, and that may not have taken place. */
export interface Untold {
  readonly call: Call
  readonly effects: readonly Effect[]
}

export class CallService {
  readonly #options: CallOptions
  readonly #lines = new Lines()
  readonly #watched = new Watched()
  #timer: { readonly at: number; readonly cancel: Cancel } | undefined
  #stopped = false
  #shuttingDown = false

  constructor(options: CallOptions) {
    this.#options = options
    options.store.watch?.((callId) => this.#watched.changed(callId))
  }

  /** Rings the callee. Answered when the call is committed and every listening device of the callee was told. */
  request(actor: Actor, message: CallRequest): Awaitable<Outcome<unknown>> {
    const { ringMs, callWaiting = false } = this.#options
    const go = (unreachable: boolean) =>
      this.#perform(message.callId, {
        verb: 'request',
        actor,
        callId: message.callId,
        type: message.type,
        callee: message.callee,
        ringMs: message.timeout == null ? ringMs : message.timeout * 1000,
        acceptGlare: message.glare === 'accept',
        unreachable,
        request: message,
        fingerprint: fingerprintOf(message),
        features: featuresOf(message.features),
        waiting: callWaiting,
      })
    const unreachable = this.#isUnreachable(message.callee)
    return unreachable instanceof Promise ? unreachable.then(go, unlessAway(message.callId)) : go(unreachable)
  }

  respond(actor: Actor, { callId, type, reason, features }: Response): Awaitable<Outcome<unknown>> {
    return this.#perform(
      callId,
      type === 'ACCEPT' ? { verb: 'accept', actor, features: featuresOf(features) } : { verb: 'reject', actor, reason },
    )
  }

  /** Without a callId: the call in the foreground of the user's line; when there is none that is fine, a repeat must be harmless. */
  hangup(actor: Actor, { callId }: CallHangup): Awaitable<Outcome<unknown>> {
    if (callId != null) return this.#perform(callId, { verb: 'hangup', actor })
    const found = this.#options.store.line(actor.user)
    const go = (line: readonly Call[]): Awaitable<Outcome<unknown>> => {
      const call = foregroundOf(line, actor.user)
      return call === undefined ? accepted : this.#perform(call.callId, { verb: 'hangup', actor })
    }
    return found instanceof Promise ? found.then(go, unlessAway()) : go(found)
  }

  /** Puts a call on hold, or takes it up again; then the user's other call is put on hold. */
  hold(actor: Actor, { callId, hold }: CallHold): Awaitable<Outcome<unknown>> {
    return this.#perform(callId, { verb: 'hold', actor, hold })
  }

  /** Has the other party of a call called through to the target. `data`: `{newCallId}`. */
  transfer(actor: Actor, { callId, target, mode, withCallId }: CallTransfer): Awaitable<Outcome<unknown>> {
    const go = (unreachable: boolean) =>
      this.#perform(callId, {
        verb: 'transfer',
        actor,
        target,
        mode,
        ...(withCallId == null ? {} : { withCallId }),
        newCallId: randomUUID(),
        ringMs: this.#options.ringMs,
        unreachable,
      })
    const unreachable = mode === 'BLIND' && this.#isUnreachable(target)
    return unreachable instanceof Promise ? unreachable.then(go, unlessAway(callId)) : go(unreachable)
  }

  /** This device shows the call now. */
  ringing(actor: Actor, { callId }: CallRinging): Awaitable<Outcome<unknown>> {
    return this.#perform(callId, { verb: 'ringing', actor })
  }

  /**
   * Asks more people into a call of two, which becomes a room by that, or into a room. `data`: `{callId, members}`, the
   * roster. Answered when the call is committed and every listening device of the invitees was told.
   */
  invite(actor: Actor, { callId, invitees, names }: CallInvite): Awaitable<Outcome<unknown>> {
    const { ringMs, roomMedia } = this.#options
    const { most } = roomMedia
    const named = names == null ? undefined : new Map(Object.entries(names))
    return this.#perform(callId, {
      verb: 'invite',
      actor,
      invitees,
      ringMs,
      media: roomMedia.describe(),
      most,
      names: named,
    })
  }

  /**
   * Carries a signalling frame to the other party's bound device (in a room: of the member `to`), its octets untouched.
   * They need be good only until this returns.
   */
  signal(actor: Actor, { callId, to }: Addressed, frame: SignalFrame): Awaitable<Outcome<unknown>> {
    const command = (signal: SignalFrame): CallCommand => ({ verb: 'signal', actor, signal, to: to ?? undefined })
    return (
      this.#withoutChange(callId, command(frame)) ??
      // It may wait, or be kept: in memory of its own, so that it holds on to no larger one either
      this.#perform(callId, command({ ...frame, body: Uint8Array.from(frame.body) }))
    )
  }

  /** A device of the user subscribes to `call/request`: a call that waits for the user rings there too. */
  appeared(user: UserId, device: DeviceId): Awaitable<void> {
    return quietly(
      this.#withLine(user, (call) =>
        call.callee === user || call.members ? { verb: 'appear', user, devices: [device] } : undefined,
      ),
    )
  }

  /** A device of the user subscribes to signalling: it hears what was kept for a user who answered without one. */
  listens(user: UserId, device: DeviceId): Awaitable<void> {
    return quietly(
      this.#withLine(user, (call) => (call.kept.length > 0 ? { verb: 'listen', user, device } : undefined)),
    )
  }

  /**
   * A session of the user has ended, or has lost its connection and is `away`. `token`: fingerprint of the one it had in
   * the end; `former`: of those before it. False: the store cannot be reached, this must be said again.
   */
  lost(user: UserId, device: DeviceId, token?: string, former?: readonly string[], away?: boolean): Awaitable<boolean> {
    return noted(this.#withLine(user, () => ({ verb: 'lose', user, device, token, former, away })))
  }

  /**
   * A session that was away is connected again. `token`: fingerprint of the one it has now. False: the store cannot be
   * reached, this must be said again.
   */
  returned(user: UserId, device: DeviceId, token: string): Awaitable<boolean> {
    return noted(this.#withLine(user, () => ({ verb: 'return', user, device, token })))
  }

  /**
   * A device of the user subscribes to `call/hangup`: when its token tells that it was in a call that is over, under an
   * earlier session, it hears that it is over.
   */
  hearsEnds(user: UserId, device: DeviceId, token: string): Awaitable<void> {
    return perform(this.#recall(user, device, token))
  }

  /** Another process has begun to ring the user: this call shall ring on the devices here too. */
  ringsHere(user: UserId, callId: CallId): Awaitable<void> {
    return quietly(this.#lines.run(callId, () => perform(this.#orRefuse(callId, this.#ring({ callId, callee: user })))))
  }

  /** The call as it is now, while it is remembered; `data` is undefined when it is not. Refused with 503 alone. */
  read(callId: CallId): Awaitable<Outcome<Call | undefined>> {
    const found = this.#options.store.load(callId)
    if (!(found instanceof Promise)) return { ok: true, data: found }
    return found.then((data) => ({ ok: true, data }), unlessAway(callId))
  }

  /**
   * Told after every change of the call that this process makes or hears of, until it is cancelled: of what others change
   * once the call was read here. It may be told of no change.
   */
  watch(callId: CallId, changed: () => void): Cancel {
    return this.#watched.add(callId, changed)
  }

  /** Does this when what is being committed here about the call has been told: so it cannot be overtaken by news from elsewhere. */
  inTurn(callId: CallId, work: () => void): void {
    const done = this.#lines.run(callId, work)
    if (done instanceof Promise) done.catch(this.#options.report)
  }

  /**
   * Does what was committed, and not certainly told, by a process that has died (or by this one, when it could not know
   * what became of a commit). What was told already may be told again. Rejected with {@link Unavailable}: try again.
   */
  async recover(untold: AsyncIterable<Untold>): Promise<void> {
    for await (const { call, effects } of untold) {
      const rung = effects.flatMap((effect) => (effect.kind === 'ring' ? [effect.call.callId] : []))
      await this.#lines.runAll([call.callId, ...rung], () => perform(this.#recovered(call, effects)))
    }
  }

  /** An operator has shut out the user, or this device alone: the live calls that they are in end (ADMIN). */
  shutOut(user: UserId, device?: DeviceId): Awaitable<void> {
    return quietly(this.#withLine(user, () => ({ verb: 'shutOut', user, device })))
  }

  /** Whether a live call goes over this very device of the user: it has called, or answered. True as long as nobody knows. */
  async occupies(user: UserId, device: DeviceId): Promise<boolean> {
    try {
      const line = await this.#options.store.line(user)
      return line.some((call) => legIn(call, user)?.device === device)
    } catch (error) {
      if (error instanceof Unavailable) return true
      throw error
    }
  }

  /** The user asked something over HTTP: that keeps a leg without a device alive. */
  heard(user: UserId): Awaitable<void> {
    return quietly(
      this.#withLine(user, (call) => {
        const leg = legIn(call, user)
        return leg !== undefined && leg.device === undefined ? { verb: 'hear', user } : undefined
      }),
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
    const alone = [callId]
    const done = this.#lines.run(callId, () => perform(this.#orRefuse(callId, this.#attempt(callId, command, alone))))
    if (done instanceof Promise)
      return done.then((known) => (known instanceof Wider ? this.#performOver(known, callId, command) : known))
    return done instanceof Wider ? this.#performOver(done, callId, command) : done
  }

  /** The same for a command that changes more calls than its own: nobody else is told of any of them meanwhile. */
  #performOver({ callIds }: Wider, callId: CallId, command: CallCommand): Awaitable<Outcome<unknown>> {
    const done = this.#lines.runAll(callIds, () =>
      perform(this.#orRefuse(callId, this.#attempt(callId, command, callIds))),
    )
    const go = (known: Outcome<unknown> | Wider): Awaitable<Outcome<unknown>> => {
      if (!(known instanceof Wider)) return known
      return known.callIds.length > MOST_CALLS_AT_ONCE ? tooBusy(callId) : this.#performOver(known, callId, command)
    }
    return done instanceof Promise ? done.then(go) : go(done)
  }

  /** That the store cannot be reached is an answer, not a bug. */
  *#orRefuse<T>(callId: CallId, work: Steps<T>): Steps<T | Outcome<never>> {
    try {
      return yield* work
    } catch (error) {
      return unlessAway(callId)(error)
    }
  }

  #isUnreachable(callee: UserId): Awaitable<boolean> {
    const { devices, directory, offline } = this.#options
    if (offline === 'wait' || devices.connected(callee).length > 0) return false
    const known = directory?.devices(callee)
    if (known instanceof Promise) return known.then((all) => all.every(({ away }) => away))
    return known === undefined || known.every(({ away }) => away)
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
    for (const effect of effects) this.#relay(effect, callId)
    return outcome
  }

  /** A command for every call in the user's line that there is one for. The answer is the first refusal, if any. */
  #withLine(user: UserId, commandFor: (call: Call) => CallCommand | undefined): Awaitable<Outcome<unknown>> {
    const found = this.#options.store.line(user)
    const one = (call: Call | undefined): Awaitable<Outcome<unknown>> => {
      const command = call && commandFor(call)
      return call && command ? this.#perform(call.callId, command) : accepted
    }
    const go = (line: readonly Call[]): Awaitable<Outcome<unknown>> =>
      line.length < 2 ? one(line[0]) : perform(all(line.map(one)))
    return found instanceof Promise ? found.then(go, unlessAway()) : go(found)
  }

  /** `held`: the calls in whose turn this is done. When it must change others, nothing is done yet. */
  *#attempt(callId: CallId, command: CallCommand, held: readonly CallId[]): Steps<Outcome<unknown> | Wider> {
    const { store, clock, timers } = this.#options
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const situation = yield* this.#situation(callId, command)
      if (this.#shuttingDown && command.verb === 'request') return restarting(callId)
      const decision = decide(situation, command, clock.now(), timers)
      const { others = NO_CHANGES } = decision
      if (!others.every(({ call }) => held.includes(call.callId)))
        return new Wider([...held, ...others.map(({ call }) => call.callId)])
      const writes = writesOf(decision)
      if (writes.length === 0) {
        yield* this.#act(callId, decision.effects)
        if (decision.forget && situation.call) yield* wait(store.forget(callId, situation.call.version))
        return decision.outcome
      }
      const committed = yield* this.#commit(writes, decision)
      if (committed === undefined) continue
      if (yield* this.#told(callId, decision)) store.told?.(committed)
      yield* this.#lostMeanwhile(command, writes)
      return decision.outcome
    }
    return tooBusy(callId)
  }

  *#situation(callId: CallId, command: CallCommand): Steps<Situation> {
    const { store } = this.#options
    if (command.verb === 'request') {
      const asked = [store.load(callId), store.line(command.actor.user), store.line(command.callee)] as const
      const [call, mine, theirs] = yield* waitForAll(asked)
      if (mine.length + theirs.length === 0) return { callId, call, mine, theirs }
      return { callId, call, mine, theirs, ...(yield* this.#linked([...mine, ...theirs])) }
    }
    const call = yield* wait(store.load(callId))
    if (call === undefined) return { callId }
    if (command.verb === 'hold' || command.verb === 'transfer' || command.verb === 'invite')
      return { callId, call, ...(yield* this.#around(call, command)) }
    if (call.transfer === undefined && call.beside === undefined) return { callId, call }
    return { callId, call, ...(yield* this.#linked([call])) }
  }

  /** The other calls that these are bound up with. */
  *#linked(calls: readonly Call[]): Steps<Pick<Situation, 'linked'>> {
    const ids = new Set(calls.flatMap(linksOf))
    if (ids.size === 0) return {}
    const found = yield* waitForAll([...ids].map((callId) => this.#options.store.load(callId)))
    return { linked: found.filter((call) => call !== undefined) }
  }

  /** What a command must know that looks at lines of users. */
  *#around(
    call: Call,
    command: Extract<CallCommand, { verb: 'hold' | 'transfer' | 'invite' }>,
  ): Steps<Omit<Situation, 'callId' | 'call'>> {
    const { store } = this.#options
    if (command.verb === 'invite') {
      // Who is called at this moment, behind this answer, makes the commit fail: then it is asked again
      const users = [...new Set(command.invitees)]
      const lines = yield* waitForAll(users.map((user) => store.line(user)))
      const taken = users.filter((_, place) => lines[place]?.some(({ callId }) => callId !== call.callId))
      return { taken, ...(yield* this.#linked([call])) }
    }
    if (command.verb === 'hold') {
      const mine = yield* wait(store.line(command.actor.user))
      return { mine, ...(yield* this.#linked([call])) }
    }
    const peer = command.actor.user === call.caller ? call.callee : call.caller
    const asked = [store.line(command.actor.user), store.line(command.target), store.line(peer)] as const
    const [mine, theirs, peers] = yield* waitForAll(asked)
    return { mine, theirs, peers, ...(yield* this.#linked([call, ...theirs])) }
  }

  /** What was written; undefined: somebody else was faster. */
  *#commit(calls: readonly Call[], decision: Decision): Steps<readonly CallWrite[] | undefined> {
    const { store } = this.#options
    const writes = calls.map((call) => ({ call, expected: call.version }))
    const done = yield* wait(store.outlives ? store.commit(writes, effectsOf(decision)) : store.commit(writes))
    if (!done) return undefined
    for (const call of calls) this.#wake(call.due)
    if (this.#watched.size > 0) for (const { callId } of calls) this.#watched.changed(callId)
    return writes
  }

  /** After the commit. False: something of it waits for the store to be reached again. */
  *#told(callId: CallId, { others, effects }: Decision): Steps<boolean> {
    try {
      for (const other of others ?? NO_CHANGES) yield* this.#act(other.call.callId, other.effects)
      yield* this.#act(callId, effects)
      return true
    } catch (error) {
      if (error instanceof Unavailable) return false
      throw error
    }
  }

  *#recovered(call: Call, effects: readonly Effect[]): Steps<void> {
    // Somebody else may have gone on with the call: nobody is shown what is over (and what is over does not ring)
    const now = (yield* wait(this.#options.store.load(call.callId))) ?? call
    const over = now.endedAt !== undefined && call.endedAt === undefined
    yield* this.#act(call.callId, over ? effects.filter(({ kind }) => kind !== 'tell' && kind !== 'relay') : effects)
  }

  /** The device may have died between its command and the commit: then its loss found no call to be noted in. */
  *#lostMeanwhile(command: CallCommand, writes: readonly Call[]): Steps<void> {
    if (!('actor' in command) || command.actor.device === undefined) return
    const { user, device } = command.actor
    const held = writes.map(({ callId }) => callId)
    try {
      if (yield* this.#isThere(user, device)) return
      for (const { callId, endedAt } of writes)
        if (endedAt === undefined)
          yield* this.#attempt(callId, { verb: 'lose', user, device, away: this.#options.devices.holds(device) }, held)
    } catch (error) {
      // The command has been carried out; who holds the device says that it is lost when the store is there again
      if (!(error instanceof Unavailable)) throw error
    }
  }

  *#recall(user: UserId, device: DeviceId, token: string): Steps<void> {
    const { store, devices, directory } = this.#options
    try {
      const call = yield* wait(store.lately?.(user))
      if (call === undefined) return
      const known = directory === undefined ? [] : yield* wait(directory.devices(user))
      const present = [...devices.connected(user), ...known.filter(({ away }) => !away).map(({ id }) => id)]
      yield* wait(this.#perform(call.callId, { verb: 'recall', user, device, token, present }))
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
    }
  }

  /** Whether the device is connected, wherever that may be. */
  *#isThere(user: UserId, device: DeviceId): Steps<boolean> {
    const { devices, directory } = this.#options
    if (devices.connected(user).includes(device)) return true
    if (directory === undefined || devices.holds(device)) return false
    return (yield* wait(directory.devices(user))).some((known) => known.id === device && !known.away)
  }

  *#act(callId: CallId, effects: readonly Effect[]): Steps<void> {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'tell':
          this.#tell(effect, callId)
          break
        case 'relay':
          this.#relay(effect, callId)
          break
        case 'news':
          this.#options.events.emit(effect.news, { call: effect.call, ...(effect.names && { names: effect.names }) })
          break
        case 'member': {
          const { news, call, user, at, reason } = effect
          const member = call.members?.find((one) => one.user === user)
          if (member) this.#options.events.emit(news, { call, member, at, ...(reason && { reason }) })
          break
        }
        case 'ring': {
          const { call, user = call.callee } = effect
          yield* this.#ring({ callId: call.callId, callee: user })
          this.#options.routes?.ring(user, call.callId)
          break
        }
      }
    }
  }

  /** After the commit, so that a device that subscribes just now is either found here or finds the call itself. */
  *#ring({ callId, callee }: Pick<Call, 'callId' | 'callee'>): Steps<Outcome<unknown>> {
    const devices = this.#options.devices.listening(callee, RINGS_ON)
    if (devices.length > 0) yield* this.#attempt(callId, { verb: 'appear', user: callee, devices }, [callId])
    return accepted
  }

  /** `callId`: what it is about, unless its body says otherwise. */
  #tell({ to, queue: name, body, headers }: Extract<Effect, { kind: 'tell' }>, callId: CallId): void {
    const about = typeof body.callId === 'string' ? body.callId : callId
    this.#send(to, queue(name), { body: JSON.stringify(body), ...(headers && { headers }) }, about)
  }

  #relay({ to, from, signal: { body, contentType }, reattached }: Relay, callId: CallId): void {
    const headers = reattached === true ? { from, 'peer-reattached': 'true' } : { from }
    this.#send(to, SIGNALS_ON, { body, contentType, headers }, callId)
  }

  #send(to: Target, destination: string, message: Message, callId: CallId): void {
    const { devices, routes } = this.#options
    if (!('devices' in to)) {
      for (const device of devices.reachable(to.user, destination))
        if (device !== to.except) devices.tell(device, destination, message)
      routes?.tell(to, destination, message, callId)
      return
    }
    let elsewhere: DeviceId[] | undefined
    for (const device of to.devices) {
      if (routes === undefined || devices.holds(device)) devices.tell(device, destination, message)
      else {
        elsewhere ??= []
        elsewhere.push(device)
      }
    }
    if (elsewhere) routes?.tell({ user: to.user, devices: elsewhere }, destination, message, callId)
  }

  /** Makes sure that somebody looks at the store at `at`. */
  #wake(at: number): void {
    const { clock } = this.#options
    const wanted = Math.min(at, clock.now() + this.#longestLook)
    if (this.#stopped || (this.#timer && this.#timer.at <= wanted)) return
    this.#timer?.cancel()
    const cancel = clock.after(wanted - clock.now(), () => {
      this.#timer = undefined
      this.#look().catch(this.#options.report)
    })
    this.#timer = { at: wanted, cancel }
  }

  get #longestLook(): number {
    return this.#options.store.outlives ? LONGEST_LOOK_FOR_OTHERS_MS : LONGEST_LOOK_MS
  }

  /** Fires what is due, then sleeps until the next deadline. */
  async #look(): Promise<void> {
    const { store, clock } = this.#options
    try {
      const due = await store.due(clock.now(), DUE_AT_ONCE)
      await Promise.all(due.map((callId) => this.#perform(callId, { verb: 'tick' })))
      const next = await store.nextDue()
      if (next !== undefined) this.#wake(next)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
    }
    if (store.outlives) this.#wake(Number.POSITIVE_INFINITY)
  }
}

/** Equal for equal requests: a repeat is told from another request with the same callId by it. */
export const fingerprintOf = (message: CallRequest): string => hash('sha256', JSON.stringify(message), 'base64url')

/** What is known of a signalling message: which call it is for, and which member of a room. */
type Addressed = Pick<Signal, 'callId' | 'to'>

/** The first of the outcomes that is a refusal. */
function* all(outcomes: readonly Awaitable<Outcome<unknown>>[]): Steps<Outcome<unknown>> {
  const known = yield* waitForAll(outcomes)
  return known.find(({ ok }) => !ok) ?? accepted
}

type Relay = Extract<Effect, { kind: 'relay' }>

const isRelay = (effect: Effect): effect is Relay => effect.kind === 'relay'

/** For those to whom the answer says nothing. */
function quietly(done: Awaitable<unknown>): Awaitable<void> {
  return done instanceof Promise ? done.then(() => undefined) : undefined
}

/** The same, and whether it could be said at all. */
function noted(done: Awaitable<Outcome<unknown>>): Awaitable<boolean> {
  return done instanceof Promise ? done.then(wasHeard) : wasHeard(done)
}

const wasHeard = (outcome: Outcome<unknown>): boolean => outcome.ok || outcome.code !== CODES.unavailable.code

/** Whoever has to be told what was decided, another process too: in the order in which it is told. */
const effectsOf = ({ others = [], effects }: Decision): readonly Effect[] => [
  ...others.flatMap((other) => other.effects),
  ...effects,
]

/** What a command is answered that met this error; one that is no answer is thrown on. */
const unlessAway =
  (callId?: CallId) =>
  (error: unknown): Outcome<never> => {
    if (!(error instanceof Unavailable)) throw error
    return refuse('unavailable', NO_STORE, { ...(callId !== undefined && { callId }), retryAfter: STORE_BACK_AFTER_S })
  }

const NO_STORE =
  'the server cannot reach its store of calls: nothing can begin or change now; calls in progress go on; try again in a moment'

const writesOf = ({ write, others = [] }: Decision): readonly Call[] => [
  ...others.map(({ call }) => call),
  ...(write ? [write] : []),
]

/** Nothing was done: that takes the turn of more calls than the command was given. */
class Wider {
  readonly callIds: readonly CallId[]

  constructor(callIds: readonly CallId[]) {
    this.callIds = callIds
  }
}

const tooBusy = (callId: CallId) =>
  refuse('unavailable', 'too many commands for this call at the same time; try again', { callId, retryAfter: 1 })

const restarting = (callId: CallId) =>
  refuse('unavailable', 'the server restarts: call again in a moment', { callId, retryAfter: 5 })

const queue = (name: CallQueue | 'errors'): string => `/user/queue/${name}`

/**
 * Who subscribes here is to be told with {@link CallService.appeared}, here with {@link CallService.hearsEnds}, and here
 * with {@link CallService.listens}.
 */
export const RINGS_ON = queue('call/request')
export const ENDS_ON = queue('call/hangup')
export const SIGNALS_ON = '/user/queue/rtc/signaling'
