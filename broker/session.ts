/**
 * One connection's life: opened, authenticating, connected, closed. Its session may be an earlier one's, and may outlive
 * it (see resumption.ts). Reads frames one at a time and in order (while one is
 * being worked on, the others wait as octets), answers each with RECEIPT, errors message or ERROR, and ends the
 * connection when it must. What a frame means to a connected session is in connected.ts.
 */

import type { Backlog, Backlogs } from './backlog.ts'
import type { Cancel } from './clock.ts'
import { Connected, type Line, type Outcome, type Surroundings } from './connected.ts'
import type { Connection, ConnectionHandler } from './connection.ts'
import { broken, CLOSE_CODES, exceeded, internal, tooMany, type Violation } from './errors.ts'
import { oneLine } from './escaping.ts'
import type { FamiliarHeads } from './familiar-heads.ts'
import {
  type ClientFrame,
  encodeFrame,
  HEARTBEAT,
  type HeaderLine,
  type Outgoing,
  VERSIONS,
  type Version,
} from './frame.ts'
import { type Beating, type HeartbeatOffer, type Heartbeats, negotiate, Pulse, readOffer } from './heartbeat.ts'
import { Again } from './mailbox.ts'
import { Parser } from './parser.ts'
import { claimOf, freshResumeId } from './resume-id.ts'
import type { Resumption } from './resumption.ts'
import { freshSessionId } from './session-id.ts'
import type { Admission, BrokerOptions, Expulsion, Principal, Refused, ResumeClaim } from './types.ts'
import type { Users } from './user-destinations.ts'

/** A session's phases: there is a user only where there is one. */
type State =
  | { readonly phase: 'opened' }
  | { readonly phase: 'authenticating' }
  | { readonly phase: 'connected'; readonly session: Connected; readonly pulse: Pulse }
  | { readonly phase: 'closed' }

export interface SessionSurroundings extends Surroundings {
  readonly users: Users<Connected>
  readonly heartbeats: Heartbeats
  readonly backlogs: Backlogs
  readonly familiar: FamiliarHeads
  readonly options: BrokerOptions
  /** Nothing: a session ends with its connection. */
  readonly resumption: Resumption | undefined
  /** The connection is over; nothing comes from it any more. */
  gone(session: Session): void
  /** Everything that came over it is done: the session is away, or over. */
  finished(session: Session): void
}

/** A CONNECT that is let in: what it has settled already. */
interface Arrival {
  readonly frame: ClientFrame
  readonly principal: Principal
  readonly version: Version
  readonly offer: HeartbeatOffer
  readonly claim: ResumeClaim | undefined
}

/** How long a closed connection may take to deliver what was written and to say good-bye. */
const LINGER_MS = 5_000

/** Frames and heart-beats of one session that are worked on before others have their turn: a message may be full of them. */
const ITEMS_PER_TURN = 128

/** What becomes of the session when its connection is over. */
const MAY_COME_BACK = true
const ENDS = false

/**
 * The connection has failed, not the client: a phone that was in a lift hears nothing, and reads nothing, and is to find
 * its session again.
 */
const LOST: ReadonlySet<Expulsion> = new Set(['slow-reader', 'heart-beat'])

/** Refused CONNECTs and violations, before a version is settled. */
const UNSETTLED: Version = '1.0'

export class Session implements ConnectionHandler, Beating, Backlog, Line {
  readonly #connection: Connection
  readonly #all: SessionSurroundings
  readonly #parser: Parser
  #state: State = { phase: 'opened' }
  /** A frame is being worked on. */
  #busy = false
  #paused = false
  /** The way to the peer is closed or closing: nothing is read or written any more. What came before still counts. */
  #gone: string | undefined
  /** Then the session is away, and may come back; or it ends with this connection. */
  #mayComeBack = false
  /** They wait until nothing is left to do. */
  #waiting: (() => void)[] | undefined
  #written = 0
  #connectTimer: Cancel
  #lingerTimer: Cancel | undefined
  /** Of a refused login whose answer waits. */
  #cancelAnswer: Cancel | undefined

