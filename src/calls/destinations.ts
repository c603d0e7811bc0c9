/** Where calls are in STOMP (contract, sections 3 and 4): to add a destination, add a line. */

import type { Handler } from '../../broker/index.ts'
import type { Outcome } from '../errors.ts'
import { CODES } from '../errors.ts'
import { actorOf, payload } from '../handlers.ts'
import type { Devices } from '../ports.ts'
import { glance } from './glance.ts'
import * as messages from './messages.ts'
import { type CallService, RINGS_ON } from './service.ts'

/** Every destination on which a device may hear of calls. */
export const CALL_QUEUES = [
  '/user/queue/call/request',
  '/user/queue/call/response',
  '/user/queue/call/down',
  '/user/queue/call/hangup',
  '/user/queue/call/timeout',
  '/user/queue/call/ringing',
  '/user/queue/call/hold',
  '/user/queue/call/transfer',
  '/user/queue/call/room',
  '/user/queue/rtc/signaling',
] as const

/** What is left to a device whose token has expired in a call: to finish it, and to hear of it; no new call rings there. */
export const FINISHES_A_CALL = {
  sends: ['/app/rtc/signaling', '/app/call/hangup', '/app/call/hold'],
  hears: CALL_QUEUES.filter((queue) => queue !== RINGS_ON),
} as const

const ERRORS = '/user/queue/errors'

const ENDS_A_REQUEST: ReadonlySet<number> = new Set(
  [CODES.busy, CODES.unreachable, CODES.callerInCall].map(({ code }) => code),
)

export function callHandlers(calls: CallService, devices: Devices): Readonly<Record<string, Handler>> {
  /** A client that does not read errors would show a window for ever: it hears any such outcome as a rejection. */
  const closesOldWindows = (listensToErrors: boolean, device: string, callId: string, outcome: Outcome<unknown>) => {
    if (!outcome.ok && ENDS_A_REQUEST.has(outcome.code) && !listensToErrors) {
      const body = JSON.stringify({ callId, type: 'REJECT', reason: 'BUSY' })
      devices.tell(device, '/user/queue/call/response', { body })
    }
    return outcome
  }

  return {
    '/app/call/request': payload(messages.CallRequest, (session, message) => {
      const closing = (outcome: Outcome<unknown>) =>
        closesOldWindows(session.listensTo(ERRORS), session.id, message.callId, outcome)
      const outcome = calls.request(actorOf(session), message)
      return outcome instanceof Promise ? outcome.then(closing) : closing(outcome)
    }),
    '/app/call/response': payload(messages.CallResponse, (session, message) =>
      calls.respond(actorOf(session), message),
    ),
    '/app/call/hangup': payload(messages.CallHangup, (session, message) => calls.hangup(actorOf(session), message)),
    '/app/call/ringing': payload(messages.CallRinging, (session, message) => calls.ringing(actorOf(session), message)),
    '/app/call/hold': payload(messages.CallHold, (session, message) => calls.hold(actorOf(session), message)),
    '/app/call/transfer': payload(messages.CallTransfer, (session, message) =>
      calls.transfer(actorOf(session), message),
    ),
    '/app/call/invite': payload(messages.CallInvite, (session, message) => calls.invite(actorOf(session), message)),
    '/app/rtc/signaling': payload(
      messages.Signal,
      (session, message, { body, headers }) =>
        calls.signal(actorOf(session), message, { body, contentType: headers['content-type'] ?? 'application/json' }),
      glance,
    ),
  }
}