  constructor(connection: Connection, surroundings: SessionSurroundings) {
    const { clock, limits } = surroundings
    this.#connection = connection
    this.#all = surroundings
    this.#parser = new Parser({ ...limits, frameBytes: limits.frameBytesBeforeLogin }, surroundings.familiar)
    this.#connectTimer = clock.after(limits.connectTimeoutMs, () => this.#loginTimeout())
  }

  // What the connection tells

  data(octets: Buffer): void {
    if (this.#gone !== undefined || this.#state.phase === 'closed') return
    if (this.#state.phase === 'connected') this.#state.pulse.heard()
    this.#parser.push(octets)
    this.#work()
    this.#parser.keep()
  }

  alive(): void {
    if (this.#state.phase === 'connected') this.#state.pulse.heard()
  }

  stalled(): void {
    if (this.#gone === undefined) this.#all.backlogs.add(this)
  }

  drained(): void {
    if (this.#state.phase === 'connected') this.#state.session.drained()
  }

  closed(code: number, reason: string): void {
    this.#connectTimer()
    this.#lingerTimer?.()
    this.#all.gone(this)
    this.#depart(reason === '' ? `connection closed with ${code}` : `${code} ${reason}`, MAY_COME_BACK)
    // Only frames of a session count after its end; a login that is under way has nobody to be for any more
    if (!this.#busy || this.#state.phase !== 'connected') this.#finish()
  }

  // What the broker asks

  get address(): string {
    return this.#connection.peer.address
  }

  get buffered(): number {
    return this.#connection.buffered
  }

  /** Ends the session, also one that is about to be away; frames that wait are dropped. */
  disconnect(code: number, reason: string): void {
    this.#cut(code, reason, ENDS)
  }

  /** A phone that has changed networks leaves its old connection open, and comes back over a new one. */
  leaveSession(): Promise<void> {
    if (this.#state.phase === 'closed') return Promise.resolve()
    if (this.#gone === undefined) {
      const reason = 'the session goes on over another connection'
      this.#all.observer.expelled?.('resumed-elsewhere', reason)
      this.#depart(reason, MAY_COME_BACK)
      this.#close(CLOSE_CODES['resumed-elsewhere'], reason)
      if (!this.#busy) this.#finish()
    }
    if (!this.#busy) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting ??= []
      this.#waiting.push(resolve)
    })
  }

  /** The credential is no longer good: told in an ERROR as at the login, then the end. */
  expel(refused: Refused): void {
    this.#turnAway('credentials', refused)
  }

  /** Closes for a restart of the server; frames that have come before still count. */
  shutdown(reason: string): void {
    if (this.#gone !== undefined || this.#state.phase === 'closed') return
    this.#all.observer.expelled?.('shutdown', reason)
    this.#depart(reason, MAY_COME_BACK)
    this.#close(CLOSE_CODES.shutdown, reason)
  }

  terminate(): void {
    this.#connection.terminate()
  }

  // What the wheel and the watch over slow readers ask

  beat(): void {
    this.write(HEARTBEAT)
  }

  ping(): boolean {
    return this.#connection.ping()
  }

  listening(): boolean {
    return !this.#paused
  }

  /** No ERROR: nobody is there to read it. */
  silent(ms: number): void {
    this.#expel('heart-beat', `no sign of life for ${ms} ms`)
  }

  /** Octets that were written so far, whether or not they have left. */
  get written(): number {
    return this.#written
  }

  /** What was written stays where it is. */
  stuck(ms: number): void {
    this.#tooSlow(`${this.#connection.buffered} octets are waiting for more than ${ms} ms`)
  }

  // Reading

  /** Works on what has come, a frame at a time, until something must be waited for, or others have a right to their turn. */
  #work(): void {
    for (let items = 0; !this.#busy && this.#state.phase !== 'closed'; items++) {
      if (items === ITEMS_PER_TURN) {
        this.#goOnLater()
        break
      }
      const item = this.#parser.next()
      if (item === undefined) break
      if (item.kind === 'violation') this.#fail(item.violation)
      else if (item.kind === 'frame') this.#step(item.frame)
    }
    if (this.#gone !== undefined && !this.#busy) this.#finish()
    this.#regulate()
  }

  /** What waits is work under way: it counts as such, and reading pauses when it is too much. */
  #goOnLater(): void {
    this.#busy = true
    setImmediate(() => {
      this.#busy = false
      this.#work()
    })
  }

  #step(frame: ClientFrame): void {
    const state = this.#state
    switch (state.phase) {
      case 'opened':
        if (frame.command === 'CONNECT' || frame.command === 'STOMP') this.#connect(frame)
        else this.#fail(notConnected(frame))
        break
      case 'connected':
        this.#perform(state.session, frame)
        break
      case 'authenticating':
      case 'closed':
        throw new Error(`a frame is read while ${state.phase}`)
    }
  }

  #perform(session: Connected, frame: ClientFrame): void {
    this.#all.observer.frameIn?.(frame.command)
    const outcome = session.perform(frame)
    if (!(outcome instanceof Promise)) {
      this.#settle(session, frame, outcome)
      return
    }
    this.#busy = true
    outcome
      .catch((error: unknown): Outcome => this.#bug(error, frame))
      .then((settled) => {
        this.#busy = false
        this.#settle(session, frame, settled)
        this.#work()
      })
      .catch((error: unknown) => this.#all.observer.failed?.(error, 'session'))
  }

  #bug(error: unknown, { command, headers }: ClientFrame): Outcome {
    this.#all.observer.failed?.(error, command)
    return { kind: 'refused', refusals: [{ refused: internal(), destination: headers.destination ?? '' }] }
  }

  /** The work is done: says so, if that was asked for. */
  #settle(session: Connected, { headers }: ClientFrame, outcome: Outcome): void {
    if (this.#state.phase !== 'connected') return
    const receipt = headers.receipt
    switch (outcome.kind) {
      case 'done':
        this.#receipt(session, receipt)
        break
      case 'refused':
        for (const refusal of outcome.refusals) session.tellRefusal(refusal, receipt)
        break
      case 'violation':
        this.#fail({ ...outcome.violation, receipt })
        break
      case 'goodbye':
        this.#receipt(session, receipt)
        this.disconnect(1000, 'DISCONNECT')
        break
    }
  }

  #receipt(session: Connected, receipt: string | undefined): void {
    if (receipt === undefined) return
    this.write(encodeFrame('RECEIPT', [['receipt-id', receipt]], session.version))
    this.#all.observer.frameOut?.('RECEIPT', 1)
  }

  /** Stops reading while more waits than may, and goes on when there is room. */
  #regulate(): void {
    const { queuedBytes } = this.#all.limits
    const waiting = this.#busy ? this.#parser.waiting : 0
    if (this.#paused && waiting <= queuedBytes / 2) {
      this.#paused = false
      this.#connection.resume()
      if (this.#state.phase === 'connected') this.#state.pulse.heard()
    } else if (!this.#paused && waiting > queuedBytes && this.#gone === undefined) {
      this.#paused = this.#connection.pause()
      if (!this.#paused)
        this.#fail(
          exceeded(
            `more than ${queuedBytes} octets waiting`,
            'Frames come faster than they are worked on, and this transport cannot be slowed down. Wait for receipts.',
          ),
        )
    }
  }

  // CONNECT

  #connect(frame: ClientFrame): void {
    const { headers } = frame
    this.#all.observer.frameIn?.(frame.command)
    const version = highestCommon(headers['accept-version'])
    const heartbeat = readOffer(headers['heart-beat'])
    if (version === undefined) this.#failVersion(headers.receipt)
    else if (heartbeat === undefined) this.#fail(malformedHeartbeat(headers.receipt))
    else this.#logIn(frame, version, heartbeat)
  }

  #logIn(frame: ClientFrame, version: Version, heartbeat: HeartbeatOffer): void {
    const turnedAway = this.#all.options.logins?.turnedAway(this.#connection.peer.address)
    if (turnedAway) {
      this.#turnAway('login', turnedAway)
      return
    }
    this.#parser.speak(version, this.#all.limits.frameBytes)
    const state: State = { phase: 'authenticating' }
    this.#state = state
    this.#busy = true
    this.#authenticate(frame)
      .then((admission) => {
        const { resumption } = this.#all
        const claim = 'principal' in admission ? claimOf(frame, admission.principal.user, version) : undefined
        const go = () => this.#letIn(state, admission, { frame, version, offer: heartbeat, claim })
        if (claim === undefined || resumption === undefined) go()
        else return resumption.find(claim).then(go)
        return undefined
      })
      .catch((error: unknown) => this.#all.observer.failed?.(error, 'session'))
  }

  #letIn(waiting: State, admission: Admission, arrival: Omit<Arrival, 'principal'>): void {
    // Timed out, or closed by the peer, meanwhile: a late answer is nobody's business
    if (this.#state !== waiting || this.#gone !== undefined) return
    const answer = this.#hasRoom(admission)
    if ('refused' in answer) {
      this.#refuseInTime(answer.refused)
      return
    }
    this.#busy = false
    this.#welcome({ ...arrival, principal: answer.principal })
    this.#work()
  }

  async #authenticate({ headers }: ClientFrame): Promise<Admission> {
    try {
      return await this.#all.options.authenticate({ headers, peer: this.#connection.peer })
    } catch (error) {
      this.#all.observer.failed?.(error, 'authenticate')
      return { refused: internal() }
    }
  }

  #hasRoom(admission: Admission): Admission {
    if ('refused' in admission) return admission
    const { users, limits } = this.#all
    if (users.count(admission.principal.user) < limits.sessionsPerUser) return admission
    this.#all.observer.limited?.('sessions-per-user')
    return { refused: tooMany(`this user has ${limits.sessionsPerUser} sessions, as many as may be`) }
  }

  #welcome(arrival: Arrival): void {
    this.#connectTimer()
    const known = arrival.claim && this.#all.resumption?.take(arrival.claim)
    if (known === undefined) this.#begin(arrival)
    else this.#goOn(known, arrival)
  }

  #begin({ frame: { headers }, principal, version, offer, claim }: Arrival): void {
    const { users, observer, resumption } = this.#all
    const { peer } = this.#connection
    const id = freshSessionId()
    const resumeId = resumption && freshResumeId(id)
    const comesBack = promisesReturn(headers)
    const session = new Connected({ id, resumeId, principal, version, peer, comesBack }, this.#all, this)
    this.#takeOver(session, offer)
    users.join(session)
    // Whoever hopes for its old session is told at once that this is a new one
    this.#sayConnected(session, claim && false)
    if (this.#gone === undefined) observer.connected?.(session)
    if (claim !== undefined) observer.notResumed?.()
  }

  /** The session is one that was away: what it has missed comes first. */
  #goOn(session: Connected, { frame: { headers }, principal, offer, claim }: Arrival): void {
    const { users, observer } = this.#all
    const before = session.principal
    session.comeBack({ principal, peer: this.#connection.peer, comesBack: promisesReturn(headers) }, this)
    this.#takeOver(session, offer)
    users.comesBack(session)
    this.#sayConnected(session, true)
    const missed = session.missedAfter(claim?.lastSeq ?? 0)
    for (const frame of missed) this.write(new Again(frame))
    observer.frameOut?.('MESSAGE', missed.length)
    if (this.#gone !== undefined) return
    session.listenAgain()
    observer.returned?.(session, before)
    session.catchUp()
  }

  #takeOver(session: Connected, offer: HeartbeatOffer): void {
    const { clock, heartbeats, options } = this.#all
    const pulse = new Pulse(this, negotiate(options.heartbeat, offer), clock.now())
    this.#state = { phase: 'connected', session, pulse }
    heartbeats.add(pulse)
  }

  #sayConnected(session: Connected, resumed: boolean | undefined): void {
    this.write(this.#connectedFrame(session, resumed))
    this.#all.observer.frameOut?.('CONNECTED', 1)
  }

  /** "CONNECTED frames ... will not escape" (STOMP 1.2, "Value Encoding"). */
  #connectedFrame({ id, version, principal, resumeId }: Connected, resumed: boolean | undefined): string {
    const { server, heartbeat } = this.#all.options
    const lines: HeaderLine[] = [
      ['version', version],
      ['heart-beat', `${heartbeat.sends},${heartbeat.wants}`],
      ['session', id],
      ['server', oneLine(server)],
      ['user-name', oneLine(principal.user)],
    ]
    if (resumeId !== undefined) lines.push(['resume-id', resumeId])
    if (resumed !== undefined) lines.push(['resumed', String(resumed)])
    return encodeFrame('CONNECTED', lines, UNSETTLED)
  }

  /** Bad credentials are answered when the guard says so; until then nothing else of this connection is read. */
  #refuseInTime(refused: Refused): void {
    const { logins } = this.#all.options
    const tell = (refusal: Refused) => {
      this.#busy = false
      this.#turnAway('login', refusal)
      this.#work()
    }
    if (logins === undefined || !isBadCredential(refused)) {
      tell(refused)
      return
    }
    // The wait has a bound of its own
    this.#connectTimer()
    this.#cancelAnswer = logins.refused(this.#connection.peer.address, refused, tell)
  }

  #turnAway(cause: 'login' | 'credentials', { code, message, ...facts }: Refused): void {
    if (this.#gone === undefined) this.#all.observer.refused?.(code)
    const lines: HeaderLine[] = [
      ['message', oneLine(`${code} ${message}`)],
      ['content-type', 'application/json'],
    ]
    this.#error(cause, message, lines, JSON.stringify({ code, message, ...facts }))
  }

  #loginTimeout(): void {
    this.#fail({
      cause: 'login-timeout',
      message: `no session within ${this.#all.limits.connectTimeoutMs} ms`,
      explanation: 'A connection must send CONNECT, and be let in, in time.',
      receipt: undefined,
    })
  }

  // Writing

  write(frame: string | Outgoing): void {
    if (this.#gone !== undefined) return
    this.#connection.send(frame)
    if (this.#state.phase === 'connected') this.#state.pulse.sent()
    const octets = frame.length
    this.#written += octets
    // One frame may be larger than what may wait: only what was there before it tells of a slow reader
    const before = this.#connection.buffered - octets
    if (before > this.#all.limits.bufferedBytes) this.#tooSlow(`${before} octets are waiting`)
  }

  #tooSlow(detail: string): void {
    const { bufferedBytes, bufferedMs } = this.#all.limits
    this.#fail({
      cause: 'slow-reader',
      message: `reads too slowly: ${detail}`,
      explanation: `No more than ${bufferedBytes} octets may wait for a reader here, and none longer than ${bufferedMs} ms.`,
      receipt: undefined,
    })
  }

  #fail({ cause, message, explanation, receipt }: Violation): void {
    const lines: HeaderLine[] = [
      ['message', oneLine(message)],
      ['content-type', 'text/plain;charset=UTF-8'],
    ]
    if (receipt !== undefined) lines.push(['receipt-id', receipt])
    this.#error(cause, message, lines, explanation)
  }

  /** "If the server does not support any of the protocol versions ... it MUST respond with an ERROR frame" (STOMP 1.2). */
  #failVersion(receipt: string | undefined): void {
    const message = 'no STOMP version in common'
    const lines: HeaderLine[] = [
      ['version', VERSIONS.join(',')],
      ['message', message],
      ['content-type', 'text/plain;charset=UTF-8'],
    ]
    if (receipt !== undefined) lines.push(['receipt-id', receipt])
    this.#error('protocol', message, lines, `Supported protocol versions are ${VERSIONS.join(' ')}`)
  }

  /** "The server MUST then close the connection just after sending the ERROR frame" (STOMP 1.2, ERROR). */
  #error(cause: Expulsion, detail: string, lines: readonly HeaderLine[], body: string): void {
    if (this.#state.phase === 'closed') return
    const version = this.#state.phase === 'connected' ? this.#state.session.version : UNSETTLED
    if (this.#gone === undefined) {
      this.#connection.send(encodeFrame('ERROR', lines, version, body))
      this.#all.observer.frameOut?.('ERROR', 1)
    }
    this.#expel(cause, detail)
  }

  // Ending

  #expel(cause: Expulsion, detail: string): void {
    if (this.#state.phase === 'closed') return
    if (this.#gone === undefined) this.#all.observer.expelled?.(cause, detail)
    this.#cut(CLOSE_CODES[cause], detail, LOST.has(cause) ? MAY_COME_BACK : ENDS)
  }

  #cut(code: number, reason: string, fate: boolean): void {
    if (this.#state.phase === 'closed') return
    this.#depart(reason, fate)
    if (fate === ENDS) this.#mayComeBack = false
    if (this.#busy && this.#mayComeBack) {
      this.#close(code, reason)
      return
    }
    this.#finish()
    this.#close(code, reason)
  }

  /** From here on nothing reaches the peer, and nothing more is taken from it. */
  #depart(reason: string, fate: boolean): void {
    if (this.#gone !== undefined) return
    this.#gone = reason
    this.#mayComeBack = fate && this.#all.resumption !== undefined
    this.#all.backlogs.remove(this)
    this.#cancelAnswer?.()
    if (this.#state.phase !== 'connected') return
    this.#all.heartbeats.remove(this.#state.pulse)
    if (this.#mayComeBack) this.#state.session.cut()
    else this.#state.session.stopListening()
  }

  /** Nothing is left to do. */
  #finish(): void {
    const state = this.#state
    if (state.phase === 'closed') return
    this.#connectTimer()
    this.#state = { phase: 'closed' }
    if (state.phase === 'connected') this.#part(state.session)
    this.#all.finished(this)
    for (const resolve of this.#waiting ?? []) resolve()
  }

  #part(session: Connected): void {
    const { users, observer, resumption } = this.#all
    const reason = this.#gone ?? ''
    if (this.#mayComeBack) {
      resumption?.goesAway(session, reason)
      return
    }
    session.stopListening()
    users.leave(session)
    session.end()
    observer.disconnected?.(session, reason)
  }

  #close(code: number, reason: string): void {
    if (this.#paused) this.#connection.resume()
    this.#paused = false
    this.#lingerTimer?.()
    this.#lingerTimer = this.#all.clock.after(LINGER_MS, () => this.#connection.terminate())
    this.#connection.close(code, reason)
  }
}

/** The highest version that both speak; no `accept-version` means 1.0 (STOMP 1.2, "Protocol Negotiation"). */
function highestCommon(acceptVersion: string | undefined): Version | undefined {
  const accepted = (acceptVersion ?? '1.0').split(',').map((version) => version.trim())
  return VERSIONS.findLast((version) => accepted.includes(version))
}

/** Against no token, a wrong one, or somebody else's; not against a good one that comes at a bad moment. */
function isBadCredential({ code }: Refused): boolean {
  return code === 401 || code === 403
}

/** `resume:true`: this client comes back when it loses the connection. */
function promisesReturn(headers: ClientFrame['headers']): boolean {
  return headers.resume === 'true'
}

function notConnected({ command, headers }: ClientFrame): Violation {
  return broken(`${command} before CONNECT`, 'A session begins with CONNECT or STOMP.', headers.receipt)
}

function malformedHeartbeat(receipt: string | undefined): Violation {
  return broken('heart-beat is malformed', 'It is two numbers of milliseconds: heart-beat:10000,10000', receipt)
}
